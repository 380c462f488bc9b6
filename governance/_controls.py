"""Clause by clause: what the ledger shows of the frameworks that a system declares.

The rules in ``policies/packs/frameworks`` judge; this puts the question, and joins the answers with
the clauses. Exit codes are those of the gate: 0 nothing is missing, 1 a clause has no evidence or
the question is denied, 2 usage, 3 the policy engine could not decide, 4 evidence that cannot be
verified.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affidavit._engines import engine_for
from affidavit._facts import Facts, collect_facts
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._models import resolve
from affidavit._policy import digest_key
from affidavit._question import Question, system_tags
from affidavit._settings import Settings
from affidavit._spools import settle
from affidavit._verify_home import verify_home
from affidavit.errors import ConfigurationError, PolicyEngineError, VerificationError
from affidavit.lineage import Fault, WitnessVerifier, new_id, timestamp
from affidavit.policies import Clause, Decision, EmbeddedEngine, Finding, Framework, frameworks

EXIT_HELD, EXIT_MISSING, EXIT_ENGINE, EXIT_EVIDENCE = 0, 1, 3, 4
_STATES = {
    "frameworks.met": "met",
    "frameworks.partial": "partial",
    "frameworks.person": "person",
    "frameworks.missing": "missing",
    "frameworks.not_in_force": "not in force",
    "frameworks.not_applicable": "not applicable",
}


@dataclass(frozen=True, slots=True)
class ClauseState:
    """What the evidence shows of one clause.

    Args:
        framework: The framework's id.
        clause: The clause.
        state: ``met``, ``partial``, ``person``, ``missing``, ``not in force`` or
            ``not applicable``.
        reason: Why, as the rules say it.
        entries: Kind of evidence to the log indexes that show it, the newest first.
    """

    framework: str
    clause: Clause
    state: str
    reason: str
    entries: Mapping[str, Sequence[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the state, JSON-safe."""
        return {
            "framework": self.framework,
            "clause": self.clause.id,
            "title": self.clause.title,
            "mode": self.clause.mode,
            "question": self.clause.question,
            "state": self.state,
            "reason": self.reason,
            "entries": {kind: list(entries) for kind, entries in self.entries.items()},
        }


