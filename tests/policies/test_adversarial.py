"""Input and rules that mean harm: no decision flips, and no evaluation outlives its limits."""

from __future__ import annotations

import json
import time

import pytest
from real import opa_binary

from affidavit.policies import EmbeddedEngine, OpaServerEngine, build_packs, server_bundle

FORGED = [
    {"allow": True},
    {"allow": "true"},
    {"allow": True, "deny": [], "warn": [], "obligations": []},
    {"result": {"allow": True, "deny": [], "warn": [], "obligations": []}},
    {"data": {"access": {"default_role": "auditor"}}},
    {"input": {"actor": {"id": "ada", "roles": ["auditor"]}}},
    {"actor": {"id": "ada", "roles": ["nobody"], "role": "auditor", "allow": True}},
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, start_opa):
    """Both engines on data under which an unknown role may do nothing and a grant expires."""
    data = {
        "access": {
            "default_role": None,
            "grants": [{"actor": "ada", "role": "engineer", "expires": "2026-11-21T10:00:00Z"}],
        }
    }
    bundle = server_bundle(tmp_path_factory.mktemp("guarded") / "bundle.tar.gz", data=data)
    served = OpaServerEngine(start_opa(bundle).url, bundle_digest=bundle.digest, timeout=10)
    return EmbeddedEngine(bundle=bundle.path), served


@pytest.mark.real
@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_what_a_request_says_of_its_own_answer_counts_for_nothing(guarded, request_for, forged):
    document = {**request_for(actor={"id": "mallory", "roles": []}), **forged}
    for engine in guarded:
        decision = engine.decide("affidavit/data_read", document)
        assert not decision.allow
        assert not any(finding.rule.startswith("engine.") for finding in decision.deny)


@pytest.mark.real
def test_an_empty_request_denies_at_every_entry_point(guarded):
    for engine in guarded:
        for entrypoint in guarded[0].entrypoints:
            for nothing in ({}, {"actor": {}}, {"actor": None}, {"columns": {}}):
                assert not engine.decide(entrypoint, nothing).allow, (entrypoint, nothing)


@pytest.mark.real
@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-11-21T09:59:59Z", True),
        ("2026-11-21T10:00:00Z", False),
        ("2026-11-21T09:59:59.999999999Z", True),
        ("2026-11-21T10:59:59+01:00", False),
        ("2026-11-21T04:59:59-05:00", False),
        ("2026-11-21T09:59:59+00:00", False),
        ("2026-11-21T09:59:59", False),
        ("2026-11-21 09:59:59Z", False),
        ("2026-11-21T09:59:59z", False),
        ("2026-11-21T09:59:59+00", False),
        ("2026-11-21T09:59:60Z", False),
        ("2026-11-21T09:59:59\u200bZ", False),
        ("٢٠٢٦-11-21T09:59:59Z", False),
        (1795255199, False),
    ],
)
def test_a_request_is_of_an_instant_in_utc_or_denies(guarded, request_for, at, allowed):
    for engine in guarded:
        assert engine.decide("affidavit/data_read", request_for(time=at)).allow is allowed


@pytest.mark.real
def test_a_grant_expires_at_its_instant_however_that_is_written(start_opa, request_for, tmp_path):
    same = [
        "2026-11-21T10:00:00Z",
        "2026-11-21T11:00:00+01:00",
        "2026-11-21T05:00:00-05:00",
        "2026-11-21T15:30:00.000000001+05:30",
    ]
    grants = [
        {"actor": f"ada{number}", "role": "engineer", "expires": at}
        for number, at in enumerate(same)
    ]
    data = {"access": {"default_role": None, "grants": grants}}
    bundle = server_bundle(tmp_path / "bundle.tar.gz", data=data)
    served = OpaServerEngine(start_opa(bundle).url, bundle_digest=bundle.digest, timeout=10)
    for engine in (EmbeddedEngine(bundle=bundle.path), served):
        for number in range(len(same)):
            for at, allowed in (("2026-11-21T09:59:59Z", True), (same[0], False)):
                asked = request_for(actor={"id": f"ada{number}", "roles": []}, time=at)
                assert engine.decide("affidavit/data_read", asked).allow is allowed, same[number]


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    [
        'ada"',
        "ada\\",
        "ada\n",
        "ada\x00",
        "a\u0301da",
        "ADA",
        "ada ",
        "\u0430da",
        "ad\u200ba",
        "\uff41da",
    ],
)
def test_a_name_that_looks_like_another_has_none_of_its_rights(guarded, request_for, name):
    document = request_for(time="2026-11-21T09:00:00Z")
    for engine in guarded:
        assert engine.decide("affidavit/data_read", document).allow
        other = {**document, "actor": {"id": name, "roles": []}}
        assert not engine.decide("affidavit/data_read", other).allow


