"""The functions that a module may ask of the embedded engine, with OPA's results.

All of them are pure: the same arguments give the same result, on every machine, so that an old
decision can be replayed. Functions that look at the clock, at chance, at the network or at the
process are not here, and neither is any whose result could differ from OPA's; a module that needs
one is refused when it is loaded. Each is held against a real OPA by tests.

Three things can come of a call. A value. No value, where OPA gives none for an argument it cannot
use (its documentation, "Policy Reference", "Built-in Functions", says of such errors that the
expression is undefined). Or a refusal, where this engine does not know what OPA would give, such
as a zone of the time-zone database: the whole evaluation then fails, and the question is denied.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

from affidavit.policies._builtins_time import TIME
from affidavit.policies._no_value import NoValueError, UnknownResultError

__all__ = ["BUILTINS", "host_builtins"]

Builtin = Callable[..., Any]
_VERB = re.compile(r"%(.?)", re.DOTALL)
_IDENTIFIERS = re.compile(r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*", re.ASCII)
_NUMERIC = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_BYTES = re.compile(r"([0-9]{1,15})([a-z]*)", re.ASCII)
_AMOUNT = re.compile(r"([0-9]{1,15})([A-Za-z]*)", re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


def _text(value: Any) -> str:
    if type(value) is not str:
        raise NoValueError
    return value


def _hash(name: str) -> Builtin:
    return lambda value: hashlib.new(name, _text(value).encode(), usedforsecurity=False).hexdigest()


def _mac(name: str) -> Builtin:
    return lambda value, key: hmac.digest(_text(key).encode(), _text(value).encode(), name).hex()


def _sprintf(form: Any, operands: Any) -> str:
    text = _text(form)
    if type(operands) is not list:
        raise NoValueError
    left = iter(operands)

    def one(verb: re.Match[str]) -> str:
        if verb[1] == "%":
            return "%"
        value = next(left, None)
        kind = type(value)
        if verb[1] in {"s", "v"} and kind is str:
            return str(value)
        if verb[1] in {"s", "v"} and kind is bool:
            return "true" if value else "false"
        if verb[1] in {"d", "v"} and kind is int:
            return str(value)
        raise UnknownResultError(f"sprintf of %{verb[1]} with {kind.__name__}")

    made = _VERB.sub(one, text)
    if next(left, left) is not left:
        raise UnknownResultError("sprintf with more operands than verbs")
    return made


Version = tuple[tuple[int, ...], str]


def _version(value: Any) -> Version | None:
    """A semantic version (2.0.0) as OPA reads it: one v may stand before it."""
    if type(value) is not str:
        return None
    rest, plus, build = value.removeprefix("v").partition("+")
    numbers, dash, before = rest.partition("-")
    if plus and not _IDENTIFIERS.fullmatch(build):
        return None
    if dash and (
        not _IDENTIFIERS.fullmatch(before)
        or any(re.fullmatch("0[0-9]+", part, re.ASCII) for part in before.split("."))
    ):
        return None
    parts = numbers.split(".")
    if len(parts) != 3 or not all(map(_NUMERIC.fullmatch, parts)):
        return None
    found = tuple(map(int, parts))
    return (found, before) if max(found) < 2**63 else None


def _precedence(before: str) -> tuple[Any, ...]:
    """What orders pre-releases (Semantic Versioning 2.0.0 §11); without one comes last."""
    if not before:
        return (1,)
    keys = []
    for part in before.split("."):
        if part.isdecimal() and len(part) > 18:
            raise UnknownResultError("semver.compare of a number beyond 64 bits")
        keys.append((0, int(part), "") if part.isdecimal() else (1, 0, part))
    return (0, *keys)


def _semver_compare(a: Any, b: Any) -> int:
    first, second = _version(a), _version(b)
    if first is None or second is None:
        raise NoValueError
    left = (first[0], _precedence(first[1]))
    right = (second[0], _precedence(second[1]))
    return (left > right) - (left < right)


def _power(unit: str) -> int:
    """What a unit multiplies by: 1000 or, with an i, 1024, to the power of its letter."""
    if not unit:
        return 1
    power = _POWERS.get(unit[0].lower())
    if power is None or unit[1:] not in {"", "i"}:
        raise NoValueError
    return int((1024 if unit[1:] else 1000) ** power)


def _whole(value: Any, pattern: re.Pattern[str]) -> tuple[int, str]:
    text = _text(value).replace('"', "")
    found = pattern.fullmatch(text)
    if found is None:
        if not any(sign.isdigit() for sign in text) or " " in text:
            raise NoValueError
        raise UnknownResultError("units of an amount that is not whole")
    return int(found[1]), found[2]


def _units_parse(value: Any) -> int:
    amount, unit = _whole(value, _AMOUNT)
    if unit == "m":
        raise UnknownResultError("units.parse of thousandths")
    # An m alone is a thousandth; with an i either case is a mebi.
    return amount * _power(unit[:1] + unit[1:].lower())


def _units_parse_bytes(value: Any) -> int:
    if type(value) is str and not value.isascii():
        raise UnknownResultError("units.parse_bytes of other than ASCII")
    amount, unit = _whole(value.lower() if type(value) is str else value, _BYTES)
    total = amount * _power(unit.removesuffix("b") if len(unit) > 1 else unit)
    if total >= 2**63:
        raise UnknownResultError("units.parse_bytes beyond 64 bits, which OPA rounds")
    return total


def _texts(value: Any) -> list[str]:
    values = [value] if type(value) is str else value
    if type(values) is not list or not all(type(one) is str for one in values):
        raise NoValueError
    return values


def _any_prefix(search: Any, base: Any) -> bool:
    starts = tuple(_texts(base))
    return any(text.startswith(starts) for text in _texts(search))


def _any_suffix(search: Any, base: Any) -> bool:
    ends = tuple(_texts(base))
    return any(text.endswith(ends) for text in _texts(search))


BUILTINS: dict[str, Builtin] = {
    "crypto.hmac.sha256": _mac("sha256"),
    "crypto.hmac.sha512": _mac("sha512"),
    "crypto.md5": _hash("md5"),
    "crypto.sha1": _hash("sha1"),
    "crypto.sha256": _hash("sha256"),
    "hex.encode": lambda value: _text(value).encode().hex(),
    "semver.compare": _semver_compare,
    "semver.is_valid": lambda value: _version(value) is not None,
    "sprintf": _sprintf,
    "strings.any_prefix_match": _any_prefix,
    "strings.any_suffix_match": _any_suffix,
    "strings.count": lambda text, part: _text(text).count(_text(part)),
    "units.parse": _units_parse,
    "units.parse_bytes": _units_parse_bytes,
    **TIME,
}


def host_builtins() -> frozenset[str]:
    """The names of the functions that the embedded engine gives to modules that ask for them."""
    return frozenset(BUILTINS)
