"""The digest of a table, recipe ``arrow-table-v1``: the same rows, the same digest, whichever
library holds them.

`_arrow_form` states the canonical form of a column's rows and `_table_tree` how they make a digest.
This module takes data frames apart into named columns:

- pandas: a default RangeIndex is ignored; any other index enters as leading columns under its name,
  or ``index`` (``level_0``, … in a MultiIndex). Column labels are taken as text.
- A series or a lone array is a table of one column under its own name, or ``values``.
- A narwhals frame is the frame that it wraps. A lazy frame is refused: it is a query, not rows.
- A DuckDB relation is run and its rows are taken as they come: see `_table_stream`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from affidavit.errors import FingerprintError, MissingDependencyError
from affidavit.lineage._arrow_form import row_group_leaf, type_name
from affidavit.lineage._table_stream import check_names, is_stream, naming, stream_tree
from affidavit.lineage._table_tree import GROUP_ROWS, TableColumn, TableTree

try:
    import numpy as np
    import pyarrow as pa
except ImportError as error:
    raise MissingDependencyError(error.name or "pyarrow", "frames") from error

if TYPE_CHECKING:
    from affidavit.lineage._digest import Digest, Fingerprint

_THREADS = min(8, os.cpu_count() or 1)
_PARALLEL_ROWS = 20_000

_Column = tuple[str, Callable[[], Any]]


def table_tree(frame: Any, algorithm: str = "sha256") -> TableTree:
    """The digests of a table, per column and per row group.

    Args:
        frame: A pandas or Polars data frame or series, a pyarrow table, record batch, array or
            record batch reader, a DuckDB relation or query result, a narwhals data frame, or any
            object with ``__arrow_c_stream__``. A reader and a query result are read to their end.
        algorithm: The hash algorithm: ``sha256`` or ``blake3``.

    Returns:
        The tree, whose root is the table's digest.

    Raises:
        FingerprintError: The frame is lazy, has two columns of one name, or a column whose values
            have no canonical form; the message names it.
        MissingDependencyError: numpy or pyarrow is not installed.
    """
    if type(frame).__module__.partition(".")[0] == "narwhals" and hasattr(frame, "to_native"):
        frame = frame.to_native()
    if is_stream(frame):
        return stream_tree(frame, algorithm)
    n_rows, columns = _columns_of(frame)
    check_names(name for name, _ in columns)
    hash_column = partial(_hash_column, algorithm=algorithm)
    if n_rows < _PARALLEL_ROWS or len(columns) < 2 or _THREADS < 2:
        done = [hash_column(column) for column in columns]
    else:
        # hashlib, numpy and pyarrow let go of the interpreter lock, so threads do help.
        with ThreadPoolExecutor(_THREADS) as pool:
            done = list(pool.map(hash_column, columns))
    return TableTree(n_rows, tuple(done))


def table_fingerprint(frame: Any, algorithm: str = "sha256") -> Fingerprint:
    """The fingerprint of a table; see `table_tree` for what it takes and refuses."""
    return table_tree(frame, algorithm).fingerprint()


def table_digest(frame: Any, algorithm: str = "sha256") -> Digest:
    """The digest of a table; see `table_tree` for what it takes and refuses."""
    return table_tree(frame, algorithm).digest


def _columns_of(frame: Any) -> tuple[int, list[_Column]]:
    """The number of rows, and each column's name with a function that gives its Arrow data."""
    module = type(frame).__module__.partition(".")[0]
    kind = type(frame).__name__
    if kind == "LazyFrame":
        raise FingerprintError(
            "A lazy frame is a query, not rows, and may give other rows each time it runs.",
            hint="Call .collect() and use the collected frame from there on.",
        )
    if module == "pandas" and kind in {"DataFrame", "Series"}:
        return _pandas_columns(
            frame if kind == "DataFrame" else frame.to_frame(frame.name or "values")
        )
    if isinstance(frame, pa.Array | pa.ChunkedArray):
        return len(frame), [("values", lambda: pa.chunked_array(frame))]
    if module == "polars" and kind == "Series":
        frame = frame.to_frame(frame.name or "values")
    try:
        if module == "polars":
            _refuse_objects(frame)
            table = frame.to_arrow()  # the stream gives views, which few kernels take
        elif isinstance(frame, pa.Table) or hasattr(frame, "__arrow_c_array__"):
            table = pa.table(frame)
        else:
            raise FingerprintError(
                f"Expected a data frame; found {type(frame).__module__}.{kind}.",
                hint="Pass pandas, Polars, Arrow, or an object with __arrow_c_stream__.",
            )
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise FingerprintError(f"{kind} did not give Arrow data: {error}.") from error
    return table.num_rows, [
        (name, partial(table.column, i)) for i, name in enumerate(table.column_names)
    ]


def _refuse_objects(frame: Any) -> None:
    """Polars exports Python objects as their addresses, which mean nothing elsewhere."""
    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        if type(kind).__name__ == "Object" or getattr(kind, "__name__", "") == "Object":
            raise FingerprintError(
                f"Column {name!r} holds Python objects, which have no canonical form.",
                hint="Give the column one type, for example with cast.",
            )


def _pandas_columns(frame: Any) -> tuple[int, list[_Column]]:
    if frame.columns.nlevels > 1:
        raise FingerprintError(
            "A table needs one name per column; found a MultiIndex of columns.",
            hint="Join the levels, for example with frame.columns.map('_'.join).",
        )
    index = frame.index
    columns: list[_Column] = []
    default = type(index).__name__ == "RangeIndex" and index.name is None
    if not (default and index.start == 0 and index.step == 1):
        several = index.nlevels > 1
        for level, label in enumerate(index.names):
            name = f"level_{level}" if several else "index"
            values = index.get_level_values(level).to_series()
            name = name if label is None else str(label)
            columns.append((name, partial(_pandas_array, values)))
    for i, label in enumerate(frame.columns):
        columns.append((str(label), partial(_pandas_array, frame.iloc[:, i])))
    return len(frame), columns


def _pandas_array(series: Any) -> Any:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
        return pa.array(series.to_numpy())  # without a scan for NaN: hashing sees it
    if series.dtype == object:
        kinds = set(map(type, series))
        # pyarrow would take these, but a set has no order, and text is not its bytes.
        if kinds & {set, frozenset} or {str, bytes} <= kinds:
            raise TypeError("it mixes or holds " + ", ".join(sorted(k.__name__ for k in kinds)))
    return pa.array(series, from_pandas=True)


def _hash_column(column: _Column, algorithm: str) -> TableColumn:
    name, load = column
    with naming(name):
        data = load()
        data = pa.chunked_array([data]) if isinstance(data, pa.Array) else data
        kind = type_name(data.type)
        if data.num_chunks > 4 + len(data) // 4096:
            data = pa.chunked_array([data.combine_chunks()])  # slicing many chunks is quadratic
        leaves = bytearray()
        for start in range(0, len(data), GROUP_ROWS):
            group = data.slice(start, GROUP_ROWS)
            array = group.chunk(0) if group.num_chunks == 1 else pa.concat_arrays(group.chunks)
            leaves += row_group_leaf(array, kind, algorithm)
    return TableColumn(name, kind, bytes(leaves), algorithm)
