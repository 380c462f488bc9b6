"""Compares the index with what the entries derive to, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from sqlalchemy import Connection, Table

from affidavit.lineage._batch import Cells
from affidavit.lineage._findings import Faults
from affidavit.lineage._index import Row
from affidavit.lineage._scan import EVERYTHING, Span, index_rows
from affidavit.lineage._store import UnreadableTextError
from affidavit.lineage.tables import INDEX_TABLES


class IndexCheck:
    """Walks index tables in log order beside the entries of a span.

    Args:
        connection: A reading transaction.
        faults: Where faults are noted.
        span: Which entries.
        tables: Which tables.
    """

    def __init__(
        self,
        connection: Connection,
        faults: Faults,
        span: Span = EVERYTHING,
        tables: Sequence[Table] = INDEX_TABLES,
    ) -> None:
        self._walks = [
            _Walk(table, index_rows(connection, table, span), faults) for table in tables
        ]

    def take(self, expected: Mapping[str, list[Cells]], last: int) -> bool:
        """Pass over the rows up to an entry, where they are just those that it should have.

        Args:
            expected: The rows that the entries derive to, by table.
            last: The last of the entries.

        Returns:
            Whether they are; where not, nothing was passed over.
        """
        if not all(walk.has(expected.get(walk.name, []), last) for walk in self._walks):
            return False
        for walk in self._walks:
            walk.pass_over(len(expected.get(walk.name, ())))
        return True

    def entry(self, index: int, rows: list[Row]) -> None:
        """Compare the rows of the next entry with those that it derives to."""
        expected: dict[str, list[Cells]] = {}
        for table, cells in rows:
            expected.setdefault(table.name, []).append(cells)
        for walk in self._walks:
            if walk.name in expected or walk.next_entry() <= index:
                walk.compare(index, expected.get(walk.name, []))

    def finish(self) -> None:
        """Report rows that belong to no entry."""
        for walk in self._walks:
            walk.finish()


class _Walk:
    """The rows of one index table in log order, with a look at the next ones."""

    def __init__(self, table: Table, rows: Iterator[Cells], faults: Faults) -> None:
        self.name = table.name
        self.columns = tuple(column.name for column in table.columns)
        self._rows = rows
        self._ahead: list[Cells] = []
        self._at = 0
        self._faults = faults
        self._readable = True
        self._reported = False

    def has(self, expected: list[Cells], last: int) -> bool:
        """Return whether the next rows are the expected ones, and no other is of those entries."""
        stop = self._at + len(expected)
        if len(self._ahead) <= stop:
            self._read(len(expected) + 1)
            stop = self._at + len(expected)
        if self._ahead[self._at : stop] != expected:
            return False
        if stop == len(self._ahead):
            return self._readable
        following = self._ahead[stop][0]
        return following is not None and following > last

    def pass_over(self, count: int) -> None:
        self._at += count

    def compare(self, index: int, expected: list[Cells]) -> None:
        found: list[Cells] = []
        while self.next_entry() <= index:
            row = self._pop()
            if row[0] == index:
                found.append(row)
            else:
                self._report_stray(row)
        if found == expected or self._reported:
            return
        where = f"index {self.name}, entry {index}"
        has_rows = {row[1]: row for row in found}
        wants_rows = {row[1]: row for row in expected}
        for ordinal in [*wants_rows, *(key for key in has_rows if key not in wants_rows)]:
            has, wants = has_rows.get(ordinal), wants_rows.get(ordinal)
            if has is None:
                self._faults.add("index-missing", where, f"row {ordinal} is missing.", index)
            elif wants is None:
                self._faults.add(
                    "index-extra", where, f"row {ordinal} does not follow from the entry.", index
                )
            elif has != wants:
                differing = zip(self.columns, has, wants, strict=True)
                names = ", ".join(name for name, one, other in differing if one != other)
                self._faults.add(
                    "index-changed",
                    where,
                    f"row {ordinal}: {names} differs from what the entry says.",
                    index,
                )

    def finish(self) -> None:
        while self.next_entry() != _NONE:
            self._report_stray(self._pop())

    def next_entry(self) -> float:
        """Return the entry of the next row; rows that name none are reported on the way."""
        while True:
            if self._at == len(self._ahead):
                self._read(_AHEAD)
            if self._at == len(self._ahead):
                if not self._readable and not self._reported:
                    self._reported = True
                    self._faults.add(
                        "index-changed",
                        f"index {self.name}",
                        "a text in it is not UTF-8; the rows from there on were not compared.",
                    )
                return _NONE
            entry: int | None = self._ahead[self._at][0]
            if entry is not None:
                return entry
            self._report_stray(self._pop())

    def _pop(self) -> Cells:
        self._at += 1
        return self._ahead[self._at - 1]

    def _read(self, count: int) -> None:
        """Have so many rows ahead, where there are as many."""
        self._ahead = self._ahead[self._at :]
        self._at = 0
        try:
            for row in islice(self._rows, max(count - len(self._ahead), 0)):
                self._ahead.append(row)
        except UnreadableTextError:
            self._readable = False

    def _report_stray(self, row: Cells) -> None:
        self._faults.add(
            "index-extra",
            f"index {self.name}, entry {row[0]}",
            "this row belongs to no entry of the log.",
        )


_NONE = float("inf")
_AHEAD = 64
