"""Clause by clause on a real ledger: facts from what verifies, states from the rules."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
import time

import pandas as pd
import pytest
from authority import Authority, send, serving

import affidavit as aff
from affidavit._controls import controls
from affidavit._enrolment import revoke
from affidavit._facts import collect_facts
from affidavit._models import resolve
from affidavit._time_stamps import stamp_checkpoint
from affidavit._witness_server import WitnessServer, open_witness
from affidavit._witnesses import WitnessAddress, cosign
from affidavit.errors import ConfigurationError, NotFoundError, PolicyEngineError
from affidavit.lineage import (
    EVALUATION_FIELD,
    RETENTION,
    TEST_RESULT,
    VERDICT_FIELD,
    Resource,
    Statement,
    TimeStampAuthority,
    timestamp,
)
from affidavit.policies import EVIDENCE_KINDS

SYSTEM = """
[systems.risk]
owner = "Retail Lending"
purpose = "credit-scoring"
tier = "high"
role = "provider"
high_risk = "annex_iii"
frameworks = ["eu_ai_act", "iso_42001"]
"""
DUTIES = "2027-12-02T00:00:00Z"
PERSON = "carol@example.org"


@pytest.fixture
def declared(configure, tmp_path):
    """Write the settings, with policy data where a test has some."""

    def write(more: str = "", **data) -> None:
        data.setdefault("promotion", {}).setdefault("fairness", {"min_ratio": 0.5})
        (tmp_path / "policy.json").write_text(json.dumps(data))
        configure('[policy]\ndata = "policy.json"\n' + SYSTEM + more)

    write()
    return write


@pytest.fixture
def measured(home, risk, loans, declared):
    X = loans[["income", "debt"]]
    aff.evaluate("risk", risk, X, loans["granted"], sensitive=loans[["sex"]])
    aff.explain_model("risk", risk, X)
    return X


@pytest.fixture
def approved(home, measured):
    home.enrol(PERSON, "approver", actor="engineer@example.org")
    aff.approve(home, aff.load_settings(), "risk", PERSON)
    return measured


def facts(home) -> dict:
    return collect_facts(home, aff.load_settings(), resolve(home, "risk"))


def ask(home, **options):
    return controls(home, aff.load_settings(), "risk", **options)


def states(result) -> dict[str, str]:
    return {state.clause.id: state.state for state in result.states}


def kinds_of(home, entries) -> set[str]:
    reader = aff.Reader(home)
    return {reader.statement(entry).kind for entry in entries}


# -- facts ------------------------------------------------------------------------------------


def test_each_fact_names_the_entries_that_show_it(home, approved):
    aff.gate(home, aff.load_settings(), "risk")
    found = facts(home)
    assert set(found) <= set(EVIDENCE_KINDS)
    expected = {
        "provenance": "run",
        "environment": "run",
        "lineage": "run",
        "evaluation": "evaluation",
        "fairness": "evaluation",
        "explanation": "explanation",
        "approval": "approval",
        "verdict": "verdict",
        "verdict_passed": "verdict",
        "key_management": "trust-root",
    }
    for kind, statement in expected.items():
        fact = found[kind]
        assert fact["verified"] is True, kind
        assert fact["count"] == len(fact["entries"]) > 0, kind
        assert kinds_of(home, fact["entries"]) == {statement}, kind
        assert dt.datetime.fromisoformat(fact["newest"]).utcoffset() == dt.timedelta(0), kind
    assert found["decision"]["count"] > 0
    assert found["checkpoint"]["count"] == home.ledger.head().size
    for absent in ("dataset_read", "fairness_intersection", "monitoring", "witness", "erasure"):
        assert absent not in found


def test_a_fresh_model_shows_its_run_and_nothing_else_of_its_own(home, risk, declared):
    found = facts(home)
    assert {"provenance", "environment", "lineage"} <= set(found)
    assert not {"evaluation", "fairness", "explanation", "approval", "verdict"} & set(found)


def test_reads_count_for_the_model_that_came_out_of_them(home, loans, declared):
    from sklearn.linear_model import LogisticRegression

    @aff.data("loans", purpose="credit-scoring", columns={"income": ["quasi_identifier"]})
    def read() -> pd.DataFrame:
        return loans

    @aff.train("risk")
    def fit(frame: pd.DataFrame) -> LogisticRegression:
        return LogisticRegression().fit(frame[["debt"]], frame["granted"])

    fit(read())
    found = facts(home)
    assert found["dataset_read"]["entries"] == found["dataset_obligation"]["entries"]
    assert kinds_of(home, found["dataset_read"]["entries"]) == {"dataset"}


def test_an_intersection_is_told_from_single_features(home, risk, loans, declared):
    groups = loans[["sex"]].assign(region=["N" if n % 3 else "S" for n in range(len(loans))])
    X = loans[["income", "debt"]]
    aff.evaluate("risk", risk, X, loans["granted"], sensitive=groups)
    assert facts(home)["fairness_intersection"]["count"] == 1


def test_what_a_revoked_key_signed_is_no_evidence(home, approved):
    before = facts(home)
    key = aff.Reader(home).statements(kind="evaluation")[0]["keyid"]
    since = before["evaluation"]["entries"][-1]
    revoke(home, key[:12], actor="engineer@example.org", reason="stolen", since=since)
    after = facts(home)
    assert {"evaluation", "fairness", "explanation"} <= set(before)
    assert not {"evaluation", "fairness", "explanation"} & set(after)
    assert "provenance" in after


def test_a_makers_approval_is_no_evidence_and_a_withdrawn_one_neither(home, measured):
    me = "engineer@example.org"
    for person in (me, PERSON):
        home.enrol(person, "approver", actor=me)
        aff.approve(home, aff.load_settings(), "risk", person)
    assert facts(home)["approval"]["count"] == 1
    aff.approve(home, aff.load_settings(), "risk", PERSON, withdraw=True)
    assert "approval" not in facts(home)


def test_monitoring_is_a_measurement_after_the_model_passed(home, risk, loans, approved):
    assert aff.gate(home, aff.load_settings(), "risk").allowed
    assert "monitoring" not in facts(home)
    aff.evaluate("risk", risk, approved, loans["granted"])
    assert facts(home)["monitoring"]["count"] == 1


def test_served_records_count_and_say_how_long_they_are_kept(home, measured):
    @aff.serve("risk")
    def predict(features: dict) -> float:
        return features["income"] / 100

    for n in range(7):
        predict({"income": n, "debt": 1})
    found = facts(home)
    assert found["prediction"]["count"] == 7
    assert len(found["prediction"]["entries"]) == 5
    assert found["records_kept"]["count"] > 30_000
    predicate = {
        "name": "log",
        "actor": "engineer@example.org",
        "time": timestamp(),
        "outcome": "removed",
        "rules": {"payloads": None, "records": "P90D"},
        "payloads": None,
        "records": {"cutoff": timestamp(), "before": 0, "removed": 0, "runs": [], "writers": {}},
        "removed_payloads": 0,
        "removed_keys": 0,
        "held": 0,
    }
    home.record(Statement((Resource("log", "0" * 64, "rfc6962-root-v1"),), RETENTION, predicate))
    assert facts(home)["records_kept"]["count"] == 90


def test_a_time_stamp_counts_where_the_settings_pin_its_authority(
    home, risk, declared, tmp_path_factory
):
    authority = Authority.make(tmp_path_factory.mktemp("tsa"))
    authority.certify("other", "tsa")
    chain = authority.folder / "chain.pem"
    chain.write_bytes(authority.pem("ca", "tsa"))
    pinned = f'[timestamp]\ncertificate = "{chain}"\n'
    with serving(lambda handler, query: send(handler, authority.answer(query, "tsa"))) as url:
        stamp_checkpoint(home, url, TimeStampAuthority.parse(chain.read_bytes()))
    assert "time_stamp" not in facts(home)
    declared(pinned)
    fact = facts(home)["time_stamp"]
    assert (fact["verified"], fact["count"]) == (True, 1)
    assert dt.datetime.fromisoformat(fact["newest"]).utcoffset() == dt.timedelta(0)
    chain.write_bytes(authority.pem("other"))
    assert "time_stamp" not in facts(home), "by another authority"


def test_a_cosignature_counts_where_its_witness_is_named(home, risk, declared, tmp_path):
    witness, verifier = open_witness(tmp_path / "w", [home.verifier], name="one.example/w")
    server = WitnessServer(("127.0.0.1", 0), witness)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        cosign(home, [WitnessAddress(server.url, verifier)], 1)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "witness" not in facts(home), "nobody said whose cosignature counts"
    found = collect_facts(home, aff.load_settings(), resolve(home, "risk"), witnesses=[verifier])
    assert found["witness"]["count"] == 1
    _, stranger = open_witness(tmp_path / "other", [home.verifier], name="two.example/w")
    assert "witness" not in collect_facts(
        home, aff.load_settings(), resolve(home, "risk"), witnesses=[stranger]
    )


# -- clauses ----------------------------------------------------------------------------------


def test_evidence_and_what_is_lacking_of_it_come_out_clause_by_clause(home, approved):
    aff.gate(home, aff.load_settings(), "risk")
    result = ask(home, only=["iso_42001"])
    found = states(result)
    assert found["A.6.2.4"] == "met"
    assert found["A.2.2"] == "person"
    assert found["A.3.2"] == "person"
    assert found["A.7.4"] == "missing"
    assert found["A.6.2.8"] == "partial"
    shown = {state.clause.id: state for state in result.states}
    assert set(shown["A.6.2.4"].entries) == {"evaluation", "verdict"}
    assert kinds_of(home, shown["A.6.2.4"].entries["evaluation"]) == {"evaluation"}
    assert shown["A.7.4"].entries == {}
    assert "dataset_read" in shown["A.7.4"].reason
    assert "prediction" not in shown["A.6.2.8"].entries
    assert result.exit_code == 1


def test_duties_begin_on_their_day(home, approved):
    now = states(ask(home))
    then = states(ask(home, effective_time=DUTIES))
    assert now["Art. 14(4)"] == "not in force"
    assert then["Art. 14(4)"] == "person"
    assert then["Art. 26(2)"] == now["Art. 26(2)"] == "not applicable"


def test_evidence_ages(home, approved):
    asked = {"only": ["nist_ai_rmf"]}
    assert states(ask(home, **asked))["MEASURE 2"] == "met"
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=366)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert states(ask(home, **asked, effective_time=later))["MEASURE 2"] == "missing"
    past = states(ask(home, **asked, effective_time="2024-01-01T00:00:00Z"))
    assert past["MEASURE 2"] == "missing", "what came later is no evidence of then"


def test_what_came_later_does_not_hide_what_was_there(home, risk, loans, approved):
    time.sleep(1.1)
    between = timestamp()
    time.sleep(1.1)
    aff.evaluate("risk", risk, approved, loans["granted"])
    aff.serve("risk")(lambda features: 1)({"income": 1, "debt": 1})
    now, then = (
        collect_facts(home, aff.load_settings(), resolve(home, "risk"), until=until)
        for until in ("", between)
    )
    assert (now["evaluation"]["count"], then["evaluation"]["count"]) == (2, 1)
    assert then["evaluation"]["entries"] == now["evaluation"]["entries"][1:]
    assert ("prediction" in now, "prediction" in then) == (True, False)
    assert now["approval"] == then["approval"]


def test_the_organisations_own_framework_is_judged_like_the_shipped_ones(home, approved, declared):
    clause = {
        "id": "4.2",
        "title": "Approval",
        "summary": "Somebody else approves.",
        "mode": "automatic",
        "in_force": [{"from": "2026-01-01"}],
        "evidence": [{"kind": "approval"}],
    }
    own = {
        "id": "house",
        "short": "House",
        "title": "Model standard",
        "issuer": "Risk",
        "nature": "standard",
        "jurisdiction": "us",
        "version": "3",
        "dated": "2026-01-31",
        "read": "2026-02-01",
        "status": "in force",
        "source": {"reference": "MS-3", "confidence": "text"},
        "notes": [],
        "clauses": [clause],
    }
    declared(frameworks={"house": own})
    result = ask(home, only=["house"])
    assert (states(result), result.exit_code) == ({"4.2": "met"}, 0)
    (two,) = [{**clause, "evidence": [{"kind": "approval", "min": 2}]}]
    declared(frameworks={"house": {**own, "clauses": [two]}})
    assert states(ask(home, only=["house"])) == {"4.2": "missing"}


def test_asking_leaves_nothing_in_the_log(home, approved):
    before = home.ledger.head().size
    ask(home)
    assert home.ledger.head().size == before


def test_what_does_not_verify_gives_exit_code_4(home, approved):
    home.close()
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE entry SET body = body || ' ' WHERE entry = 2")
    connection.close()
    result = ask(home)
    assert (result.exit_code, result.states) == (4, ())
    assert result.faults


@pytest.mark.parametrize(
    "predicate",
    [{"result": "PASSED"}, {EVALUATION_FIELD: {"metrics": {"auc": 1.0}, "time": "soon"}}],
    ids=["hollow", "of no time"],
)
def test_a_signed_statement_that_says_less_than_its_type_is_no_evidence(home, risk, predicate):
    digest = resolve(home, "risk").digest.removeprefix("sha256:")
    home.record(Statement((Resource("risk.pickle", digest),), TEST_RESULT, predicate))
    result = ask(home, only=["gdpr"], effective_time=DUTIES)
    assert (result.exit_code, result.states) == (4, ())
    assert result.faults[0].code == "evidence-invalid"


def test_an_engine_that_does_not_answer_gives_exit_code_3(home, approved, configure):
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n' + SYSTEM)
    result = ask(home)
    assert (result.exit_code, result.states) == (3, ())
    assert {finding.rule for finding in result.findings} == {"engine.unreachable"}


def test_who_may_not_ask_learns_nothing(home, approved, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_ROLES", "service")
    result = ask(home)
    assert (result.exit_code, result.states) == (1, ())
    assert {finding.rule for finding in result.findings} == {"access.not_permitted"}


def test_an_engine_with_other_clauses_is_not_believed(home, approved, monkeypatch):
    from affidavit import _controls

    known = _controls.known_frameworks(aff.load_settings())

    class Other(type(known["gdpr"])):
        pass

    gdpr = known["gdpr"]
    fewer = {field: getattr(gdpr, field) for field in gdpr.__dataclass_fields__}
    fewer["clauses"] = gdpr.clauses[:-1]
    monkeypatch.setattr(_controls, "known_frameworks", lambda _: {"gdpr": Other(**fewer)})
    with pytest.raises(PolicyEngineError, match="do not agree"):
        ask(home, only=["gdpr"])
    more = {**fewer, "clauses": (*gdpr.clauses, *known["ecoa"].clauses[:1])}
    monkeypatch.setattr(_controls, "known_frameworks", lambda _: {"gdpr": Other(**more)})
    with pytest.raises(PolicyEngineError, match="no answer"):
        ask(home, only=["gdpr"])


@pytest.mark.parametrize("moment", ["tomorrow", "2027-01-01", "2027-01-01T00:00:00+01:00"])
def test_a_time_that_is_no_instant_in_utc_is_refused(home, approved, moment):
    with pytest.raises(ConfigurationError, match="no moment"):
        ask(home, effective_time=moment)


def test_unknown_and_undeclared_frameworks_are_named(home, approved, configure):
    with pytest.raises(ConfigurationError, match="none-such"):
        ask(home, only=["none-such"])
    configure("")
    with pytest.raises(ConfigurationError, match="declares no frameworks"):
        ask(home)
    with pytest.raises(NotFoundError):
        controls(home, aff.load_settings(), "nothing", only=["gdpr"])


def test_frameworks_are_a_list_in_the_settings(home, configure):
    configure('[systems.risk]\nframeworks = "eu_ai_act"\n')
    with pytest.raises(ConfigurationError, match="not a list of words"):
        aff.load_settings()


# -- the gate ---------------------------------------------------------------------------------


def rules(findings) -> set[str]:
    return {finding.rule for finding in findings}


def test_the_gate_warns_of_a_missing_clause_by_the_same_answers(home, approved, reader):
    result = aff.gate(home, aff.load_settings(), "risk")
    assert result.allowed
    warned = {f.clause for f in result.decision.warn if f.rule == "frameworks.missing"}
    asked = {
        f"{'EU AI Act' if s.framework == 'eu_ai_act' else 'ISO/IEC 42001'} {s.clause.id}"
        for s in ask(home).states
        if s.state == "missing"
    }
    # The verdict itself has become evidence since.
    assert asked <= warned
    assert "ISO/IEC 42001 A.7.4" in asked
    recorded = reader.decision(result.decision_id).record["input"]
    assert recorded["evidence"]["facts"]["approval"]["count"] == 1
    assert recorded["resource"]["attributes"]["frameworks"] == ["eu_ai_act", "iso_42001"]
    verdict = reader.statement(reader.newest("verdict")).predicate[VERDICT_FIELD]
    assert set(recorded["evidence"]["facts"]["key_management"]["entries"]) <= set(
        verdict["entries"]
    )


def test_the_gate_denies_where_the_data_say_so(home, approved, declared):
    declared(promotion={"frameworks": "deny", "fairness": {"min_ratio": 0.5}})
    result = aff.gate(home, aff.load_settings(), "risk")
    assert result.exit_code == 1
    assert rules(result.decision.deny) == {"frameworks.missing"}


def test_without_declared_frameworks_the_gate_asks_for_no_facts(home, approved, configure):
    configure('[policy]\ndata = "policy.json"\n')
    result = aff.gate(home, aff.load_settings(), "risk")
    assert "facts" not in result.evidence
    assert not {rule for rule in rules(result.decision.warn) if rule.startswith("frameworks.")}


# -- the command ------------------------------------------------------------------------------


def test_the_command_prints_clauses_and_entries(cli, home, approved):
    code, out, _ = cli("controls", "risk", "--framework", "iso_42001")
    assert code == 1
    assert "MISSING EVIDENCE" in out
    assert "A.6.2.3" in out
    code, out, _ = cli("controls", "risk", "--framework", "iso_42001", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["exit_code"]) == (1, False, 1)
    assert found["frameworks"][0]["version"].startswith("ISO/IEC 42001:2023")
    assert {clause["state"] for clause in found["clauses"]} >= {"met", "person", "missing"}


def test_the_command_lists_frameworks_with_version_and_date(cli, home):
    code, out, _ = cli("controls", "--list", "--json")
    found = {one["id"]: one for one in json.loads(out)["frameworks"]}
    assert code == 0
    assert set(found) >= {"eu_ai_act", "gdpr", "hipaa", "ll144", "ecoa", "nist_ai_rmf", "sr_26_2"}
    assert all(one["version"] and one["dated"] and one["read"] for one in found.values())
    assert "eu_ai_act" in cli("controls", "--list")[1]


def test_the_command_tells_usage_from_evidence(cli, home, approved, configure):
    assert cli("controls")[0] == 2
    assert cli("controls", "risk", "--framework", "none-such")[0] == 2
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n' + SYSTEM)
    assert cli("controls", "risk")[0] == 3
