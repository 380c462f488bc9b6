"""Pruned records: which leaves have no bytes any more, and the signed statements that say so.

C2SP tlog-tiles §"Pruning" drops a prefix of a log below a *minimum index*, entries and the tiles
under them. Here statements are kept wherever they stand, and so are all tiles and checkpoints: a
retention statement lists the pruned leaves as runs, and their hashes stay in the tiles, so that
every proof can still be made. That a pruned leaf was no statement shows in the count of statements
that each checkpoint signs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from affidavit.errors import EnvelopeError, LedgerCorruptError, VerificationError
from affidavit.lineage._merkle import CompactRange, leaf_hash
from affidavit.lineage._predicates import RETENTION
from affidavit.lineage._records import parse_entry
from affidavit.lineage._statement import Statement
from affidavit.lineage._tiles import WIDTH, TileReader
from affidavit.lineage.tables import ENTRY, STATEMENT

Run = tuple[int, int]
"""(first, the one after the last)."""
_BATCH = 1000
# Every envelope has this key; a record that has it too is parsed for nothing.
_MARK = b'"payloadType"'


class Runs:
    """A set of integers as runs.

    Args:
        runs: Some runs, in any order.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs: list[Run] = []
        for first, stop in sorted(runs):
            if self._runs and first <= self._runs[-1][1]:
                self._runs[-1] = (self._runs[-1][0], max(stop, self._runs[-1][1]))
            elif first < stop:
                self._runs.append((first, stop))

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __contains__(self, number: int) -> bool:
        return self.end_of(number) > number

    def end_of(self, number: int) -> int:
        """Return the end of the run that a number is in, or the number where it is in none."""
        at = bisect_right(self._runs, (number, float("inf"))) - 1
        return max(number, self._runs[at][1]) if at >= 0 else number

    def next_after(self, number: int, stop: int) -> int:
        """Return the first number of the set from a number on, or the stop where there is none."""
        if number in self:
            return number
        at = bisect_right(self._runs, (number, float("inf")))
        return min(stop, self._runs[at][0]) if at < len(self._runs) else stop

    def without(self, other: Runs) -> Runs:
        """Return what is in this set and not in the other."""
        left: list[Run] = []
        for first, stop in self._runs:
            at = first
            while at < stop:
                until = other.next_after(at, stop)
                left.append((at, until))
                at = max(until, other.end_of(until))
        return Runs(left)


@dataclass(frozen=True, slots=True)
class Retention:
    """What a retention statement says was pruned.

    Args:
        index: Its log index.
        runs: The pruned leaves.
        writers: The pruned numbers of each writer.
    """

    index: int
    runs: Runs
    writers: Mapping[str, Runs]

    @classmethod
    def parse(cls, index: int, statement: Statement) -> Retention:
        """Return what a statement lists.

        Raises:
            EnvelopeError: It is no retention statement, or lists what cannot have been pruned.
        """
        if statement.predicate_type != RETENTION:
            raise EnvelopeError("It is no retention statement.")
        said = statement.predicate.get("records")
        if said is None:
            return cls(index, Runs(), {})
        if not isinstance(said, dict) or not isinstance(said.get("writers"), dict):
            raise EnvelopeError("A retention statement says which records were pruned.")
        runs = _runs(said.get("runs"))
        before = said.get("before")
        if type(before) is not int or not all(stop <= before <= index for _, stop in runs):
            raise EnvelopeError("A retention statement prunes what comes before it.")
        writers = {writer: Runs(_runs(numbers)) for writer, numbers in said["writers"].items()}
        return cls(index, Runs(runs), writers)


def _runs(value: object) -> list[Run]:
    if not isinstance(value, list):
        raise EnvelopeError("Runs are a list of [first, count].")
    found: list[Run] = []
    for item in value:
        plain = isinstance(item, list) and [type(number) for number in item] == [int, int]
        if not plain or item[0] < (found[-1][1] if found else 0) or item[1] < 1:
            raise EnvelopeError("Runs are [first, count], ascending and apart.")
        found.append((item[0], item[0] + item[1]))
    return found


def retentions(connection: Connection) -> list[Retention]:
    """Return what the retention statements list that the index finds; none is verified.

    What the index leaves out is missing here, and its pruned entries then count as deleted.
    """
    query = select(STATEMENT.c.entry).where(STATEMENT.c.kind == "retention")
    found: list[Retention] = []
    for (index,) in connection.execute(query.order_by(STATEMENT.c.entry)).fetchall():
        one = connection.execute(select(ENTRY.c.body).where(ENTRY.c.entry == index)).first()
        parsed = read_retention(index, one[0] if one else None)
        if parsed is not None:
            found.append(parsed)
    return found


