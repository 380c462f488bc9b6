"""The instants at which a decision may change while rules, data and request stay the same.

A cache may leave the time out of account between two of them, and must not across one. They are
never listed rule by rule, so that a new rule cannot be forgotten:

- every RFC 3339 timestamp **anywhere in the data**: a grant begins or expires, a deny rule lapses,
  a consent is withdrawn, a clause comes into force;
- every timestamp anywhere in the attributes of the request's resource and actor, and each of them
  plus every period for which the data let something be kept, less the notice that they ask for;
- every midnight in UTC, for the rules that count days; where the data know hours of the day, every
  full minute, at which such hours begin and end.

The packs read the clock in whole seconds, and compare it with such an instant by "at or after".
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.policies._engine import CacheProfile

__all__ = ["cache_profile", "epoch_seconds", "phase", "request_instants"]

_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_DAY = 86_400
_MINUTE = 60


def epoch_seconds(text: object) -> int | None:
    """Whole seconds since 1970 of an RFC 3339 timestamp as the packs read it, else None."""
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        return None
    try:
        # Fractions are cut off, as the packs do; fromisoformat reads at most six digits.
        whole = dt.datetime.fromisoformat(text[:19] + "+00:00")
        shift = 0
        if not text.endswith("Z"):
            hours, minutes = int(text[-5:-3]), int(text[-2:])
            if hours > 23 or minutes > 59:
                return None
            shift = (hours * 3600 + minutes * 60) * (1 if text[-6] == "+" else -1)
    except ValueError:
        return None
    return int((whole - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds()) - shift


def _values(value: object) -> Iterator[tuple[str, object]]:
    """Every plain value in a JSON document, with the name that it stands under."""
    open_ones: list[tuple[str, object]] = [("", value)]
    while open_ones:
        name, found = open_ones.pop()
        if isinstance(found, Mapping):
            open_ones.extend((str(key), item) for key, item in found.items())
        elif isinstance(found, list | tuple):
            open_ones.extend((name, item) for item in found)
        else:
            yield name, found


def _timestamps(value: object) -> set[int]:
    found = {epoch_seconds(item) for _, item in _values(value) if isinstance(item, str)}
    return {at for at in found if at is not None}


def _whole_days(value: object) -> set[int]:
    found = (item for _, item in _values(value) if isinstance(item, int | float))
    return {int(item) for item in found if not isinstance(item, bool) and item == int(item)}


def cache_profile(volatile: frozenset[str], data: Mapping[str, Any]) -> CacheProfile:
    """What a cache may leave out of account for an entry point on some data.

    Args:
        volatile: The fields that the entry point declares.
        data: The data in force.
    """
    retention = data.get("retention", {})
    return CacheProfile(
        volatile,
        tuple(sorted(_timestamps(data))),
        tuple(sorted(_whole_days(retention))),
        _MINUTE if _names_hours(data) else _DAY,
    )


def _names_hours(value: object) -> bool:
    if isinstance(value, Mapping):
        return "hours" in value or any(map(_names_hours, value.values()))
    return isinstance(value, list) and any(map(_names_hours, value))


def request_instants(document: Mapping[str, Any], periods: tuple[int, ...]) -> tuple[int, ...]:
    """The instants that the attributes of a request add to those of the data.

    Args:
        document: The request.
        periods: The numbers of days that the data know.
    """
    attributes = []
    for field in ("resource", "actor"):
        part = document.get(field)
        if isinstance(part, Mapping) and part.get("attributes"):
            attributes.append(part["attributes"])
    if not attributes:
        return ()
    dates = _timestamps(attributes)
    # A period may be stated by the resource too; a notice goes before the end of any period.
    days = {0, *periods, *_whole_days(attributes)}
    spans = {one - other for one in days for other in days}
    return tuple(sorted({at + span * _DAY for at in dates for span in spans}))


def phase(instants: tuple[int, ...], step: int, at: int) -> tuple[int, int]:
    """Where a time stands among instants: equal for two times that decide alike."""
    return bisect_right(instants, at), at // step if step else 0
