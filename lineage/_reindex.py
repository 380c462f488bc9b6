"""The index, made anew from the entries in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select

from affidavit.errors import LedgerCorruptError, VerificationError
from affidavit.lineage._checkpoint import Checkpoint
from affidavit.lineage._index import Row, derive_rows, write_index
from affidavit.lineage._ledger import Ledger
from affidavit.lineage._pruned import Survey, leaves
from affidavit.lineage.tables import ENTRY, INDEX_TABLES

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What making the index anew has changed.

    Args:
        entries: How many entries were read.
        rows: How many rows the index has.
        missing: How many of them were not there.
        changed: How many of them said something else.
        extra: How many rows there were that follow from no entry.
    """

    entries: int
    rows: int
    missing: int
    changed: int
    extra: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, JSON-safe."""
        return {
            "entries": self.entries,
            "rows": self.rows,
            "missing": self.missing,
            "changed": self.changed,
            "extra": self.extra,
        }


def reindex(ledger: Ledger, *, progress: Callable[[int, int], None] | None = None) -> Reindexed:
    """Make the index anew from the entries, in one transaction.

    The entries must be those that the newest checkpoint signs: an index of changed entries would
    hide the change from whoever reads the index alone.

    Args:
        ledger: The log.
        progress: Told how many entries are done, and how many there are.

    Returns:
        What was changed.

    Raises:
        LedgerCorruptError: The entries are not those that were logged; nothing was changed.
        LedgerUnavailableError: Nothing was changed.
    """
    store = ledger.store
    with store.writing() as connection:
        head = ledger.head()
        names = [store.keep_copy(connection, table) for table in INDEX_TABLES]
        for name, _ in names:
            _sql(connection, f"DELETE FROM {name}")  # noqa: S608  # names of our tables
        _derive(connection, head, progress)
        counts = [
            _compare(connection, table, *pair, store.same)
            for table, pair in zip(INDEX_TABLES, names, strict=True)
        ]
        rows = sum(_sql(connection, f"SELECT count(*) FROM {name}") for name, _ in names)  # noqa: S608  # as above
        for _, copy in names:
            _sql(connection, f"DROP TABLE {copy}")
    missing, changed, extra = (sum(column) for column in zip(*counts, strict=True))
    return Reindexed(head.size, rows, missing, changed, extra)


def _derive(
    connection: Connection, head: Checkpoint, progress: Callable[[int, int], None] | None
) -> None:
    survey = Survey()
    rows: list[Row] = []
    try:
        for index, body, leaf in leaves(connection, 0, head.size):
            survey.take(index, body, leaf)
            rows += derive_rows(index, body) if body is not None else []
            if (index + 1) % _BATCH == 0:
                write_index(connection, rows)
                rows = []
                if progress is not None:
                    progress(index + 1, head.size)
        write_index(connection, rows)
        survey.check(head.size, head.root, head.statements)
    except (VerificationError, LedgerCorruptError) as error:
        raise _damaged(head) from error
    more = select(ENTRY.c.entry).where((ENTRY.c.entry >= head.size) | (ENTRY.c.entry < 0)).limit(1)
    if connection.execute(more).first() is not None:
        raise _damaged(head)
    if progress is not None:
        progress(head.size, head.size)


def _damaged(head: Checkpoint) -> LedgerCorruptError:
    return LedgerCorruptError(
        f"The entries are not the {head.size} that the newest checkpoint signs; the index was "
        "left as it is.",
        hint="Run `affidavit verify` to see which entry is wrong.",
    )


def _compare(
    connection: Connection, table: Table, now: str, was: str, operator: str
) -> tuple[int, int, int]:
    """Return how many rows were missing, changed and extra."""
    same = " AND ".join(f'w."{c.name}" {operator} n."{c.name}"' for c in table.columns)
    on = "w.entry = n.entry AND w.ordinal = n.ordinal"
    missing = _sql(
        connection,
        f"SELECT count(*) FROM {now} n WHERE NOT EXISTS (SELECT 1 FROM {was} w WHERE {on})",  # noqa: S608  # names of our tables
    )
    extra = _sql(
        connection,
        f"SELECT count(*) FROM {was} w WHERE NOT EXISTS (SELECT 1 FROM {now} n WHERE {on})",  # noqa: S608  # names of our tables
    )
    changed = _sql(
        connection,
        f"SELECT count(*) FROM {now} n JOIN {was} w ON {on} WHERE NOT ({same})",  # noqa: S608  # names of our tables
    )
    return missing, changed, extra


def _sql(connection: Connection, statement: str) -> int:
    result = connection.exec_driver_sql(statement)
    return int(result.scalar() or 0) if result.returns_rows else 0
