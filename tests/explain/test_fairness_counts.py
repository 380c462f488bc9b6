"""Counts per group: against Fairlearn, whatever holds the rows, and back from a record."""

from __future__ import annotations

import json
import math

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_score

from affidavit.errors import FairnessError
from affidavit.explain import FairnessResult, GroupCounts, measure_fairness
from affidavit.explain._rates import rate_value

ORACLE = {
    "selection_rate": fl.selection_rate,
    "true_positive_rate": fl.true_positive_rate,
    "false_positive_rate": fl.false_positive_rate,
    "false_negative_rate": fl.false_negative_rate,
    "true_negative_rate": fl.true_negative_rate,
    "accuracy": accuracy_score,
    "precision": lambda t, p: precision_score(t, p, zero_division=0),
    "base_rate": lambda t, p: np.mean(t),
}


def _equal_to_fairlearn(result, y_true, y_pred, frame):
    """Every rate of every group, and every disparity, within 1e-12 where it is defined."""
    compared = 0
    for feature in result.features:
        theirs = fl.MetricFrame(
            metrics=ORACLE,
            y_true=y_true,
            y_pred=y_pred,
            sensitive_features=frame[list(feature)],
        ).by_group
        groups = {g.group: g for g in result.groups(feature)}
        undefined = False
        for key, row in theirs.iterrows():
            group = key if isinstance(key, tuple) else (key,)
            if group not in groups:
                assert row.isna().all(), "Fairlearn lists combinations that no row is in"
                continue
            for name in ORACLE:
                ours = rate_value(groups[group], name)
                if ours is None:
                    undefined = True
                    continue
                assert math.isclose(ours, row[name], abs_tol=1e-12), (feature, group, name)
                compared += 1
        if undefined or len(groups) < 2:
            continue
        ours = result.disparities()[feature]
        for name in (
            "demographic_parity_difference",
            "demographic_parity_ratio",
            "equalized_odds_difference",
            "equalized_odds_ratio",
            "equal_opportunity_difference",
        ):
            if ours[name].value is None:
                continue
            value = getattr(fl, name)(y_true, y_pred, sensitive_features=frame[list(feature)])
            assert math.isclose(ours[name].value, value, abs_tol=1e-12), (feature, name)
            compared += 1
    return compared


@pytest.mark.parametrize("n", [9, 60, 800])
def test_rates_and_disparities_equal_fairlearn_on_generated_data(decisions, n):
    y_true, y_pred, frame = decisions(n, seed=n)
    result = measure_fairness(y_true, y_pred, frame, resamples=10)
    filled = frame.fillna("(missing)")
    assert _equal_to_fairlearn(result, y_true, y_pred, filled) > 20


def test_rates_and_disparities_equal_fairlearn_on_uci_adult(adult_test):
    y_true = (adult_test["income"] == ">50K").astype(int).to_numpy()
    y_pred = ((adult_test["education-num"] > 11) & (adult_test["age"] > 30)).astype(int).to_numpy()
    frame = adult_test[["sex", "race"]]
    result = measure_fairness(y_true, y_pred, adult_test[["workclass"]], resamples=10)
    assert ("(missing)",) in {g.group for g in result.groups("workclass")}
    filled = adult_test[["workclass"]].fillna("(missing)")
    assert _equal_to_fairlearn(result, y_true, y_pred, filled) > 50
    result = measure_fairness(y_true, y_pred, frame, resamples=10)
    assert len(result.features) == 3
    assert sum(g.n for g in result.groups("sex")) == len(adult_test) == 16281
    assert _equal_to_fairlearn(result, y_true, y_pred, frame) > 120
    # The labels as they stand in the file give the same counts.
    text = np.where(y_pred == 1, ">50K", "<=50K")
    same = measure_fairness(adult_test["income"], text, frame, positive=">50K", resamples=10)
    assert same.counts == result.counts


