"""The store in one SQLite file, in write-ahead-log mode with a full flush at each commit."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from affidavit.errors import LedgerCorruptError, LedgerError, LedgerUnavailableError
from affidavit.lineage import _store
from affidavit.lineage._store import Store, UnreadableTextError
from affidavit.lineage.tables import INDEX_TABLES, LEDGER_TABLES, SCHEMA_VERSION

APPLICATION_ID = 0x41464644
"""``AFFD``: the application id in the header of a SQLite store."""
WAIT_SECONDS = 30.0
"""How long the emptying of the write-ahead log waits for readers."""
CACHE_KIB = 16 * 1024
"""How many pages of the file a connection keeps in memory, in KiB, where it has use for them."""
WAL_PAGES = 4000
"""How long the write-ahead log grows before it is copied into the file, in pages of 4 KiB."""
_CHUNK = 1 << 20
# How many rows one statement writes: less work between Python and the database for each.
_AT_ONCE = 50


class SqliteStore(Store):
    """An open SQLite store.

    Args:
        path: The database file.
        create: Make the file where there is none; `create_tables` makes it a ledger's.

    Raises:
        LedgerUnavailableError: The file cannot be opened or made.
        LedgerCorruptError: The file is not a ledger's store.
    """

    same = "IS"

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path.absolute()
        self._create = create
        if not create and not path.is_file():
            raise LedgerUnavailableError(
                f"There is no ledger at {path}.", hint="Run `affidavit init` first."
            )
        self._read_only = not create and not _writable(path)
        self._still = self._state() if self._read_only else None
        super().__init__(str(self.path))
        if not create:
            self._check_header()

    def create_tables(self, connection: Connection) -> None:
        """Make an empty file a ledger's store; see `Store.create_tables`."""
        if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar():
            raise LedgerError(
                f"There is a database at {self.path} already.", hint="It is never overwritten."
            )
        for table in (*LEDGER_TABLES, *INDEX_TABLES):
            table.create(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def keep_copy(self, connection: Connection, table: Table) -> tuple[str, str]:
        """Copy a table of the index aside; see `Store.keep_copy`."""
        table.create(connection, checkfirst=True)
        name, copy = f"main.{table.name}", f"temp.was_{table.name}"
        connection.exec_driver_sql(f"CREATE TEMP TABLE was_{table.name} AS SELECT * FROM {name}")  # noqa: S608  # names of our tables
        connection.exec_driver_sql(
            f"CREATE INDEX temp.at_{table.name} ON was_{table.name} (entry, ordinal)"
        )
        return name, copy

    def begin_erasure(self, connection: Connection) -> None:
        """Have SQLite overwrite what it deletes."""
        connection.exec_driver_sql("PRAGMA secure_delete = ON")

    def scrub(self, gone: bytes = b"", *, entries: bool = False) -> int:  # noqa: ARG002  # the file is one
        """Rebuild the file and empty the write-ahead log; see `Store.scrub`."""
        self._engine.dispose()
        try:
            connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            try:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("PRAGMA temp_store = MEMORY")
                connection.execute("VACUUM")
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise self.error(error) from error
        if busy:
            raise LedgerUnavailableError(
                "The data was erased, but another process reads an older state of the store, so "
                "its write-ahead log still holds traces.",
                hint="Let the reader end and run the same command again: it finishes the work.",
            )
        total = 0
        for file in (self.path, self._write_ahead_log()):
            if file.exists():
                total += file.stat().st_size
                if gone and _contains(file, gone):
                    raise LedgerCorruptError(
                        f"The destroyed key is still in {file}.",
                        hint="Run the same command again; if it stays, restore nothing from this "
                        "file.",
                    )
        return total

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store throughout; see `Store.reading`."""
        self._reopen_if_changed()
        with super().reading() as connection:
            yield connection
        if self._still is not None and self._state() != self._still:
            raise LedgerUnavailableError(
                f"The ledger {self.path} was written to while it was read.", hint="Try again."
            )

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the error of ours that a database error means."""
        with super().translated():
            try:
                yield
            except sqlite3.Error as error:
                raise self.error(error) from error

    def error(self, error: BaseException | None) -> LedgerError:
        """Return the error of ours that a database error means."""
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(
            ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_CONSTRAINT")
        ) or (
            # A query of ours fails like this only where a table or a text is not what we made it.
            name == "SQLITE_ERROR" or "Could not decode" in str(error)
        ):
            return LedgerCorruptError(
                f"The ledger {self.path} is damaged: {error}.",
                hint="Keep the file as it is, restore the folder from a backup, and run "
                "`affidavit verify` on the restored one.",
            )
        if name.startswith("SQLITE_FULL") or (
            name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and _no_space(self.path)
        ):
            what, hint = "the disk is full", "Free some space and try again."
        elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            what, hint = "it cannot be written", "Make the folder writable for this user."
        elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            what = f"another process held it for more than {_store.BUSY_SECONDS:.0f} s"
            hint = "Look for a process that hangs, then try again."
        else:
            what, hint = f"{error}", "Check the disk and the folder's permissions, then try again."
        return LedgerUnavailableError(
            f"The ledger {self.path} is not available: {what}; nothing was written.", hint=hint
        )

    def as_integer(self, column: str) -> str:
        """Return SQL for a column's value where it is an integer, and else NULL."""
        return f"CASE typeof({column}) WHEN 'integer' THEN {column} END"

    def as_bytes(self, column: str) -> str:
        """Return SQL for a column's value where it is bytes, and else NULL."""
        return f"CASE typeof({column}) WHEN 'blob' THEN {column} END"

    def stream(self, connection: Connection, sql: str) -> Iterator[tuple[Any, ...]]:
        """Give the rows of a query; see `Store.stream`."""
        raw: Any = connection.connection.dbapi_connection
        try:
            # Not `yield from`: it would close the cursor, perhaps after its connection.
            for row in raw.execute(sql):  # noqa: UP028  # as said
                yield row
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            raise UnreadableTextError(f"A text in {self.path} is not UTF-8.") from error

    def insert(
        self,
        connection: Connection,
        table: Table,  # noqa: ARG002  # as every store's
        sql: str,
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Write rows; see `Store.insert`."""
        whole = len(rows) - len(rows) % _AT_ONCE
        if whole:
            head, values, cells = sql.partition(" VALUES ")
            many = head + values + ", ".join([cells] * _AT_ONCE)
            groups = (rows[at : at + _AT_ONCE] for at in range(0, whole, _AT_ONCE))
            connection.exec_driver_sql(
                many, [tuple(chain.from_iterable(group)) for group in groups]
            )
        if whole < len(rows):
            connection.exec_driver_sql(sql, list(rows[whole:]))

    def change(self, connection: Connection, sql: str, values: Sequence[Any]) -> None:
        """Execute a statement; see `Store.change`."""
        connection.exec_driver_sql(sql, tuple(values))

    def _new_engine(self) -> Engine:
        return create_engine(
            "sqlite://",
            creator=self._open,
            poolclass=QueuePool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )

    def helper_uri(self) -> str | None:
        """Return the URI by which another process may read this file."""
        return self._uri()

    def _uri(self) -> str:
        mode = "rwc" if self._create else "rw"
        if self._read_only:
            # Only without a write-ahead log may SQLite be told that the file stands still.
            mode = "ro" if self._still is None else "ro&immutable=1"
        return f"file:{quote(str(self.path))}?mode={mode}"

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._uri(),
            uri=True,
            timeout=_store.BUSY_SECONDS,
            check_same_thread=False,
        )

    def _on_connect(self, connection: Any, record: ConnectionPoolEntry) -> None:
        super()._on_connect(connection, record)
        if self._create:
            # The mode is kept in the file; a database that is not ours is left as it is.
            _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = FULL")
        # A batch of ten thousand records is not written out before it is complete.
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # What many commits change is copied into the file once.
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")

    def _check_writable(self) -> None:
        if self._read_only:
            raise LedgerUnavailableError(
                f"The ledger {self.path} is read-only; nothing was written.",
                hint="Make the folder writable for this user, or name another in AFFIDAVIT_HOME.",
            )

    def _begin_writing(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _begin_reading(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    def _commit(self, connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT")

    def _roll_back(self, connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        try:
            if raw.in_transaction:
                connection.exec_driver_sql("ROLLBACK")
        except DBAPIError:
            # What went wrong first is what the caller hears of.
            connection.invalidate()

    def _check_header(self) -> None:
        with self.reading() as connection:
            application = connection.exec_driver_sql("PRAGMA application_id").scalar()
            version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        if application != APPLICATION_ID:
            raise LedgerCorruptError(
                f"{self.path} is a database, but not an Affidavit ledger.",
                hint="Point AFFIDAVIT_HOME at the right folder, or restore the file.",
            )
        if version != SCHEMA_VERSION:
            raise LedgerCorruptError(
                f"{self.path} has schema version {version}, this program knows {SCHEMA_VERSION}.",
                hint="Use the version of Affidavit that wrote it.",
            )

    def _write_ahead_log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _state(self) -> tuple[int, int] | None:
        """Return what shows a change to a file that has no write-ahead log."""
        if self._write_ahead_log().exists():
            return None
        seen = self.path.stat()
        return seen.st_mtime_ns, seen.st_size

    def _reopen_if_changed(self) -> None:
        if self._read_only and self._state() != self._still:
            self._engine.dispose()
            self._still = self._state()


def _contains(file: Path, wanted: bytes) -> bool:
    tail = b""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if wanted in tail + chunk:
                return True
            tail = chunk[-len(wanted) :]
    return False


def _no_space(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < 1 << 16
    except OSError:
        return False


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for the lock that this takes (documentation of PRAGMA journal_mode): of
    # several that initialise at once each would fail, where all but one are to learn who won.
    end = time.monotonic() + _store.BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = (error.sqlite_errorname or "").startswith("SQLITE_BUSY")
            if not busy or time.monotonic() >= end:
                raise
            time.sleep(0.005)
        else:
            return


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
