"""Takes what waits in spools into the log, exactly once, whoever died meanwhile.

What was read, and how far, goes into the log's store in one transaction, so that a drainer that is
killed leaves nothing to be taken twice. One drainer works on a folder at a time; a lock says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from affidavit.errors import LedgerUnavailableError, SubjectKeyConflictError
from affidavit.lineage._ledger import MAX_ENTRY, Ledger
from affidavit.lineage._payloads import SealedPayload
from affidavit.lineage._records import new_id, record_bytes, timestamp
from affidavit.lineage._spool_format import list_segments
from affidavit.lineage._spool_reading import Closed, Lost, Message, Place, Records, SpoolReader
from affidavit.lineage.tables import WRITER

_ATTEMPTS = 10
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Made:
    """What a message's records are.

    Args:
        bodies: The records' bytes.
        payloads: Personal data that goes beside them.
    """

    bodies: Sequence[bytes]
    payloads: Sequence[SealedPayload] = ()


Make = Callable[[Sequence[Message]], list[Made]]
"""Makes the records of some messages, one list entry each."""
SignGap = Callable[[Lost], bytes]
"""Gives the signed statement that says which numbers of a writer are missing."""


@dataclass(slots=True)
class Drained:
    """What was taken into the log.

    Args:
        records: How many records.
        closed: How many writers ended.
        lost: What is missing.
    """

    records: int = 0
    closed: int = 0
    lost: list[Lost] = field(default_factory=list)


@dataclass(slots=True)
class Drainer:
    """Takes the spools of one folder into a log.

    Args:
        ledger: The log, with its key.
        folder: Where the spools lie.
        secret: What their keys are wrapped by.
        place: The folder's id.
        shared: Whether writers elsewhere use the same log; nothing is known of them here.
        make: Makes records of messages.
        sign_gap: Signs what is said of missing numbers.
        batch: How many records go into one transaction.
        rounds: How many transactions' worth was looked for.
    """

    ledger: Ledger
    folder: Path
    secret: bytes
    place: str
    make: Make
    sign_gap: SignGap
    shared: bool = False
    batch: int = 2000
    rounds: int = 0

    def run(self) -> Drained:
        """Take in everything that waits; the caller holds the folder's lock.

        Raises:
            LedgerUnavailableError: The log cannot be written; what is not in it still waits.
            LedgerCorruptError: The log is damaged; everything still waits.
        """
        done = Drained()
        while self._round(done):
            pass
        return done

    def _round(self, done: Drained) -> bool:
        """Take one transaction's worth; False where that was everything that waited."""
        # In this order: a writer that begins between the two has a place by the time it is seen.
        places = {place.writer: place for place in self.open_places()}
        segments = list_segments(self.folder)
        readers: list[SpoolReader] = []
        budget = self.batch
        writers = sorted(segments.keys() | places.keys())
        # Each round begins with another writer, so that a busy one keeps nobody waiting.
        self.rounds += 1
        turn = self.rounds % max(len(writers), 1)
        for writer in writers[turn:] + writers[:turn]:
            place = places.get(writer) or self._place_of(writer)
            reader = SpoolReader(self.folder, self.secret, writer, place)
            budget -= reader.read(segments.get(writer, []), budget)
            if place is None and reader.finished and self._place_of(writer) is not None:
                # It was opened after it was looked up, and its process was killed since.
                continue
            if reader.has_moved() or reader.finished:
                readers.append(reader)
            if budget <= 0:
                # Not all were read: what is left of this one or the others comes next.
                break
        if any(reader.has_moved() for reader in readers):
            self._commit(readers, done)
        for reader in readers:
            reader.clean_up()
        return budget <= 0

    def open_places(self) -> list[Place]:
        """Return how far the spool of each writer that has not ended is in the log."""
        query = select(WRITER).where(WRITER.c.closed == 0)
        if self.shared:
            query = query.where(WRITER.c.place == self.place)
        with self.ledger.store.reading() as connection:
            return [_place(row) for row in connection.execute(query)]

    def _place_of(self, writer: str) -> Place | None:
        query = select(WRITER).where(WRITER.c.id == writer)
        with self.ledger.store.reading() as connection:
            row = connection.execute(query).first()
        return _place(row) if row is not None else None

    def _commit(self, readers: Sequence[SpoolReader], done: Drained) -> None:
        for attempt in range(_ATTEMPTS):
            batch = self._made(readers)
            try:
                self._write(readers, batch)
            except SubjectKeyConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            break
        done.records += len(batch.bodies)
        done.closed += batch.closed
        done.lost += batch.lost

    def _write(self, readers: Sequence[SpoolReader], batch: _Batch) -> None:
        ready = self.ledger.prepare(batch.bodies) if batch.bodies else None
        with self.ledger.transaction() as log:
            for reader in readers:
                if reader.has_moved():
                    _move(log.connection, reader, self.place)
            log.add(batch.bodies, batch.payloads, ready)

    def _made(self, readers: Sequence[SpoolReader]) -> _Batch:
        messages = [item for r in readers for item in r.items if isinstance(item, Message)]
        made = iter(self.make(messages) if messages else [])
        batch = _Batch()
        for reader in readers:
            if reader.place is None and reader.items:
                batch.bodies.append(opened_record(reader.writer, self.place, late=True))
            for item in reader.items:
                if isinstance(item, Records):
                    batch.bodies += item.bodies
                elif isinstance(item, Message):
                    self._add(batch, item, next(made))
                elif isinstance(item, Closed):
                    batch.bodies.append(_closed_record(item))
                    batch.closed += 1
                else:
                    batch.bodies.append(self.sign_gap(item))
                    batch.lost.append(item)
        return batch

    def _add(self, batch: _Batch, message: Message, made: Made) -> None:
        largest = max(map(len, made.bodies), default=0)
        if largest <= MAX_ENTRY and len(made.bodies) == message.count:
            batch.bodies += made.bodies
            batch.payloads += made.payloads
            return
        # One message that can never be logged must not keep the others waiting for good.
        last = message.number + message.count - 1
        reason = f"a record of {largest} bytes is too large for the log"
        lost = Lost(message.writer, message.number, last, reason)
        batch.bodies.append(self.sign_gap(lost))
        batch.lost.append(lost)


