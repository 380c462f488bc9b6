"""What an obligation takes away is nowhere else in what is handed out."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.errors import ObligationError
from affidavit.policies import (
    TAGS_KEY,
    Obligation,
    apply_obligations,
    apply_to_record,
    tags_in_metadata,
)
from affidavit.policies._values import is_missing

KEYS = {"default": b"0123456789abcdef0123456789abcdef"}
OBLIGATIONS = {
    "drop": Obligation("drop", ("a",)),
    "mask": Obligation("mask", ("a",)),
    "pseudonymise": Obligation("pseudonymise", ("a",), {"key": "default"}),
}
BAND = Obligation("generalise", ("a",), {"width": 10})
YEAR = Obligation("generalise", ("a",), {"unit": "year"})
MARK = "zebra-7919"


def everything_in(frame) -> str:
    """All that a frame says: values, types, categories, index, names, metadata, its files."""
    said = []
    if isinstance(frame, pa.Table):
        said += [frame.to_pylist(), frame.schema.to_string(show_schema_metadata=True)]
        said += [frame.schema.metadata, [field.metadata for field in frame.schema]]
        for column in frame.columns:
            if pa.types.is_dictionary(column.type):
                said += [chunk.dictionary.to_pylist() for chunk in column.chunks]
        said.append(parquet_of(frame))
    elif isinstance(frame, pl.DataFrame):
        said += [frame.rows(), frame.schema]
        said.append(parquet_of(frame.to_arrow()))
    else:
        said += [frame.to_dict("records"), frame.attrs, frame.index.tolist(), frame.index.names]
        said += [frame.columns.name, list(frame.columns), pickle.dumps(frame)]
        said += [getattr(level, "tolist", list)() for level in getattr(frame.index, "levels", [])]
        for name in frame.columns:
            if isinstance(frame[name].dtype, pd.CategoricalDtype):
                said.append(frame[name].cat.categories.tolist())
    return repr(said)


def parquet_of(table) -> list:
    """The strings of a Parquet file's statistics and metadata."""
    out = io.BytesIO()
    pq.write_table(table, out)
    opened = pq.ParquetFile(out)
    group = opened.metadata.row_group(0) if opened.metadata.num_row_groups else None
    columns = [] if group is None else [group.column(i) for i in range(group.num_columns)]
    found = [str(c.statistics.to_dict()) for c in columns if c.statistics is not None]
    return [*found, str(opened.metadata.metadata), str(opened.schema_arrow.metadata)]


def marked(kind: str):
    """A frame in which the original of `a` stands wherever libraries keep such things."""
    columns = {"a": [MARK, "other", MARK], "b": [1, 2, 3]}
    frame = pd.DataFrame({**columns, "a": pd.Categorical(columns["a"])})
    frame.attrs = {"first": MARK, "deep": {"more": [MARK]}}
    frame.columns.name = "columns"
    if kind == "pandas":
        return frame
    if kind == "arrow":
        return pa.Table.from_pandas(frame).replace_schema_metadata(
            {b"note": MARK.encode(), b"pandas": json.dumps({"attributes": {"x": MARK}}).encode()}
        )
    if kind == "enum":
        return pl.DataFrame(columns, schema={"a": pl.Enum([MARK, "other"]), "b": pl.Int64})
    return pl.DataFrame(columns, schema={"a": pl.Categorical, "b": pl.Int64})


@pytest.mark.parametrize("obligation", sorted(OBLIGATIONS))
@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars", "enum"])
def test_no_category_attribute_or_metadata_keeps_what_was_taken(kind, obligation):
    frame = marked(kind)
    assert MARK in everything_in(frame)
    result, _ = apply_obligations(frame, [OBLIGATIONS[obligation]], keys=KEYS)
    assert MARK not in everything_in(result)
    assert MARK in everything_in(frame), "the reader's own frame is not changed"


