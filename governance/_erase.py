"""Erasure of a data subject's personal data, and the legal holds that block it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from affidavit._context import acting
from affidavit._home import Home
from affidavit._read import Reader
from affidavit._settings import Settings
from affidavit._spools import spools_of
from affidavit.errors import ConfigurationError, LedgerError, NotFoundError
from affidavit.lineage import (
    ERASURE,
    HOLD,
    Resource,
    Statement,
    erase_subject,
    held,
    scrub,
    timestamp,
)

RECIPE = "subject-pseudonym-v1"
"""The recipe of a digest that is the store's pseudonym of a data subject."""


@dataclass(frozen=True, slots=True)
class Erased:
    """The receipt of an erasure.

    Args:
        pseudonym: The name under which the store knew the data subject.
        entry: The log index of the signed statement.
        payloads: How many records' personal data was destroyed.
        bytes_searched: How many bytes of the store's files were searched for what was destroyed.
    """

    pseudonym: str
    entry: int
    payloads: int
    bytes_searched: int

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt, JSON-safe."""
        return {
            "pseudonym": self.pseudonym,
            "entry": self.entry,
            "payloads": self.payloads,
            "bytes_searched": self.bytes_searched,
        }


def erase(home: Home, settings: Settings, subject: str, reason: str = "") -> Erased:
    """Destroy a data subject's key and personal data, and log a signed statement that says so.

    Where an earlier erasure could not empty the store's files, it is finished.

    Args:
        home: Whose store.
        settings: The settings in force.
        subject: The data subject: what ``@aff.serve(subject=…)`` names, or the id of a prediction
            made without one.
        reason: Why, for the statement; it stays in the log, and must not name the person.

    Raises:
        NotFoundError: Nothing is kept about the data subject, and nothing was erased before.
        ConfigurationError: The reason names the data subject.
        LedgerError: A legal hold is in force, or the store cannot be written.
    """
    pseudonym = home.vault.pseudonym(subject)
    _check_reason(subject, reason)

    def statement(payloads: int, key: bool) -> bytes:  # noqa: FBT001  # as `erase_subject` calls it
        predicate = {
            **_facts(settings, pseudonym, "erased", reason),
            "payloads": payloads,
            "key": key,
        }
        return _about(pseudonym, ERASURE, predicate).sign(home.recorder).to_bytes()

    try:
        # What waits may hold the data subject's values, and would bring its key back.
        with spools_of(home).emptied():
            done = erase_subject(home.ledger, pseudonym, statement)
    except NotFoundError:
        before = Reader(home, settled=False).evidence(f"sha256:{pseudonym}", "erasure")
        if not before:
            raise
        count = Reader(home, settled=False).statement(before[0]).predicate.get("payloads")
        searched = scrub(home.database)
        return Erased(pseudonym, before[0], count if isinstance(count, int) else 0, searched)
    searched = scrub(home.database, done.wrapped)
    return Erased(pseudonym, done.entry, done.payloads, searched)


def hold(
    home: Home, settings: Settings, subject: str, reason: str, *, release: bool = False
) -> tuple[str, int]:
    """Put a legal hold on a data subject's personal data, or release it, as a signed entry.

    Args:
        home: Whose store.
        settings: The settings in force.
        subject: The data subject.
        reason: Why; it stays in the log, and must not name the person.
        release: End the hold.

    Returns:
        The store's pseudonym of the data subject, and the log index of the statement.

    Raises:
        ConfigurationError: There is no reason, or it names the data subject.
        LedgerError: There is no hold to release, or there is one already.
    """
    if not reason.strip():
        raise ConfigurationError("A legal hold has a reason.", hint="Give one with --reason.")
    _check_reason(subject, reason)
    pseudonym = home.vault.pseudonym(subject)
    if held(home.ledger, pseudonym) is not release:
        raise LedgerError(
            "No legal hold is in force on this data subject."
            if release
            else "A legal hold is in force on this data subject already."
        )
    outcome = "released" if release else "held"
    statement = _about(pseudonym, HOLD, _facts(settings, pseudonym, outcome, reason))
    return pseudonym, home.record(statement)


def _about(pseudonym: str, kind: str, predicate: dict[str, Any]) -> Statement:
    return Statement((Resource("", pseudonym, RECIPE),), kind, predicate)


def _facts(settings: Settings, pseudonym: str, outcome: str, reason: str) -> dict[str, Any]:
    return {
        "name": f"subject/{pseudonym[:16]}",
        "actor": acting(settings),
        "time": timestamp(),
        "outcome": outcome,
        "reason": reason,
    }


def _check_reason(subject: str, reason: str) -> None:
    if subject and subject.casefold() in reason.casefold():
        raise ConfigurationError(
            "The reason names the data subject, and the log keeps it for good.",
            hint="Refer to a ticket or a case number.",
        )
