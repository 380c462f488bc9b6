"""How rows are sent to PostgreSQL: few of them together with the commit, many of them as a copy.

Each statement of its own costs a way to the server and back while the lock is held. What nobody
waits for is therefore kept until something is read, or until the commit, and sent in one pipeline
(PostgreSQL 15 §34.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Table

_FEW = 24
"""Of more rows than this, a copy is the faster."""
_TYPES = ((LargeBinary, "bytea"), (BigInteger, "int8"), (Integer, "int4"), (Boolean, "bool"))


class Writes:
    """What was written in a transaction and has not been sent."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Sequence[Any]]] = []

    def add(self, sql: str, values: Sequence[Any]) -> None:
        """Keep a statement whose result nobody needs."""
        self._waiting.append((sql, values))

    def insert(
        self,
        raw: psycopg.Connection[Any],
        table: Table,
        sql: str,
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Write rows of a table, one value for each column."""
        if len(rows) <= _FEW:
            self._waiting += [(sql, row) for row in rows]
            return
        self.send(raw)
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type(column.type) for column in table.columns])
            for row in rows:
                copy.write_row(row)

    def send(self, raw: psycopg.Connection[Any], last: str = "") -> None:
        """Send what waits, and one more statement, and wait until all of it is done."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            if last:
                raw.execute(last, prepare=False)
            return
        with raw.pipeline():
            for sql, values in waiting:
                raw.execute(sql, values)
            if last:
                raw.execute(last, prepare=False)


def _type(kind: Any) -> str:
    return next((name for known, name in _TYPES if isinstance(kind, known)), "text")
