"""What a verification reads: every row of a store in log order, with nothing taken for granted.

SQLite lets any column hold a value of any type, and whoever owns a PostgreSQL database may give a
column another type, so a changed store may hold text where a number or bytes belong. Such a value
is read as None here, and the checks report it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table

from affidavit.lineage._store import store_of


def entries(connection: Connection) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (index, body) of every entry."""
    store = store_of(connection)
    entry, body = store.as_integer("entry"), store.as_bytes("body")
    return store.stream(connection, f"SELECT {entry}, {body} FROM entry ORDER BY entry")  # noqa: S608  # constants


def notes(
    connection: Connection, *, newest_first: bool = False
) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (size, note) of every checkpoint."""
    store = store_of(connection)
    size, note = store.as_integer("size"), store.as_bytes("note")
    order = "size DESC" if newest_first else "size"
    return store.stream(connection, f"SELECT {size}, {note} FROM checkpoint ORDER BY {order}")  # noqa: S608  # constants


def newest_notes(connection: Connection) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (size, note) of every checkpoint, the largest first."""
    return notes(connection, newest_first=True)


def tile(connection: Connection, level: int, position: int) -> bytes:
    """Return a tile's bytes, empty where there is none."""
    store = store_of(connection)
    query = f"SELECT {store.as_bytes('hashes')} FROM tile WHERE level = {level:d} AND position = {position:d}"  # noqa: S608, E501  # numbers
    row = next(iter(store.stream(connection, query)), None)
    return row[0] or b"" if row else b""


def tile_lengths(connection: Connection) -> Iterator[tuple[Any, Any, int | None]]:
    """Give (level, position, length in bytes) of every tile."""
    store = store_of(connection)
    length = f"length({store.as_bytes('hashes')})"
    return store.stream(
        connection,
        f"SELECT level, position, {length} FROM tile ORDER BY level, position",  # noqa: S608  # constants
    )


def index_rows(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Give the rows of an index table, columns in the table's order."""
    store = store_of(connection)
    # Unqualified, SQLite would read a quoted name that is missing as a text.
    rest = [f'{table.name}."{column.name}"' for column in table.columns][2:]
    columns = ", ".join([store.as_integer("entry"), store.as_integer("ordinal"), *rest])
    return store.stream(
        connection,
        f"SELECT {columns} FROM {table.name} ORDER BY entry, ordinal",  # noqa: S608  # constants
    )


def open_writers(connection: Connection) -> dict[str, tuple[str, int]]:
    """Return place and next number of each writer that has not ended."""
    store = store_of(connection)
    following = store.as_integer("following")
    query = f"SELECT id, place, {following} FROM writer WHERE closed <> 1"  # noqa: S608  # constants
    return {
        str(writer): (str(place), -1 if number is None else number)
        for writer, place, number in store.stream(connection, query)
    }


def entry_count(connection: Connection) -> int:
    """Return how many entry rows there are."""
    return int(connection.exec_driver_sql("SELECT count(*) FROM entry").scalar() or 0)
