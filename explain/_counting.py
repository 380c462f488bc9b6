"""One pass over the rows: narrow codes per sensitive column, and one table of joint cells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from affidavit.errors import FairnessError
from affidavit.explain._rates import MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_GROUPS = 10_000
# Rows per block: the block's codes stay in the processor's cache.
_BLOCK = 1 << 17
# Joint cells that are counted in one dense table; more are sorted instead.
_DENSE = 1 << 18


@dataclass(frozen=True)
class Codes:
    """A sensitive column as small integers.

    Args:
        rows: One code per row, -1 where the value is missing.
        labels: The text of each code.
    """

    rows: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Cells:
    """Observed combinations of sensitive values, with what was counted in each.

    Args:
        codes: (n_cells, n_features), -1 where the value is missing.
        outcomes: Rows or weights, (n_cells, 4): true label 0 or 1, by prediction 0 or 1.
        squares: Sum of squared weights, (n_cells,), or None.
        above: Rows or weights scoring above the median, (n_cells,), or None.
    """

    codes: np.ndarray
    outcomes: np.ndarray
    squares: np.ndarray | None
    above: np.ndarray | None


def encode(column: Any, name: str) -> Codes:
    """The column's values as codes, whatever library holds them.

    Args:
        column: A pandas, Polars or Arrow column, an array or a list.
        name: How to call it in an error.

    Returns:
        Codes in the narrowest integer type.

    Raises:
        FairnessError: It has too many values, is no column, or two values read the same.
    """
    values, dictionary = _dictionary(column, name)
    if len(dictionary) > MOST_GROUPS:
        raise FairnessError(
            f"Expected at most {MOST_GROUPS} groups in {name!r}, found {len(dictionary)}.",
            hint="Bin a continuous column into bands first.",
        )
    labels = [_label(v) for v in dictionary]
    present = [label for label in labels if label is not None]
    twice = sorted(label for label, count in Counter(present).items() if count > 1)
    if twice or MISSING in present:
        raise FairnessError(
            f"Two values of {name!r} have the same text: {twice or [MISSING]}.",
            hint="Give the column one type, and its missing values no name of their own.",
        )
    narrow = np.int8 if len(labels) < 128 else np.int16 if len(labels) < 32_768 else np.int32
    values = values.astype(narrow, copy=False)
    if len(present) < len(labels):
        # A value that means missing (NaN in a dictionary) joins those that are.
        table = np.cumsum([label is not None for label in labels]) - 1
        table[[label is None for label in labels]] = -1
        values = np.append(table, -1).astype(narrow)[values]
    return Codes(values, tuple(present))


def _dictionary(column: Any, name: str) -> tuple[np.ndarray, list[Any]]:
    """One code per row and the value of each code; -1 where there is none."""
    if isinstance(column, pd.Series) and isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), list(column.cat.categories)
    array = _arrow(column, name)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    indices = array.indices
    if indices.null_count:
        indices = indices.cast(pa.int32()).fill_null(-1)
    return indices.to_numpy(zero_copy_only=False), array.dictionary.to_pylist()


def _arrow(column: Any, name: str) -> Any:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    raw = column
    try:
        if not isinstance(column, np.ndarray | list | tuple):
            try:
                return nw.from_native(column, series_only=True).to_arrow()
            except TypeError:
                raw = np.asarray(column)
        if isinstance(raw, np.ndarray) and raw.ndim != 1:
            raise FairnessError(f"Expected {name!r} as one column, found shape {raw.shape}.")
        return pa.array(raw, from_pandas=True)
    except pa.ArrowException as error:
        raise FairnessError(
            f"Expected values of one type in {name!r}: {error}",
            hint="Turn the column into text first.",
        ) from error


def _label(value: Any) -> str | None:
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124  # NaN is the one value that differs from itself
            return None
        # A column of integers with a gap is a column of floats to pandas.
        if value.is_integer():
            return str(int(value))
    return str(value.item() if hasattr(value, "item") else value)


def positives(column: Any, name: str, positive: Any) -> np.ndarray:
    """Which rows hold the positive label, as a boolean array.

    Args:
        column: Labels of at most two kinds.
        name: How to call it in an error.
        positive: The positive label.

    Returns:
        Shape (n,).

    Raises:
        FairnessError: A label is missing, or there is more than one label beside the positive.
    """
    array = column if isinstance(column, np.ndarray) else _plain(column, name)
    if array.ndim != 1:
        raise FairnessError(f"Expected {name} as one column, found shape {array.shape}.")
    if array.dtype.kind not in "biuf":
        codes = encode(array if isinstance(column, np.ndarray) else column, name)
        if len(codes.rows) and codes.rows.min() < 0:
            raise FairnessError(f"Expected a label in every row of {name}, found missing ones.")
        wanted = _label(positive)
        others = [label for label in codes.labels if label != wanted]
        if len(others) > 1:
            _not_binary(name, positive, others)
        at = codes.labels.index(wanted) if wanted in codes.labels else -1
        return np.asarray(codes.rows == at)
    found = array == positive
    if not isinstance(found, np.ndarray):
        found = np.zeros(len(array), dtype=bool)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FairnessError(f"Expected a label in every row of {name}, found NaN.")
    rest = array[int(found.argmin())] if not found.all() else None
    if rest is not None and np.count_nonzero(array == rest) + np.count_nonzero(found) < len(array):
        _not_binary(name, positive, [v.item() for v in np.unique(array[~found][:_BLOCK])])
    return np.asarray(found)


def _not_binary(name: str, positive: Any, others: Sequence[Any]) -> None:
    raise FairnessError(
        f"Expected the label {positive!r} and one other in {name}, found {list(others)[:5]} "
        "beside it.",
        hint="Say which label is positive with positive=, and turn scores into labels first.",
    )


def numbers(column: Any, name: str, n: int) -> np.ndarray:
    """Finite float64 numbers, (n,).

    Raises:
        FairnessError: Another length, or a value that is no finite number.
    """
    try:
        array = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FairnessError(f"Expected numbers in {name}, found {error}.") from error
    if array.shape != (n,):
        raise FairnessError(f"Expected {n} values in {name}, found shape {array.shape}.")
    if not np.isfinite(array).all():
        raise FairnessError(f"Expected finite numbers in {name}, found NaN or infinity.")
    return array


def _plain(column: Any, name: str) -> np.ndarray:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        series = column
    else:
        try:
            series = nw.from_native(column, series_only=True).to_arrow()
        except TypeError:
            return np.asarray(column)
    if series.null_count:
        raise FairnessError(f"Expected a label in every row of {name}, found missing ones.")
    plain: np.ndarray = (
        series.to_numpy()
        if isinstance(series, pa.ChunkedArray)
        else series.to_numpy(zero_copy_only=False)
    )
    return plain


def count(
    columns: Sequence[Codes],
    truth: np.ndarray | None,
    predicted: np.ndarray,
    weights: np.ndarray | None,
    above: np.ndarray | None,
) -> Cells:
    """Every observed combination of the columns' values, counted in one pass.

    Args:
        columns: Sensitive columns of n rows.
        truth: Positive true labels, (n,), or None.
        predicted: Positive predictions, (n,).
        weights: Weights, (n,), or None.
        above: Rows scoring above the median, (n,), or None.

    Returns:
        The cells that hold rows.
    """
    widths = [len(c.labels) + 1 for c in columns]
    size = int(np.prod(widths, dtype=object))
    joint = None
    keys = np.arange(size) if size <= _DENSE else np.empty(0, np.int64)
    if size > _DENSE:
        if size > 2**62:
            raise FairnessError(
                f"Expected sensitive columns with fewer combinations, found {widths} values."
            )
        keys, joint = np.unique(_joint(columns, widths, slice(None)), return_inverse=True)
        if len(keys) > MOST_GROUPS:
            _too_many(len(keys))
    kinds = len(keys)
    outcomes = np.zeros(kinds * 4)
    rows = np.zeros(kinds, dtype=np.int64)
    squares = None if weights is None else np.zeros(kinds)
    over = None if above is None else np.zeros(kinds)
    for start in range(0, len(predicted), _BLOCK):
        block = slice(start, start + _BLOCK)
        cell = _joint(columns, widths, block) if joint is None else joint[block]
        outcome = cell * 4 + predicted[block]
        if truth is not None:
            outcome += truth[block].view(np.uint8) * np.uint8(2)
        weight = None if weights is None else weights[block]
        outcomes += np.bincount(outcome, weights=weight, minlength=kinds * 4)
        if weight is not None and squares is not None:
            squares += np.bincount(cell, weights=weight**2, minlength=kinds)
            rows += np.bincount(cell, minlength=kinds)
        if over is not None and above is not None:
            part = above[block] if weight is None else above[block] * weight
            over += np.bincount(cell, weights=part, minlength=kinds)
    table = outcomes.reshape(kinds, 4)
    held = table.sum(axis=1) > 0 if weights is None else rows > 0
    if np.count_nonzero(held) > MOST_GROUPS:
        _too_many(int(np.count_nonzero(held)))
    codes = np.empty((int(held.sum()), len(columns)), dtype=np.int64)
    remaining = keys[held]
    for position in range(len(columns) - 1, -1, -1):
        remaining, codes[:, position] = np.divmod(remaining, widths[position])
    return Cells(
        codes - 1,
        table[held],
        None if squares is None else squares[held],
        None if over is None else over[held],
    )


def _joint(columns: Sequence[Codes], widths: Sequence[int], block: slice) -> np.ndarray:
    # Mixed radix; code 0 stands for missing.
    cell = columns[0].rows[block].astype(np.intp)
    cell += 1
    for column, width in zip(columns[1:], widths[1:], strict=True):
        cell *= width
        cell += column.rows[block]
        cell += 1
    return cell


def _too_many(found: int) -> None:
    raise FairnessError(
        f"Expected at most {MOST_GROUPS} groups, found {found} combinations.",
        hint="Leave columns out, join rare values, or pass intersections=False.",
    )
