"""The canonical form of a column's rows, part of the recipe ``arrow-table-v1``.

Raw Arrow buffers are not canonical: chunking, slicing, dictionary encoding and ``large_string``
each alter the bytes of an equal table. This is the form that does not depend on them, precisely
enough to be written again from this page; `_table_tree` says how row groups make a digest. All
integers are little-endian and ``||`` is concatenation.

**Row group.** Its data: u64 length of the type name, the type name in UTF-8, u64 number of rows,
then the body.

**Type names.** ``null``, ``bool``, ``int8`` to ``uint64``, ``float16|32|64`` (width and signedness
are kept), ``utf8`` (every string layout), ``binary`` (every binary layout, fixed size too),
``date``, ``time``, ``duration``, ``timestamp`` or ``timestamp[zone]`` (the spellings of UTC become
``UTC``; other zones as spelled), ``decimal[scale]``, ``list<T>`` (every list layout, fixed size
too), ``struct<"a":T,"b":T>`` with names as JSON strings; a map is
``list<struct<"key":K,"value":V>>``. Dictionary and run-end encoding vanish: a categorical is the
column of its values, so unused categories and category order are not covered. The extension types
``arrow.json``, ``arrow.uuid`` and ``arrow.bool8`` count as their storage; others, unions and
calendar intervals are refused.

**Body** of n slots (nothing if n is 0): the validity, then the values. Validity is ``0x00`` if no
slot is null, else ``0x01`` and a bitmap, least significant bit first, 1 for valid, padded with
zeros; a ``null`` column has no body. The values of null slots are zero or empty. Values:
- bool: a bitmap as above. Integers: their bytes. Date: i32 days. Time: i64 nanoseconds.
- float: IEEE 754 bytes. **NaN is null**: pandas, Polars and Arrow convert the one into the other
  when frames pass between them, so a digest that told them apart would change although nobody
  touched the table. The cost: replacing a NaN by a null is not seen. -0.0 becomes 0.0.
- timestamp (UTC instants or naive), duration: the byte ``u``, ``n``, ``m`` or ``s``, then i64. It
  is the first of micro-, nano-, milliseconds and seconds in which every value of the body is a
  whole i64; so the unit in which a library stores them does not matter.
- decimal: 256-bit two's complement of the unscaled value; precision does not matter, scale does.
- utf8, binary: n+1 offsets starting at 0, i32 if the last is below 2**31, else i64; the bytes.
- list: offsets likewise; the body of the items. Struct: the bodies of the fields in order, each
  null where the struct is null.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from affidavit.errors import FingerprintError, MissingDependencyError
from affidavit.lineage._digest import new_hash

try:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise MissingDependencyError(error.name or "pyarrow", "frames") from error

if TYPE_CHECKING:
    from hashlib import _Hash

    from numpy.typing import NDArray

_UTC = frozenset({"UTC", "utc", "Z", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "UCT", "Zulu", "+00:00"})
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
_EXTENSIONS = frozenset({"arrow.json", "arrow.uuid", "arrow.bool8"})
_LISTS = ("list<", "large_list<", "fixed_size_list<", "list_view<", "large_list_view<")
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
# The order in which units are tried for timestamps and durations, and their bytes.
_UNITS = (("us", b"u"), ("ns", b"n"), ("ms", b"m"), ("s", b"s"))
_I64_MAX = 2**63 - 1
_I32_MAX = 2**31 - 1


def row_group_leaf(array: Any, name: str, algorithm: str = "sha256") -> bytes:
    """The Merkle leaf hash of one row group of a column.

    Args:
        array: The rows, a pyarrow array.
        name: The column's canonical type name, from `type_name`.
        algorithm: The hash algorithm, one of 32 bytes.

    Returns:
        The leaf hash, 32 bytes.
    """
    label = name.encode()
    state = new_hash(algorithm)
    state.update(b"\x00" + struct.pack("<Q", len(label)) + label)
    state.update(struct.pack("<Q", len(array)))
    _feed(state, array)
    return state.digest()


def type_name(kind: Any) -> str:  # noqa: C901, PLR0911  # one branch per family of the format
    """The canonical name of an Arrow type.

    Args:
        kind: A pyarrow data type.

    Returns:
        The name, the same for every layout of the same values.

    Raises:
        FingerprintError: The type has no canonical form.
    """
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name in _EXTENSIONS:
        return type_name(kind.storage_type)
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return type_name(kind.value_type)
    if is_.is_null(kind) or is_.is_boolean(kind) or is_.is_integer(kind):
        return str(kind)
    if is_.is_floating(kind):
        return _FLOATS[str(kind)]
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return "utf8"
    if _is_binary(kind) or is_.is_fixed_size_binary(kind):
        return "binary"
    if is_.is_date(kind) or is_.is_time(kind) or is_.is_duration(kind):
        return "date" if is_.is_date(kind) else "time" if is_.is_time(kind) else "duration"
    if is_.is_timestamp(kind):
        zone = "UTC" if kind.tz in _UTC else kind.tz
        return "timestamp" if zone is None else f"timestamp[{zone}]"
    if is_.is_decimal(kind):
        return f"decimal[{kind.scale}]"
    if is_.is_map(kind):
        return f'list<struct<"key":{type_name(kind.key_type)},"value":{type_name(kind.item_type)}>>'
    if str(kind).startswith(_LISTS):
        return f"list<{type_name(kind.value_type)}>"
    if is_.is_struct(kind):
        fields = (f"{json.dumps(f.name, ensure_ascii=False)}:{type_name(f.type)}" for f in kind)
        return f"struct<{','.join(fields)}>"
    raise FingerprintError(
        f"The type {kind} has no canonical form.", hint="Convert the column, or leave it out."
    )


def _is_binary(kind: Any) -> bool:
    is_ = pa.types
    return bool(is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind))


def _feed(state: _Hash, array: Any) -> None:  # noqa: C901, PLR0912  # a branch per family
    """Feeds the body of an array to the hash."""
    kind, is_ = array.type, pa.types
    if len(array) == 0 or is_.is_null(kind):
        return
    if isinstance(kind, pa.BaseExtensionType):
        _feed(state, array.storage)
    elif is_.is_dictionary(kind):
        _feed(state, _decoded(array))
    elif is_.is_run_end_encoded(kind):
        _feed(state, pc.run_end_decode(array))
    elif is_.is_boolean(kind):
        _feed_validity(state, array)
        values = array.fill_null(False).to_numpy(zero_copy_only=False)
        state.update(np.packbits(values, bitorder="little").data)
    elif is_.is_floating(kind):
        _feed_floats(state, array)
    elif is_.is_timestamp(kind) or is_.is_duration(kind):
        valid = _feed_validity(state, array)
        _feed_instants(state, _fixed(array, "<i8", valid), kind.unit)
    elif is_.is_integer(kind):
        _feed_fixed(state, array, f"<{'u' if str(kind)[0] == 'u' else 'i'}{kind.bit_width // 8}")
    elif is_.is_date(kind):
        _feed_fixed(state, array.cast(pa.date32()), "<i4")
    elif is_.is_time(kind):
        _feed_fixed(state, array.cast(pa.time64("ns")), "<i8")
    elif is_.is_decimal(kind):
        _feed_fixed(state, array.cast(pa.decimal256(76, kind.scale)), "V32")
    elif is_.is_struct(kind):
        _feed_validity(state, array)
        for child in array.flatten():  # flatten passes the struct's nulls on to its fields
            _feed(state, child)
    elif is_.is_map(kind):
        pair = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        _feed(state, array.cast(pa.list_(pair)))
    elif str(kind).startswith(_LISTS):
        _feed_validity(state, array)
        lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        _feed_offsets(state, np.concatenate(([0], np.cumsum(lengths, dtype="<i8"))))
        _feed(state, array.flatten())  # flatten leaves out what lies under null lists
    else:
        _feed_bytes(state, array)


def _decoded(array: Any) -> Any:
    """A dictionary array's values; view layouts have no kernel that takes them."""
    values = array.dictionary
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    elif pa.types.is_binary_view(values.type):
        values = values.cast(pa.large_binary())
    return values.take(array.indices)


