"""Intervals, the test of any gap, and verdicts: worked examples, published values and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact
from scipy.stats.contingency import relative_risk

from affidavit.errors import FairnessError
from affidavit.explain import FairnessResult, GroupCounts, measure_fairness
from affidavit.explain._intervals import (
    fold_difference,
    fold_ratio,
    katz,
    newcombe,
    quantile,
    wilson,
)

Z = quantile(0.95)


def selection(**groups):
    """Selected and total per group, as a result."""
    return FairnessResult.from_counts(
        [
            GroupCounts(("g",), (name,), n, None, None, None, None, chosen)
            for name, (chosen, n) in groups.items()
        ]
    )


def test_the_four_fifths_example_of_the_uniform_guidelines_by_hand():
    # EEOC Questions and Answers 1979, no. 12: 80 whites of whom 48 are hired, 40 blacks, 12.
    result = selection(white=(48, 80), black=(12, 40))
    ratio = result.disparities()[("g",)]["four_fifths_ratio"]
    assert ratio.value == pytest.approx(0.30 / 0.60)
    assert (ratio.lowest, ratio.highest) == (("black",), ("white",))
    assert ratio.interval == "katz"
    spread = math.sqrt(1 / 12 - 1 / 40 + 1 / 48 - 1 / 80)
    assert ratio.low == pytest.approx(0.5 * math.exp(-1.959964 * spread), abs=1e-6)
    assert ratio.high == pytest.approx(0.5 * math.exp(1.959964 * spread), abs=1e-6)
    assert result.disparities()[("g",)]["demographic_parity_difference"].value == (
        pytest.approx(0.3)
    )
    assert result.p_any_gap("g") < 0.01


@given(n=st.integers(1, 400), data=st.data())
def test_wilsons_interval_is_that_of_scipy(n, data):
    k = data.draw(st.integers(0, n))
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n, Z) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(n=st.integers(2, 300), m=st.integers(2, 300), data=st.data())
def test_the_log_interval_of_a_ratio_is_that_of_scipy(n, m, data):
    a, b = data.draw(st.integers(1, n - 1)), data.draw(st.integers(1, m - 1))
    theirs = relative_risk(a, n, b, m).confidence_interval(0.95)
    assert katz((a, n), (b, m), Z) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombes_published_intervals(first, second, low, high):
    assert newcombe(first, second, Z) == pytest.approx((low, high), abs=1e-4)


def test_a_ratio_with_nobody_selected_has_an_interval_that_is_not_a_point():
    low, high = katz((0, 20), (10, 20), Z)
    assert low == 0
    assert 0.05 < high < 1
    low, high = katz((20, 20), (20, 20), Z)
    assert low < 1 < high


def test_intervals_of_the_larger_over_the_smaller_are_folded():
    assert fold_difference(-0.1, 0.05) == (0.0, 0.1)
    assert fold_difference(-0.3, -0.1) == (0.1, 0.3)
    assert fold_ratio(0.9, 1.6) == (0.625, 1.0)
    assert fold_ratio(0.5, 0.7) == (0.5, 0.7)
    assert fold_ratio(2.0, 4.0) == (0.25, 0.5)


def test_groups_are_compared_with_the_one_selected_most():
    result = selection(a=(60, 100), b=(45, 100), c=(0, 50))
    b, c = result.pairwise("g")
    assert (b.group, b.reference) == (("b",), ("a",))
    assert b.difference.value == pytest.approx(-0.15)
    assert (b.difference.low, b.difference.high) == pytest.approx(newcombe((45, 100), (60, 100), Z))
    assert b.ratio.value == pytest.approx(0.75)
    assert (c.ratio.value, c.ratio.low) == (0.0, 0.0)
    none = selection(a=(0, 10), b=(0, 10)).pairwise("g")[0]
    assert none.ratio.value is None


def test_the_permutation_test_agrees_with_fishers_exact_test_on_two_groups():
    result = FairnessResult.from_counts(selection(a=(30, 60), b=(20, 60)).counts, resamples=20_000)
    exact = fisher_exact([[30, 30], [20, 40]]).pvalue
    assert result.p_any_gap("g") == pytest.approx(exact, abs=0.01)
    assert selection(a=(3, 9)).p_any_gap("g") is None


def test_shuffled_labels_give_a_gap_but_rarely_a_small_p():
    rng = np.random.default_rng(7)
    small = 0
    for run in range(100):
        groups = rng.integers(0, 12, 5000)
        result = measure_fairness(None, rng.integers(0, 2, 5000), {"g": groups}, resamples=0)
        result = FairnessResult.from_counts(result.counts, resamples=300, seed=run)
        assert result.disparities()[("g",)]["demographic_parity_difference"].value > 0.02
        small += result.p_any_gap("g") < 0.05
        # Chance alone must not fail anyone.
        assert result.assess() != "fail"
    assert small <= 12


@pytest.mark.parametrize(
    ("groups", "verdict"),
    [
        ({"a": (500, 1000), "b": (490, 1000)}, "pass"),
        ({"a": (500, 1000), "b": (300, 1000)}, "fail"),
        ({"a": (5, 10), "b": (3, 10)}, "insufficient evidence"),
        ({"a": (500, 1000), "b": (400, 1000)}, "insufficient evidence"),
        ({"a": (500, 1000), "b": (0, 1000)}, "fail"),
        ({"a": (0, 1000), "b": (0, 1000)}, "insufficient evidence"),
        ({"a": (500, 1000)}, "insufficient evidence"),
        ({"a": (20, 20), "b": (20, 20)}, "insufficient evidence"),
        ({"a": (500, 1000), "b": (490, 1000), "c": (495, 1000)}, "pass"),
        ({"a": (500, 1000), "b": (490, 1000), "c": (5, 20)}, "insufficient evidence"),
        ({"a": (500, 1000), "b": (490, 1000), "c": (100, 1000)}, "fail"),
    ],
)
def test_the_verdict_needs_evidence_either_way(groups, verdict):
    result = selection(**groups)
    assert result.assess() == verdict
    assert result.assess(feature="g") == verdict


def test_one_failing_set_of_columns_fails_the_whole_and_thresholds_are_checked():
    rng = np.random.default_rng(0)
    n = 20_000
    s, t = rng.integers(0, 2, n), rng.integers(0, 2, n)
    y_pred = (rng.random(n) < np.where(s == 1, 0.6, 0.3)).astype(int)
    result = measure_fairness(None, y_pred, {"s": s, "t": t})
    assert result.assess(feature="s") == "fail"
    assert result.assess(feature="t") == "pass"
    assert result.assess() == "fail"
    assert result.assess(0.3) == "pass"
    with pytest.raises(FairnessError, match="threshold above 0"):
        result.assess(0)
    with pytest.raises(FairnessError, match="Expected one of"):
        result.assess(feature="u")


def test_resampled_intervals_are_repeatable_by_seed_and_hold_the_value():
    counts = selection(a=(60, 100), b=(45, 100), c=(30, 80)).counts
    one = FairnessResult.from_counts(counts, seed=3).disparities()
    two = FairnessResult.from_counts(counts, seed=3).disparities()
    other = FairnessResult.from_counts(counts, seed=4).disparities()
    assert one == two != other
    gap = one[("g",)]["demographic_parity_difference"]
    assert gap.interval == "multinomial-percentile"
    assert gap.low < gap.value < gap.high
    none = FairnessResult.from_counts(counts, resamples=0).disparities()[("g",)]
    assert none["four_fifths_ratio"].low is None
    assert none["four_fifths_ratio"].interval == "none"


def test_a_planted_disparity_lies_within_its_interval():
    rng = np.random.default_rng(11)
    n = 30_000
    group = rng.integers(0, 3, n)
    y_true = rng.integers(0, 2, n)
    rate = np.array([0.5, 0.45, 0.3])[group]
    y_pred = (rng.random(n) < rate).astype(int)
    found = measure_fairness(y_true, y_pred, {"g": group}).disparities()[("g",)]
    planted = {
        "demographic_parity_difference": 0.2,
        "four_fifths_ratio": 0.6,
        "equal_opportunity_difference": 0.2,
    }
    for name, truth in planted.items():
        assert found[name].low < truth < found[name].high


@pytest.mark.parametrize("n", [50, 500])
def test_intervals_of_two_groups_cover_the_truth_about_as_often_as_they_say(n):
    rng = np.random.default_rng(n)
    p, q = 0.6, 0.45
    hits = {"wilson": 0, "newcombe": 0, "katz": 0}
    runs = 2000
    for a, b in rng.binomial(n, [p, q], size=(runs, 2)):
        low, high = wilson(a, n, Z)
        hits["wilson"] += low <= p <= high
        low, high = newcombe((a, n), (b, n), Z)
        hits["newcombe"] += low <= p - q <= high
        low, high = katz((b, n), (a, n), Z)
        hits["katz"] += low <= q / p <= high
    for name, found in hits.items():
        assert 0.93 <= found / runs <= 0.97, name


def test_resampled_intervals_cover_a_clear_gap_between_three_groups():
    rng = np.random.default_rng(5)
    truth = np.array([0.6, 0.5, 0.3])
    hits = 0
    for run, chosen in enumerate(rng.binomial(500, truth, size=(200, 3))):
        groups = {name: (int(k), 500) for name, k in zip("abc", chosen, strict=True)}
        counts = selection(**groups).counts
        found = FairnessResult.from_counts(counts, resamples=400, seed=run).disparities()
        gap = found[("g",)]["demographic_parity_difference"]
        hits += gap.low <= 0.3 <= gap.high
    assert 0.90 <= hits / 200 <= 0.99
