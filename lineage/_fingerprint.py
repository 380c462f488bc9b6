"""The fingerprint of anything: one function finds the recipe that an object's type calls for.

Small values have the recipe ``json-v1``: SHA-256 over compact JSON in UTF-8 with sorted keys and
non-ASCII kept. Bytes have ``bytes-v1``: SHA-256 over the bytes.

No library is imported to look at an object: a type tells by its module's name where it belongs.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import Digest, Fingerprint
from affidavit.lineage._strict_json import dump_json

if TYPE_CHECKING:
    from affidavit.lineage._file_cache import FileCache

JSON_RECIPE = "json-v1"
BYTES_RECIPE = "bytes-v1"
_FRAME_LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "narwhals", "duckdb", "_duckdb"})


def fingerprint(value: Any, *, cache: FileCache | None = None) -> Fingerprint:
    """The fingerprint of an object, under the recipe for its type.

    Args:
        value: A path object or an open file (the file's or directory's content), a data frame or
            series, an array or sparse matrix, an estimator, bytes, or a value that JSON can hold.
            Text is a value, never a path: wrap a path in `pathlib.Path`.
        cache: Where the digests of unchanged files may be found; none by default.

    Returns:
        The fingerprint.

    Raises:
        FingerprintError: No recipe fits the object, or the one that fits refuses it.
        MissingDependencyError: The recipe needs a library that is not installed.
    """
    return fingerprint_parts(value, cache=cache)[0]


def fingerprint_parts(
    value: Any, *, cache: FileCache | None = None
) -> tuple[Fingerprint, bytes | None]:
    """The fingerprint of an object, and the digests of its parts where it has any.

    Args:
        value: As for `fingerprint`.
        cache: As for `fingerprint`.

    Returns:
        The fingerprint, and a JSON document: of a table its `TableTree`, of a directory its
        manifest. Both give the fingerprint's digest again, so whoever has one need not trust where
        it came from.

    Raises:
        FingerprintError: No recipe fits the object, or the one that fits refuses it.
        MissingDependencyError: The recipe needs a library that is not installed.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        digest = Digest.of(data, recipe=BYTES_RECIPE)
        return Fingerprint(digest, "bytes", {"size": len(data)}), None
    if isinstance(value, os.PathLike):
        return _path_fingerprint(Path(value), cache)
    if isinstance(value, io.IOBase):
        return _path_fingerprint(_path_of(value), cache)
    names = {f"{c.__module__}.{c.__qualname__}" for c in type(value).__mro__}
    libraries = {name.partition(".")[0] for name in names}
    if libraries & _FRAME_LIBRARIES or hasattr(value, "__arrow_c_stream__"):
        from affidavit.lineage._frames import table_tree

        tree = table_tree(value)
        return tree.fingerprint(), dump_json(tree.to_dict())
    return _whole_fingerprint(value, names, libraries), None


def _whole_fingerprint(value: Any, names: set[str], libraries: set[str]) -> Fingerprint:
    """The fingerprint of an object that has no parts of its own."""
    if "numpy" in libraries or any(name.startswith("scipy.sparse.") for name in names):
        from affidavit.lineage._arrays import array_fingerprint

        return array_fingerprint(value)
    if "sklearn.base.BaseEstimator" in names or libraries & {"xgboost", "lightgbm"}:
        from affidavit.lineage._estimators import estimator_fingerprint

        return estimator_fingerprint(value)
    return json_fingerprint(value)


def json_fingerprint(value: Any) -> Fingerprint:
    """The fingerprint of a value that JSON can hold, recipe ``json-v1``.

    Args:
        value: None, a boolean, a number, text, or lists, tuples and dicts of these with text keys.

    Returns:
        Its fingerprint, of kind ``json``.

    Raises:
        FingerprintError: The value, or something in it, has no JSON form; NaN and infinity are
            among these.
    """
    try:
        _check(value, "value", set())
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        ).encode()
    except (ValueError, RecursionError) as error:
        raise FingerprintError(f"The value has no JSON form: {error}.") from error
    digest = Digest.of(text, recipe=JSON_RECIPE)
    return Fingerprint(digest, "json", {"type": type(value).__name__, "size": len(text)})


def _check(value: Any, path: str, above: set[int]) -> None:
    """Refuses what json.dumps would quietly alter, such as keys that are no text."""
    if value is None or isinstance(value, str | bool | int | float):
        return
    if id(value) in above:
        raise FingerprintError(f"{path} contains itself.")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise FingerprintError(f"{path} has the key {key!r}; JSON has text keys only.")
        items = [(f"{path}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
    else:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise FingerprintError(
            f"{path} is a {kind}, for which there is no fingerprint.",
            hint="Pass a path, a data frame, an array, an estimator, bytes or a JSON value.",
        )
    for place, item in items:
        _check(item, place, above | {id(value)})


def _path_fingerprint(path: Path, cache: FileCache | None) -> tuple[Fingerprint, bytes | None]:
    from affidavit.lineage._files import directory_manifest, file_fingerprint

    if not path.is_dir():
        return file_fingerprint(path, cache=cache), None
    manifest = directory_manifest(path, cache=cache)
    return manifest.fingerprint(), manifest.to_bytes()


def _path_of(handle: io.IOBase) -> Path:
    name = getattr(handle, "name", None)
    if not isinstance(name, str | bytes):
        raise FingerprintError(
            f"The {type(handle).__name__} is not a file with a name.",
            hint="Pass a path, or the bytes that it holds.",
        )
    if not handle.closed and handle.writable():
        handle.flush()
    return Path(os.fsdecode(name))
