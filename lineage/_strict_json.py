"""JSON read strictly and written in one form.

What is written: UTF-8, keys sorted by code point, no white space, no escapes for non-ASCII text.
What is read: one value, UTF-8 without a byte-order mark, no duplicate key, no NaN or infinity, no
lone surrogate (RFC 8259 §4 and §8.2 leave these to the reader; here they are errors, because two
readers that disagree about one signed document are an attack).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from affidavit.errors import EnvelopeError, FingerprintError

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
