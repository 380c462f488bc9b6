"""JSON read strictly and written in one form.

What is written: UTF-8, keys sorted by code point, no white space, no escapes for non-ASCII text.
What is read: one value, UTF-8 without a byte-order mark, no duplicate key, no NaN or infinity, no
lone surrogate (RFC 8259 §4 and §8.2 leave these to the reader; here they are errors, because two
readers that disagree about one signed document are an attack).

Both ways go through orjson first, which is many times faster, and only where its answer cannot
differ (docs/adr/0016-a-fast-path-proves-or-hands-over.md): what it reads is taken where writing it
again gives the same bytes, and what it writes where the value holds nothing but texts, whole
numbers, booleans, nulls and such floats as both write alike. Everything else takes the careful
path of the standard library.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

from affidavit.errors import EnvelopeError, FingerprintError

_loads, _dumps = orjson.loads, orjson.dumps
MAX_DEPTH = 100
"""How deep an accepted document may nest."""


def dump_json(value: Any) -> bytes:
    """Return the one compact form of a JSON value.

    Args:
        value: Nested dicts with string keys, lists, tuples, strings, numbers, booleans and None.

    Returns:
        UTF-8 bytes.

    Raises:
        FingerprintError: The value holds something that JSON cannot carry, such as NaN or a key
            that is not text, or nests more than `MAX_DEPTH` levels.
    """
    if _plain(value):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            # Half a surrogate pair, or a number of more than 64 bits: the careful path decides.
            pass
    return _dump_carefully(value)


def _dump_carefully(value: Any) -> bytes:
    try:
        _check_writable(value)
        return _ENCODER.encode(value).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise FingerprintError(
            f"A value cannot be written as JSON: {error}.",
            hint="Use text, finite numbers, booleans, null, lists, and objects with text keys.",
        ) from error


def parse_json(data: bytes) -> Any:
    """Return the value of one strictly valid JSON document.

    Args:
        data: The document's bytes.

    Raises:
        EnvelopeError: The bytes are not UTF-8 or not JSON, repeat a key, hold NaN, infinity or a
            lone surrogate, or nest more than `MAX_DEPTH` levels.
    """
    # Bytes that are what a writer makes of a value hold no key twice, for the value has none, and
    # no NaN, no half of a surrogate pair and no white space, for no writer makes any.
    try:
        value = _loads(data)
        if _dumps(value) == data:
            # Most records hold no object in another: to look for one is quicker than to count.
            nested = 1 if data.find(b"{", 1) < 0 else data.count(b"{")
            if nested + data.count(b"[") <= MAX_DEPTH:
                return value
    except (ValueError, TypeError):
        # It cannot be read, or it nests deeper than orjson writes: the careful path says why.
        pass
    return _parse_carefully(data)


def _parse_carefully(data: bytes) -> Any:
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        if _SURROGATE.search(data):
            _refuse_surrogates(value)
    except UnicodeDecodeError as error:
        raise EnvelopeError(f"A JSON document is not UTF-8 at byte {error.start}.") from error
    except RecursionError as error:
        raise EnvelopeError("A JSON document nests too deeply.") from error
    except ValueError as error:
        raise EnvelopeError(f"A JSON document is malformed: {error}.") from error
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _plain(value: Any, depth: int = 1) -> bool:
    """Return whether orjson writes a value as the careful path would, or refuses it."""
    # Exact types: of a subclass each writer has its own idea. Each float is tried: the two write
    # some of them differently, and orjson writes NaN as null.
    kind = type(value)
    if kind is dict:
        if not all(type(key) is str for key in value):
            return False
        value = value.values()
    elif kind not in _ARRAYS:
        return kind in _FLAT or (kind is float and _same_float(value))
    if depth > MAX_DEPTH:
        return False
    for item in value:  # noqa: SIM110  # a generator takes twice as long
        if type(item) not in _FLAT and not _plain(item, depth + 1):
            return False
    return True


def _same_float(value: float) -> bool:
    return orjson.dumps(value) == repr(value).encode()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None


def _check_writable(value: Any, depth: int = 1) -> None:
    # json.dumps turns a key 1 into "1", which may then stand twice.
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
            if isinstance(item, dict | list | tuple):
                _check_writable(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, dict | list | tuple):
                _check_writable(item, depth + 1)
    if depth > MAX_DEPTH:
        raise ValueError(f"it nests more than {MAX_DEPTH} levels")


# Made once: json.loads and json.dumps with options make a new one for every call.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
)
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_ARRAYS = frozenset({list, tuple})
_FLAT = frozenset({str, int, bool, type(None)})
_SURROGATE = re.compile(rb"\\u[dD]")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise EnvelopeError(f"A JSON document nests more than {MAX_DEPTH} levels.")
