"""The tree's hashes in tiles of 256 (C2SP tlog-tiles).

Tile level L holds the roots of complete subtrees of 256**L leaves; tile N of a level holds those
with positions 256 N to 256 N + 255. Only these are stored: every other hash is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, select

from affidavit.errors import LedgerCorruptError
from affidavit.lineage._merkle import HASH_SIZE, CompactRange, node_hash
from affidavit.lineage._store import store_of
from affidavit.lineage.tables import TILE, compiled, insert_rows

_THIS = (TILE.c.level == bindparam("level")) & (TILE.c.position == bindparam("position"))
_READ = select(TILE.c.hashes).where(_THIS)
_DROP = delete(TILE).where(_THIS)
WIDTH = 256
HEIGHT = 8


class TileReader:
    """Reads subtree roots from the tiles of a store, keeping what it read.

    Args:
        connection: A transaction on the store.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tiles: dict[tuple[int, int], bytes] = {}

    def subtree(self, level: int, index: int) -> bytes:
        """Return the root of the complete subtree over leaves [index * 2**level, …).

        Raises:
            LedgerCorruptError: The tile that it needs is missing or too short.
        """
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        position, offset = divmod(first, WIDTH)
        count = 1 << height
        tile = self._tile(tile_level, position)
        start = offset * HASH_SIZE
        hashes = [tile[at : at + HASH_SIZE] for at in range(start, start + count * HASH_SIZE, 32)]
        if len(tile) < start + count * HASH_SIZE:
            raise LedgerCorruptError(
                f"Tile {tile_level}/{position} holds {len(tile) // HASH_SIZE} hashes; "
                f"{offset + count} are needed.",
                hint="Run `affidavit verify` to see what is damaged.",
            )
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def edge(self, size: int) -> CompactRange:
        """Return the right edge of the tree of that size."""
        tree = CompactRange(size)
        at = 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                tree.hashes.append(self.subtree(level, at >> level))
                at += 1 << level
        return tree

    def _tile(self, level: int, position: int) -> bytes:
        key = (level, position)
        if key not in self._tiles:
            row = self._connection.execute(
                select(TILE.c.hashes).where(TILE.c.level == level, TILE.c.position == position)
            ).first()
            self._tiles[key] = bytes(row[0]) if row else b""
        return self._tiles[key]


def extend_tiles(connection: Connection, tree: CompactRange, leaves: Sequence[bytes]) -> None:
    """Add leaf hashes to the tree and its tiles.

    Args:
        connection: A writing transaction.
        tree: The right edge of the tree as it stands; it is extended in place.
        leaves: The new leaf hashes.
    """
    _write_tiles(connection, 0, tree.size, leaves)
    for level, (start, roots) in tree.extend(leaves).items():
        if level % HEIGHT == 0:
            _write_tiles(connection, level // HEIGHT, start, roots)


def _write_tiles(connection: Connection, level: int, start: int, hashes: Sequence[bytes]) -> None:
    if not hashes:
        return
    position, filled = divmod(start, WIDTH)
    head = b""
    if filled:
        row = connection.exec_driver_sql(compiled(connection, _READ), (level, position)).first()
        head = bytes(row[0]) if row else b""
        if len(head) != filled * HASH_SIZE:
            raise LedgerCorruptError(
                f"Tile {level}/{position} holds {len(head) // HASH_SIZE} hashes, not {filled}.",
                hint="Run `affidavit verify` to see what is damaged.",
            )
        store_of(connection).change(connection, compiled(connection, _DROP), (level, position))
    data = head + b"".join(hashes)
    step = WIDTH * HASH_SIZE
    rows = [
        (level, position + number, data[at : at + step])
        for number, at in enumerate(range(0, len(data), step))
    ]
    insert_rows(connection, TILE, rows)
