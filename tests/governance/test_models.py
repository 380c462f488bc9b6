"""Models are loaded only when provenance, digest and policy hold, and promoted by verdicts alone."""

from __future__ import annotations

import hashlib
import json
import pickle
import sqlite3
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit.lineage import (
    PROVENANCE,
    RUN_FIELD,
    VERDICT,
    VERDICT_FIELD,
    Resource,
    SigningKey,
    Statement,
    timestamp,
)

WAIVED = {
    "promotion": {
        "require": dict.fromkeys(
            ["evaluation", "fairness", "explanation", "approval", "provenance"], False
        )
    }
}


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "it went off"))


def file_of(home, reference="risk") -> Path:
    digest = aff.Reader(home).model(*reference.split("@")).digest.removeprefix("sha256:")
    return home.folder / "artifacts" / digest[:2] / digest


def edit(home, statement: str, *values) -> None:
    home.close()
    with sqlite3.connect(home.database) as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def promote(home, reference="risk") -> aff.GateResult:
    return aff.gate(home, aff.load_settings(), reference)


@pytest.fixture
def waived(configure, home, tmp_path):
    """A policy under which provenance need not be backed by more evidence."""
    (tmp_path / "policy.json").write_text(json.dumps(WAIVED))
    configure('[policy]\ndata = "policy.json"\n')


def test_a_recorded_model_is_loaded_and_predicts_the_same(home, risk, loans):
    again = aff.load("risk@latest")
    assert list(again.predict(loans[["income", "debt"]])) == list(
        risk.predict(loans[["income", "debt"]])
    )
    digest = aff.Reader(home).model("risk").digest
    assert aff.load(f"risk@{digest}").n_features_in_ == 2
    assert aff.load(f"risk@{digest[:20]}").n_features_in_ == 2
    with pytest.raises(aff.AffidavitError, match="eight digits"):
        aff.load("risk@sha256:ab")


def test_changed_bytes_are_refused_before_they_are_unpickled(home, risk, tmp_path):
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Bomb(proof)))
    assert proof.read_text() == "it went off"
    proof.unlink()
    file_of(home).write_bytes(pickle.dumps(Bomb(proof)))
    with pytest.raises(aff.AffidavitError, match="changed on disk"):
        aff.load("risk")
    assert not proof.exists()


def test_an_edited_index_row_does_not_make_other_bytes_a_model(home, risk, tmp_path):
    proof = tmp_path / "proof"
    digest = f"sha256:{home.artifacts.put(pickle.dumps(Bomb(proof)))}"
    edit(home, "UPDATE artifact SET digest = ? WHERE name = 'risk.pickle'", digest)
    with pytest.raises(aff.AffidavitError, match="did not make"):
        aff.load("risk")
    assert not proof.exists()


def test_a_model_of_another_system_is_not_taken_for_this_ones(home, risk, loans):
    @aff.train("other")
    def fit():
        return LogisticRegression().fit(loans[["debt"]], loans["granted"])

    fit()
    edit(home, "UPDATE artifact SET name = 'risk.pickle' WHERE name = 'other.pickle'")
    with pytest.raises(aff.AffidavitError, match="as 'risk'"):
        aff.load("risk")


def test_a_run_signed_by_a_key_that_is_not_enrolled_is_refused(home, risk, tmp_path):
    proof = tmp_path / "proof"
    digest = home.artifacts.put(pickle.dumps(Bomb(proof)))
    predicate = {
        "buildDefinition": {"externalParameters": {}, "resolvedDependencies": []},
        "runDetails": {"metadata": {"invocationId": "f" * 32, "finishedOn": timestamp()}},
        RUN_FIELD: {"name": "risk", "actor": "mallory", "status": "completed"},
    }
    statement = Statement((Resource("risk.pickle", digest),), PROVENANCE, predicate)
    home.ledger.append([statement.sign(SigningKey.generate()).to_bytes()])
    with pytest.raises(aff.AffidavitError, match="trusted key"):
        aff.load("risk")
    assert not proof.exists()


