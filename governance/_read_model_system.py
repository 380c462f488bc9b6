"""What the pages and reports show of one model: its run, data, measurements, decisions, lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit._approvals import APPROVED, WITHDRAWN
from affidavit._model_reference import ModelReference
from affidavit._models import resolve
from affidavit._read import Reader
from affidavit._read_lineage import Lineage, read_lineage
from affidavit._read_model_pages import Evidence, PolicyAnswer, read_answers, read_evidence
from affidavit.errors import FairnessError

if TYPE_CHECKING:
    from affidavit._home import Home
    from affidavit._settings import Settings
    from affidavit.explain import Disparity, Estimate


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One group's rates.

    Args:
        group: Its value in each sensitive column.
        n: Rows, or the sum of their weights.
        selected: Positive predictions.
        suppressed: It is smaller than the smallest cell that may be shown.
        rates: Rate to estimate.
    """

    group: tuple[str, ...]
    n: float
    selected: float
    suppressed: bool
    rates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class FeatureFigures:
    """The groups of one sensitive column, or of an intersection.

    Args:
        feature: The columns.
        groups: Their groups.
        disparities: Metric to disparity, each with its interval.
        p_any_gap: The permutation test of any gap in selection rates; None with one group.
        assessment: ``pass``, ``fail`` or ``insufficient evidence`` against four fifths.
    """

    feature: tuple[str, ...]
    groups: tuple[GroupFigures, ...]
    disparities: Mapping[str, Disparity]
    p_any_gap: float | None
    assessment: str


@dataclass(frozen=True, slots=True)
class FairnessFigures:
    """Fairness as it follows from the signed counts of one evaluation.

    Args:
        entry: The evaluation's log index.
        confidence: The confidence level of every interval.
        min_cell: Groups smaller than this are suppressed.
        features: Single columns first, then intersections.
        problem: Why there are no figures, or why the signed ones differ; empty where neither.
    """

    entry: int
    confidence: float
    min_cell: float
    features: tuple[FeatureFigures, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something recorded about a model that a reader must not miss.

    Args:
        word: Such as ``not passed``.
        text: What it is.
        entry: Where it is in the log.
    """

    word: str
    text: str
    entry: int


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Everything about one model that a page or a report shows.

    Args:
        reference: The model.
        declared: Owner, purpose and tier as the settings declare them.
        run: The run that made it.
        verdicts: The gate's verdicts on it, newest first, as all that follow.
        evaluations: Its evaluations.
        explanations: Its explanations.
        approvals: Its approvals.
        datasets: The governed reads of the data that went into the run.
        fairness: The fairness of each evaluation that measured it.
        answers: Policy decisions about the system.
        failures: The system's failed runs.
        lineage: Where the model comes from, and what was measured on it.
        predictions: How many predictions the system has served.
        newest_prediction: Index row of the newest one.
        findings: What is recorded and out of line.
        missing: What an auditor would expect and does not find, as sentences.
    """

    reference: ModelReference
    declared: Mapping[str, Any]
    run: Evidence
    verdicts: tuple[Evidence, ...]
    evaluations: tuple[Evidence, ...]
    explanations: tuple[Evidence, ...]
    approvals: tuple[Evidence, ...]
    datasets: tuple[Evidence, ...]
    fairness: tuple[FairnessFigures, ...]
    answers: tuple[PolicyAnswer, ...]
    failures: tuple[Evidence, ...]
    lineage: Lineage
    predictions: int
    newest_prediction: Mapping[str, Any] | None
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]

    @property
    def problems(self) -> tuple[Evidence, ...]:
        """The statements that did not hold when they were read."""
        every = (self.run, *self.verdicts, *self.evaluations, *self.explanations)
        return tuple(e for e in (*every, *self.approvals, *self.datasets) if e.problem)


def read_model_page(home: Home, settings: Settings, reference: str) -> ModelPage:
    """Return everything about one model.

    Args:
        home: Whose ledger it is in.
        settings: Declares owner, purpose and tier.
        reference: Such as ``credit-risk`` or ``credit-risk@production``.

    Raises:
        NotFoundError: There is no such model.
        LedgerError: The store cannot be read.
    """
    reader = Reader(home)
    found = resolve(home, reference)

    def about(kind: str) -> tuple[Evidence, ...]:
        known = {"kind": kind, "name": found.name}
        return tuple(read_evidence(home, n, known) for n in reader.evidence(found.digest, kind))

    run = read_evidence(home, found.entry, {"kind": "run", "name": found.name})
    evaluations = about("evaluation")
    fairness = tuple(
        read_fairness(item) for item in evaluations if item.body.get("fairness") is not None
    )
    failed = reader.statements(kind="run", name=found.name, outcome="failed", limit=50)
    served = reader.predictions(model=found.name, limit=1)
    parts: dict[str, Any] = {
        "verdicts": about("verdict"),
        "evaluations": evaluations,
        "explanations": about("explanation"),
        "approvals": about("approval"),
        "datasets": _datasets(home, run),
        "fairness": fairness,
    }
    return ModelPage(
        reference=found,
        declared=settings.systems.get(found.name, {}),
        run=run,
        answers=read_answers(home, resource=found.name),
        failures=tuple(read_evidence(home, int(row["entry"]), row) for row in failed),
        lineage=read_lineage(home, found.digest),
        predictions=reader.count_predictions(found.name),
        newest_prediction=served[0] if served else None,
        findings=tuple(_findings(reader, run, parts)),
        missing=tuple(_missing(run, parts)),
        **parts,
    )


