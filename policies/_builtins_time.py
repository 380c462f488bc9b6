"""OPA's functions of time, less the clock: instants are whole nanoseconds since 1970, in UTC."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from affidavit.policies._no_value import NoValueError, UnknownResultError

__all__ = ["TIME"]

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_EPOCH = dt.date(1970, 1, 1).toordinal()
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:Z|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)
# Go reads more than RFC 3339 permits, such as an hour of one digit.
_NEARLY = re.compile(r"\d{4}-\d\d?-\d\d?T\d\d?:\d\d?:\d\d?(?:[.,]\d+)?(?:Z|[+-].+)", re.ASCII)
_DURATION = re.compile(r"([+-]?)((?:[0-9]{1,9}(?:ns|us|ms|s|m|h))+)", re.ASCII)
_PART = re.compile(r"([0-9]+)(ns|us|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}


def _in_range(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise NoValueError
    return value


def _instant(value: Any) -> int:
    """Nanoseconds, alone or before the name of a zone, of which only UTC is known."""
    if type(value) is list:
        if not value:
            raise NoValueError
        if value[1:] not in ([], [""], ["UTC"]):
            raise UnknownResultError("an instant in a zone other than UTC")
        value = value[0]
    if type(value) is float:
        raise UnknownResultError("an instant that is no integer")
    if type(value) is not int:
        raise NoValueError
    return _in_range(value)


def _date_of(instant: int) -> dt.date:
    return dt.date.fromordinal(_EPOCH + instant // _DAY)


def _clock(instant: int) -> list[int]:
    seconds = instant % _DAY // _SECOND
    return [seconds // 3600, seconds // 60 % 60, seconds % 60]


def _date(value: Any) -> list[int]:
    found = _date_of(_instant(value))
    return [found.year, found.month, found.day]


def _parse_rfc3339(value: Any) -> int:
    if type(value) is not str:
        raise NoValueError
    found = _RFC3339.fullmatch(value)
    if found is None:
        if _NEARLY.fullmatch(value):
            raise UnknownResultError("a timestamp that RFC 3339 does not permit")
        raise NoValueError
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    shift = 0
    if found[8]:
        hours, minutes = int(found[9]), int(found[10])
        if hours > 23 or minutes > 59:
            raise UnknownResultError("a timestamp with an offset of a day or more")
        shift = (hours * 3600 + minutes * 60) * (1 if found[8] == "+" else -1)
    if hour > 23 or minute > 59 or second > 59:
        raise NoValueError
    try:
        days = dt.date(year, month, day).toordinal() - _EPOCH
    except ValueError as error:
        raise NoValueError from error
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - shift
    return _in_range(seconds * _SECOND + int((found[7] or "").ljust(9, "0")))


def _parse_duration(value: Any) -> int:
    if type(value) is not str:
        raise NoValueError
    if value == "0":
        return 0
    found = _DURATION.fullmatch(value)
    if found is None:
        if not any(sign.isdigit() for sign in value):
            raise NoValueError
        raise UnknownResultError("a duration with fractions, days, weeks or years")
    total = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(found[2]))
    return _in_range(-total if found[1] == "-" else total)


def _add_date(value: Any, years: Any, months: Any, days: Any) -> int:
    instant = _instant(value)
    for number in (years, months, days):
        if type(number) is not int:
            raise UnknownResultError("time.add_date of other than integers")
        if abs(number) > 10**5:
            raise UnknownResultError("time.add_date over more than a hundred thousand")
    at = _date_of(instant)
    # What is too much for a month goes on into the next ones.
    year, month = divmod((at.year + years) * 12 + at.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise NoValueError
    ordinal = dt.date(year, month + 1, 1).toordinal() + at.day - 1 + days
    return _in_range((ordinal - _EPOCH) * _DAY + instant % _DAY)


def _diff(a: Any, b: Any) -> list[int]:
    first, second = sorted((_instant(a), _instant(b)))
    one, other = _date_of(first), _date_of(second)
    spans = [
        other.year - one.year,
        other.month - one.month,
        other.day - one.day,
        *(late - early for late, early in zip(_clock(second), _clock(first), strict=True)),
    ]
    following = dt.date(one.year + one.month // 12, one.month % 12 + 1, 1)
    month_days = (following - one.replace(day=1)).days
    # Borrow from the next larger unit, smallest first; months are as long as the first one.
    for at, size in ((5, 60), (4, 60), (3, 24), (2, month_days), (1, 12)):
        if spans[at] < 0:
            spans[at] += size
            spans[at - 1] -= 1
    return spans


TIME: dict[str, Callable[..., Any]] = {
    "time.add_date": _add_date,
    "time.clock": lambda value: _clock(_instant(value)),
    "time.date": _date,
    "time.diff": _diff,
    "time.parse_duration_ns": _parse_duration,
    "time.parse_rfc3339_ns": _parse_rfc3339,
    "time.weekday": lambda value: _DAYS[_date_of(_instant(value)).weekday()],
}
