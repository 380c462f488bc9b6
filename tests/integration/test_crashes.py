"""Processes are killed, disks fail: what was acknowledged is in the log, once, and verifies."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from real import need

import affidavit as aff
from affidavit.lineage import parse_entry

FAULTY = Path(__file__).parents[1] / "support" / "faulty.py"
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


def test_kills_lose_nothing_on_postgresql(postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AFFIDAVIT_STORE", postgres.url(postgres.database()))
    check(crash(tmp_path / "home", 2))


def logged(home) -> list[str]:
    found = []
    for _, body in home.ledger.entries():
        parsed = parse_entry(body)
        if isinstance(parsed, dict) and parsed["record"] in {"prediction", "access"}:
            found.append(str(parsed["id"]))
    return found


@pytest.mark.parametrize("durability", ["process", "disk", "log"])
@pytest.mark.parametrize(
    "fault",
    [
        "fsync,fdatasync:error=EIO:when=20+7",
        "pwrite64:error=EIO:when=200+97",
        "pwrite64:error=ENOSPC:when=200+97",
        "write:error=ENOSPC:when=100+5",
        "ftruncate:error=EIO:when=1+2",
    ],
)
def test_failing_system_calls_lose_nothing_acknowledged(tmp_path, monkeypatch, fault, durability):
    need(shutil.which("strace") is not None, "strace is not on the PATH")
    (tmp_path / "affidavit.toml").write_text(f'[affidavit]\ndurability = "{durability}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    home, _ = aff.create_home(tmp_path / "home", actor="crash")
    with aff.run("model") as run:
        run.produce(b"model", "model.pickle")
    ours, theirs = socket.socketpair()
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={fault}"]
    subprocess.run(
        [*command, sys.executable, FAULTY, str(theirs.fileno())],
        check=False,
        pass_fds=[theirs.fileno()],
        capture_output=True,
    )
    theirs.close()
    with ours.makefile("rb") as stream:
        said = stream.read().decode().split()
    acknowledged = {line for line in said if line != "refused"}
    assert len(acknowledged) > 20
    # Without a spool nothing is written by `write`, and a file is seldom cut.
    if not fault.startswith("ftruncate") and (fault[:5], durability) != ("write", "log"):
        assert "refused" in said
    aff.Reader(home).counts()
    found = logged(home)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    report = aff.verify_home(home)
    assert report.ok, report.errors
    assert report.gaps == ()
