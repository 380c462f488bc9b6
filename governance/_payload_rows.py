"""What a served call was given and gave back, as JSON-safe rows."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_TEXT = frozenset({str})
_PLAIN = frozenset({str, int, float, bool, type(None)})


def plain_row(value: Any) -> bytes | None:
    """Return the JSON of a mapping of plain values, as nearly every service takes one; else None.

    What it says is what `input_rows` and `json_safe` say of the same mapping.
    """
    if (
        value.__class__ is not dict
        or not _PLAIN.issuperset(map(type, value.values()))
        or not _TEXT.issuperset(map(type, value))
    ):
        return None
    try:
        # Not a number and the infinities become null, as `json_safe` has it.
        return orjson.dumps(value)
    except TypeError:  # a number of more than 64 bits, or half a surrogate pair
        return None


def plain_value(value: Any) -> bytes | None:
    """Return the JSON of a plain value; None for any other, and where JSON cannot carry it."""
    if value.__class__ not in _PLAIN:
        return None
    try:
        return orjson.dumps(value)
    except TypeError:
        return None


def input_rows(value: Any) -> list[dict[str, Any]]:
    """Return the feature rows in what a prediction function was given.

    A mapping or a pydantic model is one row, a data frame or a list of mappings one row each, a
    numeric array a row of numbered columns each, anything else one row with the field ``input``.
    """
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return [{_encodable(str(name)): json_safe(item) for name, item in value.items()}]
    if isinstance(value, list | tuple) and value and all(map(_is_row, value)):
        return [row for item in value for row in input_rows(item)]
    rows = _frame_rows(value)
    if rows is not None:
        return [{_encodable(str(k)): json_safe(v) for k, v in row.items()} for row in rows]
    if hasattr(value, "ndim") and hasattr(value, "tolist") and value.ndim in (1, 2):
        matrix = value.tolist() if value.ndim == 2 else [value.tolist()]
        return [{f"x{n}": json_safe(item) for n, item in enumerate(row)} for row in matrix]
    return [{"input": json_safe(value)}]


def output_rows(value: Any, count: int) -> list[Any]:
    """Return the output of each of some input rows; the whole output for each if not one each."""
    # A series is a value a row, although it could be taken for one row of named values.
    rows = None if getattr(value, "ndim", None) == 1 else _frame_rows(value)
    if rows is not None:
        value = rows
    elif hasattr(value, "tolist"):
        value = value.tolist()
    elif hasattr(value, "to_list"):
        value = value.to_list()
    if count == 1:
        plain = json_safe(value)
        return [plain[0] if isinstance(plain, list) and len(plain) == 1 else plain]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == count:
        return [json_safe(item) for item in value]
    return [json_safe(value)] * count


def json_safe(value: Any) -> Any:  # noqa: C901, PLR0911  # one for each kind of value
    """Return a value as JSON can carry it; NaN becomes null, unknown objects their text."""
    if isinstance(value, str):
        return _encodable(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_encodable(str(key)): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, type):
        return json_safe(value.tolist())
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return None if value != value else value.isoformat()  # noqa: PLR0124  # pandas' NaT
    if isinstance(value, decimal.Decimal):
        return str(value)
    if hasattr(value, "model_dump"):
        return json_safe(value.model_dump())
    if isinstance(value, enum.Enum):
        return json_safe(value.value)
    text = str(value)
    return None if text in {"<NA>", "NaT"} else _encodable(text)


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "model_dump")


def _encodable(text: str) -> str:
    """Return text with half surrogate pairs, which no UTF-8 can carry, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _frame_rows(value: Any) -> list[dict[str, Any]] | None:
    if hasattr(value, "to_pylist") and hasattr(value, "schema"):
        rows: list[dict[str, Any]] = value.to_pylist()
        return rows
    if hasattr(value, "to_dicts"):
        found: list[dict[str, Any]] = value.to_dicts()
        return found
    if hasattr(value, "to_dict") and hasattr(value, "iloc") and hasattr(value, "columns"):
        records: list[dict[str, Any]] = value.to_dict("records")
        return records
    if hasattr(value, "to_dict") and hasattr(value, "iloc"):
        return [{str(key): item for key, item in value.to_dict().items()}]
    return None
