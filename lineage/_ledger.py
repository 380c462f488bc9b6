"""The ledger: entries in, checkpoints out, one transaction for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Table, select

from affidavit.errors import (
    LedgerCorruptError,
    LedgerError,
    NotFoundError,
    VerificationError,
)
from affidavit.lineage._batch import Cells
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._index import rows_of_all
from affidavit.lineage._merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hashes,
)
from affidavit.lineage._note import NoteSigner, NoteVerifier
from affidavit.lineage._payloads import SealedPayload
from affidavit.lineage._pruned import count_statements, retention_of
from affidavit.lineage._records import MAX_ENTRY
from affidavit.lineage._store import open_store
from affidavit.lineage._stored_payloads import stored_keys, write_payloads
from affidavit.lineage._tiles import TileReader, extend_tiles
from affidavit.lineage.tables import CHECKPOINT, ENTRY, PAYLOAD, STATEMENT, SUBJECT_KEY, insert_rows

__all__ = ["MAX_ENTRY", "Appending", "Ledger"]

_INDEX_LIMIT = 2**63 - 1
_NEWEST = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is stored beside a run of entries.

    Args:
        first: The log index of the first entry.
        leaves: Their leaf hashes.
        rows: Their index rows by table.
    """

    first: int
    leaves: Sequence[bytes]
    rows: Mapping[Table, Sequence[Cells]]

    def moved_to(self, first: int) -> Prepared:
        """Return the same where the first entry has another log index."""
        if first == self.first:
            return self
        ahead = first - self.first
        rows = {
            table: [(cells[0] + ahead, *cells[1:]) for cells in found]
            for table, found in self.rows.items()
        }
        return Prepared(first, self.leaves, rows)


@dataclass(slots=True)
class Appending:
    """A write transaction on the log.

    Args:
        connection: The store's.
        tree: The right edge of the tree as it grows.
        statements: How many of its entries are signed statements.
    """

    connection: Connection
    tree: CompactRange
    statements: int

    def add(
        self,
        bodies: Sequence[bytes],
        payloads: Sequence[SealedPayload] = (),
        prepared: Prepared | None = None,
    ) -> list[int]:
        """Add entries and the personal data beside them.

        Args:
            bodies: The entries' exact bytes.
            payloads: Personal data that goes beside them.
            prepared: What `Ledger.prepare` made of the entries, where it did so already.

        Returns:
            The entries' log indexes.

        Raises:
            LedgerError: An entry is too large or is neither a signed statement nor a record.
            SubjectKeyConflictError: A payload is sealed under another key than the stored one.
        """
        if not bodies:
            return []
        first = self.tree.size
        ready = (prepared or _prepare(bodies, first)).moved_to(first)
        insert_rows(self.connection, ENTRY, list(enumerate(bodies, first)))
        extend_tiles(self.connection, self.tree, ready.leaves)
        self.statements += len(ready.rows.get(STATEMENT, ()))
        write_payloads(self.connection, payloads)
        for table, rows in ready.rows.items():
            insert_rows(self.connection, table, rows)
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
        # The newest note that was checked or signed here; the same bytes need no second check.
        self._opened = (b"", Checkpoint(verifier.name, 0, EMPTY_ROOT))
        self.store = open_store(where, create=create)
        if create:
            with self.store.writing() as connection:
                self.store.create_tables(connection)
                begun = Appending(connection, CompactRange(), 0)
                self._write_checkpoint(begun)
                if first:
                    begun.add(first)
                    self._write_checkpoint(begun)

    def append(
        self,
        bodies: Sequence[bytes],
        payloads: Sequence[SealedPayload] = (),
        *,
        check: Callable[[Appending], None] | None = None,
    ) -> list[int]:
        """Append entries and sign the checkpoint that covers them, in one transaction.

        Args:
            bodies: The entries' exact bytes.
            payloads: Personal data that goes beside them.
            check: Called with the transaction once nobody else can append, before anything is
                added; nothing is written where it raises.

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
        ready = self.prepare(bodies)
        with self.transaction() as open_log:
            if check is not None:
                check(open_log)
            return open_log.add(bodies, payloads, ready)

    def prepare(self, bodies: Sequence[bytes]) -> Prepared:
        """Read entries before the write lock is taken: other writers need not wait for it.

        Args:
            bodies: The entries' exact bytes; at least one.

        Raises:
            LedgerError: An entry is too large or is neither a signed statement nor a record.
        """
        # Where nobody comes in between, the log is as long as this one left it.
        return _prepare(bodies, self._edge.size if self._edge else 0)

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
            opened = self._opened
            counted = opened[1].statements
            if counted is None:
                # A checkpoint from before they were counted.
                counted = count_statements(connection)
            appending = Appending(connection, tree, counted)
            yield appending
            if tree.size > before:
                opened = self._write_checkpoint(appending)
        self._edge, self._opened = tree, opened

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
        row, pruned = None, None
        if 0 <= index < _INDEX_LIMIT:
            with self.store.reading() as connection:
                row = connection.execute(select(ENTRY.c.body).where(ENTRY.c.entry == index)).first()
                pruned = None if row else retention_of(connection, index)
        if pruned is not None:
            raise NotFoundError(
                f"Entry {index} is a record that was pruned, as the retention statement in entry "
                f"{pruned} says; the log still holds its hash.",
                hint=f"`affidavit show {pruned}` prints the statement. Whoever kept the record "
                "and its proof can still show that it was logged.",
            )
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

    def _write_checkpoint(self, now: Appending) -> tuple[bytes, Checkpoint]:
        if self._signer is None:
            raise LedgerError(
                "This ledger was opened without its key; nothing can be appended.",
                hint="Restore keys/log.pem.",
            )
        size, root = now.tree.size, now.tree.root()
        checkpoint = Checkpoint.counting(self.verifier.name, size, root, now.statements)
        note = checkpoint.signed(self._signer)
        insert_rows(now.connection, CHECKPOINT, [(size, note)])
        return note, checkpoint


def _prepare(bodies: Sequence[bytes], first: int) -> Prepared:
    """Read entries and derive what is stored beside them.

    Args:
        bodies: The entries' exact bytes.
        first: The log index that the first one will have.

    Raises:
        LedgerError: An entry is too large or is neither a signed statement nor a record.
    """
    # What is logged stays: an entry that no verification accepts must not get in.
    longest = max(map(len, bodies))
    if longest > MAX_ENTRY:
        raise LedgerError(
            f"An entry has {longest} bytes; at most {MAX_ENTRY} are logged.",
            hint="Keep large content in an artifact and log its digest.",
        )
    try:
        return Prepared(first, leaf_hashes(bodies), rows_of_all(bodies, first))
    except VerificationError as error:
        raise LedgerError(f"An entry would not verify: {error.message}") from error


def newest_checkpoint(connection: Connection, verifier: NoteVerifier) -> Checkpoint:
    """Return the newest checkpoint of a transaction's state, its signature checked.

    Raises:
        LedgerCorruptError: There is none.
        CheckpointError: It is not signed by the pinned key.
    """
    return open_checkpoint(_newest_note(connection), verifier)


def _newest_note(connection: Connection) -> bytes:
    row = connection.exec_driver_sql(_NEWEST).first()
    if row is None:
        raise LedgerCorruptError(
            "The ledger has no checkpoint.", hint="Restore the folder from a backup."
        )
    return bytes(row[0])
