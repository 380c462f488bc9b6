"""Which records there are, and what each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affidavit.errors import EnvelopeError

RECORD_KINDS = ("prediction", "decision", "access", "writer")


def record_id(record: Mapping[str, Any]) -> Any:
    """Return a record's id; a decision has it under the name that OPA's decision log gives it."""
    return record.get("decision_id" if record.get("record") == "decision" else "id")


def record_time(record: Mapping[str, Any]) -> Any:
    """Return when a record was made; see `record_id`."""
    return record.get("timestamp" if record.get("record") == "decision" else "time")


def check_record(record: Mapping[str, Any]) -> None:
    """Accept a record of a known kind that has an id and a time, or raise.

    Raises:
        EnvelopeError: It is none.
    """
    if record["record"] not in RECORD_KINDS:
        raise EnvelopeError(f"The record kind {str(record['record'])[:100]!r} is unknown.")
    if not isinstance(record_id(record), str) or not isinstance(record_time(record), str):
        raise EnvelopeError("A record has an id and a time.")
