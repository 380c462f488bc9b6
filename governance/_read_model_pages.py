"""What the pages and reports show of one system and of the whole ledger, as plain records.

Each statement is checked on its own when it is read: its place under the newest checkpoint, its
signature and the key's role. One that does not hold is still listed, with what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit._approvals import APPROVED, standing_approvals
from affidavit._decision_record import decision_facts
from affidavit._evidence import verified_statement
from affidavit._read import Reader
from affidavit.errors import AffidavitError, NotFoundError, VerificationError
from affidavit.lineage import EVALUATION_FIELD, RUN_FIELD, VERDICT_FIELD, Resource, Statement

if TYPE_CHECKING:
    from affidavit._home import Home
    from affidavit._settings import Settings

_LISTED = 50
"""How many statements or decisions of a kind a page lists; it says when there are more."""
_OURS = {"run": RUN_FIELD, "verdict": VERDICT_FIELD, "evaluation": EVALUATION_FIELD}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statement as a page shows it.

    Args:
        entry: Its log index.
        kind: Such as ``run``.
        name: The system or dataset that it is about.
        time: When it was made, as it says itself (RFC 3339, UTC).
        actor: Who made it, as it says itself.
        outcome: Such as ``completed`` or ``PASSED``.
        subjects: The artifacts that it is about.
        body: The part of the predicate that carries our own fields.
        predicate: The whole predicate.
        problem: Why it does not hold; empty where it was verified in this reading.
    """

    entry: int
    kind: str
    name: str
    time: str
    actor: str
    outcome: str
    subjects: tuple[Resource, ...]
    body: Mapping[str, Any]
    predicate: Mapping[str, Any]
    problem: str


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """One policy decision as a page shows it.

    Args:
        entry: Its log index.
        id: Its id.
        time: When.
        actor: Who asked.
        entrypoint: Which rule set answered.
        resource: What it was about.
        allow: The answer.
        mode: ``enforce``, or ``observe`` where a denial was recorded and not enforced.
        reasons: Rule, message, severity and clause of each denial and warning.
        obligations: What had to be done to the data.
    """

    entry: int
    id: str
    time: str
    actor: str
    entrypoint: str
    resource: str
    allow: bool
    mode: str
    reasons: tuple[Mapping[str, Any], ...]
    obligations: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SystemState:
    """One system in a line.

    Args:
        name: Its name.
        declared: Owner, purpose and tier as the settings declare them.
        digest: Its newest model's digest; empty where no completed run made one.
        entry: The log index of the run that made it; None likewise.
        time: When that run ended.
        verdict: ``PASSED``, ``FAILED``, or empty where the gate was not asked about that model.
        verdict_entry: The log index of the newest verdict on it.
        approvals: How many people's approvals of that model stand.
        failed_runs: How many runs failed, in all.
        predictions: How many predictions were served, in all.
    """

    name: str
    declared: Mapping[str, Any]
    digest: str
    entry: int | None
    time: str
    verdict: str
    verdict_entry: int | None
    approvals: int
    failed_runs: int
    predictions: int


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """The whole ledger on one page.

    Args:
        systems: Every system.
        counts: How many there are of each kind of statement and record.
        denials: The newest denials.
        failures: The newest failed runs and reads.
        gaps: The newest gaps: work that ran and could not be recorded.
        newest: The time of the newest entry.
    """

    systems: tuple[SystemState, ...]
    counts: Mapping[str, int]
    denials: tuple[PolicyAnswer, ...]
    failures: tuple[Evidence, ...]
    gaps: tuple[Evidence, ...]
    newest: str


def read_evidence(home: Home, index: int, row: Mapping[str, Any] | None = None) -> Evidence:
    """Return a statement for a page, checked on its own.

    Args:
        home: Whose ledger it is in.
        index: Its log index.
        row: Its index row, where it is at hand; what can be shown of unreadable bytes.
    """
    problem = ""
    statement: Statement | None = None
    try:
        statement = verified_statement(home, index)
    except AffidavitError as error:
        problem = error.message
        try:
            statement = Reader(home).entry(index).statement
        except AffidavitError:
            statement = None
    if statement is None:
        known = row or {}
        return Evidence(
            index,
            str(known.get("kind", "unreadable")),
            str(known.get("name", "")),
            str(known.get("time", "")),
            str(known.get("actor", "")),
            str(known.get("outcome", "")),
            (),
            {},
            {},
            problem or "The entry is not a statement.",
        )
    return _shown(index, statement, problem)


