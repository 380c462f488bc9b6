"""Blocks, ranges and helping processes find just what the walk entry by entry finds."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import ORIGIN, TIME, dataset, decision_fields, run, start

from affidavit.lineage import (
    RETENTION,
    Checkpoint,
    SigningKey,
    open_checkpoint,
    record_bytes,
    verify_ledger,
)
from affidavit.lineage import _range_workers as workers_module
from affidavit.lineage import _verify as verify_module
from affidavit.lineage._batch import Run, read_batch
from affidavit.lineage._findings import MAX_FINDINGS
from affidavit.lineage._index import rows_of_all
from affidavit.lineage._merkle import CompactRange, leaf_hashes
from affidavit.lineage._range_workers import RangeWorkers, range_workers
from affidavit.lineage._ranges import read_range
from affidavit.lineage._sqlite_store import SqliteStore
from affidavit.lineage._tiles import extend_tiles
from affidavit.lineage._walk import Walk
from affidavit.lineage.tables import CHECKPOINT, ENTRY, INDEX_TABLES, insert_rows

LENGTH = 1024
SIZE = 3 * LENGTH + 300
WRITERS = ["a" * 32, "b" * 32]
# Statements stand at borders and in between; the checkpoints are at uneven places.
STATEMENTS = {1: 1, LENGTH - 1: 2, LENGTH: 3, 1500: 4, 2 * LENGTH: 5, SIZE - 1: 6}
SIZES = [1, 2, 700, LENGTH - 1, LENGTH, LENGTH + 1, 1900, 2 * LENGTH + 5, 3000, 3200, SIZE]


def numbered(kind, index, number):
    fields = {
        "prediction": {"model": "m", "model_digest": "sha256:00", "outcome": "0.7"},
        "decision": decision_fields("serve", "m", allow=index % 3 == 0, actor=f"é{index}"),
        "access": {"action": "read", "object": "report"},
    }[kind]
    which = {"writer": WRITERS[index // 7 % 2], "number": number}
    own = {"id": f"{kind}-{index}", "time": TIME, "actor": f"é{index}"}
    if kind == "decision":
        own = {"decision_id": own["id"], "timestamp": TIME}
    return record_bytes(kind, {**own, **which, **fields})


def event(index, writer, **said):
    return record_bytes("writer", {"id": f"w{index}", "time": TIME, "writer": writer, **said})


def bodies_of(log):
    bodies = [body for _, body in log.ledger.entries()]
    following = dict.fromkeys(WRITERS, 0)
    for index in range(1, SIZE):
        if index in STATEMENTS:
            statement = run(index) if index == 1500 else dataset(STATEMENTS[index])
            bodies.append(statement.sign(log.recorder).to_bytes())
        elif index in {2, 3}:
            bodies.append(event(index, WRITERS[index - 2], event="opened", place="here"))
        elif index in {SIZE - 3, SIZE - 2}:
            writer = WRITERS[SIZE - 2 - index]
            said = {"event": "closed", "numbers": following[writer], "outcome": "closed"}
            bodies.append(event(index, writer, **said))
        else:
            writer = WRITERS[index // 7 % 2]
            kind = ("prediction", "decision", "access")[index % 5 % 3]
            bodies.append(numbered(kind, index, following[writer]))
            following[writer] += 1
    return bodies


def write(log, bodies, path):
    """Write a store over any entries, every derived part of it consistent and signed."""
    path.unlink(missing_ok=True)
    store = SqliteStore(path, create=True)
    tree = CompactRange()
    with store.writing() as connection:
        store.create_tables(connection)
        insert_rows(connection, ENTRY, list(enumerate(bodies)))
        good = {}
        for index, body in enumerate(bodies):
            with contextlib.suppress(Exception):
                for table, rows in rows_of_all([body], index).items():
                    good.setdefault(table, []).extend(rows)
        for table, rows in good.items():
            insert_rows(connection, table, rows)
        for size in SIZES:
            extend_tiles(connection, tree, leaf_hashes(bodies[tree.size : size]))
            count = sum(b'"payloadType"' in body for body in bodies[: tree.size])
            checkpoint = Checkpoint.counting(ORIGIN, tree.size, tree.root(), count)
            note = checkpoint.signed(log.signer)
            insert_rows(connection, CHECKPOINT, [(tree.size, note)])
    store.close()
    return dataclasses.replace(log, path=path)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths")
    log = start(folder)
    bodies = bodies_of(log)
    log.ledger.close()
    return write(log, bodies, folder / "made.db"), bodies


@pytest.fixture
def log(original, tmp_path):
    """A log of three ranges and a rest."""
    shutil.copy(original[0].path, tmp_path / "log.db")
    return dataclasses.replace(original[0], path=tmp_path / "log.db")


def alone(log, exported=None):
    """The walk entry by entry, which the others must agree with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Walk, "_take", lambda *_: False)
        return verify_ledger(log.path, log.signer.verifier, exported=exported, processes=1)


