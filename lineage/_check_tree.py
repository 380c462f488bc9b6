"""Checks entries against tiles and checkpoints, one entry at a time, in constant memory.

Two trees grow side by side: one from the entries' bytes, one from the leaf hashes that the tiles
hold. Where they part, the next signed checkpoint says which of them was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    checkpoints: int = 0
    _entries: CompactRange = field(default_factory=CompactRange)
    # The tree of the tiles' hashes; None where it is the same as that of the entries.
    _tiles: CompactRange | None = None
    # Leaf by index where the two differ and no checkpoint has decided: (of the entry, in the tile).
    _doubts: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    _uppers: list[tuple[int, int, bytes, bytes]] = field(default_factory=list)
    _changed: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    _agreed: int = 0
    _parted: Checkpoint | None = None
    _later: int = 0
    _cached: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many leaves were seen."""
        return self._entries.size

    def root(self) -> bytes:
        """Return the root over the entries seen."""
        return self._entries.root()

    def has_root(self, root: bytes) -> bool:
        """Return whether the entries seen, or the hashes in their tiles, have a root."""
        return root == self._entries.root() or (
            self._tiles is not None and root == self._tiles.root()
        )

    def entry(self, body: bytes | None) -> None:
        """Take the next entry; None where its bytes are missing, which the caller reports."""
        index = self._entries.size
        stored = self._hash_in_tile(0, index)
        if body is None:
            leaf = stored or leaf_hash(b"")
        else:
            leaf = leaf_hash(body)
            if stored is not None and leaf != stored:
                self._doubts[index] = (leaf, stored)
                self._tiles = self._tiles or self._entries.copy()
        closed = self._entries.append(leaf)[HEIGHT - 1 :: HEIGHT]
        if self._tiles is None:
            for level, root in closed:
                self._check_upper(level // HEIGHT, index >> level, root)
            return
        others = self._tiles.append(stored or leaf)[HEIGHT - 1 :: HEIGHT]
        for (level, root), (_, other) in zip(closed, others, strict=True):
            self._uppers.append((level // HEIGHT, index >> level, root, other))

    @property
    def clean(self) -> bool:
        """Whether entries and tiles agree so far, or a checkpoint has decided between them."""
        return self._tiles is None

    def tiles_hold(self, leaves: Sequence[bytes]) -> bool:
        """Return whether the tiles hold just these as the hashes of the next entries."""
        start, stop = self.size, self.size + len(leaves)
        stored = b"".join(
            self._tile(0, position).ljust(WIDTH * HASH_SIZE)[: WIDTH * HASH_SIZE]
            for position in range(start // WIDTH, -(-stop // WIDTH))
        )
        at = start % WIDTH * HASH_SIZE
        return stored[at : at + len(leaves) * HASH_SIZE] == b"".join(leaves)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Take the next entries, of whose hashes `tiles_hold` is true."""
        closed = self._entries.extend(leaves)
        others = closed if self._tiles is None else self._tiles.extend(leaves)
        for level in range(HEIGHT, max(closed, default=0) + 1, HEIGHT):
            start, roots = closed[level]
            for position, (root, other) in enumerate(
                zip(roots, others[level][1], strict=True), start
            ):
                if self._tiles is None:
                    self._check_upper(level // HEIGHT, position, root)
                else:
                    self._uppers.append((level // HEIGHT, position, root, other))

    def extend_by_range(
        self,
        edges: Sequence[tuple[int, Sequence[bytes]]],
        nodes: Sequence[bytes],
        at_size: Callable[[], None],
    ) -> None:
        """Take the next entries as the hashes that somebody computed and found in the tiles.

        Args:
            edges: (size, roots of the subtrees of the entries up to that size), in order, for
                sizes within the range.
            nodes: The roots of each `WIDTH` entries; a power of two of them, and the range begins
                at a multiple of its length.
            at_size: Called when the tree has each of the sizes.
        """
        assert self._tiles is None
        start, left = self.size, list(self._entries.hashes)
        for size, hashes in edges:
            self._entries = CompactRange(size, [*left, *hashes])
            at_size()
        for ahead, root in enumerate(nodes):
            self._check_upper(1, start // WIDTH + ahead, root)
        # The nodes are the leaves of the tree above, of which nothing but the names differs.
        above = CompactRange(start // WIDTH, left)
        closed = above.extend(nodes)
        self._entries = CompactRange(start + WIDTH * len(nodes), above.hashes)
        for level in range(HEIGHT, max(closed, default=0) + 1, HEIGHT):
            first, roots = closed[level]
            for position, root in enumerate(roots, first):
                self._check_upper(level // HEIGHT + 1, position, root)

    def checkpoint(self, size: int, note: bytes | None) -> Checkpoint | None:
        """Check the stored checkpoint whose turn has come, at the present size.

        Returns:
            The checkpoint, or None where it does not hold.
        """
        self.checkpoints += 1
        checkpoint = self.read_checkpoint(size, note)
        if checkpoint is None:
            return None
        if checkpoint.root == self._entries.root():
            self._settle(entries_hold=True)
        elif self._tiles is not None and checkpoint.root == self._tiles.root():
            self._settle(entries_hold=False)
        else:
            self._part(checkpoint)
            return None
        self._agreed = size
        return checkpoint

    def read_checkpoint(self, size: int | None, note: bytes | None) -> Checkpoint | None:
        """Return a checkpoint that the log's key has signed for its row, or note why not."""
        where = "checkpoints" if size is None else f"checkpoint {size}"
        try:
            checkpoint = open_checkpoint(note or b"", self.verifier)
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
        return checkpoint

    def finish(self) -> None:
        """Settle what no checkpoint covers and report what was changed."""
        self._changed.update(self._doubts)
        covered = set(self._changed) - set(self._doubts)
        where_now = {stored: index for index, (_, stored) in self._changed.items()}
        for index, (leaf, stored) in sorted(self._changed.items()):
            if leaf in where_now:
                self.faults.add(
                    "entry-moved",
                    f"entry {index}",
                    f"it holds the bytes that were logged as entry {where_now[leaf]}.",
                    index,
                )
                continue
            rest = "as the tile and the checkpoint have it."
            if index not in covered:
                rest = "as the tile has it; no valid checkpoint decides."
            self.faults.add(
                "entry-changed",
                f"entry {index}",
                f"its bytes hash to {leaf.hex()[:16]}…, not to {stored.hex()[:16]}…, {rest}",
                index,
            )
        if self._later and self._parted is not None:
            self.faults.add(
                "root-mismatch",
                f"checkpoints after {self._parted.size}",
                f"{self._later} later checkpoints sign other roots too.",
            )

    def _settle(self, *, entries_hold: bool) -> None:
        if entries_hold:
            by_tile: dict[int, list[int]] = {}
            for index in self._doubts:
                by_tile.setdefault(index // WIDTH, []).append(index)
            for position, indexes in by_tile.items():
                self.faults.add(
                    "tile-changed",
                    f"tile 0/{position}",
                    f"its hash {indexes[0] % WIDTH} is not the one of entry {indexes[0]}, which "
                    f"the checkpoint confirms; {len(indexes)} of its hashes are wrong.",
                    indexes[0],
                )
        else:
            assert self._tiles is not None
            self._changed.update(self._doubts)
            self._entries = self._tiles
        for level, position, entries_root, tiles_root in self._uppers:
            self._check_upper(level, position, entries_root if entries_hold else tiles_root)
        self._tiles = None
        self._uppers.clear()
        self._doubts.clear()

    def _part(self, checkpoint: Checkpoint) -> None:
        if self._parted is not None:
            self._later += 1
            return
        self._parted = checkpoint
        first = min(self._doubts, default=self._agreed)
        whose = f"one of the entries {first} to {checkpoint.size - 1} was changed"
        self.faults.add(
            "root-mismatch",
            f"checkpoint {checkpoint.size}",
            f"it signs the root {checkpoint.root.hex()[:16]}…, the entries give "
            f"{self._entries.root().hex()[:16]}…: "
            f"{whose if checkpoint.size else 'an empty log has another root'}.",
            first if checkpoint.size else None,
        )

    def _check_upper(self, level: int, position: int, root: bytes) -> None:
        stored = self._hash_in_tile(level, position)
        # A hash that is not there at all shows in the tile's length.
        if stored is not None and stored != root:
            self.faults.add(
                "tile-changed",
                f"tile {level}/{position // WIDTH}",
                f"its hash {position % WIDTH} is not the root of the "
                f"{WIDTH**level} entries below it.",
            )

    def _hash_in_tile(self, level: int, position: int) -> bytes | None:
        tile_position, offset = divmod(position, WIDTH)
        tile = self._tile(level, tile_position)
        found = tile[offset * HASH_SIZE : (offset + 1) * HASH_SIZE]
        return found if len(found) == HASH_SIZE else None

    def _tile(self, level: int, position: int) -> bytes:
        cached = self._cached.get(level)
        if cached is None or cached[0] != position:
            cached = (position, self.read_tile(level, position))
            self._cached[level] = cached
        return cached[1]


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
