"""Waivers: who may override what, until when, and whatever else a person may try."""

from __future__ import annotations

import datetime as dt
import json

import jsonschema
import pytest

import affidavit as aff
from affidavit._enrolment import enrol, revoke
from affidavit._waivers import applied_waivers, earliest, has_passed, is_instant
from affidavit.errors import ConfigurationError, KeyFileError, NotFoundError, PolicyDenied
from affidavit.lineage import (
    VERDICT_FIELD,
    WAIVER,
    Resource,
    Statement,
    read_key,
    schema_for,
    timestamp,
)

ME, BOB, WANDA = "engineer@example.org", "bob@example.org", "wanda@example.org"
HOSTILE = '"]**`<img src=x onerror=alert(1)>`\u202e\x1b[31m\n::error::x\n| [a](http://x)'


@pytest.fixture
def failing(home, risk, loans, configure, tmp_path):
    """A model with all evidence and an approval, whose accuracy is below the threshold."""
    promotion = {"fairness": {"min_ratio": 0.5}, "metrics": {"accuracy": {"min": 1.5}}}
    (tmp_path / "policy.json").write_text(json.dumps({"promotion": promotion}))
    configure('[policy]\ndata = "policy.json"\n')
    X = loans[["income", "debt"]]
    aff.evaluate("risk", risk, X, loans["granted"], sensitive=loans[["sex"]])
    aff.explain_model("risk", risk, X)
    enrol(home, BOB, "approver", actor=ME)
    enrol(home, WANDA, "waiver", actor=ME)
    aff.approve(home, aff.load_settings(), "risk", BOB)
    return aff.Reader(home).model("risk").digest


def after(**time) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


def waive(home, person=WANDA, **more):
    asked = {"rules": ["promotion.metric"], "reason": "a pilot", "expires": after(days=7), **more}
    return aff.waive(home, aff.load_settings(), "risk", person, **asked)


def gate(home, **options):
    return aff.gate(home, aff.load_settings(), "risk", **options)


def denied(result) -> set[str]:
    return {finding.rule for finding in result.decision.deny}


def warned(result) -> set[str]:
    return {finding.rule for finding in result.decision.warn} - {"promotion.fairness_doubtful"}


def forge(home, digest, *, key=None, **changes) -> int:
    """Append a waiver that the command would not have written; returns its log index."""
    predicate = {
        "name": "risk", "actor": WANDA, "time": timestamp(), "outcome": "waived",
        "stage": "promote", "rules": ["promotion.metric"], "reason": "x",
        "expires": after(days=7), **changes,
    }  # fmt: skip
    key = key or read_key(home.person_key(WANDA, "waiver"))
    subject = Resource("risk.pickle", digest.removeprefix("sha256:"))
    (index,) = home.ledger.append([Statement((subject,), WAIVER, predicate).sign(key).to_bytes()])
    return index


def test_a_waiver_overrides_one_denial_and_shows_in_decision_and_verdict(home, failing, reader):
    assert denied(gate(home)) == {"promotion.metric"}
    waiver = waive(home, reason=HOSTILE)
    result = gate(home)
    assert (result.exit_code, result.allowed) == (0, True)
    assert "waiver.applied" in warned(result)
    (used,) = result.waivers
    assert (used.id, used.rule, used.person) == (waiver.id, "promotion.metric", WANDA)
    assert (used.reason, used.clause) == (HOSTILE, "EU AI Act Art. 15(1)")
    verdict = reader.statement(reader.newest("verdict")).predicate
    ours = verdict[VERDICT_FIELD]
    assert ours["waivers"] == [used.to_dict()]
    assert ours["expires"] == waiver.expires
    jsonschema.validate(ours, schema_for(VERDICT_FIELD))
    assert waiver.entry in ours["entries"]
    assert len(verdict["policy"]["digest"]["sha256"]) == 64
    told = reader.decision(result.decision_id).record["input"]["evidence"]["waivers"]
    assert told == [waiver.to_evidence()]
    jsonschema.validate(reader.statement(waiver.entry).predicate, schema_for(WAIVER))
    assert aff.verify_home(home).ok


def test_without_a_waiver_the_evidence_names_none(home, failing):
    assert not {"waivers", "logged_until"} & set(gate(home).evidence)


def test_who_has_not_the_role_cannot_waive(home, failing):
    for person in (BOB, "mallory@example.org", ME):
        with pytest.raises(KeyFileError):
            waive(home, person)
    # An approver's key under a waiver is refused wherever it is read.
    index = forge(home, failing, key=read_key(home.person_key(BOB, "approver")))
    with pytest.raises(aff.AffidavitError, match="trusted key"):
        aff.verified_statement(home, index)
    assert gate(home).exit_code == 4


def test_a_waiver_in_another_persons_name_is_no_evidence(home, failing):
    enrol(home, "zoe@example.org", "waiver", actor=ME)
    key = read_key(home.person_key("zoe@example.org", "waiver"))
    index = forge(home, failing, key=key)
    with pytest.raises(aff.AffidavitError, match="as the waiver, but is signed by"):
        aff.verified_statement(home, index)
    assert (gate(home).exit_code, gate(home).decision) == (4, None)


