"""Digests of numpy arrays and scipy sparse matrices, recipes ``array-v1`` and ``sparse-array-v1``.

``array-v1`` is SHA-256 over: the header as compact JSON in UTF-8, a newline, the elements in C
order. The header is ``{"dtype":"<f8","shape":[2,3]}`` with the dtype in numpy's array-protocol
notation, little-endian (``|`` where there is no byte order). A structured dtype is a list of its
fields, ``[["a","<f8"],["b","<i4",[2]]]``, and its elements are its fields one after another: the
padding between fields, whose bytes are arbitrary, does not count. Elements are hashed bit by bit:
-0.0 differs from 0.0 and a NaN from a NaN with other bits, because an array is often a model's
weights. ``StringDType`` is hashed as the array of its UTF-8 lengths (``<i8``), then the bytes.

``sparse-array-v1`` is SHA-256 over ``{"dtype":…,"format":"csr","shape":[…]}``, a newline, and the
digests under ``array-v1`` of row pointers (``<i8``), column numbers (``<i8``) and values, in CSR
form with sorted column numbers and duplicates summed. Stored zeros stay: some models mean them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from affidavit.errors import FingerprintError, MissingDependencyError
from affidavit.lineage._digest import Digest, Fingerprint

try:
    import numpy as np
except ImportError as error:
    raise MissingDependencyError("numpy", "frames") from error

RECIPE = "array-v1"
SPARSE_RECIPE = "sparse-array-v1"
_BLOCK = 1 << 20


def array_fingerprint(array: Any) -> Fingerprint:
    """The fingerprint of a numpy array or a scipy sparse matrix, with its dtype and shape.

    Args:
        array: A numpy array or scalar of any dtype but object, or a scipy sparse array.

    Returns:
        Its fingerprint, of kind ``array``.

    Raises:
        FingerprintError: The array holds Python objects, or is masked.
    """
    if hasattr(array, "tocsr"):
        digest, dtype, shape = _sparse_digest(array), array.dtype, array.shape
        stored = {"stored": int(array.nnz)}
    else:
        array = np.asanyarray(array)
        digest, dtype, shape = array_digest(array), array.dtype, array.shape
        stored = {}
    detail = {"dtype": _descr(dtype), "shape": [int(n) for n in shape], **stored}
    return Fingerprint(digest, "array", detail)


def array_digest(array: Any) -> Digest:
    """The digest of a numpy array; see `array_fingerprint` for what it refuses."""
    if isinstance(array, np.ma.MaskedArray):
        raise FingerprintError(
            "A masked array has no canonical form: what lies under the mask is arbitrary.",
            hint="Fingerprint array.filled(…) or its data and mask.",
        )
    array = np.asarray(array)
    state = hashlib.sha256()
    header = {"dtype": _descr(array.dtype), "shape": list(array.shape)}
    state.update(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    if array.dtype.kind == "T":
        texts = [text.encode() for text in _strings(array)]
        state.update(np.array([len(text) for text in texts], dtype="<i8").tobytes())
        state.update(b"".join(texts))
    else:
        _feed(state, array)
    return Digest("sha256", state.hexdigest(), RECIPE)


def _strings(array: Any) -> list[str]:
    texts: list[str] = array.ravel().tolist()
    if not all(isinstance(text, str) for text in texts):
        raise FingerprintError("An array of strings with missing values has no canonical form.")
    return texts


def _feed(state: Any, array: Any) -> None:
    """Feeds the elements in C order: at once if they lie so, else in blocks."""
    dtype = _packed(array.dtype)
    if array.dtype == dtype and array.flags.c_contiguous and array.dtype.itemsize == dtype.itemsize:
        if array.size and dtype.itemsize:
            state.update(array.reshape(-1).view("u1").data)
    elif array.ndim == 0 or array.nbytes <= _BLOCK:
        state.update(_repacked(array, dtype))
    else:
        for part in array:
            _feed(state, np.asarray(part))


def _repacked(array: Any, dtype: Any) -> bytes:
    # Assigning field by field leaves padding behind; astype would match fields by position too.
    fresh = np.zeros(array.shape, dtype)
    fresh[...] = array
    return fresh.tobytes()


def _packed(dtype: Any) -> Any:
    """The dtype in little-endian order and without padding."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((_packed(base), shape))
    if dtype.names is not None:
        return np.dtype([(name, _packed(dtype.fields[name][0])) for name in dtype.names])
    return dtype.newbyteorder("<")


def _descr(dtype: Any) -> Any:
    """The dtype as JSON."""
    if dtype.hasobject and dtype.kind != "T":
        raise FingerprintError(
            "An array of Python objects has no canonical form.",
            hint="Give it a dtype of numbers, strings or dates, for example with astype.",
        )
    if dtype.names is not None:
        fields = []
        for name in dtype.names:
            inner = dtype.fields[name][0]
            base, shape = inner.subdtype or (inner, ())
            fields.append([name, _descr(base), *([list(shape)] if shape else [])])
        return fields
    if dtype.kind == "T":
        return "StringDType"
    if dtype.kind not in "biufcSUVMm":
        raise FingerprintError(f"The dtype {dtype} has no canonical form.")
    return dtype.newbyteorder("<").str


def _sparse_digest(matrix: Any) -> Digest:
    csr = matrix.tocsr()
    if csr is matrix or not csr.has_canonical_format:
        csr = csr.copy()
    csr.sum_duplicates()
    header = {"dtype": _descr(csr.dtype), "format": "csr", "shape": [int(n) for n in csr.shape]}
    state = hashlib.sha256(json.dumps(header, separators=(",", ":")).encode() + b"\n")
    for part in (csr.indptr.astype("<i8"), csr.indices.astype("<i8"), csr.data):
        state.update(array_digest(part).raw)
    return Digest("sha256", state.hexdigest(), SPARSE_RECIPE)
