"""Digests of fitted estimators: stable where the model is the same, other where it is not."""

from __future__ import annotations

import collections
import copy
import functools
import io
import pickle
import subprocess
import sys
import textwrap
import threading

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from affidavit.errors import FingerprintError
from affidavit.lineage import _estimators
from affidavit.lineage._estimators import estimator_fingerprint

X, Y = load_iris(return_X_y=True)
MODELS = {
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "columns": make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), [3]),
            (FunctionTransformer(np.log1p), [1]),
            remainder="passthrough",
        ),
        Ridge(),
    ),
    "forest": RandomForestClassifier(10, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "isolation": IsolationForest(n_estimators=5, random_state=0),
    "network": MLPClassifier(hidden_layer_sizes=(4,), max_iter=5, random_state=0),
    "kernel": SVC(random_state=0),
    "neighbours": KNeighborsClassifier(algorithm="kd_tree"),
    "search": GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=2),
    "gradient descent": SGDClassifier(random_state=0),
    "xgboost": xgboost.XGBClassifier(n_estimators=5),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def digest(model):
    return estimator_fingerprint(model).digest


def fitted(name):
    return clone(MODELS[name]).fit(X, Y)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_fit_has_the_same_digest_and_another_fit_has_another(name):
    model = fitted(name)
    expected = digest(model)
    assert digest(fitted(name)) == expected
    assert digest(clone(model).fit(X, Y)) == expected
    assert digest(pickle.loads(pickle.dumps(model))) == expected
    assert digest(copy.deepcopy(model)) == expected
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    assert digest(joblib.load(file)) == expected
    model.predict(X)
    assert digest(model) == expected
    assert digest(clone(model)) != expected
    assert digest(clone(model).fit(X[7:], Y[7:])) != expected


def test_lightgbm_models_have_stable_digests():
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y)
    assert digest(clone(model).fit(X, Y)) == digest(model)
    assert digest(pickle.loads(pickle.dumps(model))) == digest(model)
    assert digest(clone(model).fit(X[7:], Y[7:])) != digest(model)


def test_another_process_finds_the_same_digests():
    names = ["pipeline", "forest", "histogram boosting", "search", "xgboost"]
    script = f"""
        import sys
        sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
        sys.path.insert(0, {str(__file__.rpartition("/")[0])!r} + "/../support")
        from test_estimators import digest, fitted
        for name in {names!r}:
            print(digest(fitted(name)).value)
    """
    outputs = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == [digest(fitted(name)).value for name in names]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), st.integers(0, 3), st.integers(0, 63))
def test_one_flipped_bit_of_a_coefficient_changes_the_digest(row, column, bit):
    model = fitted("pipeline")
    before = digest(model)
    model[-1].coef_.view("<u8")[row, column] ^= np.uint64(1 << bit)
    assert digest(model) != before


@pytest.mark.parametrize(
    "change", [{"C": 2.0}, {"tol": 1e-5}, {"max_iter": 101}, {"fit_intercept": False}]
)
def test_a_changed_hyperparameter_changes_the_digest_without_a_refit(change):
    model = fitted("pipeline")
    before = digest(model)
    model[-1].set_params(**change)
    assert digest(model) != before


def test_a_changed_threshold_in_a_tree_changes_the_digest():
    model = fitted("forest")
    before = digest(model)
    model.estimators_[3].tree_.threshold[0] += 1e-9
    assert digest(model) != before


def test_how_fast_and_how_loud_an_estimator_works_does_not_count():
    model = RandomForestClassifier(5, random_state=0).fit(X, Y)
    assert digest(
        RandomForestClassifier(5, random_state=0, n_jobs=2, verbose=0).fit(X, Y)
    ) == digest(model)
    pipeline = make_pipeline(StandardScaler(), Ridge())
    assert digest(make_pipeline(StandardScaler(), Ridge(), verbose=True)) == digest(pipeline)


def test_the_memory_layout_of_learned_arrays_does_not_count():
    model = fitted("pipeline")
    before = digest(model)
    model[-1].coef_ = np.asfortranarray(model[-1].coef_)
    assert digest(model) == before


def test_the_order_of_attributes_and_of_a_vocabulary_does_not_count():
    model = CountVectorizer().fit(["a bb ccc", "bb dd"])
    before = digest(model)
    model.vocabulary_ = dict(reversed(model.vocabulary_.items()))
    model.__dict__ = dict(reversed(model.__dict__.items()))
    assert digest(model) == before
    model.vocabulary_["bb"] += 1
    assert digest(model) != before


