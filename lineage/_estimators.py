"""The digest of a fitted estimator, recipe ``estimator-state-v1``: what it is and what it learned.

A pickle is no digest of a model: memoised references, memory layout and padding bytes alter it.
This recipe walks what pickling would store and hashes each object from its parts, so that objects
which are equal part by part have equal digests:

- node: SHA-256 over a tag and the parts, each as u64 length (little-endian) and bytes; the parts of
  containers are the digests of their items. Sharing therefore does not show; a reference to an
  object that is still open is hashed as the number of levels up.
- text, bytes, integers (decimal), floats (8 bytes, so that one flipped bit shows), None, booleans.
- list and tuple in order; set and frozenset by sorted digests; dict by sorted digests of its pairs,
  since its order has no meaning to an estimator; an OrderedDict in order.
- arrays by ``array-v1``, sparse matrices by ``sparse-array-v1``, frames by ``arrow-table-v1``;
  arrays of objects by shape and items; masked arrays by the mask and the data, zero under it.
- classes and functions by module and qualified name, with the version of the library; for the
  user's own (neither the standard library's nor installed) and for lambdas and local functions,
  with a digest of the source too, or of the byte code where there is no source; a lambda with both,
  since two may stand on one line; with a function's defaults and what it closes over.
- random generators by their state; xgboost and LightGBM boosters by their saved model.
- every other object by ``__reduce_ex__(4)``: constructor, arguments, state, items.

Left out of scikit-learn estimators, because they say how fast and how loud and not what is
predicted: ``n_jobs``, ``n_threads``, ``verbose``, ``memory``, the times that a search measures
(``refit_time_`` and entries of ``cv_results_`` whose names end in ``_time``), and the counters in
which neighbour trees note how often they were asked.
"""

from __future__ import annotations

import enum
import hashlib
import inspect
import struct
import sys
import types
from collections import OrderedDict
from pathlib import PurePath
from typing import Any

from affidavit.errors import FingerprintError, MissingDependencyError
from affidavit.lineage._arrays import array_digest, array_fingerprint
from affidavit.lineage._digest import Digest, Fingerprint

try:
    import numpy as np
except ImportError as error:
    raise MissingDependencyError("numpy", "frames") from error

RECIPE = "estimator-state-v1"
# How an estimator computes, not what; `_sklearn_version` stands in the digest of the class.
_VOLATILE = frozenset(
    {"n_jobs", "n_threads", "verbose", "memory", "refit_time_", "_sklearn_version"}
)
_FRAMES = frozenset({"pandas", "polars", "pyarrow"})
_FRAME_KINDS = frozenset({"DataFrame", "Series", "Table", "RecordBatch"})
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def estimator_fingerprint(model: Any) -> Fingerprint:
    """The fingerprint of a fitted estimator.

    Args:
        model: A scikit-learn estimator, pipeline or search, or an object of the same build, such as
            xgboost's and LightGBM's scikit-learn interfaces.

    Returns:
        Its fingerprint, of kind ``estimator``, with the class and the library's version. It is the
        same in another process, after a round trip through pickle or joblib, and after the same
        fit repeated; any change of learned values or hyperparameters alters it.

    Raises:
        FingerprintError: Something in the model has no canonical form; the message names the
            attribute.
    """
    kind = type(model)
    detail = {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "version": _version(kind.__module__),
    }
    try:
        value = _Walk().digest(model, "model")
    except RecursionError as error:
        raise FingerprintError("The model is nested too deeply to be walked.") from error
    return Fingerprint(Digest("sha256", value.hex(), RECIPE), "estimator", detail)


def _node(tag: str, *parts: bytes) -> bytes:
    state = hashlib.sha256()
    for part in (tag.encode(), *parts):
        state.update(struct.pack("<Q", len(part)))
        state.update(part)
    return state.digest()


def _text(*parts: str) -> list[bytes]:
    return [part.encode("utf-8", "surrogatepass") for part in parts]


def _atom(value: Any) -> bytes | None:  # noqa: PLR0911  # one per type
    """The digest of an object without parts, or None for any other object."""
    kind = type(value)
    if value is None or kind is bool or value is Ellipsis or value is NotImplemented:
        return _node("constant", *_text(repr(value)))
    if kind is int:
        return _node("int", hex(value).encode())
    if kind is float:
        return _node("float", struct.pack("<d", value))
    if kind is complex:
        return _node("complex", struct.pack("<dd", value.real, value.imag))
    if kind is str:
        return _node("str", *_text(value))
    if kind in {bytes, bytearray}:
        return _node(kind.__name__, bytes(value))
    return None


