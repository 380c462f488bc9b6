"""Spool segments: what a writer has acknowledged and the log does not hold yet.

A segment is one page of header and then frames, each appended by one ``write``:

```
header  "AFFSPOL1" | writer (16) | segment u32 | first u64 | acknowledged u64 | wrapped key (40)
frame   length u32 | turn u64 | number u64 | count u32 | kind u8 | AES-256-GCM ciphertext and tag
```

Integers are little-endian. A segment has a key of its own, wrapped (RFC 3394) by a secret of the
home. The turn is the nonce (SP 800-38D §8.2.1: a counter, never used twice under one key), and the
frame's head is authenticated with its content. ``first`` is the number
of the segment's first record, ``number`` that of the frame's first record, and
``count`` how many numbers it takes. ``acknowledged`` is the number after the last one whose frame
was written whole; it tells a tail that was cut off from a process that was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from affidavit.errors import SpoolDamagedError

SPOOL_PAGE = 4096
"""Where the frames begin."""
MAX_FRAME = 16 << 20
"""The longest content of a frame, in bytes."""
HEADER = struct.Struct("<8s16sIQQ40s")
ACKNOWLEDGED = struct.Struct("<Q")
ACKNOWLEDGED_AT = 36
FRAME = struct.Struct("<IQQIB")
TAG = 16
MAGIC = b"AFFSPOL1"

RECORDS, MESSAGE, TURNED, CLOSED = range(1, 5)
"""Kinds of frames: finished records, a message that records are made of, the end of a segment
that another one follows, and the end of the writer."""

_NAME = re.compile(r"([0-9a-f]{32})-([0-9]{6})\.spool")


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself.

    Args:
        writer: The writer's id, 32 hex digits.
        segment: Which of the writer's segments this is, from 0.
        first: The number of the first record in it.
        acknowledged: The number after the last acknowledged one.
        wrapped_key: The segment's key, wrapped.
    """

    writer: str
    segment: int
    first: int
    acknowledged: int
    wrapped_key: bytes

    def to_bytes(self) -> bytes:
        """Return the header's page."""
        packed = HEADER.pack(
            MAGIC,
            bytes.fromhex(self.writer),
            self.segment,
            self.first,
            self.acknowledged,
            self.wrapped_key,
        )
        return packed.ljust(SPOOL_PAGE, b"\0")

    @classmethod
    def parse(cls, page: bytes) -> Header:
        """Return the header in a segment's first page.

        Raises:
            SpoolDamagedError: It is not one.
        """
        if len(page) < HEADER.size:
            raise SpoolDamagedError(f"A spool's header has {HEADER.size} bytes, not {len(page)}.")
        magic, writer, segment, first, acknowledged, key = HEADER.unpack_from(page)
        if magic != MAGIC:
            raise SpoolDamagedError(f"A spool begins with {MAGIC!r}, not {magic!r}.")
        return cls(writer.hex(), segment, first, acknowledged, key)

    def check(self, writer: str, segment: int) -> None:
        """Accept a header that is the one of a file's name.

        Raises:
            SpoolDamagedError: It is that of another segment.
        """
        if (self.writer, self.segment) != (writer, segment):
            raise SpoolDamagedError(f"The header is that of {self.writer[:8]}, {self.segment}.")

    def cipher(self, secret: bytes) -> AESGCM:
        """Return what opens the segment's frames.

        Raises:
            SpoolDamagedError: The key was not wrapped by this secret, or was changed.
        """
        try:
            return AESGCM(aes_key_unwrap(secret, self.wrapped_key))
        except (InvalidUnwrap, ValueError) as error:
            raise SpoolDamagedError(
                f"The key of spool {self.writer[:8]} cannot be unwrapped."
            ) from error


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, opened.

    Args:
        kind: `RECORDS`, `MESSAGE`, `TURNED` or `CLOSED`.
        number: The number of its first record.
        count: How many numbers it takes.
        content: What it carries.
        end: The offset after it.
        skipped: How many damaged bytes lie before it.
    """

    kind: int
    number: int
    count: int
    content: bytes
    end: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Tail:
    """What stands after the last whole frame.

    Args:
        at: Its offset.
        length: How many bytes; 0 where the segment ends with a whole frame.
        torn: Whether it is the beginning of one frame, as a killed process leaves it.
    """

    at: int
    length: int
    torn: bool


def seal_frame(  # noqa: PLR0917  # on the path of every served call
    cipher: AESGCM, turn: int, number: int, count: int, kind: int, content: bytes
) -> bytes:
    """Return a frame's bytes.

    Args:
        cipher: The segment's.
        turn: A number that no other frame of the segment was ever sealed with.
        number: The number of its first record.
        count: How many numbers it takes.
        kind: What it is.
        content: What it carries.
    """
    head = FRAME.pack(len(content) + TAG, turn, number, count, kind)
    return head + cipher.encrypt(turn.to_bytes(12, "big"), content, head)


def pack_records(bodies: list[bytes]) -> bytes:
    """Return the content of a frame of finished records."""
    return b"".join([len(body).to_bytes(4, "little") + body for body in bodies])


def pack_record(body: bytes) -> bytes:
    """Return the content of a frame of one finished record, as `pack_records` does."""
    return len(body).to_bytes(4, "little") + body


def unpack_records(content: bytes) -> list[bytes]:
    """Return the records in a frame's content.

    Raises:
        SpoolDamagedError: The lengths do not add up.
    """
    bodies, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        at += 4 + length
        if at > len(content):
            raise SpoolDamagedError("A frame of records ends within one of them.")
        bodies.append(content[at - length : at])
    return bodies


def segment_path(folder: Path, writer: str, segment: int) -> Path:
    """Return where a segment lies."""
    return folder / f"{writer}-{segment:06d}.spool"


def list_segments(folder: Path) -> dict[str, list[int]]:
    """Return the segments in a folder, in order, by writer."""
    found: dict[str, list[int]] = {}
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names are all that is wanted
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in sorted(names):
        matched = _NAME.fullmatch(name)
        if matched:
            found.setdefault(matched[1], []).append(int(matched[2]))
    return found


def segment_sizes(folder: Path) -> dict[tuple[str, int], int]:
    """Return each segment's size, by writer and number; whatever is gone meanwhile is not there."""
    found: dict[tuple[str, int], int] = {}
    for writer, segments in list_segments(folder).items():
        for segment in segments:
            with contextlib.suppress(FileNotFoundError):
                found[writer, segment] = segment_path(folder, writer, segment).stat().st_size
    return found


