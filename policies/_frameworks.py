"""Frameworks: laws, standards and guidance as dated data, and what evidence their clauses ask for.

A framework is one JSON object. The rules in ``packs/frameworks`` evaluate it; nothing here does.

```json
{"id": "house", "short": "House rules", "title": "…", "issuer": "…", "nature": "standard",
 "jurisdiction": "…", "version": "3", "dated": "2026-01-31", "read": "2026-02-01", "status": "…",
 "source": {"reference": "…", "url": "https://…", "confidence": "text as published"}, "notes": [],
 "clauses": [{"id": "4.2", "title": "…", "summary": "…", "mode": "mixed", "question": "…",
              "in_force": [{"from": "2026-03-01", "when": {"tier": ["high"]}}],
              "applies": {"role": ["provider"]},
              "evidence": [{"kind": "evaluation", "max_age_days": 365},
                           {"any": [{"kind": "approval", "min": 2}, {"declared": "owner"}]}]}]}
```
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from affidavit.errors import ConfigurationError

__all__ = ["EVIDENCE_KINDS", "Clause", "Framework", "check_frameworks", "frameworks"]

EVIDENCE_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "provenance": "the signed run that made the model",
        "code": "that run, where it names a git commit without uncommitted changes",
        "environment": "that run, where it lists the installed packages",
        "lineage": "that run, where it names the data that it was made from",
        "dataset_read": "governed reads of that data, each for a purpose and under a decision",
        "dataset_obligation": "those of these reads in which the policy bound a column or the rows",
        "evaluation": "evaluations of the model with metrics",
        "fairness": "evaluations that measured a sensitive feature, recomputed from their counts",
        "fairness_intersection": "those of them that measured an intersection of features",
        "explanation": "explanations of the model that add up within their tolerance",
        "approval": "standing approvals by people who had no part in making the model",
        "verdict": "the gate's verdicts on the model",
        "verdict_passed": "those verdicts that let it pass",
        "monitoring": "evaluations of the model made after a verdict first let it pass",
        "model_signature": "signatures in the OpenSSF format over what the run made",
        "decision": "policy decisions about the system",
        "prediction": "served predictions of the system",
        "disclosure": "recorded readings of the system's predictions by people",
        "export": "recorded exports of evidence about the system",
        "records_kept": "days that served records are kept, by the signed retention statements",
        "checkpoint": "the signed checkpoint under which everything verified",
        "witness": "witnesses that cosigned a checkpoint of the log",
        "time_stamp": "time stamps on checkpoints of the log that hold against pinned certificates",
        "key_management": "signed trust roots, which list the keys in force",
        "erasure": "signed erasures of personal data",
        "retention": "signed retentions, which removed what was old enough",
    }
)
"""Each kind of evidence that a clause can ask for, and what is counted."""

MODES = ("automatic", "mixed", "human")
NATURES = ("law", "standard", "guidance")
_TEXTS = ("short", "title", "issuer", "jurisdiction", "version", "status")
_KEYS = {*_TEXTS, "id", "nature", "dated", "read", "source", "notes", "clauses"}
_CLAUSE = {"id", "title", "summary", "mode", "question", "in_force", "applies", "evidence"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HINT = "The shape is policies/packs/frameworks/schema.json; docs/policies/frameworks.md tells it."


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a framework, in our own words.

    Args:
        id: The clause as the framework numbers it.
        title: A few words.
        summary: What it asks.
        mode: ``automatic`` where evidence decides, ``mixed`` where a person answers for the rest,
            ``human`` where only a person can answer.
        question: What the person is asked; empty for ``automatic``.
        in_force: When it is in force: objects with ``from``, ``until`` and ``when``.
        applies: Attribute of the system to the values for which the clause applies.
        evidence: What satisfies it: all of these, each a leaf or an ``any`` of leaves.
    """

    id: str
    title: str
    summary: str
    mode: str
    question: str
    in_force: tuple[Mapping[str, Any], ...]
    applies: Mapping[str, Any]
    evidence: tuple[Mapping[str, Any], ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of evidence that it names, each once, in its order."""
        leaves = [leaf for item in self.evidence for leaf in item.get("any", [item])]
        return tuple(dict.fromkeys(str(leaf["kind"]) for leaf in leaves if "kind" in leaf))


@dataclass(frozen=True, slots=True)
class Framework:
    """A law, standard or guidance at one version.

    Args:
        id: Its name in settings and policy data.
        short: Its name in findings.
        title: What of it is here.
        issuer: Who issued it.
        nature: ``law``, ``standard`` or ``guidance``.
        jurisdiction: Where it holds.
        version: Which version.
        dated: The date of the text.
        read: The day on which the text, or what is known of it, was last looked at.
        status: Whether and how it is in force.
        source: ``reference``, ``url`` (may be empty) and ``confidence``.
        notes: What a reader must know of the dates and sources.
        clauses: Its clauses.
    """

    id: str
    short: str
    title: str
    issuer: str
    nature: str
    jurisdiction: str
    version: str
    dated: str
    read: str
    status: str
    source: Mapping[str, str]
    notes: tuple[str, ...] = ()
    clauses: tuple[Clause, ...] = field(default=())


def frameworks(data: Mapping[str, Any]) -> Mapping[str, Framework]:
    """Return the frameworks of some policy data by id, in alphabetical order.

    Args:
        data: Policy data in force, such as `EmbeddedEngine.data`.

    Raises:
        ConfigurationError: A framework is not of the form that the rules evaluate.
    """
    return check_frameworks(data.get("frameworks", {}))


def check_frameworks(held: object) -> Mapping[str, Framework]:
    """Read the policy data's section of frameworks strictly.

    Args:
        held: The section: framework id to framework.

    Returns:
        The frameworks in alphabetical order of their ids.

    Raises:
        ConfigurationError: A key is unknown or missing, a date is none, a kind of evidence is
            unknown, or an id stands twice.
    """
    if not isinstance(held, Mapping):
        raise _refuse("frameworks", f"is {type(held).__name__}, expected a table")
    found = {name: _framework(name, held[name]) for name in sorted(held)}
    shorts = [one.short for one in found.values()]
    twice = sorted({short for short in shorts if shorts.count(short) > 1})
    if twice:
        # Findings name a framework by it.
        raise _refuse("frameworks", f"has two with the short name {twice[0]!r}")
    return MappingProxyType(found)


def _refuse(place: str, found: str) -> ConfigurationError:
    return ConfigurationError(f"In the policy data, {place} {found}.", hint=_HINT)


def _framework(name: str, value: object) -> Framework:
    where = f"frameworks.{name}"
    table = _table(value, where, _KEYS)
    if table["id"] != name or not _NAME.fullmatch(name):
        raise _refuse(f"{where}.id", f"is {table['id']!r}, expected the table's own name")
    texts = {key: _text(table[key], f"{where}.{key}") for key in _TEXTS}
    source = _table(table["source"], f"{where}.source", {"reference", "confidence"}, {"url"})
    if not isinstance(table["clauses"], list) or not table["clauses"]:
        raise _refuse(f"{where}.clauses", "is not a list with a clause in it")
    clauses = tuple(_clause(where, item) for item in table["clauses"])
    ids = [clause.id for clause in clauses]
    if len(set(ids)) != len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise _refuse(f"{where}.clauses", f"has the clause {twice!r} twice")
    return Framework(
        id=name,
        nature=_choice(table["nature"], f"{where}.nature", NATURES),
        dated=_day(table["dated"], f"{where}.dated"),
        read=_day(table["read"], f"{where}.read"),
        source=_frozen({key: _text(text, f"{where}.source") for key, text in source.items()}),
        notes=tuple(_text(note, f"{where}.notes") for note in _list(table["notes"], where)),
        clauses=clauses,
        **texts,
    )


def _clause(where: str, value: object) -> Clause:
    needed = _CLAUSE - {"question", "applies"}
    table = _table(value, f"{where}.clauses", needed, {"question", "applies"})
    name = _text(table["id"], f"{where}.clauses.id")
    place = f"{where}, clause {name!r},"
    mode = _choice(table["mode"], place, MODES)
    question = str(table.get("question", ""))
    if bool(question.strip()) is (mode == "automatic"):
        raise _refuse(place, f"is {mode} and has {'a' if question else 'no'} question")
    evidence = tuple(_requirement(item, place) for item in _list(table["evidence"], place))
    if bool(evidence) is (mode == "human"):
        raise _refuse(place, f"is {mode} and has {'some' if evidence else 'no'} evidence")
    windows = tuple(_window(item, place) for item in _list(table["in_force"], place))
    if not windows:
        raise _refuse(place, "says not when it is in force")
    return Clause(
        id=name,
        title=_text(table["title"], place),
        summary=_text(table["summary"], place),
        mode=mode,
        question=question,
        in_force=windows,
        applies=_conditions(table.get("applies", {}), place),
        evidence=evidence,
    )


def _requirement(value: object, place: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and "any" in value:
        table = _table(value, place, {"any"})
        leaves = [_leaf(item, place) for item in _list(table["any"], place)]
        if len(leaves) < 2:
            raise _refuse(place, "has an `any` of less than two")
        return _frozen({"any": tuple(leaves)})
    return _leaf(value, place)


def _leaf(value: object, place: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and "declared" in value:
        name = _table(value, place, {"declared"})["declared"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _refuse(place, f"asks for the declaration {name!r}, which is no attribute's name")
        return _frozen({"declared": name})
    table = _table(value, place, {"kind"}, {"max_age_days", "min"})
    if table["kind"] not in EVIDENCE_KINDS:
        known = ", ".join(EVIDENCE_KINDS)
        raise _refuse(place, f"asks for the evidence {table['kind']!r}; there are {known}")
    for key in ("max_age_days", "min"):
        if key in table and (type(table[key]) is not int or table[key] < 1):
            raise _refuse(place, f"has {key} = {table[key]!r}, expected a whole number above zero")
    return _frozen(table)


def _window(value: object, place: str) -> Mapping[str, Any]:
    table = _table(value, place, {"from"}, {"until", "when"})
    days = [_day(table[key], place) for key in ("from", "until") if key in table]
    if days != sorted(set(days)):
        raise _refuse(place, "ends before it is in force")
    return _frozen({**table, "when": _conditions(table.get("when", {}), place)})


def _conditions(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _refuse(place, "has a condition that is not a table")
    for name, values in value.items():
        fit = isinstance(values, list) and values and all(isinstance(v, str | bool) for v in values)
        if not _NAME.fullmatch(str(name)) or not fit:
            raise _refuse(place, f"has the condition {name!r}, expected an attribute with a list")
    return _frozen({name: tuple(values) for name, values in value.items()})


def _table(
    value: object, where: str, needed: set[str], optional: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _refuse(where, f"has {json.dumps(value, default=str)[:60]}, expected a table")
    missing, unknown = sorted(needed - set(value)), sorted(set(value) - needed - optional)
    if missing or unknown:
        found = f"lacks {missing[0]!r}" if missing else f"has the unknown {unknown[0]!r}"
        raise _refuse(where, found)
    return dict(value)


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refuse(where, f"has {type(value).__name__} where a list is expected")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _refuse(where, "is missing or not text")
    return value


def _choice(value: object, where: str, permitted: tuple[str, ...]) -> str:
    if value not in permitted:
        raise _refuse(where, f"is {value!r}, expected {', '.join(permitted)}")
    return str(value)


def _day(value: object, where: str) -> str:
    try:
        if dt.date.fromisoformat(str(value)).isoformat() == value:
            return str(value)
    except ValueError:
        pass
    raise _refuse(where, f"has {value!r}, expected a day such as 2027-12-02")


def _frozen(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))
