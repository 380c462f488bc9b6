"""The gate reads verified evidence only, names what is missing, and signs what it found."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import sqlite3

import pytest

import affidavit as aff
from affidavit.lineage import (
    APPROVAL,
    EVALUATION_FIELD,
    EXPLANATION,
    TEST_RESULT,
    VERDICT,
    Resource,
    Statement,
    read_key,
    timestamp,
)

MISSING = {
    "promotion.evaluation_missing",
    "promotion.fairness_missing",
    "promotion.explanation_missing",
    "promotion.approval_missing",
}


def promote(home, **options) -> aff.GateResult:
    return aff.gate(home, aff.load_settings(), "risk", **options)


def rules(result) -> set[str]:
    return {finding.rule for finding in result.decision.deny}


@pytest.fixture
def measured(home, risk, loans, configure, tmp_path):
    """All evidence but an approval; the threshold of fairness fits so small a table."""
    (tmp_path / "policy.json").write_text('{"promotion": {"fairness": {"min_ratio": 0.5}}}')
    configure('[policy]\ndata = "policy.json"\n')
    X = loans[["income", "debt"]]
    aff.evaluate("risk", risk, X, loans["granted"], sensitive=loans[["sex"]])
    aff.explain_model("risk", risk, X)


@pytest.fixture
def approver(home):
    home.enrol("carol@example.org", "approver", actor="engineer@example.org")
    return "carol@example.org"


def test_each_piece_of_missing_evidence_is_a_finding_of_its_own(home, risk):
    result = promote(home)
    assert result.exit_code == 1
    assert rules(result) >= MISSING
    assert all(finding.clause for finding in result.decision.deny)


def test_evidence_and_an_approval_let_the_model_pass(home, measured, approver):
    before = promote(home)
    assert before.exit_code == 1
    assert rules(before) == {"promotion.approval_missing"}
    digest = aff.approve(home, aff.load_settings(), "risk", approver, comment="looked at it")
    after = promote(home)
    assert (after.exit_code, after.allowed, after.digest) == (0, True, digest)
    assert json.loads(json.dumps(after.to_dict()))["ok"] is True


def test_the_verdict_is_a_slsa_verification_summary(home, measured, approver, reader):
    # Fields and their rules: slsa.dev/spec/v1.1/verification_summary.
    promote(home)
    aff.approve(home, aff.load_settings(), "risk", approver)
    result = promote(home)
    failed, passed = (
        reader.statement(row["entry"]) for row in reversed(reader.statements(kind="verdict"))
    )
    for statement in (failed, passed):
        found = statement.predicate
        assert statement.predicate_type == VERDICT == "https://slsa.dev/verification_summary/v1"
        required = {
            "verifier",
            "timeVerified",
            "resourceUri",
            "policy",
            "verificationResult",
            "verifiedLevels",
        }
        assert required <= set(found)
        assert found["verifier"]["id"].startswith("urn:")
        moment = dt.datetime.fromisoformat(found["timeVerified"])
        assert moment.utcoffset() == dt.timedelta(0)
        assert found["policy"]["uri"]
        assert len(found["policy"]["digest"]["sha256"]) == 64
        assert isinstance(found["verifiedLevels"], list)
        assert not any(level.startswith("SLSA_") for level in found["verifiedLevels"])
        ours = next(value for name, value in found.items() if name.startswith("urn:"))
        assert len(found["inputAttestations"]) == len(ours["entries"]) > 0
        assert len(set(ours["entries"])) == len(ours["entries"])
        for item, index in zip(found["inputAttestations"], ours["entries"], strict=True):
            body = home.ledger.entry(index)
            assert item["digest"]["sha256"] == hashlib.sha256(body).hexdigest()
        others = set(found) - required - {"inputAttestations", "slsaVersion"}
        assert all(name.startswith("urn:") for name in others), "extension fields are URIs"
    assert (failed.predicate["verificationResult"], failed.predicate["verifiedLevels"]) == (
        "FAILED",
        ["FAILED"],
    )
    assert passed.predicate["verificationResult"] == "PASSED"
    assert passed.predicate["verifiedLevels"] == ["AFFIDAVIT_PROMOTE"]
    assert passed.subjects[0].digest == result.digest


def test_the_verdict_is_read_by_the_protobuf_that_in_toto_publishes(
    home, measured, approver, reader
):
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.vsa.v1.vsa_pb2 import VerificationSummary

    aff.approve(home, aff.load_settings(), "risk", approver)
    result = promote(home)
    found = dict(reader.statement(reader.newest("verdict")).predicate)
    ours = {name: found.pop(name) for name in list(found) if name.startswith("urn:")}
    # `verifier.version` came with SLSA 1.1, after that protobuf; it is a map of text.
    version = found["verifier"].pop("version")
    assert all(isinstance(text, str) for pair in version.items() for text in pair)
    # The specification has a list of levels, the protobuf has one text.
    (found["verifiedLevels"],) = found["verifiedLevels"]
    summary = ParseDict(found, VerificationSummary())
    assert summary.verifier.id == "urn:affidavit:gate"
    assert summary.resource_uri == "urn:affidavit:model:risk"
    assert summary.policy.uri == "urn:affidavit:policy:affidavit/promote"
    assert f"sha256:{summary.policy.digest['sha256']}" == result.decision.bundle_digest
    assert summary.verification_result == "PASSED"
    assert summary.verified_levels == "AFFIDAVIT_PROMOTE"
    assert summary.slsa_version == "1.1"
    assert summary.time_verified.seconds > 0
    assert len(summary.input_attestations) == len(ours["urn:affidavit:verdict:v1"]["entries"])
    assert "waivers" not in ours["urn:affidavit:verdict:v1"]


@pytest.mark.parametrize("spelling", ["engineer@example.org", "Engineer@Example.org"])
def test_the_trainers_own_approval_does_not_count(home, measured, spelling):
    home.enrol(spelling, "approver", actor="engineer@example.org")
    aff.approve(home, aff.load_settings(), "risk", spelling)
    result = promote(home)
    assert result.exit_code == 1
    assert rules(result) == {"promotion.approval_missing"}
    assert "promotion.self_approval" in {finding.rule for finding in result.decision.warn}


def test_an_approval_in_another_persons_name_is_no_evidence(home, measured, reader):
    # The trainer is enrolled, and signs as somebody else.
    home.enrol("engineer@example.org", "approver", actor="engineer@example.org")
    key = read_key(home.person_key("engineer@example.org", "approver"))
    digest = reader.model("risk").digest.removeprefix("sha256:")
    predicate = {
        "name": "risk",
        "actor": "carol@example.org",
        "time": timestamp(),
        "outcome": "approved",
    }
    statement = Statement((Resource("risk.pickle", digest),), APPROVAL, predicate)
    home.ledger.append([statement.sign(key).to_bytes()])
    index = reader.newest("approval")
    with pytest.raises(aff.AffidavitError, match="as the approver, but is signed by"):
        aff.verified_statement(home, index)
    result = promote(home)
    assert result.exit_code == 4
    assert result.faults[0].index == index
    assert result.decision is None


def test_who_is_not_enrolled_cannot_approve(home, measured):
    with pytest.raises(aff.AffidavitError, match="missing"):
        aff.approve(home, aff.load_settings(), "risk", "mallory@example.org")
    home.enrol("bob@example.org", "recorder", actor="x")
    with pytest.raises(aff.AffidavitError, match="missing"):
        aff.approve(home, aff.load_settings(), "risk", "bob@example.org")
    with pytest.raises(aff.AffidavitError, match="not one that a person"):
        home.enrol("eve@example.org", "auditor", actor="x")
    home.enrol("carol@example.org", "approver", actor="x")
    with pytest.raises(aff.AffidavitError, match="enrolled as approver already"):
        home.enrol("carol@example.org", "approver", actor="x")
    with pytest.raises(aff.AffidavitError, match="cannot name a person"):
        home.enrol("../log", "approver", actor="x")
    assert aff.verify_home(home).ok


def test_evidence_expires_and_a_question_about_another_time_signs_no_verdict(
    home, measured, approver, reader
):
    aff.approve(home, aff.load_settings(), "risk", approver)
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=91)).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = promote(home, effective_time=later)
    assert result.exit_code == 1
    assert {"promotion.provenance_stale", "promotion.evaluation_missing"} <= rules(result)
    assert reader.counts().get("verdict", 0) == 0
    assert reader.decision(result.decision_id).record["input"]["time"] == later
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(days=80)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert promote(home, effective_time=soon).exit_code == 0
    with pytest.raises(aff.AffidavitError, match="has passed the promotion gate"):
        aff.load("risk@production")
    assert promote(home).exit_code == 0
    assert reader.counts()["verdict"] == 1


@pytest.mark.parametrize("moment", ["tomorrow", "2027-01-01", "2027-01-01T00:00:00+01:00"])
def test_a_time_that_is_no_instant_in_utc_is_refused(home, risk, moment):
    with pytest.raises(aff.AffidavitError, match="no moment"):
        promote(home, effective_time=moment)
    with pytest.raises(aff.AffidavitError, match="unknown"):
        promote(home, stage="demote")


def test_a_ledger_that_does_not_verify_gives_exit_code_4_and_no_decision(home, measured, reader):
    home.close()
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE entry SET body = body || ' ' WHERE entry = 2")
    connection.close()
    result = promote(home)
    assert (result.exit_code, result.decision) == (4, None)
    assert result.faults


def test_an_engine_that_does_not_answer_gives_exit_code_3(home, measured, configure, reader):
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')
    result = promote(home)
    assert result.exit_code == 3
    assert reader.counts().get("verdict", 0) == 0


def _resign(home, reader, change) -> None:
    """Sign an evaluation again, with the recorder's own key, after a change to it."""
    statement = reader.statement(reader.newest("evaluation"))
    predicate = json.loads(json.dumps(statement.predicate))
    change(predicate[EVALUATION_FIELD])
    predicate[EVALUATION_FIELD]["time"] = timestamp()
    home.record(Statement(statement.subjects, TEST_RESULT, predicate))