def test_pandas_polars_arrow_numpy_and_mappings_count_alike(decisions):
    y_true, y_pred, frame = decisions(500)
    frame["number"] = np.where(np.arange(500) % 7, np.arange(500) % 3, np.nan)
    frame["flag"] = np.arange(500) % 2 == 0
    table = pl.from_pandas(frame).with_columns(pl.col("number").cast(pl.Int64))
    expected = measure_fairness(y_true, y_pred, frame)
    assert ("1",) in {g.group for g in expected.groups("number")}
    for other in (
        table,
        table.with_columns(pl.col("sex", "band").cast(pl.Categorical)),
        table.to_arrow(),
        frame.astype({"sex": "category", "band": "category"}),
        frame.astype(object),
        {name: frame[name] for name in frame},
        {name: list(table[name]) for name in frame},
    ):
        assert measure_fairness(y_true, y_pred, other).counts == expected.counts
    labels = pl.Series(y_true), table.to_arrow()["sex"]
    assert measure_fairness(labels[0], pl.Series(y_pred), table).counts == expected.counts
    assert measure_fairness(list(y_true), y_pred.astype(bool), table).counts == expected.counts
    one = measure_fairness(y_true, y_pred, frame["sex"])
    assert one.counts == expected.groups("sex")


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 60), seed=st.integers(0, 10_000), columns=st.integers(1, 3))
def test_counts_do_not_depend_on_row_order_and_add_up(n, seed, columns):
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.integers(0, 2, (2, n))
    frame = pd.DataFrame({f"s{j}": rng.integers(0, 3, n) for j in range(columns)})
    result = measure_fairness(y_true, y_pred, frame, resamples=5)
    order = rng.permutation(n)
    shuffled = measure_fairness(y_true[order], y_pred[order], frame.iloc[order], resamples=5)
    assert shuffled == result
    for feature in result.features:
        groups = result.groups(feature)
        assert sum(g.n for g in groups) == n
        assert sum(g.selected for g in groups) == y_pred.sum()
        assert sum(g.tp + g.fn for g in groups) == y_true.sum()
    assert len(result.features) == 2**columns - 1
    alone = measure_fairness(y_true, y_pred, frame, intersections=False, resamples=5)
    assert alone.counts == tuple(c for c in result.counts if len(c.feature) == 1)
    # Everything follows from the counts, through JSON and back.
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    again = FairnessResult.from_dict(record)
    assert again == result
    assert again.to_dict() == record


def test_many_rows_are_counted_block_by_block_as_one(decisions):
    y_true, y_pred, frame = decisions(300_000, groups=3)
    result = measure_fairness(y_true, y_pred, frame, resamples=0)
    table = frame.fillna("(missing)").assign(t=y_true, p=y_pred).value_counts()
    for g in result.groups(("sex", "band")):
        found = [int(table.get((*g.group, *tp), 0)) for tp in ((1, 1), (0, 1), (0, 0), (1, 0))]
        assert [g.tp, g.fp, g.tn, g.fn] == found


def test_columns_with_many_values_are_counted_by_sorting():
    rng = np.random.default_rng(2)
    n = 4000
    frame = pd.DataFrame({c: rng.integers(0, 900, n) for c in "ab"})
    y_pred = rng.integers(0, 2, n)
    result = measure_fairness(None, y_pred, frame, resamples=0)
    expected = frame.assign(p=y_pred).groupby(["a", "b"])["p"].agg(["size", "sum"])
    found = {g.group: (g.n, g.selected) for g in result.groups(("a", "b"))}
    assert found == {
        (str(a), str(b)): tuple(r)
        for (a, b), r in zip(expected.index, expected.to_numpy().tolist(), strict=True)
    }


def test_without_true_labels_only_the_selection_is_counted(decisions):
    _, y_pred, frame = decisions(200)
    result = measure_fairness(None, y_pred, frame)
    group = result.groups("sex")[0]
    assert (group.tp, group.fp, group.tn, group.fn) == (None, None, None, None)
    assert set(result.rates()[0].rates) == {"selection_rate"}
    assert set(result.disparities()[("sex",)]) == {
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "four_fifths_ratio",
    }
    assert FairnessResult.from_dict(result.to_dict()) == result


