"""What an explanation says of itself, and what it refuses."""

# ruff: noqa: PD011  # `values` is what an explanation calls its attributions

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.tree import DecisionTreeClassifier

from affidavit.errors import ExplanationError
from affidavit.explain import Explanation, Reason, explain_model

rng = np.random.default_rng(4)
X = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "c"])
y = (X["a"] + 0.2 * X["b"] > 0).astype(int)
THREE = y + (X["c"] > 0.5)


def test_reasons_are_sorted_by_size_and_carry_the_rows_own_values():
    found = explain_model(LogisticRegression().fit(X, y), X)
    reasons = found.row(7)
    assert [r.feature for r in reasons] == [
        found.feature_names[j] for j in np.argsort(-np.abs(found.values[7]))
    ]
    assert {r.feature: r.value for r in reasons} == X.iloc[7].to_dict()
    assert sum(r.contribution for r in reasons) + found.base_values[0] == pytest.approx(
        found.outputs[7]
    )
    assert found.row(7, top=2) == reasons[:2]
    assert isinstance(reasons[0], Reason)


def test_reasons_of_several_outputs_are_those_of_the_largest_unless_one_is_named():
    found = explain_model(RandomForestClassifier(10, random_state=0).fit(X, THREE), X[:5])
    largest = int(found.outputs[2].argmax())
    assert found.row(2) == found.row(2, output=largest)
    assert found.row(2, output=0) != found.row(2, output=2)
    assert found.classes == (0, 1, 2)
    with pytest.raises(ExplanationError, match="output from 0 to 2, found 3"):
        found.row(2, output=3)


def test_a_row_or_output_that_is_not_there_is_refused():
    found = explain_model(LogisticRegression().fit(X, y), X[:5])
    with pytest.raises(ExplanationError, match="row from 0 to 4, found 5"):
        found.row(5)
    with pytest.raises(ExplanationError, match="row from 0 to 4, found -1"):
        found.row(-1)
    with pytest.raises(ExplanationError, match="one output, numbered 0; found 1"):
        found.row(0, output=1)


def test_mean_absolute_is_sorted_and_complete():
    found = explain_model(LogisticRegression().fit(X, y), X)
    means = found.mean_absolute()
    assert list(means.values()) == sorted(means.values(), reverse=True)
    assert means == pytest.approx(dict(zip(X.columns, np.abs(found.values).mean(0), strict=True)))


@pytest.mark.parametrize("label", [y, THREE], ids=["one output", "several outputs"])
def test_values_survive_parquet_and_the_summary_survives_json(label):
    found = explain_model(RandomForestClassifier(5, random_state=0).fit(X, label), X[:6])
    sink = io.BytesIO()
    pq.write_table(found.to_arrow(), sink)
    back = pq.read_table(sink)
    assert back.column_names == list(X.columns)
    stacked = np.stack([np.array(back[c].to_pylist()) for c in X.columns], axis=1)
    np.testing.assert_array_equal(stacked, found.values)
    note = json.loads(back.schema.metadata[b"affidavit.explanation"])
    assert note == json.loads(json.dumps(found.summary(), allow_nan=False))
    assert note["method"] == "tree-path-dependent"
    assert note["n_samples"] == 6
    assert note["residual_max"] <= note["tolerance"]


def test_missing_values_read_as_null_in_reasons_and_never_as_nan():
    holes = X.assign(a=X["a"].where(X.index % 2 == 0), d=[None, "x"] * 40)

    class Counts:
        feature_names_in_ = np.array(["a", "b", "c", "d"])

        def fit(self):
            return self

        def predict(self, frame):
            return frame["a"].isna() * 1.0 + frame["d"].isna() * 2.0 + frame["b"]

    found = explain_model(Counts(), holes[:4])
    json.dumps([dataclasses.asdict(r) for i in range(4) for r in found.row(i)], allow_nan=False)
    assert {r.value for r in found.row(1) if r.feature == "a"} == {None}


def test_results_cannot_be_changed_afterwards():
    found = explain_model(LinearRegression().fit(X, y), X)
    assert isinstance(found, Explanation)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.method = "permutation"
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 1.0


