"""Which records there are, and what each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affidavit.errors import EnvelopeError

RECORD_KINDS = ("prediction", "decision", "access", "writer")


def check_record(record: Mapping[str, Any]) -> None:
    """Accept a record of a known kind that has an id and a time, or raise.

    Raises:
        EnvelopeError: It is none.
    """
    if record["record"] not in RECORD_KINDS:
        raise EnvelopeError(f"The record kind {str(record['record'])[:100]!r} is unknown.")
    if not isinstance(record.get("id"), str) or not isinstance(record.get("time"), str):
        raise EnvelopeError("A record has an id and a time.")
