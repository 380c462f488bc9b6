"""Laws with rules of their own, through the hooks: what they hand out, deny and leave alone."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit.errors import ObligationError, PolicyDenied
from affidavit.policies import CachedEngine

PATIENTS = """
[datasets.patients]
tags = ["phi"]
[datasets.patients.columns]
name = ["hipaa_name"]
zip = ["hipaa_geography"]
admitted = ["hipaa_date"]
age = ["hipaa_age"]
result = ["public"]
"""
SCREENING = """
[systems.risk]
frameworks = ["ll144"]
bias_audit = 2026-03-02
bias_audit_summary = "https://example.org/audit"
notice_given = "2026-05-01"
"""


@pytest.fixture
def data(configure, tmp_path):
    """Write the settings, with policy data."""

    def write(settings: str, **sections) -> None:
        (tmp_path / "policy.json").write_text(json.dumps(sections))
        configure('[policy]\ndata = "policy.json"\n' + settings)

    return write


def patients() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["Ada", "Bob"],
            "zip": ["10001", "03601"],
            "admitted": pd.to_datetime(["2026-03-07", "2025-12-24"]),
            "age": [93, 40],
            "result": [1, 0],
            "note": ["fell", "well"],
        }
    )


def reader_of(purpose: str, ran: list[str] | None = None):
    @aff.data("patients", purpose=purpose)
    def read() -> pd.DataFrame:
        (ran if ran is not None else []).append(purpose)
        return patients()

    return read


def test_a_deidentified_release_has_none_of_the_identifiers(home, data):
    data(PATIENTS)
    released = reader_of("deidentified-release")()
    assert list(released.columns) == ["admitted", "result"]
    assert [str(value)[:10] for value in released["admitted"]] == ["2026-01-01", "2025-01-01"]


def test_a_purpose_gets_only_the_columns_that_it_needs(home, data):
    data(PATIENTS, hipaa={"purposes": {"billing": {"columns": ["name", "result"]}}})
    assert list(reader_of("billing")().columns) == ["name", "result"]


def test_a_purpose_without_columns_never_reads(home, data):
    data(PATIENTS)
    ran: list[str] = []
    with pytest.raises(PolicyDenied, match=r"hipaa\.minimum_necessary"):
        reader_of("curiosity", ran)()
    assert ran == []


def test_a_dataset_of_no_patients_is_left_alone(home, data):
    data("[datasets.patients]\n")
    assert list(reader_of("curiosity")().columns) == list(patients().columns)


def test_a_special_category_is_read_under_a_named_condition_only(home, data):
    settings = '[datasets.patients]\ntags = ["gdpr"]\ncolumns.note = ["special_category"]\n'
    data(settings)
    ran: list[str] = []
    with pytest.raises(PolicyDenied, match=r"gdpr\.special_category"):
        reader_of("care", ran)()
    assert ran == []
    data(settings, gdpr={"conditions": {"care": "9(2)(h)"}})
    assert len(reader_of("care", ran)()) == 2
    assert ran == ["care"]


def test_a_model_that_learned_from_a_prohibited_basis_is_refused(home, data, loans):
    data('[datasets.loans]\ncolumns.income = ["ecoa_public_assistance"]\n')

    @aff.data("loans", purpose="credit-scoring")
    def read() -> pd.DataFrame:
        return loans

    @aff.train("credit")
    def fit(frame: pd.DataFrame) -> LogisticRegression:
        return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

    with pytest.raises(ObligationError, match="income"):
        fit(read())


def served(name: str = "risk"):
    @aff.serve(name)
    def predict(features: dict) -> float:
        return 0.5

    return predict


def test_a_tool_is_used_within_a_year_of_its_audit_only(home, data, risk):
    data(SCREENING)
    # The clock of this machine may show another year: the audit is of its own.
    question = {"income": 1, "debt": 1}
    data(SCREENING.replace("2026-03-02", "2019-03-02"))
    with pytest.raises(PolicyDenied, match=r"ll144\.audit"):
        served()(question)
    today = pd.Timestamp.now("UTC").date().isoformat()
    before = (pd.Timestamp.now("UTC") - pd.Timedelta(days=30)).date().isoformat()
    data(SCREENING.replace("2026-03-02", today).replace("2026-05-01", before))
    assert served()(question) == 0.5
    data(SCREENING.replace("2026-03-02", today).replace("2026-05-01", today))
    with pytest.raises(PolicyDenied, match=r"ll144\.notice"):
        served()(question)


def test_a_decision_by_machine_alone_is_not_served_without_a_way_to_a_person(home, data, risk):
    alone = '[systems.risk]\nframeworks = ["gdpr"]\nautomated_decision = true\n'
    data(alone)
    with pytest.raises(PolicyDenied, match=r"gdpr\.automated_decision"):
        served()({"income": 1, "debt": 1})
    data(alone + 'automated_decision_basis = "contract"\nhuman_review = "call 123"\n')
    assert served()({"income": 1, "debt": 1}) == 0.5


def test_an_answer_from_before_midnight_is_not_given_after_it(home):
    from affidavit.policies import EmbeddedEngine

    engine = CachedEngine(EmbeddedEngine(deadline_ms=20_000))
    request = {
        "action": "model.serve",
        "actor": {"id": "svc", "roles": ["service"]},
        "purpose": "",
        "resource": {
            "kind": "model",
            "name": "risk",
            "digest": "",
            "tags": [],
            "attributes": {
                "frameworks": ["ll144"],
                "bias_audit": "2026-03-02T00:00:00Z",
                "bias_audit_summary": "https://example.org/audit",
                "notice_given": "2026-05-01T00:00:00Z",
            },
        },
        "columns": [],
        "environment": "development",
        "time": "2027-03-02T23:59:59Z",
        "request_id": "r-1",
    }
    standing = engine.standing("affidavit/serve", request)
    assert standing.decide("2027-03-02T23:59:58Z", "r-1").allow
    assert standing.decide("2027-03-02T23:59:59Z", "r-2").cached
    last = standing.decide("2027-03-03T00:00:00Z", "r-3")
    assert {finding.rule for finding in last.deny} == {"ll144.audit"}
