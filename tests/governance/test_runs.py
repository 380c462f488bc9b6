"""What a run says of itself: parameters without secrets, inputs, outputs, metrics."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit.lineage import dump_json


class Colour(enum.Enum):
    RED = "red"


def provenance(reader) -> dict:
    return reader.statement(reader.newest("run")).predicate


def parameters(reader) -> dict:
    return provenance(reader)["buildDefinition"]["externalParameters"]["parameters"]


def test_parameters_are_recorded_as_what_they_are(home, reader):
    @aff.train("risk")
    def fit(**options):
        return None

    fit(
        rate=np.float32(0.5),
        rounds=np.int64(7),
        fast=np.bool_(True),
        nothing=None,
        undefined=float("nan"),
        endless=np.float64("inf"),
        huge=10**40,
        day=dt.date(2026, 11, 21),
        price=decimal.Decimal("1.10"),
        colour=Colour.RED,
        text="x" * 2000,
        half="\ud800",
        layers=[1, [2, float("nan")]],
        nested={"depth": {"a": 1}},
        thing=object(),
    )
    found = parameters(reader)
    assert found["rate"] == 0.5
    assert (found["rounds"], found["fast"], found["nothing"]) == (7, True, None)
    assert (found["undefined"], found["endless"]) == ("nan", "inf")
    assert int(found["huge"], 16) == 10**40
    assert (found["day"], found["price"], found["colour"]) == ("2026-11-21", "1.10", "red")
    assert found["text"] == "x" * 500 + "…"
    assert found["half"] == "\\ud800"
    assert found["layers"] == [1, [2, "nan"]]
    assert found["nested"] == {"depth": {"a": 1}}
    assert found["thing"] == "<builtins.object>"
    assert provenance(reader)["buildDefinition"]["resolvedDependencies"] == []


@pytest.mark.parametrize(
    "name",
    ["password", "api_key", "apikey", "ACCESS_TOKEN", "client_secret", "pwd", "private_key"],
)
def test_a_parameter_that_is_named_like_a_secret_is_not_recorded(home, reader, name):
    @aff.train("risk")
    def fit(**options):
        return None

    fit(**{name: "hunter2-hunter2"}, nested={name: "hunter2-hunter2"}, args=[{name: "hunter2-"}])
    entry = reader.entry(reader.newest("run"))
    assert b"hunter2" not in entry.envelope.payload
    assert name.encode() in entry.envelope.payload


def test_a_password_inside_a_url_is_not_recorded(home, reader):
    @aff.train("risk")
    def fit(source: str):
        return None

    fit("postgresql://jane:hunter2@db.example.org/loans")
    assert parameters(reader)["source"] == "postgresql://(not recorded)@db.example.org/loans"


def test_huge_lists_are_recorded_by_digest_and_do_not_fill_the_entry(home, reader):
    @aff.train("risk")
    def fit(ids: list[int], grid: list[list[int]]):
        return None

    fit(list(range(100_000)), [[row * 1000 + n for n in range(100)] for row in range(100)])
    inputs = provenance(reader)["buildDefinition"]["resolvedDependencies"]
    assert [item["name"] for item in inputs] == ["ids"]
    assert inputs[0]["annotations"]["recipe"] == "json-v1"
    assert parameters(reader)["grid"].keys() == {"type", "bytes", "sha256"}
    assert len(home.ledger.entry(reader.newest("run"))) < 64 * 1024


def test_arguments_that_hold_data_are_inputs(home, reader, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("a\n1\n")

    @aff.train("risk")
    def fit(frame, matrix, path, missing):
        return None

    fit(pd.DataFrame({"a": [1]}), np.eye(2), file, tmp_path / "missing")
    inputs = provenance(reader)["buildDefinition"]["resolvedDependencies"]
    assert [item["name"] for item in inputs] == ["frame", "matrix", "path"]
    assert parameters(reader)["missing"].startswith("<pathlib.")


def test_returned_numbers_are_metrics_and_returned_models_are_kept(home, reader, loans):
    @aff.train("risk")
    def fit():
        model = LogisticRegression().fit(loans[["income"]], loans["granted"])
        return {"model": model, "auc": np.float32(0.5), "epochs": 3, "done": True, "note": "x"}

    fit()
    ours = provenance(reader)["urn:affidavit:run:v1"]
    assert ours["metrics"] == {"auc": 0.5, "epochs": 3.0}
    assert aff.load("risk").n_features_in_ == 1


def test_a_model_that_cannot_be_pickled_is_recorded_with_a_warning(home, reader, loans):
    @aff.train("risk")
    def fit():
        model = LogisticRegression().fit(loans[["income"]], loans["granted"])
        model.callback = lambda: None
        return model

    with pytest.warns(UserWarning, match="Recorded in part"):
        fit()
    subjects = reader.statement(reader.newest("run")).subjects
    assert [subject.name for subject in subjects] == ["risk"]
    with pytest.raises(aff.AffidavitError, match="No completed run"):
        aff.load("risk")


def test_a_run_without_a_decorator_records_what_it_is_told(home, reader, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"weights")
    with aff.run("retrain", purpose="research") as run:
        run.use(pd.DataFrame({"a": [1]}), name="applications")
        run.use(pd.DataFrame({"a": [1]}), name="again")
        made = run.produce(file)
        run.metric("auc", 0.87)
        run.parameter("depth", 3)
    statement = reader.statement(reader.newest("run"))
    definition = statement.predicate["buildDefinition"]
    assert [item["name"] for item in definition["resolvedDependencies"]] == ["applications"]
    assert statement.subjects == (made,)
    assert made.name == "model.onnx"
    assert statement.predicate["urn:affidavit:run:v1"]["metrics"] == {"auc": 0.87}
    with pytest.raises(aff.AffidavitError, match="not a finite number"), aff.run("r") as run:
        run.metric("auc", float("inf"))
    assert provenance(reader)["urn:affidavit:run:v1"]["status"] == "failed"


def test_a_run_that_ends_in_another_context_leaves_none_behind(home, reader):
    import contextvars

    manager = aff.run("crossing")
    contextvars.copy_context().run(manager.__enter__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager.__exit__(None, None, None)
    with aff.run("after"):
        pass
    assert provenance(reader)["urn:affidavit:run:v1"]["parent"] == ""


def test_provenance_has_the_members_that_slsa_wants(home, reader, risk):
    found = provenance(reader)
    definition, details = found["buildDefinition"], found["runDetails"]
    assert definition["buildType"].startswith("urn:")
    assert definition["externalParameters"]["name"] == "risk"
    assert details["builder"]["id"].startswith("urn:")
    assert details["metadata"]["invocationId"]
    code = definition["internalParameters"]["code"]
    assert code["source"]["recipe"] == "function-source-v1"
    assert dump_json(found)


def test_no_path_of_this_machine_stands_in_the_ledger(home, risk, tmp_path):
    for _, body in home.ledger.entries():
        assert str(tmp_path).encode() not in body
        assert str(Path.cwd()).encode() not in body
