"""A denied call never runs, and the decision is in the ledger before an allowed one begins."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from pathlib import Path

import pandas as pd
import pytest
from spawned import FORBIDDEN, denied_in_a_process, spawned

import affidavit as aff


def test_a_denied_function_method_coroutine_or_generator_never_runs(home, tmp_path, reader):
    proof = tmp_path / "proof"

    @aff.train("risk", purpose=FORBIDDEN)
    def plain():
        proof.write_text("plain")

    class Model:
        @aff.train("risk", purpose=FORBIDDEN)
        def fit(self):
            proof.write_text("method")

    @aff.data("people", purpose=FORBIDDEN)
    def read():
        proof.write_text("read")

    @aff.data("people", purpose=FORBIDDEN)
    def stream():
        proof.write_text("stream")
        yield pd.DataFrame()

    @aff.train("risk", purpose=FORBIDDEN)
    async def coroutine():
        proof.write_text("coroutine")

    @aff.train("risk", purpose=FORBIDDEN)
    async def async_stream():
        proof.write_text("async stream")
        yield 1

    async def collect():
        return [item async for item in async_stream()]

    calls = (
        plain,
        Model().fit,
        read,
        lambda: list(stream()),
        lambda: asyncio.run(coroutine()),
        lambda: asyncio.run(collect()),
    )
    for number, call in enumerate(calls, 1):
        with pytest.raises(aff.PolicyDenied) as denied:
            call()
        assert denied.value.decision.deny[0].rule == "purpose.prohibited"
        assert reader.counts()["denial"] == number
    assert not proof.exists()
    assert reader.counts().get("run", 0) == 0


def test_a_denied_prediction_never_runs(risk, home, tmp_path):
    proof = tmp_path / "proof"

    @aff.serve("risk", purpose=FORBIDDEN)
    def predict(features):
        proof.write_text("it ran")

    before = aff.prediction_ids()
    with pytest.raises(aff.PolicyDenied, match="affidavit show"):
        predict({"income": 1})
    assert not proof.exists()
    assert aff.prediction_ids() == before


def test_a_denied_call_never_runs_in_threads(home, tmp_path, reader):
    outcomes = []

    @aff.train("risk", purpose=FORBIDDEN)
    def fit(number: int):
        (tmp_path / f"proof-{number}").write_text("it ran")

    def call(number: int):
        try:
            fit(number)
        except aff.PolicyDenied:
            outcomes.append(number)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == list(range(8))
    assert list(tmp_path.glob("proof-*")) == []
    assert reader.counts()["denial"] == 8


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_denied_call_never_runs_in_another_process(home, tmp_path, reader, method):
    proof = tmp_path / "proof"
    process = multiprocessing.get_context(method).Process(
        target=denied_in_a_process, args=(str(proof),)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 7
    assert not proof.exists()
    assert reader.counts()["denial"] == 1


def test_a_decorated_function_runs_in_a_spawned_pool_and_is_recorded(home, tmp_path, reader):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        done = pool.map(spawned, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert [Path(path).read_text() for path in done] == ["it ran", "it ran"]
    assert [row["name"] for row in reader.statements(kind="run")] == ["spawned", "spawned"]
    assert aff.verify_home(home).ok


def test_the_decision_is_in_the_ledger_before_the_first_line_runs(home, reader, risk, loans):
    seen = {}

    def note(kind):
        row = reader.decisions(limit=1)[0]
        seen[kind] = (row["entrypoint"], row["allow"])

    @aff.data("loans", purpose="research")
    def read():
        note("read")
        return loans

    @aff.train("risk")
    def fit():
        note("train")

    @aff.serve("risk")
    def predict(features):
        note("serve")
        return 1

    @aff.train("risk")
    async def later():
        note("async")

    read()
    fit()
    predict({"income": 1})
    asyncio.run(later())
    assert seen == {
        "read": ("affidavit/data_read", True),
        "train": ("affidavit/train", True),
        "serve": ("affidavit/serve", True),
        "async": ("affidavit/train", True),
    }


def test_observing_records_a_denial_and_lets_the_call_proceed(configure, home, reader):
    configure('[policy]\nmode = "observe"\n')

    @aff.train("risk", purpose=FORBIDDEN)
    def fit():
        return 5

    assert fit() == 5
    row = reader.decisions(limit=1)[0]
    record = reader.entry(row["entry"]).record
    assert (record["result"]["allow"], record["custom"]["mode"]) == (False, "observe")
    assert record["result"]["deny"][0]["rule"] == "purpose.prohibited"
    run = reader.statement(reader.newest("run")).predicate["urn:affidavit:run:v1"]
    assert run["decision"] == row["id"]


def test_an_engine_that_does_not_answer_denies_and_the_record_says_so(configure, home, reader):
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')

    @aff.train("risk")
    def fit():
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied):
        fit()
    record = reader.entry(reader.decisions(limit=1)[0]["entry"]).record
    assert record["result"]["deny"][0]["rule"].startswith("engine.")


def test_a_person_without_a_role_in_the_table_has_the_default_one_only(configure, home, risk):
    configure('[people]\n"engineer@example.org" = ["service"]\n')

    @aff.train("risk")
    def fit():
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied, match=r"access\.not_permitted"):
        fit()


def test_an_unknown_model_is_named_and_nothing_runs(home):
    @aff.serve("nobody@production")
    def predict(features):
        raise AssertionError("it ran")

    with pytest.raises(aff.AffidavitError, match="nobody"):
        predict({})
    with pytest.raises(aff.AffidavitError, match="none yet"):
        aff.load("nobody")
