"""The gate: signed evidence in, a signed verdict out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from affidavit._approvals import makers, standing_approvals
from affidavit._evidence import attributed_statement
from affidavit._facts import collect_facts
from affidavit._gate_lineage import lineage_evidence
from affidavit._gate_result import (
    EXIT_ALLOWED,
    EXIT_DENIED,
    EXIT_ENGINE,
    EXIT_EVIDENCE,
    STAGES,
    GateResult,
)
from affidavit._gate_verdict import verdict_statement
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._models import resolve
from affidavit._policy import rule
from affidavit._question import Question, system_tags
from affidavit._read import Reader
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit._spools import settle
from affidavit._verify_home import verify_home
from affidavit._waivers import applied_waivers, waiver_evidence
from affidavit.errors import ConfigurationError, FairnessError, NotFoundError, VerificationError
from affidavit.lineage import EVALUATION_FIELD, RUN_FIELD, Fault, parse_json, timestamp


def gate(
    home: Home,
    settings: Settings,
    reference: str,
    *,
    stage: str = "promote",
    effective_time: str = "",
) -> GateResult:
    """Decide whether a model may pass a stage, from evidence that verifies, and sign the verdict.

    Args:
        home: Whose ledger holds the evidence.
        settings: Which policy engine decides, on which data.
        reference: The model; the newest of the system where only a name is given.
        stage: The stage; ``promote`` is the one there is.
        effective_time: Decide as at this moment (RFC 3339, UTC); now by default. The answer is then
            to a question of what would be: it is recorded as a decision, and no verdict is signed.

    Returns:
        What was decided. Where the engine could not decide, or the evidence is missing or does not
        verify, there is no verdict, and an earlier one stands.

    Raises:
        ConfigurationError: The stage or the time is not one.
        LedgerError: The verdict cannot be recorded.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"The stage {stage!r} is unknown.", hint="There is: promote.")
    if effective_time and not _instant(effective_time):
        raise ConfigurationError(
            f"{effective_time!r} is no moment.", hint="Write it as 2027-01-31T00:00:00Z."
        )
    # Before anything is looked up: an edited index could name another model, or none.
    settle(home)
    report = verify_home(home)
    name = reference.partition("@")[0]

    def without(*faults: Fault, digest: str = "") -> GateResult:
        return GateResult(name, stage, digest, EXIT_EVIDENCE, None, "", {}, faults, effective_time)

    if not report.ok:
        return without(*report.errors)
    try:
        found = resolve(home, reference)
    except NotFoundError as error:
        return without(Fault("evidence-missing", reference, f"{error.message} {error.hint}"))
    now = effective_time or timestamp()
    try:
        evidence, sensitive, entries = _weighed(home, settings, found, effective_time, now)
    except VerificationError as error:
        where = "evidence" if error.index is None else f"entry {error.index}"
        fault = Fault("evidence-invalid", where, error.message, error.index)
        return without(fault, digest=found.digest)
    question = Question(
        "affidavit/promote",
        "model.promote",
        "model",
        found.name,
        found.digest,
        str(settings.systems.get(found.name, {}).get("purpose", "")),
        tags=system_tags(settings, found.name),
        extra={"evidence": evidence, "declared": {"sensitive": sensitive}},
    )
    ruling = rule(home, settings, question, time=now)
    decision = ruling.decision
    refused = EXIT_DENIED if decision.trustworthy else EXIT_ENGINE
    code = EXIT_ALLOWED if decision.allow else refused
    if decision.trustworthy and not effective_time:
        statement = verdict_statement(
            home,
            settings,
            found,
            stage=stage,
            ruling=ruling,
            entries=entries,
            waivers=applied_waivers(decision, evidence),
        )
        record(home, settings, f"verdict on {found.name}", statement)
    return GateResult(
        found.name,
        stage,
        found.digest,
        code,
        decision,
        ruling.id,
        evidence,
        effective_time=effective_time,
    )


