"""Where a column may hide from the obligations that bind it: in nested fields, in an index.

An obligation reaches a column by its name at the top of a table. The same name on a field inside a
struct, a list of structs, a map or a mapping would keep its values, and so would a pandas index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from affidavit.errors import ObligationError
from affidavit.policies._obligations import folded
from affidavit.policies._values import is_missing

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["check_fields", "check_index", "nested_fields", "value_fields"]

_DEEPEST = 50


def value_fields(value: object, depth: int = 0) -> Iterator[str]:
    """The names of the fields inside a value: keys of mappings, in lists and tuples as well.

    Raises:
        ObligationError: It is nested too deeply to be looked through.
    """
    if depth > _DEEPEST:
        raise ObligationError(
            f"A value is nested more than {_DEEPEST} deep, and was not looked through.",
            hint="Flatten it first.",
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from value_fields(item, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)
        if pair:  # an entry of an Arrow map
            yield str(value[0])  # type: ignore[index]  # a tuple of two
        for item in value:
            yield from value_fields(item, depth + 1)
    else:
        yield from _declared_fields(value, depth)


def _declared_fields(value: object, depth: int) -> Iterator[str]:
    """The names of an object's own attributes, and what is inside those of a record-like one."""
    kind = type(value)
    if kind.__module__ == "builtins" or hasattr(value, "ndim"):
        return
    inside = getattr(value, "__dict__", None)
    names = list(inside) if isinstance(inside, dict) else []
    like_a_record = [*getattr(kind, "__dataclass_fields__", ()), *getattr(kind, "model_fields", ())]
    yield from map(str, names)
    for name in like_a_record:
        yield str(name)
        yield from value_fields(getattr(value, name, None), depth + 1)


def nested_fields(table: Any) -> Iterator[tuple[str, str]]:
    """Each column with nested fields, and the name of each such field.

    Args:
        table: A pandas or Polars data frame or an Arrow table.
    """
    import narwhals

    try:
        frame = narwhals.from_native(table, eager_only=True)
    except (TypeError, narwhals.exceptions.NarwhalsError) as error:
        raise ObligationError(
            f"A {type(table).__module__}.{type(table).__name__} cannot be looked through: {error}"
        ) from error
    for name, dtype in frame.schema.items():
        yield from ((name, field) for field in _type_fields(dtype))
        opaque = dtype in {narwhals.Object, narwhals.Unknown}
        # narwhals tells text from objects in pandas by the first rows alone.
        native = frame[name].to_native()
        if opaque or getattr(native, "dtype", None) == "object":
            found = {field for value in frame[name].to_list() for field in value_fields(value)}
            yield from ((name, field) for field in sorted(found))


def _type_fields(dtype: Any) -> Iterator[str]:
    for field in getattr(dtype, "fields", None) or ():
        yield str(field.name)
        yield from _type_fields(field.dtype)
    inner = getattr(dtype, "inner", None)
    if inner is not None:
        yield from _type_fields(inner)


def check_fields(fields: Iterable[tuple[str, str]], bound: Iterable[str]) -> None:
    """Refuse data in which a bound name stands where no obligation reaches it.

    Args:
        fields: Pairs of what holds a field, and the field's name.
        bound: The names of the columns that obligations bind.

    Raises:
        ObligationError: It does, or in another spelling.
    """
    looks = {folded(name): name for name in bound}
    for column, field in fields:
        known = looks.get(folded(field))
        if known is not None:
            raise ObligationError(
                f"{column!r} holds the field {field!r}, and the policy binds {known!r}: no "
                f"obligation reaches it there.",
                hint="Make each field a column of its own, under its tagged name.",
            )


def check_index(native: Any, frame: nw.DataFrame[Any], bound: Iterable[str]) -> None:
    """Refuse a pandas frame whose index repeats a bound column's values.

    Args:
        native: The frame as its library has it; other libraries have no index.
        frame: The same, before anything was done to it.
        bound: The columns whose values change or go.

    Raises:
        ObligationError: A level has a bound column's name, equals such a column row by row, or
            shares a text with it.
    """
    index = getattr(native, "index", None)
    if index is None or not hasattr(native, "iloc"):
        return
    _check_level_names(index.names, bound)
    if type(index).__name__ == "RangeIndex":
        return
    for level in range(index.nlevels):
        there = [_plain(v) for v in index.get_level_values(level)]
        texts = {v for v in there if isinstance(v, str | bytes)}
        for name in bound:
            if name not in frame.columns:
                continue
            column = [_plain(v) for v in frame[name].to_list()]
            present = any(v is not None for v in column)
            shared = texts and not texts.isdisjoint(v for v in column if isinstance(v, str | bytes))
            if shared or (present and there == column):
                raise ObligationError(
                    f"The frame's index repeats values of the column {name!r}, which an obligation "
                    f"changes or removes.",
                    hint="Return frame.reset_index(drop=True).",
                )


def _check_level_names(names: Iterable[Any], bound: Iterable[str]) -> None:
    looks = {folded(name) for name in bound}
    for name in names:
        if name is not None and folded(str(name)) in looks:
            raise ObligationError(
                f"The column {name!r} is bound by an obligation, and is the frame's index.",
                hint="Return frame.reset_index().",
            )


def _plain(value: Any) -> Any:
    return None if is_missing(value) else value
