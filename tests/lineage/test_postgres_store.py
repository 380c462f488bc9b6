"""What a PostgreSQL server does to a store: down, full, cut off, read-only, somebody else's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from forks import appending, exit_code, fork_and, forking_while_writing
from logs import dataset, decision_fields, furnish, record, start
from postgres import running
from real import need

from affidavit.errors import (
    ConfigurationError,
    LedgerCorruptError,
    LedgerError,
    LedgerUnavailableError,
)
from affidavit.lineage import Ledger, reindex, store_location, verify_ledger
from affidavit.lineage import _postgres_store as module
from affidavit.lineage._postgres_url import PostgresUrl


@pytest.fixture
def store_kind():
    return "postgresql"


def check(log, indexes):
    report = log.verify()
    assert report.ok, report.errors
    assert sorted(indexes) == list(range(28, report.size))


def name_of(log):
    return log.path.rpartition("/")[2]


def ours(log):
    """The server's process ids of Affidavit's sessions on a log's database."""
    found = log.server.sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'affidavit'",
        name_of(log),
    )
    return [pid for (pid,) in found]


def end_sessions(log):
    for pid in ours(log):
        log.server.sql("SELECT pg_terminate_backend(%s, 5000)", pid)


# What a ledger does


def test_entries_proofs_and_payloads_come_back_as_from_a_file(log):
    bodies = [record("prediction", n) for n in range(700, 760)]
    indexes = log.ledger.append(bodies)
    assert indexes == list(range(28, 88))
    assert [log.ledger.entry(index) for index in indexes] == bodies
    assert list(log.ledger.entries(28)) == list(zip(indexes, bodies, strict=True))
    assert log.verify(log.ledger.checkpoint()).ok


def test_many_entries_are_read_through_a_cursor_of_the_server(log):
    log.ledger.append([record("access", n) for n in range(2500)])
    assert sum(1 for _ in log.ledger.entries()) == 2528
    report = log.verify()
    assert (report.ok, report.size) == (True, 2528)


def test_a_reader_sees_one_state_however_long_it_reads(log):
    entries = log.ledger.entries()
    first = next(entries)
    log.ledger.append([record("access", n) for n in range(50)])
    assert first[0] == 0
    assert sum(1 for _ in entries) == 27


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 5000, "\N{GRINNING FACE}" * 1200, "".join(map(chr, range(1, 2500)))]
)
def test_an_entry_is_logged_whatever_its_names_are(log, name):
    import json

    named = decision_fields(name, name, allow=True, actor=name)
    fields = json.loads(record("decision", 7)) | {"decision_id": name, **named}
    body = json.dumps(fields).encode()
    index = log.ledger.append([body])[0]
    assert log.ledger.entry(index) == body
    assert log.verify().ok
    assert reindex(log.ledger).changed == 0


def test_two_ledgers_in_two_schemas_of_one_database_do_not_meet(postgres):
    name = postgres.database()
    for schema in ("one", "two"):
        postgres.sql(f"CREATE SCHEMA {schema}", database=name)
    logs = []
    for schema in ("one", "two"):
        base = start_at(postgres, postgres.url(name, more=f"?options=-csearch_path%3D{schema}"))
        logs.append(base)
    logs[0].ledger.append([record("access", n) for n in range(5)])
    assert [log.verify().size for log in logs] == [6, 1]
    postgres.sql("DROP TABLE one.edge", database=name)
    with pytest.raises(LedgerCorruptError, match="damaged"):
        logs[0].verify()
    for log in logs:
        log.ledger.close()


def start_at(server, url):
    """Make a ledger in the place that a URL names."""

    class Place:
        def database(self):
            return ""

        def url(self, _):
            return url

    return start(None, Place())


# Making one


