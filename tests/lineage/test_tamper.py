"""Every part of a store is changed behind the ledger's back; verification names what and where."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest
from logs import ORIGIN, approval, dataset, digest, furnish, record, start, trust_root

from affidavit.errors import LedgerCorruptError
from affidavit.lineage import Checkpoint, SigningKey, parse_entry, tree_root, verify_ledger
from affidavit.lineage._index import derive_rows, write_index
from affidavit.lineage._merkle import CompactRange, leaf_hash
from affidavit.lineage._store import open_store
from affidavit.lineage._tiles import extend_tiles
from affidavit.lineage.tables import CHECKPOINT, ENTRY, INDEX_TABLES, SCHEMA_VERSION, insert_rows

FIRST_RECORD, LAST = 4, 27
only_sqlite = pytest.mark.parametrize("store_kind", ["sqlite"])
only_postgres = pytest.mark.parametrize("store_kind", ["postgresql"])


@pytest.fixture(params=["sqlite", "postgresql"])
def store_kind(request):
    return request.param


def faults(report):
    assert not report.ok
    assert json.dumps(report.to_dict())
    return [(f.code, f.where, f.index) for f in report.errors]


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def body(log, index):
    return log.rows("SELECT body FROM entry WHERE entry = ?", index)[0][0]


def set_body(log, index, data):
    assert log.cut("UPDATE entry SET body = ? WHERE entry = ?", data, index) == 1


def forgeries(log, value):
    """What somebody with the database may write in the place of a value."""
    if log.server is None:
        return (7, "forged", b"bytes", 0.5)
    return (not value,) if isinstance(value, bool) else ("forged", value + " ")


def truncate(log, size):
    """Cut off the log at a size, as thoroughly as somebody without the log's key can."""
    log.cut("DELETE FROM entry WHERE entry >= ?", size)
    log.cut("DELETE FROM checkpoint WHERE size > ?", size)
    for table in INDEX_TABLES:
        log.cut(f"DELETE FROM {table.name} WHERE entry >= ?", size)
    log.cut("UPDATE tile SET hashes = substr(hashes, 1, ?)", size * 32)


def rebuild(log, bodies, signer):
    """Write a whole store anew over other entries, every derived part of it consistent."""
    log.clear()
    store = open_store(log.path, create=True)
    tree = CompactRange()
    with store.writing() as connection:
        store.create_tables(connection)
        extend_tiles(connection, tree, [leaf_hash(body) for body in bodies])
        for index, content in enumerate(bodies):
            insert_rows(connection, ENTRY, [(index, content)])
            write_index(connection, derive_rows(index, content))
        note = Checkpoint(ORIGIN, tree.size, tree.root()).signed(signer)
        insert_rows(connection, CHECKPOINT, [(tree.size, note)])
    store.close()


def test_an_untouched_log_verifies(log):
    report = log.verify(log.ledger.checkpoint())
    assert report.ok
    assert (report.size, report.statements, report.records, report.checkpoints) == (28, 16, 12, 20)
    leaves = [leaf_hash(body) for _, body in log.ledger.entries()]
    assert report.root == tree_root(leaves).hex() == log.ledger.head().root.hex()


# Entries


