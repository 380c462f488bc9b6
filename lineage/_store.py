"""The store: what every one offers, whichever database it is, and the URL that decides which.

One process writes at a time, from the start of its transaction, so nothing is read that may change
under it. A connection must not cross a fork (https://sqlite.org/howtocorrupt.html §2.6, and a
server would take both processes for one session): idle ones are closed before it, a writer is
waited for, and what readers hold at that moment is never closed in the child.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from affidavit.errors import ConfigurationError, LedgerCorruptError, LedgerError

BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""
POSTGRES_SCHEMES = ("postgresql", "postgres")
"""The schemes of a URL that names a PostgreSQL database."""


class UnreadableTextError(LedgerCorruptError):
    """A text in the store is not UTF-8."""


class Store(ABC):
    """An open store.

    Args:
        location: Where it is, as messages name it; it never holds a password.
    """

    same: ClassVar[str]
    """The operator that compares two values, of which either may be NULL."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._lock = threading.RLock()
        self._raw: set[Any] = set()
        self._engine = self._connect()
        _STORES.add(self)

    @abstractmethod
    def create_tables(self, connection: Connection) -> None:
        """Make an empty database a ledger's store.

        Args:
            connection: A writing transaction.

        Raises:
            LedgerError: The database holds something already.
        """

    @abstractmethod
    def keep_copy(self, connection: Connection, table: Table) -> tuple[str, str]:
        """Copy a table of the index aside until the end of the session, and index the copy.

        A table that is missing is made.

        Args:
            connection: A writing transaction.
            table: One of the index.

        Returns:
            The names of the table and of its copy, as SQL.
        """

    @abstractmethod
    def begin_erasure(self, connection: Connection) -> None:
        """Prepare a writing transaction that deletes what must not be left anywhere."""

    @abstractmethod
    def scrub(self, gone: bytes = b"", *, entries: bool = False) -> int:
        """Rebuild the store so that nothing that was deleted from it stays in its files.

        Args:
            gone: Bytes that must not be found afterwards.
            entries: Entries were removed as well, not only personal data beside them.

        Returns:
            How many bytes of the files were searched for them.

        Raises:
            LedgerUnavailableError: Somebody uses the store; what was deleted is still in its files.
            LedgerCorruptError: The bytes are still there.
        """

    @abstractmethod
    def as_integer(self, column: str) -> str:
        """Return SQL for a column's value where it is an integer, and else NULL."""

    @abstractmethod
    def as_bytes(self, column: str) -> str:
        """Return SQL for a column's value where it is bytes, and else NULL."""

    def helper_uri(self) -> str | None:
        """Return the URI by which another process may read this SQLite file; None elsewhere."""
        return None

    @abstractmethod
    def stream(self, connection: Connection, sql: str) -> Iterator[tuple[Any, ...]]:
        """Give the rows of a query, however many, in constant memory.

        Args:
            connection: A transaction of this store, which lasts at least as long.
            sql: A query without parameters.

        Raises:
            UnreadableTextError: A text in a row is not UTF-8.
        """

    @abstractmethod
    def insert(
        self, connection: Connection, table: Table, sql: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Write rows, at the latest with the commit or before the next reading.

        Args:
            connection: A writing transaction of this store.
            table: Where to.
            sql: The insertion of one row.
            rows: A value for each column, in the table's order.
        """

    @abstractmethod
    def change(self, connection: Connection, sql: str, values: Sequence[Any]) -> None:
        """Execute a statement of which nobody needs the result, likewise."""

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock; commits at the end, rolls back on an error.

        Raises:
            LedgerUnavailableError: Disk full, read-only, or locked too long; nothing is written.
            LedgerCorruptError: The store is damaged.
        """
        self._check_writable()
        with self._lock, self.translated(), self._engine.connect() as connection:
            self._begin_writing(connection)
            try:
                yield connection
                self._commit(connection)
            except BaseException:
                self._roll_back(connection)
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store throughout.

        Raises:
            LedgerUnavailableError: The store cannot be read at present.
            LedgerCorruptError: The store is damaged.
        """
        with self.translated(), self._engine.connect() as connection:
            self._begin_reading(connection)
            try:
                yield connection
            finally:
                self._roll_back(connection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def before_fork(self) -> None:
        """Wait for this process's writer, whose locks in the database no child could release."""
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

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the error of ours that a database error means."""
        try:
            yield
        except DBAPIError as error:
            raise self.error(error.orig) from error
        except SQLAlchemyError as error:
            raise self.error(error) from error

    @abstractmethod
    def error(self, error: BaseException | None) -> LedgerError:
        """Return the error of ours that a database error means."""

    def _connect(self) -> Engine:
        engine = self._new_engine()
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "close", self._on_close)
        return engine

    def _on_connect(self, connection: Any, record: ConnectionPoolEntry) -> None:
        self._raw.add(connection)
        record.info[_INFO] = self

    def _on_close(self, connection: Any, _: ConnectionPoolEntry) -> None:
        self._raw.discard(connection)

    @abstractmethod
    def _new_engine(self) -> Engine: ...

    @abstractmethod
    def _check_writable(self) -> None: ...

    @abstractmethod
    def _begin_writing(self, connection: Connection) -> None: ...

    @abstractmethod
    def _begin_reading(self, connection: Connection) -> None: ...

    @abstractmethod
    def _commit(self, connection: Connection) -> None: ...

    @abstractmethod
    def _roll_back(self, connection: Connection) -> None: ...


def is_postgres(where: Path | str) -> bool:
    """Return whether a store is named by a PostgreSQL URL, and not by a path.

    Raises:
        ConfigurationError: It is a URL of another kind.
    """
    scheme, colon, _ = str(where).partition("://") if isinstance(where, str) else ("", "", "")
    if colon and scheme not in POSTGRES_SCHEMES:
        raise ConfigurationError(
            f"A store of the kind {scheme!r} is unknown.",
            hint="Give postgresql://…, or a path for SQLite.",
        )
    return bool(colon)


def open_store(where: Path | str, *, create: bool = False) -> Store:
    """Open a store.

    Args:
        where: A ``postgresql://`` URL, or the path of a SQLite file.
        create: `create_tables` will make it a ledger's; a SQLite file is made where there is none.

    Raises:
        ConfigurationError: The URL is malformed.
        LedgerUnavailableError: The store cannot be opened or made.
        LedgerCorruptError: It is not a ledger's store.
        MissingDependencyError: The driver for PostgreSQL is not installed.
    """
    if is_postgres(where):
        from affidavit.lineage._postgres_url import PostgresUrl

        url = PostgresUrl.parse(str(where))
        from affidavit.lineage._postgres_store import PostgresStore

        return PostgresStore(url, create=create)
    from affidavit.lineage._sqlite_store import SqliteStore

    return SqliteStore(Path(where), create=create)


def store_location(where: Path | str) -> str:
    """Return where a store is as messages name it, without a password.

    Raises:
        ConfigurationError: The URL is malformed.
    """
    if is_postgres(where):
        from affidavit.lineage._postgres_url import PostgresUrl

        return PostgresUrl.parse(str(where)).location
    return str(where)


def store_of(connection: Connection) -> Store:
    """Return the store that a transaction is on."""
    found: Store = connection.info[_INFO]
    return found


_INFO = "affidavit.store"
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
