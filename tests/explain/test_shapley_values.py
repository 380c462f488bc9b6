"""Attributions against a brute-force enumeration of all coalitions, and against shap itself."""

# `values` is what an explanation calls its attributions

from __future__ import annotations

import numpy as np
import pytest
import shap
from coalitions import shapley
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from affidavit.explain import explain_model

rng = np.random.default_rng(20)
X = rng.normal(size=(240, 5))
BINARY = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
THREE = BINARY + (X[:, 3] > 0.4)
VALUE = 2 * X[:, 0] + X[:, 1] * X[:, 2]


def shapley_by_definition(score, row, background):
    """The interventional game, on purpose without our own enumeration."""

    def worth(known):
        rows = background.copy()
        rows[:, list(known)] = row[list(known)]
        return np.asarray(score(rows), dtype=float).mean(axis=0)

    return shapley(worth, len(row))


def _boosted(module, name, **options):
    return getattr(pytest.importorskip(module), name)(**options)


def _score(model, space):
    if space == "probability":
        return lambda r: (
            model.predict_proba(r)[:, 1] if len(model.classes_) == 2 else (model.predict_proba(r))
        )
    if space == "value":
        return model.predict
    if type(model).__name__.startswith("XGB"):
        return lambda r: model.predict(r, output_margin=True)
    if type(model).__name__.startswith("LGBM"):
        return lambda r: model.predict(r, raw_score=True)
    return model.decision_function


SMALL = {"n_estimators": 8, "random_state": 0}
TREES = [
    (lambda: DecisionTreeClassifier(max_depth=4, random_state=0), BINARY),
    (lambda: DecisionTreeRegressor(random_state=0), VALUE),
    (lambda: RandomForestClassifier(**SMALL), BINARY),
    (lambda: RandomForestClassifier(**SMALL), THREE),
    (lambda: RandomForestRegressor(**SMALL), VALUE),
    (lambda: ExtraTreesClassifier(**SMALL), BINARY),
    (lambda: GradientBoostingClassifier(**SMALL), BINARY),
    (lambda: GradientBoostingRegressor(**SMALL), VALUE),
    (lambda: HistGradientBoostingClassifier(max_iter=8), BINARY),
    (lambda: HistGradientBoostingClassifier(max_iter=4), THREE),
    (lambda: HistGradientBoostingRegressor(max_iter=8), VALUE),
    (lambda: _boosted("xgboost", "XGBClassifier", n_estimators=8, n_jobs=1), BINARY),
    (lambda: _boosted("xgboost", "XGBClassifier", n_estimators=4, n_jobs=1), THREE),
    (lambda: _boosted("xgboost", "XGBRegressor", n_estimators=8, n_jobs=1), VALUE),
    (lambda: _boosted("lightgbm", "LGBMClassifier", n_estimators=8, verbose=-1, n_jobs=1), BINARY),
    (lambda: _boosted("lightgbm", "LGBMRegressor", n_estimators=8, verbose=-1, n_jobs=1), VALUE),
]
LINEAR = [
    (LinearRegression, VALUE),
    (Ridge, VALUE),
    (LogisticRegression, BINARY),
    (LogisticRegression, THREE),
    (RidgeClassifier, BINARY),
    (LinearSVC, THREE),
]


@pytest.mark.parametrize(("make", "y"), TREES)
def test_interventional_tree_values_equal_the_enumeration_of_all_coalitions(make, y):
    model = make().fit(X, y)
    found = explain_model(model, X[:3], background=X[100:112])
    assert found.method == "tree-interventional"
    assert found.engine == "affidavit patterns-v1"
    assert found.shap_residual is not None
    assert found.n_background == 12
    assert found.notes == ()
    score = _score(model, found.output_space)
    for i in range(3):
        expected = shapley_by_definition(score, X[i], X[100:112])
        np.testing.assert_allclose(found.values[i], expected, atol=found.tolerance)
    assert found.spot_residual is not None
    assert found.spot_residual <= 4 * found.tolerance


@pytest.mark.parametrize(("make", "y"), TREES)
def test_path_dependent_tree_values_add_up_and_need_no_background(make, y):
    model = make().fit(X, y)
    found = explain_model(model, X[:40])
    assert found.method == "tree-path-dependent"
    assert found.n_background == 0
    assert found.residual_p99 <= found.residual_max <= found.tolerance
    own = np.asarray(_score(model, found.output_space)(X[:40]))
    np.testing.assert_allclose(found.outputs, own, atol=1e-12)
    total = found.values.sum(axis=1) + (
        found.base_values if found.values.ndim == 3 else found.base_values[0]
    )
    np.testing.assert_allclose(total, own, atol=found.tolerance)


@pytest.mark.parametrize(("make", "y"), TREES[:8])
def test_path_dependent_values_of_scikit_learn_trees_are_those_of_shap(make, y):
    model = make().fit(X, y)
    found = explain_model(model, X[:10])
    theirs = shap.TreeExplainer(model).shap_values(X[:10])
    if theirs.ndim == 3 and theirs.shape[2] == 2:
        theirs = theirs[..., 1]
    np.testing.assert_allclose(found.values, theirs, atol=1e-12)


@pytest.mark.parametrize(("make", "y"), LINEAR)
def test_linear_values_equal_the_enumeration_of_all_coalitions(make, y):
    model = make().fit(X, y)
    found = explain_model(model, X[:3], background=X[50:70])
    assert found.method == "linear-interventional"
    assert found.output_space == ("value" if y is VALUE else "margin")
    score = _score(model, found.output_space)
    for i in range(3):
        expected = shapley_by_definition(score, X[i], X[50:70])
        np.testing.assert_allclose(found.values[i], expected, atol=1e-10)


