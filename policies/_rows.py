"""Which rows an obligation lets through, over columns as lists of values.

The order in which obligations are met is fixed:

1. ``keep_rows`` reads the values as they came, so that a column may say who consented and be masked
   all the same;
2. ``limit_rows`` takes the first of what is left;
3. the obligations on columns change the values;
4. ``suppress_small_cells`` counts what will be handed out, and nothing comes after it, for any
   later removal could make a cell small again.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

from affidavit.errors import ObligationError
from affidavit.policies._values import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from affidavit.policies._obligations import CellPlan, Plan

__all__ = ["check_cells", "check_kept", "large_cells", "rows_kept"]


def value_text(value: object) -> str | None:
    """The text by which ``keep_rows`` knows a value: ``true``, ``7``, ``2026-01-31``, or itself.

    None where the value is missing or has no such text; its row is then not kept.
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return None
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:
        return "true" if value else "false"
    if isinstance(value, int | float | decimal.Decimal):
        whole = math.isfinite(value) and value == int(value)
        return str(int(value)) if whole else str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return None


def rows_kept(rows: int, column: Callable[[str], Sequence[Any]], merged: Plan) -> list[bool]:
    """Which rows stay after ``keep_rows`` and ``limit_rows``.

    Args:
        rows: Number of rows.
        column: Gives a column's values by its name.
        merged: The obligations.
    """
    kept = [True] * rows
    for name, values in merged.keeps.items():
        wanted = frozenset(values)
        kept = [
            stays and value_text(value) in wanted
            for stays, value in zip(kept, column(name), strict=True)
        ]
    if merged.rows is None:
        return kept
    left = merged.rows
    for place, stays in enumerate(kept):
        kept[place] = stays and left > 0
        left -= stays
    return kept


def check_kept(values: Sequence[Any], name: str, wanted: Sequence[str]) -> None:
    """Hold the values of the rows that stayed against ``keep_rows``.

    Raises:
        ObligationError: A row is left whose value is not among those wanted.
    """
    if {value_text(value) for value in values} - set(wanted):
        raise ObligationError(
            f"The obligation 'keep_rows' does not hold on the column {name!r}.",
            hint="The data were not handed out.",
        )


def large_cells(columns: Sequence[Sequence[Any]], rows: int, cells: CellPlan) -> list[bool]:
    """Which rows have a combination of values that occurs at least ``k`` times.

    Args:
        columns: The columns' values, as they will be handed out; dropped ones are left out.
        rows: Number of rows.
        cells: The obligation. A missing value is a value of its own.

    Raises:
        ObligationError: More than ``max_share`` of the rows would go, or a value cannot be
            compared.
    """
    keys = _keys(columns, rows)
    try:
        counts = Counter(keys)
    except TypeError as error:
        raise ObligationError(
            f"The obligation 'suppress_small_cells' cannot count the values of "
            f"{', '.join(map(repr, cells.columns))}: one is a list or a mapping."
        ) from error
    kept = [counts[key] >= cells.k for key in keys]
    removed = rows - sum(kept)
    if removed > cells.max_share * rows:
        raise ObligationError(
            f"The obligation 'suppress_small_cells' would remove {removed} of {rows} rows, more "
            f"than the share of {cells.max_share:g} that the policy lets go.",
            hint="Generalise the columns further, or read more rows.",
        )
    return kept


def check_cells(columns: Sequence[Sequence[Any]], rows: int, cells: CellPlan) -> None:
    """Count the cells of the result again, by sorting, and hold them against ``k``.

    Raises:
        ObligationError: A combination occurs fewer than ``k`` times.
    """
    written = sorted(repr(key) for key in _keys(columns, rows))
    if any(len(list(same)) < cells.k for _, same in groupby(written)):
        raise ObligationError(
            "The obligation 'suppress_small_cells' does not hold on the result.",
            hint="The data were not handed out.",
        )


def _keys(columns: Sequence[Sequence[Any]], rows: int) -> list[tuple[Any, ...]]:
    # With its type, for 1, 1.0 and True are equal and may stand in one column of objects.
    told = [
        [None if is_missing(v) else (type(v).__name__, v) for v in values] for values in columns
    ]
    return list(zip(*told, strict=True)) if told else [()] * rows
