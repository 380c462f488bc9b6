"""A denied call never ran: every kind of function, every hook, every reason for a denial.

Each function would write a file when it runs. There is none.
"""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from obliging import oblige
from proofs import HOOKS, calls, denials
from spawned import FORBIDDEN

import affidavit as aff
from affidavit.policies import Obligation

PERMITTED = "credit-scoring"
MOST = 120


@pytest.fixture
def proof(tmp_path):
    return tmp_path / "proof"


def test_every_kind_of_call_runs_where_it_is_allowed(home, risk, proof):
    """The file that the other tests do not find is written by each of these calls."""
    for hook in HOOKS:
        for kind, call in calls(hook, PERMITTED, proof).items():
            proof.unlink(missing_ok=True)
            call()
            assert proof.exists(), (hook, kind)


def test_a_denial_by_a_rule_runs_nothing_and_is_recorded(home, risk, proof, reader, tmp_path):
    found = denials(str(tmp_path), FORBIDDEN)
    assert set(found.values()) == {"purpose.prohibited"}, found
    assert not proof.exists()
    # Three coroutines began at once; each has its own decision.
    assert reader.counts()["denial"] == len(found) + 2 * len(HOOKS)
    assert reader.counts().get("dataset", 0) == 0


@pytest.mark.usefixtures("risk")
def test_a_denial_by_an_engine_that_is_down_runs_nothing(proof, reader, tmp_path, configure):
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')
    found = denials(str(tmp_path), PERMITTED)
    assert set(found.values()) == {"engine.unreachable"}, found
    assert not proof.exists()
    assert reader.counts()["denial"] == len(found) + 2 * len(HOOKS)


@pytest.mark.parametrize(
    "obligation",
    [Obligation("require_approval"), Obligation("require_approval", ("a",)), Obligation("pray")],
    ids=["unmet", "malformed", "unknown"],
)
@pytest.mark.usefixtures("risk")
def test_a_denial_by_an_obligation_runs_nothing(proof, tmp_path, monkeypatch, obligation):
    oblige(monkeypatch, obligation)
    found = denials(str(tmp_path), PERMITTED)
    assert not proof.exists(), found
    assert set(found.values()) == {"obligation.unmet"}, found


@pytest.mark.parametrize("what", ["log key", "store"])
@pytest.mark.usefixtures("risk")
def test_a_decision_that_cannot_be_recorded_runs_nothing(home, proof, configure, what, monkeypatch):
    configure('[affidavit]\ndurability = "log"\n')
    if what == "log key":
        (home.folder / "keys" / "log.pem").unlink()
        home.__dict__.pop("ledger", None)
    else:

        def full(*_, **__):
            raise aff.AffidavitError("the disk is full")

        monkeypatch.setattr(type(home.ledger), "append", full)
        monkeypatch.setattr(type(home.ledger), "append_many", full, raising=False)
        monkeypatch.setattr(type(home), "record", full, raising=False)
    for hook in HOOKS:
        for kind, call in calls(hook, PERMITTED, proof).items():
            with pytest.raises(aff.AffidavitError):
                call()
            assert not proof.exists(), (hook, kind)


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_a_denied_call_runs_in_no_thread(home, risk, proof, reader, hook):
    gate = threading.Barrier(8)
    table = calls(hook, FORBIDDEN, proof)

    def work(_):
        gate.wait(30)
        count = 0
        for call in table.values():
            with pytest.raises(aff.PolicyDenied):
                call()
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(work, range(8)))
    assert done == 8 * len(table)
    assert not proof.exists()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.usefixtures("risk")
def test_a_denied_call_runs_in_no_other_process(proof, tmp_path, method, reader):
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(denials, [(str(tmp_path), FORBIDDEN)] * 2)
    for one in found:
        assert set(one.values()) == {"purpose.prohibited"}, one
    assert not proof.exists()
    assert reader.counts()["denial"] == 2 * (len(found[0]) + 2 * len(HOOKS))


def test_a_denied_block_runs_nothing_and_leaves_no_run(home, proof, reader):
    with pytest.raises(aff.PolicyDenied), aff.run("retrain", purpose=FORBIDDEN):
        proof.write_text("it ran")
    assert not proof.exists()
    assert reader.counts()["denial"] == 1
    assert reader.counts().get("run", 0) == 0


class Telling:
    """A model that says so when it is deserialised."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def predict(self, rows: object) -> list[int]:
        return [0]

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.path.write_text("it was deserialised")


def test_a_denied_load_deserialises_nothing(home, proof, configure, reader):
    @aff.train("telling")
    def fit():
        return Telling(proof)

    fit()
    assert not proof.exists()
    configure('[affidavit]\nenvironment = "production"\n')
    with pytest.raises(aff.PolicyDenied, match=r"serving\.not_promoted"):
        aff.load("telling")
    assert not proof.exists()
    configure("")
    aff.load("telling")
    assert proof.exists()


@pytest.mark.usefixtures("risk")
def test_observing_runs_everything_and_records_every_denial(proof, reader, tmp_path, configure):
    configure('[policy]\nmode = "observe"\n')
    found = denials(str(tmp_path), FORBIDDEN)
    assert set(found.values()) == {"it ran"}, found
    written = proof.read_text().splitlines()
    assert len(written) == len(found) + 2 * len(HOOKS)
    for row in reader.decisions(limit=MOST)[: len(found)]:
        record = reader.entry(row["entry"]).record
        if record["resource"] in {"people", "risk"}:
            assert (record["allow"], record["mode"]) == (False, "observe")
    with aff.run("retrain", purpose=FORBIDDEN):
        proof.write_text("the block ran")
    assert proof.read_text() == "the block ran"
    assert reader.counts()["denial"] >= len(found)


def test_a_call_that_was_denied_may_be_made_again_once_it_is_allowed(home, risk, proof, configure):
    @aff.serve("risk")
    def predict(row):
        proof.write_text("it ran")
        return 1

    configure('[affidavit]\nenvironment = "production"\n')
    with pytest.raises(aff.PolicyDenied, match=r"serving\.not_promoted"):
        predict({"n": 1})
    assert not proof.exists()
    configure("")
    threading.Event().wait(0.05)  # a served function looks for other settings after 10 ms
    assert predict({"n": 1}) == 1
    assert proof.exists()
