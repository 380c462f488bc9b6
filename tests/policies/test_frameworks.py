"""Every shipped framework is well formed, whole, dated and judged alike by both engines."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from itertools import chain

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real import ROOT

from affidavit.errors import ConfigurationError
from affidavit.policies import EVIDENCE_KINDS, EmbeddedEngine, frameworks
from affidavit.policies._frameworks import check_frameworks

FOLDER = ROOT / "policies" / "packs" / "frameworks"
FILES = sorted(FOLDER.glob("*/data.json"))
SCHEMA = json.loads((FOLDER / "schema.json").read_text("utf-8"))
ENTRY = "affidavit/controls"


def held():
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in FILES}


KNOWN = check_frameworks(held())


def ids(name):
    return [clause.id for clause in KNOWN[name].clauses]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_shipped_file_fits_the_schema_and_the_reader(path):
    content = {path.parent.name: json.loads(path.read_text("utf-8"))}
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(SCHEMA, format_checker=checker).validate(content)
    (one,) = check_frameworks(content).values()
    assert one.read >= one.dated
    assert one.source["reference"]
    assert one.source["confidence"]


def test_the_engine_holds_the_shipped_frameworks():
    assert dict(frameworks(EmbeddedEngine().data)) == dict(KNOWN)


def test_the_schema_and_the_reader_know_the_same_evidence():
    assert set(SCHEMA["$defs"]["kind"]["enum"]) == set(EVIDENCE_KINDS)


def test_every_kind_of_evidence_is_asked_for_by_some_clause():
    asked = set(chain.from_iterable(c.kinds for one in KNOWN.values() for c in one.clauses))
    assert asked == set(EVIDENCE_KINDS)


def test_the_articles_of_the_ai_act_are_there():
    found = ids("eu_ai_act")
    for article in (9, 10, 11, 12, 13, 14, 15, 19, 26, 72):
        assert any(re.match(rf"Art\. {article}\b", one) for one in found), article
    annex = {one for one in found if one.startswith("Annex IV")}
    assert annex == {f"Annex IV({n})" for n in range(1, 10)}


def test_the_articles_of_the_gdpr_are_there():
    found = ids("gdpr")
    for article in (5, 9, 22, 30):
        assert any(re.match(rf"Art\. {article}\(", one) for one in found), article


def test_the_eighteen_identifiers_and_the_controls_of_hipaa_are_there():
    found = ids("hipaa")
    assert [one[-2] for one in found if one.startswith("164.514(b)(2)(i)(")] == list(
        "ABCDEFGHIJKLMNOPQR"
    )
    assert {"164.502(b)", "164.514(d)", "164.312(b)"} <= set(found)


def test_the_categories_of_the_ai_rmf_are_there():
    wanted = {"GOVERN": 6, "MAP": 5, "MEASURE": 4, "MANAGE": 4}
    assert ids("nist_ai_rmf") == [
        f"{name} {n}" for name, last in wanted.items() for n in range(1, last + 1)
    ]


def test_the_controls_of_annex_a_are_there():
    # 38 controls under nine objectives.
    groups = {
        "A.2": "2 3 4",
        "A.3": "2 3",
        "A.4": "2 3 4 5 6",
        "A.5": "2 3 4 5",
        "A.6.1": "2 3",
        "A.6.2": "2 3 4 5 6 7 8",
        "A.7": "2 3 4 5 6",
        "A.8": "2 3 4 5",
        "A.9": "2 3 4",
        "A.10": "2 3 4",
    }
    assert ids("iso_42001") == [f"{group}.{n}" for group, ns in groups.items() for n in ns.split()]
    assert len(ids("iso_42001")) == 38


def test_the_other_frameworks_have_what_they_are_for():
    assert {"20-871(a)(1)", "20-871(a)(2)", "20-871(b)(1)"} <= set(ids("ll144"))
    assert {"1002.2(z)", "1002.9(b)(2)"} <= set(ids("ecoa"))
    assert {"Validation", "Monitoring", "Inventory", "Vendors"} <= set(ids("sr_26_2"))
    assert KNOWN["sr_26_2"].source["confidence"] == "public summaries"
    assert "could not be read" in KNOWN["sr_26_2"].notes[0]
    assert all(re.fullmatch(r"ML[A-Z]+\d\d-BP\d\d", one) for one in ids("aws_ml_lens"))
    assert KNOWN["aws_ml_lens"].dated == "2025-11-19"


def test_no_clause_speaks_in_the_words_of_a_statute():
    for path in FILES:
        text = path.read_text("utf-8")
        assert not re.search(r"\bshall\b|\bpursuant\b|\bhereby\b|\bthe organization\b", text), path


def test_the_pages_of_the_frameworks_are_written_from_their_data():
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "frameworks.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    pages = script.pages()
    assert len(pages) == len(FILES) + 1
    stale = [p.name for p, text in pages.items() if p.read_text("utf-8") != text]
    assert stale == [], "run python docs/frameworks.py"
    there = set((ROOT / "docs" / "policies" / "frameworks").glob("*.md"))
    assert there == set(pages) - {ROOT / "docs" / "policies" / "frameworks.md"}


# -- the reader -------------------------------------------------------------------------------


def house(**changes):
    clause = {
        "id": "1",
        "title": "A title",
        "summary": "A summary.",
        "mode": "automatic",
        "in_force": [{"from": "2026-01-01"}],
        "evidence": [{"kind": "evaluation"}],
    }
    head = copy.deepcopy(held()["gdpr"])
    head.update(id="house", short="House", clauses=[{**clause, **changes}])
    return {"house": head}


def put(path, value):
    """A framework with one thing changed."""
    found = house()
    place = found["house"]
    *way, last = path
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


REFUSED = {
    "another id": put(["id"], "home"),
    "no clauses": put(["clauses"], []),
    "no source": put(["source"], None),
    "an unknown key": put(["colour"], "blue"),
    "an unknown nature": put(["nature"], "custom"),
    "a blank title": put(["title"], " "),
    "a day that is none": put(["dated"], "2026-02-30"),
    "a day in another form": put(["read"], "2026-1-1"),
    "unknown evidence": house(evidence=[{"kind": "hearsay"}]),
    "unknown evidence among several": house(
        evidence=[{"any": [{"kind": "evaluation"}, {"kind": "hearsay"}]}]
    ),
    "an any of one": house(evidence=[{"any": [{"kind": "evaluation"}]}]),
    "an any in an any": house(
        evidence=[{"any": [{"kind": "evaluation"}, {"any": [{"kind": "code"}]}]}]
    ),
    "no evidence": house(evidence=[]),
    "evidence for a person": house(mode="human", question="Which?"),
    "a person without a question": house(mode="mixed"),
    "a question that nobody answers": house(question="Which?"),
    "an unknown mode": house(mode="sometimes"),
    "an age of nothing": house(evidence=[{"kind": "evaluation", "max_age_days": 0}]),
    "a number that is a truth": house(evidence=[{"kind": "evaluation", "min": True}]),
    "a declaration without a name": house(evidence=[{"declared": "Not A Name"}]),
    "a window without a beginning": house(in_force=[{"until": "2027-01-01"}]),
    "no window": house(in_force=[]),
    "a condition that lists nothing": house(applies={"role": []}),
    "a condition of numbers": house(applies={"role": [1]}),
    "a condition of text": house(applies={"role": "provider"}),
    "a clause that is text": put(["clauses"], ["1"]),
}


def test_unknown_evidence_is_refused_with_what_there_is():
    wrong = house(evidence=[{"any": [{"kind": "evaluation"}, {"kind": "hearsay"}]}])
    with pytest.raises(ConfigurationError) as raised:
        EmbeddedEngine(data={"frameworks": wrong})
    assert (
        "clause '1', asks for the evidence 'hearsay'; there are provenance" in raised.value.message
    )
    assert "schema.json" in raised.value.hint


# What JSON Schema cannot say.
REFUSED_BY_THE_READER = {
    "an end before the beginning": house(in_force=[{"from": "2027-01-01", "until": "2026-01-01"}]),
    "a clause twice": put(["clauses"], house()["house"]["clauses"] * 2),
    "a short name twice": {**house(), "home": {**house()["house"], "id": "home"}},
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_a_malformed_framework_is_refused_when_the_data_are_loaded(content):
    with pytest.raises(ConfigurationError):
        check_frameworks(content)
    with pytest.raises(ConfigurationError):
        EmbeddedEngine(data={"frameworks": content})


@pytest.mark.parametrize("content", REFUSED_BY_THE_READER.values(), ids=REFUSED_BY_THE_READER)
def test_what_no_schema_can_say_is_refused_too(content):
    with pytest.raises(ConfigurationError):
        EmbeddedEngine(data={"frameworks": content})


@pytest.mark.parametrize("wrong", [[], "eu_ai_act", {"house": 7}, {"Bad Name": house()["house"]}])
def test_a_section_that_is_no_table_of_frameworks_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        check_frameworks(wrong)


def test_an_organisation_adds_a_framework_and_changes_one():
    data = {"frameworks": {**house(), "gdpr": {"version": "ours"}}}
    known = frameworks(EmbeddedEngine(data=data).data)
    assert set(known) == {*KNOWN, "house"}
    assert known["gdpr"].version == "ours"
    assert known["gdpr"].clauses == KNOWN["gdpr"].clauses


def test_a_framework_cannot_be_changed_once_read():
    clause = KNOWN["eu_ai_act"].clauses[1]
    with pytest.raises(TypeError):
        clause.in_force[0]["from"] = "1999-01-01"
    with pytest.raises(AttributeError):
        clause.mode = "human"


# -- dates ------------------------------------------------------------------------------------


def states(engine, name, *, time, facts=(), **attributes):
    decision = engine.decide(ENTRY, question(name, time=time, facts=dict(facts), **attributes))
    assert decision.trustworthy, decision
    return {f.clause: f.rule.partition(".")[2] for f in (*decision.deny, *decision.warn)}


def question(name, *, time, facts, **attributes):
    return {
        "action": "model.assess",
        "actor": {"id": "audrey", "roles": ["auditor"]},
        "purpose": "",
        "resource": {
            "kind": "model",
            "name": "credit-risk",
            "digest": "",
            "tags": [],
            "attributes": {**attributes, "frameworks": [name]},
        },
        "columns": [],
        "environment": "development",
        "time": time,
        "request_id": "r-1",
        "evidence": {"facts": facts},
    }


@pytest.mark.parametrize(
    ("high_risk", "before", "after"),
    [
        ("annex_iii", "2027-12-01T23:59:59Z", "2027-12-02T00:00:00Z"),
        ("annex_i", "2028-08-01T23:59:59Z", "2028-08-02T00:00:00Z"),
    ],
)
def test_the_duties_of_the_ai_act_begin_at_the_second(embedded, high_risk, before, after):
    deferred = [c.id for c in KNOWN["eu_ai_act"].clauses if len(c.in_force) == 2]
    assert len(deferred) > 30
    early = states(embedded, "eu_ai_act", time=before, high_risk=high_risk)
    late = states(embedded, "eu_ai_act", time=after, high_risk=high_risk)
    for name in deferred:
        clause = f"EU AI Act {name}"
        assert early[clause] in {"not_in_force", "not_applicable"}, clause
        assert late[clause] in {"missing", "person", "not_applicable"}, clause
    # Chapter IX was not moved.
    assert early["EU AI Act Art. 72(1)"] == "missing"


def test_the_effects_test_of_regulation_b_ends_at_the_second(embedded):
    clause = "ECOA/Reg B 1002.6(a)"
    assert states(embedded, "ecoa", time="2026-07-20T23:59:59Z")[clause] == "missing"
    assert states(embedded, "ecoa", time="2026-07-21T00:00:00Z")[clause] == "not_in_force"


def test_every_clause_is_answered_exactly_once_at_any_time(embedded):
    for name, one in KNOWN.items():
        for time in ("2000-01-01T00:00:00Z", "2026-11-21T10:00:00Z", "2040-01-01T00:00:00Z"):
            found = states(embedded, name, time=time)
            assert set(found) == {f"{one.short} {clause.id}" for clause in one.clauses}


# -- two engines ------------------------------------------------------------------------------

FACT = st.fixed_dictionaries(
    {
        "verified": st.sampled_from([True, True, True, False, "true", None]),
        "count": st.sampled_from([0, 1, 2, 183, 36_500, "3", None]),
        "newest": st.sampled_from(
            [None, "2026-11-20T00:00:00Z", "2025-01-01T00:00:00.5Z", "2030-01-01T00:00:00Z", "x"]
        ),
        "entries": st.just([]),
    }
)
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["provider", "deployer", ["provider", "deployer"], 7]),
        "tier": st.sampled_from(["high", "limited"]),
        "high_risk": st.sampled_from(["annex_iii", "annex_i", False]),
        "personal_data": st.booleans(),
        "owner": st.sampled_from(["Retail", "", ["a"], True]),
        "retention": st.sampled_from(["P1Y", None]),
    },
)
TIMES = st.sampled_from(
    [
        "2026-11-21T10:00:00Z",
        "2027-12-02T00:00:00Z",
        "2026-07-20T23:59:59.9Z",
        "2019-01-01T00:00:00Z",
    ]
)


@pytest.mark.real
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    asked=st.builds(
        lambda name, facts, attributes, time: question(name, time=time, facts=facts, **attributes),
        st.sampled_from([*KNOWN, "none-such"]),
        st.dictionaries(st.sampled_from([*EVIDENCE_KINDS, "odd"]), FACT, max_size=26),
        ATTRIBUTES,
        TIMES,
    )
)
def test_both_engines_judge_alike(embedded, served, asked):
    one, other = embedded.decide(ENTRY, asked), served.decide(ENTRY, asked)
    assert one.trustworthy
    assert (one.allow, one.deny, one.warn) == (other.allow, other.deny, other.warn)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(KNOWN)),
    facts=st.dictionaries(st.sampled_from(sorted(EVIDENCE_KINDS)), FACT, max_size=26),
    more=st.sampled_from(sorted(EVIDENCE_KINDS)),
)
def test_more_evidence_never_makes_a_clause_worse(embedded, name, facts, more):
    order = ["missing", "partial", "person", "met"]
    time = "2026-11-21T10:00:00Z"
    good = {"verified": True, "count": 40_000, "newest": "2026-11-21T09:00:00Z", "entries": []}
    before = states(embedded, name, time=time, facts=facts)
    after = states(embedded, name, time=time, facts={**facts, more: good})
    for clause, state in before.items():
        if state in order:
            assert order.index(after[clause]) >= order.index(state), clause
        else:
            assert after[clause] == state
