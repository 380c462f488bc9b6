"""The gate: signed evidence in, a signed verdict out.

Exit codes: 0 allowed, 1 denied, 2 usage, 3 the policy engine could not decide, 4 evidence that
cannot be verified.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit._approvals import makers, standing_approvals
from affidavit._context import acting
from affidavit._evidence import attributed_statement
from affidavit._facts import collect_facts
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._models import resolve
from affidavit._policy import Ruling, rule
from affidavit._question import Question, system_tags
from affidavit._read import Reader
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit._spools import settle
from affidavit._verify_home import verify_home
from affidavit.errors import ConfigurationError, FairnessError, NotFoundError, VerificationError
from affidavit.lineage import (
    EVALUATION_FIELD,
    RUN_FIELD,
    VERDICT,
    VERDICT_FIELD,
    Fault,
    Resource,
    Statement,
    parse_json,
    timestamp,
)
from affidavit.policies import Decision

STAGES = ("promote",)
_MOST_ATTESTATIONS = 100
EXIT_ALLOWED, EXIT_DENIED, EXIT_USAGE, EXIT_ENGINE, EXIT_EVIDENCE = 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate decided.

    Args:
        name: The system.
        stage: The stage.
        digest: The model's digest; empty where there is none.
        exit_code: What the process ends with.
        decision: The policy's decision; None where none could be asked for.
        decision_id: Its id in the ledger.
        evidence: The evidence documents that the policy saw.
        faults: What could not be verified.
    """

    name: str
    stage: str
    digest: str
    exit_code: int
    decision: Decision | None
    decision_id: str
    evidence: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the model may pass."""
        return self.exit_code == EXIT_ALLOWED

    def to_dict(self) -> dict[str, Any]:
        """Return the result, JSON-safe."""
        decision = self.decision.to_dict() if self.decision else None
        return {
            "ok": self.allowed,
            "name": self.name,
            "stage": self.stage,
            "digest": self.digest,
            "exit_code": self.exit_code,
            "decision_id": self.decision_id,
            "decision": decision,
            "evidence": dict(self.evidence),
            "errors": [fault.to_dict() for fault in self.faults],
        }


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
        What was decided. Where the engine could not decide there is no verdict, and an earlier one
        stands.

    Raises:
        ConfigurationError: The stage or the time is not one.
        NotFoundError: There is no such model.
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
    if not report.ok:
        name = reference.partition("@")[0]
        return GateResult(name, stage, "", EXIT_EVIDENCE, None, "", {}, report.errors)
    found = resolve(home, reference)
    try:
        evidence, sensitive, entries = collect_evidence(home, found.digest, found.entry)
        if settings.systems.get(found.name, {}).get("frameworks"):
            facts = collect_facts(home, settings, found, until=effective_time)
            evidence["facts"] = facts
            read = {entry for fact in facts.values() for entry in fact["entries"]}
            entries += sorted(read - set(entries))
    except VerificationError as error:
        where = "evidence" if error.index is None else f"entry {error.index}"
        fault = Fault("evidence-invalid", where, error.message, error.index)
        return GateResult(found.name, stage, found.digest, EXIT_EVIDENCE, None, "", {}, (fault,))
    except (KeyError, TypeError, AttributeError) as error:
        # Signed, in the log, and yet not shaped as its predicate type says.
        message = f"a statement about the model lacks what its type requires: {error!r}."
        fault = Fault("evidence-invalid", "evidence", message)
        return GateResult(found.name, stage, found.digest, EXIT_EVIDENCE, None, "", {}, (fault,))
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
    ruling = rule(home, settings, question, time=effective_time)
    decision = ruling.decision
    refused = EXIT_DENIED if decision.trustworthy else EXIT_ENGINE
    code = EXIT_ALLOWED if decision.allow else refused
    if decision.trustworthy and not effective_time:
        statement = _verdict(home, settings, found, stage=stage, ruling=ruling, entries=entries)
        record(home, settings, f"verdict on {found.name}", statement)
    return GateResult(found.name, stage, found.digest, code, decision, ruling.id, evidence)


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
    entries += [index for index in (*read, *runs) if index not in entries]
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


def _verdict(
    home: Home,
    settings: Settings,
    found: ModelReference,
    *,
    stage: str,
    ruling: Ruling,
    entries: list[int],
) -> Statement:
    """Return the verification summary (SLSA v1.0, verification_summary, §Fields)."""
    from affidavit import __version__

    name, decision = found.name, ruling.decision
    passed = decision.allow
    bundle = decision.bundle_digest.removeprefix("sha256:")
    predicate: dict[str, Any] = {
        "verifier": {"id": "urn:affidavit:gate", "version": {"affidavit": __version__}},
        "timeVerified": timestamp(),
        "resourceUri": f"urn:affidavit:model:{name}",
        "policy": {"uri": f"urn:affidavit:policy:{decision.entrypoint}"},
        "inputAttestations": [],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [f"AFFIDAVIT_{stage.upper()}" if passed else "FAILED"],
        "slsaVersion": "1.0",
        VERDICT_FIELD: {
            "name": name,
            "stage": stage,
            "actor": acting(settings),
            "decision": ruling.id,
            "entries": entries,
            "deny": decision.to_dict()["deny"],
            "warn": decision.to_dict()["warn"],
        },
    }
    if len(entries) <= _MOST_ATTESTATIONS:
        # All or none: a list that is not empty names every attestation that was used.
        predicate["inputAttestations"] = [
            {
                "uri": f"urn:affidavit:entry:{index}",
                "digest": {"sha256": hashlib.sha256(home.ledger.entry(index)).hexdigest()},
            }
            for index in entries
        ]
    if bundle:
        predicate["policy"]["digest"] = {"sha256": bundle}
    return Statement(
        (Resource(f"{name}.pickle", found.digest.removeprefix("sha256:")),), VERDICT, predicate
    )


def _instant(text: str) -> bool:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.utcoffset() == dt.timedelta(0) and text.endswith("Z")
