"""Entries read in bulk give the rows that they give one by one, and are written the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import approval, dataset, record, run, start

from affidavit.errors import EnvelopeError, LedgerError
from affidavit.lineage import SigningKey, dump_json, parse_entry
from affidavit.lineage._batch import RECORD_TABLES, _texts, index_text, read_batch
from affidavit.lineage._index import derive_rows, rows_of_all
from affidavit.lineage.tables import INDEX_TABLES, TILE, insert_rows

KEY = SigningKey.generate()
STATEMENTS = [statement.sign(KEY).to_bytes() for statement in (run(1), dataset(2), approval())]
NAMES = {
    "prediction": ("id", "time"),
    "decision": ("decision_id", "timestamp"),
    "access": ("id", "time"),
}
cells = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text())
records = st.builds(
    lambda kind, fields, identifier, time: dump_json(
        {**fields, "record": kind, **dict(zip(NAMES[kind], (identifier, time), strict=True))}
    ),
    st.sampled_from(["prediction", "decision", "access"]),
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "model_digest",
                "actor",
                "outcome",
                "path",
                "requested_by",
                "input",
                "result",
                "custom",
                "action",
                "object",
            ]
        ),
        cells
        | st.dictionaries(st.sampled_from(["resource", "allow", "name"]), cells)
        | st.builds(lambda name: {"resource": {"name": name}}, cells),
    ),
    st.text(max_size=5).filter(lambda text: text.isascii()),
    st.text(max_size=5).filter(lambda text: text.isascii()),
)


def by_table(rows):
    found = {}
    for table, row in rows:
        found.setdefault(table.name, []).append(row)
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(records | st.sampled_from(STATEMENTS), max_size=8), st.integers(0, 2**62))
def test_rows_in_bulk_are_the_rows_of_each_entry(bodies, first):
    one_by_one = [row for n, body in enumerate(bodies, first) for row in derive_rows(n, body)]
    in_bulk = {table.name: rows for table, rows in rows_of_all(bodies, first).items()}
    assert in_bulk == by_table(one_by_one)


odd = st.text(max_size=3) | st.sampled_from(["a" * 599, "a" * 600, "a" * 601, "\0", "é" * 700])


@given(st.lists(odd | st.none() | st.integers() | st.lists(odd, max_size=1), max_size=5))
def test_texts_taken_together_are_those_taken_one_by_one(values):
    assert _texts(tuple(values)) == tuple(map(index_text, values))


@settings(max_examples=100, deadline=None)
@given(st.lists(records, max_size=4))
def test_a_batch_counts_records_and_keeps_the_rest(bodies):
    batch = read_batch([*bodies, STATEMENTS[0], *bodies], 10)
    assert batch.records == 2 * len(bodies)
    assert batch.others == [(10 + len(bodies), json.loads(STATEMENTS[0]))]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"null",
        b'{"record":"gossip","id":"1","time":"t"}',
        b'{"record":["prediction"],"id":"1","time":"t"}',
        b'{"record":{},"id":"1","time":"t"}',
        b'{"record":null,"id":"1","time":"t"}',
        b'{"record":"prediction","id":1,"time":"t"}',
        b'{"record":"prediction","id":"1"}',
        b'{"record":"decision","decision_id":"1","timestamp":null}',
        b'{"record":"decision","id":"1","time":"t"}',
        b'{"record":"access","time":"t"}',
        b'{"record":"prediction","id":"1","time":"t","id":"1"}',
    ],
)
def test_what_is_no_entry_is_refused_in_bulk_with_the_same_words(bad, tmp_path):
    with pytest.raises(EnvelopeError) as alone:
        parse_entry(bad)
    with pytest.raises(EnvelopeError) as in_bulk:
        rows_of_all([record("access", 1), bad, record("access", 2)])
    assert in_bulk.value.message == alone.value.message
    log = start(tmp_path)
    with pytest.raises(LedgerError, match="would not verify"):
        log.ledger.append([record("access", 1), bad])
    assert log.ledger.head().size == 1


def test_cells_stand_in_the_order_of_the_columns():
    fields = {
        "prediction": ("id", "model", "model_digest", "actor", "outcome", "time"),
        "decision": ("id", "entrypoint", "resource", "actor", "allow", "time"),
        "access": ("actor", "action", "object", "time"),
    }
    tables = {table.name: table for table in INDEX_TABLES}
    for kind in RECORD_TABLES:
        columns = tuple(tables[kind].columns.keys())
        assert columns == ("entry", "ordinal", *fields[kind])
        value = {name: f"value of {name}" for name in columns if name != "allow"} | {"allow": True}
        said = {**value, "id": "value of id"}
        if kind == "decision":
            said = {
                "decision_id": "value of id",
                "timestamp": value["time"],
                "path": value["entrypoint"],
                "requested_by": value["actor"],
                "input": {"resource": {"name": value["resource"]}},
                "result": {"allow": True},
            }
        body = dump_json({**said, "record": kind})
        (row,) = read_batch([body], 7).rows[kind]
        assert row == (7, 0, *(value[name] for name in columns[2:]))


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100, 149])
def test_rows_written_many_at_once_are_all_there(tmp_path, count):
    ledger = start(tmp_path).ledger
    rows = [(7, number, bytes([number])) for number in range(count)]
    with ledger.store.writing() as connection:
        insert_rows(connection, TILE, rows)
    with ledger.store.reading() as connection:
        found = connection.exec_driver_sql("SELECT * FROM tile WHERE level = 7 ORDER BY position")
        assert [tuple(row) for row in found] == rows


def test_entries_prepared_for_another_place_are_moved_with_their_rows(tmp_path):
    log = start(tmp_path)
    other = log.reopen()
    # Each of the two believes that the log ends where it left it itself.
    for number in range(3):
        log.ledger.append([record("prediction", number), dataset(number).sign(KEY).to_bytes()])
        other.append([record("decision", number), dataset(9 + number).sign(KEY).to_bytes()])
    other.close()
    assert {fault.code for fault in log.verify().errors} == {"statement-invalid"}
    assert [row[0] for row in log.rows("SELECT entry FROM decision ORDER BY entry")] == [3, 7, 11]
