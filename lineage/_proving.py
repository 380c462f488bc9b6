"""Proofs made from a ledger's tiles, and checked before they leave it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from affidavit.errors import ProofError
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._ledger import Ledger
from affidavit.lineage._merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from affidavit.lineage._tiles import TileReader
from affidavit.lineage._tlog_proof import TlogProof


def prove_entry(ledger: Ledger, index: int, checkpoint: bytes | None = None) -> TlogProof:
    """Return the proof that an entry is in the log.

    Args:
        ledger: The log.
        index: The entry's log index.
        checkpoint: A signed note of this log that covers the entry; the newest by default.

    Raises:
        NotFoundError: There is no such entry.
        ProofError: The checkpoint does not cover the entry, or the stored bytes are not those that
            were logged.
        CheckpointError: The checkpoint is not one of this log.
    """
    (proof,) = prove_entries(ledger, [index], checkpoint)
    return proof


def prove_entries(
    ledger: Ledger, indexes: Sequence[int], checkpoint: bytes | None = None
) -> list[TlogProof]:
    """Return the proofs of several entries under one checkpoint; the same as one by one.

    Raises:
        NotFoundError: There is no such entry.
        ProofError: The checkpoint does not cover an entry, or the stored bytes are not those that
            were logged.
        CheckpointError: The checkpoint is not one of this log.
    """
    bodies = [ledger.entry(index) for index in indexes]
    note = checkpoint or ledger.checkpoint()
    head = open_checkpoint(note, ledger.verifier)
    with ledger.store.reading() as connection:
        subtree = functools.cache(TileReader(connection).subtree)
        paths = [inclusion_proof(index, head.size, subtree) for index in indexes]
    for index, body, path in zip(indexes, bodies, paths, strict=True):
        try:
            verify_inclusion(index, head.size, leaf_hash(body), path, head.root)
        except ProofError as error:
            raise ProofError(
                f"Entry {index} is not the one that was logged: {error.message}",
                hint="Run `affidavit verify` to see what is damaged.",
                index=index,
            ) from error
    return [TlogProof(index, tuple(path), note) for index, path in zip(indexes, paths, strict=True)]


def prove_extension(
    ledger: Ledger, old: Checkpoint, new: Checkpoint | None = None
) -> tuple[Checkpoint, list[bytes]]:
    """Return the proof that the log extends an older checkpoint of itself.

    Args:
        ledger: The log.
        old: The older checkpoint, its signature checked.
        new: The newer checkpoint, likewise; the newest by default.

    Returns:
        The newer checkpoint and the consistency proof between the two (RFC 6962 §2.1.2).

    Raises:
        ProofError: The log does not extend the older checkpoint.
    """
    new = new or ledger.head()
    path = consistency_path(ledger, old.size, new.size)
    verify_consistency(old.size, new.size, old.root, new.root, path)
    return new, path


def consistency_path(ledger: Ledger, old: int, new: int) -> list[bytes]:
    """Return the consistency proof between two sizes of the log, not checked against any root.

    Raises:
        ProofError: The old size is above the new one.
    """
    if old > new:
        raise ProofError(
            f"The older checkpoint signs {old} entries, the log has {new}: entries were cut off.",
            hint="Restore the ledger from a backup, and find out who changed it.",
        )
    with ledger.store.reading() as connection:
        return consistency_proof(old, new, TileReader(connection).subtree)
