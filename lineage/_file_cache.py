"""A cache of file digests, so that a file which has not changed is not read again.

An entry is keyed by the file's device and inode and holds its size and its times of modification
and of change in nanoseconds; it counts only while all of them are the same. It is a convenience of
development: whoever can write the cache can put any digest there, so what signs, verifies or
promotes never asks it, and what was recorded through it says so.

A file may be written twice within one tick of its file system's clock, and then looks the same
after the second time as after the first ("racy git", Git's ``Documentation/technical/racy-git``).
So a digest is kept only if the file's times lay `GRANULARITY_NS` in the past when hashing began:
whatever is written from then on has another time. A clock that was set back makes entries of its
future worthless. What it cannot see: a write through a memory map that the kernel has not stamped
yet, and a file server whose clock lags behind this one's by more than that.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import Digest

GRANULARITY_NS = 2_000_000_000
"""The coarsest time stamps of file systems in use: FAT's two seconds."""
MOST = 1_000_000
"""How many entries are kept; the oldest go first."""
_SCHEMA = """CREATE TABLE IF NOT EXISTS digest (
    file TEXT PRIMARY KEY, stamp TEXT NOT NULL, value TEXT NOT NULL, hashed_ns INTEGER NOT NULL)"""


class FileCache:
    """File digests by what identifies a file and its content; safe to share between threads.

    A cache that cannot be used, because it is damaged, locked, or open to others, is an empty one:
    nothing fails for want of it.

    Args:
        path: Its file, made with mode 0600. One that another user owns or may read or write is
            replaced by a new one.
    """

    def __init__(self, path: Path) -> None:
        self.hits = 0
        self._path = path
        self._lock = threading.Lock()
        self._new: dict[str, tuple[str, str, int]] = {}
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError, sqlite3.Error):
            self._connection = self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            self._write(self._connection)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._connection = None

    def find(self, seen: os.stat_result, algorithm: str, recipe: str) -> Digest | None:
        """Return the digest of a file in the state that was seen; None where it is not known."""
        if self._connection is None:
            return None
        query = "SELECT stamp, value, hashed_ns FROM digest WHERE file = ?"
        with self._lock:
            try:
                row = self._connection.execute(query, (_file(seen, algorithm),)).fetchone()
            except sqlite3.Error:
                return None
        if row is None or row[0] != _stamp(seen) or not _settled(seen, row[2], time.time_ns()):
            return None
        try:
            digest = Digest(algorithm, row[1], recipe)
        except FingerprintError:
            return None
        with self._lock:
            self.hits += 1
        return digest

    def keep(self, seen: os.stat_result, digest: Digest, began_ns: int) -> None:
        """Keep the digest of a file, unless it is too young to be known by its times.

        Args:
            seen: The file's state, the same before and after it was read.
            digest: The digest of its bytes.
            began_ns: The time before the file was opened.
        """
        if self._connection is not None and _settled(seen, began_ns, began_ns):
            with self._lock:
                key = _file(seen, digest.algorithm)
                self._new[key] = (_stamp(seen), digest.value, began_ns)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            found = self._path.lstat()
            others = stat.S_IMODE(found.st_mode) & 0o077
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or others:
                self._path.unlink()
        except FileNotFoundError:
            pass
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._path.unlink()  # damaged: it is only a cache
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(self._path, timeout=1, check_same_thread=False)
        try:
            with connection:
                connection.execute(_SCHEMA)
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _write(self, connection: sqlite3.Connection) -> None:
        if not self._new:
            return
        rows = [(file, *values) for file, values in self._new.items()]
        with connection:
            connection.executemany("INSERT OR REPLACE INTO digest VALUES (?, ?, ?, ?)", rows)
            connection.execute(
                "DELETE FROM digest WHERE rowid IN "
                "(SELECT rowid FROM digest ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
                (MOST,),
            )


def _file(seen: os.stat_result, algorithm: str) -> str:
    return f"{seen.st_dev}:{seen.st_ino}:{algorithm}"


def _stamp(seen: os.stat_result) -> str:
    return f"{seen.st_size}:{seen.st_mtime_ns}:{seen.st_ctime_ns}"


def _settled(seen: os.stat_result, began_ns: object, now_ns: int) -> bool:
    """Whether a change since hashing began would show in the file's times."""
    newest = max(seen.st_mtime_ns, seen.st_ctime_ns)
    return isinstance(began_ns, int) and newest + GRANULARITY_NS <= began_ns <= now_ns
