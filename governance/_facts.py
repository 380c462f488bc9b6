"""What the ledger can show of a model and its system: verified facts, by kind of evidence.

The kinds are `affidavit.policies.EVIDENCE_KINDS`. Statements are checked one by one, and what a
revoked key signed does not count. Counts of records come from the index, so whoever asks has the
whole log verified first, as the gate does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from affidavit._approvals import APPROVED, makers, standing_approvals
from affidavit._evidence import attributed_statement
from affidavit._facts_records import RecordFacts
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._read import Reader
from affidavit._settings import Settings
from affidavit._time_stamps import authorities
from affidavit._witnesses import cosigned_note
from affidavit.errors import (
    AffidavitError,
    FairnessError,
    NotFoundError,
    VerificationError,
)
from affidavit.lineage import (
    EVALUATION_FIELD,
    Statement,
    WitnessVerifier,
    cosignatures,
    newest_stamped,
    open_checkpoint,
    parse_json,
    stamps_of,
    statement_facts,
    timestamp,
    verify_stamp,
)

_SHOWN = 20
"""So many log indexes of each fact are named, the newest first."""
_Found = tuple[int, Statement]
Facts = dict[str, dict[str, Any]]


class _Look(NamedTuple):
    """Whose ledger is looked at, and up to which moment."""

    home: Home
    until: dt.datetime | None


def collect_facts(
    home: Home,
    settings: Settings,
    found: ModelReference,
    *,
    until: str = "",
    witnesses: Sequence[WitnessVerifier] = (),
) -> Facts:
    """Return what there is of each kind of evidence; what there is not is left out.

    Args:
        home: Whose ledger it is in; its log has been verified.
        settings: Name the certificates of time stamps.
        found: The model.
        until: What is from after this moment (RFC 3339) is left out.
        witnesses: Whose cosignatures count.

    Returns:
        For each kind ``verified``, ``count``, ``newest`` (a time, or null) and ``entries``.

    Raises:
        VerificationError: A statement does not hold.
    """
    facts: Facts = {}
    look = _Look(home, dt.datetime.fromisoformat(until) if until else None)
    run = _one(look, found.entry)
    if run is not None:
        _of_run(look, facts, run)
        _of_signatures(look, facts, run[1])
    _of_reads(look, facts, found.digest)
    _of_measurements(look, facts, found.digest)
    _of_people(look, facts, found.digest)
    _of_verdicts(look, facts, found.digest)
    _state(facts, "key_management", _newest(look, "trust-root"))
    _state(facts, "erasure", _newest(look, "erasure"))
    _state(facts, "retention", _newest(look, "retention"))
    facts.update(RecordFacts(home).of_system(found.name, until))
    _of_outsiders(look, settings, facts, witnesses)
    return facts


def _one(look: _Look, index: int) -> _Found | None:
    statement, revoked = attributed_statement(look.home, index)
    if revoked is not None or (look.until and _moment(index, statement) > look.until):
        return None
    return index, statement


def _moment(index: int, statement: Statement) -> dt.datetime:
    said = statement_facts(statement)["time"]
    with contextlib.suppress(ValueError):
        found = dt.datetime.fromisoformat(said)
        if found.utcoffset() is not None:
            return found
    raise VerificationError(f"Entry {index} gives {said!r} as its time.", index=index)


def _held(look: _Look, indexes: Iterable[int]) -> Iterator[_Found]:
    for index in indexes:
        found = _one(look, index)
        if found is not None:
            yield found


def _newest(look: _Look, kind: str) -> list[_Found]:
    rows = Reader(look.home).statements(kind=kind, limit=_SHOWN)
    return list(_held(look, (int(row["entry"]) for row in rows)))


def _state(facts: Facts, kind: str, found: Iterable[_Found]) -> None:
    items = sorted(found, reverse=True, key=lambda item: item[0])
    if items:
        facts[kind] = {
            "verified": True,
            "count": len(items),
            "newest": max(statement_facts(item[1])["time"] for item in items) or None,
            "entries": [index for index, _ in items[:_SHOWN]],
        }


def _of_run(look: _Look, facts: Facts, run: _Found) -> None:
    definition = run[1].predicate["buildDefinition"]
    inside = definition.get("internalParameters", {})
    if "artifact" in inside:
        # What would have made the statement too long stands beside it, under its digest.
        inside = parse_json(look.home.artifacts.get(str(inside["artifact"])))
    git = (inside.get("code") or {}).get("git") or {}
    _state(facts, "provenance", [run])
    if git.get("commit") and git.get("dirty") is False:
        _state(facts, "code", [run])
    if (inside.get("environment") or {}).get("packages"):
        _state(facts, "environment", [run])
    if definition.get("resolvedDependencies"):
        _state(facts, "lineage", [run])


def _of_signatures(look: _Look, facts: Facts, run: Statement) -> None:
    reader = Reader(look.home)
    indexes = {
        index
        for subject in run.subjects
        for index in reader.evidence(subject.digest, "model-signature")
    }
    _state(facts, "model_signature", _held(look, indexes))


def _of_reads(look: _Look, facts: Facts, digest: str) -> None:
    reads = [
        item
        for item in _held(look, makers(look.home, digest)[1])
        if item[1].kind == "dataset" and item[1].predicate.get("outcome") == "read"
    ]
    bound = [item for item in reads if item[1].predicate.get("obligations")]
    _state(facts, "dataset_read", reads)
    _state(facts, "dataset_obligation", bound)


def _of_measurements(look: _Look, facts: Facts, digest: str) -> None:
    reader = Reader(look.home)
    evaluations = [
        item
        for item in _held(look, reader.evidence(digest, "evaluation"))
        if item[1].predicate[EVALUATION_FIELD].get("metrics")
    ]
    features = {item[0]: _features(look, item) for item in evaluations}
    fair = [item for item in evaluations if features[item[0]]]
    crossed = [item for item in fair if any(len(named) > 1 for named in features[item[0]])]
    additive = [
        item
        for item in _held(look, reader.evidence(digest, "explanation"))
        if _adds_up(item[1].predicate.get("summary", {}))
    ]
    _state(facts, "evaluation", evaluations)
    _state(facts, "fairness", fair)
    _state(facts, "fairness_intersection", crossed)
    _state(facts, "explanation", additive)


def _features(look: _Look, item: _Found) -> tuple[tuple[str, ...], ...]:
    kept = item[1].predicate[EVALUATION_FIELD].get("fairness")
    if not kept:
        return ()
    from affidavit.explain import FairnessResult

    try:
        if "artifact" in kept:
            kept = parse_json(look.home.artifacts.get(kept["artifact"]))
        return tuple(FairnessResult.from_dict(kept).features)
    except (FairnessError, NotFoundError) as error:
        raise VerificationError(
            f"The fairness counts at entry {item[0]} are unusable: {error.message}", index=item[0]
        ) from error


def _adds_up(summary: Mapping[str, Any]) -> bool:
    residual, tolerance = summary.get("residual_max"), summary.get("tolerance")
    if not isinstance(residual, int | float) or not isinstance(tolerance, int | float):
        return False
    return residual <= tolerance


def _of_people(look: _Look, facts: Facts, digest: str) -> None:
    standing, read = standing_approvals(look.home, digest)
    involved = {name.strip().lower() for name in makers(look.home, digest)[0]}
    good = {
        (item["approver"], item["time"])
        for item in standing
        if item["verified"]
        and item["outcome"] == APPROVED
        and item["approver"].strip().lower() not in involved
    }
    _state(
        facts,
        "approval",
        (
            item
            for item in _held(look, read)
            if (str(item[1].predicate["actor"]), item[1].predicate["time"]) in good
        ),
    )


def _of_verdicts(look: _Look, facts: Facts, digest: str) -> None:
    reader = Reader(look.home)
    verdicts = list(_held(look, reader.evidence(digest, "verdict")))
    passed = [v for v in verdicts if v[1].predicate.get("verificationResult") == "PASSED"]
    _state(facts, "verdict", verdicts)
    _state(facts, "verdict_passed", passed)
    if passed:
        # By place in the log: clocks of two machines may disagree.
        first = min(index for index, _ in passed)
        later = [index for index in reader.evidence(digest, "evaluation") if index > first]
        _state(facts, "monitoring", _held(look, later))


def _of_outsiders(
    look: _Look, settings: Settings, facts: Facts, witnesses: Sequence[WitnessVerifier]
) -> None:
    note = cosigned_note(look.home) if witnesses else None
    seen = cosignatures(note, witnesses) if note else ()
    if seen:
        facts["witness"] = {"verified": True, "count": len(seen), "newest": None, "entries": []}
    with contextlib.suppress(AffidavitError):
        # No stamp, no pinned certificates, or none that holds: there is no evidence.
        note = newest_stamped(look.home.ledger)
        kept = stamps_of(look.home.ledger, open_checkpoint(note, look.home.verifier).size)
        for authority in authorities(settings):
            for response in kept:
                moment = timestamp(verify_stamp(authority, response, note).time)
                fact = {"verified": True, "count": 1, "newest": moment, "entries": []}
                facts["time_stamp"] = fact
