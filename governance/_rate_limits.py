"""Calls counted against a limit, by all the threads and processes of one machine together.

Each limit of each caller is a ring of the times of its latest calls, in a file of the home that
every process maps into memory. A call is permitted if the one that lies as many calls back as the
limit admits happened longer ago than the limit's span: so **no** span of that length, wherever it
begins, holds more calls than the limit says. One look and one write do it, under a lock of the
file, however many calls the limit admits.

Times are of the machine's monotonic clock, which nobody sets back; a ring of an earlier boot is
begun anew. A call that cannot be counted is not permitted.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import ipaddress
import mmap
import os
import struct
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from affidavit.errors import ObligationError, RateLimitError
from affidavit.policies import Obligation

_MAGIC = b"affidavit-rate1\n"
_HEADER = struct.Struct("<16s16sQQQ")
"""The form's name, the boot, calls and seconds of the limit, and how many were ever permitted."""
_COUNT = struct.Struct("<Q")
_SECOND = 1_000_000_000
_COUNT_AT = _HEADER.size - _COUNT.size
_MOST_OPEN = 256
_SWEEP_EVERY = 1024
_PATIENCE = 1.0
"""How many seconds to wait for a counter that another process holds."""


class RateLimit(NamedTuple):
    """How often something may happen.

    Args:
        calls: How many times within any span.
        seconds: How long the span is.
        key: Whose calls are counted together.
    """

    calls: int
    seconds: int
    key: str


