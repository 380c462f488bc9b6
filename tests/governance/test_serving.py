"""Served predictions: one record each, sealed, disclosed by policy, explained afterwards."""

from __future__ import annotations

import asyncio
import enum

import numpy as np
import pandas as pd
import polars as pl
import pytest
from obliging import oblige
from pydantic import BaseModel

import affidavit as aff
from affidavit.policies import Obligation

COLUMNS = ["income", "debt"]


class Level(enum.Enum):
    HIGH = "high"


class Application(BaseModel):
    income: float
    debt: float = 0.0


@pytest.fixture
def auditor(monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")


def serve_and_disclose(monkeypatch, function, given) -> list[aff.ServedDecision]:
    before = len(aff.prediction_ids())
    function(given)
    identifiers = aff.prediction_ids()[before:]
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    found = [aff.disclose_decision(identifier) for identifier in identifiers]
    monkeypatch.delenv("AFFIDAVIT_ROLES")
    return found


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"income": 1, "level": Level.HIGH, "odd": "\ud800"}, 1),
        (Application(income=2), 1),
        ([Application(income=2), Application(income=3)], 2),
        ([{"income": 1}, {"income": 2}], 2),
        (pd.DataFrame({"income": [1, 2, 3]}), 3),
        (pl.DataFrame({"income": [1.5, float("nan")]}), 2),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), 2),
        (pd.Series({"income": 1, "debt": 2}), 1),
        ("just text", 1),
    ],
)
def test_features_of_every_form_are_recorded_row_by_row(home, risk, monkeypatch, given, rows):
    @aff.serve("risk")
    def predict(features):
        return list(range(rows)) if rows > 1 else {"score": 0.5}

    found = serve_and_disclose(monkeypatch, predict, given)
    assert len(found) == rows
    outputs = [item.output for item in found]
    assert outputs == (list(range(rows)) if rows > 1 else [{"score": 0.5}])
    assert all(item.features for item in found)


@pytest.mark.parametrize(
    "output",
    [
        pd.DataFrame({"score": [0.5]}),
        pl.DataFrame({"score": [0.5]}),
        pd.Series([0.5]),
        pl.Series([0.5]),
        np.array([0.5]),
    ],
)
def test_an_output_for_one_row_is_recorded_as_a_value(home, risk, monkeypatch, output):
    @aff.serve("risk")
    def predict(features):
        return output

    (found,) = serve_and_disclose(monkeypatch, predict, {"income": 1})
    assert found.output in (0.5, {"score": 0.5})


def test_an_empty_batch_is_no_error_and_records_no_prediction(home, risk, reader):
    @aff.serve("risk")
    def predict(features):
        return []

    assert predict(pd.DataFrame({"income": []})) == []
    assert reader.counts()["prediction"] == 0


def test_nothing_personal_stands_in_the_log(home, risk, reader):
    @aff.serve("risk", subject="person")
    def predict(features):
        return "declined"

    predict({"person": "jane.doe@example.org", "income": 12345.678})
    predict({"person": "jane.doe@example.org", "income": 1})
    first, second = (home.ledger.payload(row["id"]) for row in reader.predictions())
    for _, body in home.ledger.entries():
        assert b"jane.doe" not in body
        assert b"12345.678" not in body
    assert first.subject == second.subject
    assert b"jane.doe" not in home.database.read_bytes()


def test_a_stream_is_one_prediction_and_a_failure_is_recorded_without_its_message(
    home, risk, reader, monkeypatch
):
    @aff.serve("risk")
    def stream(features):
        yield "to"
        yield "ken"

    @aff.serve("risk")
    async def fail(features):
        raise ValueError("jane.doe@example.org")

    (found,) = serve_and_disclose(monkeypatch, lambda given: list(stream(given)), {"prompt": "?"})
    assert found.output == ["to", "ken"]
    with pytest.raises(ValueError, match="jane"):
        asyncio.run(fail({"prompt": "?"}))
    record = reader.entry(reader.predictions(limit=1)[0]["entry"]).record
    assert (record["outcome"], record["error"]) == ("failed", "builtins.ValueError")
    assert "jane" not in str(record)


def test_each_task_has_the_ids_of_its_own_predictions(home, risk):
    @aff.serve("risk")
    async def predict(features):
        await asyncio.sleep(0.001)
        return features["income"]

    async def one(number):
        before = aff.prediction_ids()
        await predict({"income": number})
        return aff.prediction_ids()[len(before) :]

    async def main():
        await predict({"income": -1})
        return await asyncio.gather(*(one(number) for number in range(8)))

    found = asyncio.run(main())
    assert [len(ids) for ids in found] == [1] * 8
    assert len({ids[0] for ids in found}) == 8


def test_a_process_that_serves_for_long_does_not_keep_every_id():
    from affidavit._context import note_served

    for number in range(3000):
        note_served([str(number)])
    assert len(aff.prediction_ids()) <= 1001
    assert aff.prediction_ids()[-1] == "2999"


def test_disclosure_needs_a_role_and_is_itself_an_entry(home, risk, reader, monkeypatch):
    @aff.serve("risk")
    def predict(features):
        return 1

    predict({"income": 1})
    identifier = aff.prediction_ids()[-1]
    with pytest.raises(aff.PolicyDenied, match=r"access\.not_permitted"):
        aff.disclose_decision(identifier)
    assert reader.accesses() == []
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor, engineer")
    aff.disclose_decision(identifier)
    assert reader.accesses()[0]["object"] == identifier
    with pytest.raises(aff.AffidavitError, match="no background"):
        aff.explain_decision(identifier)
    with pytest.raises(aff.AffidavitError, match="There is no prediction"):
        aff.disclose_decision("0" * 32)


def test_a_served_decision_is_explained_as_the_model_decided(home, risk, loans, monkeypatch):
    aff.explain_model("risk", risk, loans[COLUMNS])

    @aff.serve("risk")
    def predict(features):
        whole = {"income": 0, "debt": 0, **features}
        return float(risk.decision_function(pd.DataFrame([whole]))[0])

    before = predict({"income": 55, "debt": 3})
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor,engineer")
    found = aff.explain_decision(aff.prediction_ids()[-1])
    assert found.output == pytest.approx(before, abs=1e-9)
    total = found.base_value + sum(reason["contribution"] for reason in found.reasons)
    assert total == pytest.approx(before, abs=1e-6)
    predict({"income": 55})
    with pytest.raises(aff.AffidavitError, match="without the feature 'debt'"):
        aff.explain_decision(aff.prediction_ids()[-1])


@pytest.mark.parametrize(
    "given",
    [
        {"income": 5, "name": "jane"},
        [{"income": 5, "name": "jane"}],
        pd.DataFrame({"income": [5], "name": ["jane"]}),
        pl.DataFrame({"income": [5], "name": ["jane"]}),
    ],
)
def test_obligations_on_served_features_are_met_in_every_form(home, risk, monkeypatch, given):
    oblige(monkeypatch, Obligation("mask", ("name",)))
    seen = []

    @aff.serve("risk")
    def predict(features):
        seen.append(features)
        return 1

    predict(given)
    assert "jane" not in str(seen)
    assert "[masked]" in str(seen)


def test_an_obligation_that_cannot_be_met_on_the_features_denies(home, risk, monkeypatch):
    oblige(monkeypatch, Obligation("mask", ("income",)))

    @aff.serve("risk")
    def predict(features):
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied, match=r"obligation\.unmet"):
        predict(Application(income=3))
    with pytest.raises(aff.PolicyDenied, match=r"obligation\.unmet"):
        predict({"other": 3})
