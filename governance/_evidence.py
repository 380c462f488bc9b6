"""One statement, checked on its own: its place in the log, its signature, and the key's role."""

from __future__ import annotations

from affidavit._home import Home
from affidavit.errors import EnvelopeError, ProofError, VerificationError
from affidavit.lineage import (
    APPROVAL,
    TRUST_ROOT,
    Checkpoint,
    Envelope,
    PublicKey,
    Statement,
    TrustRoot,
    leaf_hash,
    open_checkpoint,
    parse_entry,
    role_for,
    verify_inclusion,
)


def verified_statement(home: Home, index: int) -> Statement:
    """Return a statement that the newest checkpoint covers and a trusted key has signed.

    Args:
        home: Whose ledger it is in.
        index: Its log index.

    Raises:
        VerificationError: Its bytes, its place, its signature or the key's role do not hold.
    """
    envelope, statement = _included(home, index)
    try:
        if statement.predicate_type == TRUST_ROOT:
            _check_root(home, envelope)
        else:
            _check_signer(_root_before(home, index), envelope, statement)
    except EnvelopeError as error:
        raise EnvelopeError(f"Entry {index}: {error.message}", index=index) from error
    return statement


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


def _included(home: Home, index: int) -> tuple[Envelope, Statement]:
    parsed = parse_entry(included_entry(home, index)[0])
    if isinstance(parsed, dict):
        raise VerificationError(f"Entry {index} is a record, not a statement.", index=index)
    return parsed


def _check_signer(root: TrustRoot, envelope: Envelope, statement: Statement) -> None:
    signer = root.keys[envelope.verify(root.find(role_for(statement)).get)].identity
    if statement.predicate_type == APPROVAL and statement.predicate.get("actor") != signer:
        raise EnvelopeError(f"The approval names another person than {signer!r}, who signed it.")


def _root_before(home: Home, index: int) -> TrustRoot:
    from affidavit._read import Reader

    at = Reader(home, settled=False).newest("trust-root", before=index)
    if at is None:
        raise EnvelopeError("No trust root is in force there.", index=index)
    envelope, statement = _included(home, at)
    _check_root(home, envelope)
    return TrustRoot.parse(statement)


def _check_root(home: Home, envelope: Envelope) -> None:
    pinned = PublicKey(home.verifier.public)
    envelope.verify({pinned.keyid: pinned}.get)