class Holder(BaseEstimator):
    def __init__(self, value=None):
        self.value = value


def test_sharing_does_not_alter_the_digest():
    shared = [1, 2]
    assert digest(Holder([shared, shared])) == digest(Holder([[1, 2], [1, 2]]))


def test_cycles_are_walked_and_told_apart():
    def ring(*items):
        values = list(items)
        values.append(values)
        return values

    assert digest(Holder(ring(1))) == digest(Holder(ring(1)))
    assert digest(Holder(ring(1))) != digest(Holder(ring(2)))
    inner = [1]
    outer = [inner]
    inner.append(outer)
    assert digest(Holder(outer)) != digest(Holder(ring(1)))
    model = Holder()
    model.value = {"owner": model}
    assert digest(model) == digest(pickle.loads(pickle.dumps(model)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("a", b"a"),
        ([1], (1,)),
        ([[1], 2], [1, [2]]),
        ({1}, [1]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({1: "a"}, {"1": "a"}),
        (0.0, -0.0),
        (None, "None"),
        (np.float64(1), np.float32(1)),
        (np.arange(3), np.arange(3.0)),
        (np.array(["a", 1], dtype=object), np.array(["a", 2], dtype=object)),
        (np.random.RandomState(1), np.random.RandomState(2)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
        (functools.partial(np.clip, a_min=0), functools.partial(np.clip, a_min=1)),
        (np.log, np.exp),
        (len, sum),
        (str.upper, str.lower),
        ([1].append, [2].append),
        (int, float),
        (np.dtype("f4"), np.dtype("f8")),
        (np.ma.masked_array([1, 2], [0, 1]), np.ma.masked_array([1, 2], [1, 0])),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})),
        (lambda x: x + 1, lambda x: x + 2),
    ],
)
def test_values_that_differ_have_digests_that_differ(one, other):
    assert digest(Holder(one)) != digest(Holder(other))
    assert digest(Holder(one)) == digest(Holder(copy.deepcopy(one)))


def test_sets_are_equal_in_any_order():
    assert digest(Holder({"a", "b", "c"})) == digest(Holder({"c", "b", "a"}))
    assert digest(Holder({"x": 1, "y": 2})) == digest(Holder({"y": 2, "x": 1}))


def test_what_lies_under_a_mask_does_not_count():
    one = np.ma.masked_array([1, 2], [0, 1])
    assert digest(Holder(one)) == digest(Holder(np.ma.masked_array([1, 9], [0, 1])))


def make_scaler(factor, bias=0):
    def scale(x, *, offset=bias):
        return x * factor + offset

    return scale


def test_what_a_function_closes_over_and_its_defaults_count():
    assert digest(Holder(make_scaler(2))) == digest(Holder(make_scaler(2)))
    assert digest(Holder(make_scaler(2))) != digest(Holder(make_scaler(3)))
    assert digest(Holder(make_scaler(2))) != digest(Holder(make_scaler(2, bias=1)))
    assert digest(Holder(Holder(1).get_params)) != digest(Holder(Holder(2).get_params))


def test_functions_without_source_differ_by_their_code():
    one, same, other = (eval(f"lambda x: x + {n}") for n in (1, 1, 2))
    assert digest(Holder(one)) == digest(Holder(same))
    assert digest(Holder(one)) != digest(Holder(other))


@pytest.mark.parametrize("value", [threading.Lock(), (i for i in "ab"), sys.stdout.buffer])
def test_what_cannot_be_taken_apart_is_refused_with_its_path(value):
    model = make_pipeline(StandardScaler(), Holder({"deep": [1, value]}))
    with pytest.raises(FingerprintError, match=r"model\.steps\[1\]\[1\]\.value\['deep'\]\[1\]"):
        digest(model)


def test_a_model_nested_too_deeply_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(FingerprintError, match="nested too deeply"):
        digest(Holder(deep))


def test_a_fingerprint_tells_class_version_and_recipe(monkeypatch):
    print_ = estimator_fingerprint(fitted("forest"))
    assert (print_.kind, print_.digest.recipe) == ("estimator", "estimator-state-v1")
    assert print_.detail["class"] == "sklearn.ensemble._forest.RandomForestClassifier"
    assert print_.detail["version"].count(".") == 2
    monkeypatch.setattr(_estimators, "_version", lambda _: "another")
    assert digest(fitted("forest")) != print_.digest
