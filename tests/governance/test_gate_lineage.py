"""Lineage as evidence for the gate: what a model was trained on was read under a policy."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import affidavit as aff


@pytest.fixture
def required(home, configure, tmp_path):
    """The policy asks for lineage and for nothing else."""
    waived = dict.fromkeys(["evaluation", "fairness", "explanation", "approval"], False)
    data = {"promotion": {"require": {**waived, "lineage": True}}}
    (tmp_path / "policy.json").write_text(json.dumps(data))
    configure('[policy]\ndata = "policy.json"\n')


def fit(frame: pd.DataFrame, more: pd.DataFrame | None = None) -> None:
    @aff.train("risk")
    def train(frame: pd.DataFrame, more: pd.DataFrame | None) -> LogisticRegression:
        return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

    train(frame, more)


def governed(frame: pd.DataFrame) -> pd.DataFrame:
    @aff.data("loans", purpose="credit-scoring")
    def read():
        return frame

    return read()


def rules(home) -> set[str]:
    result = aff.gate(home, aff.load_settings(), "risk")
    assert result.evidence["lineage"]["verified"] is True
    return {finding.rule for finding in result.decision.deny}


def test_a_model_of_a_governed_read_passes(home, required, loans):
    fit(governed(loans))
    assert rules(home) == set()


def test_a_model_of_data_that_no_policy_let_be_read_does_not(home, required, loans):
    fit(loans)
    assert rules(home) == {"promotion.lineage"}


def test_a_model_of_both_does_not(home, required, loans):
    fit(governed(loans), loans.head(10))
    assert rules(home) == {"promotion.lineage"}


def test_a_model_of_nothing_does_not(home, required, loans):
    @aff.train("risk")
    def train() -> LogisticRegression:
        return LogisticRegression().fit(loans[["income", "debt"]], loans["granted"])

    train()
    assert rules(home) == {"promotion.lineage"}


def test_four_eyes_are_asked_of_a_tier(home, configure, tmp_path, risk):
    waived = dict.fromkeys(["evaluation", "fairness", "explanation"], False)
    data = {"promotion": {"require": waived, "tiers": {"high": {"approvals": {"minimum": 2}}}}}
    (tmp_path / "policy.json").write_text(json.dumps(data))
    tiered = '[policy]\ndata = "policy.json"\n[systems.risk]\ntier = "{}"\n'
    configure(tiered.format("high"))
    for name in ("carol@example.org", "dan@example.org"):
        result = aff.gate(home, aff.load_settings(), "risk")
        assert {one.rule for one in result.decision.deny} == {"promotion.approval_missing"}
        home.enrol(name, "approver", actor="engineer@example.org")
        aff.approve(home, aff.load_settings(), "risk", name)
    assert aff.gate(home, aff.load_settings(), "risk").allowed
    configure(tiered.format("hihg"))
    result = aff.gate(home, aff.load_settings(), "risk")
    assert {one.rule for one in result.decision.deny} == {"promotion.tier_unknown"}
