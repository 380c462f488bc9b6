"""Obligations hold on the data that are handed out, or nothing is handed out."""

from __future__ import annotations

import datetime as dt
import itertools
import pickle
import unicodedata

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
    merge_obligations,
)

KEYS = {"default": b"0123456789abcdef0123456789abcdef", "other": b"f" * 32}
MAKERS = {
    "pandas": pd.DataFrame,
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}
DROP, MASK = Obligation("drop", ("a",)), Obligation("mask", ("a",))
PSEUDONYM = Obligation("pseudonymise", ("a",), {"key": "default"})
BANDS = Obligation("generalise", ("a",), {"width": 10})
YEAR = Obligation("generalise", ("a",), {"unit": "year"})


@pytest.fixture(params=sorted(MAKERS))
def make(request):
    return MAKERS[request.param]


def values(frame, name):
    column = frame[name]
    found = column.to_pylist() if isinstance(frame, pa.Table) else column.to_list()
    return [None if v is None or v != v else v for v in found]  # noqa: PLR0124


def names(frame):
    return list(frame.column_names if isinstance(frame, pa.Table) else frame.columns)


def test_a_dropped_column_is_gone_and_the_rest_is_untouched(make):
    frame = make({"a": [1, 2], "b": ["x", "y"]})
    result, applied = apply_obligations(frame, [DROP], keys={})
    assert type(result) is type(frame)
    assert names(result) == ["b"]
    assert values(result, "b") == ["x", "y"]
    assert [(a.kind, a.columns, a.rows_after) for a in applied] == [("drop", ("a",), 2)]
    assert names(frame) == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["x", None, "y"], ["[masked]", None, "[masked]"]),
        ([3, 4, 5], [0, 0, 0]),
        ([1.5, None, 2.5], [0.0, None, 0.0]),
        ([True, False, True], [False, False, False]),
    ],
)
def test_a_mask_leaves_one_value_and_the_nulls(make, column, expected):
    result, _ = apply_obligations(make({"a": column}), [MASK], keys={})
    assert values(result, "a") == expected


def test_a_mask_keeps_dates_dates():
    days = [dt.date(1980, 5, 6), None]
    result, _ = apply_obligations(pl.DataFrame({"a": days}), [MASK], keys={})
    assert result["a"].to_list() == [dt.date(1970, 1, 1), None]
    stamps = pd.DataFrame({"a": pd.to_datetime(["1980-05-06 07:08:09.123456789", None])})
    result, _ = apply_obligations(stamps, [MASK], keys={})
    assert result["a"][0] == pd.Timestamp("1970-01-01")


def test_equal_values_have_equal_pseudonyms_across_libraries_and_payloads():
    found = set()
    for make in MAKERS.values():
        result, _ = apply_obligations(
            make({"a": ["ada", None, "ada", "bob"]}), [PSEUDONYM], keys=KEYS
        )
        column = values(result, "a")
        assert column[0] == column[2] != column[3]
        assert column[1] is None
        found.add(column[0])
    record, _ = apply_to_record({"a": "ada"}, [PSEUDONYM], keys=KEYS)
    assert found == {record["a"]}
    other, _ = apply_to_record(
        {"a": "ada"}, [Obligation("pseudonymise", ("a",), {"key": "other"})], keys=KEYS
    )
    assert other["a"] != record["a"]


def test_a_number_has_one_pseudonym_however_it_is_stored():
    found = {apply_to_record({"a": v}, [PSEUDONYM], keys=KEYS)[0]["a"] for v in (7, 7.0)}
    assert len(found) == 1
    assert apply_to_record({"a": "7"}, [PSEUDONYM], keys=KEYS)[0]["a"] not in found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    column=st.lists(st.none() | st.text(min_size=1) | st.text("ab01", min_size=1), max_size=8),
    library=st.sampled_from(sorted(MAKERS)),
)
def test_no_original_value_survives_a_pseudonym(column, library):
    column = [v if v is None else v.encode("utf-8", "replace").decode() for v in column]
    frame = MAKERS[library]({"a": [*column, "anchor"]})
    result, applied = apply_obligations(frame, [PSEUDONYM], keys=KEYS)
    after = values(result, "a")
    assert not {v for v in column if v is not None} & {v for v in after if v is not None}
    for key in KEYS.values():
        assert key.hex() not in str(applied)
        assert key.decode() not in str(applied)


def test_bands_and_years(make):
    result, _ = apply_obligations(make({"a": [9, 10, -1]}), [BANDS], keys={})
    assert values(result, "a") == [0, 10, -10]
    result, _ = apply_obligations(make({"a": [9.5, None, 25.0]}), [BANDS], keys={})
    assert values(result, "a") == [0.0, None, 20.0]
    result, _ = apply_obligations(make({"a": ["1980-05-06", None, "1999"]}), [YEAR], keys={})
    assert values(result, "a") == ["1980", None, "1999"]


def test_a_row_limit_holds(make):
    limits = [Obligation("limit_rows", (), {"rows": n}) for n in (5, 2)]
    result, applied = apply_obligations(make({"a": [1, 2, 3]}), limits, keys={})
    assert values(result, "a") == [1, 2]
    assert [(a.rows_before, a.rows_after, a.parameters["rows"]) for a in applied] == [(3, 2, 2)]


