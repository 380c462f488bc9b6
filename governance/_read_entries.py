"""Entries read from the ledger, and the queries that find them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select

from affidavit._spools import settle
from affidavit.errors import NotFoundError
from affidavit.lineage import Envelope, Statement, parse_entry

if TYPE_CHECKING:
    from affidavit._home import Home

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read.

    Args:
        index: Its log index.
        statement: The statement in it; None for a record.
        envelope: The envelope around the statement; None for a record.
        record: The record; None for a statement.
    """

    index: int
    statement: Statement | None
    envelope: Envelope | None
    record: Mapping[str, Any] | None


class EntryReader:
    """Reads entries of one home's ledger by their log index.

    Args:
        home: The home.
        settled: Whether what waits in spools is taken into the log before each question. Hooks
            that ask for statements only, which never wait there, go without.
    """

    def __init__(self, home: Home, *, settled: bool = True) -> None:
        self._home = home
        self._settled = settled

    def entry(self, index: int) -> Entry:
        """Return an entry.

        Raises:
            NotFoundError: There is none at that index.
            EnvelopeError: Its bytes are neither a statement nor a record.
        """
        parsed = parse_entry(self._home.ledger.entry(index))
        if isinstance(parsed, dict):
            return Entry(index, None, None, parsed)
        return Entry(index, parsed[1], parsed[0], None)

    def statement(self, index: int) -> Statement:
        """Return the statement at an index.

        Raises:
            NotFoundError: There is no statement there.
        """
        found = self.entry(index).statement
        if found is None:
            raise NotFoundError(f"Entry {index} is a record, not a statement.")
        return found

    def _rows(self, query: Select[Any]) -> list[Row]:
        self._settle()
        with self._home.ledger.store.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001  # SQLAlchemy's documented name

    def _scalar(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Any:
        self._settle()
        with self._home.ledger.store.reading() as connection:
            return connection.execute(query, values).scalar()

    def _settle(self) -> None:
        if self._settled:
            settle(self._home)
