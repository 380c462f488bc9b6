"""The wheel without extras, in an environment of its own: light to import, and of use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from real import ROOT, need

HEAVY = ["shap", "sklearn", "pandas", "streamlit", "numpy", "sqlalchemy", "pyarrow", "wasmtime"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel and its base dependencies only."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    need(uv, "there is no `uv` to make an environment with")
    assert uv is not None
    folder = tmp_path_factory.mktemp("base")
    source = folder / "source"
    # A build beside the checkout's own would disturb its editable install.
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run([uv, "build", "-q", "--wheel", "-o", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    subprocess.run([uv, "pip", "install", "-q", "-p", python, "-c", constraints, wheel], check=True)
    shutil.rmtree(source)
    return python


def run(python: Path, script: str, home: Path) -> str:
    done = subprocess.run(
        [python, "-c", textwrap.dedent(script)],
        env={"PATH": os.environ["PATH"], "AFFIDAVIT_HOME": str(home), "AFFIDAVIT_ACTOR": "x"},
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_no_heavy_library(base, tmp_path):
    found = json.loads(
        run(
            base,
            """
            import json, sys, time
            began = time.perf_counter()
            import affidavit
            took = time.perf_counter() - began
            affidavit.__all__, affidavit.__version__
            print(json.dumps({"modules": sorted(sys.modules), "seconds": took}))
            """,
            tmp_path / "home",
        )
    )
    print(f"import affidavit: {found['seconds'] * 1000:.1f} ms beyond the interpreter")
    assert [name for name in HEAVY if name in found["modules"]] == []


def test_naming_every_public_thing_needs_no_data_science_library(base, tmp_path):
    out = run(
        base,
        """
        import sys
        import affidavit
        missing = []
        for name in affidavit.__all__:
            try:
                getattr(affidavit, name)
            except affidavit.AffidavitError as error:
                missing.append(f"{name}: {error.hint}")
        print(missing)
        print([m for m in ("numpy", "pandas", "sklearn", "shap", "pyarrow") if m in sys.modules])
        """,
        tmp_path / "home",
    )
    missing, loaded = map(eval, out.strip().splitlines())
    assert loaded == []
    assert all("affidavit[explain]" in item for item in missing), missing


def test_a_home_is_made_verified_and_served_from_without_numpy(base, tmp_path):
    out = run(
        base,
        """
        import os, warnings
        from pathlib import Path
        import affidavit as aff
        home, made = aff.create_home(Path(os.environ["AFFIDAVIT_HOME"]), actor="x")

        class Limit:
            def __init__(self, limit): self.limit = limit
            def predict(self, rows): return [row["income"] > self.limit for row in rows]

        @aff.train("risk")
        def fit(limit: float):
            return Limit(limit)

        @aff.serve("risk@latest", subject="person")
        def predict(features: dict) -> dict:
            return {"granted": model.predict([features])[0]}

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fit(30.0)
        answer = predict({"income": 40, "person": "jane"})
        os.environ["AFFIDAVIT_ROLES"] = "auditor"
        found = aff.disclose_decision(aff.prediction_ids()[-1])
        os.environ["AFFIDAVIT_ROLES"] = ""
        print(made, answer, dict(found.features), found.output)
        print(aff.verify_home(home).ok, aff.load("risk").limit)
        """,
        tmp_path / "home",
    )
    first, second = out.strip().splitlines()
    assert first == "True {'granted': True} {'income': 40, 'person': 'jane'} {'granted': True}"
    assert second == "True 30.0"


def test_the_command_line_works_there(base, tmp_path):
    command = base.parent / "affidavit"
    began = time.perf_counter()
    environment = {"PATH": os.environ["PATH"], "AFFIDAVIT_HOME": str(tmp_path / "home")}
    for arguments in (["--help"], ["init"], ["verify"]):
        done = subprocess.run(
            [command, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    print(f"three commands: {time.perf_counter() - began:.1f} s")