@pytest.mark.parametrize("index", [0, 1, 3, FIRST_RECORD, 9, 15, 16, LAST])
@pytest.mark.parametrize("part", ["first", "middle", "last"])
def test_a_changed_byte_of_an_entry_is_named(log, index, part):
    data = body(log, index)
    at = {"first": 0, "middle": len(data) // 2, "last": len(data) - 1}[part]
    set_body(log, index, flip(data, at))
    assert ("entry-changed", f"entry {index}", index) in faults(log.verify())


def test_a_changed_statement_payload_under_its_old_signature_is_named(log):
    envelope, statement = parse_entry(body(log, 1))
    payload = envelope.payload.replace(b"data-0", b"data-9")
    set_body(log, 1, dataclasses.replace(envelope, payload=payload).to_bytes())
    found = faults(log.verify())
    assert statement.kind == "dataset"
    assert ("entry-changed", "entry 1", 1) in found
    assert ("statement-invalid", "entry 1", 1) in found


def test_a_changed_record_that_is_still_a_record_is_named(log):
    set_body(log, 5, body(log, 5).replace(b"0.7", b"0.2"))
    assert ("entry-changed", "entry 5", 5) in faults(log.verify())


@pytest.mark.parametrize("index", [0, 1, 7, 16, 20])
def test_a_deleted_entry_is_named(log, index):
    assert log.cut("DELETE FROM entry WHERE entry = ?", index) == 1
    found = faults(log.verify())
    assert ("entry-missing", f"entry {index}", index) in found
    assert not [f for f in found if f[0] == "entry-changed"]


def test_the_deleted_last_entry_is_named(log):
    log.cut("DELETE FROM entry WHERE entry = ?", LAST)
    assert ("entry-missing", f"entry {LAST}", LAST) in faults(log.verify())


def test_the_deleted_last_ten_entries_are_named(log):
    log.cut("DELETE FROM entry WHERE entry >= 18")
    assert ("entry-missing", "entries 18 to 27", 18) in faults(log.verify())


def test_all_entries_deleted_are_named(log):
    log.cut("DELETE FROM entry")
    assert ("entry-missing", "entries 0 to 27", 0) in faults(log.verify())


@pytest.mark.parametrize(("one", "other"), [(4, 5), (1, 16), (20, 21), (0, 27)])
def test_two_swapped_entries_are_named_with_their_places(log, one, other):
    first, second = body(log, one), body(log, other)
    set_body(log, one, second)
    set_body(log, other, first)
    found = faults(log.verify())
    assert ("entry-moved", f"entry {one}", one) in found
    assert ("entry-moved", f"entry {other}", other) in found


def test_an_entry_inserted_beyond_the_end_is_named(log):
    log.cut("INSERT INTO entry VALUES (28, ?)", record("prediction", 99))
    found = faults(log.verify())
    assert ("entries-uncovered", "entry 28", 28) in found
    assert ("index-missing", "index prediction, entry 28", 28) in found


@pytest.mark.parametrize("index", [-1, -(2**63), 40, 10**9, 2**63 - 1])
def test_a_stray_entry_far_outside_the_log_is_named_and_costs_nothing(log, index):
    log.cut("INSERT INTO entry VALUES (?, ?)", index, record("prediction", 99))
    report = log.verify()
    assert ("entry-extra", f"entry {index}", None) in faults(report)
    assert report.size == 28
    assert {f.code for f in report.errors} == {"entry-extra"}


@only_sqlite
def test_a_body_that_is_text_instead_of_bytes_is_named(log):
    log.cut("UPDATE entry SET body = CAST(body AS TEXT) WHERE entry = 6")
    assert ("entry-changed", "entry 6", 6) in faults(log.verify())


@pytest.mark.parametrize("bad", [b"", b"null", b"[]", b"\xff", b"[" * 70000, b"1" * 10000])
def test_an_entry_of_nonsense_is_named_and_crashes_nothing(log, bad):
    set_body(log, 7, bad)
    found = faults(log.verify())
    assert ("entry-changed", "entry 7", 7) in found
    assert ("entry-malformed", "entry 7", 7) in found


def test_a_record_with_a_key_that_stands_twice_is_named_even_under_a_valid_checkpoint(log):
    bodies = [content for _, content in log.ledger.entries()]
    bodies[5] = b'{"actor":"a",' + bodies[5][1:]
    log.ledger.close()
    rebuild(log, bodies, log.signer)
    assert faults(log.verify()) == [("entry-malformed", "entry 5", 5)]


def test_a_thousand_changed_entries_are_counted_and_the_list_stays_short(log):
    log.ledger.append([record("prediction", n) for n in range(1000)])
    log.cut("UPDATE entry SET body = ? WHERE entry >= 28", b"\0")
    report = log.verify()
    assert ("entry-changed", "entry 28", 28) in faults(report)
    assert len(report.errors) < 500
    assert report.more_errors > 500


# Checkpoints


def test_an_edited_checkpoint_is_named(log):
    note = log.rows("SELECT note FROM checkpoint WHERE size = 3")[0][0]
    edited = note.replace(b"\n3\n", b"\n4\n")
    log.cut("UPDATE checkpoint SET note = ? WHERE size = 3", edited)
    assert ("checkpoint-invalid", "checkpoint 3", None) in faults(log.verify())


@pytest.mark.parametrize("at", [0, 30, 40, -2])
def test_one_changed_byte_of_the_newest_checkpoint_is_named(log, at):
    note = log.rows("SELECT note FROM checkpoint WHERE size = 28")[0][0]
    log.cut("UPDATE checkpoint SET note = ? WHERE size = 28", flip(note, at % len(note)))
    found = faults(log.verify())
    assert ("checkpoint-invalid", "checkpoint 28", None) in found
    assert ("entries-uncovered", "entry 27", 27) in found


@pytest.mark.parametrize("size", [-5, 2, 29, 500_000, 10**12, 2**63 - 1])
def test_a_checkpoint_filed_under_another_size_is_named_and_hangs_nothing(log, size):
    log.cut("DELETE FROM checkpoint WHERE size = 2")
    log.cut("UPDATE checkpoint SET size = ? WHERE size = 28", size)
    found = faults(log.verify())
    assert ("checkpoint-invalid", f"checkpoint {size}", None) in found
    assert not [f for f in found if f[0] == "entry-missing"]


@only_sqlite
def test_a_checkpoint_of_text_instead_of_bytes_is_named(log):
    log.cut("UPDATE checkpoint SET note = CAST(note AS TEXT) WHERE size = 3")
    assert ("checkpoint-invalid", "checkpoint 3", None) in faults(log.verify())


def test_deleted_newest_checkpoints_leave_their_entries_uncovered(log):
    log.cut("DELETE FROM checkpoint WHERE size > 25")
    assert ("entries-uncovered", "entry 25", 25) in faults(log.verify())


def test_a_log_without_any_checkpoint_is_named(log):
    log.cut("DELETE FROM checkpoint")
    assert ("checkpoint-missing", "checkpoints", None) in faults(log.verify())


def test_a_middle_checkpoint_is_no_evidence_that_a_later_one_does_not_give(log):
    log.cut("DELETE FROM checkpoint WHERE size = 20")
    report = log.verify()
    assert report.ok
    assert report.checkpoints == 19


# Index


@pytest.mark.parametrize("table", INDEX_TABLES, ids=lambda table: table.name)
def test_an_edited_cell_of_the_index_is_named(log, table):
    entry = log.rows(f"SELECT max(entry) FROM {table.name}")[0][0]
    row = f"entry = {entry} AND ordinal = 0"
    for column in table.columns:
        if column.primary_key:
            continue
        value = log.rows(f'SELECT "{column.name}" FROM {table.name} WHERE {row}')[0][0]
        where = f'"{column.name}" = ? WHERE {row}'
        for forged in forgeries(log, value):
            log.cut(f"UPDATE {table.name} SET {where}", forged)
            found = faults(log.verify())
            assert found == [("index-changed", f"index {table.name}, entry {entry}", entry)]
        log.cut(f"UPDATE {table.name} SET {where}", value)
    assert log.verify().ok


@pytest.mark.parametrize("table", INDEX_TABLES, ids=lambda table: table.name)
def test_a_deleted_row_of_the_index_is_named(log, table):
    entry = log.rows(f"SELECT min(entry) FROM {table.name}")[0][0]
    log.cut(f"DELETE FROM {table.name} WHERE entry = ?", entry)
    assert ("index-missing", f"index {table.name}, entry {entry}", entry) in faults(log.verify())


@pytest.mark.parametrize("table", INDEX_TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("entry", [-3, 4, 28, 10**15])
def test_an_added_row_of_the_index_is_named(log, table, entry):
    names = [f'"{c.name}"' for c in table.columns if not c.primary_key]
    log.cut(
        f"INSERT INTO {table.name} SELECT ?, 77, {', '.join(names)} FROM {table.name} LIMIT 1",
        entry,
    )
    found = faults(log.verify())
    index = 4 if entry == 4 else None
    assert found == [("index-extra", f"index {table.name}, entry {entry}", index)]


@pytest.mark.parametrize("table", INDEX_TABLES, ids=lambda table: table.name)
def test_an_emptied_index_table_is_named(log, table):
    log.cut(f"DELETE FROM {table.name}")
    assert {f.code for f in log.verify().errors} == {"index-missing"}


def test_an_index_row_moved_to_another_entry_is_named_at_both(log):
    log.cut("UPDATE prediction SET entry = 20 WHERE entry = 5")
    found = faults(log.verify())
    assert ("index-missing", "index prediction, entry 5", 5) in found
    assert ("index-extra", "index prediction, entry 20", 20) in found


@only_sqlite
def test_an_index_row_filed_under_text_is_named(log):
    log.cut("UPDATE statement SET entry = 'five' WHERE entry = 3")
    found = faults(log.verify())
    assert ("index-missing", "index statement, entry 3", 3) in found
    assert [f for f in found if f[0] == "index-extra"]


@only_sqlite
def test_text_in_the_index_that_is_not_utf8_is_named(log):
    log.cut("UPDATE statement SET actor = CAST(x'ff' AS TEXT) WHERE entry = 3")
    assert ("index-changed", "index statement", None) in faults(log.verify())


# What only the owner of a PostgreSQL database can do


@only_postgres
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("entry ALTER body TYPE text USING encode(body, 'escape')", "entry-changed"),
        ("entry ALTER entry TYPE text", "entry-extra"),
        ("checkpoint ALTER note TYPE text USING encode(note, 'escape')", "checkpoint-invalid"),
        ("checkpoint ALTER size TYPE numeric", "checkpoint-invalid"),
        ("tile ALTER hashes TYPE text USING encode(hashes, 'escape')", "tile-changed"),
        ("statement ALTER entry TYPE numeric", "index-extra"),
        ("decision ALTER allow TYPE text", "index-changed"),
    ],
)
def test_a_column_of_another_type_is_named(log, change, fault):
    log.cut(f"ALTER TABLE {change}")
    assert fault in {f.code for f in log.verify().errors}


