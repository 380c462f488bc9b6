"""What a table tells beside its values: metadata, and categories that no row has any more.

A data frame's attributes and an Arrow table's schema metadata are copied along when columns change,
and pandas writes the one into the other. Lists of categories outlive the rows that had them. Both
would hand out what an obligation took away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["TAGS_KEY", "cleaned", "tags_in_metadata"]

TAGS_KEY = "affidavit:tags"
"""Key of a column's tags: a JSON array of words as Arrow field metadata (and so in Parquet), or in
a pandas frame's ``attrs`` a mapping from column names to such arrays."""


def _words(value: object) -> list[str]:
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except ValueError:
            # What cannot be read is a tag that nobody declared, which the policy refuses.
            return ["unreadable"]
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        return ["unreadable"]
    return list(value)


def tags_in_metadata(frame: Any) -> dict[str, list[str]]:
    """The tags that a table's own metadata give its columns.

    Arrow: field metadata ``affidavit:tags``, a JSON array of words such as ``["identifier"]``, on
    nested fields too. pandas: ``frame.attrs["affidavit:tags"]``, a mapping from columns to words,
    which pandas writes into Parquet files. Polars keeps no metadata.

    Args:
        frame: A pandas frame or an Arrow table; anything else has no tags.

    Returns:
        Tags by column or nested field. Metadata that are there and cannot be read give the tag
        ``unreadable``, which no policy knows.
    """
    schema = getattr(frame, "schema", None)
    if schema is not None and hasattr(schema, "metadata"):
        found = _pandas_tags(schema)
        for field in schema:
            _field_tags(field, found)
        return found
    attributes = getattr(frame, "attrs", None)
    if isinstance(attributes, Mapping) and TAGS_KEY in attributes:
        return _by_column(attributes[TAGS_KEY], getattr(frame, "columns", ()))
    return {}


def _field_tags(field: Any, found: dict[str, list[str]]) -> None:
    given = (field.metadata or {}).get(TAGS_KEY.encode())
    if given is not None:
        found[field.name] = sorted({*found.get(field.name, []), *_words(given)})
    for place in range(field.type.num_fields):
        _field_tags(field.type.field(place), found)


def _by_column(given: object, columns: Any) -> dict[str, list[str]]:
    if not isinstance(given, Mapping):
        return {str(name): ["unreadable"] for name in columns}
    return {str(name): _words(words) for name, words in given.items()}


def _pandas_tags(schema: Any) -> dict[str, list[str]]:
    """The tags in attributes that pandas wrote into a schema's metadata."""
    raw = (schema.metadata or {}).get(b"pandas", b"")
    if TAGS_KEY.encode() not in raw:
        return {}
    try:
        known = json.loads(raw)
    except ValueError:
        return _by_column(None, schema.names)
    attributes = known.get("attributes") if isinstance(known, dict) else None
    if not isinstance(attributes, dict) or TAGS_KEY not in attributes:
        return {}
    return _by_column(attributes[TAGS_KEY], schema.names)


def cleaned(native: Any, tags: Mapping[str, list[str]], *, fewer_rows: bool) -> Any:
    """The table without metadata other than tags, and without categories that no row has.

    Args:
        native: A pandas or Polars frame or an Arrow table; it is not changed.
        tags: The tags that stay, by column.
        fewer_rows: Whether rows were removed, so that categories may be left over.
    """
    library = type(native).__module__.partition(".")[0]
    if library == "pyarrow":
        return _clean_arrow(native, tags, fewer_rows=fewer_rows)
    if library == "polars":
        return _clean_polars(native) if fewer_rows else native
    if hasattr(native, "attrs") and hasattr(native, "iloc"):
        return _clean_pandas(native, tags, fewer_rows=fewer_rows)
    return native


def _clean_arrow(table: Any, tags: Mapping[str, list[str]], *, fewer_rows: bool) -> Any:
    import pyarrow as pa

    columns, fields = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        whole = column
        if fewer_rows and pa.types.is_dictionary(field.type):
            plain = column.cast(field.type.value_type).combine_chunks()
            whole = pa.chunked_array([plain.dictionary_encode()])
        columns.append(whole)
        own = {TAGS_KEY: json.dumps(tags[field.name])} if field.name in tags else None
        fields.append(pa.field(field.name, whole.type, field.nullable, own))
    return type(table).from_arrays(columns, schema=pa.schema(fields))


def _clean_polars(frame: Any) -> Any:
    import polars as pl

    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Enum):
            seen = set(frame[name].drop_nulls().unique().cast(pl.String).to_list())
            left = [category for category in dtype.categories.to_list() if category in seen]
            column = frame[name].cast(pl.String).cast(pl.Enum(left))
            frame = frame.with_columns(column)
    return frame


def _clean_pandas(frame: Any, tags: Mapping[str, list[str]], *, fewer_rows: bool) -> Any:
    result = frame.copy(deep=False)
    result.attrs = {}
    present = set(map(str, result.columns))
    kept = {name: words for name, words in tags.items() if name in present}
    if kept:
        result.attrs[TAGS_KEY] = kept
    if result.columns.name is not None:
        result.columns = result.columns.rename(None)
    if not fewer_rows:
        return result
    for name in result.columns:
        if type(result[name].dtype).__name__ == "CategoricalDtype":
            result[name] = result[name].cat.remove_unused_categories()
    index = result.index
    if hasattr(index, "remove_unused_levels"):
        result.index = index.remove_unused_levels()
    elif hasattr(index, "remove_unused_categories"):
        result.index = index.remove_unused_categories()
    return result
