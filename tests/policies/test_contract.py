"""Only the contracted result allows; the canonical form says one thing or is refused."""

from __future__ import annotations

import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import PolicyEngineError
from affidavit.policies import Decision, Finding, Obligation, canonical_input, parse_result

ALLOW = {"allow": True, "deny": [], "warn": [], "obligations": []}
FINDING = {"rule": "a.b", "message": "m", "severity": "high", "clause": ""}
MASK = {"kind": "mask", "columns": ["a"], "parameters": {}}
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_plain_allowance_allows():
    decision = parse_result("e", {**ALLOW, "obligations": [MASK]}, engine="x")
    assert decision.allow
    assert decision.obligations == (Obligation("mask", ("a",)),)


@pytest.mark.parametrize(
    "raw",
    [
        None, True, [], "allow", {}, {"allow": True},
        {**ALLOW, "allow": "true"}, {**ALLOW, "allow": 1}, {**ALLOW, "allow": None},
        {**ALLOW, "extra": 1}, {**ALLOW, "deny": {}}, {**ALLOW, "deny": "no"},
        {**ALLOW, "warn": None}, {**ALLOW, "warn": ["w"]},
        {**ALLOW, "warn": [{**FINDING, "severity": "dire"}]},
        {**ALLOW, "warn": [{**FINDING, "rule": ""}]},
        {**ALLOW, "warn": [{**FINDING, "message": 1}]},
        {**ALLOW, "obligations": None}, {**ALLOW, "obligations": [1]},
        {**ALLOW, "obligations": [{**MASK, "columns": [1]}]},
        {**ALLOW, "obligations": [{**MASK, "parameters": []}]},
    ],
)  # fmt: skip
def test_a_result_outside_the_contract_denies(raw):
    decision = parse_result("e", raw)
    assert not decision.allow
    assert [finding.rule for finding in decision.deny] == ["engine.malformed"]


@pytest.mark.parametrize(
    "obligation",
    [
        {**MASK, "kind": "pray"}, {**MASK, "columns": []}, {**MASK, "parameters": {"token": "x"}},
        {"kind": "pseudonymise", "columns": ["a"], "parameters": {}},
        {"kind": "pseudonymise", "columns": ["a"], "parameters": {"key": 1}},
        {"kind": "generalise", "columns": ["a"], "parameters": {"width": 0}},
        {"kind": "generalise", "columns": ["a"], "parameters": {"width": True}},
        {"kind": "generalise", "columns": ["a"], "parameters": {"unit": "week"}},
        {"kind": "limit_rows", "columns": [], "parameters": {"rows": -1}},
        {"kind": "limit_rows", "columns": [], "parameters": {"rows": 1.5}},
        {"kind": "explain", "columns": ["a"], "parameters": {}},
    ],
)  # fmt: skip
def test_an_obligation_that_cannot_be_honoured_denies(obligation):
    decision = parse_result("e", {**ALLOW, "obligations": [obligation]})
    assert [finding.rule for finding in decision.deny] == ["engine.obligation_unknown"]


def test_a_denial_beside_allow_wins_and_hands_out_nothing():
    decision = parse_result("e", {**ALLOW, "deny": [FINDING], "obligations": [MASK]})
    assert not decision.allow
    assert decision.obligations == ()
    assert decision.deny == (Finding("a.b", "m"),)


def test_not_allowing_without_a_reason_is_still_a_denial_with_one():
    decision = parse_result("e", {**ALLOW, "allow": False})
    assert [finding.rule for finding in decision.deny] == ["policy.undefined"]


@given(raw=json_values)
def test_no_other_value_allows(raw):
    assert not parse_result("e", raw).allow


def test_a_decision_cannot_contradict_itself():
    meta = ("e", "", "", "", "", 0)
    with pytest.raises(ValueError, match="allowance"):
        Decision(True, (Finding("a", "b"),), (), (), *meta)
    with pytest.raises(ValueError, match="obligations"):
        Decision(False, (Finding("a", "b"),), (), (Obligation("explain"),), *meta)


def test_a_decision_is_json_and_survives_pickling():
    decision = parse_result("e", {**ALLOW, "warn": [FINDING], "obligations": [MASK]})
    assert json.loads(json.dumps(decision.to_dict())) == decision.to_dict()
    assert pickle.loads(pickle.dumps(decision)) == decision


def test_parameters_cannot_be_changed_afterwards():
    given_parameters = {"key": "k"}
    obligation = Obligation("pseudonymise", ("a",), given_parameters)
    given_parameters["key"] = "other"
    assert obligation.parameters["key"] == "k"
    with pytest.raises(TypeError):
        obligation.parameters["key"] = "x"


@given(document=st.dictionaries(st.text(), json_values, max_size=5))
def test_canonical_bytes_are_read_back_equal_and_ignore_order(document):
    encoded = canonical_input(document)
    assert json.loads(encoded) == document
    assert canonical_input(dict(reversed(document.items()))) == encoded
    assert canonical_input(json.loads(encoded)) == encoded


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53 + 1,
        -(2**53) - 1,
        10**400,
        "\udc00",
        b"x",
        {1},
        {1: 2},
        object(),
    ],
)
def test_what_json_readers_disagree_about_is_refused(value):
    for document in ({"a": value}, {"a": [{"b": value}]}):
        with pytest.raises(PolicyEngineError, match="canonical JSON"):
            canonical_input(document)


def test_a_key_that_is_no_text_a_deep_and_a_large_document_are_refused():
    loop: dict[str, object] = {}
    loop["a"] = loop
    for document in ({1: "a"}, {"\ud800": 1}, loop, {"a": "x" * (5 * 1024 * 1024)}, []):
        with pytest.raises(PolicyEngineError):
            canonical_input(document)
