"""A small real home: a governed read, a denial, a model with its evidence, served predictions."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

FEATURES = ["mean radius", "mean texture", "worst radius"]
POLICY = {"promotion": {"models": {"tumour": {"require": {"fairness": False}}}}}


def build(folder: Path, *, predictions: int = 5, config: Path | None = None) -> None:
    """Make the home at a folder with the real hooks; the system is called ``tumour``."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    import affidavit as aff

    os.environ["AFFIDAVIT_HOME"] = str(folder)
    os.environ["AFFIDAVIT_ACTOR"] = "engineer@example.org"
    store = os.environ.get("AFFIDAVIT_STORE", "")
    home, _ = aff.create_home(folder, actor="engineer@example.org", store=store)
    if config is None:
        config = folder / "affidavit.toml"
        (folder / "policy.json").write_text(json.dumps(POLICY))
        config.write_text('[policy]\ndata = "policy.json"\n')
    os.environ["AFFIDAVIT_CONFIG"] = str(config)

    @aff.data("scans", purpose="diagnosis", columns={"site": ["sensitive"]})
    def read() -> pd.DataFrame:
        study = load_breast_cancer(as_frame=True)
        site = np.where(np.arange(len(study.frame)) % 3 == 0, "north", "south")
        return study.frame[[*FEATURES, "target"]].assign(site=site)

    @aff.data("scans", purpose="social-scoring")
    def forbidden() -> pd.DataFrame:
        raise AssertionError("a denied read ran")

    @aff.train("tumour", sensitive=["site"], purpose="diagnosis")
    def fit(scans: pd.DataFrame, penalty: float = 1.0) -> LogisticRegression:
        return LogisticRegression(C=penalty, max_iter=5000).fit(scans[FEATURES], scans["target"])

    @aff.serve("tumour@latest", purpose="diagnosis")
    def predict(features: dict[str, float]) -> float:
        return float(model.predict_proba(pd.DataFrame([features]))[0, 1])

    table = read()
    with contextlib.suppress(aff.PolicyDenied):
        forbidden()
    model = fit(table)
    X = table[FEATURES]
    aff.evaluate("tumour", model, X, table["target"], sensitive=table[["site"]])
    aff.explain_model("tumour", model, X.head(50), background=X.head(100))
    settings = aff.load_settings()
    aff.gate(home, settings, "tumour")
    home.enrol("reviewer@example.org", "approver", actor="engineer@example.org")
    aff.approve(home, settings, "tumour@latest", "reviewer@example.org")
    aff.gate(home, settings, "tumour")
    for number in range(predictions):
        predict(X.iloc[number].to_dict())
    home.close()


if __name__ == "__main__":
    import sys

    build(Path(sys.argv[1]))
