"""One statement, checked on its own: its place in the log, its signature, and the key's role."""

from __future__ import annotations

from affidavit._home import Home
from affidavit.errors import EnvelopeError, ProofError, VerificationError
from affidavit.lineage import (
    TRUST_ROOT,
    Checkpoint,
    Revoked,
    Statement,
    leaf_hash,
    open_checkpoint,
    parse_entry,
    verify_inclusion,
)


def verified_statement(home: Home, index: int) -> Statement:
    """Return a statement that the newest checkpoint covers and a trusted key has signed.

    Args:
        home: Whose ledger it is in.
        index: Its log index.

    Raises:
        VerificationError: Its bytes, its place, its signature or the key's role do not hold, or
            its key was revoked from there on.
        LedgerCorruptError: A trust root of the log does not hold.
    """
    statement, revoked = attributed_statement(home, index)
    if revoked is not None:
        raise EnvelopeError(
            f"Entry {index} is {revoked.message}.",
            hint="What rests on it has to be made anew.",
            index=index,
        )
    return statement


def attributed_statement(home: Home, index: int) -> tuple[Statement, Revoked | None]:
    """Return a statement that holds, and the revocation that reaches it where there is one.

    Args:
        home: Whose ledger it is in.
        index: Its log index.

    Raises:
        VerificationError: Its bytes, its place, its signature or the key's role do not hold.
        LedgerCorruptError: A trust root of the log does not hold.
    """
    parsed = parse_entry(included_entry(home, index)[0])
    if isinstance(parsed, dict):
        raise VerificationError(f"Entry {index} is a record, not a statement.", index=index)
    envelope, statement = parsed
    before = home.keyring.history(index)
    try:
        if statement.predicate_type == TRUST_ROOT:
            before.check(index, envelope, statement)
            return statement, None
        signer = before.signer(index, envelope, statement)
    except EnvelopeError as error:
        raise EnvelopeError(f"Entry {index}: {error.message}", index=index) from error
    return statement, home.keyring.history().reached(signer, index)


def included_entry(home: Home, index: int) -> tuple[bytes, Checkpoint, list[bytes]]:
    """Return an entry's bytes, the newest checkpoint, and the proof that it covers the entry.

    Args:
        home: Whose ledger it is in.
        index: Its log index.

    Raises:
        NotFoundError: There is no such entry.
        ProofError: The stored bytes are not those that were logged.
    """
    body = home.ledger.entry(index)
    note, path = home.ledger.inclusion(index)
    checkpoint = open_checkpoint(note, home.verifier)
    try:
        verify_inclusion(index, checkpoint.size, leaf_hash(body), path, checkpoint.root)
    except ProofError as error:
        raise ProofError(
            f"Entry {index} is not the one that was logged.",
            hint="Run `affidavit verify`.",
            index=index,
        ) from error
    return body, checkpoint, path
