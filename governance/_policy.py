"""Policy decisions around a call: the question put, the answer recorded, and then enforced."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from affidavit._context import acting
from affidavit._engines import engine_for
from affidavit._home import Home
from affidavit._question import Question
from affidavit._record_decision import record_decision
from affidavit._recording import note_gap
from affidavit._settings import Settings
from affidavit.errors import LedgerError, ObligationError, PolicyDenied
from affidavit.lineage import new_id, timestamp
from affidavit.policies import Decision


class Ruling(NamedTuple):
    """A decision that is in the ledger.

    Args:
        id: The decision's id.
        decision: What was decided.
    """

    id: str
    decision: Decision


def rule(
    home: Home,
    settings: Settings,
    question: Question,
    *,
    run: str = "",
    time: str = "",
    subject: str = "",
) -> Ruling:
    """Put a question, record the answer, and return it, whatever it is.

    Args:
        home: Where the answer is recorded.
        settings: Which engine decides, and on which data.
        question: What is asked.
        run: The run that asks.
        time: The moment that the policy decides for; now by default.
        subject: Whose data the mask takes out of the record; the actor's where empty.

    Raises:
        LedgerError: The answer cannot be recorded, so it must not be acted on.
    """
    identifier, now = new_id(), timestamp()
    document = question.document(settings, time=time or now, request=identifier)
    key = digest_key(home, settings, question)
    engine = engine_for(settings, key)
    decision = engine.decide(question.entrypoint, document)
    record_decision(
        home,
        settings,
        engine,
        decision,
        document,
        key,
        identifier=identifier,
        time=now,
        run=run,
        subject=subject,
    )
    return Ruling(identifier, decision)


_ANY_KEY = secrets.token_bytes(32)
"""Keys input digests where the home's key cannot be had: they then tell nobody anything."""


def digest_key(home: Home, settings: Settings, question: Question) -> bytes:
    """Return the key of the digests by which decisions name their input.

    Raises:
        LedgerError: The home's keys cannot be read, and ``on_error`` is not ``warn``.
    """
    try:
        return home.vault.named_key("policy input")
    except LedgerError as error:
        if settings.on_error != "warn":
            raise
        note_gap(home, settings, f"decision {question.entrypoint}: its key", error, entries=0)
        return _ANY_KEY


def enforce(
    home: Home, settings: Settings, question: Question, *, run: str = "", subject: str = ""
) -> Ruling:
    """Put a question, record the answer, and raise where it is no; see `rule`.

    Raises:
        PolicyDenied: The answer is no, and denials are enforced.
        LedgerError: The answer cannot be recorded.
    """
    ruling = rule(home, settings, question, run=run, subject=subject)
    if not ruling.decision.allow and settings.mode == "enforce":
        raise denied(question, ruling, acting(settings))
    return ruling


def denied(question: Question, ruling: Ruling, actor: str) -> PolicyDenied:
    """Return the error that says who was denied what, and why."""
    reasons = "; ".join(f"[{f.rule}] {f.message.rstrip('.')}" for f in ruling.decision.deny)
    return PolicyDenied(
        f"{actor} may not {question.action} {question.name!r}: {reasons or 'no rule allows it'}.",
        decision=ruling.decision,
        hint=f"`affidavit show {ruling.id}` has the whole decision.",
    )


def unmet(question: Question, ruling: Ruling, error: ObligationError, actor: str) -> PolicyDenied:
    """Return the error for an allowance whose obligations could not be met."""
    decision = Decision.denied(
        question.entrypoint, "obligation.unmet", error.message, engine=ruling.decision.engine
    )
    return denied(question, Ruling(ruling.id, decision), actor)
