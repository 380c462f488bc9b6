"""Obligations that remove rows: small cells, consent, limits; their order, and what they leave."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.errors import ObligationError
from affidavit.policies import (
    Obligation,
    apply_obligations,
    apply_to_record,
    apply_to_records,
    merge_obligations,
    parse_result,
)
from affidavit.policies._values import is_missing

KEYS = {"default": b"0123456789abcdef0123456789abcdef"}
MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}


@pytest.fixture(params=sorted(MAKERS))
def make(request):
    return MAKERS[request.param]


def cells(k=2, share=1.0, columns=("a", "b")):
    return Obligation("suppress_small_cells", columns, {"k": k, "max_share": share})


def keep(*values, column="a"):
    return Obligation("keep_rows", (column,), {"values": list(values)})


def rows(frame):
    if isinstance(frame, pa.Table):
        return frame.to_pylist()
    found = frame.to_dicts() if isinstance(frame, pl.DataFrame) else frame.to_dict("records")
    return [{k: None if is_missing(v) else v for k, v in row.items()} for row in found]


def test_rows_of_small_cells_go_and_missing_values_make_a_cell_of_their_own(make):
    frame = make({"a": ["x", "x", "y", None, None], "b": [1, 1, 2, 3, 3], "c": [1, 2, 3, 4, 5]})
    result, (done,) = apply_obligations(frame, [cells(2, 0.2)], keys={})
    assert type(result) is type(frame)
    assert [row["c"] for row in rows(result)] == [1, 2, 4, 5]
    assert (done.rows_before, done.rows_after) == (5, 4)
    with pytest.raises(ObligationError, match="would remove 1 of 5 rows"):
        apply_obligations(frame, [cells(2, 0.19)], keys={})


def test_cells_are_counted_on_what_is_handed_out_not_on_the_originals(make):
    frame = make({"age": [31, 34, 38, 52], "sex": ["f", "f", "f", "m"]})
    bands = Obligation("generalise", ("age",), {"width": 10})
    result, _ = apply_obligations(frame, [cells(3, 0.5, ("age", "sex")), bands], keys={})
    assert rows(result) == [{"age": 30, "sex": "f"}] * 3


def test_a_dropped_column_makes_no_cells_and_a_missing_one_is_refused(make):
    frame = make({"a": ["x", "y", "z"], "b": [1, 1, 1]})
    result, _ = apply_obligations(frame, [cells(3), Obligation("drop", ("a",))], keys={})
    assert rows(result) == [{"b": 1}] * 3
    with pytest.raises(ObligationError, match="which the data lack"):
        apply_obligations(make({"a": ["x"]}), [cells()], keys={})


def test_the_row_limit_is_met_before_cells_are_counted(make):
    frame = make({"a": ["x", "x", "x", "y"], "b": [1, 1, 1, 1]})
    limit = Obligation("limit_rows", (), {"rows": 1})
    with pytest.raises(ObligationError, match="would remove 1 of 1 rows"):
        apply_obligations(frame, [cells(2, 0.5), limit], keys={})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.sampled_from([1, 2, 3])), max_size=25),
    st.integers(2, 5),
    st.sampled_from(sorted(MAKERS)),
)
def test_no_small_cell_is_ever_handed_out_and_no_large_one_lost(table, k, library):
    columns = {"a": [a for a, _ in table] + ["x"], "b": [b for _, b in table] + [1]}
    result, _ = apply_obligations(MAKERS[library](columns), [cells(k)], keys={})
    before = Counter(zip(columns["a"], columns["b"], strict=True))
    after = Counter((row["a"], row["b"]) for row in rows(result))
    assert after == {cell: n for cell, n in before.items() if n >= k}


def test_only_rows_with_consent_stay_even_where_the_consent_is_masked_or_dropped(make):
    frame = make({"a": ["yes", "no", None, "yes"], "b": [1, 2, 3, 4]})
    result, _ = apply_obligations(frame, [keep("yes")], keys={})
    assert [row["b"] for row in rows(result)] == [1, 4]
    result, _ = apply_obligations(frame, [keep("yes"), Obligation("mask", ("a",))], keys={})
    assert rows(result) == [{"a": "[masked]", "b": 1}, {"a": "[masked]", "b": 4}]
    result, _ = apply_obligations(frame, [keep("yes"), Obligation("drop", ("a",))], keys={})
    assert rows(result) == [{"b": 1}, {"b": 4}]
    result, _ = apply_obligations(frame, [keep()], keys={})
    assert rows(result) == []


@pytest.mark.parametrize(
    ("column", "wanted", "left"),
    [
        ([True, False, None], "true", 1),
        ([1, 2, 2], "2", 2),
        ([1.0, 2.5, None], "1", 1),
        ([dt.date(2026, 1, 1), dt.date(2026, 1, 2)], "2026-01-02", 1),
    ],
)
def test_values_of_every_type_are_known_by_their_text(make, column, wanted, left):
    result, _ = apply_obligations(make({"a": column}), [keep(wanted)], keys={})
    assert len(rows(result)) == left


def test_a_limit_takes_the_first_rows_of_those_that_consented(make):
    frame = make({"a": ["no", "yes", "yes", "yes"], "b": [1, 2, 3, 4]})
    limit = Obligation("limit_rows", (), {"rows": 2})
    result, _ = apply_obligations(frame, [limit, keep("yes")], keys={})
    assert [row["b"] for row in rows(result)] == [2, 3]


def test_several_merge_to_the_strictest_in_any_order():
    asked = [cells(2, 0.5, ("a",)), cells(5, 0.9, ("b",)), keep("x", "y"), keep("y", "z")]
    for order in itertools.permutations(asked):
        kept, small = merge_obligations(order)
        assert (kept.kind, kept.parameters["values"]) == ("keep_rows", ("y",))
        assert small.columns == ("a", "b")
        assert dict(small.parameters) == {"k": 5, "max_share": 0.5}
        assert merge_obligations((kept, small)) == (kept, small)


@pytest.mark.parametrize(
    ("kind", "columns", "parameters"),
    [
        ("suppress_small_cells", ["a"], {"k": 1, "max_share": 0.1}),
        ("suppress_small_cells", ["a"], {"k": 5}),
        ("suppress_small_cells", ["a"], {"k": 5, "max_share": 1.5}),
        ("suppress_small_cells", ["a"], {"k": True, "max_share": 0.1}),
        ("suppress_small_cells", ["a"], {"k": 5, "max_share": 0.1, "more": 1}),
        ("suppress_small_cells", [], {"k": 5, "max_share": 0.1}),
        ("keep_rows", ["a", "b"], {"values": ["x"]}),
        ("keep_rows", ["a"], {"values": "x"}),
        ("keep_rows", ["a"], {"values": [1]}),
        ("keep_rows", ["a"], {}),
        ("keep_rows", [], {"values": ["x"]}),
    ],
)
def test_an_obligation_that_departs_from_the_contract_denies(kind, columns, parameters):
    asked = {"kind": kind, "columns": columns, "parameters": parameters}
    raw = {"allow": True, "deny": [], "warn": [], "obligations": [asked]}
    decision = parse_result("affidavit/data_read", raw)
    assert not decision.allow
    assert decision.deny[0].rule == "engine.obligation_unknown"
    with pytest.raises(ObligationError):
        apply_obligations(
            pd.DataFrame({"a": [1], "b": [1]}), [Obligation(kind, columns, parameters)], keys={}
        )


def test_a_single_record_cannot_hide_in_a_crowd():
    with pytest.raises(ObligationError, match="a single record cannot have 5 alike"):
        apply_to_record({"a": 1, "b": 2}, [cells(5)], keys={})
    assert apply_to_record({"a": "yes"}, [keep("yes")], keys={})[0] == {"a": "yes"}
    with pytest.raises(ObligationError, match="removes rows like it"):
        apply_to_record({"a": "no"}, [keep("yes")], keys={})
    with pytest.raises(ObligationError, match="lack"):
        apply_to_record({"b": "no"}, [keep("yes")], keys={})


def test_a_batch_of_records_is_met_as_a_frame_is():
    batch = [{"a": a, "b": b, "c": c} for a, b, c in [("x", 1, 1), ("x", 1, 2), ("y", 1, 3)]]
    asked = [cells(2, 0.5), Obligation("mask", ("c",)), keep("x", "y")]
    met, _ = apply_to_records(batch, asked, keys={})
    frame, done = apply_obligations(pd.DataFrame(batch), asked, keys={})
    assert met == rows(frame) == [{"a": "x", "b": 1, "c": 0}] * 2
    assert batch[0]["c"] == 1
    limited, _ = apply_to_records(batch, [Obligation("limit_rows", (), {"rows": 1})], keys={})
    assert limited == batch[:1]
    with pytest.raises(ObligationError, match="would remove"):
        apply_to_records(batch, [cells(3, 0.5)], keys={})
    assert done[-1].kind == "suppress_small_cells"


def test_values_that_cannot_be_counted_are_refused(make):
    with pytest.raises(ObligationError, match="cannot count"):
        apply_obligations(make({"a": [[1], [1]], "b": [1, 1]}), [cells()], keys={})


def test_numbers_that_are_equal_but_of_other_types_are_other_cells():
    frame = pd.DataFrame({"a": [1, True, 1.0, 1], "b": 0}, dtype=object)
    result, _ = apply_obligations(frame, [cells(2)], keys={})
    assert [type(v) for v in result["a"]] == [int, int]


def test_nobody_can_change_the_parameters_of_a_decision_that_may_be_remembered():
    values = ["yes"]
    asked = keep(*values)
    given = Obligation("keep_rows", ("a",), {"values": values})
    values.append("no")
    assert given == asked
    given.to_dict()["parameters"]["values"].append("no")
    assert given.to_dict() == asked.to_dict()
    _, (done,) = apply_obligations(pd.DataFrame({"a": ["yes"]}), [asked], keys={})
    assert done.to_dict()["parameters"] == {"values": ["yes"]}