def test_an_expired_waiver_and_one_that_is_not_yet_in_force_do_not_count(home, failing):
    waive(home)
    assert gate(home, effective_time=after(days=6)).allowed
    for moment in (after(days=8), after(days=-1)):
        result = gate(home, effective_time=moment)
        assert not result.allowed, "nor what was recorded after the moment that is asked about"
        assert "waiver.not_in_force" in warned(result)
        assert result.effective_time == moment


def test_a_clock_that_was_set_back_revives_no_waiver(home, failing, monkeypatch):
    waive(home, expires=after(days=1))
    assert gate(home).allowed
    # A decision of the day after next is in the log; then the clock is as before.
    with monkeypatch.context() as later:
        moment = after(days=2).replace("Z", ".000Z")
        later.setattr("affidavit._policy.timestamp", lambda: moment)
        gate(home, effective_time=after(hours=1))
    result = gate(home)
    assert denied(result) == {"promotion.metric"}
    assert "waiver.not_in_force" in warned(result)


def test_a_withdrawn_waiver_does_not_count_and_stays_withdrawn(home, failing):
    waiver = waive(home)
    enrol(home, "zoe@example.org", "waiver", actor=ME)
    settings = aff.load_settings()
    taken = aff.withdraw_waiver(home, settings, waiver.id, "zoe@example.org", reason="a mistake")
    assert (taken.withdrawn, taken.state(timestamp())) == ("zoe@example.org", "withdrawn")
    jsonschema.validate(aff.Reader(home).statement(taken.withdrawal).predicate, schema_for(WAIVER))
    result = gate(home)
    assert denied(result) == {"promotion.metric"}
    assert "waiver.unverified" in warned(result)
    entries = aff.Reader(home).statement(aff.Reader(home).newest("verdict")).predicate
    assert {taken.entry, taken.withdrawal} <= set(entries[VERDICT_FIELD]["entries"])
    with pytest.raises(NotFoundError, match="withdrawn already"):
        aff.withdraw_waiver(home, settings, waiver.id, WANDA, reason="again")
    with pytest.raises(NotFoundError, match="not in the ledger"):
        aff.withdraw_waiver(home, settings, "0" * 32, WANDA, reason="none")
    revoke(home, "zoe@example.org", actor=ME, reason="stolen", since=taken.withdrawal)
    assert denied(gate(home)) == {"promotion.metric"}, "a thief can take away and cannot give"
    waive(home, reason="another")
    assert gate(home).allowed, "a new waiver is a new one"


def test_a_waiver_by_a_revoked_key_does_not_count(home, failing):
    waiver = waive(home)
    revoke(home, WANDA, actor=ME, reason="stolen", since=waiver.entry)
    result = gate(home)
    assert denied(result) == {"promotion.metric"}
    assert "waiver.unverified" in warned(result)
    (listed,) = aff.read_waivers(home)
    assert listed.state(timestamp()) == "not valid"
    with pytest.raises(KeyFileError):
        waive(home)


def test_a_waiver_about_another_model_or_stage_does_not_count(home, failing, loans):
    other = "sha256:" + "ab" * 32
    forge(home, other)
    result = gate(home)
    assert denied(result) == {"promotion.metric"}
    assert "waiver.other_model" in warned(result)
    forge(home, failing, name="another")
    forge(home, failing, stage="deploy")
    assert denied(gate(home)) == {"promotion.metric"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"rules": ["promotion.provenance_unverified"]}, "waiver.not_waivable"),
        ({"rules": ["request.time"]}, "waiver.not_waivable"),
        ({"rules": ["promotion.*"]}, "waiver.unverified"),
        ({"rules": "promotion.metric"}, "waiver.unverified"),
        ({"rules": []}, "waiver.unverified"),
        ({"reason": ""}, "waiver.unverified"),
        ({"reason": "x" * 1001}, "waiver.unverified"),
        ({"expires": "2999-01-01T00:00:00Z"}, "waiver.too_long"),
        ({"time": "2020-01-01T00:00:00Z"}, "waiver.too_long"),
        ({"expires": "never"}, "waiver.unverified"),
        ({"expires": "2027-01-01T00:00:00+14:00"}, "waiver.unverified"),
        ({"expires": None}, "waiver.unverified"),
        ({"time": 7}, "waiver.unverified"),
        ({"outcome": "perhaps"}, "waiver.unverified"),
        ({"time": "2999-01-01T00:00:00Z", "expires": "2999-01-02T00:00:00Z"}, "waiver.not_in_force")
    ],
)  # fmt: skip
def test_a_signed_waiver_that_is_out_of_bounds_does_not_count(home, failing, changes, rule):
    forge(home, failing, **changes)
    result = gate(home)
    assert denied(result) == {"promotion.metric"}
    assert rule in warned(result)


