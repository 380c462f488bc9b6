"""Obligations on a data frame: pandas, Polars or Arrow, through narwhals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affidavit.errors import MissingDependencyError, ObligationError
from affidavit.policies._clean_frame import cleaned, tags_in_metadata
from affidavit.policies._hidden import check_fields, check_index, nested_fields
from affidavit.policies._obligations import (
    AppliedObligation,
    ColumnPlan,
    Plan,
    applied_record,
    check_columns,
    plan,
)
from affidavit.policies._rows import check_cells, check_kept, large_cells, rows_kept
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
    except (TypeError, narwhals.exceptions.NarwhalsError) as error:
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


def _replaced(
    frame: nw.DataFrame[Any], name: str, column: ColumnPlan, keys: Mapping[str, bytes]
) -> nw.DataFrame[Any]:
    """The table with one column changed, as verified."""
    import narwhals

    before = frame[name]
    try:
        values, dtype = _changed(before, column, keys), _dtype(before, column)
        native = before.to_native()
        if dtype == before.dtype and hasattr(native, "iloc"):
            # With its own dtype: pandas has several integers, not all of which take a null.
            series = type(native)(values, index=native.index, dtype=native.dtype, name=name)
            after = narwhals.from_native(series, series_only=True)
        else:
            after = narwhals.new_series(name, values, dtype, backend=frame.implementation)
        frame = frame.with_columns(after)
        _verify(before, frame[name], column)
    except ObligationError:
        raise
    except Exception as error:  # noqa: BLE001  # each library has its own errors for what does not fit
        # Their messages quote values, so they are neither repeated nor chained.
        raise ObligationError(
            f"The obligation {column.kind!r} cannot be met on the column {name!r}: its type "
            f"{before.dtype} does not take the result ({type(error).__name__}).",
            hint="Cast the column to a wider type, or to text.",
        ) from None
    return frame


def _apply_columns(
    frame: nw.DataFrame[Any], merged: Plan, keys: Mapping[str, bytes]
) -> nw.DataFrame[Any]:
    dropped = [n for n, c in merged.columns.items() if c.kind == "drop" and n in frame.columns]
    frame = frame.drop(dropped)
    for name, column in merged.columns.items():
        if column.kind != "drop":
            frame = _replaced(frame, name, column, keys)
    left = [n for n, c in merged.columns.items() if c.kind == "drop" and n in frame.columns]
    if left:
        raise ObligationError(f"The obligation 'drop' does not hold on the column {left[0]!r}.")
    return frame


def _filtered(frame: nw.DataFrame[Any], kept: list[bool]) -> nw.DataFrame[Any]:
    """The table with some of its rows, copied: a slice would carry the others along."""
    return frame if all(kept) else frame.filter(kept)


def _chosen(frame: nw.DataFrame[Any], merged: Plan) -> nw.DataFrame[Any]:
    """The table with the rows that ``keep_rows`` and ``limit_rows`` leave, as verified."""
    if not merged.keeps and merged.rows is None:
        return frame
    kept = rows_kept(len(frame), lambda name: frame[name].to_list(), merged)
    result = _filtered(frame, kept)
    if merged.rows is not None and len(result) > merged.rows:
        raise ObligationError(f"The obligation 'limit_rows' does not hold: {len(result)} rows.")
    for name, wanted in merged.keeps.items():
        check_kept(result[name].to_list(), name, wanted)
    return result


def _suppressed(frame: nw.DataFrame[Any], merged: Plan) -> nw.DataFrame[Any]:
    """The table without the rows of small cells, as verified."""
    cells = merged.cells
    if cells is None:
        return frame
    names = [name for name in cells.columns if name in frame.columns]
    kept = large_cells([frame[name].to_list() for name in names], len(frame), cells)
    result = _filtered(frame, kept)
    check_cells([result[name].to_list() for name in names], len(result), cells)
    return result


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
        caller are returned with ``for_caller``. Where anything changes, metadata other than tags
        are left out, and so are categories that no remaining row has. The order in which
        obligations are met stands in `_rows`.

    Raises:
        ObligationError: An obligation is unknown, cannot be met, or does not hold afterwards; a
            name is duplicated, or looks like a bound one; a bound name stands on a nested field, or
            the index repeats a bound column. No table is handed out then.
        MissingDependencyError: narwhals is not installed.
    """
    asked = tuple(obligations)
    merged = plan(asked)
    if merged.bound:
        check_columns(_names(frame), merged)
    wrapped = _frame(frame)
    if merged.bound:
        check_fields(nested_fields(wrapped), merged.bound)
        check_index(frame, wrapped, merged.columns)
    result = _suppressed(_apply_columns(_chosen(wrapped, merged), merged, keys), merged)
    native = result.to_native()
    if merged.columns or merged.choosy:
        native = cleaned(native, tags_in_metadata(frame), fewer_rows=len(result) < len(wrapped))
    return native, applied_record(asked, wrapped.columns, len(wrapped), len(result))
