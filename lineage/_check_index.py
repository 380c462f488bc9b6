"""Compares the index with what the entries derive to, entry by entry, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Table, select

from affidavit.lineage._findings import Faults
from affidavit.lineage._index import derive_rows
from affidavit.lineage.tables import INDEX_TABLES


class IndexCheck:
    """Walks every index table in log order beside the entries.

    Args:
        connection: A reading transaction.
        faults: Where faults are noted.
    """

    def __init__(self, connection: Connection, faults: Faults) -> None:
        self._faults = faults
        self._walks = {table.name: _Walk(connection, table) for table in INDEX_TABLES}

    def entry(self, index: int, body: bytes) -> None:
        """Compare the rows of the next entry."""
        expected: dict[str, list[dict[str, Any]]] = {}
        for table, values in derive_rows(index, body):
            expected.setdefault(table.name, []).append(values)
        for name, walk in self._walks.items():
            if walk.next_entry > index and name not in expected:
                continue
            self._compare(name, index, walk.take(index), expected.get(name, []))

    def finish(self) -> None:
        """Report rows that belong to no entry."""
        for name, walk in self._walks.items():
            for row in walk.rest():
                self._faults.add(
                    "index-extra",
                    f"index {name}, entry {row['entry']}",
                    "this row belongs to no entry of the log.",
                )

    def _compare(
        self, name: str, index: int, found: list[dict[str, Any]], expected: list[dict[str, Any]]
    ) -> None:
        if found == expected:
            return
        where = f"index {name}, entry {index}"
        for ordinal in range(max(len(found), len(expected))):
            has = found[ordinal] if ordinal < len(found) else None
            wants = expected[ordinal] if ordinal < len(expected) else None
            if has is None:
                self._faults.add("index-missing", where, f"row {ordinal} is missing.", index)
            elif wants is None:
                self._faults.add("index-extra", where, f"row {ordinal} is not in the entry.", index)
            elif has != wants:
                names = ", ".join(key for key in wants if has.get(key) != wants[key])
                self._faults.add(
                    "index-changed", where, f"{names} differs from what the entry says.", index
                )


class _Walk:
    """The rows of one index table in log order, with a look at the next one."""

    def __init__(self, connection: Connection, table: Table) -> None:
        query = select(table).order_by(table.c.entry, table.c.ordinal)
        rows = connection.execution_options(yield_per=1000).execute(query)
        self._rows: Iterator[dict[str, Any]] = (dict(row._mapping) for row in rows)  # noqa: SLF001  # SQLAlchemy's documented name
        self._next: dict[str, Any] | None = next(self._rows, None)

    @property
    def next_entry(self) -> float:
        """The entry of the next row, infinite at the end."""
        return float("inf") if self._next is None else float(self._next["entry"])

    def take(self, index: int) -> list[dict[str, Any]]:
        """Take the rows up to and with an entry's."""
        return self._while(lambda row: row["entry"] <= index)

    def rest(self) -> list[dict[str, Any]]:
        """Take all further rows."""
        return self._while(lambda _: True)

    def _while(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        taken = []
        while self._next is not None and wanted(self._next):
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken
