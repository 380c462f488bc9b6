"""Records: compact, unsigned entries for what happens often, covered by the next checkpoint.

```
{"id":"0197…","model":"referral@production","record":"prediction","time":"2026-11-21T08:00:00.000Z",…}
```
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

from affidavit.errors import EnvelopeError
from affidavit.lineage._envelope import Envelope
from affidavit.lineage._record_kinds import RECORD_KINDS, check_record
from affidavit.lineage._statement import Statement
from affidavit.lineage._strict_json import dump_json, parse_json

MAX_ENTRY = 64 * 1024
"""The largest entry, in bytes; what is larger is logged by its digest."""

Parsed = tuple[Envelope, Statement] | dict[str, Any]
"""What an entry says: an envelope and the statement in it, or a record."""


class _Random:
    """The system's random digits, asked for by the page: a system call an id costs more than it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._digits, self._at = "", 0

    def take(self, count: int) -> str:
        with self._lock:
            at = self._at
            if at + count > len(self._digits):
                self._digits, at = os.urandom(4096).hex(), 0
            self._at = at + count
            return self._digits[at : at + count]


_RANDOM = _Random()
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
# Two processes must not go on with the same digits.
os.register_at_fork(after_in_child=_RANDOM.forget)


def new_id() -> str:
    """Return a new time-ordered id: a UUID version 7 (RFC 9562 §5.7) as 32 hex digits."""
    digits = _RANDOM.take(19)
    return f"{_present()[1]}7{digits[:3]}{_VARIANT[digits[3]]}{digits[4:]}"


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment, by default this one, as RFC 3339 in UTC with milliseconds and ``Z``."""
    if moment is None:
        return _present()[2]
    at = moment.astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


_Moment = tuple[int, str, str]
_second, _moment = (0, ""), (0, "", "")


def _present() -> _Moment:
    """Return this millisecond: since 1970, as an id begins with it, and as a timestamp."""
    # A service asks many times within one millisecond, and most of the text stays for a second.
    global _second, _moment  # noqa: PLW0603  # tuples, replaced whole
    now, moment = time.time_ns() // 1_000_000, _moment
    if moment[0] == now:
        return moment
    seconds, milliseconds = divmod(now, 1000)
    known, text = _second
    if known != seconds:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second = (seconds, text)
    _moment = moment = (now, f"{now:012x}", f"{text}.{milliseconds:03d}Z")
    return moment


def record_bytes(kind: str, fields: dict[str, Any]) -> bytes:
    """Return a record as it is logged.

    Args:
        kind: One of `RECORD_KINDS`.
        fields: The rest, JSON-safe, with at least ``id`` and ``time``; a decision has
            ``decision_id`` and ``timestamp``.

    Raises:
        EnvelopeError: The kind is unknown, or the fields lack id or time or give another kind.
    """
    if kind not in RECORD_KINDS:
        raise EnvelopeError(f"A record is one of {', '.join(RECORD_KINDS)}, not {kind!r}.")
    if "record" in fields:
        raise EnvelopeError("A record's kind is given once, and not among its fields.")
    record = {"record": kind, **fields}
    check_record(record)
    return dump_json(record)


def parse_entry(body: bytes) -> Parsed:
    """Return what an entry's bytes say: an envelope with its statement, or a record.

    Raises:
        EnvelopeError: The bytes are neither.
    """
    value = parse_json(body)
    if isinstance(value, dict) and "record" in value:
        check_record(value)
        return value
    return parse_statement(value)


def parse_statement(value: object) -> tuple[Envelope, Statement]:
    """Return the envelope in an entry's JSON value, and the statement in it.

    Raises:
        EnvelopeError: The value is no envelope, or its payload no statement.
    """
    envelope = Envelope.from_json(value)
    return envelope, Statement.parse(envelope.payload)
