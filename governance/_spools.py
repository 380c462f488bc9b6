"""The spools of a home: what this process acknowledged, and how it gets into the log.

A record that is spooled is drained by whoever comes first: a drainer process that is started a
moment after the first record, a reader that wants to see everything, or this process at its end.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affidavit._home import Home
from affidavit._predictions import make_messages
from affidavit._settings import Settings
from affidavit.errors import LedgerError, LedgerUnavailableError, SpoolFullError
from affidavit.lineage import (
    GAP,
    SPOOL_PAGE,
    Drained,
    Drainer,
    Lost,
    Resource,
    Spool,
    Statement,
    drain_lock,
    dump_json,
    open_writer,
    segment_sizes,
    timestamp,
    wipe,
)

DELAY_SECONDS = 1.0
"""How long after a record a drainer process is started, where none runs."""
_WAIT_SECONDS = 30.0
_ROOM_SECONDS = 5.0


class HomeSpools:
    """This process's spool in a home, and the drain of all that lie there.

    Args:
        home: The home.
    """

    def __init__(self, home: Home) -> None:
        self._home = weakref.proxy(home)
        self.folder = home.folder / "spool"
        self._spools: dict[str, Spool] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._drainers: list[subprocess.Popen[bytes]] = []
        self._settled: dict[tuple[str, int], int] = {}

    def append(
        self, settings: Settings, kind: int, count: int, content: Callable[[str, int], bytes]
    ) -> None:
        """Spool a frame.

        Args:
            settings: Say how durable it must be before the caller goes on.
            kind: What it is.
            count: How many numbers it takes.
            content: Gives its content for the writer's id and its first number.

        Raises:
            LedgerError: It cannot be spooled, and nothing was acknowledged.
        """
        spool = self._spools.get(settings.durability) or self._spool(settings)
        try:
            spool.append(kind, count, content)
        except SpoolFullError:
            self.settle(wait=_ROOM_SECONDS)
            spool.append(kind, count, content)
        if self._timer is None:
            self._start_timer()

    def settle(self, *, wait: float = _WAIT_SECONDS, force: bool = False) -> Drained:
        """Take into the log what was acknowledged so far, where this home has the keys for it.

        Args:
            wait: How many seconds to wait for another drainer.
            force: Look even where nothing seems to wait, as for spools that are gone.

        Raises:
            LedgerError: The log takes nothing in; what is not in it still waits.
        """
        # Who may read the log need not be able to look into the spools.
        if not self._home.can_append():
            return Drained()
        sizes = segment_sizes(self.folder)
        if not force and (not sizes or sizes == self._settled):
            return Drained()
        with drain_lock(self.folder, wait=wait) as held:
            if not held:
                raise self._busy(wait)
            done = self.drain()
        if done.records == 0:
            # Nothing new came since these sizes were seen: they need not be looked into again.
            self._settled = sizes
        return done

    def drain(self) -> Drained:
        """Take in everything that waits; the caller holds the folder's lock."""
        return self._drainer().run()

    @contextlib.contextmanager
    def emptied(self) -> Iterator[None]:
        """Hold the drainers' lock with everything in the log, and leave nothing of it in spools.

        What may be personal data is gone from the spools at the end: what is in the log is
        overwritten, damaged spools, of which nobody can say what they hold, are destroyed.

        Raises:
            LedgerUnavailableError: Another process drains and does not end.
        """
        if not self.folder.exists():
            yield
            return
        with drain_lock(self.folder, wait=_WAIT_SECONDS) as held:
            if not held:
                raise self._busy(_WAIT_SECONDS)
            drainer = self._drainer()
            drainer.run()
            yield
            wipe(self.folder, drainer.open_places())

    def waiting(self) -> dict[str, int]:
        """Return how many bytes each spool has that the log does not hold yet, by writer."""
        at = {place.writer: place for place in self._drainer().open_places()}
        found: dict[str, int] = {}
        for (writer, segment), size in segment_sizes(self.folder).items():
            place = at.get(writer)
            read = SPOOL_PAGE
            if place is not None and segment <= place.segment:
                read = size if segment < place.segment else max(place.at, SPOOL_PAGE)
            found[writer] = found.get(writer, 0) + max(size - read, 0)
        return {writer: size for writer, size in found.items() if size}

    def _drainer(self) -> Drainer:
        home = self._home
        return Drainer(
            home.ledger,
            self.folder,
            home.vault.named_key("spool"),
            home.place,
            make=functools.partial(make_messages, home),
            sign_gap=functools.partial(_sign_gap, home),
            shared=bool(home.url),
        )

    def _busy(self, wait: float) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"Another process has been draining {self.folder} for {wait:.0f} s.",
            hint="Try again; `affidavit doctor` shows what waits.",
        )

    def close(self) -> None:
        """End this process's spool and take in what waits, where nobody else does it just now."""
        if self._timer is not None:
            self._timer.cancel()
        spools = [spool for spool in self._spools.values() if spool.writer]
        for spool in spools:
            spool.close()
        if spools:
            with drain_lock(self.folder, wait=0) as held:
                if held:
                    self.drain()

    def start_drainer(self) -> None:
        """Start a process that drains this home, where none runs."""
        with self._lock:
            self._timer = None
            self._drainers = [one for one in self._drainers if one.poll() is None]
            if self._drainers or not self.folder.exists():
                return
            with contextlib.suppress(OSError), open_log(self.folder) as log:
                self._drainers.append(
                    subprocess.Popen(  # noqa: S603  # this interpreter and a folder
                        [sys.executable, "-P", "-m", "affidavit._drainer", str(self._home.folder)],
                        env={**os.environ, "AFFIDAVIT_STORE": self._home.url},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def forget_parent(self) -> None:
        """Begin anew in a child process; the spools let go of their files themselves."""
        self._lock = threading.Lock()
        self._timer = None
        self._drainers = []

    def _spool(self, settings: Settings) -> Spool:
        with self._lock:
            found = self._spools.get(settings.durability)
            if found is None:
                home = self._home

                def opened(writer: str) -> None:
                    try:
                        open_writer(home.ledger, writer, home.place, actor=settings.actor)
                    except LedgerUnavailableError:
                        if settings.on_error != "spool":
                            raise
                        # The drainer tells the log of it, later.

                found = Spool(
                    self.folder,
                    home.vault.named_key("spool"),
                    opened=opened,
                    durability="disk" if settings.durability == "disk" else "process",
                )
                self._spools[settings.durability] = found
            return found

    def _start_timer(self) -> None:
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(DELAY_SECONDS, self.start_drainer)
                self._timer.daemon = True
                self._timer.start()


def open_log(folder: Path) -> Any:
    """Open the file in which a drainer process leaves its last words."""
    path = folder / "drainer.log"
    size = path.stat().st_size if path.exists() else 0
    return os.fdopen(
        os.open(
            path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if size > 1 << 16 else os.O_APPEND), 0o600
        ),
        "ab",
    )


def spools_of(home: Home) -> HomeSpools:
    """Return a home's spools, the same for the same open home."""
    found = home.__dict__.get("spools")
    if found is None:
        found = home.__dict__.setdefault("spools", HomeSpools(home))
        _OPEN.add(found)
    return found  # type: ignore[no-any-return]  # an instance's dict holds anything


def settle(home: Home) -> None:
    """Take in what waits, so that a reader sees everything that was acknowledged.

    Where that cannot be done a warning says so: what is in the log can be read all the same.
    """
    try:
        spools_of(home).settle()
    except LedgerError as error:
        warnings.warn(f"Not yet in the log: what waits in spools. {error}", stacklevel=3)


def _sign_gap(home: Home, lost: Lost) -> bytes:
    predicate: dict[str, Any] = {
        "name": f"writer/{lost.writer}",
        "actor": "drainer",
        "time": timestamp(),
        "outcome": "unrecorded",
        "reason": lost.reason,
        "writer": lost.writer,
        "first": lost.first,
        "last": lost.last,
    }
    if lost.last is not None:
        predicate["entries"] = lost.last + 1 - lost.first
    return gap_statement(lost.writer, predicate).sign(home.recorder).to_bytes()


def gap_statement(about: str, predicate: Mapping[str, Any]) -> Statement:
    """Return the statement that something happened and is not in the log.

    Args:
        about: What is missing, as the statement's subject names it.
        predicate: What is said of it, JSON-safe.
    """
    digest = hashlib.sha256(dump_json(predicate)).hexdigest()
    return Statement((Resource(f"gap/{about}", digest, "json-v1"),), GAP, predicate)


_OPEN: weakref.WeakSet[HomeSpools] = weakref.WeakSet()


@atexit.register
def close_spools() -> None:
    """End every spool of this process."""
    for spools in list(_OPEN):
        try:
            spools.close()
        except (LedgerError, ReferenceError) as error:
            warnings.warn(f"What was spooled waits for the next process: {error}", stacklevel=1)


def _after_fork_in_child() -> None:
    for spools in list(_OPEN):
        spools.forget_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
