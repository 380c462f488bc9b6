"""A decision as the log has it: one event of OPA's decision log, with its mask applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit._settings import Settings
from affidavit.policies import Decision

RESULT = ("allow", "deny", "warn", "obligations")
"""What a decision answers, as every entry point does."""
BUNDLE_NAME = "affidavit"
"""The name under which a decision lists its bundle."""
EVALUATION = "timer_sdk_decision_eval_ns"
"""OPA's name for how long an evaluation took that a program asked for."""


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """What a decision's record says, read from the names of OPA's decision log.

    Args:
        id: The decision's id.
        time: When it was made.
        entrypoint: What was asked.
        resource: What about.
        actor: Who asked.
        allow: The answer.
        mode: Whether denials were enforced.
        result: The whole answer.
        bundle: By which rules and data; empty where no engine said so.
    """

    id: str
    time: str
    entrypoint: str
    resource: str
    actor: str
    allow: bool
    mode: str
    result: Mapping[str, Any]
    bundle: str


def decision_event(  # noqa: PLR0917  # one fact each
    settings: Settings,
    origin: str,
    decision: Decision,
    document: Mapping[str, Any],
    digest: str,
    run: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a decision's event, less id and time, and what the mask took out, by JSON pointer.

    Args:
        settings: Whether denials are enforced, and what is not logged.
        origin: The log's name.
        decision: What was decided.
        document: The whole input, JSON-safe.
        digest: Its keyed digest.
        run: The run that asked.
    """
    result = {key: value for key, value in decision.to_dict().items() if key in RESULT}
    event: dict[str, Any] = {
        "labels": {"id": origin, "version": decision.engine_version},
        "path": decision.entrypoint,
        "input": document,
        "result": result,
        "custom": {
            "engine": decision.engine,
            "mode": settings.mode,
            "run": run,
            "cached": decision.cached,
            "input_digest": digest,
        },
    }
    if decision.bundle_digest:
        event["bundles"] = {BUNDLE_NAME: {"revision": decision.bundle_digest}}
    if not decision.cached:
        event["metrics"] = {EVALUATION: decision.duration_ns}
    said, taken = settings.mask.apply(event)
    actor = _object(_object(said.get("input")).get("actor")).get("id")
    if isinstance(actor, str):
        said["requested_by"] = actor
    return said, taken


def without_input(event: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Return an event whose masked input is kept as an artifact.

    Args:
        event: The event.
        digest: The artifact's.
    """
    rest = {key: value for key, value in event.items() if key != "input"}
    name = _object(_object(event.get("input")).get("resource")).get("name")
    kept = {"input_artifact": f"sha256:{digest}"}
    if isinstance(name, str):
        kept["resource"] = name
    return {**rest, "custom": {**event["custom"], **kept}}


def decision_facts(record: Mapping[str, Any]) -> DecisionFacts:
    """Return what a decision's record says; whatever is not said is empty, and allows nothing."""
    custom, result = _object(record.get("custom")), _object(record.get("result"))
    about = _object(_object(record.get("input")).get("resource"))
    return DecisionFacts(
        id=_text(record.get("decision_id")),
        time=_text(record.get("timestamp")),
        entrypoint=_text(record.get("path")),
        resource=_text(about.get("name", custom.get("resource"))),
        actor=_text(record.get("requested_by")),
        allow=result.get("allow") is True,
        mode=_text(custom.get("mode")),
        result=result,
        bundle=bundle_of(record),
    )


def bundle_of(record: Mapping[str, Any]) -> str:
    """Return the revision of the bundle that a decision names; empty where it names none."""
    said = _object(_object(record.get("bundles")).get(BUNDLE_NAME))
    return _text(said.get("revision"))


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
