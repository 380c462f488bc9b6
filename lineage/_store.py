"""The store: connections, transactions, and errors that say what to do.

SQLite is used in write-ahead-log mode with a full flush at each commit. One writer at a time holds
the write lock from the start of its transaction, so nothing is read that may change under it.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from affidavit.errors import LedgerCorruptError, LedgerError, LedgerUnavailableError
from affidavit.lineage.tables import INDEX_TABLES, LEDGER_TABLES, SCHEMA_VERSION

APPLICATION_ID = 0x41464644
"""``AFFD``: the application id in the header of a SQLite store."""
BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""


class Store:
    """An open SQLite store.

    Args:
        path: The database file.
        create: Make the tables; the file must not hold any yet.

    Raises:
        LedgerUnavailableError: The file cannot be opened or made.
        LedgerCorruptError: The file is not a ledger's store.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if not create and not path.is_file():
            raise LedgerUnavailableError(
                f"There is no ledger at {path}.", hint="Run `affidavit init` first."
            )
        self._read_only = not create and not _writable(path)
        self._engine = self._connect()
        _STORES.add(self)
        if create:
            with self.writing() as connection:
                for table in (*LEDGER_TABLES, *INDEX_TABLES):
                    table.create(connection)
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        else:
            self._check_header()

    def _connect(self) -> Engine:
        if self._read_only:
            # A store on read-only media has no write-ahead log to recover.
            url = f"sqlite:///file:{quote(str(self.path))}?mode=ro&immutable=1&uri=true"
        else:
            url = f"sqlite:///file:{quote(str(self.path))}?mode=rwc&uri=true"
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", self._on_connect)
        return engine

    def _on_connect(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        if not self._read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

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
        with self._translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                if _raw(connection).in_transaction:
                    connection.exec_driver_sql("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store throughout.

        Raises:
            LedgerUnavailableError: The store cannot be read at present.
            LedgerCorruptError: The file is damaged.
        """
        with self._translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                if _raw(connection).in_transaction:
                    connection.exec_driver_sql("ROLLBACK")

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def forget_parent(self) -> None:
        """Let go of connections that belong to the process this one was forked from."""
        self._engine.dispose(close=False)
        self._engine = self._connect()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise store_error(self.path, error.orig) from error
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error


def store_error(path: Path, error: BaseException | None) -> LedgerError:
    """Return the error of ours that a database error means."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")) or (
        isinstance(error, sqlite3.OperationalError) and "no such table" in str(error)
    ):
        return LedgerCorruptError(
            f"The ledger {path} is damaged: {error}.",
            hint="Keep the file as it is, restore the folder from a backup, and run "
            "`affidavit verify` on the restored one.",
        )
    if name.startswith("SQLITE_FULL"):
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


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


_STORES: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_STORES):
        store.forget_parent()


os.register_at_fork(after_in_child=_after_fork)
