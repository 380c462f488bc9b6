"""The law of waivers: with any evidence and any waivers, only waived denials are overridden."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.policies import EmbeddedEngine

NOW = "2026-11-21T10:00:00Z"
DIGEST = "sha256:aa"
RULES = [
    "promotion.metric", "promotion.provenance_stale", "promotion.provenance_missing",
    "promotion.provenance_unverified", "promotion.evaluation_missing", "promotion.fairness_ratio",
    "promotion.fairness_missing", "promotion.fairness_undeclared",
    "promotion.fairness_assessment", "promotion.explanation_missing",
    "promotion.explanation_residual", "promotion.approval_missing", "request.time",
    "request.actor", "access.suspended", "promotion.*", "",
]  # fmt: skip
NEVER = {"promotion.provenance_missing", "promotion.provenance_unverified"}

times = st.sampled_from([
    "2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z", "2026-11-22T00:00:00Z", "2026-12-10T00:00:00Z",
    "2027-12-10T00:00:00Z", "2026-01-01T00:00:00Z", "soon", None, 5,
])  # fmt: skip
junk = st.sampled_from([None, True, False, 0, "", "true", [], {}, "x"])
people = st.sampled_from(["ada", "bob", "wanda", " ADA", "", None])
numbers = st.sampled_from([0, 0.5, 0.9, 1, -1, None, "1"])


def shaped(**fields):
    return st.one_of(st.fixed_dictionaries(fields), junk)


waivers = st.lists(
    shaped(
        id=st.sampled_from(["01", "02", "", None]),
        verified=st.sampled_from([True, True, False, "true"]),
        withdrawn=st.sampled_from([False, False, True, None]),
        person=people,
        model=st.sampled_from(["risk", "risk", "other"]),
        digest=st.sampled_from([DIGEST, DIGEST, "sha256:bb", ""]),
        stage=st.sampled_from(["promote", "promote", "deploy"]),
        rules=st.one_of(st.lists(st.sampled_from(RULES), max_size=6), junk),
        reason=st.sampled_from(["a pilot", "", '"\n\\']),
        time=times,
        expires=times,
    ),
    max_size=4,
)
evidence = st.fixed_dictionaries(
    {},
    optional={
        "provenance": shaped(verified=junk, time=times, trainer=people, makers=st.lists(people)),
        "evaluations": st.lists(
            shaped(verified=junk, time=times, metrics=shaped(auc=numbers)), max_size=2
        ),
        "fairness": st.lists(
            shaped(
                verified=junk, features=st.sampled_from([["sex"], ["age"], "sex"]), time=times,
                demographic_parity_ratio=numbers, assessment=st.sampled_from(["pass", "fail", 1]),
                min_n=numbers,
            ), max_size=2,
        ),
        "explanations": st.lists(
            shaped(verified=junk, time=times, residual_max=numbers, tolerance=numbers), max_size=2
        ),
        "approvals": st.lists(
            shaped(verified=junk, approver=people, time=times, outcome=st.just("approved")),
            max_size=2,
        ),
        "logged_until": times,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(
        data={
            "promotion": {"metrics": {"auc": {"min": 0.8}}},
            "waivers": {"waivable": [rule for rule in RULES if rule and "*" not in rule]},
        }
    )


def asked(facts, listed, sensitive) -> dict:
    told = facts if listed is None else {**facts, "waivers": listed}
    return {
        "action": "model.promote",
        "actor": {"id": "eve", "roles": ["engineer"]},
        "purpose": "",
        "resource": {"kind": "model", "name": "risk", "digest": DIGEST, "tags": []},
        "columns": [],
        "environment": "development",
        "time": NOW,
        "request_id": "r",
        "declared": {"sensitive": sensitive},
        "evidence": told,
    }


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(evidence, waivers, st.sampled_from([["sex"], [], "sex", None, [1]]))
def test_a_waiver_never_does_more_than_take_away_the_denials_that_it_names(
    engine, facts, listed, sensitive
):
    before = engine.decide("affidavit/promote", asked(facts, None, sensitive))
    after = engine.decide("affidavit/promote", asked(facts, listed, sensitive))
    assert before.trustworthy
    assert after.trustworthy
    # Whoever does not allow says why, so that there is something to waive or to mend.
    assert before.allow or {finding.rule for finding in before.deny} != {"policy.undefined"}
    assert set(after.deny) <= set(before.deny)
    gone = set(before.deny) - set(after.deny)
    told = [finding for finding in after.warn if finding.rule == "waiver.applied"]
    for denial in gone:
        assert denial.rule not in NEVER
        ids = {
            one["id"]
            for one in listed
            if isinstance(one, dict) and denial.rule in one["rules"] and one["verified"] is True
        }
        starts = tuple(f"{name} waives {denial.rule}: {denial.message}" for name in ids)
        assert any(finding.message.startswith(starts) for finding in told)
    if after.allow and not before.allow:
        assert gone == set(before.deny)
    assert bool(told) is bool(gone)


@pytest.mark.real
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(evidence, waivers, st.sampled_from([["sex"], [], "sex"]))
def test_a_real_opa_server_weighs_waivers_alike(embedded, served, facts, listed, sensitive):
    question = asked(facts, listed, sensitive)
    here = embedded.decide("affidavit/promote", question)
    there = served.decide("affidavit/promote", question)
    assert (here.allow, here.deny, here.warn) == (there.allow, there.deny, there.warn)
    assert here.trustworthy


def test_the_same_waivers_in_another_order_give_the_same_decision(engine):
    one = {
        "id": "01", "verified": True, "withdrawn": False, "person": "wanda", "model": "risk",
        "digest": DIGEST, "stage": "promote", "rules": ["promotion.metric"], "reason": "a",
        "time": "2026-11-20T10:00:00Z", "expires": "2026-12-10T00:00:00Z",
    }  # fmt: skip
    facts = {"provenance": {"verified": True, "time": NOW, "trainer": "ada"}}
    two = {**one, "id": "02", "reason": "b"}
    forth, back = (
        engine.decide("affidavit/promote", asked(facts, listed, []))
        for listed in ([one, two], [two, one])
    )
    assert json.dumps(forth.to_dict()["warn"]) == json.dumps(back.to_dict()["warn"])
    assert (forth.allow, forth.deny) == (back.allow, back.deny)
