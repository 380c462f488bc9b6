"""What the gate is told of a model's lineage: how many of its inputs were read under a policy."""

from __future__ import annotations

from typing import Any

from affidavit._evidence import attributed_statement
from affidavit._home import Home
from affidavit._read import Reader
from affidavit.lineage import Resource, Statement


def lineage_evidence(
    home: Home, run: Statement, *, verified: bool
) -> tuple[dict[str, Any], list[int]]:
    """Return how many inputs a training had, and how many were not read under a policy.

    Args:
        home: Whose ledger it is in.
        run: The training's statement.
        verified: Whether it counts.

    Returns:
        The evidence, and the log indexes that it was read from.

    Raises:
        VerificationError: A statement does not hold.
    """
    inputs = run.predicate["buildDefinition"].get("resolvedDependencies", [])
    digests = sorted({Resource.from_json(item).digest for item in inputs})
    entries, ungoverned = [], 0
    for digest in digests:
        index = _governed_read(home, digest)
        if index is None:
            ungoverned += 1
        else:
            entries.append(index)
    return {"verified": verified, "inputs": len(digests), "ungoverned": ungoverned}, entries


def _governed_read(home: Home, digest: str) -> int | None:
    """Return the newest statement by a key that counts that a policy let this content be read."""
    for index in Reader(home).evidence(digest, "dataset"):
        statement, revoked = attributed_statement(home, index)
        if revoked is None and statement.predicate.get("outcome") == "read":
            return index
    return None
