"""Waivers: which were made, which stand, and which a decision rested on."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from affidavit._evidence import attributed_statement
from affidavit._home import Home
from affidavit._read import Reader
from affidavit.lineage import Statement, parse_entry, statement_id, timestamp
from affidavit.policies import Decision

WAIVED, WITHDRAWN = "waived", "withdrawn"
RULE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
"""What the id of a rule looks like; a pattern with a wildcard is none."""
LONGEST_REASON = 1000
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A person's statement that a denial may be overridden, as it stands in the ledger.

    Args:
        id: The statement's id.
        entry: Its log index.
        person: Who signed it.
        model: The system.
        digest: The model's digest.
        stage: The stage of the gate.
        rules: The exact ids of the rules concerned.
        reason: Why, in the person's words.
        time: When it was made, as it says itself.
        expires: From when on it counts no more.
        problem: Why it is not to be relied on; empty where it verified.
        withdrawn: Who withdrew it; empty where nobody did.
        withdrawal: The log index at which that was done; None where it was not.
    """

    id: str
    entry: int
    person: str
    model: str
    digest: str
    stage: str
    rules: tuple[str, ...]
    reason: str
    time: str
    expires: str
    problem: str = ""
    withdrawn: str = ""
    withdrawal: int | None = None

    def state(self, now: str) -> str:
        """Return what became of it: in force, expired, withdrawn, not yet in force or not valid.

        Whether it counts is the policy's to say.

        Args:
            now: The moment that is asked about, RFC 3339 in UTC.
        """
        if self.problem:
            return "not valid"
        if self.withdrawn:
            return "withdrawn"
        if not _before(now, self.expires):
            return "expired"
        return "in force" if not _before(now, self.time) else "not yet in force"

    def to_evidence(self) -> dict[str, Any]:
        """Return what the policy is told of it."""
        return {
            "id": self.id,
            "verified": not self.problem,
            "withdrawn": bool(self.withdrawn),
            "person": self.person,
            "model": self.model,
            "digest": self.digest,
            "stage": self.stage,
            "rules": list(self.rules),
            "reason": self.reason,
            "time": self.time,
            "expires": self.expires,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the waiver, JSON-safe."""
        more = {"entry": self.entry, "problem": self.problem, "withdrawn_by": self.withdrawn}
        return {**self.to_evidence(), **more, "state": self.state(timestamp())}


@dataclass(frozen=True, slots=True)
class AppliedWaiver:
    """A denial that a waiver overrode in one decision.

    Args:
        id: The waiver's id.
        rule: The rule that denied.
        message: What it found.
        severity: How severe that is.
        clause: The clause that the rule answers to.
        person: Who waived it.
        reason: Why.
        expires: Until when.
    """

    id: str
    rule: str
    message: str
    severity: str
    clause: str
    person: str
    reason: str
    expires: str

    def to_dict(self) -> dict[str, str]:
        """Return it, JSON-safe."""
        return {name: getattr(self, name) for name in self.__slots__}


def read_waivers(home: Home, *, name: str = "", digest: str = "") -> list[Waiver]:
    """Return the waivers of a system, of a model, or all, newest first.

    Args:
        home: Whose ledger they are in.
        name: The system; every one where empty.
        digest: A model's digest; what is about it is found under whatever name.

    Raises:
        VerificationError: A statement does not hold: its bytes, its place, its signature or its
            key's role.
    """
    found: list[Waiver] = []
    withdrawn: dict[tuple[str, str], tuple[str, int]] = {}
    for index in _indexes(Reader(home), name, digest):  # newest first: withdrawals come before
        statement, revoked = attributed_statement(home, index)
        predicate = statement.predicate
        subject = statement.subjects[0].digest if statement.subjects else ""
        if predicate.get("outcome") == WITHDRAWN:
            # It counts whatever became of its key: who stole it can take a waiver away.
            about = _text(predicate.get("withdraws")), subject
            withdrawn[about] = _text(predicate.get("actor")), index
            continue
        one = _waiver(home, index, statement)
        problem = _malformed(statement) or (revoked.message if revoked is not None else "")
        who, where = withdrawn.get((one.id, subject), ("", None))
        found.append(replace(one, problem=problem, withdrawn=who, withdrawal=where))
    return found


def waiver_evidence(home: Home, name: str, digest: str, *, at: str) -> tuple[list[Any], list[int]]:
    """Return what the policy is told of waivers, and the log indexes that it was read from.

    Every waiver about the model is told, also one that counts no more, so that the decision can say
    why. Of those about another model of the system only such as could be taken for valid.

    Args:
        home: Whose ledger they are in.
        name: The system.
        digest: The model's digest.
        at: The moment that is decided for.

    Raises:
        VerificationError: A statement does not hold.
    """
    told = [
        waiver
        for waiver in read_waivers(home, name=name, digest=digest)
        # A mistake in the name is worth a warning too.
        if waiver.digest == digest or waiver.state(at) == "in force"
    ]
    read = {index for waiver in told for index in (waiver.entry, waiver.withdrawal)}
    entries = sorted(index for index in read if index is not None)
    return [waiver.to_evidence() for waiver in told], entries


def applied_waivers(
    decision: Decision | None, evidence: Mapping[str, Any]
) -> tuple[AppliedWaiver, ...]:
    """Return the denials that waivers overrode in a decision.

    The policy says so in warnings that begin with the waiver's id and the rule, neither of which
    the person who waives can choose freely.

    Args:
        decision: What was decided; None where nothing was.
        evidence: The evidence that it was decided from.
    """
    listed = evidence.get("waivers", []) if decision is not None else []
    found = []
    for finding in decision.warn if decision is not None else ():
        if finding.rule != "waiver.applied":
            continue
        for waiver in listed:
            for rule in waiver["rules"]:
                begin = f"{waiver['id']} waives {rule}: "
                if finding.message.startswith(begin):
                    found.append(
                        AppliedWaiver(
                            waiver["id"],
                            rule,
                            finding.message.removeprefix(begin),
                            finding.severity,
                            finding.clause,
                            waiver["person"],
                            waiver["reason"],
                            waiver["expires"],
                        )
                    )
    return tuple(found)


def earliest(times: Iterable[str]) -> str:
    """Return the earliest of some moments, one that cannot be read first; empty where none is."""
    return min(times, key=_sortable, default="")


def is_instant(text: str) -> bool:
    """Return whether a text is a moment in RFC 3339, in UTC and marked so by a Z."""
    return _moment(text) is not None


def has_passed(moment: str, now: str) -> bool:
    """Return whether a moment has come; also where it cannot be read."""
    return not _before(now, moment)


def _indexes(reader: Reader, name: str, digest: str) -> list[int]:
    found = set(reader.evidence(digest, "waiver")) if digest else set()
    offset = 0
    while name or not digest:
        rows = reader.statements(kind="waiver", name=name, limit=500, offset=offset)
        found |= {int(row["entry"]) for row in rows}
        offset += len(rows)
        if len(rows) < 500:
            break
    return sorted(found, reverse=True)


def _waiver(home: Home, index: int, statement: Statement) -> Waiver:
    parsed = parse_entry(home.ledger.entry(index))
    identifier = "" if isinstance(parsed, dict) else statement_id(statement, parsed[0].payload)
    predicate = statement.predicate
    rules = predicate.get("rules")
    return Waiver(
        identifier,
        index,
        _text(predicate.get("actor")),
        _text(predicate.get("name")),
        statement.subjects[0].digest if statement.subjects else "",
        _text(predicate.get("stage")),
        tuple(_text(rule) for rule in rules) if isinstance(rules, list) else (),
        _text(predicate.get("reason")),
        _text(predicate.get("time")),
        _text(predicate.get("expires")),
    )


def _malformed(statement: Statement) -> str:
    predicate = statement.predicate
    rules, reason = predicate.get("rules"), _text(predicate.get("reason"))
    whole = (
        len(statement.subjects) == 1
        and predicate.get("outcome") == WAIVED
        and isinstance(rules, list)
        and bool(rules)
        and all(isinstance(rule, str) and RULE.fullmatch(rule) for rule in rules)
        and 0 < len(reason) <= LONGEST_REASON
        and is_instant(_text(predicate.get("time")))
        and is_instant(_text(predicate.get("expires")))
    )
    return "" if whole else "It is not of the form that a waiver has."


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(text: str) -> dt.datetime | None:
    if not _INSTANT.fullmatch(text):
        return None
    try:
        # Nine digits of a fraction may stand there; six are read.
        return dt.datetime.fromisoformat(text[:19] + text[19:-1][:7] + "+00:00")
    except ValueError:
        return None


def _sortable(text: str) -> dt.datetime:
    return _moment(text) or dt.datetime.min.replace(tzinfo=dt.UTC)


def _before(first: str, second: str) -> bool:
    """Return whether one moment is plainly before another; never where either is unreadable."""
    one, other = _moment(first), _moment(second)
    return one is not None and other is not None and one < other
