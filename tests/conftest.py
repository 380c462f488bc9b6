"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real import need


@pytest.fixture(autouse=True)
def _no_home_of_the_developer(monkeypatch, tmp_path):
    """No test reads or writes the Affidavit home of whoever runs it."""
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "affidavit-home"))
    monkeypatch.delenv("AFFIDAVIT_CONFIG", raising=False)


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
