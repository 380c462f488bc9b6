"""Erasure: a data subject's key and sealed data are destroyed, and a signed entry says so.

Rows go and the statement comes in one transaction. What the database may still hold of them
elsewhere (free pages, copies that a page split left behind, old versions of rows) goes after it:
the store is rebuilt (`Store.scrub`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, select

from affidavit.errors import (
    LedgerCorruptError,
    LedgerError,
    NotFoundError,
    VerificationError,
)
from affidavit.lineage._ledger import Ledger
from affidavit.lineage._merkle import CompactRange, leaf_hash
from affidavit.lineage._predicates import HOLD
from affidavit.lineage._records import parse_entry
from affidavit.lineage._store import open_store
from affidavit.lineage.tables import ENTRY, PAYLOAD, SUBJECT_KEY

_ENVELOPE = b'{"payload":'


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased.

    Args:
        entry: The log index of the statement that says so.
        payloads: How many records' personal data was destroyed.
        key: Whether the data subject had a key, which was destroyed.
        wrapped: The destroyed key as it was kept, to look for what may be left of it.
    """

    entry: int
    payloads: int
    key: bool
    wrapped: bytes


def erase_subject(ledger: Ledger, subject: str, statement: Callable[[int, bool], bytes]) -> Erasure:
    """Destroy a data subject's key and sealed data; `scrub` the store afterwards.

    Args:
        ledger: The log.
        subject: The store's pseudonym of the data subject.
        statement: Gives the entry that says so, for the number of payloads and whether there was a
            key.

    Raises:
        NotFoundError: Nothing is kept about the data subject.
        LedgerCorruptError: The entries are not those that were logged; nothing was changed.
        LedgerError: A legal hold is in force, or the statement is no entry; nothing was changed.
        LedgerUnavailableError: Nothing was changed.
    """
    before = ledger.head().size
    holds = _Holds(subject)
    holds.read(ledger.entries(0, before))
    with ledger.transaction() as log:
        connection = log.connection
        holds.read(_entries(connection, before))
        if holds.tree.size != log.tree.size or holds.tree.root() != log.tree.root():
            raise LedgerCorruptError(
                "The entries are not those that were logged, so that a legal hold cannot be ruled "
                "out; nothing was erased.",
                hint="Run `affidavit verify` to see which entry is wrong.",
            )
        if holds.held:
            raise LedgerError(
                "A legal hold is in force on this data subject; nothing was erased.",
                hint="`affidavit hold --release` ends it, once whoever ordered it agrees.",
            )
        ledger.store.begin_erasure(connection)
        row = connection.execute(
            select(SUBJECT_KEY.c.wrapped).where(SUBJECT_KEY.c.subject == subject)
        ).first()
        mine = PAYLOAD.c.subject == subject
        count = int(
            connection.execute(select(func.count()).select_from(PAYLOAD).where(mine)).scalar() or 0
        )
        if row is None and not count:
            raise NotFoundError(
                "Nothing is kept about this data subject.",
                hint="It was erased before, or was never known by this name: give the value that "
                "`@aff.serve(subject=…)` takes, or the id of a prediction made without one.",
            )
        connection.execute(delete(PAYLOAD).where(mine))
        connection.execute(delete(SUBJECT_KEY).where(SUBJECT_KEY.c.subject == subject))
        (entry,) = log.add([statement(count, row is not None)])
    return Erasure(entry, count, row is not None, bytes(row[0]) if row else b"")


def held(ledger: Ledger, subject: str) -> bool:
    """Return whether a legal hold is in force on a data subject.

    Args:
        ledger: The log.
        subject: The store's pseudonym of the data subject.
    """
    holds = _Holds(subject)
    holds.read(ledger.entries())
    return holds.held


def scrub(where: Path | str, gone: bytes = b"") -> int:
    """Rebuild a store so that nothing that was deleted from it stays in its files.

    Args:
        where: The store: the path of a SQLite file, or a ``postgresql://`` URL.
        gone: Bytes that must not be found afterwards.

    Returns:
        How many bytes of its files were searched for them.

    Raises:
        LedgerUnavailableError: Somebody else uses the store; what was deleted is still in its
            files.
        LedgerCorruptError: The bytes are still there.
    """
    store = open_store(where)
    try:
        return store.scrub(gone)
    finally:
        store.close()


class _Holds:
    """Reads legal holds from the entries themselves: an index row may have been edited."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self.held = False
        self.tree = CompactRange()

    def read(self, entries: Iterator[tuple[int, bytes]]) -> None:
        for _, body in entries:
            self.tree.append(leaf_hash(body))
            if body.startswith(_ENVELOPE):
                self._read_one(body)

    def _read_one(self, body: bytes) -> None:
        try:
            parsed = parse_entry(body)
        except VerificationError:
            return
        if isinstance(parsed, dict) or parsed[1].predicate_type != HOLD:
            return
        if any(resource.sha256 == self._subject for resource in parsed[1].subjects):
            # Whatever is not plainly a release holds.
            self.held = parsed[1].predicate.get("outcome") != "released"


def _entries(connection: Connection, start: int) -> Iterator[tuple[int, bytes]]:
    query = select(ENTRY.c.entry, ENTRY.c.body).where(ENTRY.c.entry >= start)
    for index, body in connection.execute(query.order_by(ENTRY.c.entry)):
        yield index, bytes(body)
