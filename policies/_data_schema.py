"""Holding a section of the policy data against its pack's JSON Schema (draft 2020-12).

Beside the vocabulary of the draft, schemas use two formats of ours, because a pattern lets a
thirtieth of February pass: ``instant`` is an RFC 3339 timestamp with an offset, as the packs read
it, and ``network`` an IPv4 or IPv6 network or address.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker

from affidavit.policies._instants import epoch_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema import ValidationError

__all__ = ["first_departure", "formats"]

_FORMATS = {
    "instant": "RFC 3339 with an offset",
    "network": 'a network such as "10.0.0.0/8"',
}


def _instant(value: object) -> bool:
    return not isinstance(value, str) or epoch_seconds(value) is not None


def _network(value: object) -> bool:
    if isinstance(value, str):
        ipaddress.ip_network(value)
    return True


formats = FormatChecker(formats=())
"""The formats that the packs' schemas use."""
formats.checks("instant")(_instant)
formats.checks("network", raises=ValueError)(_network)


def _place(section: str, error: ValidationError) -> str:
    place = section
    for part in error.absolute_path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place


def _found(error: ValidationError) -> str:
    """What is wrong, in the words of whoever wrote the data rather than of a validator."""
    wanted, value = error.validator_value, error.instance
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    match error.validator:
        case "required":
            found = f"lacks {', '.join(sorted(set(wanted) - set(value)))}"
        case "additionalProperties" if not wanted:
            known = error.schema.get("properties", {})
            unknown = min(set(value) - set(known))
            found = f"has the unknown setting {unknown!r}; known are {', '.join(sorted(known))}"
        case "format":
            found = f"is {shown}, expected {_FORMATS[wanted]}"
        case "type":
            kinds = wanted if isinstance(wanted, list) else [wanted]
            found = f"is {shown}, expected {' or '.join(map(str, kinds))}"
        case "enum":
            found = f"is {shown}, expected one of {', '.join(map(json.dumps, wanted))}"
        case _:
            found = f"does not fit: {error.message}"
    return found


def first_departure(
    schema: Mapping[str, Any], content: object, section: str
) -> tuple[str, str] | None:
    """Say where a section departs from its schema: the place, and what is wrong there.

    Args:
        schema: The JSON Schema of the section.
        content: The section of the data in force.
        section: Its name.

    Returns:
        The place and what was found there, of the first departure by place; None where it fits.
    """
    validator = Draft202012Validator(dict(schema), format_checker=formats)
    departures = sorted(validator.iter_errors(content), key=lambda e: list(map(str, e.path)))
    if not departures:
        return None
    return _place(section, departures[0]), _found(departures[0])
