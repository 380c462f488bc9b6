"""After an erasure no trace of the data is in the store's files, and every proof still holds."""

from __future__ import annotations

import base64
import sqlite3
import subprocess
import sys
import threading

import pytest
from logs import ORIGIN, TIME, dataset, furnish, start

from affidavit.errors import LedgerCorruptError, LedgerError, LedgerUnavailableError, NotFoundError
from affidavit.lineage import (
    ERASURE,
    HOLD,
    PayloadVault,
    Resource,
    Statement,
    _sqlite_store,
    check_disclosures,
    erase_subject,
    held,
    open_checkpoint,
    prove_entry,
    record_bytes,
    scrub,
)
from affidavit.lineage import _erasure as module

VAULT = PayloadVault(bytes(range(32)))
ADA, BOB = VAULT.pseudonym("ada"), VAULT.pseudonym("bob")


def serve(log, subject, number, wrapped=None, filler=200):
    """Log one prediction about a person; gives its sealed payload."""
    fields = {"name": f"{subject[:4]}-plain-{number}", "note": "n" * filler}
    payload, digests = VAULT.seal(f"p{subject[:4]}{number}", subject, fields, wrapped)
    body = record_bytes("prediction", {"id": payload.id, "time": TIME, "fields": digests})
    log.ledger.append([body], [payload])
    return payload


def about(log, subject, kind=ERASURE, outcome="erased", **more):
    facts = {"name": "subject", "actor": "dpo", "time": TIME, "outcome": outcome, "reason": "r"}
    resource = Resource("", subject, "subject-pseudonym-v1")
    statement = Statement((resource,), kind, {**facts, **more})
    return statement.sign(log.recorder).to_bytes()


