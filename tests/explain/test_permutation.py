"""The estimate from coalitions: exact where they fit, repeatable, and honest about its error."""

# ruff: noqa: PD011  # `values` is what an explanation calls its attributions

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC

from affidavit.errors import ExplanationError
from affidavit.explain import explain_model
from affidavit.explain._permutation import (
    Game,
    all_coalitions,
    least_budget,
    permutation_values,
    shapley_from_coalitions,
)

rng = np.random.default_rng(3)
X = rng.normal(size=(150, 5))
y = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 0.8)


def test_models_without_structure_are_explained_exactly_where_all_coalitions_fit():
    model = KNeighborsClassifier().fit(X, y)
    found = explain_model(model, X[:4], background=X[:20])
    assert (found.method, found.output_space) == ("permutation", "probability")
    assert found.values.shape == (4, 5, 3)
    assert (found.budget, found.standard_error) == (32, 0.0)
    explainer = shap.explainers.Exact(model.predict_proba, shap.maskers.Independent(X[:20]))
    np.testing.assert_allclose(found.values, explainer(X[:4]).values, atol=1e-12)


def test_sampled_values_approach_the_exact_ones_within_their_standard_error():
    wide = rng.normal(size=(120, 9))
    model = KNeighborsRegressor().fit(wide, wide[:, 0] * wide[:, 1] + wide[:, 2])
    exact = explain_model(model, wide[:3], background=wide[:10], budget=512)
    sampled = explain_model(model, wide[:3], background=wide[:10], budget=400)
    assert exact.standard_error == 0.0
    assert 0 < sampled.standard_error < 0.2
    gap = np.abs(exact.values - sampled.values).max()
    assert 0 < gap < 4 * sampled.standard_error
    assert sampled.budget <= 400


def test_the_same_seed_gives_the_same_values_and_another_seed_others():
    wide = rng.normal(size=(60, 9))
    model = KNeighborsRegressor().fit(wide, wide[:, 0] * wide[:, 1])
    one = explain_model(model, wide[:3], seed=5)
    np.random.default_rng(0)
    two = explain_model(model, wide[:3], seed=5)
    other = explain_model(model, wide[:3], seed=6)
    assert one.values.tobytes() == two.values.tobytes()
    assert not np.array_equal(one.values, other.values)


def test_a_row_has_the_same_values_alone_as_among_others():
    wide = rng.normal(size=(60, 9))
    model = KNeighborsRegressor().fit(wide, wide[:, 0] * wide[:, 1])
    many = explain_model(model, wide[:5], background=wide, seed=1)
    alone = explain_model(model, wide[3:4], background=wide, seed=1)
    np.testing.assert_array_equal(many.values[3], alone.values[0])


def test_the_global_random_state_is_neither_read_nor_moved():
    model = SVC().fit(X, y > 0)
    np.random.seed(1)  # noqa: NPY002  # the global state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global state is what is tested
    explain_model(model, X[:2], background=X[:10])
    after = np.random.get_state()[1]  # noqa: NPY002  # the global state is what is tested
    np.testing.assert_array_equal(before, after)


def test_text_and_categories_reach_the_model_as_they_were():
    frame = pd.DataFrame(
        {
            "job": pd.Categorical(["a", "b", "c", "a"] * 10),
            "city": ["x", "y"] * 20,
            "age": np.arange(40),
        }
    )

    class Rule:
        classes_ = np.array(["no", "yes"])

        def fit(self):
            return self

        def predict(self, frame):
            return self.predict_proba(frame)[:, 1] > 0.5

        def predict_proba(self, frame):
            assert isinstance(frame["job"].dtype, pd.CategoricalDtype)
            p = 0.2 * (frame["job"] == "a") + 0.3 * (frame["city"] == "x") + frame["age"] / 100
            return np.column_stack([1 - p, p])

        feature_names_in_ = np.array(["job", "city", "age"])

    found = explain_model(Rule(), frame[:4])
    a, x = frame["job"][:4] == "a", frame["city"][:4] == "x"
    np.testing.assert_allclose(found.values[:, 0], 0.2 * (a - a.mean()), atol=1e-12)
    np.testing.assert_allclose(found.values[:, 1], 0.3 * (x - x.mean()), atol=1e-12)
    assert found.row(0)[0].feature in {"job", "city"}


def test_a_budget_below_one_pair_of_orderings_is_refused():
    model = SVC().fit(X, y > 0)
    with pytest.raises(ExplanationError, match="at least 10 coalitions for 5 columns, found 9"):
        explain_model(model, X[:2], budget=9)
    assert explain_model(model, X[:2], budget=10).standard_error is None


def test_a_model_that_answers_differently_each_time_is_refused():
    noise = np.random.default_rng(0)

    class Fickle:
        def fit(self):
            return self

        def predict(self, rows):
            return noise.normal(size=len(rows))

    with pytest.raises(ExplanationError, match=r"row \d+ is off by .* changes from call to call"):
        explain_model(Fickle(), X[:4])


@settings(max_examples=25, deadline=None)
@given(d=st.integers(1, 5), k=st.integers(1, 3), seed=st.integers(0, 1000))
def test_values_of_any_game_are_efficient_linear_and_symmetric(d, k, seed):
    draw = np.random.default_rng(seed)
    one, two = draw.normal(size=(2, 1, 2**d, k))
    values = shapley_from_coalitions(one)
    np.testing.assert_allclose(values.sum(axis=1), one[:, -1] - one[:, 0], atol=1e-12)
    np.testing.assert_allclose(
        shapley_from_coalitions(2 * one + two),
        2 * values + shapley_from_coalitions(two),
        atol=1e-12,
    )
    turned = draw.permutation(d)
    masks = all_coalitions(d)
    index = (masks[:, turned] * (1 << np.arange(d))).sum(axis=1)
    np.testing.assert_allclose(
        shapley_from_coalitions(one[:, index])[:, turned], values, atol=1e-12
    )


@settings(max_examples=15, deadline=None)
@given(d=st.integers(2, 7), pairs=st.integers(1, 3), seed=st.integers(0, 100))
def test_sampled_orderings_always_add_up_and_stay_within_the_budget(d, pairs, seed):
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame(draw.normal(size=(3, d)))
    background = pd.DataFrame(draw.normal(size=(4, d)))
    seen = []

    def predict(frame):
        seen.append(len(frame))
        return (frame.to_numpy().prod(axis=1) + frame.to_numpy()[:, 0])[:, None]

    budget = max(least_budget(d), min(2**d - 1, 2 + pairs * 2 * (d - 1)))
    found = permutation_values(Game(rows, background, predict), budget=budget, seed=seed)
    assert found.evaluations <= budget
    assert sum(seen) == found.evaluations * 3 * 4
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base, predict(rows), atol=1e-9)
