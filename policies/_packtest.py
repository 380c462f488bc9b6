"""Running the tests that stand beside the packs, with coverage and the style checks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.errors import PolicyEngineError
from affidavit.policies._build import run_opa
from affidavit.policies._manifest import shipped

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PackTestCase", "PackTestReport", "check_style", "run_pack_tests"]


@dataclass(frozen=True, slots=True)
class PackTestCase:
    """One Rego test.

    Args:
        name: Package and rule, such as ``data.affidavit.access_test.test_…``.
        passed: Whether it held.
        duration_ns: Its wall time in nanoseconds.
    """

    name: str
    passed: bool
    duration_ns: int


@dataclass(frozen=True, slots=True)
class PackTestReport:
    """What testing the packs gave.

    Args:
        cases: The tests, in the order in which OPA ran them.
        coverage: Percentage of the lines of the packs (tests left out) that some test evaluated;
            0 where a test failed.
        uncovered: Per file, the lines that no test evaluated.
        problems: What ``opa check --strict`` and ``opa fmt --fail`` said; empty where clean.
    """

    cases: tuple[PackTestCase, ...]
    coverage: float
    uncovered: dict[str, list[int]]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there are tests, all of them held, and the style is clean."""
        return bool(self.cases) and all(c.passed for c in self.cases) and not self.problems


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise PolicyEngineError(f"{what} did not print JSON: {text.strip()[:500]}") from error


def _lines(file: dict[str, Any], key: str) -> list[int]:
    return [
        line
        for part in file.get(key, [])
        for line in range(part["start"]["row"], part["end"]["row"] + 1)
    ]


def check_style(directory: Path | None = None, *, opa: str = "opa") -> list[str]:
    """What ``opa check --strict`` and ``opa fmt --fail`` find in the packs of a folder.

    Args:
        directory: The folder with the ``.rego`` files; None is the one that comes with Affidavit.
        opa: The command to check with.

    Raises:
        NotFoundError: ``opa`` is not installed.
    """
    problems = []
    for arguments in (["check", "--strict", "--bundle", "."], ["fmt", "--fail", "--list", "."]):
        result = run_opa(arguments, opa=opa, cwd=directory or shipped() / "packs")
        if result.returncode != 0:
            text = (result.stdout + result.stderr).strip()
            problems.append(f"opa {' '.join(arguments)}: {text}")
    return problems


def run_pack_tests(directory: Path | None = None, *, opa: str = "opa") -> PackTestReport:
    """Test the packs of a folder with ``opa test``, ``opa check --strict`` and ``opa fmt``.

    Args:
        directory: The folder with the ``.rego`` files; None is the one that comes with Affidavit.
        opa: The command to test with.

    Returns:
        The report.

    Raises:
        NotFoundError: ``opa`` is not installed.
        PolicyEngineError: OPA printed something that cannot be read.
    """
    folder = directory or shipped() / "packs"
    problems = check_style(folder, opa=opa)
    tested = run_opa(["test", "--format", "json", "--bundle", "."], opa=opa, cwd=folder)
    covered = run_opa(
        ["test", "--coverage", "--format", "json", "--bundle", "."], opa=opa, cwd=folder
    )
    if tested.returncode == 1 and tested.stderr.strip() and not tested.stdout.strip():
        raise PolicyEngineError(f"`opa test` failed: {tested.stderr.strip()}")
    cases = tuple(
        PackTestCase(
            f"{item['package']}.{item['name']}",
            not item.get("fail") and not item.get("error") and not item.get("skip"),
            int(item.get("duration", 0)),
        )
        for item in _json(tested.stdout, "`opa test`") or []
    )
    # OPA measures coverage only where every test holds.
    measurable = bool(cases) and all(case.passed for case in cases)
    files = _json(covered.stdout, "`opa test --coverage`").get("files", {}) if measurable else {}
    packs = {name: file for name, file in files.items() if not name.endswith("_test.rego")}
    hit = sum(len(_lines(file, "covered")) for file in packs.values())
    missed = {name: _lines(file, "not_covered") for name, file in sorted(packs.items())}
    total = hit + sum(map(len, missed.values()))
    return PackTestReport(
        cases=cases,
        coverage=100.0 * hit / total if total else 0.0,
        uncovered={name: lines for name, lines in missed.items() if lines},
        problems=tuple(problems),
    )
