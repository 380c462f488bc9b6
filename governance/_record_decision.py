"""Appends a policy decision, with what was taken out of it sealed, and the bundle it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affidavit._decision_record import decision_event, without_input
from affidavit._home import Home
from affidavit._kept_bundles import BundleKeeper
from affidavit._predictions import make_records
from affidavit._recording import keep_artifact, note_gap, record
from affidavit._sealed_decisions import MaskedDecision
from affidavit._settings import Settings
from affidavit.errors import (
    FingerprintError,
    LedgerError,
    PolicyEngineError,
    SubjectKeyConflictError,
)
from affidavit.lineage import MAX_ENTRY, Statement, dump_json, record_bytes
from affidavit.policies import Decision, Engine, canonical_input, input_digest

_ATTEMPTS = 5
_SEAL_ROOM = 100
"""How many bytes the digest of something sealed takes at most, with what stands around it."""


def record_decision(  # noqa: PLR0917  # what is recorded
    home: Home,
    settings: Settings,
    engine: Engine,
    decision: Decision,
    document: Mapping[str, Any],
    key: bytes,
    *,
    identifier: str,
    time: str,
    run: str = "",
    subject: str = "",
) -> None:
    """Append a decision, and before it the bundle that it names, where that is new.

    Args:
        home: Where it is recorded.
        settings: Say what is masked, and what a failure does.
        engine: Who decided.
        decision: What was decided.
        document: The whole input.
        key: The key of the inputs' digests.
        identifier: The decision's id.
        time: When it was made.
        run: The run that asked.
        subject: Whose data the mask takes out; the actor's where empty.

    Raises:
        LedgerError: It cannot be written, and ``on_error`` is ``block``.
    """
    what = f"decision {decision.entrypoint}"
    try:
        digest = input_digest(canonical_input(document), key)
        dump_json(document)
        plain = document
    except (PolicyEngineError, FingerprintError):
        digest, plain = "", loggable(document)
    event, taken = decision_event(settings, home.verifier.name, decision, plain, digest, run)
    fields = {"decision_id": identifier, "timestamp": time, **event}
    body = record_bytes("decision", fields)
    if len(body) + _SEAL_ROOM * len(taken) > MAX_ENTRY:
        kept = keep_artifact(home, settings, f"input of {what}", dump_json(fields.get("input")))
        fields = without_input(fields, kept)
        body = record_bytes("decision", fields)
    bundles = BundleKeeper.of(home).statements(settings, engine, decision)
    if not taken:
        record(home, settings, what, *bundles, body)
        return
    # Whatever the mask says of it, the actor is whom the input is about.
    whose = subject or str(document["actor"]["id"])
    _record_masked(home, settings, what, bundles, MaskedDecision(fields, whose, taken))


def _record_masked(
    home: Home, settings: Settings, what: str, before: tuple[Statement, ...], said: MaskedDecision
) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            (made,) = make_records(home, [(said, {})])
        except LedgerError as error:
            if settings.on_error == "block":
                raise
            note_gap(home, settings, what, error)
            return
        try:
            record(home, settings, what, *before, *made.bodies, payloads=made.payloads)
            return
        except SubjectKeyConflictError:
            if attempt == _ATTEMPTS - 1:
                raise


def loggable(value: Any) -> Any:
    """Return a value as JSON can carry it: what the engine refuses is recorded as its text."""
    if isinstance(value, Mapping):
        return {str(key): loggable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [loggable(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return str(value).encode("utf-8", "backslashreplace").decode()
