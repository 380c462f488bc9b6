"""Verification of a whole ledger: everything is recomputed from the stored bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from affidavit.errors import CheckpointError
from affidavit.lineage import _scan
from affidavit.lineage._check_tree import TreeCheck, expected_tiles
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._findings import Fault, Faults, VerificationReport
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._range_workers import RangeWorkers, range_workers
from affidavit.lineage._spool_format import list_segments
from affidavit.lineage._stamp_rows import check_stamps
from affidavit.lineage._store import Store, open_store
from affidavit.lineage._time_stamp import TimeStampAuthority
from affidavit.lineage._walk import OnStatement, Walk, claimed_size

Progress = Callable[[int, int], None]
"""(entries done, entries in all), called now and then."""


def verify_ledger(
    where: Path | str,
    verifier: NoteVerifier,
    *,
    exported: bytes | None = None,
    progress: Progress | None = None,
    on_statement: OnStatement | None = None,
    authorities: tuple[TimeStampAuthority, ...] = (),
    spools: tuple[str | None, Path] | None = None,
    processes: int | None = None,
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
        processes: How many processes read the entries; None decides by the machine and the log.
            What is found does not depend on it.

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
            sizes = () if outside is None else (outside.size,)
            claimed = claimed_size(connection, verifier)
            with range_workers(connection, claimed, sizes, processes) as workers:
                walk = Walk(connection, verifier, faults, outside, on_statement)
                stamped = check_stamps(connection, verifier, authorities, faults)
                _verify(connection, walk, workers, faults, progress)
            open_writers = walk.writers.finish(_scan.open_writers(connection))
        if spools is not None:
            _check_spools(store, open_writers, spools, faults)
        report = _report(walk, faults)
        # What a stamp says of a log is claimed only where the log holds.
        return replace(report, stamped=stamped if report.ok else ())
    finally:
        store.close()


def _verify(
    connection: Connection,
    walk: Walk,
    workers: RangeWorkers | None,
    faults: Faults,
    progress: Progress | None,
) -> None:
    total = _scan.entry_count(connection) if progress is not None else 0
    if progress is not None:
        progress(0, total)
        walk.progress = lambda done: progress(min(done, total), total)
    if workers is None:
        walk.read(_scan.EVERYTHING)
    else:
        _read_ranges(connection, walk, workers)
    walk.finish()
    _check_ends(walk.tree, walk.newest, walk.outside, faults)
    _check_tile_list(connection, walk.tree.size, faults)
    if progress is not None:
        progress(total, total)


def _read_ranges(connection: Connection, walk: Walk, workers: RangeWorkers) -> None:
    """Read everything, range by range, with what lies before the first and after the last."""
    walk.read((None, 0))
    number, length, stop = 0, workers.length, workers.count * workers.length
    while number < workers.count:
        start, end = number * length, (number + 1) * length
        # Behind a hole or a stray row the walk is out of step with the ranges, and after a
        # difference that no checkpoint has settled yet it has two trees to grow.
        facts = workers.result(number) if walk.tree.size == start and walk.tree.clean else None
        number += 1
        if facts is not None and walk.take_range(start, facts):
            continue
        walk.read((start, end))
        if walk.tree.size < end:
            following = _scan.first_entry(connection, end)
            number = min(stop if following is None else following, stop) // length
            if number * length > end:
                walk.read((end, number * length))
    walk.read((stop, None))


def _report(walk: Walk, faults: Faults) -> VerificationReport:
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
