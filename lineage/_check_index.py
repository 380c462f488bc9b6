"""Compares the index with what the entries derive to, entry by entry, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table

from affidavit.lineage._findings import Faults
from affidavit.lineage._index import Row
from affidavit.lineage._scan import index_rows
from affidavit.lineage._store import UnreadableTextError
from affidavit.lineage.tables import INDEX_TABLES

_Cells = tuple[Any, ...]


class IndexCheck:
    """Walks every index table in log order beside the entries.

    Args:
        connection: A reading transaction.
        faults: Where faults are noted.
    """

    def __init__(self, connection: Connection, faults: Faults) -> None:
        self._walks = [
            _Walk(table, index_rows(connection, table), faults) for table in INDEX_TABLES
        ]
        self._by_name = {walk.name: walk for walk in self._walks}

    def entry(self, index: int, rows: list[Row]) -> None:
        """Compare the rows of the next entry with those that it derives to."""
        expected: dict[str, list[_Cells]] = {}
        for table, cells in rows:
            expected.setdefault(table.name, []).append(cells)
        for walk in self._walks:
            if walk.name in expected or walk.next_entry <= index:
                walk.compare(index, expected.get(walk.name, []))

    def finish(self) -> None:
        """Report rows that belong to no entry."""
        for walk in self._walks:
            walk.finish()


class _Walk:
    """The rows of one index table in log order, with a look at the next one."""

    def __init__(self, table: Table, rows: Iterator[_Cells], faults: Faults) -> None:
        self.name = table.name
        self.columns = tuple(column.name for column in table.columns)
        self.next_entry: float = 0
        self._next: _Cells | None = None
        self._rows = rows
        self._faults = faults
        self._readable = True
        self._advance()

    def compare(self, index: int, expected: list[_Cells]) -> None:
        found: list[_Cells] = []
        while self._next is not None and self.next_entry <= index:
            if self.next_entry == index:
                found.append(self._next)
            else:
                self._report_stray(self._next)
            self._advance()
        if found == expected or not self._readable:
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
        while self._next is not None:
            self._report_stray(self._next)
            self._advance()

    def _report_stray(self, row: _Cells) -> None:
        self._faults.add(
            "index-extra",
            f"index {self.name}, entry {row[0]}",
            "this row belongs to no entry of the log.",
        )

    def _advance(self) -> None:
        self._next, self.next_entry = None, float("inf")
        try:
            for row in self._rows:
                if row[0] is not None:
                    self._next, self.next_entry = row, row[0]
                    return
                self._report_stray(row)
        except UnreadableTextError:
            self._readable = False
            self._faults.add(
                "index-changed",
                f"index {self.name}",
                "a text in it is not UTF-8; the rows from there on were not compared.",
            )
