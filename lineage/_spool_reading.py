"""Reads one writer's spool from where the log has it, and notes what is missing.

The state of the files says which: a frame whose number is too high was preceded by one that is
gone, a segment that ends below its acknowledged number was cut off, a spool without a closing frame
belongs to a process that lives or was killed. Who holds the lock on the file lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from affidavit.errors import SpoolDamagedError
from affidavit.lineage._spool_format import (
    CLOSED,
    FRAME,
    MAX_FRAME,
    MESSAGE,
    RECORDS,
    SPOOL_PAGE,
    TAG,
    TURNED,
    Frame,
    Header,
    Tail,
    list_segments,
    read_frames,
    segment_path,
    unpack_records,
)

_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """How far a writer's spool is in the log.

    Args:
        writer: The writer's id.
        segment: The segment that is read next.
        at: The offset in it.
        following: The number of the next record.
        closed: Whether nothing follows.
    """

    writer: str
    segment: int = 0
    at: int = 0
    following: int = 0
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """Finished records.

    Args:
        bodies: Their bytes.
    """

    bodies: list[bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """What records are made of.

    Args:
        writer: Who wrote it.
        number: The number of its first record.
        count: How many records it makes.
        content: What it says.
    """

    writer: str
    number: int
    count: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Records that were acknowledged, or numbered, and cannot be had.

    Args:
        writer: Whose.
        first: The first number.
        last: The last number; None where nobody knows.
        reason: What was found.
    """

    writer: str
    first: int
    last: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a writer.

    Args:
        writer: Whose.
        numbers: The number after its last record.
        outcome: ``closed`` by itself, ``ended`` without closing, or ``lost``.
        torn: How many bytes of an unfinished, unacknowledged frame stood at the end.
    """

    writer: str
    numbers: int
    outcome: str
    torn: int = 0


class SpoolReader:
    """Reads on in one writer's spool.

    Args:
        folder: Where spools lie.
        secret: What their keys are wrapped by.
        writer: The writer's id.
        place: How far it is in the log; None where the log does not know the writer.
    """

    def __init__(self, folder: Path, secret: bytes, writer: str, place: Place | None) -> None:
        self.writer = writer
        self.place = place
        self.now = place or Place(writer)
        self.items: list[Records | Message | Lost | Closed] = []
        self.finished: list[int] = []
        self._folder = folder
        self._secret = secret
        self._damaged: set[int] = set()
        self._left = 0
        self._ended = False

    def read(self, segments: list[int], budget: int) -> int:
        """Read some records.

        Args:
            segments: The writer's segments, in order.
            budget: About how many records to read.

        Returns:
            How many were read.
        """
        self._left = budget
        if self.now.closed:
            # What a drainer that was killed had no time to delete.
            self.finished += segments
            return 0
        while self._left > 0 and not self._ended and self._segment(segments):
            segments = self._listed()
        self.finished += [n for n in segments if self._ended or n < self.now.segment]
        return budget - self._left

    def has_moved(self) -> bool:
        """Return whether the log has something to learn of what was read."""
        return bool(self.items) or (self.place is not None and self.now != self.place)

    def clean_up(self) -> None:
        """Delete the segments that are in the log; a damaged one is kept aside."""
        for number in self.finished:
            path = segment_path(self._folder, self.writer, number)
            with contextlib.suppress(FileNotFoundError):
                if number in self._damaged:
                    path.rename(path.with_suffix(".damaged"))
                else:
                    destroy_key(path)
                    path.unlink()

    def _listed(self) -> list[int]:
        return list_segments(self._folder).get(self.writer, [])

    def _segment(self, segments: list[int]) -> bool:
        """Read on in the present segment; False where there is nothing more to read now."""
        number = self.now.segment
        later = [other for other in segments if other > number]
        if number not in segments:
            if later:
                return self._go_on(later[0])
            if self.place is not None:
                self._lose(None, "its spool is gone")
                self._close("lost")
            return False
        try:
            file = os.open(segment_path(self._folder, self.writer, number), os.O_RDONLY)
        except FileNotFoundError:
            return True
        try:
            # Asked before the bytes are read: a process that dies afterwards is seen next time.
            alive = _is_locked(file)
            return self._read_open(file, later, alive=alive)
        finally:
            os.close(file)

    def _read_open(self, file: int, later: list[int], *, alive: bool) -> bool:
        try:
            header = Header.parse(os.pread(file, SPOOL_PAGE, 0))
            cipher = header.cipher(self._secret)
            header.check(self.writer, self.now.segment)
        except SpoolDamagedError as error:
            return self._unreadable(error, later, alive=alive)
        for found in self._found(file, max(self.now.at, SPOOL_PAGE), cipher):
            if isinstance(found, Tail):
                return self._at_end(found, header, later, alive=alive)
            if self._take(found) or self._left <= 0:
                break
        return True

    def _found(self, file: int, start: int, cipher: AESGCM) -> Iterator[Frame | Tail]:
        """Give frames a chunk at a time, and at last what follows them."""
        size = os.fstat(file).st_size
        chunk = _CHUNK
        while True:
            data = os.pread(file, min(size - start, chunk), start) if size > start else b""
            whole = start + len(data) >= size
            before = start
            for found in read_frames(data, start, cipher, self.now.following, whole=whole):
                if isinstance(found, Frame):
                    start = found.end
                    yield found
                elif whole:
                    yield found
                    return
            if start == before:
                # Not one frame in a chunk: the next one is larger, or bytes are damaged.
                chunk = max(chunk * 4, MAX_FRAME + FRAME.size + TAG)

    def _take(self, frame: Frame) -> bool:
        """Take a frame; True where the segment or the writer ends with it."""
        now = self.now
        if frame.skipped:
            self._damaged.add(now.segment)
        if frame.number > now.following:
            why = "its bytes are damaged" if frame.skipped else "it was taken out of the spool"
            self._lose(frame.number - 1, why)
        repeated = frame.number < now.following
        following = max(frame.number + frame.count, self.now.following)
        self.now = replace(self.now, at=frame.end, following=following)
        if repeated:
            return False
        if frame.kind == RECORDS:
            self.items.append(Records(unpack_records(frame.content)))
        elif frame.kind == MESSAGE:
            self.items.append(Message(self.writer, frame.number, frame.count, frame.content))
        elif frame.kind == CLOSED:
            self._close("closed")
            return True
        elif frame.kind == TURNED:
            self.now = replace(self.now, segment=now.segment + 1, at=SPOOL_PAGE)
            return True
        self._left -= frame.count
        return False

    def _at_end(self, tail: Tail, header: Header, later: list[int], *, alive: bool) -> bool:
        if alive and not later:
            return False
        if tail.length and not tail.torn:
            self._damaged.add(self.now.segment)
        if header.acknowledged > self.now.following:
            why = "its bytes are damaged" if tail.length and not tail.torn else "it was cut off"
            self._lose(header.acknowledged - 1, why)
        if later:
            return self._go_on(later[0])
        # Between the listing and the lock the writer may have begun another segment.
        if self._listed()[-1:] != [self.now.segment]:
            return True
        if self.place is None and not self.items:
            # It was opened and nothing was acknowledged: there is nothing to say.
            self.finished.append(self.now.segment)
            return False
        self._close("ended", tail.length)
        return False

    def _unreadable(self, error: SpoolDamagedError, later: list[int], *, alive: bool) -> bool:
        if alive and not later:
            return False
        self._damaged.add(self.now.segment)
        if later:
            return self._go_on(later[0])
        self._lose(None, error.message.rstrip("."))
        self._close("lost")
        return False

    def _go_on(self, segment: int) -> bool:
        """Go to a later segment, whose header says which number it begins with."""
        path = segment_path(self._folder, self.writer, segment)
        with contextlib.suppress(OSError, SpoolDamagedError), path.open("rb") as file:
            first = Header.parse(file.read(SPOOL_PAGE)).first
            if self.now.following < first < self.now.following + (1 << 40):
                self._lose(first - 1, "its segment is gone or damaged")
        self.now = replace(self.now, segment=segment, at=SPOOL_PAGE)
        return True

    def _lose(self, last: int | None, reason: str) -> None:
        first = self.now.following
        self.items.append(Lost(self.writer, first, last, reason))
        self.now = replace(self.now, following=first if last is None else last + 1)

    def _close(self, outcome: str, torn: int = 0) -> None:
        self.items.append(Closed(self.writer, self.now.following, outcome, torn))
        self.now = replace(self.now, closed=True)
        self._ended = True


def destroy_key(path: Path) -> None:
    """Overwrite a segment's header, without which its frames cannot be opened."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(file, b"\0" * SPOOL_PAGE, 0)
    finally:
        os.close(file)


def wipe(folder: Path, places: list[Place]) -> int:
    """Overwrite what spools still hold of records that are in the log.

    Args:
        folder: Where spools lie.
        places: How far each open writer's spool is in the log.

    Returns:
        How many damaged spools, which nothing is known of, lost their key.
    """
    for place in places:
        path = segment_path(folder, place.writer, place.segment)
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_WRONLY)
            try:
                for at in range(SPOOL_PAGE, place.at, _CHUNK):
                    os.pwrite(file, b"\0" * min(_CHUNK, place.at - at), at)
                os.fdatasync(file)
            finally:
                os.close(file)
    damaged = sorted(folder.glob("*.damaged"))
    for path in damaged:
        destroy_key(path)
        path.unlink()
    return len(damaged)


def _is_locked(file: int) -> bool:
    """Return whether a living process holds a segment."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
