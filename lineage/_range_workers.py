"""Processes that read ranges of a log ahead of a verification, all of one state of the store."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any

from sqlalchemy import Connection

from affidavit.lineage import _scan
from affidavit.lineage._batch import RECORD_TABLES
from affidavit.lineage._ranges import Queries, RangeFacts, read_range
from affidavit.lineage._store import store_of
from affidavit.lineage.tables import INDEX_TABLES

RANGE = 16_384
"""How many entries a range has: a power of two, and a multiple of what is read at once."""
WORTHWHILE = 8 * RANGE
"""Below so many entries a verification is over before another process has begun."""
_MOST_PROCESSES = 8
# How far reading goes ahead of what is reported, in ranges for each process.
_AHEAD = 4
# A writer that commits between the moments at which two processes begin to read spoils the attempt.
_ATTEMPTS = 20
_PATIENCE = 30.0
# The helper gets the module path of this process, and nothing from the working directory.
_BOOT = """
import sys
from multiprocessing.connection import Connection
line = Connection(int(sys.argv[1]))
sys.path[:] = line.recv()
from affidavit.lineage._ranges import serve
serve(line)
"""


@dataclass(slots=True)
class RangeWorkers:
    """Hands out ranges, this process taking its share, and gives what was found in log order.

    Args:
        read: Reads a range in this process.
        helpers: The others.
        count: How many ranges there are.
        length: How many entries each has.
    """

    read: Callable[[int], RangeFacts | None]
    helpers: list[_Helper]
    count: int
    length: int
    _done: dict[int, RangeFacts | None] = field(default_factory=dict)
    _next: int = 0

    def result(self, number: int) -> RangeFacts | None:
        """Return what holds in a range; None where the caller has to read it itself.

        Args:
            number: Which one; each is asked for at most once, in order.
        """
        for passed in [known for known in self._done if known < number]:
            del self._done[passed]
        self._next = max(self._next, number)
        while number not in self._done:
            self._hand_out(number)
            if self._collect(0):
                continue
            mine = self._take(number)
            if mine is not None:
                self._done[mine] = self.read(mine * self.length)
            elif not any(number in helper.asked for helper in self.helpers):
                return None
            else:
                self._collect(_PATIENCE)
        return self._done.pop(number)

    def _hand_out(self, number: int) -> None:
        for helper in self.helpers:
            while len(helper.asked) < 2 and (mine := self._take(number)) is not None:
                helper.ask(mine, mine * self.length)

    def _take(self, number: int) -> int | None:
        found = self._next
        if found >= min(self.count, number + _AHEAD * (len(self.helpers) + 1)):
            return None
        self._next += 1
        return found

    def _collect(self, seconds: float) -> bool:
        lines: dict[Any, _Helper] = {helper.line: helper for helper in self.helpers}
        ready = wait(list(lines), seconds) if lines else []
        for line in ready:
            answer = lines[line].answer()
            if answer is not None:
                number, facts = answer
                self._done[number] = facts
        if seconds and not ready:
            for helper in self.helpers:
                helper.end()
        # What a helper that died was asked for has no answer: the caller reads it.
        for helper in [helper for helper in self.helpers if not helper.alive]:
            self._done.update(dict.fromkeys(helper.asked))
            self.helpers.remove(helper)
        return bool(ready)


class _Helper:
    def __init__(self, opening: tuple[str, Queries, Sequence[int]]) -> None:
        self.asked: list[int] = []
        self.alive = True
        self.line, theirs = Pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # this interpreter, our own words
                [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except BaseException:
            self.line.close()
            raise
        finally:
            theirs.close()
        self._send(sys.path)
        self._send(opening)

    def begin(self) -> None:
        self._send("begin")

    def begun(self) -> bool:
        return self.line.poll(_PATIENCE) and self._receive() is not None if self.alive else False

    def ask(self, number: int, start: int) -> None:
        self.asked.append(number)
        self._send(start)

    def answer(self) -> tuple[int, RangeFacts | None] | None:
        # Answers come in the order of the questions.
        found: tuple[RangeFacts | None] | None = self._receive()
        return None if found is None else (self.asked.pop(0), *found)

    def end(self) -> None:
        self.alive = False
        self.line.close()
        self._process.kill()
        self._process.wait()

    def _send(self, message: object) -> None:
        try:
            self.line.send(message)
        except OSError:
            self.alive = False

    def _receive(self) -> Any:
        try:
            return self.line.recv()
        except (EOFError, OSError):
            self.alive = False
            return None


@contextlib.contextmanager
def range_workers(
    connection: Connection, stop: int, sizes: Sequence[int], processes: int | None
) -> Iterator[RangeWorkers | None]:
    """Start helpers that see what a reading transaction sees; it is begun anew for that.

    Args:
        connection: The reading transaction; nothing of it is in use yet.
        stop: Ranges below this log index are read, as far as there are entries.
        sizes: Tree sizes that the caller needs to know the root of, beside those of checkpoints.
        processes: How many processes read, this one among them; None decides by the machine and
            the log.

    Yields:
        What reads ranges; None where one process reads alone, which takes longer and finds the
        same.
    """
    uri = store_of(connection).helper_uri()
    # Asked in SQLite alone: it compares a key of any type with a number.
    last = None if uri is None else _scan.last_entry(connection, stop)
    stop = 0 if last is None else last + 1
    count = stop // RANGE
    wanted = _how_many(stop) if processes is None else processes
    if uri is None or count < 2 or wanted < 2 or not sys.executable:
        yield None
        return
    queries = _queries(connection)
    store: Any = connection.connection.dbapi_connection
    helpers: list[_Helper] = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(min(wanted - 1, count - 1)):
                helpers.append(_Helper((uri, queries, sizes)))  # noqa: PERF401  # those begun are ended
        if not helpers or not _begin_together(store, uri, helpers):
            yield None
            return
        yield RangeWorkers(
            lambda at: read_range(store, queries, at, sizes), list(helpers), count, RANGE
        )
    finally:
        for helper in helpers:
            helper.end()


def _begin_together(store: sqlite3.Connection, uri: str, helpers: list[_Helper]) -> bool:
    """Have every process see one state; False where writers are too quick for that."""
    watch = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        for _ in range(_ATTEMPTS):
            # https://sqlite.org/pragma.html#pragma_data_version: it stays the same as long as
            # nobody commits.
            before = watch.execute("PRAGMA data_version").fetchone()
            store.execute("ROLLBACK")
            store.execute("BEGIN")
            store.execute("SELECT count(*) FROM sqlite_master").fetchone()
            for helper in helpers:
                helper.begin()
            if not all(helper.begun() for helper in helpers):
                return False
            if watch.execute("PRAGMA data_version").fetchone() == before:
                return True
    finally:
        watch.close()
    return False


def _queries(connection: Connection) -> Queries:
    store = store_of(connection)
    tables = {table.name: table for table in INDEX_TABLES}
    condition = "WHERE entry >= ? AND entry < ?"
    position, size = store.as_integer("position"), store.as_integer("size")
    hashes = store.as_bytes("hashes")
    return Queries(
        # Types are looked at by the reader: to have SQLite do it copies each body once more.
        entries=f"SELECT entry, body FROM entry {condition} ORDER BY entry",  # noqa: S608  # constants
        tiles=f"SELECT {position}, {hashes} FROM tile WHERE level = 0 "  # noqa: S608  # constants
        "AND position >= ? / 256 AND position < ? / 256 ORDER BY position",
        sizes=f"SELECT {size} FROM checkpoint WHERE size > ? AND size < ?",  # noqa: S608  # constants
        # By our own names: SQLAlchemy's are of a class that a helper would have to import.
        records={
            name: _scan.index_query(connection, tables[name], condition) for name in RECORD_TABLES
        },
        length=RANGE,
    )


def _how_many(entries: int) -> int:
    if entries < WORTHWHILE:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return min(usable, _MOST_PROCESSES)