@only_postgres
def test_an_entry_that_stands_twice_is_named(log):
    log.cut("ALTER TABLE entry DROP CONSTRAINT entry_pkey")
    log.cut("INSERT INTO entry VALUES (5, ?)", b"{}")
    assert ("entry-extra", "entry 5", None) in faults(log.verify())


@only_postgres
@pytest.mark.parametrize(
    ("table", "column", "fault"),
    [
        ("entry", "entry", "entry-extra"),
        ("checkpoint", "size", "checkpoint-invalid"),
        ("statement", "entry", "index-extra"),
    ],
)
def test_a_row_without_a_number_is_named(log, table, column, fault):
    log.cut(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    log.cut(f"ALTER TABLE {table} ALTER {column} DROP NOT NULL")
    assert log.cut(f"UPDATE {table} SET {column} = NULL WHERE {column} = 3") == 1
    assert fault in {f.code for f in log.verify().errors}


@only_postgres
def test_a_view_in_the_place_of_a_table_hides_nothing(log):
    log.cut("ALTER TABLE entry RENAME TO truth")
    log.cut("CREATE VIEW entry AS SELECT * FROM truth WHERE entry <> 9")
    log.cut(f"COMMENT ON VIEW entry IS 'Affidavit ledger, schema version {SCHEMA_VERSION}'")
    assert ("entry-missing", "entry 9", 9) in faults(log.verify())


@only_postgres
def test_an_index_cell_without_a_value_is_named(log):
    log.cut("ALTER TABLE statement ALTER actor DROP NOT NULL")
    log.cut("UPDATE statement SET actor = NULL WHERE entry = 3")
    assert faults(log.verify()) == [("index-changed", "index statement, entry 3", 3)]


# Tiles


@pytest.fixture(scope="module")
def _large(request, tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            server = request.getfixturevalue("postgres") if kind == "postgresql" else None
            log = made[kind] = start(tmp_path_factory.mktemp("large"), server)
            for first in (0, 200, 400):
                log.ledger.append([record("access", n) for n in range(first, first + 200)])
            log.ledger.close()
        return made[kind]

    return get


@pytest.fixture
def large(_large, store_kind, tmp_path):
    """A log of 601 entries, whose tree has two levels of tiles."""
    return _large(store_kind).copy(tmp_path)


@pytest.mark.parametrize("at", [0, 100, 255])
def test_a_changed_byte_in_a_tile_of_leaves_is_named(large, at):
    tile = large.rows("SELECT hashes FROM tile WHERE level = 0 AND position = 1")[0][0]
    large.cut("UPDATE tile SET hashes = ? WHERE level = 0 AND position = 1", flip(tile, at * 32))
    assert faults(large.verify()) == [("tile-changed", "tile 0/1", 256 + at)]


@pytest.mark.parametrize("at", [0, 1])
def test_a_changed_byte_in_a_tile_of_subtrees_is_named(large, at):
    tile = large.rows("SELECT hashes FROM tile WHERE level = 1")[0][0]
    large.cut("UPDATE tile SET hashes = ? WHERE level = 1", flip(tile, at * 32))
    assert faults(large.verify()) == [("tile-changed", "tile 1/0", None)]


@pytest.mark.parametrize(("level", "position"), [(0, 0), (0, 2), (1, 0)])
def test_a_deleted_tile_is_named(large, level, position):
    large.cut("DELETE FROM tile WHERE level = ? AND position = ?", level, position)
    assert faults(large.verify()) == [("tile-missing", f"tile {level}/{position}", None)]


@pytest.mark.parametrize(("level", "position"), [(0, 1), (0, 2), (1, 0)])
@pytest.mark.parametrize("change", ["hashes || zeroblob(32)", "substr(hashes, 1, 32)", "'text'"])
def test_a_tile_of_another_length_is_named(large, level, position, change):
    large.cut(
        f"UPDATE tile SET hashes = {change} WHERE level = ? AND position = ?", level, position
    )
    assert ("tile-changed", f"tile {level}/{position}", None) in faults(large.verify())


def test_a_tile_that_no_tree_has_is_named(large):
    large.cut("INSERT INTO tile VALUES (5, 5, zeroblob(32))")
    assert ("tile-changed", "tile 5/5", None) in faults(large.verify())


@only_sqlite
def test_a_tile_under_a_place_of_text_is_named(large):
    large.cut("INSERT INTO tile VALUES ('x', 'y', 'z')")
    assert ("tile-changed", "tile x/y", None) in faults(large.verify())


def test_an_entry_and_its_tile_changed_together_are_caught_by_the_checkpoint(large):
    data = flip(body(large, 300), 5)
    set_body(large, 300, data)
    tile = large.rows("SELECT hashes FROM tile WHERE level = 0 AND position = 1")[0][0]
    forged = tile[: 44 * 32] + leaf_hash(data) + tile[45 * 32 :]
    large.cut("UPDATE tile SET hashes = ? WHERE level = 0 AND position = 1", forged)
    report = large.verify()
    assert ("root-mismatch", "checkpoint 401", 201) in faults(report)
    assert "201 to 400" in str(report.errors)


def test_all_tiles_of_a_large_log_replaced_is_reported_without_delay(large):
    large.cut("UPDATE tile SET hashes = zeroblob(length(hashes))")
    found = faults(large.verify())
    assert {code for code, _, _ in found} == {"tile-changed"}
    assert ("tile-changed", "tile 0/0", 0) in found


def test_tiles_of_the_third_level_are_checked(tmp_path):
    log = start(tmp_path)
    log.ledger.append([record("access", n) for n in range(65_600)])
    assert log.rows("SELECT length(hashes) FROM tile WHERE level = 2") == [(32,)]
    log.cut("UPDATE tile SET hashes = zeroblob(32) WHERE level = 2")
    assert faults(log.verify()) == [("tile-changed", "tile 2/0", None)]


# Keys and history


def test_another_public_key_opens_no_checkpoint(log):
    other = dataclasses.replace(log, log=SigningKey.generate())
    found = faults(other.verify())
    assert ("checkpoint-invalid", "checkpoint 28", None) in found
    assert ("statement-invalid", "entry 0", 0) in found


def test_a_log_signed_anew_by_another_log_key_fails_under_the_pinned_one(log):
    forger = dataclasses.replace(log, log=SigningKey.generate())
    root = trust_root(forger.log, log.recorder, log.approver)
    first = root.statement(actor="log", time="t", note="n").sign(forger.log).to_bytes()
    rest = [content for _, content in log.ledger.entries(1)]
    log.ledger.close()
    rebuild(log, [first, *rest], forger.signer)
    assert forger.verify().ok
    found = faults(log.verify())
    assert ("checkpoint-missing", "checkpoints", None) in found
    assert ("statement-invalid", "entry 0", 0) in found


def test_the_last_ten_entries_cut_off_cleanly_show_only_beside_an_exported_checkpoint(log):
    exported = log.ledger.checkpoint()
    log.ledger.close()
    truncate(log, 18)
    assert log.verify().ok
    assert faults(log.verify(exported)) == [("entries-cut-off", "entry 18", 18)]


def test_history_rewritten_with_the_log_key_shows_only_beside_an_exported_checkpoint(log):
    exported = log.ledger.checkpoint()
    bodies = [content for _, content in log.ledger.entries()]
    bodies[5] = record("prediction", 5).replace(b"0.7", b"0.1")
    log.ledger.close()
    rebuild(log, bodies, log.signer)
    assert log.verify().ok
    assert faults(log.verify(exported)) == [("history-rewritten", "checkpoint 28", None)]


def test_history_rewritten_and_grown_shows_beside_an_exported_checkpoint(log):
    exported = log.ledger.checkpoint()
    bodies = [content for _, content in log.ledger.entries()]
    bodies[5] = record("prediction", 50)
    log.ledger.close()
    rebuild(log, [*bodies, record("access", 9)], log.signer)
    assert faults(log.verify(exported)) == [("history-rewritten", "checkpoint 28", None)]


def test_a_log_that_grew_honestly_still_extends_an_exported_checkpoint(log):
    exported = log.ledger.checkpoint()
    log.ledger.append([dataset(90).sign(log.recorder).to_bytes()])
    assert log.verify(exported).ok


@pytest.mark.parametrize("bad", [b"", b"not a note", b"\xff"])
def test_an_exported_checkpoint_that_is_none_is_named(log, bad):
    found = faults(log.verify(bad))
    assert found == [("exported-checkpoint-invalid", "exported checkpoint", None)]


def test_an_exported_checkpoint_of_another_log_is_named(log):
    other = Checkpoint("another/log", 3, digest(1).encode()[:32]).signed(log.signer)
    assert faults(log.verify(other))[0][0] == "exported-checkpoint-invalid"


# Roles


def append(log, statement, *keys):
    index = log.ledger.append([statement.sign(*keys).to_bytes()])[0]
    return index, faults(log.verify())


def test_a_statement_signed_by_an_unknown_key_is_named(log):
    index, found = append(log, dataset(50), SigningKey.generate())
    assert found == [("statement-invalid", f"entry {index}", index)]


def test_a_statement_signed_by_a_key_without_the_role_is_named(log):
    index, found = append(log, dataset(50), log.approver)
    assert found == [("statement-invalid", f"entry {index}", index)]


def test_an_approval_signed_by_the_recorder_is_named(log):
    index, found = append(log, approval(), log.recorder)
    assert found == [("statement-invalid", f"entry {index}", index)]


def test_an_approval_in_the_name_of_somebody_else_is_named(log):
    index, found = append(log, approval("bob@example.org"), log.approver)
    assert found == [("statement-invalid", f"entry {index}", index)]


def test_an_unknown_signature_before_a_trusted_one_is_named(log):
    index, found = append(log, approval(), SigningKey.generate(), log.approver)
    assert found == [("statement-invalid", f"entry {index}", index)]


def test_a_trust_root_signed_by_the_recorder_is_named_and_changes_nothing(log):
    intruder = SigningKey.generate()
    root = trust_root(log.log, intruder, intruder)
    index, found = append(log, root.statement(actor="log", time="t", note="n"), log.recorder)
    assert found == [("statement-invalid", f"entry {index}", index)]
    later, found = append(log, dataset(50), intruder)
    assert ("statement-invalid", f"entry {later}", later) in found


def test_a_rotated_key_signs_from_its_own_entry_on_and_the_old_one_no_longer(log):
    fresh = SigningKey.generate()
    root = trust_root(log.log, fresh, log.approver)
    rotation = root.statement(actor="log", time="t", note="rotated").sign(log.log)
    log.ledger.append([rotation.to_bytes(), dataset(60).sign(fresh).to_bytes()])
    assert log.verify().ok
    index, found = append(log, dataset(61), log.recorder)
    assert found == [("statement-invalid", f"entry {index}", index)]


def test_a_changed_signature_is_named_even_where_tree_and_checkpoint_were_redone(log):
    bodies = [content for _, content in log.ledger.entries()]
    value = json.loads(bodies[2])
    signature = base64.b64decode(value["signatures"][0]["sig"])
    value["signatures"][0]["sig"] = base64.b64encode(flip(signature, 10)).decode()
    bodies[2] = json.dumps(value).encode()
    log.ledger.close()
    rebuild(log, bodies, log.signer)
    assert faults(log.verify()) == [("statement-invalid", "entry 2", 2)]


def test_a_log_that_does_not_begin_with_a_trust_root_is_named(log):
    bodies = [content for _, content in log.ledger.entries(1)]
    log.ledger.close()
    rebuild(log, bodies, log.signer)
    assert ("statement-invalid", "entry 0", 0) in faults(log.verify())


def test_nothing_is_appended_to_a_log_whose_tree_was_changed(log):
    log.cut("UPDATE tile SET hashes = zeroblob(length(hashes))")
    fresh = log.reopen()
    with pytest.raises(LedgerCorruptError, match="nothing is appended"):
        fresh.append([record("access", 1)])
    fresh.close()


def test_progress_is_told_until_the_end(tmp_path):
    log = furnish(start(tmp_path))
    told = []
    verify_ledger(log.path, log.signer.verifier, progress=lambda *at: told.append(at))
    assert told[0] == (0, 28)
    assert told[-1] == (28, 28)