def _weighed(
    home: Home, settings: Settings, found: ModelReference, effective_time: str, now: str
) -> tuple[dict[str, Any], list[str], list[int]]:
    """Return what `collect_evidence` does, with the facts that frameworks ask for and waivers."""
    try:
        evidence, sensitive, entries = collect_evidence(home, found.digest, found.entry)
        if settings.systems.get(found.name, {}).get("frameworks"):
            facts = collect_facts(home, settings, found, until=effective_time)
            evidence["facts"] = facts
            shown = {entry for fact in facts.values() for entry in fact["entries"]}
            entries = list(dict.fromkeys([*entries, *sorted(shown)]))
        waivers, read = waiver_evidence(home, found.name, found.digest, at=now)
    except (KeyError, TypeError, AttributeError) as error:
        # Signed, in the log, and yet not shaped as its predicate type says.
        raise VerificationError(
            f"A statement about the model lacks what its type requires: {error!r}."
        ) from error
    if waivers:
        evidence["waivers"] = waivers
        entries = list(dict.fromkeys([*entries, *read]))
        if not effective_time:
            # A clock that was set back must not bring an expired waiver to life.
            evidence["logged_until"] = Reader(home).latest_decision()
    return evidence, sensitive, entries


def collect_evidence(
    home: Home, digest: str, run_entry: int
) -> tuple[dict[str, Any], list[str], list[int]]:
    """Return the evidence about a model, each statement of it verified.

    What a revoked key signed is in it as not verified: it was logged, and does not count.

    Args:
        home: Whose ledger it is in.
        digest: The model file's digest.
        run_entry: The log index of the run that made it.

    Returns:
        The evidence document for the policy, the sensitive features that the training declared, and
        the log indexes that it was read from.

    Raises:
        VerificationError: A statement does not hold.
    """
    reader = Reader(home)
    run, distrusted = attributed_statement(home, run_entry)
    details = run.predicate["runDetails"]["metadata"]
    external = run.predicate["buildDefinition"]["externalParameters"]
    entries = [run_entry]
    evaluations, explanations = [], []
    fairness: list[dict[str, Any]] = []
    for index in reader.evidence(digest, "evaluation"):
        entries.append(index)
        statement, revoked = attributed_statement(home, index)
        ours, holds = statement.predicate[EVALUATION_FIELD], revoked is None
        evaluations.append({"verified": holds, "time": ours["time"], "metrics": ours["metrics"]})
        try:
            fairness.extend({**one, "verified": holds} for one in _fairness(home, ours))
        except (FairnessError, NotFoundError) as error:
            raise VerificationError(
                f"The fairness counts at entry {index} are unusable: {error.message}", index=index
            ) from error
    for index in reader.evidence(digest, "explanation"):
        entries.append(index)
        statement, revoked = attributed_statement(home, index)
        predicate = statement.predicate
        summary = predicate["summary"]
        explanations.append(
            {
                "verified": revoked is None,
                "time": predicate["time"],
                "residual_max": summary["residual_max"],
                "tolerance": summary["tolerance"],
            }
        )
    approvals, read = standing_approvals(home, digest)
    people, runs = makers(home, digest)
    lineage, reads = lineage_evidence(home, run, verified=distrusted is None)
    entries = list(dict.fromkeys([*entries, *read, *runs, *reads]))
    document = {
        "provenance": {
            "verified": distrusted is None,
            "time": details["finishedOn"],
            "trainer": run.predicate[RUN_FIELD]["actor"],
            "makers": people,
        },
        "evaluations": evaluations,
        "fairness": fairness,
        "explanations": explanations,
        "approvals": approvals,
        "lineage": lineage,
    }
    return document, [str(name) for name in external.get("sensitive", [])], entries


def _fairness(home: Home, ours: Mapping[str, Any]) -> list[dict[str, Any]]:
    from affidavit.explain import FairnessResult

    kept = ours.get("fairness")
    if not kept:
        return []
    if "artifact" in kept:
        kept = parse_json(home.artifacts.get(kept["artifact"]))
    # Recomputed from the signed counts: a figure in the statement is not taken on trust.
    result = FairnessResult.from_dict(kept)
    found = []
    for feature, disparities in result.disparities().items():
        ratio = disparities["four_fifths_ratio"]
        found.append(
            {
                "verified": True,
                "time": ours["time"],
                "features": list(feature),
                "demographic_parity_ratio": ratio.value,
                "lower": ratio.low,
                "upper": ratio.high,
                "assessment": result.assess(feature=feature),
                "min_n": min(group.n for group in result.groups(feature)),
            }
        )
    return found


def _instant(text: str) -> bool:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.utcoffset() == dt.timedelta(0) and text.endswith("Z")
