"""UCI Adult through a script of forty lines, held against Fairlearn, scikit-learn and shap."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import shap
from fairlearn.metrics import (
    MetricFrame,
    count,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from real import ROOT
from sklearn import metrics as sk

import affidavit as aff
from affidavit.explain import FairnessResult
from affidavit.lineage import EVALUATION_FIELD

SCRIPT = ROOT / "tests" / "examples" / "adult.py"
NUMBERS = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
WORDS = ["workclass", "education", "occupation"]
NAMES = """age workclass fnlwgt education education-num marital-status occupation relationship race
sex capital-gain capital-loss hours-per-week native-country income""".split()  # noqa: SIM905  # as the script has it


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The script's home and what it printed."""
    folder = os.environ.get("AFFIDAVIT_DATA", "")
    home = tmp_path_factory.mktemp("adult") / "home"
    aff.create_home(home, actor="analyst")
    environment = {
        **os.environ,
        "AFFIDAVIT_HOME": str(home),
        "AFFIDAVIT_ACTOR": "analyst",
        "AFFIDAVIT_ROLES": "auditor,engineer",
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, folder],
        env=environment,
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return home, done


@pytest.fixture
def home(adult, ran, monkeypatch):
    folder, done = ran
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("AFFIDAVIT_HOME", str(folder))
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor,engineer")
    return aff.open_home(folder)


@pytest.fixture
def test_set(adult):
    frame = pd.read_csv(adult / "adult-test.csv", names=NAMES, skipinitialspace=True, na_values="?")
    return frame.assign(income=frame["income"].str.rstrip("."))


def test_the_script_has_at_most_forty_lines():
    assert len(SCRIPT.read_text().splitlines()) <= 40


def test_rates_and_disparities_equal_fairlearns(home, test_set):
    reader = aff.Reader(home)
    ours = reader.statement(reader.newest("evaluation")).predicate[EVALUATION_FIELD]
    result = FairnessResult.from_dict(ours["fairness"])
    model = aff.load("income")
    truth = (test_set["income"] == ">50K").astype(int)
    guess = (model.predict(test_set[NUMBERS + WORDS]) == ">50K").astype(int)
    measured = {
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
        "accuracy": sk.accuracy_score,
    }
    assert set(result.features) == {("sex",), ("race",), ("sex", "race")}
    for feature in result.features:
        frame = MetricFrame(
            metrics={**measured, "count": count},
            y_true=truth,
            y_pred=guess,
            sensitive_features=test_set[list(feature)],
        )
        rates = {r.group: r for r in result.rates() if r.feature == feature}
        assert len(rates) == frame.by_group["count"].notna().sum()
        for group, row in frame.by_group.dropna(subset=["count"]).iterrows():
            found = rates[group if isinstance(group, tuple) else (group,)]
            assert found.n == row["count"]
            for name in measured:
                assert found.rates[name].value == pytest.approx(row[name], abs=1e-12)
        disparities = result.disparities()[feature]
        columns = test_set[list(feature)]
        assert disparities["demographic_parity_difference"].value == pytest.approx(
            demographic_parity_difference(truth, guess, sensitive_features=columns), abs=1e-12
        )
        assert disparities["equalized_odds_difference"].value == pytest.approx(
            equalized_odds_difference(truth, guess, sensitive_features=columns), abs=1e-12
        )


def test_metrics_equal_scikit_learns(home, test_set):
    reader = aff.Reader(home)
    found = reader.statement(reader.newest("evaluation")).predicate[EVALUATION_FIELD]["metrics"]
    model = aff.load("income")
    X, truth = test_set[NUMBERS + WORDS], test_set["income"]
    guess, score = model.predict(X), model.predict_proba(X)[:, 1]
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, guess), abs=1e-12)
    assert found["f1"] == pytest.approx(sk.f1_score(truth, guess, pos_label=">50K"), abs=1e-12)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(truth == ">50K", score), abs=1e-12)


def test_attributions_equal_shaps_own_summed_over_encoded_columns(home, test_set):
    reader = aff.Reader(home)
    statement = reader.statement(reader.newest("explanation"))
    model = aff.load("income")
    X = test_set[NUMBERS + WORDS]
    encode, linear = model[0], model[-1]

    def dense(rows):
        found = encode.transform(rows)
        return found.toarray() if hasattr(found, "toarray") else found

    masker = shap.maskers.Independent(dense(X[200:700]), max_samples=500)
    theirs = shap.LinearExplainer(linear, masker).shap_values(dense(X[:200]))
    names = encode.get_feature_names_out()
    owner = [name.split("__")[1] for name in names]
    owner = [next(w for w in NUMBERS + WORDS if o == w or o.startswith(f"{w}_")) for o in owner]
    import io

    import pyarrow.parquet as pq

    (values,) = statement.predicate["outputs"]
    content = home.artifacts.get(values["digest"]["sha256"])
    ours = pq.read_table(io.BytesIO(content)).to_pandas()
    if statement.predicate["summary"]["output_space"] != "margin":
        pytest.fail("a logistic model is explained in its margin")
    for column in NUMBERS + WORDS:
        summed = theirs[:, [o == column for o in owner]].sum(axis=1)
        np.testing.assert_allclose(ours[column], summed, atol=1e-8)


def test_the_served_decision_is_explained_and_the_log_verifies(home, ran):
    assert "contribution" in ran[1].stdout
    reader = aff.Reader(home)
    (row,) = reader.predictions(model="income")
    found = aff.explain_decision(row["id"])
    assert found.decision.output in {"<=50K", ">50K"}
    assert (found.output > 0) == (found.decision.output == ">50K")
    assert aff.verify_home(home).ok


def test_training_and_test_data_are_governed_reads_that_join_up(home):
    reader = aff.Reader(home)
    assert reader.counts()["dataset"] == 2
    run = reader.statement(reader.newest("run")).predicate
    (source,) = run["buildDefinition"]["resolvedDependencies"]
    assert source["name"] == "adult"
    outcomes = run["urn:affidavit:run:v1"]["obligations"]
    assert {item["column"]: item["outcome"] for item in outcomes} == {
        "race": "honoured",
        "sex": "honoured",
    }
