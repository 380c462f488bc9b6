"""The digest of tables: equal for equal tables, whatever holds them, and local in what it tells."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import struct

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import Fingerprint
from affidavit.lineage._frames import table_digest, table_fingerprint, table_tree
from affidavit.lineage._table_tree import (
    GROUP_ROWS,
    TableColumn,
    TableTree,
    diff_tables,
    merkle_root,
)

UTC = dt.UTC
MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001  # naive is meant
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CELLS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint8(): st.integers(0, 255),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.bool_(): st.booleans(),
    pa.string(): TEXT,
    pa.binary(): st.binary(max_size=12),
    pa.date32(): st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1)),
    pa.timestamp("us"): MOMENTS,
    pa.timestamp("us", "UTC"): MOMENTS.map(lambda m: m.replace(tzinfo=UTC)),
    pa.duration("us"): st.timedeltas(dt.timedelta(-99999), dt.timedelta(99999)),
    pa.list_(pa.string()): st.lists(st.none() | TEXT, max_size=3),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(-9, 9), "b": st.none() | TEXT}
    ),
}


@st.composite
def tables(draw, kinds=tuple(CELLS)):
    n_rows = draw(st.integers(0, 8))
    picked = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    columns = {}
    for i, kind in enumerate(picked):
        cells = draw(st.lists(st.none() | CELLS[kind], min_size=n_rows, max_size=n_rows))
        columns[f"c{i}"] = pa.array(cells, kind)
    return pa.table(columns)


FLAT = tuple(k for k in CELLS if not pa.types.is_nested(k))


@given(tables())
def test_arrow_and_polars_agree_on_every_table(table):
    frame = pl.from_arrow(table)
    assert table_digest(frame) == table_digest(table)
    assert table_digest(frame.to_arrow()) == table_digest(table)
    assert table_digest(nw.from_native(frame)) == table_digest(table)


@given(tables(FLAT))
def test_arrow_and_pandas_with_arrow_types_agree_on_every_table(table):
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    assert table_digest(frame) == table_digest(table)
    assert table_digest(nw.from_native(frame)) == table_digest(table)


@given(tables((pa.float64(), pa.float32(), pa.string(), pa.timestamp("us"), pa.duration("us"))))
def test_pandas_and_polars_agree_on_floats_text_and_times_with_missing_values(table):
    frame = table.to_pandas()
    expected = table_digest(table)
    if table.num_rows and all(c.null_count < len(c) for c in table.columns):
        assert table_digest(frame) == expected
        assert table_digest(pl.from_pandas(frame)) == expected
        assert table_digest(pl.from_arrow(table).to_pandas()) == expected


@given(tables(), st.integers(0, 8), st.integers(1, 4))
def test_chunks_and_slices_do_not_show(table, cut, size):
    whole = table_digest(table)
    chunked = pa.concat_tables(
        [table.slice(i, size) for i in range(0, len(table), size)] or [table]
    )
    assert table_digest(chunked) == whole
    padded = pa.concat_tables([table, table, table]).combine_chunks()
    assert table_digest(padded.slice(len(table), len(table))) == whole
    part = table.slice(min(cut, len(table)))
    rebuilt = pa.table({n: pa.array(part[n].to_pylist(), part[n].type) for n in part.column_names})
    assert table_digest(part) == table_digest(rebuilt)


@given(st.lists(st.none() | TEXT, max_size=8))
def test_every_layout_of_text_has_one_digest(texts):
    plain = pa.array(texts, pa.string())
    layouts = [
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
        plain.dictionary_encode(),
        plain.cast(pa.large_string()).dictionary_encode(),
        pa.compute.run_end_encode(plain),
    ]
    expected = table_digest(pa.table({"t": plain}))
    for layout in layouts:
        assert table_digest(pa.table({"t": layout})) == expected, layout.type
    series = pd.Series(texts, dtype="str")
    for frame in (series, series.astype("category"), series.astype("string")):
        if frame.notna().any():
            assert table_digest(pd.DataFrame({"t": frame})) == expected
    assert table_digest(pl.DataFrame({"t": pl.Series(texts, dtype=pl.Categorical)})) == expected


def test_nullable_pandas_types_equal_their_arrow_counterparts():
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "o": pd.Series([True, None, False], dtype=object),
            "f": pd.array([1.5, None, 3], dtype="Float64"),
        }
    )
    table = pa.table(
        {"i": [1, None, 3], "b": [True, None, False], "o": [True, None, False], "f": [1.5, None, 3]}
    )
    assert table_digest(frame) == table_digest(table) == table_digest(pl.from_arrow(table))


def test_bytes_under_null_slots_do_not_show():
    data = pa.py_buffer(b"secret" + struct.pack("<3q", 1, 2, 3))
    bitmap = pa.py_buffer(b"\x05")
    numbers = pa.Array.from_buffers(pa.int64(), 3, [bitmap, data.slice(6)])
    assert table_digest(pa.table({"n": numbers})) == table_digest(pa.table({"n": [1, None, 3]}))
    offsets = pa.py_buffer(struct.pack("<4i", 0, 2, 4, 6))
    texts = pa.Array.from_buffers(pa.string(), 3, [bitmap, offsets, data])
    assert table_digest(pa.table({"t": texts})) == table_digest(pa.table({"t": ["se", None, "et"]}))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_in_which_times_are_stored_does_not_show(unit):
    moments = [dt.datetime(2024, 2, 29, 12), None, dt.datetime(1969, 12, 31)]  # noqa: DTZ001  # naive
    seconds = pa.array(moments, pa.timestamp("s"))
    assert table_digest(seconds) == table_digest(seconds.cast(pa.timestamp(unit)))
    spans = pa.array([1, None, -3], pa.duration("s"))
    assert table_digest(spans) == table_digest(spans.cast(pa.duration(unit)))
    frame = pd.DataFrame({"values": pd.Series(moments).astype(f"datetime64[{unit}]")})
    assert table_digest(frame) == table_digest(seconds)


def test_nanoseconds_and_far_times_are_kept_apart():
    ns = pa.timestamp("ns")
    assert table_digest(pa.array([1], ns)) != table_digest(pa.array([2], ns))
    assert table_digest(pa.array([1], ns)) != table_digest(pa.array([1000], ns))
    far = pa.array([2**62, -(2**63)], pa.timestamp("s"))
    near = pa.array([2**62, -(2**63) + 1], pa.timestamp("s"))
    assert table_digest(far) != table_digest(near)


def test_spellings_of_utc_are_one_zone_and_other_zones_are_others():
    one = table_digest(pa.array([0], pa.timestamp("us", "UTC")))
    assert table_digest(pa.array([0], pa.timestamp("us", "+00:00"))) == one
    assert table_digest(pa.array([0], pa.timestamp("ms", "Etc/UTC"))) == one
    assert table_digest(pa.array([0], pa.timestamp("us", "Europe/Berlin"))) != one
    assert table_digest(pa.array([0], pa.timestamp("us"))) != one


def test_nan_is_null_and_minus_zero_is_zero_at_every_depth():
    assert table_digest(pa.array([1.0, float("nan")])) == table_digest(pa.array([1.0, None]))
    assert table_digest(pa.array([-0.0])) == table_digest(pa.array([0.0]))
    assert table_digest(pa.array([[float("nan"), -0.0]])) == table_digest(pa.array([[None, 0.0]]))
    odd = pa.Array.from_buffers(
        pa.float64(), 1, [None, pa.py_buffer(struct.pack("<Q", 0xFFF8 << 48 | 7))]
    )
    assert table_digest(odd) == table_digest(pa.array([None], pa.float64()))
    half = pa.array(np.array([1.5, np.nan, -0.0], "f2"))
    assert table_digest(half) == table_digest(pa.array(np.array([1.5, np.nan, 0.0], "f2")))


def test_layouts_of_lists_decimals_dates_times_and_bytes_do_not_show():
    lists = pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64()))
    views = (pa.list_view(pa.int64()), pa.large_list_view(pa.int64()))
    for kind in (pa.large_list(pa.int64()), pa.list_(pa.int64(), 2), *views):
        assert table_digest(pa.array(lists.to_pylist(), kind)) == table_digest(lists), kind
    money = pa.array(
        [decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")], pa.decimal128(10, 2)
    )
    for kind in (pa.decimal256(50, 2), pa.decimal64(12, 2), pa.decimal128(38, 2)):
        assert table_digest(money.cast(kind)) == table_digest(money), kind
    assert table_digest(money.cast(pa.decimal128(10, 3))) != table_digest(money)
    days = pa.array([dt.date(2024, 2, 29), None], pa.date32())
    assert table_digest(days.cast(pa.date64())) == table_digest(days)
    times = pa.array([dt.time(1, 2, 3), None], pa.time32("s"))
    assert table_digest(times.cast(pa.time64("ns"))) == table_digest(times)
    raw = pa.array([b"ab", None], pa.binary(2))
    assert table_digest(raw.cast(pa.binary())) == table_digest(raw)
    pairs = pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64()))
    structs = pairs.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())])))
    assert table_digest(pairs) == table_digest(structs)


def test_a_null_struct_hides_its_fields():
    fields = pa.array([1, 2])
    hidden = pa.StructArray.from_arrays([fields], ["a"], mask=pa.array([False, True]))
    assert table_digest(hidden) == table_digest(pa.array([{"a": 1}, None]))
    assert table_digest(pa.array([{"a": None}])) != table_digest(pa.array([None], hidden.type))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1], pa.int64()), pa.array([1], pa.int32())),
        (pa.array([1], pa.int64()), pa.array([1], pa.uint64())),
        (pa.array([1.0], pa.float64()), pa.array([1.0], pa.float32())),
        (pa.array(["a"]), pa.array([b"a"])),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
        (pa.array([[1], [2, 3]]), pa.array([[1, 2], [3]])),
        (pa.array([0, None]), pa.array([0, 0])),
        (pa.array(["", None]), pa.array(["", ""])),
        (pa.array([None, None]), pa.array([None, None], pa.string())),
        (pa.array([True, False]), pa.array([False, True])),
        (pa.array([], pa.int64()), pa.array([], pa.float64())),
    ],
)
def test_columns_that_differ_have_digests_that_differ(one, other):
    assert table_digest(one) != table_digest(other)


def test_names_order_of_columns_and_order_of_rows_count():
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    digests = {
        table_digest(t)
        for t in (
            table,
            table.select(["b", "a"]),
            table.rename_columns(["b", "a"]),
            table.take([1, 0]),
            table.slice(0, 1),
            table.select(["a"]),
        )
    }
    assert len(digests) == 6


def _leaf(data):
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_the_digest_can_be_computed_from_the_written_format_alone():
    table = pa.table({"n": [1, None], "té": ["a", "bc"]})
    numbers = b"\x01" + bytes([1]) + struct.pack("<2q", 1, 0)
    texts = b"\x00" + struct.pack("<3i", 0, 1, 3) + b"abc"
    columns = [
        _leaf(struct.pack("<Q", len(kind)) + kind + struct.pack("<Q", 2) + body)
        for kind, body in ((b"int64", numbers), (b"utf8", texts))
    ]
    schema = (
        '{"columns":[{"name":"n","type":"int64"},{"name":"té","type":"utf8"}],'
        '"recipe":"arrow-table-v1","rows":2}'
    )
    root = _node(_node(_leaf(schema.encode()), _leaf(columns[0])), _leaf(columns[1]))
    assert table_digest(table).value == root.hex()
    assert table_digest(table).recipe == "arrow-table-v1"


def test_the_merkle_root_is_that_of_rfc_6962():
    leaves = [_leaf(bytes([i])) for i in range(5)]
    left = _node(_node(leaves[0], leaves[1]), _node(leaves[2], leaves[3]))
    assert merkle_root(leaves) == _node(left, leaves[4])
    assert merkle_root([]) == hashlib.sha256(b"").digest()
    assert merkle_root(leaves[:1]) == leaves[0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.integers(0, 3 * GROUP_ROWS + 16), st.sampled_from(["add", "null"]))
def test_one_changed_cell_changes_one_column_and_one_row_group(column, row, change):
    n_rows = 3 * GROUP_ROWS + 17
    numbers = np.arange(n_rows)
    values = [numbers, numbers / 3, np.char.mod("%d", numbers % 100), numbers % 2 == 0]
    table = pa.table({f"c{i}": v for i, v in enumerate(values)})
    cells = table.column(column)
    swap = {0: -1, 1: -1.0, 2: "other", 3: not cells[row].as_py()}[column]
    new = pa.array([None if change == "null" else swap], cells.type)
    pieces = [*cells.slice(0, row).chunks, new, *cells.slice(row + 1).chunks]
    changed = table.set_column(column, f"c{column}", pa.chunked_array(pieces))
    first, second = table_tree(table), table_tree(changed)
    diff = diff_tables(first, second)
    assert [(c.name, c.row_groups) for c in diff.changed] == [(f"c{column}", (row // GROUP_ROWS,))]
    assert not diff.equal
    assert not diff.reordered
    assert first.digest != second.digest
    (coarse,) = diff_tables(first.fingerprint(), second.fingerprint()).changed
    assert (coarse.name, coarse.row_groups) == (f"c{column}", None)


def test_the_difference_names_missing_reordered_retyped_and_longer_columns():
    first = table_tree(pa.table({"a": [1], "b": ["x"], "c": [True], "d": [0]}))
    second = table_tree(pa.table({"c": [True], "b": [1.0], "a": [1], "e": [0]}))
    diff = diff_tables(first, second)
    assert (diff.only_in_first, diff.only_in_second, diff.reordered) == (("d",), ("e",), True)
    assert [(c.name, c.types) for c in diff.changed] == [("b", ("utf8", "float64"))]
    longer = diff_tables(first, table_tree(pa.table({"a": [1] * (GROUP_ROWS + 1)})))
    assert longer.n_rows == (1, GROUP_ROWS + 1)
    assert longer.changed[0].row_groups == (0, 1)
    assert diff_tables(first, first).equal


def test_a_tree_survives_json_and_refuses_other_data():
    tree = table_tree(pa.table({"a": [1, 2], "b": ["x", None]}))
    data = json.loads(json.dumps(tree.to_dict()))
    assert TableTree.from_dict(data) == tree
    for broken in (
        {**data, "recipe": "arrow-table-v2"},
        {**data, "more": 1},
        {**data, "columns": [{"name": "a"}]},
        {**data, "n_rows": "2"},
        {},
    ):
        with pytest.raises(FingerprintError):
            TableTree.from_dict(broken)
    with pytest.raises(FingerprintError, match="'a' needs 1 row-group"):
        TableTree(2, (TableColumn("a", "int64", b""),))
    other = Fingerprint.from_dict(tree.fingerprint().to_dict() | {"recipe": "json-v1"})
    with pytest.raises(FingerprintError, match="arrow-table-v1"):
        diff_tables(tree, other)


def test_a_fingerprint_tells_the_schema_and_no_cell():
    print_ = table_fingerprint(pd.DataFrame({"name": ["Zebedee"], "n": [1]}))
    assert print_.kind == "table"
    assert print_.detail["n_rows"] == 1
    assert [(c["name"], c["type"]) for c in print_.detail["columns"]] == [
        ("name", "utf8"),
        ("n", "int64"),
    ]
    assert "Zebedee" not in json.dumps(print_.to_dict())


def test_a_default_index_is_ignored_and_another_is_a_column():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert table_digest(frame) == table_digest(pa.table({"a": [1, 2, 3]}))
    kept = frame[frame["a"] > 1]
    assert table_digest(kept) == table_digest(pa.table({"index": [1, 2], "a": [2, 3]}))
    assert table_digest(kept.reset_index(drop=True)) == table_digest(pl.DataFrame({"a": [2, 3]}))
    named = frame.set_index(pd.Index(["x", "y", "z"], name="key"))
    assert table_digest(named) == table_digest(pa.table({"key": ["x", "y", "z"], "a": [1, 2, 3]}))
    levels = frame.set_index(pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)]))
    assert table_tree(levels).columns[0].name == "level_0"


def test_a_series_is_a_table_of_one_column():
    expected = table_digest(pa.table({"y": [1, 2]}))
    assert table_digest(pd.Series([1, 2], name="y")) == expected
    assert table_digest(pl.Series("y", [1, 2])) == expected
    unnamed = table_digest(pa.array([1, 2]))
    assert table_digest(pd.Series([1, 2])) == table_digest(pl.Series([1, 2])) == unnamed


class _Stream:
    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def test_anything_with_an_arrow_stream_is_a_table():
    table = pa.table({"a": [1, None], "s": pa.array(["x", "y"], pa.string_view())})
    assert table_digest(_Stream(table)) == table_digest(table)
    assert table_digest(table.to_batches()[0]) == table_digest(table)


def test_duplicate_names_are_refused_by_name():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    with pytest.raises(FingerprintError, match="more than once: a"):
        table_digest(frame)
    with pytest.raises(FingerprintError, match="more than once: 1"):
        table_digest(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    with pytest.raises(FingerprintError, match="more than once: b"):
        table_digest(pa.table([[1], [2]], names=["b", "b"]))


@pytest.mark.parametrize(
    "cells", [["a", 1], [object()], [1, "a"], [{1}], [b"a", "a"], [True, "x"], [1 + 2j]]
)
def test_a_column_without_one_type_is_refused_by_name(cells):
    frame = pd.DataFrame({"good": range(len(cells)), "bad": pd.Series(cells, dtype=object)})
    with pytest.raises(FingerprintError, match="'bad'"):
        table_digest(frame)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"a": [1]}).lazy(),
        pd.DataFrame({("a", "b"): [1]}),
        pd.DataFrame({"p": pd.period_range("2024", periods=2, freq="D")}),
        pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}),
        [1, 2, 3],
        None,
    ],
)
def test_what_is_no_table_is_refused(frame):
    with pytest.raises(FingerprintError):
        table_digest(frame)


def test_many_small_chunks_and_no_rows_are_no_exception():
    cells = pa.chunked_array([pa.array([i]) for i in range(20_000)])
    assert table_digest(cells) == table_digest(pa.array(range(20_000)))
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert table_digest(empty) == table_digest(pl.DataFrame({"a": []}, schema={"a": pl.Int64}))
    assert table_tree(empty).columns[0].leaves == b""


def test_a_wide_long_table_hashed_by_threads_equals_its_columns_hashed_alone():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((70_000, 5)), columns=list("abcde"))
    tree = table_tree(frame)
    for column in tree.columns:
        assert table_tree(frame[[column.name]]).columns[0] == column
