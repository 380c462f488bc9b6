"""A small ledger with everything in it, built once with the real hooks on real data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import affidavit as aff

HOSTILE = "<script>alert(1)</script> ![x](https://evil.example/x.png) **b** \u202egpj.exe"
"""A name as an attacker would choose it: markup, markdown, a remote image, an RTL override."""


def _build(folder: Path) -> dict[str, str]:
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    settings = aff.load_settings()
    home, _ = aff.create_home(folder, actor="owner")
    home.close()
    bunch = load_breast_cancer(as_frame=True)
    columns = ["mean radius", "mean texture", "mean smoothness", "mean symmetry"]
    frame = bunch.data[columns].copy()
    rng = np.random.default_rng(0)
    frame["site"] = rng.choice(["north", "south", "<b>east</b>"], size=len(frame))
    frame["target"] = bunch.target

    @aff.data(HOSTILE, purpose="research", columns={"site": ["sensitive"]})
    def read() -> pd.DataFrame:
        return frame

    @aff.train("triage", sensitive=["site"])
    def fit(data: pd.DataFrame, strength: float = 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        return model.fit(data[columns], data["target"])

    @aff.train("triage")
    def broken(data: pd.DataFrame):
        raise ValueError("no convergence")

    with aff.run(HOSTILE) as run:
        run.metric("loss", 0.25)
        run.parameter("note", HOSTILE)
    data = read()
    model = fit(data)
    with pytest.raises(ValueError, match="no convergence"):
        broken(data)
    aff.evaluate("triage", model, data[columns], data["target"], sensitive=data[["site"]])
    aff.explain_model("triage", model, data[columns][:40], background=data[columns][40:90])

    @aff.serve("triage@latest", purpose="research")
    def predict(features: dict) -> int:
        return int(model.predict(pd.DataFrame([features]))[0])

    predict(data[columns].iloc[0].to_dict())
    identifier = aff.prediction_ids()[-1]
    home = aff.Home(folder)
    assert not aff.gate(home, settings, "triage").allowed
    home.enrol("dora@example.com", "approver", actor="owner")
    aff.approve(home, settings, "triage@latest", "dora@example.com", HOSTILE)
    aff.gate(home, settings, "triage")
    home.close()
    return {"prediction": identifier, "hostile": HOSTILE}


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("ui") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFFIDAVIT_HOME", str(folder))
        patch.setenv("AFFIDAVIT_ROLES", "auditor,engineer")
        patch.setenv("AFFIDAVIT_ACTOR", "erik@example.com")
        patch.delenv("AFFIDAVIT_CONFIG", raising=False)
        return folder, _build(folder)


@pytest.fixture
def home_folder(built, tmp_path, monkeypatch) -> Path:
    """A copy of the ledger, named by AFFIDAVIT_HOME, that a test may change."""
    folder = tmp_path / "home"
    shutil.copytree(built[0], folder)
    monkeypatch.setenv("AFFIDAVIT_HOME", str(folder))
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    return folder


@pytest.fixture
def home(home_folder):
    found = aff.Home(home_folder)
    yield found
    found.close()


@pytest.fixture
def settings(home_folder):
    return aff.load_settings()


@pytest.fixture
def prediction(built) -> str:
    return built[1]["prediction"]


@pytest.fixture
def hostile(built) -> str:
    return built[1]["hostile"]


@pytest.fixture
def tamper(home_folder):
    """Change one byte in the middle of an entry's body, behind the ledger's back."""
    import sqlite3

    def change(entry: int) -> None:
        connection = sqlite3.connect(home_folder / "ledger.db")
        with connection:
            (body,) = connection.execute(
                "SELECT body FROM entry WHERE entry = ?", (entry,)
            ).fetchone()
            at = len(body) // 2
            changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            connection.execute("UPDATE entry SET body = ? WHERE entry = ?", (changed, entry))
        connection.close()

    return change
