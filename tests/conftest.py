"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from postgres import running
from real import need


@pytest.fixture(autouse=True)
def _no_home_of_the_developer(monkeypatch, tmp_path):
    """No test reads or writes the Affidavit home of whoever runs it."""
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "affidavit-home"))
    monkeypatch.delenv("AFFIDAVIT_CONFIG", raising=False)
    monkeypatch.delenv("AFFIDAVIT_STORE", raising=False)


@pytest.fixture(autouse=True)
def _no_drainer_process_of_a_test(monkeypatch):
    """What a test spools is drained by the test's own readers, unless it says otherwise."""
    monkeypatch.setattr("affidavit._spools.DELAY_SECONDS", 3600.0)


@pytest.fixture(autouse=True)
def _settings_are_looked_at_each_time(monkeypatch):
    """A test changes settings between two calls, sooner than anybody else would."""
    monkeypatch.setattr("affidavit._serve.FRESH_SECONDS", 0.0)


@pytest.fixture
def adult() -> Path:
    """The folder with UCI Adult, named by AFFIDAVIT_DATA."""
    folder = os.environ.get("AFFIDAVIT_DATA", "")
    path = Path(folder) if folder else None
    need(
        path is not None and (path / "adult-train.csv").is_file(),
        "AFFIDAVIT_DATA names no folder with adult-train.csv",
    )
    assert path is not None
    return path


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this test process; each test makes a database of its own."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def built_home(tmp_path_factory) -> Path:
    """A small real home, made once; copy it before changing it (fixture `small_home`)."""
    folder = tmp_path_factory.mktemp("built") / "home"
    script = Path(__file__).parent / "support" / "small_home.py"
    subprocess.run([sys.executable, script, folder], check=True)
    return folder


@pytest.fixture
def small_home(built_home, tmp_path, monkeypatch) -> Path:
    """A copy of the small real home, which the settings name."""
    folder = tmp_path / "home"
    shutil.copytree(built_home, folder)
    monkeypatch.setenv("AFFIDAVIT_HOME", str(folder))
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(folder / "affidavit.toml"))
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "engineer@example.org")
    return folder
