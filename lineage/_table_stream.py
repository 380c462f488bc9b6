"""The digest of a table whose rows come as a stream of record batches, without holding them all.

Batches are cut anew into row groups of 65,536 rows and hashed as they come, so that memory holds a
row group or two and not the table; how a stream was batched does not show in the digest. Whatever
has ``__arrow_c_stream__`` (the Arrow PyCapsule interface) is such a stream.

DuckDB:
- A relation is run for its digest, and again by whoever reads it afterwards: rows count in the
  order in which they come, so a query without an order may have another digest each time.
- The result of ``execute`` can be read once. It is read to its end.
- ``TIMESTAMP WITH TIME ZONE`` is an instant. The zone that DuckDB exports with it is the session's
  and not the table's, so here it counts as UTC. An ``ENUM`` is the column of its values.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

from affidavit.errors import FingerprintError, MissingDependencyError
from affidavit.lineage._arrow_form import row_group_leaf, type_name
from affidavit.lineage._table_tree import GROUP_ROWS, TableColumn, TableTree

try:
    import pyarrow as pa
except ImportError as error:
    raise MissingDependencyError(error.name or "pyarrow", "frames") from error

_THREADS = min(8, os.cpu_count() or 1)
# What has a stream, and is taken whole by `_frames` because its columns are in memory already.
_WHOLE = frozenset({"pandas", "polars"})


def is_stream(frame: Any) -> bool:
    """Whether an object's rows are to be taken as a stream of record batches."""
    if _is_duckdb(frame):
        return True
    if isinstance(frame, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray):
        return False
    if type(frame).__module__.partition(".")[0] in _WHOLE:
        return False
    return hasattr(frame, "__arrow_c_stream__")


def stream_tree(frame: Any, algorithm: str = "sha256") -> TableTree:
    """The digests of a table that comes as a stream, per column and per row group.

    Args:
        frame: An object for which `is_stream` holds.
        algorithm: The hash algorithm.

    Returns:
        The tree, equal to that of the same rows in memory.

    Raises:
        FingerprintError: The stream breaks off, two columns have one name, or a column has no
            canonical form.
    """
    with _reading(frame):
        reader = _reader(frame)
        schema = reader.schema
    check_names(schema.names)
    kinds = []
    for field in schema:
        with naming(field.name):
            # A zone is part of a type's name alone; the values are instants under any.
            kinds.append(type_name(_utc_type(field.type) if _is_duckdb(frame) else field.type))
    leaves = [bytearray() for _ in kinds]
    n_rows = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for group in _row_groups(frame, reader, schema):
            n_rows += group.num_rows
            made = _hash_group(pool, group, kinds, algorithm)
            for own, leaf in zip(leaves, made, strict=True):
                own.extend(leaf)
    columns = zip(schema.names, kinds, leaves, strict=True)
    return TableTree(
        n_rows, tuple(TableColumn(name, kind, bytes(own), algorithm) for name, kind, own in columns)
    )


def check_names(names: Iterable[str]) -> None:
    """Refuse column names of which one stands twice.

    Raises:
        FingerprintError: One does.
    """
    doubles = sorted(name for name, n in Counter(names).items() if n > 1)
    if doubles:
        raise FingerprintError(
            f"A table needs distinct column names; found more than once: {', '.join(doubles)}.",
            hint="Rename the columns (an index counts as a column), or reset the index.",
        )


@contextlib.contextmanager
def naming(column: str) -> Iterator[None]:
    """Turn what goes wrong inside into an error that names the column."""
    try:
        yield
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise FingerprintError(
            f"Column {column!r} has no canonical form: {str(error).rstrip('.')}.",
            hint="Give the column one type, for example with astype.",
        ) from error
    except FingerprintError as error:
        raise FingerprintError(f"Column {column!r}: {error.message}", hint=error.hint) from error


def _is_duckdb(frame: Any) -> bool:
    kind = type(frame)
    return kind.__module__.partition(".")[0] in {"duckdb", "_duckdb"} and kind.__name__ in {
        "DuckDBPyRelation",
        "DuckDBPyConnection",
    }


def _reader(frame: Any) -> Any:
    if _is_duckdb(frame):
        # Before version 2 the method had the other name.
        read = getattr(frame, "to_arrow_reader", None) or frame.fetch_record_batch
        return read(GROUP_ROWS)
    if isinstance(frame, pa.RecordBatchReader):
        return frame
    return pa.RecordBatchReader.from_stream(frame)


@contextlib.contextmanager
def _reading(frame: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a query may fail with anything, at any batch
        what = str(error).strip().partition("\n")[0].rstrip(".")
        raise FingerprintError(
            f"The {type(frame).__name__} did not give its rows: {what}.",
            hint="Run the query by itself; a result that was read already gives no rows again.",
        ) from error


def _row_groups(frame: Any, reader: Any, schema: Any) -> Iterator[Any]:
    """Cut the batches of a reader anew, into tables of 65,536 rows; the last may be shorter."""
    waiting: list[Any] = []
    rows = 0
    batches = iter(reader)
    while True:
        with _reading(frame):
            batch = next(batches, None)
        if batch is None:
            break
        while batch.num_rows:
            part = batch.slice(0, GROUP_ROWS - rows)
            batch = batch.slice(part.num_rows)
            waiting.append(part)
            rows += part.num_rows
            if rows == GROUP_ROWS:
                yield pa.Table.from_batches(waiting, schema)
                waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _hash_group(pool: Executor, group: Any, kinds: list[str], algorithm: str) -> Iterator[bytes]:
    hash_one = partial(_hash_part, algorithm=algorithm)
    return pool.map(hash_one, group.column_names, group.columns, kinds)


def _hash_part(name: str, column: Any, kind: str, algorithm: str) -> bytes:
    with naming(name):
        array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        return row_group_leaf(array, kind, algorithm)


def _utc_type(kind: Any) -> Any:
    """A type with every time zone in it replaced by UTC."""
    is_ = pa.types
    if is_.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    if is_.is_map(kind):
        return pa.map_(_utc_type(kind.key_type), _utc_type(kind.item_type))
    if is_.is_struct(kind):
        return pa.struct([pa.field(f.name, _utc_type(f.type), f.nullable) for f in kind])
    if is_.is_fixed_size_list(kind):
        return pa.list_(_utc_field(kind.value_field), kind.list_size)
    if is_.is_large_list(kind):
        return pa.large_list(_utc_field(kind.value_field))
    return pa.list_(_utc_field(kind.value_field)) if is_.is_list(kind) else kind


def _utc_field(field: Any) -> Any:
    return pa.field(field.name, _utc_type(field.type), field.nullable)
