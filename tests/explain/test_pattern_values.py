"""Values of trees by patterns: exact by definition, and the same bits however the work is cut."""

# `values` is what an explanation calls its attributions

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import shap
from coalitions import by_training_rows, shapley
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor

from affidavit.errors import ExplanationError
from affidavit.explain import _pattern_kernels, _pattern_tables, explain_model
from affidavit.explain._pattern_tables import pattern_values
from affidavit.explain._target import resolve
from affidavit.explain._trees import parse_trees

rng = np.random.default_rng(31)
X = rng.normal(size=(3000, 12)).astype(np.float32).astype(float)
Y = X[:, 0] * X[:, 1] + np.abs(X[:, 2]) + X[:, 3] + rng.normal(size=len(X)) / 4


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    depth=st.integers(1, 7),
    trees=st.integers(1, 4),
    player=st.lists(st.integers(0, 4), min_size=6, max_size=6),
)
def test_both_games_are_the_definition_for_any_forest_and_any_players(seed, depth, trees, player):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(60, 6)).astype(np.float32).astype(float)
    target = rows[:, 0] * rows[:, 1] + (rows[:, 2] > 0) + rows[:, 3]
    model = RandomForestRegressor(trees, max_depth=depth, random_state=seed).fit(rows, target)
    arrays = parse_trees(resolve(model, None))
    background = rows[20:27]
    row, d = rows[:1], 5
    found = pattern_values(arrays, row, None, players=player, n_players=d)[0, :, 0]
    worth = by_training_rows(
        [t.tree_ for t in model.estimators_], row[0], player, lambda t, node: t.value[node, 0, 0]
    )
    np.testing.assert_allclose(found, shapley(worth, d), atol=1e-9)
    assert arrays.path_dependent_base()[0] == pytest.approx(worth(set()), abs=1e-9)

    def mixed(known):
        hybrids = background.copy()
        columns = [j for j in range(6) if player[j] in known]
        hybrids[:, columns] = row[0, columns]
        return model.predict(hybrids).mean()

    found = pattern_values(arrays, row, background, players=player, n_players=d)[0, :, 0]
    np.testing.assert_allclose(found, shapley(mixed, d), atol=1e-9)


@pytest.fixture(scope="module")
def deep():
    return RandomForestRegressor(10, random_state=0).fit(X, Y)


def test_trees_of_any_depth_have_the_values_of_shap(deep):
    trees = parse_trees(resolve(deep, None))
    assert trees.levels > 15
    theirs = shap.TreeExplainer(deep).shap_values(X[:40])
    np.testing.assert_allclose(pattern_values(trees, X[:40], None)[:, :, 0], theirs, atol=1e-10)


@pytest.mark.parametrize("with_background", [False, True])
def test_a_rows_values_are_the_same_bits_alone_together_in_any_order_and_on_any_threads(
    deep, monkeypatch, with_background
):
    trees = parse_trees(resolve(deep, None))
    background = X[:20] if with_background else None
    together = pattern_values(trees, X[:2500], background)
    for i in (0, 1023, 1024, 2499):
        np.testing.assert_array_equal(
            pattern_values(trees, X[i : i + 1], background)[0], together[i]
        )
    backwards = pattern_values(trees, X[:2500][::-1].copy(), background)
    np.testing.assert_array_equal(backwards[::-1], together)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
    np.testing.assert_array_equal(pattern_values(trees, X[:2500], background), together)
    monkeypatch.setattr(_pattern_tables, "_CHUNK", 97)
    np.testing.assert_array_equal(pattern_values(trees, X[:2500], background), together)


def test_several_callers_and_a_forked_child_get_the_same_values(deep):
    trees = parse_trees(resolve(deep, None))
    expected = pattern_values(trees, X[:1500], X[:5])
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(pattern_values(trees, X[:1500], X[:5])))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for values in found:
        np.testing.assert_array_equal(values, expected)
    child = os.fork()
    if child == 0:
        same = np.array_equal(pattern_values(trees, X[:1500], X[:5]), expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_classes_are_explained_each_and_add_up_to_nothing():
    label = np.digitize(Y, [0, 1.5])
    model = RandomForestClassifier(6, max_depth=9, random_state=0).fit(X, label)
    found = explain_model(model, X[:50], background=X[:30])
    assert found.values.shape == (50, 12, 3)
    np.testing.assert_allclose(found.values.sum(axis=2), 0, atol=1e-12)
    assert found.engine == _pattern_tables.ENGINE
    assert found.notes == ()


def test_the_model_that_shap_routes_wrongly_is_explained_exactly_on_every_row():
    # shap 0.51 casts to 32 bits; HistGradientBoosting's thresholds equal training values.
    rows = rng.normal(size=(400, 6))
    value = rows[:, 0] + rows[:, 1] * rows[:, 2]
    model = HistGradientBoostingRegressor(max_iter=20).fit(rows, value)
    naive = shap.TreeExplainer(model, rows[:50]).shap_values(rows, check_additivity=False)
    found = explain_model(model, rows, background=rows[:50])
    assert found.residual_max < 1e-9
    assert np.abs(naive - found.values).max() > 0.01
    assert found.shap_residual is not None
    assert found.shap_residual < 1e-5


def test_no_background_rows_are_not_taken_for_no_background(deep):
    with pytest.raises(ExplanationError, match="found none"):
        pattern_values(parse_trees(resolve(deep, None)), X[:2], X[:0])


def test_a_tree_that_asks_nothing_gives_nothing():
    model = DecisionTreeRegressor().fit(X, np.ones(len(X)))
    found = explain_model(model, X[:3], background=X[:3])
    assert not found.values.any()
    assert found.base_values == pytest.approx(1.0)
    stump = GradientBoostingRegressor(n_estimators=3, max_depth=1).fit(X, Y)
    assert explain_model(stump, X[:3]).engine == _pattern_tables.ENGINE


def test_paths_too_long_for_a_word_are_left_to_another_method(deep, monkeypatch):
    monkeypatch.setattr(_pattern_kernels, "MOST_PLAYERS", 3)
    with pytest.raises(ExplanationError, match="at most 3"):
        pattern_values(parse_trees(resolve(deep, None)), X[:1], None)
    found = explain_model(deep, X[:2])
    assert found.engine == f"shap {shap.__version__}"
    assert "at most 3" in found.notes[0]


def test_a_symmetric_pair_shares_alike_and_a_column_that_is_never_asked_has_nothing():
    rows = rng.integers(0, 2, size=(400, 3)).astype(float)
    model = DecisionTreeRegressor().fit(rows, rows[:, 0] * rows[:, 1])
    found = explain_model(model, np.array([[1.0, 1.0, 0.0]]), background=rows)
    both = rows[:, 0].mean(), rows[:, 1].mean()
    product = (rows[:, 0] * rows[:, 1]).mean()
    # The game of x0 x1, solved by hand.
    first = ((both[1] - product) + (1 - both[0])) / 2
    second = ((both[0] - product) + (1 - both[1])) / 2
    np.testing.assert_allclose(found.values[0], [first, second, 0.0], atol=1e-12)