@dataclass(slots=True)
class _Batch:
    bodies: list[bytes] = field(default_factory=list)
    payloads: list[SealedPayload] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    closed: int = 0


@contextlib.contextmanager
def drain_lock(folder: Path, *, wait: float) -> Iterator[bool]:
    """Hold the lock of the one drainer of a folder.

    Args:
        folder: Where spools lie.
        wait: How many seconds to wait for another drainer.

    Yields:
        Whether the lock is held.

    Raises:
        LedgerUnavailableError: The folder cannot be written.
    """
    until = time.monotonic() + wait
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        file = os.open(folder / "drain.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerUnavailableError(
            f"The spools in {folder} cannot be locked: {error.strerror}.",
            hint="Let this user write the folder.",
        ) from error
    try:
        held = False
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            if held or time.monotonic() >= until:
                break
            time.sleep(_POLL_SECONDS)
        yield held
    finally:
        os.close(file)


def open_writer(ledger: Ledger, writer: str, place: str, **facts: str) -> None:
    """Put a writer's beginning into the log, before it acknowledges anything.

    Args:
        ledger: The log.
        writer: The writer's id.
        place: The folder's id.
        facts: What else is known of it, such as its ``actor``.

    Raises:
        LedgerUnavailableError: Nothing was written.
    """
    row = {"id": writer, "place": place, "segment": 0, "at": 0, "following": 0, "closed": 0}
    with ledger.transaction() as log:
        log.connection.execute(insert(WRITER), [row])
        log.add([opened_record(writer, place, **facts)])


def opened_record(writer: str, place: str, **facts: object) -> bytes:
    """Return the record of a writer's beginning."""
    fields = {"id": new_id(), "time": timestamp(), "writer": writer, "place": place, **facts}
    return record_bytes("writer", {**fields, "event": "opened"})


def _closed_record(item: Closed) -> bytes:
    return record_bytes(
        "writer",
        {
            "id": new_id(),
            "time": timestamp(),
            "writer": item.writer,
            "event": "closed",
            "numbers": item.numbers,
            "outcome": item.outcome,
            "torn": item.torn,
        },
    )


def _place(row: Sequence[object]) -> Place:
    writer, _, segment, at, following, closed = row
    return Place(str(writer), _int(segment), _int(at), _int(following), closed=bool(closed))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _move(connection: Connection, reader: SpoolReader, place: str) -> None:
    """Write how far a spool was read, or raise where somebody else read on meanwhile."""
    now = reader.now
    values = {
        "segment": now.segment,
        "at": now.at,
        "following": now.following,
        "closed": int(now.closed),
    }
    before = reader.place
    if before is None:
        connection.execute(insert(WRITER), [{"id": now.writer, "place": place, **values}])
        return
    moved = connection.execute(
        update(WRITER)
        .where(
            WRITER.c.id == now.writer,
            WRITER.c.segment == before.segment,
            WRITER.c.at == before.at,
            WRITER.c.following == before.following,
            WRITER.c.closed == 0,
        )
        .values(values)
    )
    if moved.rowcount != 1:
        raise LedgerUnavailableError(
            f"Another drainer took in the spool {now.writer[:8]} at the same moment; nothing was "
            "written.",
            hint="Run `affidavit drain` again.",
        )
