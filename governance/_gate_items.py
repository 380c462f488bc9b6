"""What the gate judged, rule by rule: the one view that every format renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from affidavit._gate_result import GateResult
from affidavit._settings import Settings
from affidavit._waivers import AppliedWaiver
from affidavit.errors import PolicyEngineError
from affidavit.policies import Rule, judged_rules, rule_catalogue

State = Literal["denied", "undecided", "unverified", "waived", "warned", "passed"]
"""``undecided``: trouble with engine or input; ``unverified``: evidence missing or not verified."""
PROMOTE = "affidavit/promote"


@dataclass(frozen=True, slots=True)
class Item:
    """One rule and what came of it.

    Args:
        state: What came of it.
        rule: Its id; for ``unverified`` the code of the fault.
        title: What holds where the rule finds nothing.
        message: What was found; empty for ``passed``.
        severity: ``low``, ``medium``, ``high`` or ``critical``.
        clause: The clause that it answers to; empty where none does.
        waiver: The waiver that overrode the denial, for ``waived``.
    """

    state: State
    rule: str
    title: str
    message: str
    severity: str
    clause: str
    waiver: AppliedWaiver | None = None


@dataclass(frozen=True, slots=True)
class GateReport:
    """A result with its items, ready to be rendered.

    Args:
        result: What the gate decided.
        items: Rule by rule, the worst first.
        source: The file that declares the systems, relative to the working folder; empty where
            there is none.
    """

    result: GateResult
    items: tuple[Item, ...]
    source: str = ""


def gate_report(result: GateResult, settings: Settings, *, source: str = "") -> GateReport:
    """Return a result with what is known of its rules.

    Which rules passed is told only where the packs that decided are the ones at hand: those of an
    OPA server may be others.

    Args:
        result: What the gate decided.
        settings: Which packs decided.
        source: The file that declares the systems.
    """
    try:
        known = rule_catalogue(settings.packs)
        judged = judged_rules(PROMOTE, settings.packs) if settings.engine == "embedded" else ()
    except PolicyEngineError:
        # The decision says what is wrong with the packs; that must still be rendered.
        known, judged = {}, ()
    return GateReport(result, judged_items(result, known, judged), source)


def judged_items(
    result: GateResult, known: Mapping[str, Rule], judged: Sequence[Rule]
) -> tuple[Item, ...]:
    """Return what came of each rule, the worst first.

    Args:
        result: What the gate decided.
        known: What is known of rules, by id.
        judged: The rules that were asked; those that found nothing have passed.
    """
    decision = result.decision
    if decision is None:
        return tuple(
            Item("unverified", fault.code, "The evidence is there and verifies",
                 f"{fault.where}: {fault.message}", "critical", "")
            for fault in result.faults
        )  # fmt: skip

    def titled(rule: str) -> str:
        return known[rule].title if rule in known else rule

    refused: State = "denied" if decision.trustworthy else "undecided"
    items = [
        Item(refused, one.rule, titled(one.rule), one.message, one.severity, one.clause)
        for one in decision.deny
    ]
    items += [
        Item("waived", one.rule, titled(one.rule), one.message, one.severity, one.clause, one)
        for one in result.waivers
    ]
    items += [
        Item("warned", one.rule, titled(one.rule), one.message, one.severity, one.clause)
        for one in decision.warn
        if one.rule != "waiver.applied"
    ]
    found = {item.rule for item in items if item.state in {"denied", "waived"}}
    if decision.trustworthy:
        items += [
            Item("passed", rule.id, rule.title, "", rule.severity, rule.clause)
            for rule in judged
            if rule.id not in found
        ]
    return tuple(items)
