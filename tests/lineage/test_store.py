"""What the machine does to a store: read-only folders, full disks, damaged and foreign files."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from logs import furnish, record, start
from real import need

from affidavit.errors import (
    LedgerCorruptError,
    LedgerError,
    LedgerUnavailableError,
    NotFoundError,
    ProofError,
)
from affidavit.lineage import (
    Ledger,
    NoteSigner,
    SealedPayload,
    SigningKey,
    verify_inclusion,
    verify_ledger,
)
from affidavit.lineage._merkle import leaf_hash, verify_consistency

VERIFY = """
import sys, os
from pathlib import Path
from affidavit.lineage import NoteVerifier, verify_ledger, Ledger
verifier = NoteVerifier.parse(sys.argv[2])
verify_ledger(Path(sys.argv[3]), verifier)  # the interpreter itself may lie where nobody can read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
report = verify_ledger(Path(sys.argv[1]), verifier)
print(report.ok, report.size, report.errors)
try:
    Ledger(Path(sys.argv[1]), verifier).append([b'{"id":"1","record":"access","time":"t"}'])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def open_path():
    """A folder that an unprivileged process can reach, though it may not write there."""
    need(os.geteuid() == 0, "dropping privileges needs root")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(log, tmp_path):
    warm = tmp_path / "warm.db"
    Ledger(warm, log.signer.verifier, signer=log.signer, create=True).close()
    done = subprocess.run(
        [sys.executable, "-c", VERIFY, log.path, str(log.signer.verifier), warm],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    warm.unlink()
    return done.stdout


def test_a_store_that_was_closed_is_verified_on_a_read_only_folder(open_path, tmp_path):
    log = furnish(start(open_path))
    log.ledger.close()
    assert not log.path.with_name("ledger.db-wal").exists()
    out = as_nobody(log, tmp_path)
    assert out.startswith("True 28 ()")
    assert "LedgerUnavailableError" in out
    assert "read-only" in out


def test_a_store_that_is_being_written_is_verified_on_a_read_only_folder(open_path, tmp_path):
    log = furnish(start(open_path))
    assert log.path.with_name("ledger.db-wal").stat().st_size
    assert as_nobody(log, tmp_path).startswith("True 28 ()")
    log.ledger.append([record("access", 1)])
    assert as_nobody(log, tmp_path).startswith("True 29 ()")


@pytest.fixture
def small_disk(tmp_path):
    need(os.geteuid() == 0 and shutil.which("mount"), "mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    need(done.returncode == 0, "this machine does not let a test mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_nothing_and_the_ledger_goes_on_afterwards(small_disk):
    log = start(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 300_000)
    written = 0
    batch = [record("access", n) for n in range(50)]
    error = None
    while error is None:
        try:
            written += len(log.ledger.append(batch))
        except LedgerUnavailableError as found:
            error = found
    assert "disk is full" in str(error)
    assert written
    assert log.ledger.head().size == 1 + written
    with pytest.raises(LedgerUnavailableError, match="disk is full"):
        log.ledger.append(batch * 50)
    ballast.unlink()
    assert log.ledger.append([record("access", 7)]) == [1 + written]
    report = log.verify()
    assert report.ok, report.errors
    assert report.size == 2 + written
    log.ledger.close()


def test_initialising_on_a_full_disk_fails_and_can_be_repeated(small_disk):
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError):
        ballast.write_bytes(b"\0" * 2_000_000)
    with pytest.raises(LedgerUnavailableError, match="disk is full"):
        start(small_disk)
    ballast.unlink()
    log = start(small_disk)
    assert log.verify().ok
    log.ledger.close()


# Damaged and foreign files


@pytest.mark.parametrize("offset", [0, 16, 28, 60, 68, 100, 101, 105])
def test_a_damaged_header_is_an_error_of_ours_or_a_fault(log, offset):
    log.ledger.close()
    with log.path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff\xfe\xfd\xfc")
    expect_refusal_or_faults(log)


def expect_refusal_or_faults(log):
    ok = False
    with contextlib.suppress(LedgerError):
        ok = log.verify().ok
    assert not ok


def test_every_damaged_page_is_an_error_of_ours_or_a_fault_or_carries_nothing(log):
    log.ledger.close()
    whole = log.path.read_bytes()
    refused = 0
    for page in range(1, len(whole) // 4096):
        log.path.write_bytes(whole[: page * 4096] + b"\xa5" * 512 + whole[page * 4096 + 512 :])
        try:
            refused += not log.verify().ok
        except LedgerCorruptError:
            refused += 1
    # Pages of SQLite's own lookup indexes are not read by a verification in log order.
    assert refused > 10
    log.path.write_bytes(whole[: len(whole) // 2])
    expect_refusal_or_faults(log)


def test_a_dropped_table_is_a_damaged_ledger(log):
    log.cut("DROP TABLE edge")
    with pytest.raises(LedgerCorruptError, match="damaged"):
        log.verify()


def test_a_dropped_column_is_a_damaged_ledger(log):
    log.cut("ALTER TABLE access DROP COLUMN action")
    with pytest.raises(LedgerCorruptError, match="damaged"):
        log.verify()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(log):
    log.ledger.close()
    log.path.write_bytes(b"This is a letter.\n" * 500)
    with pytest.raises(LedgerCorruptError, match="not a database"):
        log.verify()
    assert log.path.read_bytes() == b"This is a letter.\n" * 500


def test_somebody_elses_database_is_refused_and_left_as_it_is(log, tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE song (name)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerCorruptError, match="not an Affidavit ledger"):
        verify_ledger(path, log.signer.verifier)
    with pytest.raises(LedgerError, match="already"):
        Ledger(path, log.signer.verifier, signer=log.signer, create=True)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("song",)]
    connection.close()
    assert len(before) == path.stat().st_size


def test_an_empty_file_is_refused(log):
    log.ledger.close()
    log.path.write_bytes(b"")
    with pytest.raises(LedgerCorruptError, match="not an Affidavit ledger"):
        log.verify()


def test_a_folder_in_the_place_of_the_file_is_refused(log, tmp_path):
    folder = tmp_path / "folder.db"
    folder.mkdir()
    with pytest.raises(LedgerUnavailableError, match="no ledger"):
        verify_ledger(folder, log.signer.verifier)
    with pytest.raises(LedgerUnavailableError):
        Ledger(folder, log.signer.verifier, signer=log.signer, create=True)


def test_a_newer_schema_is_refused(log):
    log.cut("PRAGMA user_version = 9")
    with pytest.raises(LedgerCorruptError, match="schema version 9"):
        log.verify()


def test_a_store_held_by_another_process_is_waited_for_and_then_reported(log, monkeypatch):
    monkeypatch.setattr("affidavit.lineage._store.BUSY_SECONDS", 0.05)
    fresh = log.reopen()
    holder = sqlite3.connect(log.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailableError, match="another process"):
        fresh.append([record("access", 1)])
    holder.execute("ROLLBACK")
    holder.close()
    assert fresh.append([record("access", 1)]) == [28]
    fresh.close()


# The ledger itself


def test_what_was_appended_is_read_back_byte_for_byte(log):
    bodies = [record("prediction", n) for n in range(700, 720)]
    indexes = log.ledger.append(bodies)
    assert [log.ledger.entry(index) for index in indexes] == bodies
    assert list(log.ledger.entries(indexes[0])) == list(zip(indexes, bodies, strict=True))
    assert list(log.ledger.entries(3, 3)) == []
    assert [index for index, _ in log.ledger.entries(-5, 2)] == [0, 1]
    assert log.ledger.append([]) == []


@pytest.mark.parametrize("index", [-1, 28, 2**63, 10**30])
def test_an_entry_that_is_not_there_is_not_found(log, index):
    with pytest.raises(NotFoundError, match="no entry"):
        log.ledger.entry(index)
    with pytest.raises(ProofError):
        log.ledger.inclusion(index)
    assert list(log.ledger.entries(10**30, 10**31)) == []


def test_proofs_of_the_ledger_verify(log):
    old = log.ledger.head()
    log.ledger.append([record("access", n) for n in range(300)])
    head = log.ledger.head()
    for index in (0, 27, 28, 255, 256, 327):
        note, path = log.ledger.inclusion(index)
        assert note == log.ledger.checkpoint()
        leaf = leaf_hash(log.ledger.entry(index))
        verify_inclusion(index, head.size, leaf, path, head.root)
    _, path = log.ledger.consistency(old.size)
    verify_consistency(old.size, head.size, old.root, head.root, path)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"record":"gossip","id":"1","time":"t"}', b"\xff", b"x" * 70_000]
)
def test_an_entry_that_no_verification_would_accept_is_not_appended(log, body):
    with pytest.raises(LedgerError):
        log.ledger.append([record("access", 1), body])
    assert log.ledger.head().size == 28


def test_a_ledger_without_its_key_reads_and_does_not_append(log):
    reader = Ledger(log.path, log.signer.verifier)
    assert reader.head().size == 28
    with pytest.raises(LedgerError, match="without its key"):
        reader.append([record("access", 1)])
    assert reader.head().size == 28
    reader.close()


def test_a_new_ledger_without_a_key_is_refused_before_anything_is_written(log, tmp_path):
    path = tmp_path / "new.db"
    with pytest.raises(LedgerError, match="made with its key"):
        Ledger(path, log.signer.verifier, create=True)
    assert not path.exists()


def test_a_private_key_that_is_not_the_pinned_one_is_refused(log):
    other = NoteSigner(log.signer.name, SigningKey.generate().private)
    with pytest.raises(LedgerError, match="does not belong"):
        Ledger(log.path, log.signer.verifier, signer=other)


def test_an_error_in_the_middle_of_an_append_writes_nothing(log):
    payload = SealedPayload("one", "subject", b"sealed", b"wrapped")
    log.ledger.append([record("access", 1)], [payload])
    with pytest.raises(LedgerError, match="twice"):
        log.ledger.append([record("access", 2)], [payload])
    other = SealedPayload("two", "subject", b"sealed", b"another key")
    with pytest.raises(LedgerError, match="same data subject"):
        log.ledger.append([record("access", 2)], [other])
    assert log.ledger.head().size == 29
    assert log.ledger.payload("one") == payload
    assert log.ledger.payload("two") is None
    assert log.ledger.subject_keys(["subject"]) == {"subject": b"wrapped"}
    assert not log.ledger.subject_keys(["nobody"])
    assert log.verify().ok


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "a?b#c.db", "ä.db"])
def test_any_file_name_will_do(log, tmp_path, name):
    path = tmp_path / name
    made = Ledger(path, log.signer.verifier, signer=log.signer, create=True)
    assert made.head().size == 0
    made.close()
    assert path.is_file()
