"""Tables that come as streams: DuckDB relations, query results, readers. And BLAKE3."""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
import subprocess
import sys
import uuid

import blake3
import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import FingerprintError
from affidavit.lineage import fingerprint
from affidavit.lineage._frames import table_digest, table_tree
from affidavit.lineage._table_tree import GROUP_ROWS, TableTree, diff_tables

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CELLS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int8(): st.integers(-128, 127),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.bool_(): st.booleans(),
    pa.string(): TEXT,
    pa.binary(): st.binary(max_size=12),
    pa.date32(): st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1)),
    pa.timestamp("us"): st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),  # noqa: DTZ001  # naive is meant
    pa.time64("us"): st.times(),
    pa.decimal128(12, 2): st.decimals(-(10**9), 10**9, places=2),
    pa.list_(pa.string()): st.lists(st.none() | TEXT, max_size=3),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(-9, 9), "b": st.none() | TEXT}
    ),
}


@st.composite
def tables(draw):
    n_rows = draw(st.integers(0, 8))
    picked = draw(st.lists(st.sampled_from(tuple(CELLS)), min_size=1, max_size=4))
    columns = {}
    for i, kind in enumerate(picked):
        cells = draw(st.lists(st.none() | CELLS[kind], min_size=n_rows, max_size=n_rows))
        columns[f"c{i}"] = pa.array(cells, kind)
    return pa.table(columns)


@pytest.fixture
def db():
    with duckdb.connect() as connection:
        yield connection


@settings(deadline=None, max_examples=40)
@given(tables())
def test_arrow_polars_and_duckdb_agree_on_every_table(table):
    expected = table_digest(table)
    with duckdb.connect() as connection:
        relation = connection.from_arrow(table)
        assert table_digest(relation) == expected
        assert table_digest(nw.from_native(relation)) == expected
        stored = relation.project("*")
        stored.create("stored")
        assert table_digest(connection.table("stored")) == expected
        assert table_digest(relation.pl()) == expected
        assert table_digest(pl.from_arrow(table)) == expected


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.none() | TEXT, min_size=1, max_size=8).filter(any),
    st.lists(st.floats() | st.none(), min_size=1, max_size=8),
)
def test_pandas_and_duckdb_agree_on_text_categories_and_numbers(texts, numbers):
    n_rows = min(len(texts), len(numbers))
    frame = pd.DataFrame(
        {
            "text": pd.Series([*texts[:n_rows], "x"], dtype="str"),
            "kind": pd.Series(["b", "a", *texts][: n_rows + 1], dtype="category"),
            "number": pd.Series([*numbers[:n_rows], 1.0], dtype="float64"),
        }
    )
    with duckdb.connect() as connection:
        assert table_digest(connection.from_df(frame)) == table_digest(frame)


@settings(deadline=None, max_examples=40)
@given(tables(), st.integers(1, 4))
def test_how_a_stream_is_batched_does_not_show(table, size):
    batches = table.to_batches(max_chunksize=size)
    reader = pa.RecordBatchReader.from_batches(table.schema, batches)
    assert table_digest(reader) == table_digest(table)


@pytest.mark.parametrize("n_rows", [0, 1, GROUP_ROWS - 1, GROUP_ROWS, 2 * GROUP_ROWS + 17])
@pytest.mark.parametrize("batch", [1000, 65_537, 300_000])
def test_row_groups_are_cut_at_the_same_rows_however_the_batches_fall(n_rows, batch):
    numbers = np.arange(n_rows)
    table = pa.table({"n": numbers, "t": np.char.mod("%d", numbers % 1000)})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(batch))
    assert table_tree(reader) == table_tree(table)


def test_a_large_relation_equals_the_same_rows_in_memory(db):
    relation = db.sql("select range as n, (range % 7)::varchar as t from range(200000)")
    assert table_tree(relation) == table_tree(relation.to_arrow_table())
    assert len(table_tree(relation).columns[0].groups) == 4


