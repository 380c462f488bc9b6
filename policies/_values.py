"""What obligations do to single values: masks, pseudonyms, bands."""

from __future__ import annotations

import datetime as dt
import decimal
import hmac
import math
import re
from typing import TYPE_CHECKING, Any

from affidavit.errors import ObligationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MASK", "find_key", "generalised", "is_missing", "masked", "pseudonym"]

MASK = "[masked]"
_MIN_KEY_BYTES = 16
_ISO_DATE = re.compile(r"(\d{4})(?:-\d{2}(?:-\d{2}(?:[T ].*)?)?)?", re.ASCII | re.DOTALL)


def is_missing(value: object) -> bool:
    """Whether a value stands for none: None, NaN, NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124  # what is not equal to itself is NaN
    except ArithmeticError:
        return True  # a signalling NaN of decimals
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def find_key(keys: Mapping[str, bytes], name: str) -> bytes:
    """The key of a pseudonymisation, by its name.

    Raises:
        ObligationError: There is no such key, or it is shorter than 16 bytes.
    """
    key = keys.get(name)
    if key is None:
        raise ObligationError(
            f"A policy asks for pseudonyms under the key {name!r}, which is not here.",
            hint="Create the key, or name another one in the policy's data.",
        )
    if len(key) < _MIN_KEY_BYTES:
        raise ObligationError(
            f"The key {name!r} has fewer than {_MIN_KEY_BYTES} bytes: pseudonyms could be guessed."
        )
    return key


# Subtypes stand before their base types: bool is an int, datetime a date.
_TOKENS: tuple[tuple[type, Any], ...] = (
    (bool, False),
    (int, 0),
    (float, 0.0),
    (decimal.Decimal, decimal.Decimal(0)),
)


def masked(value: Any) -> Any:
    """The fixed token for a value's type: ``[masked]``, 0, false or 1970-01-01; none stays none."""
    if is_missing(value):
        return value
    for kind, token in _TOKENS:
        if isinstance(value, kind):
            return token
    if isinstance(value, dt.datetime):
        return dt.datetime(1970, 1, 1, tzinfo=value.tzinfo)
    if isinstance(value, dt.date):
        return dt.date(1970, 1, 1)
    return MASK


def _number_text(value: float | decimal.Decimal) -> str:
    if math.isfinite(value) and value == int(value):
        return str(int(value))
    return repr(float(value))


# Subtypes stand before their base types here too.
_TEXTS: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (str, lambda value: "s:" + value),
    (bytes, lambda value: "b:" + value.hex()),
    (bool, lambda value: "t:" + str(value)),
    ((int, float, decimal.Decimal), lambda value: "n:" + _number_text(value)),
    ((dt.datetime, dt.date, dt.time), lambda value: "d:" + value.isoformat()),
)


def _text(value: object) -> str:
    """One text for equal values, whatever column type carried them: 7, 7.0 and Decimal("7.00")."""
    for kind, write in _TEXTS:
        if isinstance(value, kind):
            return write(value)
    item = getattr(value, "item", None)
    if callable(item) and type(value).__module__ == "numpy":
        return _text(item())
    raise ObligationError(
        f"A value of type {type(value).__name__} has no pseudonym; text, numbers and dates have."
    )


def pseudonym(value: object, key: bytes) -> str | None:
    """HMAC-SHA256 (RFC 2104) of a value under a key as 64 hexadecimal digits; none stays none.

    Equal values have equal pseudonyms under one key, so rows stay joinable across tables.
    """
    if is_missing(value):
        return None
    return hmac.digest(key, _text(value).encode("utf-8", "surrogatepass"), "sha256").hex()


def _band(value: Any, width: float, column: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ObligationError(
            f"The column {column!r} cannot be put into bands: it holds a {type(value).__name__} "
            f"that is no finite number."
        )
    if isinstance(value, int) and float(width).is_integer():
        return value // int(width) * int(width)
    return float(math.floor(value / width) * width)


def generalised(value: Any, parameters: Mapping[str, Any], column: str) -> Any:
    """The lower end of a number's band, or the first day of a date's year; none stays none.

    Args:
        value: A number for ``width``; a date, or text that begins with an ISO 8601 year, for
            ``unit: year``.
        parameters: ``{"width": w}`` or ``{"unit": "year"}``.
        column: The column's name, for errors.

    Raises:
        ObligationError: The value is not of the kind that the parameters are for.
    """
    if is_missing(value):
        return value
    if "width" in parameters:
        return _band(value, parameters["width"], column)
    if isinstance(value, dt.datetime):
        return dt.datetime(value.year, 1, 1, tzinfo=value.tzinfo)
    if isinstance(value, dt.date):
        return value.replace(month=1, day=1)
    match = _ISO_DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ObligationError(
            f"The column {column!r} cannot be reduced to years: it holds something that is no date."
        )
    return match[1]
