"""The entries of a log from some place on, read only where the newest checkpoint covers them.

Whoever acts on many entries reads them twice: once to see that their leaves, after those before
them, have the root that the checkpoint signs, and again to act on each, held against its leaf.
"""

from __future__ import annotations

from collections.abc import Iterator

from affidavit.errors import LedgerCorruptError
from affidavit.lineage._checkpoint import Checkpoint
from affidavit.lineage._ledger import Ledger, newest_checkpoint
from affidavit.lineage._merkle import CompactRange, leaf_hash
from affidavit.lineage._pruned import Runs, leaves, retentions, stored

_HASH = 32


class VerifiedEntries:
    """The entries from a place in a log up to its newest checkpoint, which covers all of them.

    Args:
        ledger: The log.
        edge: The tree over the entries before that place; the whole log is read without it.

    Raises:
        LedgerCorruptError: The entries are not those that the checkpoint signs, or one is gone that
            no retention statement lists.
        CheckpointError: The checkpoint is not signed by the pinned key.
    """

    def __init__(self, ledger: Ledger, edge: CompactRange | None = None) -> None:
        self._ledger = ledger
        self._edge = CompactRange() if edge is None else edge.copy()
        self.first = self._edge.size
        self.pruned = 0
        tree, kept, gone = self._edge.copy(), bytearray(), []
        with ledger.store.reading() as connection:
            self.checkpoint: Checkpoint = newest_checkpoint(connection, ledger.verifier)
            if self.checkpoint.size >= self.first:
                for index, body, leaf in leaves(connection, self.first, self.checkpoint.size):
                    tree.append(leaf)
                    kept += leaf
                    if body is None:
                        gone.append((index, index + 1))
            if tree.size != self.checkpoint.size or tree.root() != self.checkpoint.root:
                raise LedgerCorruptError(
                    f"The entries from {self.first} on are not those that the newest checkpoint "
                    "signs.",
                    hint="Run `affidavit verify` to see which entry is wrong.",
                )
            listed = Runs(run for one in retentions(connection) for run in one.runs) if gone else ()
        for first, _ in Runs(gone).without(Runs(listed)):
            raise LedgerCorruptError(
                f"Entry {first} is gone, and no statement says why.",
                hint="Run `affidavit verify`.",
            )
        self.pruned = len(gone)
        self._leaves = bytes(kept)

    def __len__(self) -> int:
        """Return how many leaves there are, pruned ones among them."""
        return self.checkpoint.size - self.first

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Give (index, bytes) of the entries in log order; pruned ones are left out.

        Raises:
            LedgerCorruptError: An entry was changed since it was held against the checkpoint.
        """
        with self._ledger.store.reading() as connection:
            for index, body in stored(connection, self.first, self.checkpoint.size):
                at = (index - self.first) * _HASH
                if not isinstance(body, bytes) or leaf_hash(body) != self._leaves[at : at + _HASH]:
                    raise LedgerCorruptError(
                        f"Entry {index} was changed while it was read.",
                        hint="Run `affidavit verify`.",
                    )
                yield index, body

    def edge_at(self, size: int) -> CompactRange:
        """Return the tree over the entries before one; sizes are asked for in ascending order.

        Args:
            size: A log index from the first on, or the checkpoint's size.
        """
        start, stop = (self._edge.size - self.first) * _HASH, (size - self.first) * _HASH
        hashes = [self._leaves[at : at + _HASH] for at in range(start, stop, _HASH)]
        self._edge.extend(hashes)
        return self._edge.copy()
