"""The index is made anew from the entries to the same rows, and edits of it are undone."""

from __future__ import annotations

import sqlite3

import pytest
from logs import dataset

from affidavit.errors import LedgerCorruptError
from affidavit.lineage import reindex
from affidavit.lineage.tables import INDEX_TABLES, LEDGER_TABLES


@pytest.fixture(params=["sqlite", "postgresql"])
def store_kind(request):
    return request.param


def dump(log):
    if log.server is None:
        with sqlite3.connect(log.path) as connection:
            return "\n".join(connection.iterdump()).encode()
    tables = (*LEDGER_TABLES, *INDEX_TABLES)
    return {t.name: log.rows(f"SELECT * FROM {t.name} ORDER BY 1, 2") for t in tables}


def test_an_index_in_order_is_made_anew_byte_for_byte(log):
    before = dump(log)
    done = reindex(log.ledger)
    assert (done.entries, done.missing, done.changed, done.extra) == (28, 0, 0, 0)
    assert done.rows == sum(
        log.rows(f"SELECT count(*) FROM {table.name}")[0][0] for table in INDEX_TABLES
    )
    assert dump(log) == before


@pytest.mark.parametrize(
    ("sql", "missing", "changed", "extra"),
    [
        ("UPDATE statement SET name = 'other' WHERE entry = 1", 0, 1, 0),
        ("UPDATE decision SET allow = FALSE", 0, 4, 0),
        ("UPDATE prediction SET id = 'ÿ' WHERE entry = 4", 0, 1, 0),
        ("UPDATE artifact SET entry = 9 WHERE entry = 1", 1, 0, 1),
        ("DELETE FROM prediction", 6, 0, 0),
        ("DELETE FROM approval", 1, 0, 0),
        ("INSERT INTO approval VALUES (99, 0, 'd', 'n', 'a', 'k', 't')", 0, 0, 1),
        ("DROP TABLE access", 2, 0, 0),
    ],
)
def test_an_edited_index_is_repaired_and_the_rows_are_counted(log, sql, missing, changed, extra):
    before = dump(log)
    log.ledger.close()
    log.cut(sql)
    done = reindex(log.ledger)
    assert (done.missing, done.changed, done.extra) == (missing, changed, extra)
    assert log.verify().ok
    if not sql.startswith("DROP"):
        assert dump(log) == before


def test_the_log_goes_on_after_its_index_was_made_anew(log):
    reindex(log.ledger)
    log.ledger.append([dataset(77).sign(log.recorder).to_bytes()])
    assert log.verify().ok
    assert reindex(log.ledger).entries == 29


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET body = (SELECT body FROM entry WHERE entry = 2) WHERE entry = 1",
        "DELETE FROM entry WHERE entry = 27",
        "DELETE FROM entry WHERE entry = 3",
        "UPDATE entry SET entry = 40 WHERE entry = 27",
    ],
)
def test_an_index_is_not_made_from_entries_that_were_changed(log, sql):
    log.cut("UPDATE statement SET name = 'other' WHERE entry = 1")
    log.cut(sql)
    before = dump(log)
    with pytest.raises(LedgerCorruptError, match="left as it is"):
        reindex(log.ledger)
    assert dump(log) == before


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET body = CAST(body AS TEXT) WHERE entry = 5",
        "UPDATE prediction SET id = x'00ff' WHERE entry = 4",
    ],
)
def test_values_of_another_type_are_no_entries_and_no_index_rows(log, sql):
    log.cut(sql)
    if sql.startswith("UPDATE entry"):
        with pytest.raises(LedgerCorruptError, match="left as it is"):
            reindex(log.ledger)
    else:
        assert reindex(log.ledger).changed == 1
        assert log.verify().ok


def test_progress_is_told_in_entries(log):
    told = []
    reindex(log.ledger, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (28, 28)


def test_many_entries_are_read_in_batches(log, monkeypatch):
    from affidavit.lineage import _reindex

    monkeypatch.setattr(_reindex, "_BATCH", 5)
    before, told = dump(log), []
    reindex(log.ledger, progress=lambda done, _total: told.append(done))
    assert told == [5, 10, 15, 20, 25, 28]
    assert dump(log) == before


def test_the_figures_are_json_safe(log):
    assert reindex(log.ledger).to_dict() == {
        "entries": 28,
        "rows": reindex(log.ledger).rows,
        "missing": 0,
        "changed": 0,
        "extra": 0,
    }