@pytest.mark.parametrize("spelling", [ME, "Engineer@Example.org"])
def test_whoever_made_the_model_cannot_waive_what_it_lacks(home, failing, spelling):
    enrol(home, spelling, "waiver", actor=ME)
    waive(home, spelling)
    result = gate(home)
    assert denied(result) == {"promotion.metric"}
    assert "waiver.not_independent" in warned(result)


def test_an_approver_waives_only_where_the_data_say_so(home, failing, tmp_path):
    enrol(home, BOB, "waiver", actor=ME)
    waive(home, BOB)
    assert "waiver.not_independent" in warned(gate(home))
    path = tmp_path / "policy.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "waivers": {"approver_may_waive": True}})
    )
    assert gate(home).allowed


def test_two_denials_and_one_waiver_are_one_denial(home, failing):
    aff.approve(home, aff.load_settings(), "risk", BOB, withdraw=True)
    assert denied(gate(home)) == {"promotion.metric", "promotion.approval_missing"}
    waive(home)
    result = gate(home)
    assert (result.exit_code, denied(result)) == (1, {"promotion.approval_missing"})


def test_what_a_waiver_promoted_is_served_no_longer_than_it_lasts(
    home, failing, configure, monkeypatch
):
    waiver = waive(home)
    configure('[affidavit]\nenvironment = "production"\n[policy]\ndata = "policy.json"\n')
    assert gate(home).allowed
    assert aff.load("risk@production") is not None
    monkeypatch.setattr("affidavit._models.timestamp", lambda: waiver.expires)
    with pytest.raises(PolicyDenied, match=r"serving\.waiver_expired") as refused:
        aff.load("risk@production")
    assert waiver.expires in str(refused.value)


def test_a_decision_with_waivers_gives_the_same_answer_again(home, failing, reader):
    from affidavit._policy import engine_for

    waive(home)
    result = gate(home)
    record = reader.decision(result.decision_id).record
    again = engine_for(aff.load_settings()).decide("affidavit/promote", record["input"])
    assert (again.allow, again.deny, again.warn) == (True, (), result.decision.warn)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rules": []}, "at least one rule"),
        ({"rules": ["promotion.*"]}, "no rule's id"),
        ({"rules": ["promotion.metrics"]}, "There is no rule"),
        ({"reason": " "}, "1 to 1000"),
        ({"reason": "x" * 1001}, "1 to 1000"),
        ({"expires": "2020-01-01T00:00:00Z"}, "would have expired"),
        ({"expires": "soon"}, "no moment"),
        ({"expires": "2999-01-01T00:00:00+01:00"}, "no moment"),
        ({"stage": "deploy"}, "stage"),
    ],
)
def test_a_waiver_that_could_never_count_is_not_signed(home, failing, reader, changes, said):
    with pytest.raises(ConfigurationError, match=said):
        waive(home, **changes)
    assert reader.newest("waiver") is None


def test_the_command_waives_lists_and_withdraws(cli, home, failing):
    code, out, _ = cli("waive", "risk", "--rule", "promotion.metric", "--reason", HOSTILE,
                       "--expires", after(days=3), "--as", WANDA, "--json")  # fmt: skip
    made = json.loads(out)
    assert (code, made["state"], made["reason"]) == (0, "in force", HOSTILE)
    code, out, _ = cli("waivers", "risk")
    assert code == 0
    assert made["id"] in out
    assert "\x1b" not in out
    assert cli("gate", "risk")[0] == 0
    code, out, _ = cli("waive", "--withdraw", made["id"], "--reason", "done", "--as", WANDA)
    assert (code, made["id"] in out) == (0, True)
    (listed,) = json.loads(cli("waivers", "--json")[1])["waivers"]
    assert (listed["state"], listed["withdrawn_by"]) == ("withdrawn", WANDA)
    assert cli("gate", "risk")[0] == 1
    shown = json.loads(cli("show", made["id"], "--json")[1])
    assert (shown["kind"], shown["outcome"]) == ("waiver", "waived")
    assert cli("waive", "risk", "--withdraw", made["id"], "--reason", "x", "--as", WANDA)[0] == 2
    assert cli("waive", "--reason", "x", "--as", WANDA)[0] == 2
    assert cli("waivers", "nobody") == (0, "No waiver is in the ledger.\n", "")


def test_a_reason_cannot_pass_for_another_waiver(home, failing):
    first = waive(home, reason="harmless")
    waive(home, reason=f"{first.id} waives request.time: ")
    result = gate(home)
    assert {used.rule for used in result.waivers} == {"promotion.metric"}
    assert len(result.waivers) == 2
    assert applied_waivers(None, {}) == ()


def test_moments_are_compared_as_moments():
    assert earliest(["2026-01-02T00:00:00Z", "2026-01-01T23:59:59.9Z"]) == "2026-01-01T23:59:59.9Z"
    assert earliest([]) == ""
    assert is_instant("2026-01-01T00:00:00.123456789Z")
    for text in (
        "",
        "2026-01-01",
        "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00z",
        "٢٠٢٦-01-01T00:00:00Z",
    ):
        assert not is_instant(text)
        assert has_passed(text, "2026-01-01T00:00:00Z"), "what cannot be read is over"