def test_a_database_that_holds_something_is_refused_and_left_as_it_is(log, postgres):
    name = postgres.database()
    postgres.sql("CREATE TABLE song (name text)", database=name)
    url = postgres.url(name)
    with pytest.raises(LedgerError, match="tables in the schema public"):
        Ledger(url, log.signer.verifier, signer=log.signer, create=True)
    with pytest.raises(LedgerUnavailableError, match="no ledger in the schema public"):
        verify_ledger(url, log.signer.verifier)
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert postgres.sql(tables, database=name) == [("song",)]


def test_somebody_elses_table_of_the_same_name_is_no_ledger(log, postgres):
    name = postgres.database()
    postgres.sql("CREATE TABLE entry (entry bigint, body bytea)", database=name)
    with pytest.raises(LedgerCorruptError, match="no Affidavit ledger"):
        verify_ledger(postgres.url(name), log.signer.verifier)


def test_a_ledger_is_never_made_over_another(log):
    with pytest.raises(LedgerError, match="There is a ledger at") as found:
        Ledger(log.path, log.signer.verifier, signer=log.signer, create=True)
    assert "copy log.pub and keys/" in str(found.value)
    assert log.verify().ok


def test_a_database_in_another_encoding_is_refused(log, postgres):
    postgres.sql(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    with pytest.raises(LedgerError, match="encoding LATIN1"):
        Ledger(postgres.url("latin"), log.signer.verifier, signer=log.signer, create=True)


def test_a_newer_schema_is_refused(log):
    log.cut("COMMENT ON TABLE entry IS 'Affidavit ledger, schema version 99'")
    with pytest.raises(LedgerCorruptError, match="schema version 99"):
        log.verify()


def test_four_who_make_one_at_once_leave_one_good_ledger(log, postgres):
    url = postgres.url(postgres.database())
    outcomes = []

    def make():
        try:
            ledger = Ledger(url, log.signer.verifier, signer=log.signer, create=True)
            ledger.close()
            outcomes.append("made")
        except LedgerError as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("made") == 1, outcomes
    assert sum("already" in outcome for outcome in outcomes) == 3, outcomes


# Who cannot be reached


@pytest.mark.parametrize(
    ("role", "database", "hint"),
    [("postgres", "nowhere", "Make the database"), ("nobody", "postgres", "the role")],
)
def test_a_missing_database_or_role_is_named(log, postgres, role, database, hint):
    with pytest.raises(LedgerUnavailableError, match="does not exist") as found:
        verify_ledger(postgres.url(database, role=role), log.signer.verifier)
    assert hint in str(found.value)


@pytest.fixture
def guarded(log):
    """The URL of the log for a role with a password."""
    server = log.server
    server.sql("DROP ROLE IF EXISTS clerk")
    server.sql("CREATE ROLE clerk LOGIN PASSWORD 'open sesame'")
    file = server.data / "pg_hba.conf"
    before = file.read_text()
    file.write_text("host all clerk 127.0.0.1/32 scram-sha-256\n" + before)
    server.sql("SELECT pg_reload_conf()")
    yield lambda password: server.url(name_of(log), role=f"clerk:{password}")
    file.write_text(before)
    server.sql("SELECT pg_reload_conf()")
    server.sql("DROP OWNED BY clerk", database=name_of(log))
    server.sql("DROP ROLE clerk")


def test_a_wrong_password_is_named_and_no_password_is_said(log, guarded):
    until = time.monotonic() + 10
    while True:
        with pytest.raises(LedgerUnavailableError) as found:
            verify_ledger(guarded("hunter2"), log.signer.verifier)
        if "password" in str(found.value) or time.monotonic() > until:
            break
    assert "password authentication failed" in str(found.value)
    assert "~/.pgpass" in str(found.value)
    assert "hunter2" not in str(found.value)


def test_a_role_that_may_only_read_verifies_and_cannot_append(log, guarded):
    log.cut("GRANT USAGE ON SCHEMA public TO clerk")
    log.cut("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
    url = guarded("open%20sesame")
    assert verify_ledger(url, log.signer.verifier).ok
    reader = Ledger(url, log.signer.verifier, signer=log.signer)
    with pytest.raises(LedgerUnavailableError, match="the role has no permission"):
        reader.append([record("access", 1)])
    with pytest.raises(LedgerUnavailableError, match="the role has no permission"):
        reindex(reader)
    reader.close()
    assert log.verify().size == 28


def test_a_database_that_is_read_only_says_so(log):
    log.server.sql(f"ALTER DATABASE {name_of(log)} SET default_transaction_read_only = on")
    reader = log.reopen()
    # A session may ask for more than its default; a standby refuses even that.
    assert reader.append([record("access", 1)]) == [28]
    reader.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se@cret@host/db",
        "postgresql://u:se/cret@host/db",
        "postgresql://u:se?cret@host/db",
        "postgresql://u:se#cret@host/db",
        "postgresql://u:cret%zz@host/db",
        "postgresql://host:secret/db",
        "postgresql://u:secret@host/db?nosuch=secret",
        "postgresql://u:secret@[::1/db",
        "postgresql://u:secret@host:54x2/db",
    ],
)
def test_a_malformed_url_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigurationError) as found:
        PostgresUrl.parse(url)
    assert "cret" not in str(found.value)
    assert found.value.__cause__ is None
    assert found.value.__suppress_context__ or found.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://u:secret@h.example:6432/db", "postgresql://h.example:6432/db"),
        ("postgres://h/db?password=secret&sslmode=require", "postgresql://h/db"),
        ("postgresql:///db?host=/var/run&user=u", "postgresql:///var/run/db"),
        ("postgresql://u:secr%40et@[::1]:5/db", "postgresql://::1:5/db"),
        ("postgresql://a:1,b:2/db", "postgresql://a,b:1,2/db"),
    ],
)
def test_a_location_names_host_and_database_and_no_password(url, location):
    assert store_location(url) == location
    assert "secr" not in repr(PostgresUrl.parse(url))


