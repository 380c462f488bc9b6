"""Policy decisions around a call: the question put, the answer recorded, and then enforced."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from affidavit._context import acting
from affidavit._engines import engine_for
from affidavit._home import Home
from affidavit._question import Question
from affidavit._recording import keep_artifact, note_gap, record
from affidavit._settings import Settings
from affidavit.errors import FingerprintError, LedgerError, ObligationError, PolicyDenied
from affidavit.lineage import MAX_ENTRY, dump_json, new_id, record_bytes, timestamp
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
    home: Home, settings: Settings, question: Question, *, run: str = "", time: str = ""
) -> Ruling:
    """Put a question, record the answer, and return it, whatever it is.

    Args:
        home: Where the answer is recorded.
        settings: Which engine decides, and on which data.
        question: What is asked.
        run: The run that asks.
        time: The moment that the policy decides for; now by default.

    Raises:
        LedgerError: The answer cannot be recorded, so it must not be acted on.
    """
    identifier, now = new_id(), timestamp()
    document = question.document(settings, time=time or now, request=identifier)
    decision = engine_for(settings, digest_key(home, settings, question)).decide(
        question.entrypoint, document
    )
    fields = decision_fields(
        settings, question, decision, document, identifier=identifier, time=now, run=run
    )
    try:
        body = record_bytes("decision", {**fields, "input": document})
    except FingerprintError:
        body = record_bytes("decision", {**fields, "input": _loggable(document)})
    if len(body) > MAX_ENTRY:
        what = f"input of decision {question.entrypoint}"
        kept = keep_artifact(home, settings, what, dump_json(_loggable(document)))
        body = record_bytes("decision", {**fields, "input_artifact": f"sha256:{kept}"})
    record(home, settings, f"decision {question.entrypoint}", body)
    return Ruling(identifier, decision)


def decision_fields(
    settings: Settings,
    question: Question,
    decision: Decision,
    document: Mapping[str, Any],
    *,
    identifier: str,
    time: str,
    run: str = "",
) -> dict[str, Any]:
    """Return the members of a decision's record, less the input itself.

    Args:
        settings: Whether denials are enforced.
        question: What was asked.
        decision: What was decided.
        document: The input.
        identifier: The decision's id.
        time: When it was made.
        run: The run that asked.
    """
    return {
        "id": identifier,
        "time": time,
        "entrypoint": question.entrypoint,
        "resource": question.name,
        "actor": document["actor"]["id"],
        "allow": decision.allow,
        "mode": settings.mode,
        "run": run,
        "decision": decision.to_dict(),
    }


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


def enforce(home: Home, settings: Settings, question: Question, *, run: str = "") -> Ruling:
    """Put a question, record the answer, and raise where it is no.

    Raises:
        PolicyDenied: The answer is no, and denials are enforced.
        LedgerError: The answer cannot be recorded.
    """
    ruling = rule(home, settings, question, run=run)
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


def _loggable(value: Any) -> Any:
    """Return a value as JSON can carry it: what the engine refuses is recorded as its text."""
    if isinstance(value, Mapping):
        return {str(key): _loggable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_loggable(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return str(value).encode("utf-8", "backslashreplace").decode()
