"""A real home for each test, and a small fitted model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit._context import _recent
from affidavit.cli import main


@pytest.fixture(autouse=True)
def nothing_served_before():
    """A test's own predictions, whatever ran before it: a full list tells no new ones by length."""
    _recent.set((0, None, None))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home that the settings name, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "engineer@example.org")
    for name in ("AFFIDAVIT_ROLES", "AFFIDAVIT_ENVIRONMENT", "AFFIDAVIT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    aff.create_home(Path(os.environ["AFFIDAVIT_HOME"]), actor="engineer@example.org")
    # The one that the hooks use too.
    found = aff.open_home(aff.load_settings().home)
    yield found
    found.close()


@pytest.fixture
def reader(home):
    return aff.Reader(home)


@pytest.fixture
def configure(home, tmp_path):
    """Write affidavit.toml beside the script that a test stands for."""

    def write(text: str) -> None:
        (tmp_path / "affidavit.toml").write_text(text)

    return write


@pytest.fixture
def loans():
    rows = 60
    income = [20 + (n * 7) % 60 for n in range(rows)]
    return pd.DataFrame(
        {
            "income": income,
            "debt": [(n * 13) % 30 for n in range(rows)],
            "sex": ["F" if n % 2 else "M" for n in range(rows)],
            "granted": [int(value > 50) for value in income],
        }
    )


@pytest.fixture
def risk(home, loans):
    """A recorded model named risk, and the frame that it learned from."""

    @aff.train("risk", sensitive=["sex"])
    def fit(frame: pd.DataFrame) -> LogisticRegression:
        return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

    return fit(loans)


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command line in this process; gives (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["affidavit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call
