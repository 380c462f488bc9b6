"""What is declared of people, datasets and systems, as policies can be told of it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from affidavit.errors import ConfigurationError


def json_ready(place: str, value: Any) -> Any:
    """Return a value of TOML as JSON can carry it: dates become RFC 3339 timestamps.

    A plain date, written as such or as text, is the first second of its day in UTC.

    Args:
        place: Where the value stands, for errors.
        value: What stands there.

    Raises:
        ConfigurationError: A date has a time of day without an offset, or a number is not finite.
    """
    if isinstance(value, Mapping):
        return {key: json_ready(f"{place}.{key}", item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_ready(f"{place}[{number}]", item) for number, item in enumerate(value)]
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ConfigurationError(
                f"{place} is {value.isoformat()}, a time that is another instant in each zone.",
                hint="Write its offset too, such as 2026-03-01T08:00:00Z.",
            )
        at = value.astimezone(dt.UTC).replace(tzinfo=None)
        return at.isoformat(timespec="seconds") + "Z"
    if isinstance(value, dt.date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, dt.time) or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigurationError(
            f"{place} is {value}, which no policy can be told.",
            hint="Write text, a finite number, true, false, a date, a list or a table.",
        )
    return _day(value) if isinstance(value, str) else value


def _day(text: str) -> str:
    if len(text) != 10 or text[4] != "-" or not text.isascii():
        return text
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return text
    return f"{text}T00:00:00Z"


def check_person(place: str, person: Mapping[str, Any]) -> None:
    """Refuse a person's table with anything but roles and attributes.

    Raises:
        ConfigurationError: It has another setting, or attributes that are no table.
    """
    unknown = sorted(set(person) - {"roles", "attributes"})
    if unknown:
        raise ConfigurationError(
            f"{place} has the unknown setting {unknown[0]!r}.",
            hint="There are roles and attributes.",
        )
    if not isinstance(person.get("attributes", {}), Mapping):
        raise ConfigurationError(f"{place}.attributes is not a table.")