def test_loading_is_decided_by_policy_and_recorded(configure, home, risk, reader):
    configure('[people]\n"engineer@example.org" = ["nobody"]\n')
    with pytest.raises(aff.PolicyDenied, match=r"access\.not_permitted"):
        aff.load("risk")
    assert reader.decisions(limit=1)[0]["entrypoint"] == "affidavit/load"


def test_production_means_the_newest_verdict_that_passed(waived, home, loans, risk):
    with pytest.raises(aff.AffidavitError, match="has passed the promotion gate"):
        aff.load("risk@production")
    assert promote(home).exit_code == 0
    first = aff.Reader(home).model("risk", "production").digest

    @aff.train("risk")
    def again():
        return LogisticRegression(C=0.1).fit(loans[["income", "debt"]], loans["granted"])

    again()
    assert aff.Reader(home).model("risk", "production").digest == first
    assert promote(home).exit_code == 0
    second = aff.Reader(home).model("risk", "production").digest
    assert second != first
    assert aff.load("risk@production").C == 0.1


def test_a_later_failed_verdict_withdraws_the_one_before(waived, home, risk, tmp_path, loans):
    assert promote(home).exit_code == 0
    strict = json.loads(json.dumps(WAIVED))
    strict["promotion"]["require"]["approval"] = True
    (tmp_path / "policy.json").write_text(json.dumps(strict))
    assert promote(home).exit_code == 1
    with pytest.raises(aff.AffidavitError, match="has passed the promotion gate"):
        aff.load("risk@production")
    (tmp_path / "policy.json").write_text(json.dumps(WAIVED))
    assert promote(home).exit_code == 0
    assert aff.load("risk@production")


def test_an_outage_of_the_engine_neither_promotes_nor_withdraws(
    waived, configure, home, risk, reader
):
    assert promote(home).exit_code == 0
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')
    assert promote(home).exit_code == 3
    assert reader.counts()["verdict"] == 1
    assert aff.Reader(home).model("risk", "production")


def test_an_index_row_edited_to_passed_promotes_nothing(home, risk):
    assert promote(home).exit_code == 1
    edit(home, "UPDATE statement SET outcome = 'PASSED' WHERE kind = 'verdict'")
    with pytest.raises(aff.AffidavitError, match="does not promote"):
        aff.load("risk@production")

    @aff.serve("risk@production")
    def predict(features):
        raise AssertionError("it ran")

    with pytest.raises(aff.AffidavitError, match="does not promote"):
        predict({"income": 1})


def test_a_verdict_on_another_system_promotes_nothing(home, risk):
    digest = aff.Reader(home).model("risk").digest.removeprefix("sha256:")
    predicate = {"verificationResult": "PASSED", VERDICT_FIELD: {"name": "other"}}
    home.record(Statement((Resource("x", digest),), VERDICT, predicate))
    edit(home, "UPDATE statement SET name = 'risk' WHERE kind = 'verdict'")
    with pytest.raises(aff.AffidavitError, match="does not promote"):
        aff.load("risk@production")


def test_in_production_only_a_promoted_model_is_loaded_and_served(waived, home, risk, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_ENVIRONMENT", "production")
    served = []

    @aff.serve("risk")
    def predict(features):
        served.append(features)
        return 1

    with pytest.raises(aff.PolicyDenied, match=r"serving\.not_promoted"):
        aff.load("risk")
    with pytest.raises(aff.PolicyDenied, match=r"serving\.not_promoted"):
        predict({"income": 1})
    assert served == []
    assert promote(home).exit_code == 0
    assert aff.load("risk").n_features_in_ == 2
    # A process asks again after a moment which model is meant.
    from affidavit import _serve

    _serve._resolved.clear()
    assert predict({"income": 1}) == 1


def test_the_kept_file_is_the_one_that_the_ledger_names(home, risk):
    path = file_of(home)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert aff.verify_home(home).ok
    path.write_bytes(b"other")
    report = aff.verify_home(home)
    assert [fault.code for fault in report.errors] == ["artifact-changed"]
