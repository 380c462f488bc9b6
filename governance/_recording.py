"""Appends what the hooks record; where that fails, the call is blocked or the gap is recorded."""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from affidavit._home import Home
from affidavit._settings import Settings
from affidavit._spools import gap_statement, spools_of
from affidavit.errors import (
    AffidavitError,
    LedgerError,
    LedgerUnavailableError,
    SubjectKeyConflictError,
)
from affidavit.lineage import SealedPayload, Statement, timestamp

_MOST_GAPS = 1000
_gaps: dict[Path, tuple[Home, deque[dict[str, Any]]]] = {}
_gaps_lock = threading.Lock()


class EvidenceGapWarning(UserWarning):
    """Something ran that could not be recorded; an entry for the gap follows when it can."""


def record(
    home: Home,
    settings: Settings,
    what: str,
    *entries: Statement | bytes,
    payloads: Sequence[SealedPayload] = (),
    happened: bool = False,
) -> None:
    """Append entries, and with them an entry for each gap that is waiting.

    Args:
        home: Where the ledger is.
        settings: Says what a failure does to the caller.
        what: What the entries are about, for the gap's entry.
        entries: Statements to sign and records.
        payloads: Personal data that goes beside them.
        happened: There is nothing left to block, as after a call that failed: a failure becomes a
            gap whatever the settings say.

    Raises:
        LedgerError: They could not be written, and ``on_error`` is ``block``.
    """
    waiting = _take(home)
    if not waiting and not entries:
        return
    try:
        home.record(*_gap_statements(waiting), *entries, payloads=payloads)
    except LedgerError as error:
        _keep(home, *waiting)
        if isinstance(error, SubjectKeyConflictError):
            raise  # nothing is wrong: the caller seals again
        if settings.on_error == "block" and not happened:
            raise
        note_gap(home, settings, what, error, entries=len(entries))


def spool(  # noqa: PLR0917  # on the path of every served call
    home: Home,
    settings: Settings,
    what: str,
    kind: int,
    count: int,
    content: Callable[[str, int], bytes],
    *,
    happened: bool = False,
) -> None:
    """Acknowledge records that get into the log a moment later.

    Args:
        home: Where the spools are.
        settings: Say how durable they must be, and what a failure does to the caller.
        what: What the records are about, for the gap's entry.
        kind: What the frame is.
        count: How many records it makes.
        content: Gives its content for the writer's id and its first number.
        happened: As for `record`.

    Raises:
        LedgerError: They could not be written, and ``on_error`` is not ``warn``.
    """
    if _gaps and home.folder in _gaps:
        record(home, settings, what)
    try:
        spools_of(home).append(settings, kind, count, content)
    except LedgerError as error:
        if settings.on_error != "warn" and not happened:
            raise
        note_gap(home, settings, what, error, entries=count)


def note_gap(
    home: Home, settings: Settings, what: str, error: AffidavitError, *, entries: int = 1
) -> None:
    """Warn that something is not recorded, and keep the gap until it can be."""
    gap = {
        "name": what,
        "actor": settings.actor,
        "time": timestamp(),
        "outcome": "unrecorded",
        "reason": error.message,
        "entries": entries,
    }
    _keep(home, gap)
    warnings.warn(f"Not recorded: {what}. {error}", EvidenceGapWarning, stacklevel=4)


def keep_artifact(home: Home, settings: Settings, what: str, content: bytes) -> str:
    """Keep some bytes beside the ledger and return their SHA-256 in hex.

    Raises:
        LedgerUnavailableError: They cannot be written, and ``on_error`` is not ``warn``.
    """
    try:
        return home.artifacts.put(content)
    except LedgerUnavailableError as error:
        if settings.on_error != "warn":
            raise
        note_gap(home, settings, what, error, entries=0)
        return hashlib.sha256(content).hexdigest()


def _take(home: Home) -> list[dict[str, Any]]:
    with _gaps_lock:
        found = _gaps.pop(home.folder, None)
    return list(found[1]) if found else []


def _keep(home: Home, *gaps: dict[str, Any]) -> None:
    if not gaps:
        return
    with _gaps_lock:
        _, waiting = _gaps.setdefault(home.folder, (home, deque()))
        waiting.extend(gaps)
        while len(waiting) > _MOST_GAPS:
            # Two gaps become one, which says how many entries are missing: none is forgotten.
            first, second = waiting.popleft(), waiting.popleft()
            count = int(first["entries"]) + int(second["entries"])
            name = "several calls"
            waiting.appendleft({**first, "name": name, "until": second["time"], "entries": count})


def _forget_parents() -> None:
    # The parent records its own gaps; a child that did so too would record them twice.
    global _gaps_lock  # noqa: PLW0603  # another thread of the parent may have held it
    _gaps_lock = threading.Lock()
    _gaps.clear()


os.register_at_fork(after_in_child=_forget_parents)


@atexit.register
def _last_attempt() -> None:
    for home, _ in list(_gaps.values()):
        waiting = _take(home)
        try:
            home.record(*_gap_statements(waiting))
        except LedgerError as error:
            warnings.warn(
                f"{len(waiting)} gap(s) in the evidence stay unrecorded: {error}",
                EvidenceGapWarning,
                stacklevel=1,
            )


def _gap_statements(gaps: Sequence[Mapping[str, Any]]) -> list[Statement]:
    return [gap_statement(gap["name"], gap) for gap in gaps]
