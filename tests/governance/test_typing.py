"""Type checkers see a decorated function as what it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap

CORRECT = """
    from collections.abc import AsyncGenerator, Generator
    from typing import assert_type
    import affidavit as aff

    @aff.train("risk", sensitive=["sex"])
    def fit(rate: float, *, rounds: int = 3) -> dict[str, float]:
        return {"rate": rate * rounds}

    @aff.data("loans", purpose="research")
    def stream(path: str) -> Generator[bytes, str, int]:
        yield b""
        return 1

    @aff.serve("risk@production")
    async def predict(features: dict[str, float]) -> bool:
        return True

    class Model:
        @aff.train("risk")
        def fit(self, rows: list[int]) -> int:
            return len(rows)

    assert_type(fit(1.0, rounds=2), dict[str, float])
    assert_type(stream("x"), Generator[bytes, str, int])
    assert_type(Model().fit([1]), int)

    async def main() -> None:
        assert_type(await predict({"a": 1.0}), bool)

    with aff.run("retrain") as run:
        assert_type(run, aff.Run)
"""
WRONG = {
    'fit("fast")': "arg-type",
    "fit(1.0, turns=2)": "call-arg",
    "Model().fit({1})": "arg-type",
    'stream("x").send(5)': "arg-type",
    "aff.run(3)": "arg-type",
}
UNNEEDED = [
    "cryptography",
    "narwhals",
    "numpy",
    "pandas",
    "pyarrow",
    "sklearn",
    "sqlalchemy",
    "sqlmodel",
]


def test_mypy_keeps_parameters_and_results_through_the_decorators(tmp_path):
    # What the signatures do not name need not be read.
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\n"
        + "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in UNNEEDED)
    )
    file = tmp_path / "typed.py"
    source = textwrap.dedent(CORRECT)
    first = source.count("\n") + 1
    file.write_text(source + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", file],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = {}
    for line in done.stdout.splitlines():
        if "error:" in line and "typed.py" in line:
            found.setdefault(int(line.split(":")[1]), line.rsplit("[", 1)[1].rstrip("]"))
    assert found == {first + n: code for n, code in enumerate(WRONG.values())}, done.stdout