def erase(log, subject):
    return erase_subject(
        log.ledger, subject, lambda n, key: about(log, subject, payloads=n, key=key)
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def store_kind(request):
    return request.param


only_sqlite = pytest.mark.parametrize("store_kind", ["sqlite"])
only_postgres = pytest.mark.parametrize("store_kind", ["postgresql"])


@pytest.fixture(scope="module")
def _served(request, tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            server = request.getfixturevalue("postgres") if kind == "postgresql" else None
            log = furnish(start(tmp_path_factory.mktemp("served"), server))
            mine = [serve(log, ADA, 0)]
            theirs = [serve(log, BOB, 0)]
            for number in range(1, 60):
                mine.append(serve(log, ADA, number, mine[0].wrapped_key, 37 * number % 3000))
                theirs.append(serve(log, BOB, number, theirs[0].wrapped_key, 91 * number % 900))
            log.ledger.close()
            made[kind] = log, mine, theirs
        return made[kind]

    return get


@pytest.fixture
def served(_served, store_kind, tmp_path):
    """A log with two people's predictions among much else, on pages that were split and moved."""
    built, mine, theirs = _served(store_kind)
    log = built.copy(tmp_path)
    log.ledger = log.reopen()
    yield log, mine, theirs
    log.ledger.close()


def fragments(payload):
    """Pieces of a ciphertext that no other bytes hold."""
    sealed = payload.sealed
    return [sealed[at : at + 16] for at in range(0, len(sealed) - 15, 16)]


def test_no_byte_of_the_destroyed_key_and_data_stays_in_the_files(served):
    log, mine, theirs = served
    held_before = log.files()
    assert mine[0].wrapped_key in held_before
    assert all(fragments(p)[1] in held_before for p in mine)
    done = erase(log, ADA)
    scrub(log.path, done.wrapped)
    assert (done.payloads, done.key, done.wrapped) == (60, True, mine[0].wrapped_key)
    after = log.files()
    for at in range(0, 40, 8):
        assert mine[0].wrapped_key[at : at + 8] not in after
    for payload in mine:
        assert not any(piece in after for piece in fragments(payload))
        for item in VAULT.open(payload):
            assert item.encode() not in after
            assert base64.urlsafe_b64decode(item + "==")[:24] not in after
    assert theirs[0].wrapped_key in after
    assert all(fragments(p)[1] in after for p in theirs)


def test_every_proof_holds_after_an_erasure_and_the_other_persons_data_opens(served):
    log, mine, theirs = served
    old = log.ledger.checkpoint()
    proofs = {n: prove_entry(log.ledger, n) for n in (0, 28, 40, 147)}
    done = erase(log, ADA)
    scrub(log.path, done.wrapped)
    report = log.verify(exported=old)
    assert report.errors == ()
    for index, proof in proofs.items():
        proof.verify(log.ledger.entry(index), log.signer.verifier)
    assert prove_entry(log.ledger, done.entry).index == done.entry == report.size - 1
    assert log.ledger.payload(mine[3].id) is None
    assert not log.ledger.subject_keys([ADA])
    payload = log.ledger.payload(theirs[3].id)
    record = log.rows("SELECT entry FROM prediction WHERE id = ?", theirs[3].id)
    assert record
    assert payload is not None
    assert len(VAULT.open(payload)) == 2


def test_the_log_goes_on_after_an_erasure_and_the_person_may_come_back(served):
    log, mine, _ = served
    scrub(log.path, erase(log, ADA).wrapped)
    again = serve(log, ADA, 1000)
    assert again.wrapped_key != mine[0].wrapped_key
    opened = VAULT.open(log.ledger.payload(again.id))
    digests = log.rows("SELECT count(*) FROM payload WHERE subject = ?", ADA)
    assert digests == [(1,)]
    assert len(opened) == 2
    assert log.verify().ok
    assert erase(log, ADA).payloads == 1


def test_an_export_made_before_an_erasure_still_opens(served):
    log, mine, _ = served
    exported = VAULT.open(log.ledger.payload(mine[5].id))
    index = log.rows("SELECT entry FROM prediction WHERE id = ?", mine[5].id)[0][0]
    erase(log, ADA)
    from affidavit.lineage import parse_entry

    record = parse_entry(log.ledger.entry(index))
    assert check_disclosures(exported, record["fields"])["name"].endswith("plain-5")


def test_nothing_is_erased_of_somebody_unknown(served):
    log, _, _ = served
    size = log.ledger.head().size
    with pytest.raises(NotFoundError, match="Nothing is kept"):
        erase(log, VAULT.pseudonym("nobody"))
    assert log.ledger.head().size == size


def test_a_hold_blocks_an_erasure_until_it_is_released(served):
    log, _, _ = served
    log.ledger.append([about(log, ADA, HOLD, "held")])
    assert held(log.ledger, ADA)
    assert not held(log.ledger, BOB)
    with pytest.raises(LedgerError, match="legal hold"):
        erase(log, ADA)
    assert log.rows("SELECT count(*) FROM payload WHERE subject = ?", ADA) == [(60,)]
    assert erase(log, BOB).payloads == 60
    log.ledger.append([about(log, ADA, HOLD, "released")])
    assert not held(log.ledger, ADA)
    assert erase(log, ADA).payloads == 60


def test_a_hold_that_says_something_unknown_holds(served):
    log, _, _ = served
    log.ledger.append([about(log, ADA, HOLD, "maybe")])
    with pytest.raises(LedgerError, match="legal hold"):
        erase(log, ADA)


@pytest.mark.parametrize("way", ["index", "entry", "removed"])
def test_a_hold_that_was_edited_away_does_not_let_an_erasure_through(served, way):
    log, _, _ = served
    (at,) = log.ledger.append([about(log, ADA, HOLD, "held")])
    if way == "index":
        log.cut("DELETE FROM statement WHERE entry = ?", at)
        log.cut("DELETE FROM artifact WHERE entry = ?", at)
    elif way == "entry":
        log.cut("UPDATE entry SET body = ? WHERE entry = ?", log.ledger.entry(1), at)
    else:
        log.cut("DELETE FROM entry WHERE entry = ?", at)
    with pytest.raises((LedgerError, LedgerCorruptError), match="nothing was erased"):
        erase(log, ADA)
    assert log.rows("SELECT count(*) FROM payload WHERE subject = ?", ADA) == [(60,)]


def test_a_hold_that_comes_between_reading_and_erasing_still_blocks(served, monkeypatch):
    log, _, _ = served
    real = module._Holds.read
    calls = []

    def read(self, entries):
        real(self, entries)
        calls.append(1)
        if len(calls) == 1:
            log.ledger.append([about(log, ADA, HOLD, "held")])

    monkeypatch.setattr(module._Holds, "read", read)
    with pytest.raises(LedgerError, match="legal hold"):
        erase(log, ADA)


def test_rows_and_statement_go_together_or_not_at_all(served):
    log, _, _ = served
    size = log.ledger.head().size
    with pytest.raises(LedgerError, match="would not verify"):
        erase_subject(log.ledger, ADA, lambda _n, _key: b"{}")
    assert log.rows("SELECT count(*) FROM payload WHERE subject = ?", ADA) == [(60,)]
    assert log.ledger.subject_keys([ADA])
    assert log.ledger.head().size == size
    assert log.verify().ok


@only_sqlite
def test_a_reader_of_an_older_state_is_reported_and_the_next_scrub_finishes(served, monkeypatch):
    log, mine, _ = served
    monkeypatch.setattr(_sqlite_store, "WAIT_SECONDS", 0.2)
    reader = sqlite3.connect(log.path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM payload").fetchone()
    done = erase(log, ADA)
    with pytest.raises(LedgerUnavailableError, match="another process"):
        scrub(log.path, done.wrapped)
    reader.close()
    scrub(log.path, done.wrapped)
    assert mine[0].wrapped_key not in log.files()
    assert log.verify().ok


@only_postgres
def test_a_session_that_sees_an_older_state_is_reported_and_the_next_scrub_finishes(served):
    log, mine, _ = served
    with log.connect() as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        done = erase(log, ADA)
        with pytest.raises(LedgerUnavailableError, match="old versions of rows") as found:
            scrub(log.path, done.wrapped)
        assert "pg_replication_slots" in str(found.value)
    reader.close()
    assert scrub(log.path, done.wrapped) > 0
    assert mine[0].wrapped_key not in log.files()
    assert log.verify().ok


@only_postgres
def test_a_session_that_uses_the_tables_is_waited_for_and_then_reported(served, monkeypatch):
    log, _, _ = served
    monkeypatch.setattr("affidavit.lineage._store.BUSY_SECONDS", 0.2)
    with log.connect() as reader:
        reader.execute("SELECT count(*) FROM payload").fetchone()
        with pytest.raises(LedgerUnavailableError, match="another process held it"):
            scrub(log.path)
    reader.close()
    scrub(log.path)


@only_postgres
def test_no_statistics_are_kept_of_keys_and_sealed_data(served):
    log, mine, _ = served
    log.server.sql("VACUUM ANALYZE", database=log.path.rpartition("/")[2])
    found = log.rows("SELECT tablename, attname FROM pg_stats WHERE schemaname = 'public'")
    assert ("payload", "id") in found
    assert not {("payload", "sealed"), ("subject_key", "wrapped")} & set(found)
    scrub(log.path, erase(log, ADA).wrapped)
    assert mine[0].wrapped_key not in log.files()


@only_postgres
def test_a_role_that_owns_the_tables_only_empties_them_and_searches_nothing(served):
    log, mine, _ = served
    server, name = log.server, log.path.rpartition("/")[2]
    server.sql("CREATE ROLE owner_only LOGIN")
    server.sql(f"ALTER DATABASE {name} OWNER TO owner_only")
    for (table,) in log.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        log.cut(f'ALTER TABLE "{table}" OWNER TO owner_only')
    try:
        done = erase(log, ADA)
        assert scrub(server.url(name, role="owner_only"), done.wrapped) == 0
        assert mine[0].wrapped_key not in log.files()
    finally:
        log.ledger.close()
        server.sql("REASSIGN OWNED BY owner_only TO postgres", database=name)
        server.sql("DROP ROLE owner_only")


def test_a_key_that_is_still_there_is_reported(served):
    log, mine, _ = served
    with pytest.raises(LedgerCorruptError, match="still in"):
        scrub(log.path, mine[0].wrapped_key)


def test_a_key_across_two_chunks_of_a_file_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(_sqlite_store, "_CHUNK", 64)
    path = tmp_path / "file"
    for at in range(0, 200, 7):
        path.write_bytes(bytes(at) + b"k" * 40 + bytes(50))
        assert _sqlite_store._contains(path, b"k" * 40), at
        assert not _sqlite_store._contains(path, b"k" * 41)


def test_writers_beside_an_erasure_lose_nothing(served):
    log, _, _ = served
    errors = []

    def write():
        try:
            other = log.reopen()
            for number in range(30):
                other.append([dataset(5000 + number).sign(log.recorder).to_bytes()])
            other.close()
        except Exception as error:  # noqa: BLE001  # the test reports whatever it is
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    scrub(log.path, erase(log, ADA).wrapped)
    thread.join()
    assert errors == []
    report = log.verify()
    assert report.ok
    assert report.size == 28 + 120 + 1 + 30


KILLED = """
import os
from pathlib import Path
from affidavit.lineage import *
from affidavit.lineage import _erasure
key = read_key(Path({key!r}))
rec = read_key(Path({rec!r}))
signer = NoteSigner({origin!r}, key.private)
ledger = Ledger({path!r}, signer.verifier, signer=signer)
def statement(n, had):
    facts = {{"name": "s", "actor": "d", "time": {time!r}, "outcome": "erased", "reason": ""}}
    resource = Resource("", {subject!r}, "subject-pseudonym-v1")
    said = Statement((resource,), ERASURE, {{**facts, "payloads": n, "key": had}})
    return said.sign(rec).to_bytes()
if {when!r} == "inside":
    real = ledger._write_checkpoint
    ledger._write_checkpoint = lambda *a: os._exit(9)
erase_subject(ledger, {subject!r}, statement)
os._exit(9)
"""


@pytest.mark.parametrize("when", ["inside", "after"])
def test_a_process_that_dies_while_it_erases_leaves_all_or_nothing(served, tmp_path, when):
    from affidavit.lineage import write_key

    log, mine, _ = served
    log.ledger.close()
    write_key(tmp_path / "log.pem", log.log)
    write_key(tmp_path / "rec.pem", log.recorder)
    code = KILLED.format(
        key=str(tmp_path / "log.pem"),
        rec=str(tmp_path / "rec.pem"),
        origin=ORIGIN,
        path=str(log.path),
        time=TIME,
        subject=ADA,
        when=when,
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == 9, ended.stderr
    log.ledger = log.reopen()
    report = log.verify()
    assert report.ok
    left = log.rows("SELECT count(*) FROM payload WHERE subject = ?", ADA)[0][0]
    assert left == (60 if when == "inside" else 0)
    assert report.size == 148 + (when == "after")
    if when == "after":
        scrub(log.path, mine[0].wrapped_key)
        assert mine[0].wrapped_key not in log.files()


def test_the_statement_in_the_log_names_nobody(served):
    log, _, _ = served
    body = log.ledger.entry(erase(log, ADA).entry)
    from affidavit.lineage import parse_entry

    _, statement = parse_entry(body)
    assert statement.kind == "erasure"
    assert statement.subjects[0].sha256 == ADA
    assert b"ada" not in statement.to_bytes()
    assert open_checkpoint(log.ledger.checkpoint(), log.signer.verifier).size == 149
