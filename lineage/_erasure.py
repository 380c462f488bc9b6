"""Erasure: a data subject's key and sealed data are destroyed, and a signed entry says so.

Rows go and the statement comes in one transaction. What the database may still hold of them
elsewhere (free pages, copies that a page split left behind, old versions of rows) goes after it:
the store is rebuilt (`Store.scrub`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, func, select

from affidavit.errors import (
    LedgerCorruptError,
    LedgerError,
    NotFoundError,
    VerificationError,
)
from affidavit.lineage._ledger import Ledger
from affidavit.lineage._predicates import HOLD
from affidavit.lineage._pruned import Survey, leaves, read_statement
from affidavit.lineage._statement import Statement
from affidavit.lineage._store import open_store
from affidavit.lineage.tables import PAYLOAD, SUBJECT_KEY


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
    with ledger.store.reading() as connection:
        holds.read(leaves(connection, 0, before))
    with ledger.transaction() as log:
        connection = log.connection
        holds.read(leaves(connection, before, log.tree.size))
        check_whole(holds.survey, log.tree.size, log.tree.root(), log.statements)
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
    holds: dict[str, bool] = {}
    for _, body in ledger.entries():
        statement = read_statement(body)
        if statement is not None:
            note_hold(statement, holds)
    return holds.get(subject, False)


def scrub(where: Path | str, gone: bytes = b"", *, entries: bool = False) -> int:
    """Rebuild a store so that nothing that was deleted from it stays in its files.

    Args:
        where: The store: the path of a SQLite file, or a ``postgresql://`` URL.
        gone: Bytes that must not be found afterwards.
        entries: Entries were removed as well, not only personal data beside them.

    Returns:
        How many bytes of its files were searched for them.

    Raises:
        LedgerUnavailableError: Somebody else uses the store; what was deleted is still in its
            files.
        LedgerCorruptError: The bytes are still there.
    """
    store = open_store(where)
    try:
        return store.scrub(gone, entries=entries)
    finally:
        store.close()


def check_whole(survey: Survey, size: int, root: bytes, statements: int | None) -> None:
    """Accept what was read as the whole log, so that no legal hold was removed from it, or raise.

    Args:
        survey: What was read.
        size: Of the log, as its newest checkpoint signs.
        root: Likewise.
        statements: Likewise, where it says so.

    Raises:
        LedgerCorruptError: It is not what was logged.
    """
    try:
        survey.check(size, root, statements)
    except VerificationError as error:
        raise LedgerCorruptError(
            "The entries are not those that were logged, so that a legal hold cannot be ruled "
            f"out; nothing was erased. {error.message}",
            hint="Run `affidavit verify` to see which entry is wrong.",
        ) from error


class _Holds:
    """Reads legal holds from the entries themselves: an index row may have been edited."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._holds: dict[str, bool] = {}
        self.survey = Survey()

    @property
    def held(self) -> bool:
        return self._holds.get(self._subject, False)

    def read(self, found: Iterable[tuple[int, bytes | None, bytes]]) -> None:
        for index, body, leaf in found:
            statement = self.survey.take(index, body, leaf)
            if statement is not None:
                note_hold(statement, self._holds)


def note_hold(statement: Statement, holds: dict[str, bool]) -> None:
    """Take note of a statement where it puts or ends a legal hold.

    Args:
        statement: The next statement in log order.
        holds: Whether one is in force, by the store's pseudonym of a data subject.
    """
    if statement.predicate_type == HOLD:
        for resource in statement.subjects:
            # Whatever is not plainly a release holds.
            holds[resource.sha256] = statement.predicate.get("outcome") != "released"