class _Walk:
    """One walk over a model, with the digests of what was seen."""

    def __init__(self) -> None:
        # Objects stay referenced, so that no identity is given to another object meanwhile.
        self._done: dict[int, tuple[Any, bytes]] = {}
        self._open: dict[int, int] = {}
        self._lowest = sys.maxsize

    def digest(self, value: Any, path: str) -> bytes:
        """The digest of an object that stands at a path of attributes."""
        atom = _atom(value)
        if atom is not None:
            return atom
        key = id(value)
        if key in self._done:
            return self._done[key][1]
        if key in self._open:
            self._lowest = min(self._lowest, self._open[key])
            return _node("up", struct.pack("<Q", len(self._open) - self._open[key]))
        depth, outer, self._lowest = len(self._open), self._lowest, sys.maxsize
        self._open[key] = depth
        try:
            found = self._compound(value, path)
        finally:
            del self._open[key]
        if self._lowest >= depth:
            # Nothing in it leads above it, so it means the same wherever it is met again.
            self._done[key] = (value, found)
            self._lowest = outer
        else:
            self._lowest = min(outer, self._lowest)
        return found

    def _items(self, tag: str, values: Any, path: str) -> bytes:
        return _node(tag, *(self.digest(v, f"{path}[{i}]") for i, v in enumerate(values)))

    def _mapping(self, tag: str, values: Any, path: str, *, ordered: bool = False) -> bytes:
        pairs = [
            self.digest(key, f"{path} key {key!r:.60}") + self.digest(item, f"{path}[{key!r:.60}]")
            for key, item in values.items()
        ]
        return _node(tag, *(pairs if ordered else sorted(pairs)))

    def _compound(self, value: Any, path: str) -> bytes:  # noqa: C901, PLR0911  # one per family
        kind = type(value)
        if kind in {list, tuple}:
            return self._items(kind.__name__, value, path)
        if kind in {dict, OrderedDict}:
            return self._mapping(kind.__name__, value, path, ordered=kind is OrderedDict)
        if kind in {set, frozenset}:
            return _node(kind.__name__, *sorted(self.digest(v, f"{path}{{}}") for v in value))
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, path)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, enum.Enum):
            return _node("enum", self._class(kind), *_text(value.name))
        if isinstance(value, types.FunctionType):
            return self._function(value, path)
        if isinstance(value, types.MethodType):
            owner = self.digest(value.__self__, f"{path}.__self__")
            return _node("method", owner, *_text(value.__func__.__name__))
        if isinstance(value, _BUILT_IN):
            # A method names its class, or is bound to an object; a function is bound to a module.
            holder = getattr(value, "__objclass__", None) or getattr(value, "__self__", None)
            return _node("builtin", self.digest(holder, path), *_text(value.__qualname__))
        if isinstance(value, types.ModuleType):
            return _node("module", *_text(value.__name__, _version(value.__name__)))
        if isinstance(value, np.dtype | np.ufunc):
            return _node(
                kind.__name__ if isinstance(value, np.ufunc) else "dtype", *_text(str(value))
            )
        if isinstance(value, PurePath):
            return _node("path", *_text(value.as_posix()))
        return self._by_library(value, path)

    def _by_library(self, value: Any, path: str) -> bytes:  # noqa: PLR0911  # one per library
        kind = type(value)
        library = kind.__module__.partition(".")[0]
        if kind.__module__.startswith("scipy.sparse.") and hasattr(value, "tocsr"):
            return _node("sparse", *_text(kind.__name__), array_fingerprint(value).digest.raw)
        if library in _FRAMES and kind.__name__ in _FRAME_KINDS:
            from affidavit.lineage._frames import table_digest

            return _node("table", table_digest(value).raw)
        if isinstance(value, np.random.RandomState):
            return _node("random", self.digest(value.get_state(legacy=False), path))
        if isinstance(value, np.random.Generator):
            return _node("random", self.digest(value.bit_generator.state, path))
        if library == "xgboost" and kind.__name__ == "Booster":
            return _node("xgboost", *_text(_version(library)), bytes(value.save_raw("ubj")))
        if library == "lightgbm" and kind.__name__ == "Booster":
            text = value.model_to_string(num_iteration=-1)
            return _node("lightgbm", *_text(_version(library), text))
        return self._object(value, path)

    def _object(self, value: Any, path: str) -> bytes:
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # whatever a class raises here, it cannot be taken apart
            raise FingerprintError(
                f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which has no "
                f"canonical form: {error}.",
                hint="Remove the attribute, or give its class a __getstate__ that leaves it out.",
            ) from error
        if isinstance(reduced, str):
            return _node("global", *_text(type(value).__module__, reduced))
        padded: list[Any] = [*reduced, None, None, None]
        build, args, state, items, pairs = padded[:5]
        parts = [
            self.digest(build, f"{path}.__reduce_ex__"),
            self._items("args", args, f"{path}.__reduce_ex__"),
            self._state(value, state, path),
        ]
        parts += [self._items("items", items, path)] if items is not None else [b""]
        parts += [self._mapping("pairs", dict(pairs), path)] if pairs is not None else [b""]
        return _node("object", *parts)

    def _state(self, value: Any, state: Any, path: str) -> bytes:
        if type(value).__module__.startswith("sklearn.neighbors.") and isinstance(state, tuple):
            state = state[:7] + state[11:]  # without the counters of calls, trims, leaves, splits
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            return self.digest(state, f"{path}.__getstate__()")
        volatile = _VOLATILE if _is_sklearn(type(value)) else frozenset()
        parts = []
        for name in sorted(set(state) - volatile):
            item = state[name]
            if volatile and name == "cv_results_" and isinstance(item, dict):
                item = {k: v for k, v in item.items() if not str(k).endswith("_time")}
            parts += [*_text(name), self.digest(item, f"{path}.{name}")]
        return _node("state", *parts)

    def _array(self, array: Any, path: str) -> bytes:
        if isinstance(array, np.ma.MaskedArray):
            mask = np.ma.getmaskarray(array)
            data = np.where(mask, np.zeros((), array.dtype), array.data)
            return _node("masked", array_digest(mask).raw, self._array(data, path))
        if not array.dtype.hasobject or array.dtype.kind == "T":
            try:
                return _node("array", array_digest(array).raw)
            except FingerprintError as error:
                raise FingerprintError(f"{path}: {error.message}", hint=error.hint) from error
        if array.dtype.names is not None:
            raise FingerprintError(f"{path} is a structured array of Python objects.")
        shape = repr(tuple(array.shape))
        return _node("objects", *_text(shape), self._items("items", array.ravel().tolist(), path))

    def _class(self, kind: type) -> bytes:
        return _node("class", *_text(kind.__module__, kind.__qualname__, *_origin(kind)))

    def _function(self, function: types.FunctionType, path: str) -> bytes:
        parts = _text(function.__module__ or "", function.__qualname__, *_origin(function))
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:  # a name that was never assigned
                cells.append(None)
        bound = (function.__defaults__, function.__kwdefaults__, cells)
        parts += [self._items("bound", bound, f"{path}.{function.__qualname__}")]
        return _node("function", *parts)