class RateLimits:
    """The counters of one home.

    Args:
        folder: Where their files are; it is made where it is missing.
        key: Keys the files' names, so that they tell nobody whose calls are counted.
    """

    def __init__(self, folder: Path, key: bytes = b"") -> None:
        self._folder = folder
        self._key = key
        self._open: OrderedDict[RateLimit, _Ring] = OrderedDict()
        self._lock = threading.Lock()
        self._opened = 0
        _every.add(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child, which shares its parent's open files and their locks."""
        self._lock = threading.Lock()
        self._forget()

    def take(self, limits: Sequence[RateLimit]) -> None:
        """Count one call against several limits, or against none of them.

        Args:
            limits: The limits, each of another key or span.

        Raises:
            RateLimitError: One of them is used up.
            ObligationError: A counter cannot be had, so the call must not go on.
        """
        # In one order, so that two processes never wait for each other.
        ordered = sorted(set(limits))
        with self._lock, contextlib.ExitStack() as held:
            try:
                rings = [self._locked(limit, held) for limit in ordered]
                now = time.monotonic_ns()
                for limit, ring in zip(ordered, rings, strict=True):
                    wait = ring.wait(now)
                    if wait > 0:
                        raise RateLimitError(limit.calls, limit.seconds, -(-wait // _SECOND))
                for ring in rings:
                    ring.note(now)
            except (OSError, ValueError, struct.error) as error:
                raise ObligationError(
                    f"A call cannot be counted against its limit: {error}.",
                    hint=f"The counters are in {self._folder}, which must be writable; deleted "
                    f"ones begin anew.",
                ) from error

    def _locked(self, limit: RateLimit, held: contextlib.ExitStack) -> _Ring:
        while True:
            ring = self._open.get(limit)
            if ring is None:
                ring = self._open_ring(limit)
            else:
                self._open.move_to_end(limit)
            ring.lock()
            if ring.in_place():
                held.callback(ring.unlock)
                return ring
            # Another process has swept the file away.
            ring.unlock()
            self._open.pop(limit).close()

    def _open_ring(self, limit: RateLimit) -> _Ring:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._opened += 1
        if self._opened % _SWEEP_EVERY == 0:
            sweep(self._folder)
        while len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        named = f"{limit.calls}/{limit.seconds}/{limit.key}".encode("utf-8", "surrogatepass")
        name = hashlib.blake2b(named, key=self._key, digest_size=32).hexdigest()
        ring = _Ring(self._folder / name, limit)
        self._open[limit] = ring
        return ring

    def _forget(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def rates_of(
    obligations: Sequence[Obligation], *, model: str, actor: str, client: str
) -> tuple[tuple[RateLimit, ...], tuple[Obligation, ...]]:
    """Return the limits among obligations for one caller, and the obligations that are none.

    Args:
        obligations: What the policy asks of a served call.
        model: The model's name.
        actor: Who calls.
        client: The address that the call came from; empty where it is not known.

    Raises:
        ObligationError: A limit counts by client, and the client is not known.
    """
    limits, others = [], []
    for item in obligations:
        if item.kind != "limit_rate":
            others.append(item)
            continue
        per = item.parameters["per"]
        whose = {"actor": actor, "client": _counted(client), "model": ""}[per]
        if per == "client" and not whose:
            raise ObligationError(
                "The policy limits the calls of each client, and the client is not known.",
                hint="Give AffidavitMiddleware its `client`, such as aff.asgi.peer_address.",
            )
        key = f"{model}\0{per}\0{whose}"
        limits.append(RateLimit(item.parameters["calls"], item.parameters["seconds"], key))
    return tuple(limits), tuple(others)


def _counted(client: str) -> str:
    """A client as it is counted: one network of IPv6 has as many addresses as it likes."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


_every: weakref.WeakSet[RateLimits] = weakref.WeakSet()


def _after_fork() -> None:
    for limits in list(_every):
        limits.after_fork()


os.register_at_fork(after_in_child=_after_fork)


@functools.lru_cache(maxsize=16)
def rate_limits(folder: Path, key: bytes) -> RateLimits:
    """Return the counters of the home in a folder, the same for all that ask in this process."""
    return RateLimits(folder / "limits", key)


class _Ring:
    """The times of the latest calls against one limit."""

    def __init__(self, path: Path, limit: RateLimit) -> None:
        self._path = path
        self._limit = limit
        self._span = limit.seconds * _SECOND
        size = _HEADER.size + _COUNT.size * limit.calls
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.lock()
            if not os.fstat(self._file).st_size:
                _reserve(self._file, size)
            self._map = mmap.mmap(self._file, size)
            self._begin()
            self.unlock()
        except BaseException:
            os.close(self._file)
            raise

    def _begin(self) -> None:
        magic, boot, calls, seconds, _ = _HEADER.unpack_from(self._map)
        limit = self._limit
        size = os.fstat(self._file).st_size
        if size != len(self._map) or magic not in {_MAGIC, bytes(len(_MAGIC))}:
            raise ValueError(f"{self._path} is not a counter")
        if (magic, boot, calls, seconds) != (_MAGIC, _boot(), limit.calls, limit.seconds):
            _HEADER.pack_into(self._map, 0, _MAGIC, _boot(), limit.calls, limit.seconds, 0)

    def lock(self) -> None:
        """Hold the counter against other processes.

        Raises:
            TimeoutError: Another one has held it for too long, as one that was stopped does.
        """
        end = 0.0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                now = time.monotonic()
                end = end or now + _PATIENCE
                if now >= end:
                    raise TimeoutError(f"{self._path} is held by another process") from error
                time.sleep(0.00005)
            else:
                return

    def unlock(self) -> None:
        """Let others have the counter."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def in_place(self) -> bool:
        """Whether the file still stands under its name."""
        return os.fstat(self._file).st_nlink > 0

    def _at(self, number: int) -> int:
        place = _HEADER.size + _COUNT.size * (number % self._limit.calls)
        return int(_COUNT.unpack_from(self._map, place)[0])

    def wait(self, now: int) -> int:
        """How many nanoseconds are left until one more call keeps within the limit."""
        (count,) = _COUNT.unpack_from(self._map, _COUNT_AT)
        if count < self._limit.calls:
            return 0
        return self._at(count) + self._span - now

    def note(self, now: int) -> None:
        """Count one call."""
        (count,) = _COUNT.unpack_from(self._map, _COUNT_AT)
        place = _HEADER.size + _COUNT.size * (count % self._limit.calls)
        _COUNT.pack_into(self._map, place, now)
        _COUNT.pack_into(self._map, _COUNT_AT, count + 1)

    def close(self) -> None:
        """Give the file back."""
        self._map.close()
        os.close(self._file)


def _reserve(file: int, size: int) -> None:
    """Take the room now: a disk that is full must say so before memory is written to it."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.pwrite(file, bytes(size), 0)


@functools.cache
def _boot() -> bytes:
    """What tells this boot of the machine from others, for the monotonic clock begins with it."""
    try:
        said = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        said = b"unknown"
    return hashlib.sha256(said).digest()[:16]


def sweep(folder: Path) -> int:
    """Delete the counters whose latest call is over; returns how many.

    Args:
        folder: Where they are.
    """
    gone = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            magic, boot, calls, seconds, count = _HEADER.unpack(file.read(_HEADER.size))
            if magic != _MAGIC or not count:
                continue
            file.seek(_HEADER.size + _COUNT.size * ((count - 1) % calls))
            (latest,) = _COUNT.unpack(file.read(_COUNT.size))
            if boot != _boot() or latest + seconds * _SECOND <= time.monotonic_ns():
                # Under the lock: whoever waits for it sees that the file is gone.
                path.unlink()
                gone += 1
    return gone
