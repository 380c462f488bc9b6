"""The column names of a data frame of any library, and where tagged columns may hide."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from affidavit.errors import ObligationError
from affidavit.policies import check_fields, nested_fields


def column_names(frame: Any) -> list[str] | None:
    """Return the column names of a data frame of any library, or None where it is none."""
    names = getattr(frame, "column_names", None)
    if names is None:
        names = getattr(frame, "columns", None)
    if names is None or callable(names):
        return None
    return [str(name) for name in names]


_COLLECTED = {
    "dask": "frame.compute()",
    "duckdb": "relation.arrow()",
    "_duckdb": "relation.arrow()",
    "ibis": "table.to_pyarrow()",
    "pyspark": "frame.toPandas()",
    "sqlframe": "frame.toPandas()",
}


def how_to_collect(frame: Any) -> str:
    """Return the call that makes rows of a frame that is still a query; empty where it has rows."""
    kind = type(frame)
    library = kind.__module__.partition(".")[0].removesuffix("_expr")
    if library in _COLLECTED:
        return _COLLECTED[library]
    return "frame.collect()" if kind.__name__ == "LazyFrame" else ""


def row_count(frame: Any) -> int:
    """Return how many rows a data frame has."""
    # Arrow states it; of the others it is the length.
    rows = getattr(frame, "num_rows", None)
    return int(rows) if isinstance(rows, int) else len(frame)


def check_tagged(frame: Any, names: list[str], tags: Mapping[str, list[str]]) -> None:
    """Refuse a frame in which a tagged column is where the policy would not see it.

    Raises:
        ObligationError: It is in the index, is a field inside another column or one level of a
            name, or stands under a name that differs from the tagged one only by case, white space
            or Unicode normal form.
    """
    tagged = {_folded(name): name for name, given in tags.items() if given}
    if not tagged:
        return
    for level in getattr(getattr(frame, "index", None), "names", None) or ():
        if level is not None and _folded(str(level)) in tagged:
            raise ObligationError(
                f"The tagged column {level!r} is the frame's index, which no obligation reaches.",
                hint="Return frame.reset_index().",
            )
    for name in names:
        known = tagged.get(_folded(name))
        if known is not None and name not in tags:
            raise ObligationError(
                f"The column {name!r} looks like {known!r}, which is tagged, and has no tags.",
                hint="Rename the column, or tag this name too.",
            )
    bound = list(tagged.values())
    check_fields(nested_fields(frame), bound)
    labels = getattr(frame, "columns", ())
    parts = (
        (str(label), str(part)) for label in labels if isinstance(label, tuple) for part in label
    )
    check_fields(parts, bound)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