def test_linear_values_are_those_of_shap():
    model = LogisticRegression().fit(X, BINARY)
    found = explain_model(model, X[:20], background=X)
    masker = shap.maskers.Independent(X, max_samples=len(X))
    theirs = shap.LinearExplainer(model, masker).shap_values(X[:20])
    np.testing.assert_allclose(found.values, theirs, atol=1e-12)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    d=st.integers(2, 6),
    depth=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    coarse=st.booleans(),
)
def test_random_trees_are_explained_as_the_definition_says(d, depth, seed, coarse):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(60, d))
    if coarse:
        rows = np.round(rows)
    y = rows @ draw.normal(size=d) + rows[:, 0] * rows[:, -1]
    model = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(rows, y)
    found = explain_model(model, rows[:2], background=rows[10:18], seed=seed)
    for i in range(2):
        expected = shapley_by_definition(model.predict, rows[i], rows[10:18])
        np.testing.assert_allclose(found.values[i], expected, atol=found.tolerance)
    # Dummy: a column that no split asks for has no part in the output.
    unused = sorted(set(range(d)) - set(model.tree_.feature))
    np.testing.assert_allclose(found.values[:, unused], 0, atol=1e-12)


def test_symmetric_columns_of_a_linear_model_share_alike():
    rows = np.column_stack([X[:, 0], X[:, 0], X[:, 1]])
    model = Ridge().fit(rows, VALUE)
    found = explain_model(model, rows[:10])
    np.testing.assert_allclose(found.values[:, 0], found.values[:, 1], atol=1e-10)


def test_hist_gradient_boosting_is_right_where_shap_compares_in_32_bits():
    # Thresholds equal training values, so that a comparison in 32 bits sends rows astray.
    rows = np.random.default_rng(1).normal(size=(400, 4))
    y = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(rows, y)
    background = rows[:30]
    naive = shap.TreeExplainer(model, data=background).shap_values(rows[:6], check_additivity=False)
    found = explain_model(model, rows[:6], background=background)
    assert found.method == "tree-interventional"
    expected = np.array(
        [shapley_by_definition(model.decision_function, rows[i], background) for i in range(6)]
    )
    np.testing.assert_allclose(found.values, expected, atol=found.tolerance)
    assert found.residual_max <= found.tolerance
    assert np.abs(np.asarray(naive) - expected).max() > 100 * found.tolerance


def test_an_engine_that_differs_from_shap_is_redone_by_shap(monkeypatch):
    from affidavit.explain import _methods

    right = _methods.pattern_values
    monkeypatch.setattr(
        _methods, "pattern_values", lambda *given, **more: right(*given, **more)[:, ::-1]
    )
    model = RandomForestClassifier(**SMALL).fit(X, BINARY)
    found = explain_model(model, X[:3], background=X[100:112])
    assert found.engine == f"shap {shap.__version__}"
    assert "from shap's" in found.notes[0]
    expected = shapley_by_definition(_score(model, "probability"), X[0], X[100:112])
    np.testing.assert_allclose(found.values[0], expected, atol=found.tolerance)


def test_engines_that_are_wrong_only_on_masked_rows_are_found_and_redone(monkeypatch):
    # Sums hold for these values, and both engines agree, so that only the spot check can tell.
    from affidavit.explain import _methods, _trees

    ours, theirs = _methods.pattern_values, _trees.TreeEngine.values

    def swapped(model, matrix, background, **more):
        values = ours(model, matrix, background, **more)
        return values[:, ::-1] if background is not None else values

    def likewise(self, encoded, matrix, background):
        values = theirs(self, encoded, matrix, background)
        return values[:, ::-1] if background is not None else values

    monkeypatch.setattr(_methods, "pattern_values", swapped)
    monkeypatch.setattr(_trees.TreeEngine, "values", likewise)
    model = RandomForestClassifier(**SMALL).fit(X, BINARY)
    found = explain_model(model, X[:3], background=X[100:112])
    assert found.method == "permutation"
    assert all("spot-checked" in note for note in found.notes)
    expected = shapley_by_definition(_score(model, "probability"), X[0], X[100:112])
    np.testing.assert_allclose(found.values[0], expected, atol=1e-12)


def test_engines_whose_values_do_not_add_up_are_redone_and_named(monkeypatch):
    from affidavit.explain import _methods, _trees

    ours, theirs = _methods.pattern_values, _trees.TreeEngine.values
    monkeypatch.setattr(
        _methods, "pattern_values", lambda *given, **more: ours(*given, **more) + 0.01
    )
    monkeypatch.setattr(
        _trees.TreeEngine, "values", lambda self, *given: theirs(self, *given) + 0.01
    )
    model = RandomForestClassifier(**SMALL).fit(X, BINARY)
    found = explain_model(model, X[:3])
    assert found.method == "permutation"
    assert len(found.notes) == 2
    assert all("do not add up" in note for note in found.notes)
    assert found.residual_max <= found.tolerance


def test_trees_with_missing_values_are_explained_or_redone_but_never_wrong():
    holes = X.copy()
    holes[::3, 0] = np.nan
    for model in (
        HistGradientBoostingClassifier(max_iter=10),
        RandomForestClassifier(**SMALL),
        _boosted("xgboost", "XGBClassifier", n_estimators=8, n_jobs=1),
        _boosted("lightgbm", "LGBMClassifier", n_estimators=8, verbose=-1, n_jobs=1),
    ):
        model.fit(holes, BINARY)
        found = explain_model(model, holes[:3], background=holes[100:112])
        score = _score(model, found.output_space)
        for i in range(3):
            expected = shapley_by_definition(score, holes[i], holes[100:112])
            np.testing.assert_allclose(found.values[i], expected, atol=found.tolerance)