HARMFUL = """package affidavit

answer := {"allow": true, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
backtrack := answer if regex.match(`^(a+)+$`, input.text)

# METADATA
# entrypoint: true
repeat := answer if regex.match(`^((a{1,30}){1,30}){1,30}$`, input.text)

# METADATA
# entrypoint: true
product := answer if {
	some a in numbers.range(1, 2000)
	some b in numbers.range(1, 2000)
	some c in numbers.range(1, 2000)
	a * b * c == -1
}

# METADATA
# entrypoint: true
grow := answer if {
	all := [x | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); x := [a, b]]
	count(all) > 0
}

# METADATA
# entrypoint: true
double := answer if {
	t1 := concat("", [input.text, input.text, input.text, input.text, input.text, input.text])
	t2 := concat("", [t1, t1, t1, t1, t1, t1, t1, t1])
	t3 := concat("", [t2, t2, t2, t2, t2, t2, t2, t2])
	t4 := concat("", [t3, t3, t3, t3, t3, t3, t3, t3])
	t5 := concat("", [t4, t4, t4, t4, t4, t4, t4, t4])
	count(t5) > 0
}

# METADATA
# entrypoint: true
plain := answer
"""


@pytest.fixture(scope="module")
def harmful(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmful")
    (folder / "source").mkdir()
    (folder / "source" / "harmful.rego").write_text(HARMFUL)
    (folder / "source" / "data.json").write_text("{}")
    build_packs(folder / "source", folder / "built", opa=opa_binary())
    return folder / "built"


@pytest.mark.real
@pytest.mark.parametrize("rule", ["backtrack", "repeat", "product", "grow", "double"])
def test_a_rule_that_explodes_is_ended_by_deadline_or_memory_and_denies(harmful, rule):
    pages = 512  # 32 MiB
    engine = EmbeddedEngine(bundle=harmful, deadline_ms=400, memory_pages=pages, concurrency=1)
    engine.load()
    text = {"text": "a" * 5000 + "!"}
    began = time.monotonic()
    decision = engine.decide(f"affidavit/{rule}", text)
    assert time.monotonic() - began < 0.4 + 1.5
    assert not decision.allow
    if rule != "backtrack":  # which RE2 answers at once: it does not backtrack
        assert decision.deny[0].rule in {"engine.timeout", "engine.failed", "engine.undefined"}
        assert len(decision.deny[0].message) < 500
    # The next request finds an engine that decides.
    assert engine.decide("affidavit/plain", {}).allow


@pytest.mark.real
def test_memory_beyond_the_cap_is_never_taken(harmful):
    resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096  # noqa: E731, PTH123, SIM115
    engine = EmbeddedEngine(bundle=harmful, deadline_ms=20_000, memory_pages=512, concurrency=1)
    assert engine.decide("affidavit/plain", {}).allow
    before = resident()
    for _ in range(5):
        decision = engine.decide("affidavit/grow", {"text": "a"})
        assert [finding.rule for finding in decision.deny] == ["engine.failed"]
    assert resident() - before < 200 * 2**20


@pytest.mark.real
def test_a_rule_that_explodes_denies_on_a_server_within_the_budget(harmful, start_opa, tmp_path):
    server = start_opa(server_bundle(tmp_path / "bundle.tar.gz", bundle=harmful))
    engine = OpaServerEngine(server.url, timeout=0.5)
    assert engine.decide("affidavit/plain", {}).allow
    began = time.monotonic()
    decision = engine.decide("affidavit/product", {"text": "a"})
    assert time.monotonic() - began < 1.0
    assert [finding.rule for finding in decision.deny] == ["engine.timeout"]
    assert json.dumps(decision.to_dict())
