"""A range of a log read on its own: what a process that helps with a verification does.

A range either holds nothing that a verification would report, except what only the whole log can
tell, or nothing is said of it and the verification reads it itself. So there are no findings here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from affidavit.errors import VerificationError
from affidavit.lineage._batch import Batch, Noted, read_batch
from affidavit.lineage._merkle import HASH_SIZE, CompactRange, leaf_hashes

_WIDTH = 256
CHUNK = 1024
"""How many entries are read at once."""
# What goes to another process at once is bounded; a range with more is left to the verification.
_MOST_OTHERS = 256
_MOST_NOTED = 4096
_MOST_SIZES = 512


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries for the rows from one log index up to another, which are their parameters.

    Args:
        entries: For (index, body), of whatever types.
        tiles: For (position, hashes) of the tiles of leaves, by position.
        sizes: For the sizes of checkpoints above the first index and below the other.
        records: For the rows of each index table that only records have.
        length: How many entries a range has: a power of two, and a multiple of `CHUNK`.
    """

    entries: str
    tiles: str
    sizes: str
    records: Mapping[str, str]
    length: int


@dataclass(frozen=True, slots=True)
class RangeFacts:
    """What holds in a range, and what the whole log has to be asked about it.

    Args:
        nodes: The root of the subtree of each 256 entries, which are those of the tiles.
        edges: (size, roots of the subtrees from the range's start) at each size that was asked.
        records: How many records there are; their index rows are as they should be.
        others: (log index, JSON value) of each other entry.
        noted: What checks in log order need to see of the records.
    """

    nodes: list[bytes]
    edges: list[tuple[int, list[bytes]]]
    records: int
    others: list[tuple[int, Any]]
    noted: list[Noted]


def read_range(
    store: sqlite3.Connection, queries: Queries, start: int, sizes: Sequence[int]
) -> RangeFacts | None:
    """Read a range and compare everything in it that can be compared without the rest of the log.

    Args:
        store: A reading transaction.
        queries: What to ask it.
        start: The range's first log index, a multiple of their length.
        sizes: Tree sizes that the caller needs to know the root of, beside those of checkpoints.

    Returns:
        What holds; None where something differs, or there is too much to hand over.
    """
    span = (start, start + queries.length)
    reading = _Reading(start)
    try:
        asked = {size for (size,) in store.execute(queries.sizes, span)}
        reading.stops = sorted(asked.union(size for size in sizes if span[0] < size < span[1]))
        if len(reading.stops) > _MOST_SIZES:
            return None
        entries = store.execute(queries.entries, span)
        tiles = store.execute(queries.tiles, span)
        index = {name: store.execute(sql, span) for name, sql in queries.records.items()}
        while reading.at < span[1]:
            if not reading.take(entries.fetchmany(CHUNK), tiles, index):
                return None
        # One row more than there should be, in whichever table, is for the caller to name.
        if any(rest.fetchone() is not None for rest in (entries, tiles, *index.values())):
            return None
    except (sqlite3.Error, VerificationError, TypeError):
        return None
    return RangeFacts(reading.nodes, reading.edges, reading.records, reading.others, reading.noted)


class _Reading:
    def __init__(self, start: int) -> None:
        self.at = start
        self.stops: list[int] = []
        self.nodes: list[bytes] = []
        self.edges: list[tuple[int, list[bytes]]] = []
        self.records = 0
        self.others: list[tuple[int, Any]] = []
        self.noted: list[Noted] = []
        self._tree = CompactRange()
        self._start = start

    def take(
        self,
        rows: list[tuple[Any, Any]],
        tiles: sqlite3.Cursor,
        index: Mapping[str, sqlite3.Cursor],
    ) -> bool:
        numbers, bodies = [row[0] for row in rows], [row[1] for row in rows]
        if numbers != [*range(self.at, self.at + CHUNK)] or set(map(type, numbers)) != {int}:
            return False
        if set(map(type, bodies)) != {bytes}:
            return False
        leaves = leaf_hashes(bodies)
        if not self._tiles_hold(leaves, tiles.fetchmany(CHUNK // _WIDTH)):
            return False
        batch = read_batch(bodies, self.at)
        for name, expected in batch.rows.items():
            # Asked for no rows, SQLite's driver gives all of them.
            if expected and index[name].fetchmany(len(expected)) != expected:
                return False
        self._grow(leaves)
        self.at += CHUNK
        return self._keep(batch)

    def _tiles_hold(self, leaves: list[bytes], stored: list[tuple[Any, Any]]) -> bool:
        first = self.at // _WIDTH
        return (
            [row[0] for row in stored] == [*range(first, first + CHUNK // _WIDTH)]
            and all(len(row[1]) == _WIDTH * HASH_SIZE for row in stored)
            and b"".join([row[1] for row in stored]) == b"".join(leaves)
        )

    def _grow(self, leaves: list[bytes]) -> None:
        done = 0
        while self.stops and self.stops[0] <= self.at + len(leaves):
            size = self.stops.pop(0)
            self._extend(leaves[done : size - self.at])
            done = size - self.at
            self.edges.append((size, list(self._tree.hashes)))
        self._extend(leaves[done:])

    def _extend(self, leaves: list[bytes]) -> None:
        closed = self._tree.extend(leaves)
        if 8 in closed:
            self.nodes += closed[8][1]

    def _keep(self, batch: Batch) -> bool:
        self.records += batch.records
        self.others += batch.others
        self.noted += batch.noted
        return len(self.others) <= _MOST_OTHERS and len(self.noted) <= _MOST_NOTED


def serve(line: Connection) -> None:
    """Answer the questions of a verification until it hangs up.

    The first message says what to open: (database URI, queries, sizes). Then ``"begin"`` takes a
    new view of the store, and a number asks for the range that begins there.

    Args:
        line: The other end is at the verification.
    """
    try:
        uri, queries, sizes = line.recv()
        store = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
        while True:
            asked = line.recv()
            if asked == "begin":
                if store.in_transaction:
                    store.execute("ROLLBACK")
                store.execute("BEGIN")
                # The view is taken by the first reading, not by BEGIN.
                line.send(store.execute("SELECT count(*) FROM sqlite_master").fetchone())
            else:
                line.send((read_range(store, queries, asked, sizes),))
    except (EOFError, OSError, sqlite3.Error):
        # Whoever asked is gone, or the store cannot be read: what is not answered is read there.
        return