def _shown(index: int, statement: Statement, problem: str) -> Evidence:
    from affidavit.lineage import statement_facts

    facts = statement_facts(statement)
    predicate = statement.predicate
    body = predicate.get(_OURS.get(statement.kind, ""), predicate)
    return Evidence(
        index,
        statement.kind,
        facts["name"],
        facts["time"],
        facts["actor"],
        facts["outcome"],
        tuple(statement.subjects),
        body if isinstance(body, dict) else {},
        predicate,
        problem,
    )


def read_overview(home: Home, settings: Settings) -> OverviewPage:
    """Return what the overview shows.

    Args:
        home: Whose ledger is shown.
        settings: Declares owners, purposes and tiers.

    Raises:
        LedgerError: The store cannot be read.
    """
    reader = Reader(home)
    failures = [
        row
        for kind, outcome in (("run", "failed"), ("dataset", "failed"))
        for row in reader.statements(kind=kind, outcome=outcome, limit=_LISTED)
    ]
    failures.sort(key=lambda row: -int(row["entry"]))
    return OverviewPage(
        tuple(read_system(home, settings, name) for name in reader.systems()),
        reader.counts(),
        read_answers(home, allow=False),
        _listed(home, failures[:_LISTED]),
        _listed(home, reader.statements(kind="gap", limit=_LISTED)),
        newest_time(home),
    )


def newest_time(home: Home) -> str:
    """Return the time that the newest entry gives for itself; empty where it cannot be read."""
    try:
        found = Reader(home).recent(limit=1)
    except AffidavitError:
        return ""
    if not found:
        return ""
    entry = found[0]
    if entry.statement is None:
        return str((entry.record or {}).get("time", ""))
    return _shown(entry.index, entry.statement, "").time


def read_system(home: Home, settings: Settings, name: str) -> SystemState:
    """Return the state of one system's newest model.

    Args:
        home: Whose ledger is asked.
        settings: Declares owners, purposes and tiers.
        name: The system.
    """
    reader = Reader(home)
    declared = settings.systems.get(name, {})
    failed = reader.count_statements(kind="run", name=name, outcome="failed")
    served = reader.count_predictions(name)
    try:
        found = reader.model(name)
    except NotFoundError:
        return SystemState(name, declared, "", None, "", "", None, 0, failed, served)
    run = read_evidence(home, found.entry)
    verdict = next(iter(reader.evidence(found.digest, "verdict")), None)
    return SystemState(
        name,
        declared,
        found.digest,
        found.entry,
        run.time,
        "" if verdict is None else read_evidence(home, verdict).outcome,
        verdict,
        _approvals(home, found.digest),
        failed,
        served,
    )


def _approvals(home: Home, digest: str) -> int:
    """Return how many people's approvals stand; none where a statement does not hold."""
    try:
        standing, _ = standing_approvals(home, digest)
    except AffidavitError:
        return 0
    return sum(one["verified"] and one["outcome"] == APPROVED for one in standing)


def read_answers(
    home: Home, *, resource: str = "", allow: bool | None = None
) -> tuple[PolicyAnswer, ...]:
    """Return the newest policy decisions, newest first.

    Args:
        home: Whose ledger they are in.
        resource: Only about this system, dataset or record.
        allow: Only allowed or only denied ones.
    """
    rows = Reader(home).decisions(resource=resource, allow=allow, limit=_LISTED)
    return tuple(_answer(home, row) for row in rows)


def _answer(home: Home, row: Mapping[str, Any]) -> PolicyAnswer:
    index = int(row["entry"])
    try:
        record = Reader(home).entry(index).record or {}
    except (VerificationError, NotFoundError):
        record = {}
    facts = decision_facts(record)
    reasons = [
        {"effect": effect, **reason}
        for effect in ("deny", "warn")
        for reason in facts.result.get(effect, [])
        if isinstance(reason, dict)
    ]
    known = bool(record)
    return PolicyAnswer(
        index,
        facts.id if known else str(row["id"]),
        facts.time if known else str(row["time"]),
        facts.actor if known else str(row["actor"]),
        facts.entrypoint if known else str(row["entrypoint"]),
        facts.resource if known else str(row["resource"]),
        facts.allow if known else bool(row["allow"]),
        facts.mode,
        tuple(reasons),
        tuple(item for item in facts.result.get("obligations", []) if isinstance(item, dict)),
    )


def _listed(home: Home, rows: list[Mapping[str, Any]]) -> tuple[Evidence, ...]:
    return tuple(read_evidence(home, int(row["entry"]), row) for row in rows)
