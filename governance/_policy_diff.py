"""Which past decisions another bundle would decide otherwise, and by which rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from affidavit._files import read_file
from affidavit._replay import InputError, Past, PastDecisions, Status, answer_of, undecided
from affidavit.errors import ConfigurationError
from affidavit.lineage import parse_json
from affidavit.policies import EmbeddedEngine, Engine, canonical_input, open_bundle

Change = Literal["allow to deny", "deny to allow", "other reasons", "other obligations"]


@dataclass(frozen=True, slots=True)
class Changed:
    """A past decision that another bundle would decide otherwise.

    Args:
        past: The decision.
        change: What would be otherwise, the gravest first.
        rules: The rules whose finding comes or goes; of obligations their kinds.
        answer: What the other bundle answers.
    """

    past: Past
    change: Change
    rules: tuple[str, ...]
    answer: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it, JSON-safe."""
        facts = self.past.facts
        return {
            "id": facts.id,
            "entry": self.past.entry,
            "entrypoint": facts.entrypoint,
            "resource": facts.resource,
            "change": self.change,
            "rules": list(self.rules),
            "recorded": dict(facts.result),
            "proposed": dict(self.answer),
        }


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """What another bundle would change.

    Args:
        revision: The other bundle's.
        compared: How many decisions were compared.
        changes: Those that it would decide otherwise, in log order.
        skipped: Those that could not be compared, with the status that a replay gives, and why.
    """

    revision: str
    compared: int
    changes: tuple[Changed, ...]
    skipped: tuple[tuple[Past, Status, str], ...]

    def by_rule(self) -> list[tuple[str, str, int]]:
        """Return how many decisions change by each rule and kind of change, the most first."""
        counts = Counter((rule, one.change) for one in self.changes for rule in one.rules)
        rows = [(rule, change, count) for (rule, change), count in counts.items()]
        return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))

    def to_dict(self) -> dict[str, Any]:
        """Return it, JSON-safe."""
        return {
            "bundle": self.revision,
            "compared": self.compared,
            "changed": len(self.changes),
            "counts": dict(Counter(one.change for one in self.changes)),
            "rules": [
                {"rule": rule, "change": change, "count": count}
                for rule, change, count in self.by_rule()
            ],
            "changes": [one.to_dict() for one in self.changes],
            "skipped": [
                {"id": past.facts.id, "entry": past.entry, "status": status, "reason": reason}
                for past, status, reason in self.skipped
            ],
        }


def proposed_engine(bundle: Path, data: Path | None = None) -> EmbeddedEngine:
    """Return an engine for a bundle that is not in force.

    Args:
        bundle: A folder that `affidavit policy build` wrote, or a bundle's archive.
        data: A file of data over the bundle's own.

    Raises:
        PolicyEngineError: It is no bundle.
        ConfigurationError: The data are not usable.
    """
    over = None
    if data is not None:
        over = parse_json(read_file(data))
        if not isinstance(over, dict):
            raise ConfigurationError(f"The policy data {data} are not a JSON object.")
    return EmbeddedEngine(bundle=open_bundle(bundle), data=over)


def diff_policy(
    decisions: PastDecisions,
    pasts: Sequence[Past],
    engine: EmbeddedEngine,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PolicyDiff:
    """Compare past decisions with what another bundle answers on the same inputs.

    Args:
        decisions: Reads the log.
        pasts: Which decisions.
        engine: The other bundle's.
        progress: Told how far it is.
    """
    changes, skipped = [], []
    for number, past in enumerate(pasts, 1):
        try:
            changed = _compare(decisions, past, engine)
        except InputError as error:
            skipped.append((past, error.status, error.reason))
        else:
            changes += [] if changed is None else [changed]
        if number % 50 == 0 or number == len(pasts):
            progress(number, len(pasts))
    compared = len(pasts) - len(skipped)
    return PolicyDiff(engine.bundle_digest, compared, tuple(changes), tuple(skipped))


def _compare(decisions: PastDecisions, past: Past, engine: Engine) -> Changed | None:
    trouble = undecided(past)
    if trouble:
        raise InputError("undecided", trouble)
    document, before = decisions.opened(past)
    answer = answer_of(engine, past.facts.entrypoint, document)
    if canonical_input(before) == canonical_input(answer):
        return None
    was, now = before.get("allow") is True, answer["allow"] is True
    rules = tuple(sorted(_texts(before, "deny", "warn") ^ _texts(answer, "deny", "warn")))
    duties = _texts(before, "obligations") ^ _texts(answer, "obligations")
    if was is not now:
        return Changed(past, "allow to deny" if was else "deny to allow", _names(rules), answer)
    if rules:
        return Changed(past, "other reasons", _names(rules), answer)
    return Changed(past, "other obligations", _names(sorted(duties)), answer)


def _texts(result: Mapping[str, Any], *members: str) -> set[tuple[str, bytes]]:
    """Return each finding or obligation as its rule or kind, and its canonical form."""
    found = set()
    for member in members:
        items = result.get(member)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                name = item.get("rule", item.get("kind"))
                found.add((str(name), member.encode() + canonical_input(item)))
    return found


def _names(items: Sequence[tuple[str, bytes]]) -> tuple[str, ...]:
    return tuple(sorted({name for name, _ in items}))
