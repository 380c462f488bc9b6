"""The packs of single laws decide alike in both engines, whatever is declared."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.policies import EmbeddedEngine

DATA = EmbeddedEngine().data
TAGS = [*DATA["hipaa"]["identifiers"], *DATA["ecoa"]["bases"], "special_category", "public", "odd"]
LAWS = ["hipaa", "gdpr", "ll144", "ecoa"]
DAYS = [
    "2026-03-02",
    "2025-11-21T00:00:00Z",
    "2025-11-20T00:00:00Z",
    "2026-11-08",
    "2026-11-06T00:00:00Z",
    "2024-02-29",
    "2026-11-22",
    "soon",
    "",
    "2026-02-30",
    20260302,
    None,
]
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "frameworks": st.lists(st.sampled_from(LAWS), max_size=4) | st.sampled_from(["gdpr", 7]),
        "bias_audit": st.sampled_from(DAYS),
        "notice_given": st.sampled_from(DAYS),
        "bias_audit_summary": st.sampled_from(["https://example.org", " ", None]),
        "automated_decision": st.sampled_from([True, False, "yes", None]),
        "automated_decision_basis": st.sampled_from(["contract", "interest"]),
        "human_review": st.sampled_from(["call 123", ""]),
        "owner": st.sampled_from(["Retail", [], ["a", ""]]),
    },
)
COLUMNS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["a", "b", "note", "é"]),
            "tags": st.lists(st.sampled_from(TAGS), max_size=3),
        }
    ),
    max_size=4,
    unique_by=lambda column: column["name"],
)


@st.composite
def requests(draw):
    entrypoint, action, kind = draw(
        st.sampled_from(
            [
                ("affidavit/data_read", "data.read", "dataset"),
                ("affidavit/serve", "model.serve", "model"),
                ("affidavit/promote", "model.promote", "model"),
            ]
        )
    )
    return entrypoint, {
        "action": action,
        "actor": {"id": "ada", "roles": []},
        "purpose": draw(st.sampled_from(["deidentified-release", "credit-scoring"])),
        "resource": {
            "kind": kind,
            "name": "one",
            "digest": "",
            "tags": draw(st.lists(st.sampled_from(["phi", *LAWS, "x"]), max_size=2)),
            "attributes": draw(ATTRIBUTES),
        },
        "columns": draw(COLUMNS),
        "environment": "development",
        "time": draw(st.sampled_from(["2026-11-20T00:00:00Z", "2026-11-21T10:00:00Z"])),
        "request_id": "r-1",
        "evidence": draw(st.sampled_from([{}, {"explanations": [{"verified": True}]}])),
    }


@pytest.mark.real
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=requests())
def test_both_engines_decide_alike(embedded, served, asked):
    one, other = embedded.decide(*asked), served.decide(*asked)
    assert one.trustworthy, one.deny
    assert (one.allow, one.deny, one.warn, one.obligations) == (
        other.allow,
        other.deny,
        other.warn,
        other.obligations,
    )


@settings(max_examples=150, deadline=None)
@given(columns=COLUMNS)
def test_no_column_with_an_identifier_is_released_as_it_is(embedded, columns):
    request = {
        "action": "data.read",
        "actor": {"id": "ada", "roles": []},
        "purpose": "deidentified-release",
        "resource": {"kind": "dataset", "name": "p", "digest": "", "tags": ["phi"]},
        "columns": columns,
        "environment": "development",
        "time": "2026-11-21T10:00:00Z",
        "request_id": "r-1",
    }
    decision = embedded.decide("affidavit/data_read", request)
    if not decision.allow:
        return
    changed = {
        name
        for obligation in decision.obligations
        if obligation.kind in {"drop", "generalise"}
        for name in obligation.columns
    }
    for column in columns:
        named = not column["tags"] or set(column["tags"]) & set(DATA["hipaa"]["identifiers"])
        assert not named or column["name"] in changed