def test_a_relation_is_not_held_in_memory():
    # 40 million rows are 320 MB as a column; the process may grow by a fraction of that.
    script = """if True:
        import resource, duckdb
        from affidavit.lineage import table_tree
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        table_tree(duckdb.sql("select range as n from range(100000)"))
        before = peak()
        print(table_tree(duckdb.sql("select range as n from range(40000000)")).n_rows)
        print((peak() - before) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    rows, grown = map(int, done.stdout.split())
    assert rows == 40_000_000
    assert grown < 120


def test_the_result_of_a_query_is_a_table_and_is_read_once(db):
    expected = table_digest(pa.table({"a": pa.array([1, 2], pa.int32())}))
    with pytest.warns(UserWarning, match="DB-API"):
        assert table_digest(db.execute("select unnest([1, 2])::int as a")) == expected
    with pytest.raises(FingerprintError, match="did not give its rows"):
        table_digest(db)


def test_a_query_that_fails_at_its_first_or_a_later_row_is_refused(db):
    failing = "select case when range = {} then error('boom') else 'x' end as c from range(500000)"
    for row in (0, 400_000):
        with pytest.raises(FingerprintError, match="did not give its rows"):
            table_digest(db.sql(failing.format(row)))


def test_columns_of_one_name_are_refused_in_a_stream(db):
    reader = pa.RecordBatchReader.from_batches(
        pa.schema([("a", pa.int64()), ("a", pa.int64())]), []
    )
    with pytest.raises(FingerprintError, match="more than once: a"):
        table_digest(reader)
    with pytest.raises(FingerprintError, match="'i'"):
        table_digest(db.sql("select interval 3 days as i"))


def test_the_time_zone_of_the_session_does_not_show(db):
    query = """select timestamptz '2024-02-29 12:00:00+00' as t, [t] as l, {'t': t} as s,
               map {t: [t]} as m, [t, t]::timestamptz[2] as a"""
    digests = set()
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        db.execute(f"set TimeZone='{zone}'").fetchall()
        digests.add(table_digest(db.sql(query)))
    assert len(digests) == 1
    moment = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    single = table_digest(db.sql("select timestamptz '2024-02-29 12:00:00+00' as t"))
    assert single == table_digest(pl.DataFrame({"t": [moment]}))
    assert single != table_digest(db.sql("select timestamptz '2024-02-29 12:00:01+00' as t"))


def test_enums_uuids_and_wide_integers_of_duckdb_have_digests(db):
    enum = db.sql("select unnest(['a', 'b'])::enum('b', 'a') as e")
    assert table_digest(enum) == table_digest(pa.table({"e": ["a", "b"]}))
    known = uuid.UUID(int=7)
    assert table_digest(db.sql(f"select '{known}'::uuid as u")) == table_digest(
        pa.table({"u": [str(known)]})
    )
    wide = db.sql("select 170141183460469231731687::hugeint as h")
    assert table_digest(wide) == table_digest(wide.to_arrow_table())


def test_a_relation_is_a_table_to_the_fingerprint_of_any_object(db):
    relation = db.sql("select 1::bigint as a")
    assert fingerprint(relation).digest == table_digest(pa.table({"a": [1]}))
    assert relation.fetchall() == [(1,)]


def test_rows_in_another_order_are_another_table(db):
    rows = "select unnest([1, 2, 3]) as n"
    up, down = (db.sql(f"{rows} order by n {way}") for way in ("asc", "desc"))
    assert table_digest(up) != table_digest(down)


# -- BLAKE3 ---------------------------------------------------------------------------------------


def test_a_blake3_digest_is_the_same_tree_over_another_hash():
    table = pa.table({"n": [1, 2]})

    def leaf(data):
        return blake3.blake3(b"\x00" + data).digest()

    group = struct.pack("<Q", 5) + b"int64" + struct.pack("<Q", 2)
    column = leaf(group + b"\x00" + struct.pack("<2q", 1, 2))
    schema = b'{"columns":[{"name":"n","type":"int64"}],"recipe":"arrow-table-v1","rows":2}'
    root = blake3.blake3(b"\x01" + leaf(schema) + leaf(column)).hexdigest()
    digest = table_digest(table, "blake3")
    assert (digest.algorithm, digest.value, digest.recipe) == ("blake3", root, "arrow-table-v1")


@settings(deadline=None, max_examples=30)
@given(tables())
def test_libraries_agree_under_blake3_too(table):
    expected = table_digest(table, "blake3")
    assert table_digest(pl.from_arrow(table), "blake3") == expected
    with duckdb.connect() as connection:
        assert table_digest(connection.from_arrow(table), "blake3") == expected
    tree = table_tree(table, "blake3")
    assert TableTree.from_dict(tree.to_dict()) == tree
    assert diff_tables(tree, tree.fingerprint()).equal


def test_tables_hashed_differently_are_not_compared():
    table = pa.table({"n": [1]})
    with pytest.raises(FingerprintError, match="nothing can be told"):
        diff_tables(table_tree(table), table_tree(table, "blake3"))
    with pytest.raises(FingerprintError, match="32 bytes"):
        table_tree(table, "sha512")
    with pytest.raises(FingerprintError, match="md5"):
        table_tree(table, "md5")


def test_a_fingerprint_whose_columns_are_not_those_of_its_digest_is_not_compared():
    tree = table_tree(pa.table({"n": [1], "m": [2]}))
    data = tree.fingerprint().to_dict()
    data["detail"]["columns"][0]["digest"] = hashlib.sha256(b"").hexdigest()
    forged = type(tree.fingerprint()).from_dict(data)
    with pytest.raises(FingerprintError, match="do not give"):
        diff_tables(tree, forged)
