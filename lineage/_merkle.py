"""The Merkle tree of RFC 6962 §2.1 (unchanged in RFC 9162 §2.1).

A leaf is ``SHA-256(0x00 || entry)``, a node ``SHA-256(0x01 || left || right)``, and a tree of n
leaves splits at the largest power of two below n. Everything here is a pure function of hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from affidavit.errors import ProofError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves, RFC 6962 §2.1."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def pair_hashes(nodes: Sequence[bytes]) -> list[bytes]:
    """Return the hashes of the nodes over each two neighbours; the last of an odd row has none."""
    sha256, row = hashlib.sha256, iter(nodes)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(row, row, strict=False)]


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each entry as a leaf."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + entry).digest() for entry in entries]


@dataclass(slots=True)
class CompactRange:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first.

    Args:
        size: The number of leaves.
        hashes: One root for each set bit of ``size``, from the highest bit to the lowest.
    """

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Add a leaf hash.

        Returns:
            The complete subtrees that this leaf closes above level 0, as (level, root), where a
            subtree of level k has 2**k leaves.
        """
        closed: list[tuple[int, bytes]] = []
        self.hashes.append(leaf)
        level, bits = 0, self.size
        while bits & 1:
            right = self.hashes.pop()
            self.hashes[-1] = node_hash(self.hashes[-1], right)
            level += 1
            closed.append((level, self.hashes[-1]))
            bits >>= 1
        self.size += 1
        return closed

    def extend(self, leaves: Sequence[bytes]) -> dict[int, tuple[int, list[bytes]]]:
        """Add leaf hashes, level by level, as `append` would one by one.

        Returns:
            The complete subtrees that they close above level 0: for each level the position of the
            first one and their roots.
        """
        closed: dict[int, tuple[int, list[bytes]]] = {}
        edge: list[bytes] = []
        level, nodes = 0, list(leaves)
        while nodes:
            if self.size >> level & 1:
                nodes = [self.hashes.pop(), *nodes]
            if len(nodes) & 1:
                edge.append(nodes[-1])
            level += 1
            nodes = pair_hashes(nodes)
            if nodes:
                closed[level] = (self.size >> level, nodes)
        self.hashes += reversed(edge)
        self.size += len(leaves)
        return closed

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> CompactRange:
        """Return an independent copy."""
        return CompactRange(self.size, list(self.hashes))


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes, in constant memory."""
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


SubtreeRoot = Callable[[int, int], bytes]
"""(level, index) -> root of the complete subtree over leaves [index * 2**level, ...)."""


def subtrees_of(leaves: Sequence[bytes]) -> SubtreeRoot:
    """Return the complete subtrees of a list of leaf hashes as a function."""

    def root(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(root(level - 1, 2 * index), root(level - 1, 2 * index + 1))

    return root


def range_root(start: int, end: int, subtree: SubtreeRoot) -> bytes:
    """Return MTH(D[start:end]) for a range that RFC 6962's recursion reaches.

    Args:
        start: The first leaf, a multiple of the largest power of two not above ``end - start``.
        end: One past the last leaf.
        subtree: The complete subtrees.
    """
    tree = CompactRange(end - start)
    at = start
    for level in range((end - start).bit_length() - 1, -1, -1):
        if (end - start) >> level & 1:
            tree.hashes.append(subtree(level, at >> level))
            at += 1 << level
    return tree.root()


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(index: int, size: int, subtree: SubtreeRoot) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962 §2.1.1, leaf side first.

    Raises:
        ProofError: The index is not in a tree of that size.
    """
    if not 0 <= index < size:
        raise ProofError(f"Entry {index} is not in a tree of {size} entries.")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(middle, end, subtree))
            end = middle
        else:
            path.append(range_root(start, middle, subtree))
            start = middle
    path.reverse()
    return path


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to, RFC 9162 §2.1.3.2.

    Raises:
        ProofError: The index is outside the tree or the path has the wrong length.
    """
    if not 0 <= index < size:
        raise ProofError(f"Entry {index} is not in a tree of {size} entries.")
    node, last, root = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ProofError("The inclusion proof is too long.")
        if node & 1 or node == last:
            root = node_hash(step, root)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            root = node_hash(root, step)
        node >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("The inclusion proof is too short.")
    return root


def verify_inclusion(
    index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes
) -> None:
    """Accept an inclusion proof or raise.

    Raises:
        ProofError: The proof does not lead from the leaf to the root.
    """
    if root_from_inclusion(index, size, leaf, path) != root:
        raise ProofError(f"The inclusion proof of entry {index} does not lead to the root.")


def consistency_proof(old: int, new: int, subtree: SubtreeRoot) -> list[bytes]:
    """Return PROOF(old, D[new]) of RFC 6962 §2.1.2; empty where old is 0 or equals new.

    Raises:
        ProofError: The old size is above the new one.
    """
    if not 0 <= old <= new:
        raise ProofError(f"A tree of {old} entries is not a prefix of one of {new}.")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end, known = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_root(middle, end, subtree))
            end = middle
        else:
            path.append(range_root(start, middle, subtree))
            start, known = middle, False
    if not known:
        path.append(range_root(start, end, subtree))
    path.reverse()
    return path


def verify_consistency(  # noqa: C901, PLR0912  # the steps of RFC 9162 §2.1.4.2, in their order
    old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Accept a consistency proof or raise, RFC 9162 §2.1.4.2.

    Raises:
        ProofError: The new tree is not an extension of the old one.
    """
    if not 0 <= old <= new:
        raise ProofError(f"A tree of {old} entries is not a prefix of one of {new}.")
    if old == new:
        if path or old_root != new_root:
            raise ProofError("Two trees of one size have different roots.")
        return
    if old == 0:
        if path or old_root != EMPTY_ROOT:
            raise ProofError("A proof from the empty tree is empty.")
        return
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise ProofError("The consistency proof is too short.")
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofError("The consistency proof is too long.")
        if node & 1 or node == last:
            first = node_hash(step, first)
            second = node_hash(step, second)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            second = node_hash(second, step)
        node >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("The consistency proof is too short.")
    if first != old_root or second != new_root:
        raise ProofError(f"The tree of {new} entries does not extend the one of {old}.")