@pytest.mark.parametrize(
    "obligation",
    [
        Obligation("keep_rows", ("c",), {"values": ["other"]}),
        Obligation("suppress_small_cells", ("c",), {"k": 2, "max_share": 0.5}),
        Obligation("limit_rows", (), {"rows": 2}),
    ],
)
@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars", "enum"])
def test_a_removed_row_leaves_no_category_behind(kind, obligation):
    values = {"c": ["other", "other", MARK], "b": [1, 2, 3]}
    if kind in ("polars", "enum"):
        typed = pl.Categorical if kind == "polars" else pl.Enum(["other", MARK])
        frame = pl.DataFrame(values, schema={"c": typed, "b": pl.Int64})
    else:
        frame = pd.DataFrame({**values, "c": pd.Categorical(values["c"])})
        frame.index = pd.MultiIndex.from_tuples([("p", 1), ("q", 2), (MARK, 3)])
        if kind == "arrow":
            frame = pa.Table.from_pandas(frame, preserve_index=False)
    result, _ = apply_obligations(frame, [obligation], keys={})
    assert len(result) == 2
    assert MARK not in everything_in(result)


def test_a_removed_row_is_not_in_the_buffers_that_travel_to_another_process():
    table = pa.table({"c": ["a" * 50, MARK * 5], "keep": ["yes", "no"]})
    result, _ = apply_obligations(
        table, [Obligation("keep_rows", ("keep",), {"values": ["yes"]})], keys={}
    )
    assert MARK.encode() not in pickle.dumps(result)
    limited, _ = apply_obligations(table, [Obligation("limit_rows", (), {"rows": 1})], keys={})
    assert MARK.encode() not in pickle.dumps(limited)


def test_what_changes_nothing_leaves_metadata_alone():
    frame = marked("pandas")
    result, _ = apply_obligations(frame, [Obligation("explain")], keys={})
    assert result.attrs == frame.attrs


def index_of(values, name=None):
    return pd.DataFrame({"a": values, "b": 1}, index=pd.Index(values, name=name))


@pytest.mark.parametrize("obligation", sorted(OBLIGATIONS))
@pytest.mark.parametrize(
    "frame",
    [
        index_of(["x", "y"]),
        index_of([701, 702]),
        index_of(["x", "y"], name="row"),
        pd.DataFrame({"a": ["x", "y"]}, index=["p", "x"]),
        pd.DataFrame({"a": ["x", "y"]}, index=pd.MultiIndex.from_tuples([(1, "y"), (2, "x")])),
        pd.DataFrame({"a": ["x", "y"]}, index=pd.RangeIndex(2, name="A ")),
        pd.DataFrame({"a": ["x", "y"]}, index=pd.CategoricalIndex(["y", "z"])),
    ],
)
def test_an_index_that_repeats_a_bound_column_is_refused(frame, obligation):
    with pytest.raises(ObligationError, match="index"):
        apply_obligations(frame, [OBLIGATIONS[obligation]], keys=KEYS)


def test_an_index_of_its_own_stays():
    frame = pd.DataFrame({"a": ["x", "y"]}, index=[5, 5])
    result, _ = apply_obligations(frame, [OBLIGATIONS["pseudonymise"]], keys=KEYS)
    assert result.index.tolist() == [5, 5]
    numbered = pd.DataFrame({"a": [0, 1]})
    result, _ = apply_obligations(numbered, [OBLIGATIONS["mask"]], keys={})
    assert result["a"].tolist() == [0, 0]


STRUCT = pa.struct([("deep", pa.list_(pa.struct([("A", pa.string())])))])
NESTED = {
    "arrow struct": pa.table({"s": pa.array([{"a": MARK}])}),
    "arrow list of structs": pa.table({"s": pa.array([{"deep": [{"A": MARK}]}], STRUCT)}),
    "arrow map": pa.table({"s": pa.array([[("a", MARK)]], pa.map_(pa.string(), pa.string()))}),
    "polars struct": pl.DataFrame({"s": [{"a": MARK}]}),
    "polars list": pl.DataFrame({"s": [[{"x": {"a": MARK}}]]}),
    "polars object": pl.DataFrame({"s": pl.Series([{"a": MARK}], dtype=pl.Object)}),
    "pandas dicts after many texts": pd.DataFrame(
        {"s": pd.Series(["t"] * 300 + [{"x": [{"a": MARK}]}], dtype=object)}
    ),
    "pandas arrow": pd.DataFrame(
        {"s": pd.Series([{"a": MARK}], dtype=pd.ArrowDtype(pa.struct([("a", pa.string())])))}
    ),
}