def in_blocks(log, exported=None):
    return verify_ledger(log.path, log.signer.verifier, exported=exported, processes=1)


def in_ranges(log, exported=None, *, needed=0):
    """Ranges as helpers read them, all of them in this process."""
    taken = []

    @contextlib.contextmanager
    def without_helpers(connection, stop, sizes, _):
        raw = connection.connection.dbapi_connection
        queries = dataclasses.replace(workers_module._queries(connection), length=LENGTH)

        def read(at):
            taken.append(read_range(raw, queries, at, sizes))
            return taken[-1]

        yield RangeWorkers(read, [], stop // LENGTH, LENGTH)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify_module, "range_workers", without_helpers)
        found = in_blocks(log, exported)
    assert len([facts for facts in taken if facts is not None]) >= needed
    return found


def in_processes(log, exported=None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers_module, "RANGE", LENGTH)
        return verify_ledger(log.path, log.signer.verifier, exported=exported, processes=2)


def same(log, exported=None, *, ways=(in_blocks, in_ranges)):
    """What is found, after all ways have found the same."""
    expected = alone(log, exported).to_dict()
    for way in ways:
        assert comparable(way(log, exported).to_dict()) == comparable(expected)
    return expected


def comparable(report):
    """A report less what may differ: the order of what stands nowhere in the log, and which ones
    of very many faults of one kind are kept."""
    counts = collections.Counter(fault["code"] for fault in report["errors"])
    errors = [
        fault if counts[fault["code"]] < MAX_FINDINGS else {"code": fault["code"]}
        for fault in report["errors"]
    ]
    in_place = [fault for fault in errors if fault.get("index") is not None]
    return {**report, "errors": [sorted(map(repr, errors)), in_place]}


def named(report):
    return {(fault["code"], fault["where"]) for fault in report["errors"]}


def test_an_untouched_log_is_read_alike_by_every_way(log):
    report = same(log, ways=(in_blocks, in_ranges, in_processes))
    assert report["ok"]
    assert (report["size"], report["statements"]) == (SIZE, len(STATEMENTS) + 1)
    assert report["records"] == SIZE - len(STATEMENTS) - 1
    assert (report["checkpoints"], report["writers"]) == (len(SIZES), 2)
    in_ranges(log, needed=3)


def test_blocks_are_taken_whole_where_nothing_differs(log, monkeypatch):
    monkeypatch.setattr(Walk, "_entry", lambda *_: pytest.fail("entry by entry"))
    assert in_blocks(log).ok
    assert in_ranges(log, needed=3).ok


def test_statements_are_handed_out_in_log_order_by_every_way(log, monkeypatch):
    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    orders = []
    for processes in (1, 2):
        seen = []
        verify_ledger(
            log.path,
            log.signer.verifier,
            on_statement=lambda index, statement: seen.append((index, statement.kind)),  # noqa: B023
            processes=processes,
        )
        orders.append(seen)
    assert orders[0] == orders[1]
    assert [index for index, _ in orders[0]] == [0, *STATEMENTS]


def test_progress_never_runs_backwards_or_beyond_the_end(log, monkeypatch):
    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    for processes in (1, 2):
        told = []
        verify_ledger(
            log.path,
            log.signer.verifier,
            progress=lambda *at: told.append(at),  # noqa: B023
            processes=processes,
        )
        assert told == sorted(told)
        assert (told[0], told[-1]) == ((0, SIZE), (SIZE, SIZE))


FLIP = "UPDATE entry SET body = CAST(substr(body, 1, 30) || 'X' || substr(body, 32) AS BLOB)"
RECORD_ROW = "SELECT {}, {}, id, model, model_digest, actor, outcome, time FROM prediction LIMIT 1"
BORDERS = [0, 5, LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH - 1, 2 * LENGTH, 3 * LENGTH, SIZE - 1]
TAMPERED = {
    **{f"a byte of entry {n}": ([f"{FLIP} WHERE entry = {n}"], f"entry {n}") for n in BORDERS},
    **{f"no entry {n}": ([f"DELETE FROM entry WHERE entry = {n}"], f"entry {n}") for n in BORDERS},
    **{
        f"text in entry {n}": (
            [f"UPDATE entry SET body = CAST(body AS TEXT) WHERE entry = {n}"],
            f"entry {n}",
        )
        for n in (5, LENGTH, 2 * LENGTH - 1)
    },
    "no entries across a border": (
        [f"DELETE FROM entry WHERE entry BETWEEN {LENGTH - 9} AND {LENGTH + 9}"],
        f"entries {LENGTH - 9} to {LENGTH + 9}",
    ),
    "a whole range gone": (
        [f"DELETE FROM entry WHERE entry >= {LENGTH} AND entry < {2 * LENGTH}"],
        f"entries {LENGTH} to {2 * LENGTH - 1}",
    ),
    "more than a range gone, index and all": (
        [
            f"DELETE FROM {table} WHERE entry >= 900 AND entry < 2500"
            for table in ("entry", *(table.name for table in INDEX_TABLES))
        ],
        "entries 900 to 2499",
    ),
    "nothing left": (["DELETE FROM entry"], f"entries 0 to {SIZE - 1}"),
    "only the end left": (["DELETE FROM entry WHERE entry < 3300"], "entries 0 to 3299"),
    "swapped across ranges": (
        [
            "UPDATE entry SET entry = -99 WHERE entry = 100",
            "UPDATE entry SET entry = 100 WHERE entry = 2900",
            "UPDATE entry SET entry = 2900 WHERE entry = -99",
        ],
        "entry 2900",
    ),
    "an entry below": (["INSERT INTO entry VALUES (-1, x'7b7d')"], "entry -1"),
    "an entry far above": (["INSERT INTO entry VALUES (999999, x'7b7d')"], "entry 999999"),
    "an entry after the end": ([f"INSERT INTO entry VALUES ({SIZE}, x'7b7d')"], f"entry {SIZE}"),
    **{
        f"another actor of {n}": (
            [f"UPDATE prediction SET actor = 'x' WHERE entry = {n}"],
            f"index prediction, entry {n}",
        )
        for n in (5, 1025, 2 * LENGTH - 3)
    },
    "another actor everywhere": (["UPDATE access SET actor = 'x'"], None),
    "a cell of a statement's row": (
        [f"UPDATE artifact SET name = 'x' WHERE entry = {LENGTH}"],
        f"index artifact, entry {LENGTH}",
    ),
    "no row of a statement": (
        [f"DELETE FROM statement WHERE entry = {LENGTH - 1}"],
        f"index statement, entry {LENGTH - 1}",
    ),
    "no rows of a table": (["DELETE FROM decision"], "index decision, entry 6"),
    **{
        f"a further row at {entry}, {ordinal}": (
            [f"INSERT INTO prediction {RECORD_ROW.format(entry, ordinal)}"],
            f"index prediction, entry {where}",
        )
        for entry, ordinal, where in [
            (LENGTH - 1, 0, LENGTH - 1),
            (LENGTH, 0, LENGTH),
            (1025, 1, 1025),
            (1025, -1, 1025),
            (1025, "'x'", 1025),
            (-3, 0, -3),
            (SIZE, 0, SIZE),
            (10**15, 0, 10**15),
            ("'text'", 0, None),
            ("x'00'", 0, None),
            (1025.5, 0, None),
            (-0.5, 0, None),
            ("9e99", 0, None),
        ]
    },
    "a row of a statement where there is none": (
        ["INSERT INTO edge SELECT 2000, 0, source, target, via FROM edge LIMIT 1"],
        "index edge, entry 2000",
    ),
    "a row moved to another range": (
        ["UPDATE prediction SET entry = 2501, ordinal = 5 WHERE entry = 5"],
        "index prediction, entry 5",
    ),
    "text in an integer column": (
        ["UPDATE decision SET allow = 'yes' WHERE entry = 1026"],
        "index decision, entry 1026",
    ),
    "bytes in a text column": (
        ["UPDATE prediction SET actor = CAST(actor AS BLOB) WHERE entry = 1025"],
        "index prediction, entry 1025",
    ),
    "a key of text": (
        ["UPDATE prediction SET entry = 'x' WHERE entry = 1025"],
        "index prediction, entry 1025",
    ),
    **{
        f"a hash of tile {level}/{position}": (
            [
                (
                    "UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) "
                    f"WHERE level = {level} AND position = {position}"
                )
            ],
            f"tile {level}/{position}",
        )
        for level, position in [(0, 0), (0, 3), (0, 4), (0, 13), (1, 0)]
    },
    "no tile": (["DELETE FROM tile WHERE level = 0 AND position = 5"], "tile 0/5"),
    "a tile too long": (
        ["UPDATE tile SET hashes = CAST(hashes || x'00' AS BLOB) WHERE position = 5"],
        "tile 0/5",
    ),
    "a tile of text": (["UPDATE tile SET hashes = 'x' WHERE position = 5"], "tile 0/5"),
    "a tile at a text": (["INSERT INTO tile VALUES (0, 'x', x'00')"], "tile 0/x"),
    **{
        f"a byte of checkpoint {size}": (
            [
                (
                    "UPDATE checkpoint SET note = CAST(substr(note, 1, 40) || "
                    "CASE hex(substr(note, 41, 1)) WHEN '78' THEN 'y' ELSE 'x' END || "
                    f"substr(note, 42) AS BLOB) WHERE size = {size}"
                )
            ],
            f"checkpoint {size}",
        )
        for size in (LENGTH - 1, LENGTH, 1900, SIZE)
    },
    "a checkpoint under another size": (
        ["UPDATE checkpoint SET size = 1950 WHERE size = 1900"],
        "checkpoint 1950",
    ),
    "no last checkpoints": (["DELETE FROM checkpoint WHERE size > 2000"], "entry 1900"),
    "no checkpoints": (["DELETE FROM checkpoint"], "checkpoints"),
    "two things in two ranges": (
        [f"{FLIP} WHERE entry = 50", f"{FLIP} WHERE entry = 2600"],
        "entry 2600",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_changed_is_named_alike_by_every_way(log, name):
    statements, where = TAMPERED[name]
    for statement in statements:
        log.cut(statement)
    report = same(log)
    assert not report["ok"]
    if where is not None:
        assert where in {fault["where"] for fault in report["errors"]}


@pytest.mark.parametrize(
    "name",
    [
        f"a byte of entry {LENGTH}",
        "a whole range gone",
        "swapped across ranges",
        f"a further row at {LENGTH - 1}, 0",
        "a further row at 'text', 0",
        "a hash of tile 0/4",
        "a byte of checkpoint 1900",
        "no rows of a table",
    ],
)
def test_helping_processes_change_nothing_in_what_is_found(log, name):
    for statement in TAMPERED[name][0]:
        log.cut(statement)
    assert not same(log, ways=(in_processes,))["ok"]


def test_a_text_that_is_not_utf8_is_named_by_every_way(log):
    log.cut("UPDATE prediction SET actor = CAST(x'ff' AS TEXT) WHERE entry = 1025")
    for way in (alone, in_blocks, in_ranges):
        assert ("index-changed", "index prediction") in named(way(log).to_dict())


def test_an_entry_and_its_tile_changed_together_are_caught_by_every_way(log):
    log.cut(f"{FLIP} WHERE entry = 1200")
    body = log.rows("SELECT body FROM entry WHERE entry = 1200")[0][0]
    tile = log.rows("SELECT hashes FROM tile WHERE level = 0 AND position = 4")[0][0]
    at = (1200 - 1024) * 32
    forged = tile[:at] + leaf_hashes([body])[0] + tile[at + 32 :]
    log.cut("UPDATE tile SET hashes = ? WHERE level = 0 AND position = 4", forged)
    assert ("root-mismatch", "checkpoint 1900") in named(same(log))


@pytest.mark.parametrize("size", SIZES)
def test_another_history_shows_beside_an_exported_checkpoint_by_every_way(log, size):
    wrong = Checkpoint(ORIGIN, size, b"\1" * 32).signed(log.signer)
    assert named(same(log, wrong)) == {("history-rewritten", f"checkpoint {size}")}


@pytest.mark.parametrize("size", [0, 3, 777, LENGTH, LENGTH + 1, 2500, SIZE])
def test_the_same_history_extends_an_exported_checkpoint_by_every_way(log, original, size):
    tree = CompactRange()
    tree.extend(leaf_hashes(original[1][:size]))
    right = Checkpoint(ORIGIN, size, tree.root()).signed(log.signer)
    assert same(log, right)["ok"]
    ways = (in_processes,) if size == 777 else ()
    assert same(log, right, ways=ways)["ok"]


# Whoever holds the log's key can sign anything; what is signed is read no less strictly.


def resigned(original, tmp_path, **changed):
    log, bodies = original[0], list(original[1])
    for key, body in changed.items():
        bodies[int(key[1:])] = body(bodies[int(key[1:])]) if callable(body) else body
    return write(log, bodies, tmp_path / "resigned.db")


@pytest.mark.parametrize("index", [5, LENGTH - 2, LENGTH + 1, 3 * LENGTH + 7])
@pytest.mark.parametrize(
    "bad",
    [
        lambda body: b'{"number":1,' + body[1:],
        lambda body: body[:-1] + b"," + re.search(rb'"record":"[a-z]+"', body)[0] + b"}",
        lambda body: body.replace(b'"number"', b'"number":1,"number"'),
        lambda _: b'{"record":"gossip","id":"1","time":"t"}',
        lambda _: b'{"record":"prediction","id":1,"time":"t"}',
        lambda _: b'{"payload":"","payloadType":"","signatures":[]}',
        lambda _: b"\xff",
    ],
    ids=["twice", "twice the same", "twice inside", "kind", "id", "envelope", "bytes"],
)
def test_a_malformed_entry_under_a_valid_checkpoint_is_named_by_every_way(
    original, tmp_path, index, bad
):
    log = resigned(original, tmp_path, **{f"_{index}": bad})
    assert ("entry-malformed", f"entry {index}") in named(same(log))


def test_a_record_with_spaces_is_read_the_careful_way_and_accepted(original, tmp_path):
    spaced = {
        f"_{n}": lambda body: body.replace(b'","', b'", "').replace(b'":', b'" :')
        for n in (5, LENGTH + 1)
    }
    report = same(resigned(original, tmp_path, **spaced))
    assert report["ok"]


@pytest.mark.parametrize("index", [1, LENGTH - 1, LENGTH, 1500, SIZE - 1])
def test_a_statement_of_an_unknown_key_is_named_by_every_way(original, tmp_path, index):
    forged = dataset(77).sign(SigningKey.generate()).to_bytes()
    log = resigned(original, tmp_path, **{f"_{index}": forged})
    assert named(same(log)) == {("statement-invalid", f"entry {index}")}


def pruned(original, tmp_path, runs, *, listed=None):
    """The log after records were pruned, with the statement that says so at its end."""
    gone = [index for first, count in runs for index in range(first, first + count)]
    numbers = {}
    for index in gone:
        said = json.loads(original[1][index])
        numbers.setdefault(said["writer"], []).append([said["number"], 1])
    said = {"runs": runs if listed is None else listed, "before": SIZE - 1, "writers": numbers}
    statement = dataclasses.replace(dataset(6), predicate_type=RETENTION)
    statement = dataclasses.replace(statement, predicate={**statement.predicate, "records": said})
    body = statement.sign(original[0].recorder).to_bytes()
    log = resigned(original, tmp_path, **{f"_{SIZE - 1}": body})
    for table in ("entry", *(table.name for table in INDEX_TABLES)):
        log.cut(f"DELETE FROM {table} WHERE entry IN ({', '.join(map(str, gone))})")
    return log


@pytest.mark.parametrize(
    "runs",
    [
        [[4, 10]],
        [[LENGTH - 4, 3], [LENGTH + 1, 5]],
        [[LENGTH + 1, 1499 - LENGTH], [1501, 547], [2 * LENGTH + 1, 1100]],
    ],
    ids=["at the beginning", "across a border", "more than a range"],
)
def test_pruned_records_are_passed_over_by_every_way(original, tmp_path, runs):
    log = pruned(original, tmp_path, runs)
    report = same(log)
    assert report["errors"] == []
    assert report["pruned"] == sum(count for _, count in runs)


def test_what_was_deleted_and_not_pruned_is_named_by_every_way(original, tmp_path):
    runs = [[LENGTH - 4, 3], [LENGTH + 1, 5]]
    log = pruned(original, tmp_path, runs, listed=runs[:1])
    where = f"entries {LENGTH + 1} to {LENGTH + 5}"
    assert ("entry-missing", where) in named(same(log))


def test_a_statement_that_was_removed_as_a_record_is_named_by_every_way(original, tmp_path):
    log = original[0]
    shutil.copy(log.path, tmp_path / "counted.db")
    log = dataclasses.replace(log, path=tmp_path / "counted.db")
    note = log.rows("SELECT note FROM checkpoint WHERE size = 1900")[0][0]
    right = open_checkpoint(note, log.signer.verifier)
    for count in (4, 6):
        wrong = Checkpoint.counting(ORIGIN, 1900, right.root, count).signed(log.signer)
        log.cut("UPDATE checkpoint SET note = ? WHERE size = 1900", wrong)
        assert named(same(log)) == {("statement-missing", "checkpoint 1900")}


@pytest.mark.parametrize("index", [10, LENGTH - 2, LENGTH + 1])
@pytest.mark.parametrize("number", [0, 3, 10**6, -1, True, None, "1", 2.5])
def test_a_wrong_number_of_a_writer_is_named_by_every_way(original, tmp_path, index, number):
    log = resigned(original, tmp_path, **{f"_{index}": numbered("access", index, number)})
    report = same(log)
    assert not report["ok"] or (index, number) == (10, 3)
    assert named(report) <= {
        (code, fault["where"])
        for fault in report["errors"]
        for code in ("record-omitted", "record-repeated", "writer-malformed")
    }


@pytest.mark.parametrize("writer", ["c" * 32, "A" * 32, "a", 7, ["a"], {}])
def test_a_record_of_a_strange_writer_is_named_by_every_way(original, tmp_path, writer):
    fields = {"id": "x", "time": TIME, "writer": writer, "number": 0}
    log = resigned(original, tmp_path, **{f"_{LENGTH + 1}": record_bytes("access", fields)})
    codes = {code for code, _ in named(same(log))}
    assert codes & {"writer-unknown", "writer-malformed"}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_few_changes_are_found_alike_by_every_way(original, tmp_path, data):
    shutil.copy(original[0].path, tmp_path / "any.db")
    log = dataclasses.replace(original[0], path=tmp_path / "any.db")
    index = st.integers(-2, SIZE + 2) | st.sampled_from(BORDERS)
    table = st.sampled_from(["entry", *(table.name for table in INDEX_TABLES)])
    for _ in range(data.draw(st.integers(1, 3))):
        at, to = data.draw(index), data.draw(index)
        sql = data.draw(
            st.sampled_from(
                [
                    f"{FLIP} WHERE entry = {at}",
                    f"DELETE FROM {data.draw(table)} WHERE entry = {at}",
                    f"DELETE FROM {data.draw(table)} WHERE entry BETWEEN {at} AND {to}",
                    f"UPDATE OR REPLACE {data.draw(table)} SET entry = {to} WHERE entry = {at}",
                    f"UPDATE prediction SET id = 'x' WHERE entry BETWEEN {at} AND {to}",
                    (
                        f"UPDATE entry SET body = (SELECT body FROM entry WHERE entry = {to}) "
                        f"WHERE entry = {at} AND EXISTS (SELECT 1 FROM entry WHERE entry = {to})"
                    ),
                    f"UPDATE tile SET hashes = zeroblob(8192) WHERE position = {at % 14}",
                    f"DELETE FROM checkpoint WHERE size BETWEEN {at} AND {to}",
                    f"UPDATE checkpoint SET note = x'00' WHERE size > {at}",
                ]
            )
        )
        log.cut(sql)
    same(log)


# Helping processes


def test_a_helper_that_dies_or_cannot_begin_costs_time_and_nothing_else(log, monkeypatch):
    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    for boot in ("raise SystemExit(1)", "import os; os._exit(9)", workers_module._BOOT + "\n1/0"):
        monkeypatch.setattr(workers_module, "_BOOT", boot)
        assert verify_ledger(log.path, log.signer.verifier, processes=2).ok
    monkeypatch.setattr(workers_module.sys, "executable", "/nowhere/python")
    assert verify_ledger(log.path, log.signer.verifier, processes=2).ok


def test_a_helper_that_dies_in_between_costs_time_and_nothing_else(log, monkeypatch):
    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    asked = []
    ask = workers_module._Helper.ask

    def ask_and_die(helper, number, start):
        ask(helper, number, start)
        asked.append(number)
        helper._process.kill()
        helper._process.wait()

    monkeypatch.setattr(workers_module._Helper, "ask", ask_and_die)
    assert verify_ledger(log.path, log.signer.verifier, processes=3).ok
    assert asked


def test_a_helper_begins_without_the_libraries_that_it_has_no_use_for(log):
    store = SqliteStore(log.path)
    with store.reading() as connection:
        queries = workers_module._queries(connection)
    store.close()
    loads = "import pickle, sys; pickle.load(sys.stdin.buffer); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loads], input=pickle.dumps(queries), capture_output=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.decode().split()}
    assert "affidavit" in loaded
    assert not loaded & {"sqlalchemy", "sqlmodel", "pydantic", "cryptography"}


def test_no_process_and_no_file_stays_behind(log, monkeypatch):
    begun = []
    popen = subprocess.Popen

    def watched(*args, **kwargs):
        begun.append(popen(*args, **kwargs))
        return begun[-1]

    monkeypatch.setattr(workers_module.subprocess, "Popen", watched)
    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    assert verify_ledger(log.path, log.signer.verifier, processes=3).ok
    assert len(begun) == 2
    assert all(process.poll() is not None for process in begun)


def test_helpers_that_do_not_see_the_same_state_are_not_used(log, monkeypatch):
    begin = workers_module._Helper.begin
    writes = iter(range(10**6))

    def begin_after_a_write(helper):
        log.cut("INSERT INTO payload VALUES (?, 's', x'00')", str(next(writes)))
        begin(helper)

    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    monkeypatch.setattr(workers_module._Helper, "begin", begin_after_a_write)
    store = SqliteStore(log.path)
    with store.reading() as connection, range_workers(connection, SIZE, (), 2) as found:
        assert found is None
    store.close()
    assert next(writes) == workers_module._ATTEMPTS


def test_helpers_try_again_until_nobody_wrote_in_between(log, monkeypatch):
    begin = workers_module._Helper.begin
    attempts = []

    def begin_after_a_few_writes(helper):
        attempts.append(1)
        if len(attempts) < 4:
            log.cut("INSERT INTO payload VALUES (?, 's', x'00')", str(len(attempts)))
        begin(helper)

    monkeypatch.setattr(workers_module, "RANGE", LENGTH)
    monkeypatch.setattr(workers_module._Helper, "begin", begin_after_a_few_writes)
    store = SqliteStore(log.path)
    with store.reading() as connection, range_workers(connection, SIZE, (), 2) as found:
        assert found is not None
        # What is written from here on is seen by none of them.
        log.cut(f"{FLIP} WHERE entry < {SIZE}")
        assert all(found.result(number) is not None for number in range(3))
    store.close()
    assert len(attempts) == 4


def test_a_store_that_may_only_be_read_is_read_by_helpers_too(log, monkeypatch):
    with sqlite3.connect(log.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    monkeypatch.setattr("affidavit.lineage._sqlite_store._writable", lambda _: False)
    assert in_processes(log).ok


# Runs of numbers


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=20))
def test_runs_say_the_same_as_the_records_that_they_stand_for(pairs):
    bodies = [
        record_bytes("access", {"id": "1", "time": "t", "writer": writer, "number": number})
        for writer, number in pairs
    ]
    noted = read_batch(bodies, 5).noted
    assert all(isinstance(item, Run) for item in noted)
    spelled = [
        (item.first + ahead, item.writer, item.number + ahead)
        for item in noted
        for ahead in range(item.length)
    ]
    assert spelled == [(5 + n, *pair) for n, pair in enumerate(pairs)]
    for one, other in pairwise(noted):
        assert (one.writer, one.number + one.length) != (other.writer, other.number)
