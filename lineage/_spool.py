"""A process's own spool: records are appended with one ``write`` before the caller goes on.

Each process numbers its records without gaps. A process that is killed loses nothing that was
acknowledged, because the bytes are the kernel's by then; with ``disk`` they are on the disk, too.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from affidavit.errors import LedgerError, LedgerUnavailableError, SpoolFullError
from affidavit.lineage._spool_format import (
    ACKNOWLEDGED,
    ACKNOWLEDGED_AT,
    CLOSED,
    MAX_FRAME,
    SPOOL_PAGE,
    TURNED,
    Header,
    list_segments,
    seal_frame,
    segment_path,
)

_LOOK_SECONDS = 0.01
Durability = Literal["process", "disk"]
SEGMENT_BYTES = 8 << 20
"""How large a segment grows before the next one is begun."""
LIMIT_BYTES = 256 << 20
"""How much a writer may have waiting before it must wait itself."""


class Spool:
    """What one process has acknowledged and the log does not hold yet.

    The first record opens it, and so does the first one after a fork in the child.

    Args:
        folder: Where spools lie.
        secret: 32 secret bytes that wrap the segments' keys.
        opened: Told the writer's id before its first record, so that the log knows of it.
        durability: Whether a record is on the disk before the caller goes on.
        segment_bytes: How large a segment grows.
        limit_bytes: How much may be waiting.
    """

    def __init__(
        self,
        folder: Path,
        secret: bytes,
        *,
        opened: Callable[[str], None],
        durability: Durability = "process",
        segment_bytes: int = SEGMENT_BYTES,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self.folder = folder
        self.durability = durability
        self._secret = secret
        self._opened = opened
        self._segment_bytes = segment_bytes
        self._most_segments = max(limit_bytes // segment_bytes, 1)
        self._forget()
        _SPOOLS.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self.writer = ""
        self._file = -1
        self._page: mmap.mmap | None = None
        self._cipher: AESGCM
        self._seen = 0.0
        self._segment = self._next = self._turn = self._offset = self._synced = 0

    def append(self, kind: int, count: int, content: Callable[[str, int], bytes]) -> int:
        """Append a frame and return once it is as durable as was asked for.

        Args:
            kind: What it is.
            count: How many numbers it takes.
            content: Gives its content for the writer's id and the number of its first record.

        Returns:
            The number of its first record.

        Raises:
            SpoolFullError: Too much is waiting; nothing was appended.
            LedgerUnavailableError: It cannot be written; nothing was appended.
            LedgerError: It is too large.
        """
        with self._lock:
            if self._offset - SPOOL_PAGE > self._segment_bytes or not self._stands():
                self._make_room()
            number = self._next
            body = content(self.writer, number)
            if len(body) > MAX_FRAME:
                raise LedgerError(f"A spool takes {MAX_FRAME} bytes at a time, not {len(body)}.")
            self._write(number, count, kind, body)
            file, end = self._file, self._offset
        if self.durability == "disk":
            self._sync(file, end)
        return number

    def close(self) -> None:
        """Say that nothing follows; the next record opens a spool of a new id."""
        with self._lock:
            if self._file < 0:
                return
            try:
                self._write(self._next, 0, CLOSED, b"")
                if self.durability == "disk":
                    os.fdatasync(self._file)
            finally:
                self._release()
                self.writer = ""

    def abandon(self) -> None:
        """Let go of files that belong to the process this one was forked from."""
        if self._file >= 0:
            # The lock is on the open file, which the parent shares: closing does not release it.
            os.close(self._file)
        self._forget()

    def _stands(self) -> bool:
        """Return whether the spool is open and has a name: who deleted it shall not go unseen."""
        if self._file < 0:
            return False
        now = time.monotonic()
        if now - self._seen < _LOOK_SECONDS:
            return True
        if os.fstat(self._file).st_nlink:
            self._seen = now
            return True
        self._release()
        self.writer = ""
        return False

    def _make_room(self) -> None:
        if self._file < 0:
            writer, segment = secrets.token_hex(16), 0
            self._begin(writer, segment, 0)
            self.writer = writer
            try:
                self._opened(writer)
            except BaseException:
                self._release()
                segment_path(self.folder, writer, segment).unlink(missing_ok=True)
                self.writer = ""
                raise
            return
        waiting = list_segments(self.folder).get(self.writer, [])
        if len(waiting) >= self._most_segments:
            raise SpoolFullError(
                f"{len(waiting)} segments of {self._segment_bytes >> 10} KiB wait to be taken into "
                "the log.",
                hint="Run `affidavit drain`, and look why the log takes nothing in.",
            )
        old, page = self._file, self._page
        turn, number, cipher = self._turn, self._next, self._cipher
        self._begin(self.writer, self._segment + 1, number)
        try:
            # Without this frame a reader finds the next segment all the same.
            os.write(old, seal_frame(cipher, turn, number, 0, TURNED, b""))
            if self.durability == "disk":
                os.fdatasync(old)
        except OSError as error:
            raise _unavailable(self.folder, error) from error
        finally:
            if page is not None:
                page.close()
            os.close(old)

    def _begin(self, writer: str, segment: int, number: int) -> None:
        key = AESGCM.generate_key(256)
        header = Header(writer, segment, number, number, aes_key_wrap(self._secret, key))
        path = segment_path(self.folder, writer, segment)
        fresh = path.with_suffix(".new")
        file = -1
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            # Held as long as the process lives: who gets it may take the spool for finished. So
            # the file has its name only when it has its lock.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, header.to_bytes())
            page = mmap.mmap(file, SPOOL_PAGE)
            fresh.rename(path)
            if self.durability == "disk":
                os.fsync(file)
                _sync_folder(self.folder)
        except OSError as error:
            if file >= 0:
                os.close(file)
            fresh.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise _unavailable(self.folder, error) from error
        self._file, self._page, self._cipher = file, page, AESGCM(key)
        self._segment, self._next, self._turn = segment, number, 0
        self._offset, self._synced = SPOOL_PAGE, SPOOL_PAGE

    def _write(self, number: int, count: int, kind: int, body: bytes) -> None:
        turn = self._turn
        # Even a frame that fails has used up its nonce.
        self._turn = turn + 1
        frame = seal_frame(self._cipher, turn, number, count, kind, body)
        before, page = self._offset, self._page
        assert page is not None
        try:
            _write_whole(self._file, frame)
        except BaseException as error:
            self._take_back(before, len(frame), number + count)
            if isinstance(error, OSError):
                raise _unavailable(self.folder, error) from error
            raise
        self._offset, self._next = before + len(frame), number + count
        ACKNOWLEDGED.pack_into(page, ACKNOWLEDGED_AT, self._next)

    def _take_back(self, before: int, length: int, following: int) -> None:
        """Undo half a frame; a whole one stays, for a reader may have taken it by now."""
        try:
            if os.fstat(self._file).st_size == before + length:
                self._offset, self._next = before + length, following
                return
            os.ftruncate(self._file, before)
        except OSError:
            # What state the file is in is not known: another writer begins.
            self._release()
            self.writer = ""

    def _sync(self, file: int, end: int) -> None:
        # One flush serves every thread that waited for it.
        with self._sync_lock:
            if file != self._file or self._synced >= end:
                return  # a segment is flushed when it is left
            reached = self._offset
            try:
                os.fdatasync(file)
            except OSError as error:
                raise _unavailable(self.folder, error) from error
            self._synced = reached

    def _release(self) -> None:
        if self._page is not None:
            self._page.close()
        if self._file >= 0:
            os.close(self._file)
        self._page, self._file = None, -1


def _write_whole(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _unavailable(folder: Path, error: OSError) -> LedgerUnavailableError:
    return LedgerUnavailableError(
        f"The spool in {folder} cannot be written: {error.strerror}; nothing was acknowledged.",
        hint="Free some space, and let this user write the folder.",
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_SPOOLS: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for spool in list(_SPOOLS):
        spool.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)
