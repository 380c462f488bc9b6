"""The store: connections, transactions, and errors that say what to do.

SQLite is used in write-ahead-log mode with a full flush at each commit. One writer at a time holds
the write lock from the start of its transaction, so nothing is read that may change under it.

A SQLite connection must not cross a fork (https://sqlite.org/howtocorrupt.html §2.6): idle ones are
closed before it, a writer is waited for, and what readers hold at that moment is never closed in
the child.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from affidavit.errors import LedgerCorruptError, LedgerError, LedgerUnavailableError
from affidavit.lineage.tables import INDEX_TABLES, LEDGER_TABLES, SCHEMA_VERSION

APPLICATION_ID = 0x41464644
"""``AFFD``: the application id in the header of a SQLite store."""
BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""

CACHE_KIB = 16 * 1024
"""How many pages of the file a connection keeps in memory, in KiB, where it has use for them."""

WAL_PAGES = 4000
"""How long the write-ahead log grows before it is copied into the file, in pages."""


class Store:
    """An open SQLite store.

    Args:
        path: The database file.
        create: Make the file where there is none; `create_tables` makes it a ledger's.

    Raises:
        LedgerUnavailableError: The file cannot be opened or made.
        LedgerCorruptError: The file is not a ledger's store.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path.absolute()
        self._create = create
        self._lock = threading.RLock()
        self._raw: set[sqlite3.Connection] = set()
        if not create and not path.is_file():
            raise LedgerUnavailableError(
                f"There is no ledger at {path}.", hint="Run `affidavit init` first."
            )
        self._read_only = not create and not _writable(path)
        self._still = self._state() if self._read_only else None
        self._engine = self._connect()
        _STORES.add(self)
        if not create:
            self._check_header()

    def create_tables(self, connection: Connection) -> None:
        """Make an empty file a ledger's store.

        Args:
            connection: A writing transaction.

        Raises:
            LedgerError: The file holds something already.
        """
        if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar():
            raise LedgerError(
                f"There is a database at {self.path} already.", hint="It is never overwritten."
            )
        for table in (*LEDGER_TABLES, *INDEX_TABLES):
            table.create(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _connect(self) -> Engine:
        engine = create_engine(
            "sqlite://", creator=self._open, poolclass=QueuePool, isolation_level="AUTOCOMMIT"
        )
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "close", self._on_close)
        return engine

    def _open(self) -> sqlite3.Connection:
        mode = "rwc" if self._create else "rw"
        if self._read_only:
            # Only without a write-ahead log may SQLite be told that the file stands still.
            mode = "ro" if self._still is None else "ro&immutable=1"
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )

    def _on_connect(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        self._raw.add(connection)
        if self._create:
            # The mode is kept in the file; a database that is not ours is left as it is.
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # In KiB: a batch of ten thousand records is not written out before it is complete.
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # In pages of 4 KiB: what many commits change is copied into the file once.
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")

    def _on_close(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        self._raw.discard(connection)

    def _write_ahead_log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

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

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock; commits at the end, rolls back on an error.

        Raises:
            LedgerUnavailableError: Disk full, read-only, or locked too long; nothing is written.
            LedgerCorruptError: The file is damaged.
        """
        if self._read_only:
            raise LedgerUnavailableError(
                f"The ledger {self.path} is read-only; nothing was written.",
                hint="Make the folder writable for this user, or name another in AFFIDAVIT_HOME.",
            )
        with self._lock, self._translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store throughout.

        Raises:
            LedgerUnavailableError: The store cannot be read at present.
            LedgerCorruptError: The file is damaged.
        """
        self._reopen_if_changed()
        with self._translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                _roll_back(connection)
        if self._still is not None and self._state() != self._still:
            raise LedgerUnavailableError(
                f"The ledger {self.path} was written to while it was read.", hint="Try again."
            )

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def before_fork(self) -> None:
        """Wait for this process's writer, whose locks inside SQLite no child could ever release."""
        self._lock.acquire()
        self._engine.dispose()

    def after_fork(self) -> None:
        """Let writers go on in the parent."""
        self._lock.release()

    def forget_parent(self) -> None:
        """Let go of connections that belong to the process this one was forked from."""
        for connection in self._raw:
            # A thread of the parent holds it: closing it here would undo the parent's transaction.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._raw = set()
        self._lock = threading.RLock()
        self._engine = self._connect()

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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise store_error(self.path, error.orig) from error
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error
        except SQLAlchemyError as error:
            raise store_error(self.path, error) from error


def store_error(path: Path, error: BaseException | None) -> LedgerError:
    """Return the error of ours that a database error means."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(
        ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_CONSTRAINT")
    ) or (
        # A query of ours fails like this only where a table or a text is not what we made it.
        name == "SQLITE_ERROR" or "Could not decode" in str(error)
    ):
        return LedgerCorruptError(
            f"The ledger {path} is damaged: {error}.",
            hint="Keep the file as it is, restore the folder from a backup, and run "
            "`affidavit verify` on the restored one.",
        )
    if name.startswith("SQLITE_FULL") or (
        name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and _no_space(path)
    ):
        what, hint = "the disk is full", "Free some space and try again."
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        what, hint = "it cannot be written", "Make the folder writable for this user."
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        what = f"another process held it for more than {BUSY_SECONDS:.0f} s"
        hint = "Look for a process that hangs, then try again."
    else:
        what, hint = f"{error}", "Check the disk and the folder's permissions, then try again."
    return LedgerUnavailableError(
        f"The ledger {path} is not available: {what}; nothing was written.", hint=hint
    )


def _roll_back(connection: Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    try:
        if raw.in_transaction:
            connection.exec_driver_sql("ROLLBACK")
    except DBAPIError:
        # What went wrong first is what the caller hears of.
        connection.invalidate()


def _no_space(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < 1 << 16
    except OSError:
        return False


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


_STORES: weakref.WeakSet[Store] = weakref.WeakSet()


_FORKING: list[Store] = []


def _before_fork() -> None:
    for store in list(_STORES):
        store.before_fork()
        _FORKING.append(store)


def _after_fork_in_parent() -> None:
    while _FORKING:
        _FORKING.pop().after_fork()


def _after_fork_in_child() -> None:
    while _FORKING:
        _FORKING.pop().forget_parent()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
