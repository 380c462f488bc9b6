"""What a verification reads: every row of a store in log order, with nothing taken for granted.

SQLite lets any column hold a value of any type, so a changed store may hold text where a number or
bytes belong. Such a value is read as None here, and the checks report it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, cast

from sqlalchemy import Connection, Table

_INTEGER = "CASE typeof({0}) WHEN 'integer' THEN {0} END"
_BLOB = "CASE typeof({0}) WHEN 'blob' THEN {0} END"


def entries(connection: Connection) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (index, body) of every entry."""
    entry, body = _INTEGER.format("entry"), _BLOB.format("body")
    return _raw(connection).execute(f"SELECT {entry}, {body} FROM entry ORDER BY entry")  # noqa: S608  # constants


def notes(connection: Connection) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (size, note) of every checkpoint."""
    size, note = _INTEGER.format("size"), _BLOB.format("note")
    return _raw(connection).execute(f"SELECT {size}, {note} FROM checkpoint ORDER BY size")  # noqa: S608  # constants


def newest_notes(connection: Connection) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (size, note) of every checkpoint, the largest first."""
    size, note = _INTEGER.format("size"), _BLOB.format("note")
    return _raw(connection).execute(
        f"SELECT {size}, {note} FROM checkpoint ORDER BY size DESC"  # noqa: S608  # constants
    )


def tile(connection: Connection, level: int, position: int) -> bytes:
    """Return a tile's bytes, empty where there is none."""
    query = f"SELECT {_BLOB.format('hashes')} FROM tile WHERE level = ? AND position = ?"  # noqa: S608  # constants
    row = _raw(connection).execute(query, (level, position)).fetchone()
    return row[0] or b"" if row else b""


def tile_lengths(connection: Connection) -> Iterator[tuple[Any, Any, int | None]]:
    """Give (level, position, length in bytes) of every tile."""
    length = f"length({_BLOB.format('hashes')})"
    return _raw(connection).execute(
        f"SELECT level, position, {length} FROM tile ORDER BY level, position"  # noqa: S608  # constants
    )


def index_rows(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Give the rows of an index table, columns in the table's order."""
    # Unqualified, SQLite would read a quoted name that is missing as a text.
    rest = [f'{table.name}."{column.name}"' for column in table.columns][2:]
    columns = ", ".join([_INTEGER.format("entry"), _INTEGER.format("ordinal"), *rest])
    return _raw(connection).execute(
        f"SELECT {columns} FROM {table.name} ORDER BY entry, ordinal"  # noqa: S608  # constants
    )


def open_writers(connection: Connection) -> dict[str, tuple[str, int]]:
    """Return place and next number of each writer that has not ended."""
    query = f"SELECT id, place, {_INTEGER.format('following')} FROM writer WHERE closed <> 1"  # noqa: S608  # constants
    return {
        str(writer): (str(place), -1 if number is None else number)
        for writer, place, number in _raw(connection).execute(query)
    }


def entry_count(connection: Connection) -> int:
    """Return how many entry rows there are."""
    return int(_raw(connection).execute("SELECT count(*) FROM entry").fetchone()[0])


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)
