"""Digests join up across processes that know nothing of each other, and users' own names clash."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

import affidavit as aff

PRELUDE = """
import pandas as pd, numpy as np
from pathlib import Path
from sklearn.linear_model import LogisticRegression
import affidavit as aff

def table():
    n = np.arange(200)
    return pd.DataFrame({"income": n % 70, "debt": n % 13, "granted": (n % 70 > 30).astype(int)})
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Run a script in a process of its own, in the working folder of the project."""
    home = tmp_path / "home"
    aff.create_home(home, actor="engineer")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(home))
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor,engineer")

    def run(script: str, *, cwd=tmp_path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_reading_training_evaluating_and_serving_join_up_across_processes(python):
    python("""
    @aff.data("loans", purpose="credit-scoring")
    def read():
        return table()
    read().to_parquet("loans.parquet")
    """)
    python("""
    import polars as pl, pickle
    @aff.train("risk")
    def fit(frame):
        return LogisticRegression().fit(frame[["income", "debt"]].to_pandas(), frame["granted"])
    Path("own.pickle").write_bytes(pickle.dumps(fit(pl.read_parquet("loans.parquet"))))
    """)
    python("""
    import pickle
    model = pickle.loads(Path("own.pickle").read_bytes())
    X = table()[["income", "debt"]]
    aff.evaluate("risk", model, X, table()["granted"])
    aff.explain_model("risk", aff.load("risk"), X[:50])
    """)
    identifier = python("""
    @aff.serve("risk")
    def predict(features):
        return int(aff.load("risk").predict(pd.DataFrame([features]))[0])
    predict({"income": 60, "debt": 2})
    print(aff.prediction_ids()[-1])
    """)
    home = aff.open_home(aff.load_settings().home)
    reader = aff.Reader(home)
    model = reader.model("risk")
    (read,) = reader.statements(kind="dataset")
    source = reader.statement(read["entry"]).subjects[0].digest
    edges = reader.edges_into({model.digest})
    assert [edge["source"] for edge in edges] == [source]
    definition = reader.statement(model.entry).predicate["buildDefinition"]
    assert definition["resolvedDependencies"][0]["name"] == "loans"
    assert len(reader.evidence(model.digest, "evaluation")) == 1
    assert len(reader.evidence(model.digest, "explanation")) == 1
    found = aff.explain_decision(identifier)
    assert found.decision.record["model_digest"] == model.digest
    assert found.decision.output == 1
    assert found.output > 0
    assert aff.verify_home(home).ok


def test_a_project_with_folders_and_modules_of_our_names_works(python, tmp_path):
    project = tmp_path / "project"
    for folder in ("policies", "ui"):
        (project / folder).mkdir(parents=True)
        (project / folder / "__init__.py").write_text("OWN = True\n")
    for name in ("explain", "lineage", "governance", "errors"):
        (project / f"{name}.py").write_text("OWN = True\n")
    (project / "train.py").write_text(
        PRELUDE
        + textwrap.dedent("""
        import errors, explain, governance, lineage, policies, ui
        assert all(m.OWN for m in (errors, explain, governance, lineage, policies, ui))

        @aff.data("loans", purpose="credit-scoring")
        def read():
            return table()

        @aff.train("risk")
        def fit(frame):
            return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

        frame = read()
        model = fit(frame)
        X = frame[["income", "debt"]]
        aff.evaluate("risk", model, X, frame["granted"])
        aff.explain_model("risk", model, X[:20])
        print(aff.verify_home(aff.open_home(aff.load_settings().home)).ok)
        """)
    )
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