@pytest.mark.parametrize("obligation", ["drop", "exclude", "cells"])
@pytest.mark.parametrize("kind", sorted(NESTED))
def test_a_bound_name_inside_another_column_is_refused(kind, obligation):
    asked = {
        "drop": OBLIGATIONS["drop"],
        "exclude": Obligation("exclude_as_feature", ("a",)),
        "cells": Obligation("suppress_small_cells", ("a",), {"k": 2, "max_share": 1}),
    }[obligation]
    with pytest.raises(ObligationError, match=r"no obligation reaches|which the data lack"):
        apply_obligations(NESTED[kind], [asked], keys=KEYS)


def test_a_bound_name_inside_a_record_is_refused():
    loop: list = []
    loop.append(loop)
    for value in ({"a": 1}, [{"x": {"\uff21": 1}}], ({"a": 1},), loop):
        with pytest.raises(ObligationError, match=r"no obligation reaches|nested more than"):
            apply_to_record({"s": value}, [OBLIGATIONS["drop"]], keys=KEYS)
    assert apply_to_record({"s": {"b": 1}}, [OBLIGATIONS["drop"]], keys=KEYS)[0] == {"s": {"b": 1}}


def test_columns_of_several_levels_are_refused():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")]))
    with pytest.raises(ObligationError, match="not text"):
        apply_obligations(frame, [OBLIGATIONS["drop"]], keys={})


EPOCH = dt.datetime.fromisoformat("1970-01-01T00:00:00")  # as frames mostly have it: no time zone
SCALARS = {
    "text": st.text(min_size=1, max_size=12),
    "integer": st.integers(-(2**60), 2**60),
    "float": st.floats(allow_nan=False, allow_infinity=False, width=64),
    "boolean": st.booleans(),
    "date": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    "instant": st.datetimes(EPOCH.replace(year=1900), EPOCH.replace(year=2100)),
    "bytes": st.binary(min_size=1, max_size=12),
    "decimal": st.decimals(-1000, 1000, places=2),
}
# What a mask leaves; a value that is equal to it tells nothing.
TOKENS = {0, dt.date(1970, 1, 1), EPOCH, decimal.Decimal(0)}


def frames_of(values, kind):
    arrow = pa.table({"a": pa.array(values, from_pandas=False), "b": list(range(len(values)))})
    found = {"arrow": arrow, "polars": pl.from_arrow(arrow), "pandas": arrow.to_pandas()}
    if kind in {"text", "integer", "date"}:
        found["pandas categories"] = found["pandas"].astype({"a": "category"})
        found["arrow dictionary"] = arrow.set_column(0, "a", arrow["a"].dictionary_encode())
        found["pandas objects"] = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    if kind == "text":
        found["polars categories"] = found["polars"].with_columns(pl.col("a").cast(pl.Categorical))
    return found


@pytest.mark.parametrize("kind", sorted(SCALARS))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_original_value_of_any_kind_is_in_what_is_handed_out(kind, data):
    values = data.draw(st.lists(st.none() | SCALARS[kind], min_size=1, max_size=6))
    for library, frame in frames_of(values, kind).items():
        for name, obligation in OBLIGATIONS.items():
            result, _ = apply_obligations(frame, [obligation], keys=KEYS)
            if name == "drop":
                assert "a" not in list(getattr(result, "column_names", result.columns))
                continue
            column = result["a"]
            after = column.to_pylist() if isinstance(result, pa.Table) else column.to_list()
            left = [v for v in after if not is_missing(v)]
            if name == "mask" and kind != "text":
                assert all(v in TOKENS or v == "[masked]" for v in left), library
            else:
                originals = {v for v in values if v is not None}
                assert originals.isdisjoint(left) or set(left) == {"[masked]"}, library
                shown = {str(v) for v in originals if len(str(v)) > 4}
                assert not any(one in str(v) for one in shown for v in left), library
            nulls = [v is None for v in values]
            assert [is_missing(v) for v in after] == nulls, library


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.none() | st.integers(-(10**6), 10**6), min_size=1, max_size=8),
    st.sampled_from([1, 5, 10, 1000]),
)
def test_a_band_tells_the_band_and_no_more(values, width):
    obligation = Obligation("generalise", ("a",), {"width": width})
    for make in (pa.table, pl.DataFrame, lambda c: pd.DataFrame(c, dtype="Int64")):
        result, _ = apply_obligations(make({"a": values}), [obligation], keys={})
        column = result["a"]
        after = column.to_pylist() if isinstance(result, pa.Table) else column.to_list()
        for old, new in zip(values, after, strict=True):
            assert old is None or (new % width == 0 and 0 <= old - new < width)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), min_size=1, max_size=8))
