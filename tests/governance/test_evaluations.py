"""Evaluations and explanations: regression, several classes, every label and frame type."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import shap
from fairlearn.metrics import MetricFrame, selection_rate
from sklearn import metrics as sk
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

import affidavit as aff
from affidavit.explain import FairnessResult
from affidavit.lineage import EVALUATION_FIELD

X_COLUMNS = ["income", "debt"]


@pytest.fixture
def data(loans):
    draws = np.random.default_rng(0)
    loans = pd.concat([loans] * 4, ignore_index=True)
    noisy = loans["granted"] ^ (draws.random(len(loans)) < 0.2)
    return loans.assign(granted=noisy.astype(int), race=draws.choice(["a", "b", "c"], len(loans)))


def evidence(reader, kind="evaluation") -> dict:
    predicate = reader.statement(reader.newest(kind)).predicate
    return predicate[EVALUATION_FIELD] if kind == "evaluation" else predicate


@pytest.mark.parametrize(
    ("labels", "positive"),
    [({0: "no", 1: "yes"}, "yes"), ({0: False, 1: True}, True), ({0: 0, 1: 1}, 1)],
)
def test_labels_of_every_type_give_the_same_fairness_as_fairlearn(
    home, reader, data, labels, positive
):
    y = data["granted"].map(labels)
    model = LogisticRegression().fit(data[X_COLUMNS], y)
    found = aff.evaluate("risk", model, data[X_COLUMNS], y, sensitive=data[["sex", "race"]])
    guess = model.predict(data[X_COLUMNS])
    frame = MetricFrame(
        metrics=selection_rate,
        y_true=y == positive,
        y_pred=guess == positive,
        sensitive_features=data[["sex"]],
    )
    rates = {
        item.group[0]: item.rates["selection_rate"].value
        for item in found.fairness.rates()
        if item.feature == ("sex",)
    }
    assert rates == pytest.approx(frame.by_group.to_dict())
    assert found.metrics["accuracy"] == pytest.approx(sk.accuracy_score(y, guess))
    recorded = evidence(reader)
    assert recorded["metrics"] == found.metrics
    assert FairnessResult.from_dict(recorded["fairness"]).counts == found.fairness.counts
    assert recorded["positive"] == str(positive)


def test_sensitive_features_come_as_names_frames_series_or_mappings(home, reader, data):
    X = data[[*X_COLUMNS, "sex"]]
    model = LogisticRegression().fit(X[X_COLUMNS], data["granted"])
    narrow = Narrow(model)
    forms = [
        ["sex"],
        "sex",
        data[["sex"]],
        pl.from_pandas(data[["sex"]]),
        pa.Table.from_pandas(data[["sex"]]),
        data["sex"],
        {"sex": data["sex"].tolist()},
    ]
    counts = {
        aff.evaluate("risk", narrow, X, data["granted"], sensitive=form).fairness.counts
        for form in forms
    }
    assert len(counts) == 1
    with pytest.raises(aff.AffidavitError, match="'age' is not in the data"):
        aff.evaluate("risk", narrow, X, data["granted"], sensitive=["age"])
    with pytest.raises(aff.AffidavitError, match="names, a frame or a named series"):
        aff.evaluate("risk", narrow, X, data["granted"], sensitive=data["sex"].rename(None))


def test_polars_frames_are_evaluated_and_explained_as_pandas_frames(home, reader, data):
    model = LogisticRegression().fit(data[X_COLUMNS], data["granted"])
    first = aff.evaluate("risk", model, data[X_COLUMNS], data["granted"], sensitive=data[["sex"]])
    polars = pl.from_pandas(data)
    again = aff.evaluate(
        "risk",
        model,
        polars.select(X_COLUMNS),
        polars["granted"],
        sensitive=polars.select("sex"),
    )
    assert first == again
    ours = aff.explain_model("risk", model, polars.select(X_COLUMNS)[:20])
    theirs = aff.explain_model("risk", model, data[X_COLUMNS][:20])
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-12)


def test_a_regression_has_its_own_metrics_and_refuses_fairness(home, reader, data):
    model = LinearRegression().fit(data[["income"]], data["debt"])
    found = aff.evaluate("risk", model, data[["income"]], data["debt"])
    guess = model.predict(data[["income"]])
    assert found.metrics == pytest.approx(
        {
            "r2": sk.r2_score(data["debt"], guess),
            "mean_absolute_error": sk.mean_absolute_error(data["debt"], guess),
            "root_mean_squared_error": sk.root_mean_squared_error(data["debt"], guess),
        }
    )
    with pytest.raises(aff.AffidavitError, match="binary classifiers"):
        aff.evaluate("risk", model, data[["income"]], data["debt"], sensitive=data[["sex"]])


def test_several_classes_are_measured_together_or_one_against_the_rest(home, reader, data):
    y = pd.cut(data["income"], 3, labels=["low", "middle", "high"]).astype(str)
    model = LogisticRegression(max_iter=500).fit(data[X_COLUMNS], y)
    found = aff.evaluate("risk", model, data[X_COLUMNS], y)
    guess = model.predict(data[X_COLUMNS])
    assert found.metrics["f1_macro"] == pytest.approx(sk.f1_score(y, guess, average="macro"))
    assert found.fairness is None
    with pytest.raises(aff.AffidavitError, match="positive"):
        aff.evaluate("risk", model, data[X_COLUMNS], y, sensitive=data[["sex"]])
    one = aff.evaluate("risk", model, data[X_COLUMNS], y, sensitive=data[["sex"]], positive="high")
    assert one.metrics["recall"] == pytest.approx(sk.recall_score(y == "high", guess == "high"))
    with pytest.raises(aff.AffidavitError, match="not among the model's classes"):
        aff.evaluate("risk", model, data[X_COLUMNS], y, positive="gigantic")


def test_a_classifier_that_lists_no_classes_is_measured_by_its_labels(home, reader, data):
    y = data["granted"].map({0: "no", 1: "yes"})
    found = aff.evaluate("risk", Words(), data[X_COLUMNS], y, positive="yes")
    assert found.metrics["accuracy"] == pytest.approx(sk.accuracy_score(y, Words().predict(data)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda y: y.astype(str), "among the model's classes"),
        (lambda y: y.where(y.index > 2).astype("float"), "labels are missing"),
        (lambda y: y[:-1], "shape"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_anything_is_signed(
    home, reader, data, labels, message
):
    model = LogisticRegression().fit(data[X_COLUMNS], data["granted"])
    with pytest.raises(aff.AffidavitError, match=message):
        aff.evaluate("risk", model, data[X_COLUMNS], labels(data["granted"]))
    assert reader.counts().get("evaluation", 0) == 0


def test_very_many_groups_stand_beside_the_entry_and_the_gate_still_reads_them(
    home, reader, data, risk
):
    draws = np.random.default_rng(1)
    groups = {name: draws.integers(0, 7, len(data)).astype(str) for name in ("a", "b", "c")}
    aff.evaluate("risk", risk, data[X_COLUMNS], data["granted"], sensitive=groups)
    recorded = evidence(reader)["fairness"]
    assert recorded["artifact"].startswith("sha256:")
    assert {tuple(item["feature"]) for item in recorded["counts"]} == {("a",), ("b",), ("c",)}
    documents = aff.collect_evidence(home, reader.model("risk").digest, reader.model("risk").entry)
    features = {tuple(item["features"]) for item in documents[0]["fairness"]}
    assert ("a", "b", "c") in features
    assert aff.verify_home(home).ok


def test_attributions_of_a_forest_equal_shaps_own(home, reader, data):
    model = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0)
    model.fit(data[X_COLUMNS], data["granted"])
    X, background = data[X_COLUMNS][:10], data[X_COLUMNS][50:90]
    ours = aff.explain_model("risk", model, X, background=background)
    explainer = shap.TreeExplainer(
        model, background, feature_perturbation="interventional", model_output="probability"
    )
    theirs = np.asarray(explainer.shap_values(X))[..., 1]
    if ours.method == "tree-path-dependent":
        theirs = np.asarray(shap.TreeExplainer(model).shap_values(X))[..., 1]
    np.testing.assert_allclose(ours.values, theirs, atol=1e-8)
    predicate = evidence(reader, "explanation")
    assert predicate["summary"]["residual_max"] <= predicate["summary"]["tolerance"]
    assert predicate["mean_absolute"] == pytest.approx(
        dict(zip(X_COLUMNS, np.abs(theirs).mean(axis=0), strict=True))
    )


def test_evidence_of_a_recorded_model_is_about_its_file(home, reader, data, risk):
    aff.evaluate("risk", risk, data[X_COLUMNS], data["granted"])
    digest = reader.model("risk").digest
    assert reader.evidence(digest, "evaluation") == [reader.newest("evaluation")]


def test_evidence_of_a_model_without_canonical_state_is_about_its_file_too(home, reader, data):
    @aff.train("own")
    def fit():
        return Own()

    with pytest.warns(UserWarning, match="Recorded in part"):
        model = fit()
    aff.evaluate("own", model, data[X_COLUMNS], data["granted"], positive=1)
    assert reader.evidence(reader.model("own").digest, "evaluation")


class Own:
    """A model of the user's own, known to no recipe."""

    def predict(self, frame):
        return np.ones(len(frame), int)


class Narrow:
    """A model that takes the wide frame, as a pipeline that drops columns does."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.classes_ = inner.classes_

    def predict(self, frame):
        return self.inner.predict(frame[X_COLUMNS])


class Words:
    """A classifier that does not say which classes it has."""

    def predict(self, frame):
        return np.where(frame["income"] > 50, "yes", "no")