def test_a_url_of_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="'mysql' is unknown"):
        store_location("mysql://u:secret@h/db")


# Who is cut off


def test_a_server_that_was_started_anew_is_written_to_again():
    with running() as server:
        log = furnish(start(None, server))
        for again in range(2):
            server.stop("fast" if again else "immediate")
            with pytest.raises(LedgerUnavailableError, match="cannot be reached"):
                log.ledger.append([record("access", 1)])
            with pytest.raises(LedgerUnavailableError, match="cannot be reached"):
                log.verify()
            server.start()
            assert log.ledger.append([record("access", 2)]) == [28 + again]
        assert log.verify().ok
        log.ledger.close()


def test_idle_sessions_that_the_server_ended_are_replaced(log):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log.ledger.entry, range(20)))
    end_sessions(log)
    assert log.ledger.head().size == 28
    end_sessions(log)
    assert log.ledger.append([record("access", 1)]) == [28]


@pytest.mark.parametrize("before", ["reading", "writing", "committing"])
def test_a_session_cut_in_the_middle_of_an_append_leaves_nothing_half_written(log, before):
    def append():
        with log.ledger.transaction() as open_log:
            if before == "reading":
                end_sessions(log)
            open_log.add([record("access", n) for n in range(3 if before == "writing" else 90)])
            end_sessions(log)

    with pytest.raises(LedgerUnavailableError, match="nothing was written"):
        append()
    assert log.verify().size == 28
    assert log.ledger.append([record("access", 1)]) == [28]
    assert log.verify().ok


class Cutting:
    """A session that is cut off right after it was asked to commit."""

    def __init__(self, log, *, reach):
        self._log, self._reach = log, reach

    def __call__(self, writes, raw, last=""):
        if last != "COMMIT":
            return self._real(writes, raw, last)
        if self._reach:
            self._real(writes, raw, last)
        raw.close()
        raise psycopg.OperationalError("the connection was lost")

    def patch(self, monkeypatch):
        self._real = module.Writes.send
        cut = self
        monkeypatch.setattr(module.Writes, "send", lambda self, raw, last="": cut(self, raw, last))


