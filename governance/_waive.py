"""Waiving a rule for one model, in a person's own name, and taking that back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affidavit._gate_result import STAGES
from affidavit._home import Home
from affidavit._keyring import person_name
from affidavit._models import resolve
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit._waivers import (
    LONGEST_REASON,
    RULE,
    WAIVED,
    WITHDRAWN,
    Waiver,
    has_passed,
    is_instant,
    read_waivers,
)
from affidavit.errors import ConfigurationError, NotFoundError
from affidavit.lineage import WAIVER, Resource, Statement, statement_id, timestamp
from affidavit.policies import rule_catalogue


def waive(
    home: Home,
    settings: Settings,
    reference: str,
    person: str,
    *,
    rules: Sequence[str],
    reason: str,
    expires: str,
    stage: str = "promote",
) -> Waiver:
    """Sign a waiver of rules for one model with a person's own key.

    Whether it counts is the policy's to say, when the gate is asked: which rules can be waived, for
    how long, and by whom, stands in its data.

    Args:
        home: Where the person's key and the ledger are.
        settings: The settings in force.
        reference: The model, such as ``credit-risk@latest``.
        person: The identity that is enrolled in the role ``waiver``.
        rules: The exact ids of the rules, such as ``promotion.metric``.
        reason: Why; everyone who reads the log reads it.
        expires: From when on it counts no more, RFC 3339 in UTC.
        stage: The stage of the gate.

    Returns:
        The waiver as it was recorded.

    Raises:
        ConfigurationError: No rule is named, or one that does not exist; there is no reason; the
            expiry is no moment, or has passed.
        NotFoundError: There is no such model.
        KeyFileError: The person is not enrolled for waivers, or the key is missing, rotated or
            revoked.
    """
    _check(settings, rules, reason, expires, stage)
    found = resolve(home, reference)
    predicate = {
        "name": found.name,
        "actor": person,
        "time": timestamp(),
        "outcome": WAIVED,
        "stage": stage,
        "rules": list(dict.fromkeys(rules)),
        "reason": reason,
        "expires": expires,
    }
    identifier = _sign(home, settings, found.digest, predicate)
    return _recorded(home, found.name, found.digest, identifier)


def withdraw_waiver(
    home: Home, settings: Settings, identifier: str, person: str, *, reason: str
) -> Waiver:
    """Take a waiver back; whoever is enrolled in the role may, and it is for good.

    A verdict that rests on it stands until the gate is asked again.

    Args:
        home: Where the person's key and the ledger are.
        settings: The settings in force.
        identifier: The waiver's id.
        person: The identity that is enrolled in the role ``waiver``.
        reason: Why.

    Returns:
        The waiver, withdrawn.

    Raises:
        NotFoundError: There is no such waiver, or it is withdrawn already.
        ConfigurationError: There is no reason.
        KeyFileError: The person is not enrolled for waivers, or the key is missing, rotated or
            revoked.
    """
    _check_reason(reason)
    known = {waiver.id: waiver for waiver in read_waivers(home)}
    waiver = known.get(identifier)
    if waiver is None or waiver.withdrawn:
        what = "is withdrawn already" if waiver else "is not in the ledger"
        raise NotFoundError(
            f"The waiver {identifier!r} {what}.", hint="`affidavit waivers` lists those there are."
        )
    predicate = {
        "name": waiver.model,
        "actor": person,
        "time": timestamp(),
        "outcome": WITHDRAWN,
        "withdraws": identifier,
        "reason": reason,
    }
    _sign(home, settings, waiver.digest, predicate)
    return _recorded(home, waiver.model, waiver.digest, identifier)


def _check(settings: Settings, rules: Sequence[str], reason: str, expires: str, stage: str) -> None:
    if stage not in STAGES:
        raise ConfigurationError(
            f"The stage {stage!r} is unknown.", hint=f"There is: {', '.join(STAGES)}."
        )
    if not rules:
        raise ConfigurationError(
            "A waiver names at least one rule.", hint="`affidavit gate` prints what denied."
        )
    known = set(rule_catalogue(settings.packs))
    for rule in rules:
        if not RULE.fullmatch(rule):
            raise ConfigurationError(
                f"{rule!r} is no rule's id.",
                hint="A waiver names rules exactly, such as promotion.metric; no patterns.",
            )
        if settings.engine == "embedded" and rule not in known:
            raise ConfigurationError(
                f"There is no rule {rule!r}.", hint="`affidavit gate` prints what denied."
            )
    _check_reason(reason)
    if not is_instant(expires):
        raise ConfigurationError(
            f"{expires!r} is no moment.", hint="Write it as 2027-01-31T00:00:00Z."
        )
    if has_passed(expires, timestamp()):
        raise ConfigurationError(
            f"The waiver would have expired at {expires}.", hint="Name a moment to come."
        )


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise ConfigurationError(
            f"A reason has 1 to {LONGEST_REASON} characters; this one has {len(reason.strip())}.",
            hint='Say why: --reason "…".',
        )


def _sign(home: Home, settings: Settings, digest: str, predicate: Mapping[str, Any]) -> str:
    person, name = predicate["actor"], predicate["name"]
    key = home.keyring.person(person_name(person, "waiver"), person, "waiver")
    subject = Resource(f"{name}.pickle", digest.removeprefix("sha256:"))
    statement = Statement((subject,), WAIVER, dict(predicate))
    envelope = statement.sign(key)
    record(home, settings, f"waiver for {name}", envelope.to_bytes())
    return statement_id(statement, envelope.payload)


def _recorded(home: Home, name: str, digest: str, identifier: str) -> Waiver:
    found = read_waivers(home, name=name, digest=digest)
    return next(waiver for waiver in found if waiver.id == identifier)
