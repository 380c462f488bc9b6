"""What is recorded of a parameter: plain values, without secrets, of a bounded size."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import hashlib
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

from affidavit.lineage import dump_json

NOT_RECORDED = "(not recorded)"
_SECRET = re.compile(
    r"passw|passphrase|pwd|secret|token|api_?key|access_?key|credential|private|authoriz|bearer",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_LONGEST = 500
_LARGEST = 4000
_EXACT = 2**53
_AS_TEXT = (dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)


def is_plain(value: Any, depth: int = 3) -> bool:
    """Return whether a value is recorded as a parameter rather than by its digest."""
    value = _scalar(value)
    if value is None or isinstance(value, bool | int | float | str):
        return True
    if depth and isinstance(value, list | tuple):
        return len(value) <= 100 and all(is_plain(item, depth - 1) for item in value)
    if depth and isinstance(value, Mapping):
        return len(value) <= 100 and all(
            isinstance(key, str) and is_plain(item, depth - 1) for key, item in value.items()
        )
    return False


def recorded_value(name: str, value: Any) -> Any:
    """Return what the ledger says of a parameter, JSON-safe.

    Args:
        name: The parameter's name; one that looks like a secret's hides the value.
        value: The value. What is not plain is recorded as its type, what is too large as its
            digest, a user and password in a URL not at all.
    """
    if _SECRET.search(name):
        return NOT_RECORDED
    plain = _recorded(value)
    written = dump_json(plain)
    if len(written) <= _LARGEST:
        return plain
    digest = hashlib.sha256(written).hexdigest()
    return {"type": type(value).__qualname__, "bytes": len(written), "sha256": digest}


def _scalar(value: Any) -> Any:
    """Return the Python value of a scalar of another library."""
    if isinstance(value, enum.Enum):
        return _scalar(value.value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    return str(value) if isinstance(value, _AS_TEXT) else value


def _recorded(value: Any) -> Any:  # noqa: PLR0911  # one for each kind of value
    value = _scalar(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        text = _IN_URL.sub(f"{NOT_RECORDED}@", value[: 2 * _LONGEST])
        text = text.encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        # Readers of JSON may take it for a float (RFC 8259 §6).
        return hex(value)[:_LONGEST]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping) and is_plain(value):
        return {str(key): recorded_value(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple) and is_plain(value):
        return [_recorded(item) for item in value]
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