def test_a_commit_whose_answer_was_lost_counts_where_it_was_made(log, monkeypatch):
    with monkeypatch.context() as patched:
        Cutting(log, reach=True).patch(patched)
        assert log.ledger.append([record("access", 1)]) == [28]
    assert log.ledger.append([record("access", 2)]) == [29]
    assert log.verify().ok


def test_a_commit_that_never_reached_the_server_is_reported_as_not_written(log, monkeypatch):
    with monkeypatch.context() as patched:
        Cutting(log, reach=False).patch(patched)
        with pytest.raises(LedgerUnavailableError, match="nothing was written"):
            log.ledger.append([record("access", 1)])
    assert log.ledger.append([record("access", 2)]) == [28]
    assert log.verify().ok


def test_a_commit_of_which_nothing_can_be_learnt_says_so(log, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.3)

    def down(_store):
        raise psycopg.OperationalError("down")

    with monkeypatch.context() as patched:
        Cutting(log, reach=True).patch(patched)
        patched.setattr(module.PostgresStore, "_open", down)
        with pytest.raises(LedgerUnavailableError, match="not known whether"):
            log.ledger.append([record("access", 1)])
    assert log.verify().size == 29


def test_a_writer_that_hangs_is_waited_for_and_then_reported(log, monkeypatch):
    monkeypatch.setattr("affidavit.lineage._store.BUSY_SECONDS", 0.2)
    other = log.reopen()
    with other.transaction():
        with pytest.raises(LedgerUnavailableError, match="another process held it") as found:
            log.ledger.append([record("access", 1)])
        assert "pg_stat_activity" in str(found.value)
    assert log.ledger.append([record("access", 1)]) == [28]
    other.close()


