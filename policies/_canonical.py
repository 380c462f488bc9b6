"""The one form in which a request is evaluated, digested and compared.

JSON in UTF-8, object keys sorted by code point, no white space. What JSON readers disagree about is
refused rather than written: NaN and infinities, integers beyond 2^53 (RFC 8259 §6), keys that are
not text, lone surrogates (RFC 8259 §8.2), and documents that are too deep or too large.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from affidavit.errors import PolicyEngineError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "canonical_input", "input_digest"]

MAX_DEPTH = 32
MAX_BYTES = 4 * 1024 * 1024
_MAX_INTEGER = 2**53

_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
_SCALARS = frozenset({str, bool, type(None)})
_NAMES = frozenset({str})


def _refuse(where: str, found: str) -> PolicyEngineError:
    return PolicyEngineError(
        f"The policy input cannot be written as canonical JSON: {where or 'the input'} is {found}.",
        hint="Pass text, true, false, null, finite numbers, lists, and objects with text keys.",
    )


def _sound(document: Any) -> bool:
    """Whether a document is plain JSON without floats already, which nearly every request is."""
    level = [document]
    for _ in range(MAX_DEPTH):
        below = []
        for item in level:
            values = item
            if item.__class__ is dict:
                values = item.values()
                if not _NAMES.issuperset(map(type, item)):
                    return False
            if _SCALARS.issuperset(map(type, values)):
                continue
            for value in values:
                kind = value.__class__
                if kind is dict or kind is list or kind is tuple:
                    below.append(value)
                elif kind not in _SCALARS and (kind is not int or abs(value) > _MAX_INTEGER):
                    return False
        if not below:
            return True
        level = below
    return False


def _plain(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int or kind is float:
        return _number(value, where)
    if depth >= MAX_DEPTH:
        raise _refuse(where[:80], f"nested more than {MAX_DEPTH} deep")
    if kind is list or kind is tuple:
        return [_plain(item, where, depth + 1) for item in value]
    if isinstance(value, Mapping):
        plain = {}
        for key, item in value.items():
            if type(key) is not str:
                raise _refuse(where, f"an object with a key of type {type(key).__name__}")
            plain[key] = _plain(item, f"{where}.{key}" if where else key, depth + 1)
        return plain
    raise _refuse(where, f"of type {kind.__module__}.{kind.__qualname__}")


def _number(value: float, where: str) -> float:
    if type(value) is int:
        if -_MAX_INTEGER <= value <= _MAX_INTEGER:
            return value
        raise _refuse(where, "an integer beyond 2^53, which JSON readers disagree about")
    if math.isfinite(value):
        return value
    raise _refuse(where, f"{value}, which JSON cannot say")


def canonical_input(document: Mapping[str, Any]) -> bytes:
    """The canonical JSON of a request.

    Args:
        document: The request; mappings with text keys, lists, tuples, text, booleans, None and
            finite numbers.

    Returns:
        UTF-8 bytes; equal for equal documents, whatever the order of their keys.

    Raises:
        PolicyEngineError: The document holds something that JSON cannot say without doubt, or is
            deeper than 32 levels or longer than 4 MiB.
    """
    if not isinstance(document, Mapping):
        raise _refuse("", f"of type {type(document).__name__}, expected an object")
    try:
        # Two encoders that write the same, but for floats: there each has a form of its own.
        if document.__class__ is dict and _sound(document):
            encoded = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        else:
            encoded = _ENCODER.encode(_plain(document, "", 0)).encode("utf-8")
    except orjson.JSONEncodeError as error:
        raise _refuse("some text", "not Unicode (a lone surrogate)") from error
    except UnicodeEncodeError as error:
        raise _refuse("some text", "not Unicode (a lone surrogate)") from error
    except RecursionError as error:
        raise _refuse("", "nested too deep") from error
    if len(encoded) > MAX_BYTES:
        raise _refuse("", f"{len(encoded)} bytes long, the limit is {MAX_BYTES}")
    return encoded


def input_digest(canonical: bytes, key: bytes | None) -> str:
    """The digest of a canonical request: HMAC-SHA256 (RFC 2104) under a key, else SHA-256."""
    if key is None:
        return "sha256:" + hashlib.sha256(canonical).hexdigest()
    return "hmac-sha256:" + hmac.digest(key, canonical, "sha256").hex()
