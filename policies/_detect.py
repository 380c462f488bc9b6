"""Proposals of tags for columns, from their names and values. A proposal decides nothing.

Evidence of one tag is combined as ``1 - (1 - name) x (1 - values)``. The confidence orders
proposals and can be held against a threshold; it is no probability. No proposal holds a value.
"""

from __future__ import annotations

import datetime as dt
import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.errors import MissingDependencyError, ObligationError
from affidavit.policies._column_names import name_evidence, vocabulary
from affidavit.policies._value_patterns import patterns
from affidavit.policies._values import is_missing

__all__ = ["TagProposal", "propose_tags"]

_ROWS = 5_000
_DISTINCT = 1_000
_SHARE = 0.8
_FEW = 3
_DATE = re.compile(r"(?:(\d{4})-\d\d-\d\d|\d\d?[./]\d\d?[./](\d{4}))(?:[T ].*)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TagProposal:
    """A tag that a column may deserve.

    Args:
        column: The column's name.
        tag: The proposed tag.
        confidence: From 0 to 1; it orders proposals and is no probability.
        reasons: What speaks for it, with counts and without values.
    """

    column: str
    tag: str
    confidence: float
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The proposal as a JSON object."""
        return {
            "column": self.column,
            "tag": self.tag,
            "confidence": self.confidence,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class _Column:
    """A column's sampled values as text, and what is known of them."""

    name: str
    texts: list[str]
    distinct: list[str]
    kind: str  # boolean, integer, number, date, text, other


_Evidence = tuple[str, float, str]


def propose_tags(
    frame: Any, *, today: dt.date, at_least: float = 0.5, rows: int = _ROWS
) -> tuple[TagProposal, ...]:
    """Propose tags for the columns of a table.

    Names are compared with words in several languages; values with formats and their check digits
    (e-mail, telephone, IBAN, payment cards, national identifiers, network addresses, tokens), with
    closed lists (sex, marital status, ethnicity, religion), as dates of birth, as prose by its
    length, and by their uniqueness.

    Args:
        frame: A pandas or Polars data frame or an Arrow table, of shape (n_samples, n_columns).
        today: The day by which dates of birth are judged.
        at_least: Proposals of less confidence are left out.
        rows: How many rows are looked at, evenly spread.

    Returns:
        Proposals in the order of the columns, the most confident first.

    Raises:
        MissingDependencyError: The extra ``detect`` is not installed.
        ObligationError: It is no table.
    """
    try:
        import narwhals
    except ImportError as error:
        raise MissingDependencyError("narwhals", "frames") from error
    patterns()
    try:
        table = narwhals.from_native(frame, eager_only=True)
    except TypeError as error:
        raise ObligationError(
            f"Tags are proposed for pandas, Polars and Arrow tables; found "
            f"{type(frame).__module__}.{type(frame).__name__}."
        ) from error
    step = max(1, -(-len(table) // rows))
    found: list[TagProposal] = []
    for name in table.columns:
        column = _column(str(name), table[name].to_list()[::step])
        found += _proposals(column, today, at_least)
    return tuple(found)


def _column(name: str, values: list[Any]) -> _Column:
    present = [value for value in values if not is_missing(value)]
    texts = [text for value in present if (text := _text(value))]
    distinct = list(dict.fromkeys(texts))
    if present and all(type(value).__name__ in {"bool", "bool_"} for value in present):
        kind = "boolean"
    elif present and all(isinstance(value, dt.date) for value in present):
        kind = "date"
    elif texts and all(map(_INTEGER.fullmatch, distinct)):
        kind = "integer"
    elif texts and all(map(_NUMBER.fullmatch, distinct)):
        kind = "number"
    elif any(isinstance(value, list | tuple | dict) for value in present):
        kind = "other"
    else:
        kind = "text"
    return _Column(name, texts, distinct, kind)


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, dt.date):
        return value.isoformat()
    text = str(value).strip()
    return "" if text in {"?", "NA", "N/A", "null", "None", "-"} else text


def _proposals(column: _Column, today: dt.date, at_least: float) -> list[TagProposal]:
    doubt: dict[str, float] = {}
    reasons: dict[str, list[str]] = {}
    for tag, strength, reason in (*_of_name(column), *_of_values(column, today)):
        doubt[tag] = doubt.get(tag, 1.0) * (1 - strength)
        reasons.setdefault(tag, []).append(reason)
    found = [
        TagProposal(column.name, tag, round(1 - left, 2), tuple(reasons[tag]))
        for tag, left in doubt.items()
    ]
    kept = [item for item in found if item.confidence >= at_least]
    return sorted(kept, key=lambda item: (-item.confidence, item.tag))


def _of_name(column: _Column) -> Iterator[_Evidence]:
    # Two values cannot be telephone numbers, whatever the column is called.
    flag = column.kind == "boolean" or (column.kind == "integer" and len(column.distinct) <= 2)
    doubtful = flag and len(column.texts) > 2 * _FEW
    for tag, strength, phrase in name_evidence(column.name):
        if tag in {"sensitive", "special_category", "proxy"}:
            yield tag, strength, f"the name says {phrase!r}"
        elif tag == "quasi_identifier" and phrase == "age" and not _ages(column):
            yield tag, strength * 0.4, f"the name says {phrase!r}, the values are no ages"
        elif doubtful:
            yield tag, strength * 0.3, f"the name says {phrase!r}, of two values"
        else:
            yield tag, strength, f"the name says {phrase!r}"


def _ages(column: _Column) -> bool:
    if column.kind not in {"integer", "number"}:
        return not column.texts
    return all(0 <= float(text) <= 120 for text in column.distinct)


def _of_values(column: _Column, today: dt.date) -> Iterator[_Evidence]:
    if not column.texts or column.kind in {"boolean", "other"}:
        return
    matched = list(_of_patterns(column))
    yield from matched
    if matched:
        return
    if column.kind == "text":
        yield from _of_lists(column)
        prose = list(_of_prose(column))
        yield from prose
        if prose:
            return
    dates = list(_of_dates(column, today))
    yield from dates
    if not dates:
        yield from _of_uniqueness(column)


def _of_patterns(column: _Column) -> Iterator[_Evidence]:
    tried = column.distinct[:_DISTINCT]
    best: dict[str, tuple[float, str]] = {}
    for pattern in patterns():
        if column.kind == "date":
            break
        shaped = [text for text in tried if pattern.shape.fullmatch(text)]
        if len(shaped) < max(_FEW, _SHARE * len(tried)):
            continue
        held = sum(map(pattern.holds, shaped))
        share = held / len(tried)
        if held < _FEW or share < _SHARE:
            continue
        # A check digit that one number in ten passes says little of a few numbers.
        certain = pattern.strength * share * (1 - 0.5 ** (held / 2))
        known = best.get(pattern.tag, (0.0, ""))
        reason = f"{held} of {len(tried)} distinct values: {pattern.what}"
        best[pattern.tag] = max(known, (certain, reason))
    yield from ((tag, strength, reason) for tag, (strength, reason) in best.items())


def _of_lists(column: _Column) -> Iterator[_Evidence]:
    seen = {text.casefold().replace("_", "-") for text in column.distinct}
    if not 2 <= len(seen) <= 40:
        return
    lists: Mapping[str, Mapping[str, list[str]]] = vocabulary()["values"]
    for tag, known in lists.items():
        for what, values in known.items():
            hits = seen & set(values)
            telling = hits - {"other", "unknown", "none", "mixed", "x", "d", "w", "single"}
            if len(telling) >= 2 and len(hits) >= _SHARE * len(seen):
                yield tag, 0.85, f"{len(hits)} of {len(seen)} distinct values are of {what}"


def _of_prose(column: _Column) -> Iterator[_Evidence]:
    words = statistics.median(len(text.split()) for text in column.texts)
    varied = len(column.distinct) / len(column.texts)
    if words >= 5 and varied >= 0.5:
        reason = f"half of the values have {words:g} words or more, {varied:.0%} are distinct"
        yield "free_text", 0.75, reason


def _of_dates(column: _Column, today: dt.date) -> Iterator[_Evidence]:
    matches = [match for text in column.texts if (match := _DATE.fullmatch(text))]
    if len(matches) < max(_FEW, 0.95 * len(column.texts)):
        return
    ages = [today.year - int(match[1] or match[2]) for match in matches]
    if min(ages) >= 0 and max(ages) <= 115 and statistics.median(ages) >= 15:
        spread = max(ages) - min(ages)
        reason = f"{len(ages)} dates in the past, spread over {spread} years"
        yield "birth_date", 0.5 if spread >= 30 else 0.3, reason


def _of_uniqueness(column: _Column) -> Iterator[_Evidence]:
    enough = len(column.texts) >= 20 and column.kind in {"integer", "text"}
    if not enough or len(column.distinct) < len(column.texts):
        return
    yield "identifier", 0.55, f"all of {len(column.texts)} values are distinct"