def retention_of(connection: Connection, index: int) -> int | None:
    """Return the log index of a statement that says that an entry was pruned, or None."""
    for one in retentions(connection):
        if index in one.runs:
            return one.index
    return None


def read_retention(index: object, body: object) -> Retention | None:
    """Return what an entry lists as pruned; None where it is no retention statement."""
    if type(index) is not int or not isinstance(body, bytes) or _MARK not in body:
        return None
    try:
        parsed = parse_entry(body)
        return None if isinstance(parsed, dict) else Retention.parse(index, parsed[1])
    except VerificationError:
        return None


def read_statement(body: bytes) -> Statement | None:
    """Return the statement in an entry; None where it is a record, or malformed."""
    if _MARK not in body:
        return None
    try:
        parsed = parse_entry(body)
    except VerificationError:
        return None
    return None if isinstance(parsed, dict) else parsed[1]


def count_statements(connection: Connection) -> int:
    """Return how many signed statements are stored."""
    return sum(
        read_statement(body) is not None
        for _, body in stored(connection, 0, None)
        if isinstance(body, bytes)
    )


def stored(connection: Connection, start: int, stop: int | None) -> Iterator[tuple[int, Any]]:
    """Give (index, body) of the stored entries of a range, in order, whatever their types."""
    query = select(ENTRY.c.entry, ENTRY.c.body).order_by(ENTRY.c.entry).limit(_BATCH)
    if stop is not None:
        query = query.where(ENTRY.c.entry < stop)
    at = start - 1
    while batch := connection.execute(query.where(ENTRY.c.entry > at)).fetchall():
        yield from ((index, body) for index, body in batch)
        at = batch[-1][0]


def leaves(
    connection: Connection, start: int, stop: int
) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Give (index, body, leaf hash) of every leaf of a range; the body is None where it is gone.

    The hash of such a leaf is the one in its tile: only a root that holds shows that it is right.

    Raises:
        LedgerCorruptError: A tile is missing, or an entry is not stored as bytes.
    """
    at = start
    for index, body in stored(connection, start, stop):
        if not isinstance(body, bytes):
            raise LedgerCorruptError(
                f"Entry {index} is not stored as bytes.",
                hint="Run `affidavit verify` to see what is damaged.",
            )
        yield from _gone(connection, at, index)
        yield index, body, leaf_hash(body)
        at = index + 1
    yield from _gone(connection, at, stop)


def _gone(
    connection: Connection, start: int, stop: int
) -> Iterator[tuple[int, bytes | None, bytes]]:
    reader = TileReader(connection)
    for index in range(start, stop):
        if index % WIDTH == 0:
            reader = TileReader(connection)
        yield index, None, reader.subtree(0, index)


@dataclass(slots=True)
class Survey:
    """What a pass over all leaves has seen, and whether it is the whole log.

    Args:
        tree: The tree over the leaves.
        statements: How many of them are statements.
        gone: The leaves whose bytes are gone.
        pruned: Those that retention statements list.
    """

    tree: CompactRange = field(default_factory=CompactRange)
    statements: int = 0
    gone: list[Run] = field(default_factory=list)
    pruned: list[Run] = field(default_factory=list)

    def take(self, index: int, body: bytes | None, leaf: bytes) -> Statement | None:
        """Take the next leaf; gives the statement in it."""
        self.tree.append(leaf)
        if body is None:
            if self.gone and self.gone[-1][1] == index:
                self.gone[-1] = (self.gone[-1][0], index + 1)
            else:
                self.gone.append((index, index + 1))
            return None
        statement = read_statement(body)
        if statement is None:
            return None
        self.statements += 1
        if statement.predicate_type == RETENTION:
            try:
                self.pruned.extend(Retention.parse(index, statement).runs)
            except EnvelopeError:
                return statement
        return statement

    def check(self, size: int, root: bytes, statements: int | None) -> None:
        """Accept what was seen as the log that a checkpoint signs, or raise.

        Args:
            size: The checkpoint's.
            root: The checkpoint's.
            statements: How many statements it signs, where it says so.

        Raises:
            VerificationError: It is another log, or something else than pruned records is gone.
        """
        if self.tree.size != size or self.tree.root() != root:
            raise VerificationError("They do not have the root that the newest checkpoint signs.")
        if not self.gone:
            return
        for first, _ in Runs(self.gone).without(Runs(self.pruned)):
            raise VerificationError(f"Entry {first} is gone, and no statement says why.")
        if statements != self.statements:
            raise VerificationError(
                f"{self.statements} statements are there; the newest checkpoint signs "
                f"{'no number' if statements is None else statements} of them."
            )