def test_derived_figures_are_not_believed_where_the_counts_say_otherwise(
    home, measured, approver, reader
):
    aff.approve(home, aff.load_settings(), "risk", approver)
    honest = promote(home).evidence["fairness"]

    def flatter(ours):
        for item in ours["fairness"]["disparities"]:
            for metric in item["metrics"].values():
                metric.update(value=1.0, low=1.0, high=1.0)
        for item in ours["fairness"]["rates"]:
            for rate in item["rates"].values():
                rate.update(value=0.5, low=0.5, high=0.5)

    _resign(home, reader, flatter)
    again = promote(home).evidence["fairness"]
    assert again[0]["demographic_parity_ratio"] == honest[0]["demographic_parity_ratio"] < 1
    assert {key: again[0][key] for key in again[0] if key != "time"} == {
        key: honest[0][key] for key in honest[0] if key != "time"
    }


def test_counts_that_do_not_add_up_are_evidence_that_cannot_be_verified(home, measured, reader):
    def spoil(ours):
        ours["fairness"]["counts"][0]["tp"] += 1

    _resign(home, reader, spoil)
    result = promote(home)
    assert result.exit_code == 4
    assert "fairness counts" in result.faults[0].message


def test_a_worse_fairness_measurement_counts_over_the_older_one(home, risk, loans, configure):
    configure("")
    X = loans[["income", "debt"]]
    unfair = ["F" if granted else "M" for granted in loans["granted"]]
    aff.evaluate("risk", risk, X, loans["granted"], sensitive={"sex": unfair})
    assert "promotion.fairness_ratio" in rules(promote(home))


def test_the_verdict_reaches_an_outsider_as_in_toto(home, risk, reader):
    promote(home)
    entry = reader.entry(reader.newest("verdict"))
    envelope = json.loads(home.ledger.entry(entry.index))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = json.loads(base64.b64decode(envelope["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["predicate"]["verificationResult"] == "FAILED"


def test_a_signed_statement_without_what_its_type_requires_is_no_evidence(home, measured):
    digest = aff.Reader(home).model("risk").digest.removeprefix("sha256:")
    hollow = Statement(
        (Resource("risk.pickle", digest),),
        EXPLANATION,
        {"name": "risk", "actor": "x", "time": timestamp()},
    )
    home.record(hollow)
    result = aff.gate(home, aff.load_settings(), "risk")
    assert result.exit_code == 4
    assert result.faults[0].code == "evidence-invalid"