def test_a_writer_that_does_nothing_loses_its_transaction_and_the_others_go_on(log, monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    other = log.reopen()

    def hang():
        with other.transaction() as open_log:
            open_log.add([record("access", 1)])
            # Waits for the lock until the server has ended the other's session.
            assert log.ledger.append([record("access", 2)]) == [28]

    with pytest.raises(LedgerUnavailableError, match="nothing was written"):
        hang()
    other.close()
    assert log.verify().size == 29


def test_a_statement_that_takes_too_long_is_reported(log, monkeypatch):
    monkeypatch.setattr(module, "STATEMENT_SECONDS", 0.2)

    def sleep():
        with log.ledger.transaction() as open_log:
            open_log.connection.exec_driver_sql("SELECT pg_sleep(5)")

    with pytest.raises(LedgerUnavailableError, match="took too long"):
        sleep()
    assert log.ledger.append([record("access", 1)]) == [28]


def test_a_row_that_is_in_the_way_is_damage_and_its_content_is_not_repeated(log):
    log.cut("INSERT INTO entry VALUES (28, ?)", b"somebody's secret")
    with pytest.raises(LedgerCorruptError, match="damaged") as found:
        log.ledger.append([record("access", 1)])
    assert "secret" not in str(found.value)
    log.cut("DELETE FROM entry WHERE entry = 28")
    assert log.ledger.append([record("access", 1)]) == [28]


def test_dropped_tables_and_columns_are_damage(log):
    log.cut("ALTER TABLE access DROP COLUMN action")
    with pytest.raises(LedgerCorruptError, match="damaged"):
        log.verify()
    log.cut("DROP TABLE tile")
    with pytest.raises(LedgerCorruptError, match="damaged"):
        log.ledger.append([record("access", 1)])


@pytest.fixture
def small_disk():
    """A mounted tmpfs of 24 MB, for one database's files."""
    need(os.geteuid() == 0 and shutil.which("mount"), "mounting a small tmpfs needs root")
    folder = Path(tempfile.mkdtemp())
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=777", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    need(done.returncode == 0, "this machine does not let a test mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def test_a_full_disk_of_the_server_loses_nothing_and_the_ledger_goes_on(small_disk):
    with running() as server:
        shutil.chown(small_disk, "postgres", "postgres")
        server.sql(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        server.sql("CREATE DATABASE small TEMPLATE template0 TABLESPACE small")
        log = start_at(server, server.url("small"))
        log.ledger.append([record("access", 0)])
        ballast = small_disk / "ballast"
        error, written = None, 2
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            file.write(bytes(shutil.disk_usage(small_disk).free - 2_000_000))
        while error is None:
            try:
                written += len(log.ledger.append([record("access", n) for n in range(500)]))
            except LedgerUnavailableError as found:
                error = found
        assert "the server's disk is full" in str(error)
        assert "No space left" in str(error)
        assert log.verify().size == written
        ballast.unlink()
        assert log.ledger.append([record("access", 7)]) == [written]
        assert log.verify().ok
        log.ledger.close()


# Many who write


def test_four_processes_and_four_threads_append_without_a_gap(log):
    writers = [appending(log, batches=15) for _ in range(4)]

    def work(worker):
        found = []
        for number in range(10):
            found += log.ledger.append([record("decision", worker * 100 + number)] * 2)
        return found

    with ThreadPoolExecutor(4) as pool:
        indexes = [index for found in pool.map(work, range(4)) for index in found]
    for child, reader in writers:
        indexes += [int(line) for line in reader.read().split()]
        reader.close()
        assert exit_code(child) == 0
    check(log, indexes)


def test_a_forked_child_and_its_parent_go_on_with_sessions_of_their_own(log):
    entries = log.ledger.entries()
    first = next(entries)
    child = fork_and(lambda: log.ledger.append([record("access", 9)] * 3))
    assert exit_code(child) == 0
    assert first[0] == 0
    assert sum(1 for _ in entries) == 27
    assert log.ledger.append([record("access", 1)]) == [31]


def test_a_child_forked_while_another_thread_writes_neither_hangs_nor_harms(log):
    codes, written = forking_while_writing(log, 5)
    assert codes == [0] * 5
    report = log.verify()
    assert report.ok, report.errors
    assert report.size == 28 + len(written) + 5


def test_every_acknowledged_entry_outlives_a_kill_of_writer_or_session_at_any_moment(log):
    acknowledged = []
    for turn in range(12):
        child, reader = appending(log)
        acknowledged.append(int(reader.readline()))
        time.sleep(0.011 * turn % 0.07)
        if turn % 2:
            os.kill(child, signal.SIGKILL)
        else:
            end_sessions(log)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        acknowledged += [int(line) for line in reader.read().split("\n")[:-1]]
        reader.close()
    report = log.verify()
    assert report.ok, report.errors
    assert set(acknowledged) <= set(range(report.size))
    assert len(acknowledged) == len(set(acknowledged)) > 12
    assert log.ledger.append([record("access", 1)]) == [report.size]


def test_a_log_is_verified_while_another_process_writes_to_it(log):
    child, reader = appending(log)
    sizes = []
    for _ in range(4):
        reader.readline()
        report = log.verify()
        assert report.ok, report.errors
        sizes.append(report.size)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    reader.close()
    assert sizes == sorted(sizes)


def test_without_the_driver_the_extra_is_named():
    code = """
import sys
sys.modules["psycopg"] = None
from affidavit.lineage import verify_ledger
try:
    verify_ledger("postgresql://h/db", None)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingDependencyError")
    assert "affidavit[postgres]" in done.stdout


def test_statements_of_several_keys_go_in_beside_records(log):
    log.ledger.append([dataset(900).sign(log.recorder).to_bytes(), record("access", 5)])
    assert log.verify().ok
