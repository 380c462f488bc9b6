"""JSON read strictly and written in one form.

What is written: UTF-8, keys sorted by code point, no white space, no escapes for non-ASCII text.
What is read: one value, UTF-8 without a byte-order mark, no duplicate key, no NaN or infinity
(RFC 8259 §4 leaves duplicates to the reader; here they are an error, because two readers that
disagree about one signed document are an attack).
"""

from __future__ import annotations

import json
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
        FingerprintError: The value holds something JSON cannot carry, such as NaN.
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode("utf-8")
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
        EnvelopeError: The bytes are not UTF-8 or not JSON, repeat a key, hold NaN or infinity, or
            nest more than `MAX_DEPTH` levels.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
        )
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
