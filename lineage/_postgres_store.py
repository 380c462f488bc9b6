"""The store in one schema of a PostgreSQL database, which processes on several machines share.

A writer holds an advisory lock for its transaction and reads the newest checkpoint only after it
has the lock (READ COMMITTED: each statement sees what was committed before it). A reader sees one
snapshot (REPEATABLE READ). Names are looked up in one schema, the first of the search path, so that
a table that is missing there is not found in another.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, MetaData, String, Table, create_engine, event
from sqlalchemy.pool import QueuePool

from affidavit.errors import LedgerCorruptError, LedgerError, LedgerUnavailableError
from affidavit.lineage import _store
from affidavit.lineage._postgres_errors import what_it_means
from affidavit.lineage._postgres_scrub import search_files, vacuum
from affidavit.lineage._postgres_url import PostgresUrl
from affidavit.lineage._postgres_writes import Writes
from affidavit.lineage._store import Store
from affidavit.lineage.tables import (
    ENTRY,
    INDEX_TABLES,
    LEDGER_TABLES,
    PAYLOAD,
    SCHEMA_VERSION,
    SUBJECT_KEY,
)

IDLE_SECONDS = 60.0
"""How long a writer may do nothing in its transaction before the server ends its session."""
STATEMENT_SECONDS = 60.0
"""How long one statement of a writer may take."""
SETTLE_SECONDS = 15.0
"""How long it is tried to learn whether a transaction was committed whose answer was lost."""
_ROWS = 500
"""How many rows are fetched at a time."""
_COMMENT = "Affidavit ledger, schema version "
_LOCK = 0x41464644 << 32
"""``AFFD`` and the schema's object id: the number of the advisory lock."""
_SESSION = """
SELECT set_config('search_path', quote_ident(current_schema()), false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
         WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
       set_config('client_min_messages', 'notice', false)
"""
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = f"""
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = %d;
SET LOCAL statement_timeout = %d;
SET LOCAL idle_in_transaction_session_timeout = %d;
SELECT pg_advisory_xact_lock({_LOCK} | current_schema()::regnamespace::oid::bigint),
       pg_current_xact_id()::text
"""
_HEADER = """
SELECT current_schema(),
       obj_description(to_regclass(quote_ident(current_schema()) || '.entry'), 'pg_class'),
       to_regclass(quote_ident(current_schema()) || '.entry') IS NOT NULL
"""
# What an extension brought into the schema is nobody's data.
_PRESENT = """
SELECT count(*) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                   AND d.objid = c.oid AND d.deptype = 'e')
"""
_NUMBERS = itertools.count()
_XID = "affidavit.xid"
_WRITES = "affidavit.writes"