def test_undefined_rates_are_none_and_never_nought():
    # Nobody in b is qualified, nobody in c is selected.
    group = np.repeat(["a", "b", "c"], 4)
    y_true = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0])
    y_pred = np.array([1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    result = measure_fairness(y_true, y_pred, {"g": group})
    rates = {r.group[0]: r.rates for r in result.rates()}
    assert rates["b"]["true_positive_rate"].value is None
    assert rates["b"]["true_positive_rate"].low is None
    assert rates["c"]["precision"].value is None
    assert rates["c"]["true_positive_rate"].value == 0
    odds = result.disparities()[("g",)]["equal_opportunity_difference"]
    assert (odds.value, odds.undefined) == (0.5, (("b",),))
    assert (odds.lowest, odds.highest) == (("c",), ("a",))


def test_weights_count_as_repeated_rows_do_and_state_their_effective_size(decisions):
    y_true, y_pred, frame = decisions(300)
    weights = np.random.default_rng(1).integers(0, 4, 300)
    weighted = measure_fairness(y_true, y_pred, frame, weights=weights)
    again = np.repeat(np.arange(300), weights)
    repeated = measure_fairness(y_true[again], y_pred[again], frame.iloc[again])
    for one, other in zip(weighted.groups("sex"), repeated.groups("sex"), strict=True):
        assert (one.n, one.tp, one.fp, one.tn, one.fn) == (
            other.n,
            other.tp,
            other.fp,
            other.tn,
            other.fn,
        )
        inside = weights[frame["sex"].fillna("(missing)") == one.group[0]]
        assert one.effective == pytest.approx(inside.sum() ** 2 / (inside**2).sum())
    ours, theirs = weighted.rates()[0].rates, repeated.rates()[0].rates
    assert ours["accuracy"].value == pytest.approx(theirs["accuracy"].value)
    assert ours["accuracy"].low < theirs["accuracy"].low
    assert FairnessResult.from_dict(weighted.to_dict()) == weighted


def test_scores_are_counted_above_the_median_of_everyone():
    result = measure_fairness(
        None, [0, 1, 0, 1, 0, 1], {"g": list("aaabbb")}, y_score=[1, 2, 3, 4, 5, 6]
    )
    assert [g.above_median for g in result.groups("g")] == [0, 3]
    result = measure_fairness(None, [0, 1, 0, 1], {"g": list("aabb")}, y_score=[1, 4, 2, 3])
    ratio = result.disparities()[("g",)]["scoring_rate_ratio"]
    assert ratio.value == 1.0


def test_small_groups_are_marked():
    result = measure_fairness([1, 0, 1], [1, 0, 1], {"g": ["a", "a", "b"]}, min_cell=2)
    assert [(r.group, r.suppressed) for r in result.rates()] == [(("a",), False), (("b",), True)]


GOOD = GroupCounts(("g",), ("a",), 10, 4, 1, 3, 2, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 11}, "tp \\+ fp \\+ tn \\+ fn = n"),
        ({"selected": 6}, "tp \\+ fp = selected"),
        ({"tp": -1, "n": 5, "selected": 0}, "0 or more"),
        ({"tp": None}, "all of tp, fp, tn and fn"),
        ({"tp": float("nan")}, "0 or more"),
        ({"group": ("a", "b")}, "one value per sensitive column"),
        ({"n": True}, "0 or more"),
    ],
)
def test_counts_that_do_not_add_up_are_refused(change, message):
    record = {**GOOD.to_dict(), **change}
    with pytest.raises(FairnessError, match=message):
        FairnessResult.from_counts([record])


