"""Appends what the hooks record; where that fails, the call is blocked or the gap is recorded."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any

from affidavit._home import Home
from affidavit._settings import Settings
from affidavit.errors import LedgerError
from affidavit.lineage import GAP, Resource, SealedPayload, Statement, dump_json, timestamp

_gaps: deque[dict[str, Any]] = deque(maxlen=10_000)
_gaps_lock = threading.Lock()


class EvidenceGapWarning(UserWarning):
    """Something ran that could not be recorded; an entry for the gap follows when it can."""


def record(
    home: Home,
    settings: Settings,
    what: str,
    *entries: Statement | bytes,
    payloads: Sequence[SealedPayload] = (),
) -> None:
    """Append entries, and with them an entry for each gap that is waiting.

    Args:
        home: Where the ledger is.
        settings: Says what a failure does to the caller.
        what: What the entries are about, for the gap's entry.
        entries: Statements to sign and records.
        payloads: Personal data that goes beside them.

    Raises:
        LedgerError: They could not be written, and ``on_error`` is ``block``.
    """
    with _gaps_lock:
        waiting = list(_gaps)
        _gaps.clear()
    try:
        home.record(*(_gap_statement(gap) for gap in waiting), *entries, payloads=payloads)
    except LedgerError as error:
        with _gaps_lock:
            _gaps.extendleft(reversed(waiting))
        if settings.on_error == "block":
            raise
        gap = {
            "name": what,
            "actor": settings.actor,
            "time": timestamp(),
            "outcome": "unrecorded",
            "reason": error.message,
            "entries": len(entries),
        }
        with _gaps_lock:
            _gaps.append(gap)
        warnings.warn(f"Not recorded: {what}. {error}", EvidenceGapWarning, stacklevel=3)


def _gap_statement(gap: dict[str, Any]) -> Statement:
    digest = hashlib.sha256(dump_json(gap)).hexdigest()
    return Statement((Resource(f"gap/{gap['name']}", digest, "json-v1"),), GAP, gap)