def test_one_row_is_explained_as_it_is_among_many():
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(X, y)
    many = explain_model(model, X, background=X[:20])
    alone = explain_model(model, X[33:34], background=X[:20])
    np.testing.assert_allclose(alone.values[0], many.values[33], atol=1e-12)
    assert alone.values.shape == (1, 3)


def test_a_background_is_sampled_down_by_seed():
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(X, y)
    one = explain_model(model, X[:3], background=X, max_background=15, seed=1)
    two = explain_model(model, X[:3], background=X, max_background=15, seed=1)
    other = explain_model(model, X[:3], background=X, max_background=15, seed=2)
    assert one.n_background == 15
    assert one.values.tobytes() == two.values.tobytes()
    assert one.values.tobytes() != other.values.tobytes()


def test_the_output_space_can_be_chosen_and_is_stated():
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(X, y)
    margin = explain_model(model, X[:3], background=X[:20])
    probability = explain_model(model, X[:3], background=X[:20], output="probability")
    assert (margin.output_space, margin.method) == ("margin", "tree-interventional")
    assert (probability.output_space, probability.method) == ("probability", "permutation")
    np.testing.assert_allclose(probability.outputs, model.predict_proba(X[:3])[:, 1], atol=1e-12)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin.outputs)), probability.outputs, atol=1e-9)


class _Nameless:
    """A model that gives what it is told."""

    def __init__(self, answer):
        self.answer = answer

    def fit(self):
        return self

    def predict(self, rows):
        return self.answer(rows)


@pytest.mark.parametrize(
    ("model", "rows", "options", "message"),
    [
        (object(), X, {}, "a model with a predict method, found object"),
        (LogisticRegression(), X, {}, "found an unfitted LogisticRegression"),
        (LogisticRegression().fit(X, y), X[:0], {}, r"at least one row .* shape \(0, 3\)"),
        (LogisticRegression().fit(X, y), X[["a", "b"]], {}, r"that X lacks: \['c'\]"),
        (LogisticRegression().fit(X, y), X[:1], {}, "needs a background"),
        (LogisticRegression().fit(X, y), [[1, 2, 3]], {}, "found list"),
        (LogisticRegression().fit(X, y), X.to_numpy()[0], {}, r"found shape \(3,\)"),
        (LogisticRegression().fit(X, y), X.to_numpy(), {"columns": ["a"]}, "3 column names"),
        (LogisticRegression().fit(X, y), X, {"output": "value"}, "found 'value'"),
        (LinearRegression().fit(X, y), X, {"output": "margin"}, "found 'margin'"),
        (LogisticRegression().fit(X, y), X, {"max_background": 0}, "max_background"),
        (LogisticRegression().fit(X, y), X, {"background": X[["a"]]}, "the background lacks"),
        (LogisticRegression().fit(X.to_numpy(), y), X[["a"]], {}, "on 3 columns, found 1"),
        (_Nameless(lambda r: np.full(len(r), np.nan)), X, {}, "finite outputs .* row 0 and 80"),
        (_Nameless(lambda r: np.array(["x"] * len(r))), X, {}, "numbers from the model"),
        (_Nameless(lambda r: 1 / 0), X, {}, "failed while predicting the rows: ZeroDivisionError"),
        (_Nameless(lambda r: np.zeros(3)), X, {}, "80 outputs, found 3"),
        (DecisionTreeClassifier().fit(X, y * 0), X, {}, "at least two classes"),
        (DecisionTreeClassifier().fit(X, np.c_[y, y]), X, {}, "several labels per row"),
    ],
)
def test_unusable_input_is_refused_with_what_was_found(model, rows, options, message):
    with pytest.raises(ExplanationError, match=message):
        explain_model(model, rows, **options)


def test_repeated_columns_are_refused():
    twice = pd.DataFrame(X.to_numpy(), columns=["a", "a", "c"])
    with pytest.raises(ExplanationError, match=r"found repeated: \['a'\]"):
        explain_model(LogisticRegression().fit(X.to_numpy(), y), twice)


def test_a_classifier_without_probabilities_is_explained_by_its_margin():
    found = explain_model(Perceptron().fit(X, y), X)
    assert (found.output_space, found.method) == ("margin", "linear-interventional")