def _datasets(home: Home, run: Evidence) -> tuple[Evidence, ...]:
    reader = Reader(home)
    entries: set[int] = set()
    for digest in _dependencies(run):
        entries.update(reader.evidence(digest, "dataset"))
    return tuple(read_evidence(home, entry) for entry in sorted(entries, reverse=True))


def _dependencies(run: Evidence) -> list[str]:
    definition = run.predicate.get("buildDefinition")
    listed = definition.get("resolvedDependencies") if isinstance(definition, dict) else None
    found = []
    for item in listed if isinstance(listed, list) else []:
        digest = item.get("digest") if isinstance(item, dict) else None
        if isinstance(digest, dict) and isinstance(digest.get("sha256"), str):
            found.append(f"sha256:{digest['sha256']}")
    return found


def _findings(reader: Reader, run: Evidence, parts: Mapping[str, Any]) -> Iterator[Finding]:
    for verdict in parts["verdicts"][:1]:
        if verdict.outcome != "PASSED":
            yield Finding("not passed", "The newest verdict is not a pass.", verdict.entry)
        yield from _waived(verdict)
    yield from _unequal(parts["fairness"])
    for item in parts["approvals"]:
        if item.actor == run.actor:
            yield Finding("not independent", "The approver also made the run.", item.entry)
        if item.outcome == WITHDRAWN:
            yield Finding("withdrawn", f"{item.actor} took an approval back.", item.entry)
    if (_code(run).get("git") or {}).get("dirty"):
        yield Finding("uncommitted", "The run's code had uncommitted changes.", run.entry)
    for item in (*parts["evaluations"], *parts["explanations"]):
        given = reader.parts(item.entry, "input")[:1]
        if given and not reader.made_as(str(given[0]["digest"])):
            text = f"The data of this {item.kind} are not what a governed read or a run gave."
            yield Finding("not traced", text, item.entry)


def _waived(verdict: Evidence) -> Iterator[Finding]:
    listed = verdict.body.get("waivers")
    # One waiver overrides each denial by its rule, and is one exception.
    texts = dict.fromkeys(
        f"{one.get('person')} waived {one.get('rule')} until {one.get('expires')}: "
        f"{one.get('reason')}"
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    )
    for text in texts:
        yield Finding("waived", text, verdict.entry)


def _unequal(fairness: tuple[FairnessFigures, ...]) -> Iterator[Finding]:
    for figures in fairness:
        for feature in figures.features:
            if feature.assessment != "pass":
                named = " and ".join(feature.feature)
                text = f"Four-fifths ratio by {named}."
                yield Finding(feature.assessment, text, figures.entry)
        if figures.problem:
            yield Finding("not as signed", figures.problem, figures.entry)


def _code(run: Evidence) -> Mapping[str, Any]:
    definition = run.predicate.get("buildDefinition", {})
    found = definition.get("internalParameters", {}).get("code", {})
    return found if isinstance(found, dict) else {}


def _missing(run: Evidence, parts: Mapping[str, Any]) -> list[str]:
    external = run.predicate.get("buildDefinition", {}).get("externalParameters", {})
    sensitive = {str(name) for name in external.get("sensitive", [])}
    measured = {name for item in parts["fairness"] for f in item.features for name in f.feature}
    found = []
    if not _dependencies(run):
        found.append("No input data is recorded for the run.")
    elif not parts["datasets"]:
        found.append("No input of the run came from a governed read (@aff.data).")
    if not parts["evaluations"]:
        found.append("No evaluation of this model is in the ledger (aff.evaluate).")
    if sensitive - measured:
        names = ", ".join(sorted(sensitive - measured))
        found.append(f"Fairness was not measured for declared sensitive features: {names}.")
    elif not sensitive and not parts["fairness"]:
        found.append("No sensitive features were declared, and fairness was not measured.")
    if not parts["explanations"]:
        found.append("No explanation of this model is in the ledger (aff.explain_model).")
    newest = {item.actor: item for item in reversed(parts["approvals"])}
    if not any(item.outcome == APPROVED and not item.problem for item in newest.values()):
        found.append("Nobody has approved this model (affidavit approve).")
    if not parts["verdicts"]:
        found.append("The gate was not asked about this model (affidavit gate).")
    if not (_code(run).get("git") or {}).get("commit"):
        found.append("The run's code has no git commit.")
    return found


def read_fairness(evaluation: Evidence) -> FairnessFigures:
    """Return fairness figures, recomputed from an evaluation's signed counts.

    A signed figure is not taken on trust: where it differs from what the counts give, the problem
    says so.

    Args:
        evaluation: A statement of the kind ``evaluation`` that measured fairness.
    """
    from affidavit.explain import FairnessResult

    signed = evaluation.body.get("fairness")
    try:
        result = FairnessResult.from_dict(signed)  # type: ignore[arg-type]  # it refuses what is none
    except (FairnessError, TypeError, KeyError) as error:
        return FairnessFigures(evaluation.entry, 0.0, 0.0, (), f"The counts are unusable: {error}")
    differs = result.to_dict() != signed
    problem = "The signed figures differ from what the signed counts give." if differs else ""
    rates = {(r.feature, r.group): r for r in result.rates()}
    disparities = result.disparities()
    features = tuple(
        FeatureFigures(
            feature,
            tuple(
                GroupFigures(
                    group.group,
                    group.n,
                    group.selected,
                    rates[feature, group.group].suppressed,
                    rates[feature, group.group].rates,
                )
                for group in result.groups(feature)
            ),
            disparities[feature],
            result.p_any_gap(feature),
            result.assess(feature=feature),
        )
        for feature in result.features
    )
    return FairnessFigures(
        evaluation.entry,
        result.confidence,
        result.min_cell,
        features,
        evaluation.problem or problem,
    )
