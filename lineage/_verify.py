"""Verification of a whole ledger: everything is recomputed from the stored bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from affidavit.errors import CheckpointError, VerificationError
from affidavit.lineage import _scan
from affidavit.lineage._check_index import IndexCheck
from affidavit.lineage._check_pruned import PrunedCheck
from affidavit.lineage._check_statements import StatementCheck
from affidavit.lineage._check_tree import TreeCheck, expected_tiles
from affidavit.lineage._check_writers import WriterCheck
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._findings import Fault, Faults, VerificationReport
from affidavit.lineage._index import rows_of
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._pruned import retentions
from affidavit.lineage._records import parse_entry
from affidavit.lineage._spool_format import list_segments
from affidavit.lineage._stamp_rows import check_stamps
from affidavit.lineage._statement import Statement
from affidavit.lineage._store import Store, open_store
from affidavit.lineage._time_stamp import TimeStampAuthority

Progress = Callable[[int, int], None]
"""(entries done, entries in all), called now and then."""
OnStatement = Callable[[int, Statement], None]
"""(log index, statement), called for each statement in log order."""


_LONGEST_GAP = 1_000_000
"""A hole of more entries than this is reported, and not walked through."""


def verify_ledger(
    where: Path | str,
    verifier: NoteVerifier,
    *,
    exported: bytes | None = None,
    progress: Progress | None = None,
    on_statement: OnStatement | None = None,
    authorities: tuple[TimeStampAuthority, ...] = (),
    spools: tuple[str | None, Path] | None = None,
) -> VerificationReport:
    """Recompute leaf hashes, tree, tiles, checkpoints, envelopes and index, and compare.

    Args:
        where: The store: the path of a SQLite file, or a ``postgresql://`` URL.
        verifier: The log's public key, from a place that the log's operator cannot change.
        exported: A checkpoint of this log that was kept elsewhere; the log must still extend it.
        progress: Told how far it is.
        on_statement: Given each statement with its log index, in log order, as it was read.
        authorities: Whose time stamps count; the kept ones are looked at only where there are any.
        spools: The id of a place where spools lie, None where it is the only one, and its folder:
            each writer of that place that has not ended must have its spool there.

    Returns:
        What was found; `VerificationReport.ok` where everything holds.

    Raises:
        LedgerUnavailableError: The store cannot be read.
        LedgerCorruptError: The store is not a ledger, or is damaged as a database.
    """
    store = open_store(where)
    faults = Faults()
    try:
        with store.reading() as connection:
            outside = _open_exported(exported, verifier, faults)
            walk = _Walk(connection, verifier, faults, outside)
            walk.on_statement = on_statement
            stamped = check_stamps(connection, verifier, authorities, faults)
            _verify(connection, walk, faults, progress)
            open_writers = walk.writers.finish(_scan.open_writers(connection))
        if spools is not None:
            _check_spools(store, open_writers, spools, faults)
        report = _report(walk, faults)
        # What a stamp says of a log is claimed only where the log holds.
        return replace(report, stamped=stamped if report.ok else ())
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
        self.tree = TreeCheck(verifier, lambda *at: _scan.tile(connection, *at), faults)
        self.statements = StatementCheck(verifier, faults)
        self.index = IndexCheck(connection, faults)
        self.pruned = PrunedCheck(faults, retentions(connection))
        self.writers = WriterCheck(faults, pruned=self.pruned.writers())
        self.newest: Checkpoint | None = None
        self._claimed = _claimed_size(connection, verifier)
        self._faults = faults
        self.outside = outside
        self.on_statement: OnStatement | None = None
        self._notes = _scan.notes(connection)
        self._pending = next(self._notes, None)
        self._at_checkpoint()

    def entry(self, number: int | None, body: bytes | None) -> None:
        """Check the next row of the entry table."""
        if number is None or not self._reach(number):
            where = "entries" if number is None else f"entry {number}"
            self._faults.add("entry-extra", where, "its number does not follow the one before.")
            return
        self.tree.entry(body)
        if body is None:
            self._faults.add(
                "entry-changed", f"entry {number}", "its body is not stored as bytes.", number
            )
        else:
            self._content(number, body)
        self._at_checkpoint()

    def finish(self) -> None:
        """Report what is missing at the end and the checkpoints whose turn never came."""
        if self._claimed > self.tree.size:
            self._skip_to(self._claimed)
        while self._pending is not None:
            self.tree.checkpoints += 1
            self.tree.read_checkpoint(*self._pending)
            self._pending = next(self._notes, None)
        self.tree.finish()
        self.pruned.finish()
        self.statements.finish()
        self.index.finish()

    def _content(self, number: int, body: bytes) -> None:
        try:
            parsed = parse_entry(body)
        except VerificationError as error:
            self._faults.add("entry-malformed", f"entry {number}", error.message, number)
            self.index.entry(number, [])
            return
        valid = self.statements.entry(number, parsed)
        if isinstance(parsed, dict):
            self.writers.record(number, parsed)
        else:
            self.writers.statement(number, parsed[1])
            if valid:
                self.pruned.statement(number, parsed[1])
            if self.on_statement is not None:
                self.on_statement(number, parsed[1])
        self.index.entry(number, rows_of(number, parsed))

    def _reach(self, number: int) -> bool:
        """Report the entries that are missing before a number; False where it is no such place."""
        if number <= self.tree.size:
            return number == self.tree.size
        if self._claimed and number >= self._claimed:
            # No valid checkpoint vouches for a log as long as that: the row is the stray one.
            return self._skip_to(self._claimed) and number == self.tree.size
        return self._skip_to(number)

    def _skip_to(self, number: int) -> bool:
        first = self.tree.size
        if number <= first:
            return True
        longest = 0
        for begin, stop in self.pruned.missing(first, number):
            span = f"entry {begin}" if stop == begin + 1 else f"entries {begin} to {stop - 1}"
            self._faults.add("entry-missing", span, "missing from the store.", begin)
            longest = max(longest, stop - begin)
        if longest > _LONGEST_GAP:
            return False
        while self.tree.size < number:
            self.tree.entry(None)
            self._at_checkpoint()
        return True

    def _at_checkpoint(self) -> None:
        tree, outside = self.tree, self.outside
        while self._pending is not None:
            size, note = self._pending
            if size is not None and size > tree.size:
                break
            if size is None:
                tree.read_checkpoint(size, note)
            else:
                found = tree.checkpoint(size, note)
                if found is not None:
                    self.newest = found
                    self.pruned.checkpoint(f"checkpoint {size}", found, self.statements.statements)
            self._pending = next(self._notes, None)
        if outside is not None and outside.size == tree.size and not tree.has_root(outside.root):
            self._faults.add(
                "history-rewritten",
                f"checkpoint {outside.size}",
                f"the exported checkpoint signs the root {outside.root.hex()[:16]}…, the log now "
                f"has {tree.root().hex()[:16]}… at that size.",
            )
        elif outside is not None and outside.size == tree.size and outside.statements is not None:
            self.pruned.checkpoint("exported checkpoint", outside, self.statements.statements)


def _verify(connection: Connection, walk: _Walk, faults: Faults, progress: Progress | None) -> None:
    total = _scan.entry_count(connection) if progress is not None else 0
    for done, (number, body) in enumerate(_scan.entries(connection)):
        walk.entry(number, body)
        if progress is not None and done % 1000 == 0:
            progress(done, total)
    walk.finish()
    _check_ends(walk.tree, walk.newest, walk.outside, faults)
    _check_tile_list(connection, walk.tree.size, faults)
    if progress is not None:
        progress(total, total)


def _report(walk: _Walk, faults: Faults) -> VerificationReport:
    ordered = sorted(faults.found, key=_log_order)
    return VerificationReport(
        origin=walk.tree.verifier.name,
        key=str(walk.tree.verifier),
        size=walk.tree.size,
        root=walk.tree.root().hex(),
        statements=walk.statements.statements,
        records=walk.statements.records,
        checkpoints=walk.tree.checkpoints,
        errors=tuple(ordered),
        more_errors=faults.more,
        distrusted=tuple(sorted(walk.statements.distrusted.found, key=_log_order)),
        more_distrusted=walk.statements.distrusted.more,
        writers=walk.writers.writers,
        gaps=tuple(walk.writers.gaps),
        unclosed=tuple(walk.writers.unclosed),
        pruned=walk.pruned.entries,
    )


def _check_spools(
    store: Store, open_writers: Mapping[str, str], spools: tuple[str | None, Path], faults: Faults
) -> None:
    place, folder = spools
    there = list_segments(folder)
    gone = [
        writer
        for writer, where in open_writers.items()
        if place in {None, where} and writer not in there
    ]
    if not gone:
        return
    with store.reading() as connection:
        now = _scan.open_writers(connection)
    for writer in gone:
        # One that was taken in and ended while we were reading has not lost anything.
        if writer in now:
            faults.add(
                "spool-missing",
                f"writer {writer[:8]}",
                f"its spool is gone: what it acknowledged from number {now[writer][1]} on is not "
                "in the log.",
            )


def _claimed_size(connection: Connection, verifier: NoteVerifier) -> int:
    """Return the size of the newest checkpoint that the log's key has signed for its row."""
    for size, note in _scan.newest_notes(connection):
        try:
            checkpoint = open_checkpoint(note or b"", verifier)
        except CheckpointError:
            continue
        if checkpoint.size == size:
            return size
    return 0


def _log_order(fault: Fault) -> tuple[int, bool]:
    # What is wrong with an entry stands before what follows from it in the index.
    return (-1 if fault.index is None else fault.index, fault.code.startswith("index"))


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
    for level, position, length in _scan.tile_lengths(connection):
        wanted = expected.pop((level, position), None)
        if wanted is None or length != wanted:
            faults.add(
                "tile-changed",
                f"tile {level}/{position}",
                f"it has {length or 0} bytes; a tree of {size} entries has {wanted or 0} there.",
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
