"""Processes are killed at any moment: what was acknowledged is in the log, once, and it verifies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "support" / "crashing.py"
KILLS = 200


def crash(home: Path, seed: int) -> dict:
    done = subprocess.run(
        [sys.executable, SCRIPT, home, str(KILLS), str(seed)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def check(found: dict) -> None:
    assert found["ok"], found["errors"]
    assert (found["missing"], found["twice"], found["failures"]) == (0, 0, 0)
    assert (found["gaps"], found["open"]) == (0, 0)
    assert found["acknowledged"] > KILLS
    assert found["writers"] > KILLS // 20


def test_kills_lose_nothing_on_sqlite(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    check(crash(tmp_path / "home", 1))
