"""The laws of the tree, against the definition of RFC 6962 written down a second time."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import ProofError
from affidavit.lineage import (
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from affidavit.lineage._merkle import range_root, subtrees_of

MANY = [leaf_hash(b"%d" % n) for n in range(2000)]


def naive(leaves):
    """MTH of RFC 6962 §2.1, as the text says it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


ROOTS = {}


def root_of(size):
    if size not in ROOTS:
        ROOTS[size] = naive(MANY[:size])
    return ROOTS[size]


def test_the_growing_edge_has_the_root_of_the_definition_at_every_size():
    tree = CompactRange()
    for size in range(301):
        assert tree.root() == root_of(size)
        assert len(tree.hashes) == size.bit_count()
        tree.append(MANY[size])


@given(st.lists(st.integers(0, 600), max_size=5))
def test_leaves_added_at_once_close_the_subtrees_that_they_close_one_by_one(batches):
    at_once, one_by_one = CompactRange(), CompactRange()
    for count in batches:
        leaves = MANY[at_once.size % 1400 :][:count]
        closed = {}
        for leaf in leaves:
            at = one_by_one.size
            for level, root in one_by_one.append(leaf):
                closed.setdefault(level, (at >> level, []))[1].append(root)
        assert at_once.extend(leaves) == closed
        assert at_once == one_by_one


def test_every_inclusion_proof_of_small_trees_verifies():
    for size in (*range(1, 34), 63, 64, 65, 127, 128, 129, 255, 256, 257, 300):
        subtree = subtrees_of(MANY[:size])
        for index in range(0, size, 1 if size < 70 else 7):
            path = inclusion_proof(index, size, subtree)
            verify_inclusion(index, size, MANY[index], path, root_of(size))


def test_every_consistency_proof_of_small_trees_verifies():
    for new in (*range(1, 34), 64, 65, 129, 256, 257, 300):
        subtree = subtrees_of(MANY[:new])
        for old in range(0, new + 1, 1 if new < 70 else 5):
            path = consistency_proof(old, new, subtree)
            verify_consistency(old, new, root_of(old), root_of(new), path)


sizes = st.integers(1, 2000)


@settings(deadline=None, max_examples=60)
@given(sizes.flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))), st.data())
def test_an_inclusion_proof_holds_and_every_change_to_it_fails(case, data):
    size, index = case
    path = inclusion_proof(index, size, subtrees_of(MANY))
    root = tree_root(MANY[:size])
    verify_inclusion(index, size, MANY[index], path, root)
    with pytest.raises(ProofError):
        verify_inclusion(index, size, leaf_hash(b"other"), path, root)
    with pytest.raises(ProofError):
        verify_inclusion(index, size, MANY[index], [*path, root], root)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        bad = list(path)
        bad[at] = bytes([bad[at][0] ^ 1]) + bad[at][1:]
        with pytest.raises(ProofError):
            verify_inclusion(index, size, MANY[index], bad, root)
        with pytest.raises(ProofError):
            verify_inclusion(index, size, MANY[index], path[:-1], root)


@settings(deadline=None, max_examples=60)
@given(sizes.flatmap(lambda new: st.tuples(st.integers(1, new), st.just(new))), st.data())
def test_a_consistency_proof_holds_and_every_change_to_it_fails(case, data):
    old, new = case
    path = consistency_proof(old, new, subtrees_of(MANY))
    first, second = tree_root(MANY[:old]), tree_root(MANY[:new])
    verify_consistency(old, new, first, second, path)
    with pytest.raises(ProofError):
        verify_consistency(old, new, leaf_hash(b"x"), second, path)
    with pytest.raises(ProofError):
        verify_consistency(old, new, first, leaf_hash(b"x"), path)
    with pytest.raises(ProofError):
        verify_consistency(old, new, first, second, [*path, first])
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        bad = list(path)
        bad[at] = bytes([bad[at][0] ^ 1]) + bad[at][1:]
        with pytest.raises(ProofError):
            verify_consistency(old, new, first, second, bad)


@settings(deadline=None)
@given(st.integers(0, 10), st.integers(0, 7))
def test_a_range_has_the_root_of_its_leaves(level, index):
    start = index << level
    if start + (1 << level) <= len(MANY):
        for end in {start + (1 << level), start + max(1, (1 << level) - 1)}:
            assert range_root(start, end, subtrees_of(MANY)) == naive(MANY[start:end])


def test_an_empty_consistency_proof_between_different_trees_is_refused():
    with pytest.raises(ProofError, match="too short"):
        verify_consistency(3, 5, root_of(3), root_of(5), [])
    with pytest.raises(ProofError, match="different roots"):
        verify_consistency(3, 3, root_of(3), root_of(4), [])
    with pytest.raises(ProofError, match="not a prefix"):
        verify_consistency(5, 3, root_of(5), root_of(3), [])


def test_a_leaf_cannot_pass_for_a_node():
    left, right = MANY[:2]
    assert leaf_hash(left + right) != tree_root([left, right])


def test_a_copy_of_the_edge_grows_on_its_own():
    tree = CompactRange()
    tree.append(MANY[0])
    other = tree.copy()
    other.append(MANY[1])
    assert (tree.size, other.size) == (1, 2)
    assert tree.root() == MANY[0]