def _feed_validity(state: _Hash, array: Any) -> NDArray[np.bool_] | None:
    """Feeds the validity; returns it, or None where no slot is null."""
    if array.null_count == 0:
        state.update(b"\x00")
        return None
    valid: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    _feed_bitmap(state, valid)
    return valid


def _feed_bitmap(state: _Hash, valid: NDArray[np.bool_]) -> None:
    state.update(b"\x01")
    state.update(np.packbits(valid, bitorder="little").data)


def _fixed(array: Any, dtype: str, valid: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The values of a fixed-width array, with those of null slots zeroed in a copy."""
    whole = np.frombuffer(array.buffers()[1], dtype=dtype, count=array.offset + len(array))
    values = whole[array.offset :]
    if valid is not None:
        if values.dtype.kind == "V":
            values = values.copy()
            values[~valid] = np.zeros((), dtype)
        else:
            values = np.where(valid, values, values.dtype.type(0))
    return values


def _feed_fixed(state: _Hash, array: Any, dtype: str) -> None:
    valid = _feed_validity(state, array)
    state.update(_fixed(array, dtype, valid).view("u1").data)


def _feed_floats(state: _Hash, array: Any) -> None:
    width = array.type.bit_width // 8
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    values = _fixed(array, f"<f{width}", valid)
    nan = np.isnan(values)
    if nan.any():
        number = ~nan
        valid = number if valid is None else valid & number
        values = np.where(valid, values, values.dtype.type(0))
    bits = values.view(f"<i{width}")
    if bits.min() == np.iinfo(bits.dtype).min:  # the bits of -0.0, below those of all other numbers
        values = values + values.dtype.type(0)
    if valid is None:
        state.update(b"\x00")
    else:
        _feed_bitmap(state, valid)
    state.update(values.view("u1").data)


def _feed_instants(state: _Hash, values: NDArray[np.int64], unit: str) -> None:
    have = _NANOSECONDS[unit]
    for name, mark in _UNITS:
        want = _NANOSECONDS[name]
        if have >= want:
            factor = have // want
            limit = _I64_MAX // factor
            # Written so that the most negative integer cannot overflow.
            if factor == 1 or (values.max() <= limit and values.min() >= -limit):
                state.update(mark)
                state.update((values if factor == 1 else values * factor).view("u1").data)
                return
        else:
            whole = values // (want // have)
            if np.array_equal(whole * (want // have), values):
                state.update(mark)
                state.update(whole.view("u1").data)
                return
    raise FingerprintError(
        f"Values in {unit} fit no unit."
    )  # pragma: no cover  # its own unit does


def _feed_bytes(state: _Hash, array: Any) -> None:
    kind, is_ = array.type, pa.types
    if is_.is_fixed_size_binary(kind) or is_.is_binary_view(kind):
        array = array.cast(pa.large_binary())
    elif is_.is_string_view(kind):
        array = array.cast(pa.large_string())
    valid = _feed_validity(state, array)
    offsets, data = _offsets(array)
    if valid is not None and np.diff(offsets)[~valid].any():
        # Arrow allows bytes under null slots; filling rebuilds the array without them.
        array = array.fill_null(b"" if _is_binary(array.type) else "")
        offsets, data = _offsets(array)
    first, last = int(offsets[0]), int(offsets[-1])
    _feed_offsets(state, offsets - offsets[0] if first else offsets)
    if last > first:
        state.update(memoryview(data)[first:last])


def _offsets(array: Any) -> tuple[NDArray[Any], Any]:
    _, offsets, data = array.buffers()
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    end = array.offset + len(array) + 1
    return np.frombuffer(offsets, dtype="<i8" if large else "<i4", count=end)[array.offset :], data


def _feed_offsets(state: _Hash, offsets: NDArray[Any]) -> None:
    dtype = "<i4" if int(offsets[-1]) <= _I32_MAX else "<i8"
    state.update(offsets.astype(dtype, copy=False).view("u1").data)
