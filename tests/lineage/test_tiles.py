"""Tiles hold the tree: what is read from them is what the definition gives."""

from __future__ import annotations

import hashlib

import pytest

from affidavit.errors import LedgerCorruptError
from affidavit.lineage import CompactRange, tree_root
from affidavit.lineage._check_tree import expected_tiles
from affidavit.lineage._merkle import (
    consistency_proof,
    inclusion_proof,
    subtrees_of,
    verify_consistency,
    verify_inclusion,
)
from affidavit.lineage._scan import tile_lengths
from affidavit.lineage._store import open_store
from affidavit.lineage._tiles import TileReader, extend_tiles

LEAVES = [hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range(65537)]


def store_with(folder, batches):
    store = open_store(folder / "tiles.db", create=True)
    tree = CompactRange()
    with store.writing() as connection:
        store.create_tables(connection)
        for batch in batches:
            extend_tiles(connection, tree, LEAVES[tree.size : tree.size + batch])
    return store, tree


def pairs(level):
    """Roots of all complete subtrees of a level, by pairing leaves up."""
    row = LEAVES
    for _ in range(level):
        row = [
            hashlib.sha256(b"\x01" + row[i] + row[i + 1]).digest()
            for i in range(0, len(row) - 1, 2)
        ]
    return row


@pytest.mark.parametrize(
    "batches",
    [
        [255],
        [256],
        [257],
        [511],
        [512],
        [1] * 300,
        [100, 155, 1, 1, 255, 1],
        [65535],
        [65535, 1],
        [65535, 1, 1],
        [65536],
        [40000, 25537],
    ],
    ids=lambda b: f"{sum(b)}-in-{len(b)}",
)
def test_the_edge_read_from_tiles_is_the_edge_of_the_tree(tmp_path, batches):
    store, tree = store_with(tmp_path, batches)
    size = sum(batches)
    with store.reading() as connection:
        edge = TileReader(connection).edge(size)
        lengths = {(level, at): length for level, at, length in tile_lengths(connection)}
    assert edge == tree
    assert edge.root() == tree_root(LEAVES[:size])
    assert lengths == expected_tiles(size)


def test_every_complete_subtree_is_read_from_tiles(tmp_path):
    store, _ = store_with(tmp_path, [65537])
    with store.reading() as connection:
        reader = TileReader(connection)
        for level in (0, 1, 7, 8, 9, 15, 16):
            row = pairs(level)
            for index in {0, 1, len(row) // 2, len(row) - 1}:
                if index < len(row):
                    assert reader.subtree(level, index) == row[index]


def test_proofs_from_tiles_verify_in_a_tree_of_three_levels(tmp_path):
    store, tree = store_with(tmp_path, [65537])
    root = tree.root()
    with store.reading() as connection:
        subtree = TileReader(connection).subtree
        for index in (0, 255, 256, 65535, 65536):
            path = inclusion_proof(index, 65537, subtree)
            verify_inclusion(index, 65537, LEAVES[index], path, root)
        for old in (1, 255, 256, 257, 65535, 65536, 65537):
            path = consistency_proof(old, 65537, subtree)
            verify_consistency(old, 65537, tree_root(LEAVES[:old]), root, path)
            assert path == consistency_proof(old, 65537, subtrees_of(LEAVES))


def test_a_short_or_missing_tile_is_an_error_and_never_a_wrong_hash(tmp_path):
    store, _ = store_with(tmp_path, [300])
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE tile SET hashes = substr(hashes, 1, 40) WHERE level = 0")
    with store.reading() as connection:
        reader = TileReader(connection)
        assert reader.subtree(0, 0) == LEAVES[0]
        with pytest.raises(LedgerCorruptError, match="Tile 0/0 holds 1 hashes"):
            reader.subtree(0, 1)
        with pytest.raises(LedgerCorruptError):
            reader.subtree(16, 0)


def test_a_tile_of_another_length_than_the_tree_is_not_extended(tmp_path):
    store, tree = store_with(tmp_path, [10])
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE tile SET hashes = hashes || x'00'")
    with pytest.raises(LedgerCorruptError), store.writing() as connection:
        extend_tiles(connection, tree.copy(), LEAVES[10:11])


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65535, 65536, 65537, 256**3 + 1])
def test_the_list_of_tiles_counts_every_complete_subtree(size):
    by_level = {}
    for (level, _), length in expected_tiles(size).items():
        by_level[level] = by_level.get(level, 0) + length // 32
    expected, level, count = {}, 0, size
    while count:
        expected[level] = count
        level, count = level + 1, count // 256
    assert by_level == expected
