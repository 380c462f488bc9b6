"""Sealed personal data and the keys of data subjects, as the store has them beside the log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from affidavit.errors import LedgerError, SubjectKeyConflictError
from affidavit.lineage._payloads import SealedPayload
from affidavit.lineage.tables import PAYLOAD, SUBJECT_KEY, insert_rows

# How many values one query names: below what any SQLite permits.
_PARAMETERS = 500


def write_payloads(connection: Connection, payloads: Sequence[SealedPayload]) -> None:
    """Store sealed personal data, and the keys of data subjects that have none yet.

    Args:
        connection: A writing transaction.
        payloads: What is stored.

    Raises:
        LedgerError: An id stands twice, or is stored already.
        SubjectKeyConflictError: A payload is sealed under another key than the stored one.
    """
    if not payloads:
        return
    ids = [payload.id for payload in payloads]
    wanted = {payload.subject: payload.wrapped_key for payload in payloads}
    known = stored_keys(connection, list(wanted))
    taken = [
        row
        for start in range(0, len(ids), _PARAMETERS)
        for row in connection.execute(
            select(PAYLOAD.c.id).where(PAYLOAD.c.id.in_(ids[start : start + _PARAMETERS]))
        )
    ]
    if taken or len(set(ids)) != len(ids):
        raise LedgerError("A record's personal data is stored once; its id stands twice.")
    for payload in payloads:
        if known.get(payload.subject, wanted[payload.subject]) != payload.wrapped_key:
            raise SubjectKeyConflictError(
                "Another process made a key for the same data subject at the same moment.",
                hint="Seal the payload again with the key that is stored.",
            )
    fresh = [(subject, wrapped) for subject, wrapped in wanted.items() if subject not in known]
    if fresh:
        insert_rows(connection, SUBJECT_KEY, fresh)
    insert_rows(connection, PAYLOAD, [(p.id, p.subject, p.sealed) for p in payloads])


def stored_keys(connection: Connection, subjects: Sequence[str]) -> dict[str, bytes]:
    """Return the wrapped keys that are stored, by data subject.

    Args:
        connection: A transaction on the store.
        subjects: The store's pseudonyms of data subjects.
    """
    found: dict[str, bytes] = {}
    for start in range(0, len(subjects), _PARAMETERS):
        query = select(SUBJECT_KEY.c.subject, SUBJECT_KEY.c.wrapped).where(
            SUBJECT_KEY.c.subject.in_(subjects[start : start + _PARAMETERS])
        )
        found.update((row[0], bytes(row[1])) for row in connection.execute(query))
    return found
