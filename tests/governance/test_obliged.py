"""Obligations around calls: features, other arguments, outputs, training, loading, disclosure."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from obliging import oblige
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit.policies import Obligation

DROP = Obligation("drop", ("phone",))
MASK = Obligation("mask", ("note",))
PSEUDONYM = Obligation("pseudonymise", ("person",), {"key": "default"})
BAND = Obligation("generalise", ("age",), {"width": 10})
ALL = (DROP, MASK, PSEUDONYM, BAND)
ROW = {"phone": "+49 30 1234", "note": "owes", "person": "jane", "age": 37, "income": 5}
SECRETS = ("+49 30 1234", "owes", "jane")


def served_features(monkeypatch):
    """What the log keeps of the newest prediction."""
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    found = aff.disclose_decision(aff.prediction_ids()[-1])
    monkeypatch.delenv("AFFIDAVIT_ROLES")
    return found


@pytest.mark.parametrize("form", ["mapping", "pandas", "polars"])
def test_an_output_that_repeats_features_is_met_and_recorded_as_it_was_handed_out(
    home, risk, monkeypatch, form
):
    oblige(monkeypatch, *ALL, only=("affidavit/serve",))

    @aff.serve("risk")
    def predict(features):
        # What the features no longer have comes from elsewhere, as a look-up would bring it.
        if isinstance(features, dict):
            return {**ROW, "person": features["person"], "score": 0.5}
        person = list(features["person"])
        table = {**{k: [v] for k, v in ROW.items()}, "person": person, "score": [0.5]}
        return pd.DataFrame(table) if form == "pandas" else pl.DataFrame(table)

    make = {"mapping": dict, "pandas": pd.DataFrame, "polars": pl.DataFrame}[form]
    given = make(ROW if form == "mapping" else {k: [v] for k, v in ROW.items()})
    got = predict(given)
    row = got if form == "mapping" else got.to_dict("list") if form == "pandas" else got.to_dict()
    row = row if form == "mapping" else {key: next(iter(values)) for key, values in row.items()}
    assert "phone" not in row
    assert (row["note"], row["age"], row["score"]) == ("[masked]", 30, 0.5)
    assert len(row["person"]) == 64
    kept = served_features(monkeypatch)
    assert kept.features["person"] == row["person"], "a pseudonym is not made a pseudonym of"
    assert not any(secret in str((kept.features, kept.output)) for secret in SECRETS)


def test_an_original_that_an_output_brings_becomes_the_same_pseudonym(home, risk, monkeypatch):
    oblige(monkeypatch, PSEUDONYM, only=("affidavit/serve",))

    @aff.serve("risk")
    def look_up(features):
        return [{"person": "jane"}, ({"person": features["person"]}, 1)]

    first, (second, _) = look_up({"person": "jane"})
    assert first == second
    assert len(first["person"]) == 64


class Named(NamedTuple):
    phone: str


class Modelled(BaseModel):
    phone: str


@dataclasses.dataclass
class Held:
    inside: dict


@pytest.mark.parametrize(
    "output",
    [
        {"deep": {"phone": "1"}},
        {"PHONE ": "1"},
        [{"a": [{"phone": "1"}]}],
        Named("1"),
        Modelled(phone="1"),
        Held({"phone": "1"}),
        pd.Series({"phone": "1"}),
        pd.Series(["1"], name="phone"),
        pd.DataFrame({"x": [1]}, index=pd.Index(["1"], name="Phone")).assign(phone=["1"]),
        pd.DataFrame({"Phone": ["1"]}),
        pl.DataFrame({"s": [{"phone": "1"}], "phone": ["1"]}),
        pl.DataFrame({"s": [{"phone": "1"}]}),
        pd.DataFrame({"x": [1]}, index=pd.Index(["1"], name="phone")),
        pl.LazyFrame({"phone": ["1"]}),
        pd.DataFrame([["1", "2"]], columns=["phone", "phone"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Determining the column names")
def test_an_output_on_which_an_obligation_cannot_be_met_is_not_handed_out(
    home, risk, monkeypatch, output, reader
):
    oblige(monkeypatch, DROP, only=("affidavit/serve",))

    @aff.serve("risk")
    def predict(features):
        return output

    with pytest.raises(aff.PolicyDenied, match=r"obligation\.unmet"):
        predict({"income": 5})
    kept = served_features(monkeypatch)
    assert (kept.record["outcome"], kept.output) == ("refused", None)


@pytest.mark.parametrize("output", [0.5, None, "text", np.array([0.5]), [0.5], pd.Series([0.5])])
def test_an_output_without_names_is_handed_out_as_it_is(home, risk, monkeypatch, output):
    oblige(monkeypatch, *ALL[:1], only=("affidavit/serve",))

    @aff.serve("risk")
    def predict(features):
        return output

    assert predict({"income": 5}) is output or predict({"income": 5}) == output


def test_each_part_of_a_stream_is_met_or_ends_it(home, risk, monkeypatch):
    oblige(monkeypatch, DROP, only=("affidavit/serve",))

    @aff.serve("risk")
    def parts(features):
        yield {"phone": "1", "n": 1}
        yield {"deep": {"phone": "1"}}
        raise AssertionError("it went on")

    @aff.serve("risk")
    async def later(features):
        yield {"phone": "1", "n": 1}

    running = parts({"income": 5})
    assert next(running) == {"n": 1}
    before = len(aff.prediction_ids())
    with pytest.raises(aff.PolicyDenied):
        next(running)
    assert len(aff.prediction_ids()) == before + 1
    assert served_features(monkeypatch).record["outcome"] == "refused"

    async def collect():
        return [item async for item in later({"income": 5})]

    assert asyncio.run(collect()) == [{"n": 1}]


@pytest.mark.parametrize(
    "context",
    [
        {"phone": "1"},
        [{"x": {"Phone": "1"}}],
        pd.DataFrame({"phone": ["1"]}),
        pl.DataFrame({"s": ["1"], "PHONE": ["1"]}),
        pd.Series(["1"], name="phone"),
        Modelled(phone="1"),
        Held({"phone": "1"}),
    ],
)
def test_a_bound_column_that_comes_by_another_argument_is_refused(home, risk, monkeypatch, context):
    oblige(monkeypatch, DROP, only=("affidavit/serve",))
    ran = []

    @aff.serve("risk")
    def predict(features, context=None):
        ran.append(context)
        return 1

    @aff.serve("risk")
    def by_name(features, phone=None):
        raise AssertionError("it ran")

    for call in (lambda: predict({"income": 5}, context), lambda: by_name({"income": 5}, "1")):
        with pytest.raises(aff.PolicyDenied, match="no obligation reaches"):
            call()
    assert predict({"income": 5}, {"n": 1}) == 1
    assert ran == [{"n": 1}]


def test_a_served_batch_loses_rows_and_a_single_record_is_denied(home, risk, monkeypatch):
    keep = Obligation("keep_rows", ("consent",), {"values": ["yes"]})
    cells = Obligation("suppress_small_cells", ("age",), {"k": 2, "max_share": 0.5})
    oblige(monkeypatch, keep, cells, BAND, only=("affidavit/serve",))
    ran = []

    @aff.serve("risk")
    def predict(features):
        ran.append(features)
        return [1] * len(features)

    batch = [{"consent": c, "age": a} for c, a in [("yes", 31), ("yes", 38), ("no", 33)]]
    assert predict(batch) == [1, 1]
    assert predict(pd.DataFrame(batch)) == [1, 1]
    with pytest.raises(aff.PolicyDenied, match="single record cannot have 2 alike"):
        predict(batch[0])
    assert len(ran) == 2
    limit = Obligation("limit_rows", (), {"rows": 1})
    oblige(monkeypatch, limit, only=("affidavit/serve",))
    served = aff.serve("risk")(lambda features: [0] * len(features))
    assert served(batch) == [0]


def test_a_refused_call_is_recorded_without_its_features(home, risk, monkeypatch):
    oblige(monkeypatch, Obligation("generalise", ("note",), {"width": 10}))

    @aff.serve("risk")
    def predict(features):
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied, match="cannot be put into bands"):
        predict({"note": "owes money"})
    oblige(monkeypatch)
    kept = served_features(monkeypatch)
    assert kept.record["outcome"] == "refused"
    assert kept.record["error"] == "affidavit.errors.ObligationError"
    assert (kept.features, kept.output) == ({}, None)


def test_observing_lets_an_unmet_obligation_pass_and_says_so(
    configure, home, risk, monkeypatch, reader
):
    configure('[policy]\nmode = "observe"\n')
    oblige(monkeypatch, Obligation("generalise", ("note",), {"width": 10}))
    row = {"note": "owes money"}

    @aff.serve("risk")
    def predict(features):
        return features["note"]

    @aff.data("loans", purpose="research")
    def read():
        return pd.DataFrame([row])

    @aff.train("risk")
    def fit(frame):
        return frame["note"][0]

    assert predict(row) == "owes money"
    assert read()["note"].tolist() == ["owes money"]
    assert fit(pd.DataFrame([row])) == "owes money"
    statement = reader.statement(reader.newest("dataset"))
    assert "cannot be put into bands" in statement.predicate["unmet"]
    assert statement.predicate["obligations"] == []
    oblige(monkeypatch)
    assert "cannot be put into bands" in served_features(monkeypatch).record["unmet"]


def test_where_an_approval_is_required_the_call_waits_for_it(home, risk, monkeypatch, cli):
    oblige(monkeypatch, Obligation("require_approval"))

    @aff.serve("risk")
    def predict(features):
        return 1

    with pytest.raises(aff.PolicyDenied, match="none stands by anyone who had no part"):
        predict({"income": 5})
    with pytest.raises(aff.PolicyDenied, match="none stands"):
        aff.load("risk")
    assert cli("keys", "add", "reviewer@example.org")[0] == 0
    assert cli("approve", "risk", "--as", "reviewer@example.org")[0] == 0
    assert predict({"income": 5}) == 1
    assert aff.load("risk").coef_.shape == (1, 2)
    assert cli("approve", "risk", "--as", "reviewer@example.org", "--withdraw")[0] == 0
    with pytest.raises(aff.PolicyDenied, match="none stands"):
        predict({"income": 5})


def test_what_cannot_be_approved_yet_is_denied_where_an_approval_is_required(
    home, monkeypatch, loans
):
    oblige(monkeypatch, Obligation("require_approval"))

    @aff.data("loans", purpose="research")
    def read():
        raise AssertionError("it ran")

    @aff.train("risk")
    def fit():
        raise AssertionError("it ran")

    for call in (read, fit, lambda: aff.run("retrain").__enter__()):
        with pytest.raises(aff.PolicyDenied, match="has none yet"):
            call()


def test_flags_for_the_caller_are_in_the_decision_and_change_nothing(
    home, risk, monkeypatch, reader
):
    oblige(monkeypatch, Obligation("explain"), Obligation("log_full"))

    @aff.serve("risk")
    def predict(features):
        return 1

    for given in ({"income": 5}, "text", np.array([1.0])):
        assert predict(given) == 1
    record = reader.entry(reader.decisions(limit=1)[0]["entry"]).record
    kinds = [item["kind"] for item in record["decision"]["obligations"]]
    assert kinds == ["explain", "log_full"]


def test_training_gets_frames_on_which_the_obligations_hold(home, monkeypatch, loans):
    oblige(
        monkeypatch,
        Obligation("generalise", ("income",), {"width": 50}),
        Obligation("exclude_as_feature", ("sex",)),
        only=("affidavit/train",),
    )
    seen = []

    @aff.train("risk")
    def fit(frame, other, depth: int = 3):
        seen.append((frame, other))
        return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

    fit(loans, pl.DataFrame({"debt": [1]}))
    assert set(seen[0][0]["income"]) <= {0, 50}
    assert len(set(loans["income"])) > 2, "the caller's own frame is not changed"


@pytest.mark.parametrize(
    ("obligation", "arguments", "why"),
    [
        (DROP, {"frame": np.ones((2, 2))}, "on which no obligation can be checked"),
        (DROP, {"frame": {"deep": {"phone": 1}}}, "no obligation reaches"),
        (DROP, {"phone": 3}, "no obligation reaches"),
        (DROP, {"frame": pd.DataFrame({"Phone": [1]})}, "no obligation reaches"),
        (DROP, {"frame": pl.LazyFrame({"x": [1]})}, "whose rows nobody has seen"),
        (
            Obligation("limit_rows", (), {"rows": 1}),
            {"frame": pd.DataFrame({"x": [1]}), "phone": pd.DataFrame({"y": [1]})},
            "takes 2 data frames",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Determining the column names")
def test_training_on_what_no_obligation_reaches_is_denied(
    home, monkeypatch, obligation, arguments, why
):
    oblige(monkeypatch, obligation, only=("affidavit/train",))

    @aff.train("risk")
    def fit(frame=None, phone=None):
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied, match=why):
        fit(**arguments)


def test_loading_and_blocks_of_code_have_no_data_to_meet_obligations_on(home, risk, monkeypatch):
    oblige(monkeypatch, DROP)
    with pytest.raises(aff.PolicyDenied, match="a model that is loaded"):
        aff.load("risk")
    with pytest.raises(aff.PolicyDenied, match="whose data no hook sees"), aff.run("retrain"):
        raise AssertionError("it ran")


def test_a_disclosure_shows_declared_columns_as_the_policy_lets_them_be_seen(
    risk, monkeypatch, configure, cli, tmp_path
):
    configure('[datasets.people.columns]\nphone = ["contact"]\nage = ["quasi_identifier"]\n')

    @aff.serve("risk")
    def predict(features):
        return {"phone": features["phone"], "score": 1}

    predict({"phone": "+49 30 1234", "age": 37, "income": 5})
    shown = served_features(monkeypatch)
    assert shown.features == {"age": 37, "income": 5}, "a contact is dropped, an age is not"
    assert shown.output == {"score": 1}
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    archive = tmp_path / "evidence.zip"
    assert cli("bundle", shown.id, "--disclose", "-o", archive)[0] == 0
    import zipfile

    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.startswith("disclosed/")]
        text = b"".join(opened.read(name) for name in names)
    assert names
    assert b"1234" not in text