class PostgresStore(Store):
    """An open PostgreSQL store.

    Args:
        url: Where it is.
        create: `create_tables` makes it a ledger's.

    Raises:
        LedgerUnavailableError: The server cannot be reached, or holds no ledger there.
        LedgerCorruptError: What is there is not a ledger's store.
    """

    same = "IS NOT DISTINCT FROM"

    def __init__(self, url: PostgresUrl, *, create: bool = False) -> None:
        self._url = url
        super().__init__(self._url.location)
        if not create:
            self._check_header()

    def create_tables(self, connection: Connection) -> None:
        """Make an empty schema a ledger's store; see `Store.create_tables`."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise LedgerError(
                f"The database at {self.location} has the encoding {encoding}, not UTF8.",
                hint="Make one with: createdb --encoding UTF8 --template template0 NAME",
            )
        schema, comment, _ = connection.exec_driver_sql(_HEADER).one()
        if schema is None:
            raise LedgerError(
                f"There is no schema at {self.location} that this role may use.",
                hint="Make it: CREATE SCHEMA NAME, and grant the role USAGE and CREATE.",
            )
        if (comment or "").startswith(_COMMENT):
            raise LedgerError(
                f"There is a ledger at {self.location} already.",
                hint="To write to it from this machine too, copy log.pub and keys/ of its home "
                "here, and nothing else, and run `affidavit init` again. It is never overwritten.",
            )
        if connection.exec_driver_sql(_PRESENT).scalar():
            raise LedgerError(
                f"There are tables in the schema {schema} of {self.location} already.",
                hint="They are never overwritten. Name an empty database, or an empty schema with "
                "?options=-csearch_path%3DNAME in the URL.",
            )
        for table in (*LEDGER_TABLES, *INDEX_TABLES):
            _as_stored(table).create(connection)
        # Statistics would copy what is in these columns to where no erasure reaches.
        for name in (f"{PAYLOAD.name} ALTER sealed", f"{SUBJECT_KEY.name} ALTER wrapped"):
            connection.exec_driver_sql(f"ALTER TABLE {name} SET STATISTICS 0")
        # Compressed, what is looked for after an erasure would not be found.
        for name in (f"{ENTRY.name} ALTER body", f"{PAYLOAD.name} ALTER sealed"):
            connection.exec_driver_sql(f"ALTER TABLE {name} SET STORAGE EXTERNAL")
        connection.exec_driver_sql(f"COMMENT ON TABLE entry IS '{_COMMENT}{SCHEMA_VERSION}'")

    def keep_copy(self, connection: Connection, table: Table) -> tuple[str, str]:
        """Copy a table of the index aside; see `Store.keep_copy`."""
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        _as_stored(table).create(connection, checkfirst=True)
        name, copy = table.name, f"pg_temp.was_{table.name}"
        connection.exec_driver_sql(f"CREATE TEMP TABLE was_{name} AS SELECT * FROM {name}")  # noqa: S608  # names of our tables
        connection.exec_driver_sql(f"CREATE INDEX at_{name} ON {copy} (entry, ordinal)")
        return name, copy

    def begin_erasure(self, connection: Connection) -> None:
        """Nothing: PostgreSQL overwrites no row that it deletes."""

    def scrub(self, gone: bytes = b"", *, entries: bool = False) -> int:
        """Rebuild the tables from which something was removed; see `Store.scrub`.

        The write-ahead log, back-ups and replicas are the server's: what stands in them stays until
        they expire.

        Returns:
            How many bytes were searched; 0 where the role may not read the server's files.
        """
        pruned = (ENTRY, *INDEX_TABLES) if entries else ()
        tables = [table.name for table in (PAYLOAD, SUBJECT_KEY, *pruned)]
        with self.translated(), self._engine.connect() as connection:
            raw = self._fresh(connection)
            try:
                raw.execute("SET statement_timeout = 0")
                raw.execute(f"SET lock_timeout = {_store.BUSY_SECONDS * 1000:.0f}")
                dead = vacuum(raw, tables)
                searched, found = search_files(raw, tables, gone)
            finally:
                connection.invalidate()
        if dead:
            raise LedgerUnavailableError(
                f"The data was erased, but {dead} old versions of rows are still kept at "
                f"{self.location} for a transaction, a replication slot or a prepared transaction "
                "that began before.",
                hint="Look for it in pg_stat_activity, pg_replication_slots and pg_prepared_xacts, "
                "end it, and run the same command again: it finishes the work.",
            )
        if found:
            raise LedgerCorruptError(
                f"The destroyed key is still in {found} of the server at {self.location}.",
                hint="Run the same command again; if it stays, restore nothing from this file.",
            )
        return searched

    def error(self, error: BaseException | None) -> LedgerError:
        """Return the error of ours that a database error means."""
        return what_it_means(error, self.location)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the error of ours that a database error means."""
        with super().translated():
            try:
                yield
            except psycopg.Error as error:
                raise self.error(error) from error

    def as_integer(self, column: str) -> str:
        """Return SQL for a column's value where it is an integer, and else NULL."""
        return f"CASE WHEN pg_typeof({column})::oid IN (20, 21, 23) THEN {column} END"

    def as_bytes(self, column: str) -> str:
        """Return SQL for a column's value where it is bytes, and else NULL."""
        return f"CASE WHEN pg_typeof({column})::oid = 17 THEN {column} END"

    def stream(self, connection: Connection, sql: str) -> Iterator[tuple[Any, ...]]:
        """Give the rows of a query; see `Store.stream`."""
        _send_first(connection)
        cursor = _raw(connection).cursor(binary=True)
        name = f"stream_{next(_NUMBERS)}"
        cursor.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", prepare=False)
        more = True
        while more:
            rows = cursor.execute(f"FETCH {_ROWS} FROM {name}", prepare=False).fetchall()
            more = len(rows) == _ROWS
            yield from rows
        cursor.execute(f"CLOSE {name}", prepare=False)

    def insert(
        self, connection: Connection, table: Table, sql: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Write rows; see `Store.insert`."""
        _writes(connection).insert(_raw(connection), table, sql, rows)

    def change(self, connection: Connection, sql: str, values: Sequence[Any]) -> None:
        """Execute a statement; see `Store.change`."""
        _writes(connection).add(sql, values)

    def _new_engine(self) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self._open,
            poolclass=QueuePool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            paramstyle="format",
            use_native_hstore=False,
        )
        event.listen(engine, "before_cursor_execute", _send_first)
        return engine

    def _open(self) -> psycopg.Connection[Any]:
        raw = psycopg.connect(**self._url.parameters, autocommit=True, client_encoding="utf8")  # type: ignore[arg-type]  # libpq's own parameters
        try:
            raw.execute(_SESSION)
        except BaseException:
            raw.close()
            raise
        return raw

    def _check_writable(self) -> None:
        """Nothing: the server says it, and may say another thing tomorrow."""

    def _begin_writing(self, connection: Connection) -> None:
        limits = (_store.BUSY_SECONDS, STATEMENT_SECONDS, IDLE_SECONDS)
        cursor = self._begin(connection, _WRITE % tuple(int(limit * 1000) for limit in limits))
        while cursor.nextset():
            pass
        connection.info[_XID] = cursor.fetchone()[1]
        connection.info[_WRITES] = Writes()

    def _begin_reading(self, connection: Connection) -> None:
        self._begin(connection, _READ)

    def _begin(self, connection: Connection, sql: str) -> Any:
        raw = _raw(connection)
        try:
            return raw.execute(sql, prepare=False)
        except psycopg.OperationalError:
            if not raw.closed:
                self._roll_back(connection)
                raise
            # The server ended the session since it was last used, so nothing has begun.
            return self._fresh(connection).execute(sql, prepare=False)

    def _fresh(self, connection: Connection) -> psycopg.Connection[Any]:
        """Give a transaction's object a session that was not used before."""
        connection.invalidate()
        self._engine.dispose()
        raw: psycopg.Connection[Any] = _raw(connection)
        return raw

    def _commit(self, connection: Connection) -> None:
        raw, xid = _raw(connection), connection.info.get(_XID, "")
        try:
            _writes(connection).send(raw, "COMMIT")
        except psycopg.OperationalError as error:
            if not raw.closed:
                raise
            connection.invalidate()
            if not self._was_committed(xid):
                raise self.error(error) from error

    def _was_committed(self, xid: str) -> bool:
        """Ask whether a transaction was committed whose answer never came."""
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.Error), self._open() as probe:
                row = probe.execute("SELECT pg_xact_status(%s::text::xid8)", [xid]).fetchone()
                if row and row[0] in {"committed", "aborted"}:
                    return bool(row[0] == "committed")
            time.sleep(0.2)
        raise LedgerUnavailableError(
            f"The connection to the ledger {self.location} was cut while it committed; it is not "
            "known whether the entries were written.",
            hint="When the server is back, look for them with `affidavit log` before you write "
            "them again.",
        )

    def _roll_back(self, connection: Connection) -> None:
        if connection.invalidated:
            return
        connection.info.pop(_WRITES, None)
        raw = _raw(connection)
        try:
            if raw.closed:
                connection.invalidate()
            elif raw.info.transaction_status != TransactionStatus.IDLE:
                raw.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            # What went wrong first is what the caller hears of.
            connection.invalidate()

    def _check_header(self) -> None:
        with self.reading() as connection:
            schema, comment, present = connection.exec_driver_sql(_HEADER).one()
        if schema is None or not present:
            place = f"the schema {schema} of {self.location}" if schema else self.location
            raise LedgerUnavailableError(
                f"There is no ledger in {place}.",
                hint="Is it the right database? If it is a new one, run `affidavit init`.",
            )
        version = (comment or "").removeprefix(_COMMENT)
        if comment is None or version == comment:
            raise LedgerCorruptError(
                f"The schema {schema} of {self.location} holds tables, but no Affidavit ledger.",
                hint="Name the right database in AFFIDAVIT_STORE, or restore it.",
            )
        if version != str(SCHEMA_VERSION):
            raise LedgerCorruptError(
                f"{self.location} has schema version {version}, this program knows "
                f"{SCHEMA_VERSION}.",
                hint="Use the version of Affidavit that wrote it.",
            )


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _writes(connection: Connection) -> Writes:
    found: Writes = connection.info[_WRITES]
    return found


def _send_first(connection: Connection, *_: Any) -> None:
    """Send what waits to be written before a statement that may read it."""
    found = connection.info.get(_WRITES)
    if found is not None:
        found.send(_raw(connection))


def _as_stored(table: Table) -> Table:
    """Return a table as it is made here: texts in byte order, whatever the server's locale."""
    made = table.to_metadata(MetaData())
    for column in made.columns:
        if isinstance(column.type, String):
            column.type = String(collation="C")
    return made