def test_an_altered_record_is_refused_or_tells_another_story(decisions):
    result = measure_fairness(*decisions(100), resamples=5)
    record = result.to_dict()
    record["counts"][0]["tp"] += 1
    with pytest.raises(FairnessError, match="= n"):
        FairnessResult.from_dict(record)
    record["counts"][0]["n"] += 1
    record["counts"][0]["selected"] += 1
    with pytest.raises(FairnessError, match="where the first set of columns holds"):
        FairnessResult.from_dict(record)
    with pytest.raises(FairnessError, match="found none"):
        FairnessResult.from_counts([])
    with pytest.raises(FairnessError, match="each group once"):
        FairnessResult.from_counts([GOOD, GOOD])
    with pytest.raises(FairnessError, match="counts and parameters"):
        FairnessResult.from_dict({"counts": []})
    with pytest.raises(FairnessError, match="Expected counts with"):
        FairnessResult.from_counts([{"n": 1}])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "sensitive", "options", "message"),
    [
        ([1, 0], [1, 0, 1], {"g": [1, 2, 3]}, {}, "3 rows in y_true, as in y_pred, found 2"),
        ([1, 0], [1, 0], {"g": [1, 2, 3]}, {}, "2 rows in the sensitive column 'g'"),
        ([], [], {"g": []}, {}, "at least one row, found none"),
        ([1, 2], [1, 0], {"g": [1, 2]}, {}, None),
        ([1, 2, 0], [1, 0, 1], {"g": [1, 2, 3]}, {}, r"1 and one other in y_true"),
        ([1, 0], [0.2, 0.7], {"g": [1, 2]}, {}, "one other in y_pred"),
        ([1, 0], [1.0, np.nan], {"g": [1, 2]}, {}, "label in every row of y_pred, found NaN"),
        ([1, 0], ["1", None], {"g": [1, 2]}, {}, "label in every row of y_pred, found missing"),
        ([1, 0], pd.Series([1, None], dtype="Int64"), {"g": [1, 2]}, {}, "found missing"),
        ([1, 0], ["a", "b"], {"g": [1, 2]}, {}, "1 and one other in y_pred"),
        ([1, 0], [1, 0], {}, {}, "at least one sensitive column"),
        ([1, 0], [1, 0], 5, {}, "found int"),
        ([1, 0], [1, 0], pd.Series([1, 2]), {}, "series with a name"),
        ([1, 0], [1, 0], {"g": ["(missing)", None]}, {}, "have the same text"),
        ([1, 0], [1, 0], {"g": np.zeros((2, 2))}, {}, "as one column"),
        ([1, 0], [1, 0], {"g": [1, "a"]}, {}, "values of one type in 'g'"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"weights": [1, -1]}, "weights of 0 or more"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"weights": [0, 0]}, "one of them above 0"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"weights": [1]}, "2 values in weights"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"y_score": [1, np.nan]}, "finite numbers in y_score"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"y_score": ["a", "b"]}, "numbers in y_score"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"confidence": 95.0}, "confidence between 0 and 1"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"resamples": -1}, "resamples"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"seed": 1.5}, "seed"),
        ([1, 0], [1, 0], {"g": [1, 2]}, {"min_cell": -1}, "min_cell"),
        ([1, 0], [1, 0], {c: [1, 2] for c in "abcdefg"}, {}, "at most 6 sensitive columns"),
    ],
)
def test_unusable_input_is_refused_with_what_was_found(y_true, y_pred, sensitive, options, message):
    if message is None:
        assert measure_fairness(y_true, y_pred, sensitive).counts
        return
    with pytest.raises(FairnessError, match=message):
        measure_fairness(y_true, y_pred, sensitive, **options)


def test_repeated_sensitive_columns_are_refused():
    twice = pd.DataFrame(np.ones((3, 2)), columns=["g", "g"])
    with pytest.raises(FairnessError, match=r"found repeated: \['g'\]"):
        measure_fairness([1, 0, 1], [1, 0, 1], twice)


def test_more_than_ten_thousand_groups_are_refused_in_a_column_and_in_an_intersection():
    n = 40_000
    rng = np.random.default_rng(0)
    y_pred = rng.integers(0, 2, n)
    with pytest.raises(FairnessError, match="at most 10000 groups in 'income', found 40000"):
        measure_fairness(None, y_pred, {"income": rng.normal(size=n)})
    for width in (180, 2000):
        wide = {c: rng.integers(0, width, n) for c in "ab"}
        with pytest.raises(FairnessError, match="at most 10000 groups, found"):
            measure_fairness(None, y_pred, wide)
        assert len(measure_fairness(None, y_pred, wide, intersections=False).counts) > 300
