"""Checks entries against tiles and checkpoints, one entry at a time, in constant memory.

Two trees grow side by side: one from the entries' bytes, one from the leaf hashes that the tiles
hold. Where they part, the next signed checkpoint says which of them was changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from affidavit.errors import CheckpointError
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._findings import Faults
from affidavit.lineage._merkle import HASH_SIZE, CompactRange, leaf_hash
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._tiles import HEIGHT, WIDTH

ReadTile = Callable[[int, int], bytes]
"""(level, position) -> the tile's bytes, empty where there is none."""


@dataclass(slots=True)
class TreeCheck:
    """The state of a check of the tree.

    Args:
        verifier: The pinned log key.
        read_tile: The stored tiles.
        faults: Where faults are noted.
    """

    verifier: NoteVerifier
    read_tile: ReadTile
    faults: Faults
    _entries: CompactRange = field(default_factory=CompactRange)
    _tiles: CompactRange = field(default_factory=CompactRange)
    _doubts: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    _agreed: int = 0
    _cached: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    checkpoints: int = 0

    @property
    def size(self) -> int:
        """How many leaves were seen."""
        return self._entries.size

    def root(self) -> bytes:
        """Return the root over the entries seen."""
        return self._entries.root()

    def entry(self, body: bytes | None) -> None:
        """Take the next entry; None where its row is missing, which the caller reports."""
        index = self._entries.size
        stored = self._hash_in_tile(0, index)
        if body is None:
            leaf = stored or leaf_hash(b"")
        else:
            leaf = leaf_hash(body)
            if stored is None:
                self.faults.add(
                    "tile-missing",
                    f"tile 0/{index // WIDTH}",
                    f"it holds no hash for entry {index}.",
                    index,
                )
            elif leaf != stored:
                self._doubts[index] = (leaf, stored)
        for level, root in self._entries.append(leaf):
            if level % HEIGHT == 0 and not self._doubts:
                self._check_upper(level // HEIGHT, index >> level, root)
        self._tiles.append(stored or leaf)

    def checkpoint(self, size: int, note: bytes) -> Checkpoint | None:
        """Check the stored checkpoint whose turn has come, at the present size.

        Returns:
            The checkpoint, or None where it does not hold.
        """
        self.checkpoints += 1
        where = f"checkpoint {size}"
        try:
            checkpoint = open_checkpoint(note, self.verifier)
        except CheckpointError as error:
            self.faults.add("checkpoint-invalid", where, error.message)
            return None
        if checkpoint.size != size:
            self.faults.add(
                "checkpoint-invalid",
                where,
                f"it is filed under size {size} but signs size {checkpoint.size}.",
            )
            return None
        if checkpoint.root == self._entries.root():
            self._settle(entries_hold=True)
        elif checkpoint.root == self._tiles.root():
            self._settle(entries_hold=False)
        else:
            self._blame_range(checkpoint)
            return None
        self._agreed = size
        return checkpoint

    def finish(self) -> None:
        """Settle what no checkpoint covers."""
        for index in sorted(self._doubts):
            self._blame_entry(index, "and no valid checkpoint covers it.")
        self._doubts.clear()

    def _settle(self, *, entries_hold: bool) -> None:
        if entries_hold:
            for index in self._doubts:
                self.faults.add(
                    "tile-changed",
                    f"tile 0/{index // WIDTH}",
                    f"its hash {index % WIDTH} is not the one of entry {index}, which the "
                    "checkpoint confirms.",
                    index,
                )
            self._tiles = self._entries.copy()
        else:
            for index in sorted(self._doubts):
                self._blame_entry(index, "as the tile and the checkpoint have it.")
            self._entries = self._tiles.copy()
        self._doubts.clear()

    def _blame_entry(self, index: int, rest: str) -> None:
        leaf, stored = self._doubts[index]
        twins = [i for i, (_, other) in self._doubts.items() if other == leaf and i != index]
        if twins:
            self.faults.add(
                "entry-moved",
                f"entry {index}",
                f"it holds the bytes that were logged as entry {twins[0]}.",
                index,
            )
            return
        self.faults.add(
            "entry-changed",
            f"entry {index}",
            f"its bytes hash to {leaf.hex()[:16]}…, not to {stored.hex()[:16]}… {rest}",
            index,
        )

    def _blame_range(self, checkpoint: Checkpoint) -> None:
        first = min(self._doubts, default=self._agreed)
        span = f"{first} to {checkpoint.size - 1}"
        self.faults.add(
            "root-mismatch",
            f"checkpoint {checkpoint.size}",
            f"it signs the root {checkpoint.root.hex()[:16]}…, the entries give "
            f"{self._entries.root().hex()[:16]}…: one of the entries {span} was changed.",
            first if checkpoint.size else None,
        )

    def _check_upper(self, level: int, position: int, root: bytes) -> None:
        stored = self._hash_in_tile(level, position)
        if stored != root:
            self.faults.add(
                "tile-changed",
                f"tile {level}/{position // WIDTH}",
                f"its hash {position % WIDTH} is not the root of the "
                f"{WIDTH**level} entries below it.",
            )

    def _hash_in_tile(self, level: int, position: int) -> bytes | None:
        tile_position, offset = divmod(position, WIDTH)
        cached = self._cached.get(level)
        if cached is None or cached[0] != tile_position:
            cached = (tile_position, self.read_tile(level, tile_position))
            self._cached[level] = cached
        found = cached[1][offset * HASH_SIZE : (offset + 1) * HASH_SIZE]
        return found if len(found) == HASH_SIZE else None


def expected_tiles(size: int) -> dict[tuple[int, int], int]:
    """Return how many bytes each tile of a tree has, by (level, position)."""
    widths: dict[tuple[int, int], int] = {}
    level, count = 0, size
    while count:
        for position in range(0, count, WIDTH):
            widths[level, position // WIDTH] = min(WIDTH, count - position) * HASH_SIZE
        count //= WIDTH
        level += 1
    return widths
