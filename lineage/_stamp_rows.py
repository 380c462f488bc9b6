"""Time stamps kept beside the checkpoints that they are over, and checked against them.

They are no part of the tree: an authority answers after the checkpoint is signed. A store that was
made before there were any has no table for them; it is made with the first.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, inspect, select

from affidavit.errors import LedgerError, NotFoundError, VerificationError
from affidavit.lineage._checkpoint import open_checkpoint
from affidavit.lineage._findings import Faults
from affidavit.lineage._ledger import Ledger
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._time_stamp import Stamped, TimeStamp, TimeStampAuthority
from affidavit.lineage.tables import CHECKPOINT, TIME_STAMP, insert_rows


def keep_stamp(ledger: Ledger, note: bytes, response: bytes, authority: TimeStampAuthority) -> None:
    """Keep a time stamp of a checkpoint that is in the store; once, however often it is called.

    Args:
        ledger: The log.
        note: The checkpoint's signed note, as it stands in the store.
        response: The authority's answer.
        authority: What it is verified against before it is kept.

    Raises:
        VerificationError: The stamp does not hold for the note.
        LedgerError: The note is not in the store, or the store cannot be written.
    """
    authority.verify(response, note)
    size = open_checkpoint(note, ledger.verifier).size
    digest = hashlib.sha256(response).hexdigest()
    with ledger.store.writing() as connection:
        TIME_STAMP.create(connection, checkfirst=True)
        row = connection.execute(select(CHECKPOINT.c.note).where(CHECKPOINT.c.size == size)).first()
        if row is None or bytes(row[0]) != note:
            raise LedgerError(
                f"The checkpoint of {size} entries that was stamped is not the one in the store.",
                hint="Run `affidavit verify`, then stamp the newest one.",
            )
        mine = (TIME_STAMP.c.size == size) & (TIME_STAMP.c.digest == digest)
        if connection.execute(select(TIME_STAMP.c.size).where(mine)).first() is None:
            insert_rows(connection, TIME_STAMP, [(size, digest, response)])


def stamps_of(ledger: Ledger, size: int) -> list[bytes]:
    """Return the answers that are kept for the checkpoint of a size, not verified."""
    with ledger.store.reading() as connection:
        if not _has_table(connection):
            return []
        query = select(TIME_STAMP.c.response).where(TIME_STAMP.c.size == size)
        rows = connection.execute(query.order_by(TIME_STAMP.c.digest)).fetchall()
    return [bytes(row[0]) for row in rows if isinstance(row[0], bytes)]


def newest_stamped(ledger: Ledger, above: int = 0) -> bytes:
    """Return the note of the largest checkpoint with a time stamp kept, not verified.

    Args:
        ledger: The log.
        above: Only checkpoints of more entries count.

    Raises:
        NotFoundError: There is none.
        CheckpointError: It is not a checkpoint of this log.
    """
    row = None
    with ledger.store.reading() as connection:
        if _has_table(connection):
            query = select(CHECKPOINT.c.note).join(
                TIME_STAMP, TIME_STAMP.c.size == CHECKPOINT.c.size
            )
            query = query.where(CHECKPOINT.c.size > above).order_by(CHECKPOINT.c.size.desc())
            row = connection.execute(query.limit(1)).first()
    if row is None:
        raise NotFoundError(
            "No checkpoint has a time stamp.", hint="`affidavit timestamp` asks for one."
        )
    note = bytes(row[0])
    open_checkpoint(note, ledger.verifier)
    return note


def check_stamps(
    connection: Connection,
    verifier: NoteVerifier,
    authorities: tuple[TimeStampAuthority, ...],
    faults: Faults,
) -> tuple[Stamped, ...]:
    """Return the time stamps that hold; each kept one must be over the checkpoint of its size.

    A stamp by none of the authorities is a fault too: say which ones count, or give none.

    Args:
        connection: A reading transaction.
        verifier: The pinned log key.
        authorities: Who may have stamped.
        faults: Where faults are noted.
    """
    if not authorities or not _has_table(connection):
        return ()
    query = (
        select(TIME_STAMP.c.size, TIME_STAMP.c.digest, TIME_STAMP.c.response, CHECKPOINT.c.note)
        .join(CHECKPOINT, CHECKPOINT.c.size == TIME_STAMP.c.size, isouter=True)
        .order_by(TIME_STAMP.c.size, TIME_STAMP.c.digest)
    )
    found: list[Stamped] = []
    for size, digest, response, note in connection.execute(query):
        try:
            stamp = _check_row(verifier, authorities, (size, digest, response, note))
        except VerificationError as error:
            faults.add("time-stamp-invalid", f"time stamp of checkpoint {size}", error.message)
        else:
            found.append(Stamped(size, stamp, response))
    return tuple(found)


def _check_row(
    verifier: NoteVerifier, authorities: tuple[TimeStampAuthority, ...], row: tuple[Any, ...]
) -> TimeStamp:
    size, digest, response, note = row
    if not isinstance(note, bytes) or open_checkpoint(note, verifier).size != size:
        raise VerificationError("there is no checkpoint of this size.")
    if not isinstance(response, bytes) or hashlib.sha256(response).hexdigest() != digest:
        raise VerificationError("its bytes are not those that were kept.")
    said: list[str] = []
    for authority in authorities:
        try:
            return authority.verify(response, note)
        except VerificationError as error:
            said.append(error.message)
    raise VerificationError(
        f"{' '.join(dict.fromkeys(said))} If another authority made it, give its certificates too."
    )


def _has_table(connection: Connection) -> bool:
    return inspect(connection).has_table(TIME_STAMP.name)