def _is_sklearn(kind: type) -> bool:
    return any(
        c.__module__ == "sklearn.base" and c.__name__ == "BaseEstimator" for c in kind.__mro__
    )


def _version(module: str) -> str:
    """The version of a module's library; empty where there is none."""
    found = getattr(sys.modules.get(module.partition(".")[0]), "__version__", "")
    return found if isinstance(found, str) else ""


def _origin(thing: Any) -> tuple[str, str]:
    """The version of the library that defines a class or function, and a digest of the user's."""
    module, name = thing.__module__ or "", thing.__qualname__
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        own = False
    else:
        parts = PurePath(getattr(sys.modules.get(module), "__file__", None) or "").parts
        own = not {"site-packages", "dist-packages"} & set(parts)
    if not own and "<" not in name:
        return _version(module), ""
    return _version(module), _source_digest(thing)


def _source_digest(thing: Any) -> str:
    code = getattr(thing, "__code__", None)
    try:
        parts = [inspect.cleandoc("\n" + inspect.getsource(thing)).encode()]
    except (OSError, TypeError, SyntaxError):
        parts = []
    if code is not None and (not parts or code.co_name == "<lambda>"):
        parts.append(_code_bytes(code))
    return _node("source", *parts).hex()


def _code_bytes(code: types.CodeType) -> bytes:
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constants.append(_code_bytes(constant))
        else:  # the order of a set of text is another in each process
            ordered = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
            constants.append(repr(ordered).encode("utf-8", "surrogatepass"))
    return _node("code", code.co_code, repr(code.co_names).encode(), *constants)
