"""Approvals at the gate: enough people, distinct ones, none who made the model, none taken back."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import affidavit as aff
from affidavit._approvals import makers, standing_approvals
from affidavit._enrolment import enrol, revoke, rotate
from affidavit.cli import app
from affidavit.errors import KeyFileError, NotFoundError

ME = "engineer@example.org"
ADA, BOB, CARL = "ada@example.org", "bob@example.org", "carl@example.org"


@pytest.fixture
def two(home, risk, loans, configure, tmp_path):
    """A model that needs two approvals and lacks nothing else; three people may approve."""
    policy = {"promotion": {"fairness": {"min_ratio": 0.5}, "approvals": {"minimum": 2}}}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    configure('[policy]\ndata = "policy.json"\n')
    X = loans[["income", "debt"]]
    aff.evaluate("risk", risk, X, loans["granted"], sensitive=loans[["sex"]])
    aff.explain_model("risk", risk, X)
    for person in (ADA, BOB, CARL):
        enrol(home, person, "approver", actor=ME)
    return aff.Reader(home).model("risk").digest


def approve(home, person, **more):
    return aff.approve(home, aff.load_settings(), "risk", person, **more)


def promoted(home):
    result = aff.gate(home, aff.load_settings(), "risk")
    assert result.exit_code in {0, 1}, result.to_dict()
    if not result.allowed:
        assert {finding.rule for finding in result.decision.deny} == {"promotion.approval_missing"}
    return result.allowed


def test_two_people_are_two(home, two):
    approve(home, ADA)
    assert not promoted(home)
    approve(home, BOB)
    assert promoted(home)


def test_one_person_with_two_keys_is_one(home, two):
    approve(home, ADA)
    rotate(home, ADA, actor=ME)
    approve(home, ADA)
    assert not promoted(home)
    enrol(home, "Ada@Example.org", "approver", actor=ME)
    approve(home, "Ada@Example.org")
    assert not promoted(home), "nor with two spellings"
    approve(home, BOB)
    assert promoted(home)


def test_an_approval_outlives_the_rotation_of_its_key(home, two):
    approve(home, ADA)
    approve(home, BOB)
    rotate(home, ADA, actor=ME)
    assert promoted(home)
    revoke(home, BOB, actor=ME, reason="left the company")
    assert promoted(home), "it was given before the key was revoked"


def test_an_approval_by_a_key_that_was_stolen_by_then_does_not_count(home, two):
    approve(home, ADA)
    index = aff.Reader(home).newest("approval")
    approve(home, BOB)
    assert promoted(home)
    revoke(home, ADA, actor=ME, reason="stolen", since=index)
    assert not promoted(home)
    (bad,) = [one for one in standing_approvals(home, two)[0] if one["approver"] == ADA]
    assert bad["verified"] is False
    enrol(home, ADA, "approver", actor=ME)
    approve(home, ADA)
    assert promoted(home), "with a new key it does"


def test_a_withdrawn_approval_does_not_count_until_it_is_given_again(home, two):
    approve(home, ADA)
    approve(home, BOB)
    assert promoted(home)
    assert approve(home, ADA, withdraw=True) == two
    assert not promoted(home)
    with pytest.raises(NotFoundError, match="No approval of"):
        approve(home, ADA, withdraw=True)
    approve(home, ADA)
    assert promoted(home)


def test_a_stolen_key_can_take_an_approval_away_and_not_bring_one_back(home, two):
    approve(home, BOB)
    approve(home, ADA)
    approve(home, ADA, withdraw=True)
    taken = aff.Reader(home).newest("approval")
    approve(home, ADA)
    given = aff.Reader(home).newest("approval")
    assert promoted(home)
    revoke(home, ADA, actor=ME, reason="stolen", since=given)
    assert not promoted(home), "the approval after the withdrawal is the thief's"
    (said,) = [one for one in standing_approvals(home, two)[0] if one["approver"] == ADA]
    assert (said["outcome"], said["verified"]) == ("withdrawn", True)
    assert taken < given


def test_a_revoked_key_approves_nothing(home, two):
    revoke(home, ADA, actor=ME, reason="left")
    size = home.ledger.head().size
    with pytest.raises(KeyFileError, match="not in force as approver"):
        approve(home, ADA)
    assert home.ledger.head().size == size


def test_who_made_what_the_model_came_out_of_does_not_approve_it(
    home, configure, tmp_path, loans, monkeypatch
):
    monkeypatch.setenv("AFFIDAVIT_ACTOR", ADA)
    with aff.run("cleaning") as run:
        run.use(loans, name="raw")
        clean = loans.assign(debt=loans["debt"] + 1)
        run.produce(clean, name="clean")
    monkeypatch.setenv("AFFIDAVIT_ACTOR", BOB)

    @aff.train("risk")
    def fit(frame):
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

    fit(clean)
    monkeypatch.setenv("AFFIDAVIT_ACTOR", ME)
    digest = aff.Reader(home).model("risk").digest
    people, entries = makers(home, digest)
    assert people == [ADA, BOB]
    assert len(entries) == 2
    waived = dict.fromkeys(("evaluation", "fairness", "explanation"), False)
    (tmp_path / "policy.json").write_text(json.dumps({"promotion": {"require": waived}}))
    configure('[policy]\ndata = "policy.json"\n')
    for person in (ADA, BOB, CARL):
        enrol(home, person, "approver", actor=ME)
    approve(home, ADA)
    approve(home, BOB)
    assert not promoted(home), "one trained it, the other made its data"
    result = aff.gate(home, aff.load_settings(), "risk")
    assert "promotion.self_approval" in {finding.rule for finding in result.decision.warn}
    approve(home, CARL)
    assert promoted(home)


def test_evidence_by_a_recorder_that_was_stolen_by_then_is_not_verified(home, two):
    approve(home, ADA)
    approve(home, BOB)
    run = aff.Reader(home).newest("run")
    evaluation = aff.Reader(home).newest("evaluation")
    rotate(home, "recorder", actor=ME, revocation=("stolen", evaluation))
    result = aff.gate(home, aff.load_settings(), "risk")
    assert result.exit_code == 1
    rules = {finding.rule for finding in result.decision.deny}
    assert {"promotion.evaluation_missing", "promotion.fairness_missing"} <= rules
    assert "promotion.provenance_unverified" not in rules
    old = result.decision
    revoke(home, home_former(home), actor=ME, reason="stolen before", since=run)
    result = aff.gate(home, aff.load_settings(), "risk")
    assert "promotion.provenance_unverified" in {f.rule for f in result.decision.deny}
    assert old.deny != result.decision.deny
    with pytest.raises(aff.AffidavitError, match="revokes"):
        aff.load("risk")


def home_former(home):
    (found,) = home.keyring.history().revoked
    return found


def test_a_bundle_leaves_out_what_is_not_to_be_relied_on(home, two, tmp_path):
    from affidavit._bundle_home import export_bundle
    from affidavit.lineage import verify_bundle

    approve(home, ADA)
    bad = aff.Reader(home).newest("approval")
    approve(home, BOB)
    revoke(home, ADA, actor=ME, reason="stolen", since=bad)
    archive = export_bundle(home, aff.load_settings(), "risk")
    entries = [entry.index for entry in verify_bundle(archive, home.verifier).entries]
    assert bad not in entries
    assert aff.Reader(home).newest("approval") in entries
    with pytest.raises(aff.AffidavitError, match="revokes"):
        export_bundle(home, aff.load_settings(), str(bad))


def test_the_command_approves_and_withdraws(home, two):
    runner = CliRunner()
    given = json.loads(runner.invoke(app, ["approve", "risk", "--as", ADA, "--json"]).output)
    assert (given["outcome"], given["digest"]) == ("approved", two)
    words = ["approve", "risk", "--as", ADA, "--withdraw"]
    taken = json.loads(runner.invoke(app, [*words, "--json"]).output)
    assert taken["outcome"] == "withdrawn"
    approve(home, ADA)
    assert "has to be asked again" in runner.invoke(app, words).output
