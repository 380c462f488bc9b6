"""The ledger: entries in, checkpoints out, one transaction for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from affidavit.errors import (
    LedgerCorruptError,
    LedgerError,
    NotFoundError,
    SubjectKeyConflictError,
    VerificationError,
)
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._index import rows_of, write_index
from affidavit.lineage._merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
)
from affidavit.lineage._note import NoteSigner, NoteVerifier
from affidavit.lineage._payloads import SealedPayload
from affidavit.lineage._records import MAX_ENTRY, Parsed, parse_entry
from affidavit.lineage._store import open_store
from affidavit.lineage._tiles import TileReader, extend_tiles
from affidavit.lineage.tables import CHECKPOINT, ENTRY, PAYLOAD, SUBJECT_KEY, insert_rows

__all__ = ["MAX_ENTRY", "Appending", "Ledger"]

_INDEX_LIMIT = 2**63 - 1
# How many values one query names: below what any SQLite permits.
_PARAMETERS = 500
_NEWEST = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"


@dataclass(slots=True)
class Appending:
    """A write transaction on the log.

    Args:
        connection: The store's.
        tree: The right edge of the tree as it grows.
    """

    connection: Connection
    tree: CompactRange

    def add(
        self,
        bodies: Sequence[bytes],
        payloads: Sequence[SealedPayload] = (),
        parsed: Sequence[Parsed] | None = None,
    ) -> list[int]:
        """Add entries and the personal data beside them.

        Args:
            bodies: The entries' exact bytes.
            payloads: Personal data that goes beside them.
            parsed: What the entries say, where that was read already.

        Returns:
            The entries' log indexes.

        Raises:
            LedgerError: An entry is too large or is neither a signed statement nor a record.
            SubjectKeyConflictError: A payload is sealed under another key than the stored one.
        """
        if not bodies:
            return []
        said = parsed or [_parsed(body) for body in bodies]
        first = self.tree.size
        rows = [{"entry": first + n, "body": body} for n, body in enumerate(bodies)]
        insert_rows(self.connection, ENTRY, rows)
        extend_tiles(self.connection, self.tree, [leaf_hash(body) for body in bodies])
        _write_payloads(self.connection, payloads)
        write_index(
            self.connection,
            [row for n, entry in enumerate(said) for row in rows_of(first + n, entry)],
        )
        return list(range(first, self.tree.size))


class Ledger:
    """An append-only log in a store.

    Args:
        where: The store: the path of a SQLite file, or a ``postgresql://`` URL.
        verifier: The log's public key, pinned by the caller; its name is the log's origin.
        signer: The log's private key; without it the ledger can be read only.
        create: Make a new ledger.
        first: What a new ledger begins with.

    Raises:
        LedgerUnavailableError: The store cannot be opened.
        LedgerCorruptError: The store is not a ledger.
    """

    def __init__(
        self,
        where: Path | str,
        verifier: NoteVerifier,
        *,
        signer: NoteSigner | None = None,
        create: bool = False,
        first: Sequence[bytes] = (),
    ) -> None:
        if create and signer is None:
            raise LedgerError("A new ledger is made with its key.", hint="Pass the signer.")
        if signer is not None and signer.verifier != verifier:
            raise LedgerError(
                f"The log key does not belong to the pinned public key of {verifier.name!r}.",
                hint="Restore keys/log.pem and log.pub from one backup.",
            )
        self.verifier = verifier
        self._signer = signer
        self._edge: CompactRange | None = None
        # The newest note whose signature was checked; no need to check the same bytes again.
        self._opened = (b"", Checkpoint(verifier.name, 0, EMPTY_ROOT))
        self.store = open_store(where, create=create)
        if create:
            with self.store.writing() as connection:
                self.store.create_tables(connection)
                tree = CompactRange()
                self._write_checkpoint(connection, tree)
                if first:
                    Appending(connection, tree).add(first)
                    self._write_checkpoint(connection, tree)

    def append(self, bodies: Sequence[bytes], payloads: Sequence[SealedPayload] = ()) -> list[int]:
        """Append entries and sign the checkpoint that covers them, in one transaction.

        Args:
            bodies: The entries' exact bytes.
            payloads: Personal data that goes beside them.

        Returns:
            The entries' log indexes.

        Raises:
            LedgerError: An entry is too large or is neither a signed statement nor a record, or
                this ledger has no key to sign with.
            LedgerUnavailableError: Nothing was written.
            LedgerCorruptError: The stored tree does not agree with its own checkpoint.
        """
        if not bodies:
            return []
        parsed = [_parsed(body) for body in bodies]
        with self.transaction() as open_log:
            return open_log.add(bodies, payloads, parsed)

    @contextmanager
    def transaction(self) -> Iterator[Appending]:
        """A write transaction in which entries are added beside other changes to the store.

        Where entries were added, the checkpoint that covers them is signed at the end.

        Raises:
            LedgerUnavailableError: Nothing was written.
            LedgerCorruptError: The stored tree does not agree with its own checkpoint.
        """
        with self.store.writing() as connection:
            tree = self._head(connection).copy()
            before = tree.size
            yield Appending(connection, tree)
            if tree.size > before:
                self._write_checkpoint(connection, tree)
        self._edge = tree

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint as its signed note.

        Raises:
            LedgerCorruptError: There is none.
            CheckpointError: It is not signed by the pinned key.
        """
        with self.store.reading() as connection:
            note = _newest_note(connection)
        open_checkpoint(note, self.verifier)
        return note

    def head(self) -> Checkpoint:
        """Return the newest checkpoint, its signature checked."""
        return open_checkpoint(self.checkpoint(), self.verifier)

    def entry(self, index: int) -> bytes:
        """Return one entry's bytes.

        Raises:
            NotFoundError: There is no such entry.
        """
        row = None
        if 0 <= index < _INDEX_LIMIT:
            with self.store.reading() as connection:
                row = connection.execute(select(ENTRY.c.body).where(ENTRY.c.entry == index)).first()
        if row is None:
            raise NotFoundError(
                f"There is no entry {index}.", hint="`affidavit log` lists what there is."
            )
        return bytes(row[0])

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Give (index, bytes) of the entries from start up to stop, in order."""
        query = select(ENTRY.c.entry, ENTRY.c.body).where(
            ENTRY.c.entry >= min(max(start, 0), _INDEX_LIMIT)
        )
        if stop is not None:
            query = query.where(ENTRY.c.entry < min(max(stop, 0), _INDEX_LIMIT))
        with self.store.reading() as connection:
            result = connection.execution_options(yield_per=1000).execute(
                query.order_by(ENTRY.c.entry)
            )
            for index, body in result:
                yield index, bytes(body)

    def inclusion(self, index: int) -> tuple[bytes, list[bytes]]:
        """Return the newest checkpoint's note and the proof that it covers an entry.

        Raises:
            ProofError: The entry is not in the tree.
        """
        with self.store.reading() as connection:
            note = _newest_note(connection)
            size = open_checkpoint(note, self.verifier).size
            return note, inclusion_proof(index, size, TileReader(connection).subtree)

    def consistency(self, old: int) -> tuple[bytes, list[bytes]]:
        """Return the newest checkpoint's note and the proof that it extends an older size.

        Raises:
            ProofError: The old size is above the present one.
        """
        with self.store.reading() as connection:
            note = _newest_note(connection)
            size = open_checkpoint(note, self.verifier).size
            return note, consistency_proof(old, size, TileReader(connection).subtree)

    def payload(self, identifier: str) -> SealedPayload | None:
        """Return a record's sealed personal data, or None where there is none or it was erased."""
        query = (
            select(PAYLOAD.c.subject, PAYLOAD.c.sealed, SUBJECT_KEY.c.wrapped)
            .join(SUBJECT_KEY, SUBJECT_KEY.c.subject == PAYLOAD.c.subject)
            .where(PAYLOAD.c.id == identifier)
        )
        with self.store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return SealedPayload(identifier, row[0], bytes(row[1]), bytes(row[2]))

    def subject_keys(self, subjects: Sequence[str]) -> dict[str, bytes]:
        """Return the wrapped keys that are stored, by data subject.

        Args:
            subjects: The store's pseudonyms of data subjects.
        """
        with self.store.reading() as connection:
            return stored_keys(connection, subjects)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _head(self, connection: Connection) -> CompactRange:
        note = _newest_note(connection)
        if note != self._opened[0]:
            self._opened = (note, open_checkpoint(note, self.verifier))
        checkpoint = self._opened[1]
        edge = self._edge
        if edge is None or edge.size != checkpoint.size or edge.root() != checkpoint.root:
            edge = TileReader(connection).edge(checkpoint.size)
            if edge.root() != checkpoint.root:
                raise LedgerCorruptError(
                    f"The tree of {checkpoint.size} entries does not have the root that its own "
                    "checkpoint signs; nothing is appended to a damaged log.",
                    hint="Run `affidavit verify` to see which entry is wrong.",
                )
        return edge

    def _write_checkpoint(self, connection: Connection, tree: CompactRange) -> None:
        if self._signer is None:
            raise LedgerError(
                "This ledger was opened without its key; nothing can be appended.",
                hint="Restore keys/log.pem.",
            )
        note = Checkpoint(self.verifier.name, tree.size, tree.root()).signed(self._signer)
        insert_rows(connection, CHECKPOINT, [{"size": tree.size, "note": note}])


def _parsed(body: bytes) -> Parsed:
    # What is logged stays: an entry that no verification accepts must not get in.
    if len(body) > MAX_ENTRY:
        raise LedgerError(
            f"An entry has {len(body)} bytes; at most {MAX_ENTRY} are logged.",
            hint="Keep large content in an artifact and log its digest.",
        )
    try:
        return parse_entry(body)
    except VerificationError as error:
        raise LedgerError(f"An entry would not verify: {error.message}") from error


def _write_payloads(connection: Connection, payloads: Sequence[SealedPayload]) -> None:
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
    fresh = [
        {"subject": subject, "wrapped": wrapped}
        for subject, wrapped in wanted.items()
        if subject not in known
    ]
    if fresh:
        insert_rows(connection, SUBJECT_KEY, fresh)
    sealed = [{"id": p.id, "subject": p.subject, "sealed": p.sealed} for p in payloads]
    insert_rows(connection, PAYLOAD, sealed)


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


def _newest_note(connection: Connection) -> bytes:
    row = connection.exec_driver_sql(_NEWEST).first()
    if row is None:
        raise LedgerCorruptError(
            "The ledger has no checkpoint.", hint="Restore the folder from a backup."
        )
    return bytes(row[0])