def test_a_year_tells_the_year_and_no_more(days):
    frame = pl.DataFrame({"a": days})
    result, _ = apply_obligations(frame, [YEAR], keys={})
    assert result["a"].to_list() == [day.replace(month=1, day=1) for day in days]
    texts = pd.DataFrame({"a": [day.isoformat() for day in days]})
    result, _ = apply_obligations(texts, [YEAR], keys={})
    assert result["a"].tolist() == [f"{day.year:04d}" for day in days]


@pytest.mark.parametrize(
    ("frame", "obligation"),
    [
        (pl.DataFrame({"a": [-128]}, schema={"a": pl.Int8}), BAND),
        (pa.table({"a": pa.array([-128], pa.int8())}), BAND),
        (pd.DataFrame({"a": np.array([-128], "int8")}), BAND),
        (pd.DataFrame({"a": [1.0]}), Obligation("generalise", ("a",), {"width": 1e-320})),
        (pd.DataFrame({"a": [np.array([MARK, "x"])]}), OBLIGATIONS["pseudonymise"]),
        (pd.DataFrame({"a": [f"1{MARK}"]}), BAND),
    ],
)
def test_a_library_that_refuses_the_result_quotes_no_value(frame, obligation):
    with pytest.raises(ObligationError) as refused:
        apply_obligations(frame, [obligation], keys=KEYS)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert MARK not in str(refused.value)
    assert "-128" not in str(refused.value)


def test_tags_are_read_from_metadata_and_stay_with_their_columns(tmp_path):
    frame = pd.DataFrame({"a": ["x"], "b": [1]})
    frame.attrs[TAGS_KEY] = {"a": ["identifier"], "b": ["internal"]}
    assert tags_in_metadata(frame) == {"a": ["identifier"], "b": ["internal"]}
    frame.to_parquet(tmp_path / "t.parquet")
    assert tags_in_metadata(pd.read_parquet(tmp_path / "t.parquet")) == tags_in_metadata(frame)
    table = pq.read_table(tmp_path / "t.parquet")
    assert tags_in_metadata(table) == tags_in_metadata(frame)
    result, _ = apply_obligations(table, [OBLIGATIONS["pseudonymise"]], keys=KEYS)
    assert tags_in_metadata(result) == tags_in_metadata(frame)
    pq.write_table(result, tmp_path / "u.parquet")
    assert tags_in_metadata(pq.read_table(tmp_path / "u.parquet")) == tags_in_metadata(frame)
    result, _ = apply_obligations(frame, [OBLIGATIONS["drop"]], keys={})
    assert result.attrs == {TAGS_KEY: {"b": ["internal"]}}
    assert tags_in_metadata(pl.from_arrow(table)) == {}


def tagged(name, raw, type_=None):
    return pa.field(name, type_ or pa.string(), metadata={TAGS_KEY: raw})


def test_tags_of_nested_fields_and_of_both_places_are_united():
    inner = pa.struct([tagged("n", '["secret"]')])
    schema = pa.schema([tagged("a", '["identifier"]'), pa.field("s", inner)]).with_metadata(
        {b"pandas": json.dumps({"attributes": {TAGS_KEY: {"a": ["internal"]}}}).encode()}
    )
    table = pa.Table.from_pylist([{"a": "x", "s": {"n": "y"}}], schema)
    assert tags_in_metadata(table) == {"a": ["identifier", "internal"], "n": ["secret"]}


@pytest.mark.parametrize("raw", ["{", '"identifier"', "[1]", "{}", "null", b"\xff"])
def test_tags_that_cannot_be_read_become_one_that_no_policy_knows(raw):
    table = pa.Table.from_pylist([{"a": "x"}], pa.schema([tagged("a", raw)]))
    assert tags_in_metadata(table) == {"a": ["unreadable"]}
    frame = pd.DataFrame({"a": [1], "b": [2]})
    frame.attrs[TAGS_KEY] = raw
    assert tags_in_metadata(frame) == {"a": ["unreadable"], "b": ["unreadable"]}
    half = table.replace_schema_metadata({b"pandas": b'{"' + TAGS_KEY.encode()})
    assert tags_in_metadata(half)["a"] == ["unreadable"]