def test_marks_and_flags_are_returned_and_change_nothing(make):
    asked = [Obligation("exclude_as_feature", ("a", "z")), Obligation("explain")]
    result, applied = apply_obligations(make({"a": [1]}), asked, keys={})
    assert values(result, "a") == [1]
    assert [(a.kind, a.columns, a.for_caller) for a in applied] == [
        ("exclude_as_feature", ("a",), False),
        ("explain", (), True),
    ]
    assert pickle.loads(pickle.dumps(applied)) == applied


def test_the_index_of_a_pandas_frame_stays():
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}, index=[7, 7])
    result, _ = apply_obligations(frame, [PSEUDONYM], keys=KEYS)
    assert list(result.index) == [7, 7]
    assert list(result["b"]) == [1, 2]
    assert result["a"].nunique() == 2


ALL = [
    DROP,
    MASK,
    PSEUDONYM,
    BANDS,
    YEAR,
    Obligation("pseudonymise", ("a",), {"key": "other"}),
    Obligation("generalise", ("a", "b"), {"width": 20}),
    Obligation("generalise", ("b",), {"width": 15}),
    Obligation("limit_rows", (), {"rows": 3}),
    Obligation("exclude_as_feature", ("a",)),
    Obligation("log_full"),
]


@given(st.lists(st.sampled_from(range(len(ALL))), max_size=6))
def test_merging_ignores_order_and_is_stable(chosen):
    asked = [ALL[i] for i in chosen]
    merged = merge_obligations(asked)
    assert merge_obligations(reversed(asked)) == merged
    assert merge_obligations(merged) == merged


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ((DROP, MASK), "drop"),
        ((PSEUDONYM, MASK), "mask"),
        ((PSEUDONYM, BANDS), "pseudonymise"),
        ((BANDS, YEAR), "mask"),
        ((PSEUDONYM, ALL[5]), "mask"),
        ((BANDS, Obligation("generalise", ("a",), {"width": 20})), "generalise"),
        ((BANDS, Obligation("generalise", ("a",), {"width": 15})), "mask"),
    ],
)
def test_the_strictest_obligation_wins(asked, kind):
    for order in itertools.permutations(asked):
        (merged,) = merge_obligations(order)
        assert merged.kind == kind


@pytest.mark.parametrize("bound", [MASK, DROP, PSEUDONYM, Obligation("exclude_as_feature", ("a",))])
@pytest.mark.parametrize("twin", ["A", " a", "\uff41"])
def test_a_column_that_looks_like_a_bound_one_is_refused(make, bound, twin):
    for columns in ({twin: ["x"]}, {"a": ["x"], twin: ["x"]}):
        with pytest.raises(ObligationError, match="differs from it only"):
            apply_obligations(make(columns), [bound], keys=KEYS)
        with pytest.raises(ObligationError, match="differs from it only"):
            apply_to_record(dict.fromkeys(columns, "x"), [bound], keys=KEYS)


def test_a_name_in_another_normal_form_is_refused():
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    with pytest.raises(ObligationError, match="normal form"):
        apply_obligations(
            pl.DataFrame({decomposed: [1]}), [Obligation("drop", (composed,))], keys={}
        )


def test_duplicate_columns_are_refused():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ObligationError, match="more than once"):
        apply_obligations(frame, [MASK], keys={})
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ObligationError, match="more than once"):
        apply_obligations(table, [DROP], keys={})


def test_an_absent_column_satisfies_a_drop_and_nothing_else(make):
    result, applied = apply_obligations(make({"b": [1]}), [DROP], keys={})
    assert names(result) == ["b"]
    assert applied[0].columns == ()
    for obligation in (MASK, PSEUDONYM, BANDS):
        with pytest.raises(ObligationError, match="lack"):
            apply_obligations(make({"b": [1]}), [obligation], keys=KEYS)


@pytest.mark.parametrize(
    ("obligation", "column", "keys"),
    [
        (PSEUDONYM, ["x"], {}),
        (PSEUDONYM, ["x"], {"default": b"short"}),
        (PSEUDONYM, [["list"]], KEYS),
        (BANDS, ["text"], {}),
        (BANDS, [True], {}),
        (YEAR, ["yesterday"], {}),
        (Obligation("pray", ("a",)), ["x"], {}),
        (Obligation("mask", ("a",), {"token": "x"}), ["x"], {}),
    ],
)
def test_what_cannot_be_met_hands_out_nothing(make, obligation, column, keys):
    with pytest.raises(ObligationError) as error:
        apply_obligations(make({"a": column}), [obligation], keys=keys)
    assert "short" not in str(error.value)
    with pytest.raises(ObligationError):
        apply_to_record({"a": column[0]}, [obligation], keys=keys)


def test_what_is_no_table_is_refused():
    for thing in ([1, 2], {"a": [1]}, pl.LazyFrame({"a": [1]})):
        with pytest.raises(ObligationError):
            apply_obligations(thing, [Obligation("explain")], keys={})


def test_a_record_loses_and_keeps_what_it_should():
    asked = [DROP, Obligation("mask", ("b",)), Obligation("generalise", ("c",), {"width": 10})]
    record = {"a": 1, "b": "text", "c": 37, "d": None}
    result, _ = apply_to_record(record, asked, keys={})
    assert result == {"b": "[masked]", "c": 30, "d": None}
    assert record["a"] == 1
    with pytest.raises(ObligationError, match="0 rows"):
        apply_to_record(record, [Obligation("limit_rows", (), {"rows": 0})], keys={})
