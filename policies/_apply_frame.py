"""Obligations on a data frame: pandas, Polars or Arrow, through narwhals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affidavit.errors import MissingDependencyError, ObligationError
from affidavit.policies._obligations import (
    AppliedObligation,
    ColumnPlan,
    Plan,
    check_columns,
    merge_obligations,
    plan,
)
from affidavit.policies._values import MASK, find_key, generalised, is_missing, masked, pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import narwhals as nw

    from affidavit.policies._decision import Obligation

__all__ = ["apply_obligations"]


def _names(frame: Any) -> list[str]:
    names = getattr(frame, "column_names", None)  # Arrow
    found = list(frame.columns if names is None else names)
    if not all(isinstance(name, str) for name in found):
        raise ObligationError(
            "The frame has columns whose names are not text, so no obligation can name them.",
            hint="Rename them, for instance with frame.columns = frame.columns.astype(str).",
        )
    return found


def _frame(native: Any) -> nw.DataFrame[Any]:
    try:
        import narwhals
    except ImportError as error:
        raise MissingDependencyError("narwhals", "frames") from error
    try:
        return narwhals.from_native(native, eager_only=True)
    except TypeError as error:
        raise ObligationError(
            f"Obligations are applied to pandas, Polars and Arrow tables; found "
            f"{type(native).__module__}.{type(native).__name__}."
        ) from error


def _dtype(series: nw.Series[Any], column: ColumnPlan) -> Any:
    """The type that the column has afterwards; None leaves it to the values."""
    import narwhals

    dtype = series.dtype
    if column.kind == "pseudonymise":
        return narwhals.String()
    keeps = dtype.is_numeric() or dtype in {narwhals.Date, narwhals.Boolean}
    if keeps or isinstance(dtype, narwhals.Datetime):
        return dtype
    return narwhals.String()


def _generalised(value: Any, column: ColumnPlan, name: str, *, as_text: bool) -> Any:
    result = generalised(value, column.parameters, name)
    if not as_text or isinstance(result, str):
        return result
    if "unit" in column.parameters:
        return f"{result.year:04d}"
    raise ObligationError(
        f"The column {name!r} holds numbers of mixed types, which cannot be put into bands.",
        hint="Cast it to one numeric type first.",
    )


def _changed(series: nw.Series[Any], column: ColumnPlan, keys: Mapping[str, bytes]) -> list[Any]:
    """The new values; equal ones are computed once."""
    values = [None if is_missing(value) else value for value in series.to_list()]
    name = series.name
    as_text = _dtype(series, column).__class__.__name__ == "String"
    if column.kind == "mask":
        return [None if v is None else MASK if as_text else masked(v) for v in values]
    key = find_key(keys, column.parameters["key"]) if column.kind == "pseudonymise" else b""
    known: dict[Any, Any] = {None: None}
    out = []
    for value in values:
        # 1, 1.0 and True are equal as keys of a dict, and have different pseudonyms.
        memo = (type(value), value) if value is not None else None
        try:
            if memo not in known:
                known[memo] = (
                    pseudonym(value, key)
                    if column.kind == "pseudonymise"
                    else _generalised(value, column, name, as_text=as_text)
                )
            out.append(known[memo])
        except TypeError as error:
            raise ObligationError(
                f"{column.kind!r} is not for {type(value).__name__}, which {name!r} holds."
            ) from error
    return out


def _verify(before: nw.Series[Any], after: nw.Series[Any], column: ColumnPlan) -> None:
    """Hold the data that will be handed out against the obligation."""
    old = [None if is_missing(value) else value for value in before.to_list()]
    new = [None if is_missing(value) else value for value in after.to_list()]
    holds = len(old) == len(new) and all(
        (a is None) is (b is None) for a, b in zip(old, new, strict=True)
    )
    present = [value for value in new if value is not None]
    if column.kind == "mask":
        holds = holds and len(set(present)) <= 1 and all(v == masked(v) for v in present[:1])
    elif column.kind == "pseudonymise":
        originals = {str(value) for value in old if value is not None}
        holds = holds and originals.isdisjoint(present)
        holds = holds and all(isinstance(value, str) and len(value) == 64 for value in present)
    else:
        holds = holds and all(
            generalised(value, column.parameters, after.name) == value for value in set(present)
        )
    if not holds:
        raise ObligationError(
            f"The obligation {column.kind!r} does not hold on the column {after.name!r}.",
            hint="The data were not handed out.",
        )


def _apply_columns(
    frame: nw.DataFrame[Any], merged: Plan, keys: Mapping[str, bytes]
) -> nw.DataFrame[Any]:
    import narwhals

    dropped = [n for n, c in merged.columns.items() if c.kind == "drop" and n in frame.columns]
    frame = frame.drop(dropped)
    for name, column in merged.columns.items():
        if column.kind == "drop":
            continue
        before = frame[name]
        after = narwhals.new_series(
            name,
            _changed(before, column, keys),
            _dtype(before, column),
            backend=frame.implementation,
        )
        frame = frame.with_columns(after)
        _verify(before, frame[name], column)
    return frame


def apply_obligations(
    frame: Any, obligations: Iterable[Obligation], *, keys: Mapping[str, bytes]
) -> tuple[Any, tuple[AppliedObligation, ...]]:
    """Meet obligations on a table, and verify on the result that they hold.

    Args:
        frame: A pandas or Polars data frame or an Arrow table, of shape (n_samples, n_columns); it
            is not changed.
        obligations: What the decision asks; conflicts merge to the strictest (`merge_obligations`).
        keys: Keys for pseudonyms, by name. No key appears in any result or error.

    Returns:
        A table of the same library, and what was done. Nulls stay null. A mask keeps the type of
        numbers, booleans and dates and makes text of the rest. Columns under
        ``exclude_as_feature`` stay in the table and are named in the second part; flags for the
        caller are returned with ``for_caller``.

    Raises:
        ObligationError: An obligation is unknown, cannot be met, or does not hold afterwards; a
            name is duplicated, or looks like a bound one. No table is handed out then.
        MissingDependencyError: narwhals is not installed.
    """
    asked = tuple(obligations)
    merged = plan(asked)
    wrapped_names = _names(frame) if merged.columns or merged.excluded else None
    if wrapped_names is not None:
        check_columns(wrapped_names, merged)
    wrapped = _frame(frame)
    rows = len(wrapped)
    present = set(wrapped.columns)
    result = wrapped if merged.rows is None else wrapped.head(merged.rows)
    if merged.rows is not None and len(result) > merged.rows:
        raise ObligationError(f"The obligation 'limit_rows' does not hold: {len(result)} rows.")
    result = _apply_columns(result, merged, keys)
    left = [n for n, c in merged.columns.items() if c.kind == "drop" and n in result.columns]
    if left:
        raise ObligationError(f"The obligation 'drop' does not hold on the column {left[0]!r}.")
    flags = set(merged.flags)
    applied = tuple(
        AppliedObligation(
            obligation.kind,
            tuple(name for name in obligation.columns if name in present),
            obligation.parameters,
            rows,
            len(result),
            for_caller=obligation.kind in flags,
        )
        for obligation in merge_obligations(asked)
    )
    return result.to_native(), applied
