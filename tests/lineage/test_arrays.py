"""Digests of arrays and sparse matrices."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from affidavit.errors import FingerprintError
from affidavit.lineage import _arrays
from affidavit.lineage._arrays import array_digest, array_fingerprint

arrays = hnp.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "|u1", "|b1", "<U3", "|S4", "<M8[us]", "<c16", "<f2"]),
    hnp.array_shapes(max_dims=3, max_side=5, min_side=0),
)


@given(arrays)
def test_memory_layout_and_byte_order_do_not_show(array):
    expected = array_digest(array)
    assert array_digest(np.asfortranarray(array)) == expected
    assert array_digest(array.astype(array.dtype.newbyteorder(">"))) == expected
    doubled = np.repeat(array, 2, axis=-1)[..., ::2]
    assert array_digest(doubled) == expected
    assert array_digest(array[::-1][::-1]) == expected


def test_the_digest_can_be_computed_from_the_written_format_alone():
    array = np.array([[1.5, -0.0, 2.0]])
    written = b'{"dtype":"<f8","shape":[1,3]}\n' + array.tobytes()
    assert array_digest(array).value == hashlib.sha256(written).hexdigest()
    assert array_digest(array).recipe == "array-v1"


@given(st.integers(0, 23), st.integers(0, 63))
def test_one_flipped_bit_changes_the_digest(place, bit):
    array = np.arange(24, dtype="<f8").reshape(2, 3, 4)
    flipped = array.copy()
    flipped.reshape(-1).view("<u8")[place] ^= np.uint64(1 << bit)
    assert array_digest(flipped) != array_digest(array)


def test_dtype_and_shape_count():
    zeros = [
        np.zeros(4, "<f4"),
        np.zeros(4, "<i4"),
        np.zeros(2, "<f8"),
        np.zeros((2, 2), "<f4"),
        np.zeros((4, 1), "<f4"),
        np.zeros((), "<f4"),
        np.zeros(0, "<f4"),
        np.zeros((0, 3), "<f4"),
    ]
    assert len({array_digest(array) for array in zeros}) == len(zeros)


def test_padding_of_structured_arrays_does_not_count_but_every_field_does():
    dtype = np.dtype([("a", "i1"), ("b", "<f8"), ("c", "<i4", (2,))], align=True)
    one = np.zeros(3, dtype)
    memory = bytearray(b"\xff" * one.nbytes)  # a copy of the array need not copy its padding
    two = np.frombuffer(memory, dtype)
    for name in dtype.names:
        two[name] = 0
    assert memory[1:8] == b"\xff" * 7
    assert array_digest(one) == array_digest(two)
    packed = np.dtype([("a", "i1"), ("b", ">f8"), ("c", "<i4", (2,))])
    assert array_digest(one.astype(packed)) == array_digest(one)
    for name in dtype.names:
        other = one.copy()
        other[name][1] = 1
        assert array_digest(other) != array_digest(one)
    renamed = one.astype([("x", "i1"), ("b", "<f8"), ("c", "<i4", (2,))])
    assert array_digest(renamed) != array_digest(one)


def test_large_arrays_that_are_not_contiguous_are_hashed_in_blocks():
    array = np.arange(2 * _arrays._BLOCK // 8, dtype="<f8").reshape(512, -1)
    assert array_digest(np.asfortranarray(array)) == array_digest(array)
    assert array_digest(array.T.copy().T) == array_digest(array)


def test_strings_of_variable_width_are_told_apart_by_their_borders():
    kind = np.dtypes.StringDType()
    one, two = np.array(["ab", "c"], kind), np.array(["a", "bc"], kind)
    assert array_digest(one) != array_digest(two)
    assert array_digest(one) == array_digest(one.copy())
    assert array_fingerprint(one).detail["dtype"] == "StringDType"


def test_a_fingerprint_tells_dtype_and_shape():
    print_ = array_fingerprint(np.zeros((2, 3), ">i4"))
    assert (print_.kind, print_.detail) == ("array", {"dtype": "<i4", "shape": [2, 3]})
    nested = array_fingerprint(np.zeros(1, [("a", "f8"), ("b", "i4", (2,))]))
    assert nested.detail["dtype"] == [["a", "<f8"], ["b", "<i4", [2]]]
    assert array_fingerprint(np.float64(1)).detail["shape"] == []


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["a", 1], dtype=object),
        np.zeros(2, [("a", "O")]),
        np.ma.masked_array([1, 2], [0, 1]),
        np.array(["a", None], np.dtypes.StringDType(na_object=None)),
    ],
)
def test_arrays_without_canonical_bytes_are_refused(array):
    with pytest.raises(FingerprintError):
        array_fingerprint(array)


@pytest.mark.parametrize(
    "make", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.lil_array]
)
def test_the_format_of_a_sparse_matrix_does_not_show(make):
    dense = np.array([[0, 1.5, 0], [2, 0, 3]])
    print_ = array_fingerprint(make(dense))
    assert print_.digest == array_fingerprint(sp.csr_array(dense)).digest
    assert print_.digest.recipe == "sparse-array-v1"
    assert print_.detail == {"dtype": "<f8", "shape": [2, 3], "stored": 3}
    assert print_.digest != array_fingerprint(make(dense * 2)).digest
    assert print_.digest != array_fingerprint(dense).digest


def test_unsorted_and_duplicate_entries_are_canonicalised_without_touching_the_matrix():
    messy = sp.csr_array(
        (np.array([3.0, 1.0, 1.0]), np.array([2, 0, 0]), np.array([0, 3])), shape=(1, 3)
    )
    clean = sp.csr_array(np.array([[2.0, 0.0, 3.0]]))
    assert array_fingerprint(messy).digest == array_fingerprint(clean).digest
    assert messy.nnz == 3
    assert messy.indices.tolist() == [2, 0, 0]
