"""Verification of a whole ledger: everything is recomputed from the stored bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

from affidavit.errors import CheckpointError
from affidavit.lineage._check_index import IndexCheck
from affidavit.lineage._check_statements import StatementCheck
from affidavit.lineage._check_tree import TreeCheck, expected_tiles
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._findings import Faults, VerificationReport
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._store import Store
from affidavit.lineage.tables import CHECKPOINT, ENTRY, TILE

Progress = Callable[[int, int], None]
"""(entries done, entries in all), called now and then."""


_LONGEST_GAP = 1_000_000
"""A hole of more entries than this is reported, and not walked through."""


def verify_ledger(
    path: Path,
    verifier: NoteVerifier,
    *,
    exported: bytes | None = None,
    progress: Progress | None = None,
) -> VerificationReport:
    """Recompute leaf hashes, tree, tiles, checkpoints, envelopes and index, and compare.

    Args:
        path: The store.
        verifier: The log's public key, from a place that the log's operator cannot change.
        exported: A checkpoint of this log that was kept elsewhere; the log must still extend it.
        progress: Told how far it is.

    Returns:
        What was found; `VerificationReport.ok` where everything holds.

    Raises:
        LedgerUnavailableError: The store cannot be read.
        LedgerCorruptError: The store is not a ledger, or is damaged as a database.
    """
    store = Store(path)
    faults = Faults()
    try:
        with store.reading() as connection:
            return _verify(connection, verifier, faults, exported, progress)
    finally:
        store.close()


class _Walk:
    """Goes through entries and checkpoints in log order and hands them to the checks."""

    def __init__(
        self,
        connection: Connection,
        verifier: NoteVerifier,
        faults: Faults,
        outside: Checkpoint | None,
    ) -> None:
        self.tree = TreeCheck(verifier, lambda *tile: _tile(connection, *tile), faults)
        self.statements = StatementCheck(verifier, faults)
        self.index = IndexCheck(connection, faults)
        self.newest: Checkpoint | None = None
        self._faults = faults
        self._outside = outside
        self._notes = _notes(connection)
        self._pending = next(self._notes, None)
        self._at_checkpoint()

    def entry(self, number: int, body: bytes) -> bool:
        """Check an entry; False where the hole before it is too long to go on."""
        if not self.skip_to(number):
            return False
        self.tree.entry(body)
        self.statements.entry(number, body)
        self.index.entry(number, body)
        self._at_checkpoint()
        return True

    def skip_to(self, number: int) -> bool:
        """Report the entries that are missing before a number."""
        first = self.tree.size
        if number == first:
            return True
        span = f"entry {first}" if number == first + 1 else f"entries {first} to {number - 1}"
        self._faults.add("entry-missing", span, "missing from the store.", first)
        if number - first > _LONGEST_GAP:
            return False
        while self.tree.size < number:
            self.tree.entry(None)
            self._at_checkpoint()
        return True

    def _at_checkpoint(self) -> None:
        tree, outside = self.tree, self._outside
        while self._pending is not None and self._pending[0] <= tree.size:
            self.newest = tree.checkpoint(*self._pending) or self.newest
            self._pending = next(self._notes, None)
        if outside is not None and outside.size == tree.size and outside.root != tree.root():
            self._faults.add(
                "history-rewritten",
                f"checkpoint {outside.size}",
                f"the exported checkpoint signs the root {outside.root.hex()[:16]}…, the log now "
                f"has {tree.root().hex()[:16]}… at that size.",
            )


def _verify(
    connection: Connection,
    verifier: NoteVerifier,
    faults: Faults,
    exported: bytes | None,
    progress: Progress | None,
) -> VerificationReport:
    outside = _open_exported(exported, verifier, faults)
    walk = _Walk(connection, verifier, faults, outside)
    total = connection.execute(select(func.max(ENTRY.c.entry))).scalar()
    total = 0 if total is None else int(total) + 1
    claimed = int(connection.execute(select(func.max(CHECKPOINT.c.size))).scalar() or 0)
    for number, body in _bodies(connection):
        if not walk.entry(number, body):
            break
        if progress is not None and number % 1000 == 0:
            progress(number, total)
    if claimed > walk.tree.size:
        walk.skip_to(claimed)
    walk.tree.finish()
    walk.index.finish()
    _check_ends(walk.tree, walk.newest, outside, faults)
    _check_tile_list(connection, walk.tree.size, faults)
    if progress is not None:
        progress(total, total)
    ordered = sorted(faults.found, key=lambda f: -1 if f.index is None else f.index)
    return VerificationReport(
        origin=verifier.name,
        key=str(verifier),
        size=total,
        root=walk.tree.root().hex(),
        statements=walk.statements.statements,
        records=walk.statements.records,
        checkpoints=walk.tree.checkpoints,
        errors=tuple(ordered),
        more_errors=faults.more,
    )


def _check_ends(
    tree: TreeCheck, newest: Checkpoint | None, outside: Checkpoint | None, faults: Faults
) -> None:
    covered = newest.size if newest else 0
    if newest is None:
        faults.add("checkpoint-missing", "checkpoints", "none of them is valid.")
    elif tree.size > covered:
        faults.add(
            "entries-uncovered",
            f"entry {covered}",
            f"the entries {covered} to {tree.size - 1} are under no valid checkpoint.",
            covered,
        )
    if outside is not None and outside.size > tree.size:
        faults.add(
            "entries-cut-off",
            f"entry {tree.size}",
            f"the exported checkpoint signs {outside.size} entries, the log has {tree.size}: the "
            f"entries {tree.size} to {outside.size - 1} are gone.",
            tree.size,
        )


def _check_tile_list(connection: Connection, size: int, faults: Faults) -> None:
    expected = expected_tiles(size)
    rows = connection.execute(select(TILE.c.level, TILE.c.position, func.length(TILE.c.hashes)))
    for level, position, length in rows:
        wanted = expected.pop((level, position), None)
        if length != wanted:
            faults.add(
                "tile-changed",
                f"tile {level}/{position}",
                f"it has {length} bytes; a tree of {size} entries has {wanted or 0} there.",
            )
    for level, position in expected:
        faults.add("tile-missing", f"tile {level}/{position}", "it is missing from the store.")


def _open_exported(
    exported: bytes | None, verifier: NoteVerifier, faults: Faults
) -> Checkpoint | None:
    if exported is None:
        return None
    try:
        return open_checkpoint(exported, verifier)
    except CheckpointError as error:
        faults.add("exported-checkpoint-invalid", "exported checkpoint", error.message)
        return None


def _bodies(connection: Connection) -> Iterator[tuple[int, bytes]]:
    query = select(ENTRY.c.entry, ENTRY.c.body).order_by(ENTRY.c.entry)
    for number, body in connection.execution_options(yield_per=1000).execute(query):
        yield int(number), bytes(body)


def _notes(connection: Connection) -> Iterator[tuple[int, bytes]]:
    query = select(CHECKPOINT.c.size, CHECKPOINT.c.note).order_by(CHECKPOINT.c.size)
    for size, note in connection.execution_options(yield_per=1000).execute(query):
        yield int(size), bytes(note)


def _tile(connection: Connection, level: int, position: int) -> bytes:
    row = connection.execute(
        select(TILE.c.hashes).where(TILE.c.level == level, TILE.c.position == position)
    ).first()
    return bytes(row[0]) if row else b""
