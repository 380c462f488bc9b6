"""Who approved a model and still does, and who made it."""

from __future__ import annotations

from typing import Any

from affidavit._evidence import attributed_statement
from affidavit._home import Home
from affidavit._read import Reader
from affidavit.lineage import RUN_FIELD

APPROVED, WITHDRAWN = "approved", "withdrawn"


def standing_approvals(home: Home, digest: str) -> tuple[list[dict[str, Any]], list[int]]:
    """Return what each person said last about a model, as evidence for the policy.

    An approval by a key that is revoked from there on is listed as not verified. A withdrawal
    counts whatever became of its key: who stole it can take an approval away, and cannot give one.

    Args:
        home: Whose ledger it is in.
        digest: The model file's digest.

    Returns:
        The evidence, a person once, and the log indexes that it was read from.

    Raises:
        VerificationError: A statement does not hold.
    """
    found: dict[str, dict[str, Any]] = {}
    settled: set[str] = set()
    entries = []
    for index in Reader(home).evidence(digest, "approval"):  # newest first
        statement, revoked = attributed_statement(home, index)
        entries.append(index)
        predicate = statement.predicate
        counts = revoked is None or predicate.get("outcome") == WITHDRAWN
        who = _identity(str(predicate["actor"]))
        if who not in settled and (counts or who not in found):
            found[who] = {
                "verified": counts,
                "approver": str(predicate["actor"]),
                "time": predicate["time"],
                "outcome": str(predicate.get("outcome", "")),
            }
        if counts:
            settled.add(who)
    return list(found.values()), entries


def makers(home: Home, digest: str) -> tuple[list[str], list[int]]:
    """Return the actors of every run that a model came out of, directly or through its inputs.

    Args:
        home: Whose ledger it is in.
        digest: The model file's digest.

    Returns:
        The actors, in alphabetical order, and the log indexes of the runs.

    Raises:
        VerificationError: A run's statement does not hold.
    """
    reader = Reader(home)
    actors: set[str] = set()
    seen, entries, waiting = {digest}, set[int](), [digest]
    while waiting:
        for row in reader.makers(waiting.pop()):
            index = int(row["entry"])
            if index in entries:
                continue
            entries.add(index)
            if row["kind"] == "run":
                # A run whose recorder's key was revoked says who made it all the same.
                actors.add(str(attributed_statement(home, index)[0].predicate[RUN_FIELD]["actor"]))
            sources = {str(part["digest"]) for part in reader.parts(index, "input")} - seen
            seen |= sources
            waiting += sorted(sources)
    return sorted(actors), sorted(entries)


def _identity(person: str) -> str:
    # As the policy compares names: two spellings of one name are one person.
    return person.strip().lower()
