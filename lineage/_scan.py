"""What a verification reads: every row of a store in log order, with nothing taken for granted.

SQLite lets any column hold a value of any type, and whoever owns a PostgreSQL database may give a
column another type, so a changed store may hold text where a number or bytes belong. Such a value
is read as None here, and the checks report it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table

from affidavit.lineage._store import store_of

Span = tuple[int | None, int | None]
"""Rows from one log index up to another. Without a lower one, those that have no index belong to
them; without an upper one, those whose index is text or bytes, which databases sort last."""
EVERYTHING: Span = (None, None)


def entries(
    connection: Connection, span: Span = EVERYTHING
) -> Iterator[tuple[int | None, bytes | None]]:
    """Give (index, body) of every entry of a span."""
    store = store_of(connection)
    return chain.from_iterable(
        store.stream(connection, entries_query(connection, condition)) for condition in within(span)
    )


def entries_query(connection: Connection, condition: str) -> str:
    """Return the query for (index, body) of the entries that meet a condition."""
    store = store_of(connection)
    entry, body = store.as_integer("entry"), store.as_bytes("body")
    return f"SELECT {entry}, {body} FROM entry {condition} ORDER BY entry"  # noqa: S608  # constants


def within(span: Span) -> list[str]:
    """Return the conditions of the queries for the rows of a span, one after the other.

    Each value is in at least one of the spans that follow each other without a hole: whatever it
    is, it is either below a border or not.
    """
    low, high = span
    if low is None:
        # Two queries: one with OR has SQLite read the whole table.
        return [""] if high is None else ["WHERE entry IS NULL", f"WHERE entry < {high:d}"]
    return [f"WHERE entry >= {low:d}" + ("" if high is None else f" AND entry < {high:d}")]


def first_entry(connection: Connection, start: int) -> int | None:
    """Return the lowest log index of an entry that is not below a start."""
    entry = store_of(connection).as_integer("entry")
    query = f"SELECT min({entry}) FROM entry WHERE entry >= {start:d}"  # noqa: S608  # a number
    found: int | None = connection.exec_driver_sql(query).scalar()
    return found


def last_entry(connection: Connection, stop: int) -> int | None:
    """Return the highest log index of an entry that is below a stop."""
    entry = store_of(connection).as_integer("entry")
    query = f"SELECT max({entry}) FROM entry WHERE entry < {stop:d}"  # noqa: S608  # a number
    found: int | None = connection.exec_driver_sql(query).scalar()
    return found


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


def index_rows(
    connection: Connection, table: Table, span: Span = EVERYTHING
) -> Iterator[tuple[Any, ...]]:
    """Give the rows of an index table of a span, columns in the table's order."""
    store = store_of(connection)
    return chain.from_iterable(
        store.stream(connection, index_query(connection, table, condition))
        for condition in within(span)
    )


def index_query(connection: Connection, table: Table, condition: str) -> str:
    """Return the query for the rows of an index table that meet a condition."""
    store = store_of(connection)
    # Unqualified, SQLite would read a quoted name that is missing as a text.
    rest = [f'{table.name}."{column.name}"' for column in table.columns][2:]
    columns = ", ".join([store.as_integer("entry"), store.as_integer("ordinal"), *rest])
    return f"SELECT {columns} FROM {table.name} {condition} ORDER BY entry, ordinal"  # noqa: S608  # constants


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
