"""Policy decisions around a call: the question put, the answer recorded, and then enforced."""

from __future__ import annotations

import functools
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from affidavit._context import acting
from affidavit._home import Home
from affidavit._question import Question
from affidavit._record_decision import record_decision
from affidavit._recording import note_gap
from affidavit._settings import Settings
from affidavit.errors import (
    ConfigurationError,
    LedgerError,
    ObligationError,
    PolicyDenied,
)
from affidavit.lineage import new_id, timestamp
from affidavit.policies import CachedEngine, Decision, EmbeddedEngine, Engine, OpaServerEngine


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


def engine_for(settings: Settings, digest_key: bytes | None = None) -> Engine:
    """Return the engine that the settings name, made once per process for the same settings.

    Args:
        settings: Which engine, on which data.
        digest_key: Keys the digest of the input, so that nobody can guess an input from it.
    """
    # The settings are one object while nothing changes, so that identity tells most of the time.
    known = _latest[0]
    if known is not None and known[0] is settings and known[1] == digest_key:
        return known[2]
    if settings.engine == "opa":
        engine = _server(settings.opa_url, settings.opa_bundle, digest_key)
    else:
        data = json.dumps(settings.policy_data, sort_keys=True)
        engine = _embedded(data, settings.packs, digest_key)
    _latest[0] = (settings, digest_key, engine)
    return engine


_latest: list[tuple[Settings, bytes | None, Engine] | None] = [None]


@functools.lru_cache(maxsize=8)
def _embedded(data: str, packs: Path | None, digest_key: bytes | None) -> Engine:
    return CachedEngine(
        EmbeddedEngine(data=json.loads(data) or None, bundle=packs, digest_key=digest_key)
    )


@functools.lru_cache(maxsize=8)
def _server(url: str, bundle: str, digest_key: bytes | None) -> Engine:
    if not url:
        raise ConfigurationError(
            "The policy engine is an OPA server, but no url is set.",
            hint='Set url = "http://…" in the [policy] section of affidavit.toml.',
        )
    token = os.environ.get("AFFIDAVIT_OPA_TOKEN")
    return OpaServerEngine(url, token=token, bundle_digest=bundle or None, digest_key=digest_key)