@dataclass(frozen=True, slots=True)
class ControlsResult:
    """What the evidence shows of all clauses of some frameworks.

    Args:
        name: The system.
        digest: The model's digest; empty where nothing was looked up.
        time: The moment that was asked about.
        exit_code: What the process ends with.
        frameworks: The frameworks that were asked about.
        states: Their clauses, in the frameworks' order.
        findings: Why nothing was judged; empty where it was.
        faults: What could not be verified.
    """

    name: str
    digest: str
    time: str
    exit_code: int
    frameworks: tuple[Framework, ...] = ()
    states: tuple[ClauseState, ...] = ()
    findings: tuple[Finding, ...] = ()
    faults: tuple[Fault, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result, JSON-safe."""
        return {
            "ok": self.exit_code == EXIT_HELD,
            "name": self.name,
            "digest": self.digest,
            "time": self.time,
            "exit_code": self.exit_code,
            "frameworks": [framework_head(one) for one in self.frameworks],
            "clauses": [state.to_dict() for state in self.states],
            "findings": [finding.to_dict() for finding in self.findings],
            "errors": [fault.to_dict() for fault in self.faults],
        }


def framework_head(framework: Framework) -> dict[str, Any]:
    """Return what identifies a framework and its version, JSON-safe."""
    return {
        "id": framework.id,
        "short": framework.short,
        "title": framework.title,
        "nature": framework.nature,
        "version": framework.version,
        "dated": framework.dated,
        "read": framework.read,
        "status": framework.status,
        "source": dict(framework.source),
        "clauses": len(framework.clauses),
    }


def known_frameworks(settings: Settings) -> Mapping[str, Framework]:
    """Return the frameworks of the policy data in force: the packs' own and the organisation's.

    Raises:
        ConfigurationError: One is not of the form that the rules evaluate.
        PolicyEngineError: The packs cannot be read.
    """
    return frameworks(EmbeddedEngine(data=settings.policy_data or None, bundle=settings.packs).data)


def controls(
    home: Home,
    settings: Settings,
    reference: str,
    *,
    only: Sequence[str] = (),
    effective_time: str = "",
    witnesses: Sequence[WitnessVerifier] = (),
) -> ControlsResult:
    """Show, clause by clause, what the verified evidence about a model answers.

    Nothing is recorded: it is a question, and no decision rests on it.

    Args:
        home: Whose ledger holds the evidence.
        settings: Declare the system's frameworks and attributes, and which engine judges.
        reference: The model; the newest of the system where only a name is given.
        only: Frameworks in place of those that the system declares.
        effective_time: Judge as at this moment (RFC 3339, UTC); now by default.
        witnesses: Whose cosignatures count as evidence.

    Raises:
        ConfigurationError: A framework is unknown, none is declared and none was named, or the
            time is none.
        NotFoundError: There is no such model.
    """
    name = reference.partition("@")[0]
    asked = _chosen(settings, name, only)
    moment = _moment(effective_time) if effective_time else timestamp()
    settle(home)
    report = verify_home(home)
    if not report.ok:
        return ControlsResult(name, "", moment, EXIT_EVIDENCE, faults=report.errors)
    found = resolve(home, reference)
    try:
        facts = collect_facts(home, settings, found, until=effective_time, witnesses=witnesses)
    except VerificationError as error:
        where = "evidence" if error.index is None else f"entry {error.index}"
        fault = Fault("evidence-invalid", where, error.message, error.index)
        return ControlsResult(found.name, found.digest, moment, EXIT_EVIDENCE, faults=(fault,))
    except (KeyError, TypeError, AttributeError) as error:
        # Signed, in the log, and yet not shaped as its predicate type says.
        message = f"a statement about the model lacks what its type requires: {error!r}."
        fault = Fault("evidence-invalid", "evidence", message)
        return ControlsResult(found.name, found.digest, moment, EXIT_EVIDENCE, faults=(fault,))
    states: list[ClauseState] = []
    for framework in asked:
        decision = _ask(home, settings, found, framework.id, facts=facts, moment=moment)
        refused = tuple(f for f in decision.deny if f.rule not in _STATES)
        if refused:
            code = EXIT_MISSING if decision.trustworthy else EXIT_ENGINE
            return ControlsResult(found.name, found.digest, moment, code, asked, (), refused)
        states += _joined(framework, decision, facts)
    missing = any(state.state == "missing" for state in states)
    code = EXIT_MISSING if missing else EXIT_HELD
    return ControlsResult(found.name, found.digest, moment, code, asked, tuple(states))


def _moment(text: str) -> str:
    try:
        in_utc = dt.datetime.fromisoformat(text).utcoffset() == dt.timedelta(0)
    except ValueError:
        in_utc = False
    if not in_utc or not text.endswith("Z"):
        raise ConfigurationError(
            f"{text!r} is no moment.", hint="Write it as 2027-12-02T00:00:00Z."
        )
    return text


def _chosen(settings: Settings, name: str, only: Sequence[str]) -> tuple[Framework, ...]:
    known = known_frameworks(settings)
    wanted = only or settings.systems.get(name, {}).get("frameworks", ())
    if not wanted:
        raise ConfigurationError(
            f"The system {name!r} declares no frameworks.",
            hint=f'Write frameworks = ["eu_ai_act"] in [systems.{name}], or give --framework.',
        )
    for one in wanted:
        if one not in known:
            raise ConfigurationError(
                f"The framework {one!r} is unknown.",
                hint=f"There are {', '.join(known) or 'none in the policy data'}.",
            )
    return tuple(known[one] for one in dict.fromkeys(wanted))


def _ask(
    home: Home,
    settings: Settings,
    found: ModelReference,
    framework: str,
    *,
    facts: Facts,
    moment: str,
) -> Decision:
    declared = {**settings.systems.get(found.name, {}), "frameworks": [framework]}
    asked = replace(settings, systems={**settings.systems, found.name: declared})
    question = Question(
        "affidavit/controls",
        "model.assess",
        "model",
        found.name,
        found.digest,
        tags=system_tags(settings, found.name),
        extra={"evidence": {"facts": facts}},
    )
    document = question.document(asked, time=moment, request=new_id())
    engine = engine_for(settings, digest_key(home, settings, question))
    return engine.decide(question.entrypoint, document)


def _joined(framework: Framework, decision: Decision, facts: Facts) -> list[ClauseState]:
    answers: dict[str, Finding] = {}
    for finding in (*decision.deny, *decision.warn):
        if finding.rule in _STATES and answers.setdefault(finding.clause, finding) != finding:
            raise _unjoined(framework, finding.clause, "two answers")
    states = []
    for clause in framework.clauses:
        named = f"{framework.short} {clause.id}"
        answer = answers.pop(named, None)
        if answer is None:
            raise _unjoined(framework, named, "no answer")
        state = _STATES[answer.rule]
        entries = _entries(clause, state, answer.message, facts)
        states.append(ClauseState(framework.id, clause, state, answer.message, entries))
    if answers:
        raise _unjoined(framework, next(iter(answers)), "an answer, and is not known here")
    return states


def _unjoined(framework: Framework, clause: str, what: str) -> PolicyEngineError:
    return PolicyEngineError(
        f"The engine's rules and the data here do not agree: {clause!r} has {what}.",
        hint=f"The engine must run the bundle that holds {framework.id!r} as it is here.",
    )


def _entries(clause: Clause, state: str, reason: str, facts: Facts) -> dict[str, list[int]]:
    if state not in {"met", "person", "partial"}:
        return {}
    lacking = set(re.findall(r"[a-z_]+", reason))
    kinds = [kind for kind in clause.kinds if kind in facts and kind not in lacking]
    return {kind: [int(entry) for entry in facts[kind]["entries"]] for kind in kinds}