def read_frames(
    data: bytes, base: int, cipher: AESGCM, number: int, *, whole: bool
) -> Iterator[Frame | Tail]:
    """Give the frames in some bytes of a segment, and last of all what follows them.

    Damaged bytes are skipped up to the next frame that opens.

    Args:
        data: The bytes from a frame's beginning on.
        base: Their offset in the segment.
        cipher: The segment's.
        number: The number expected next.
        whole: Whether the segment ends with these bytes.
    """
    at, skipped = 0, 0
    while at < len(data):
        frame = _open(data, at, base, cipher, skipped)
        if frame is not None:
            yield frame
            at, skipped, number = frame.end - base, 0, frame.number + frame.count
            continue
        beginning = not skipped and _is_beginning(data, at, number)
        # Only where more follows can the beginning of a frame be told from a changed length.
        following = None
        if whole or not beginning:
            following = _next_frame(data, at + 1, cipher, number)
        if following is None:
            yield Tail(base + at, len(data) - at, torn=beginning)
            return
        skipped, at = following - at, following
    yield Tail(base + at, 0, torn=False)


def _open(data: bytes, at: int, base: int, cipher: AESGCM, skipped: int) -> Frame | None:
    start = at + FRAME.size
    if start > len(data):
        return None
    length, turn, number, count, kind = FRAME.unpack_from(data, at)
    end = start + length
    if length < TAG or end > len(data) or turn >= 1 << 63:
        return None
    try:
        content = cipher.decrypt(turn.to_bytes(12, "big"), data[start:end], data[at:start])
    except InvalidTag:
        return None
    return Frame(kind, number, count, content, base + end, skipped)


def _is_beginning(data: bytes, at: int, number: int) -> bool:
    """Return whether the rest is the beginning of the frame that is expected next."""
    if len(data) - at < FRAME.size:
        return True
    length, _, found, _, kind = FRAME.unpack_from(data, at)
    return bool(
        TAG <= length <= MAX_FRAME + TAG
        and at + FRAME.size + length > len(data)
        and found == number
        and RECORDS <= kind <= CLOSED
    )


def _next_frame(data: bytes, start: int, cipher: AESGCM, number: int) -> int | None:
    for at in range(start, len(data) - FRAME.size - TAG + 1):
        length, _, found, count, kind = FRAME.unpack_from(data, at)
        if (
            RECORDS <= kind <= CLOSED
            and TAG <= length <= len(data) - at - FRAME.size
            and number <= found < number + (1 << 40)
            and count < 1 << 24
            and _open(data, at, 0, cipher, 0) is not None
        ):
            return at
    return None
