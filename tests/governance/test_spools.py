"""Served records go through spools: nothing is lost, and readers see what was acknowledged."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import pytest
from typer.testing import CliRunner

import affidavit as aff
from affidavit import _spools
from affidavit._drainer import drain_until_idle
from affidavit._erase import erase
from affidavit._spools import spools_of
from affidavit.cli import app
from affidavit.errors import LedgerUnavailableError
from affidavit.lineage import SPOOL_PAGE, Ledger, list_segments, parse_entry

CLI = CliRunner()


@pytest.fixture(autouse=True)
def _both(monkeypatch, home):
    """Whoever runs these tests serves and discloses."""
    monkeypatch.setenv("AFFIDAVIT_ROLES", "engineer,auditor")


def served(**options):
    @aff.serve("risk", **options)
    def predict(features):
        return features["income"] > 3

    return predict


def records(home, kind="prediction"):
    found = []
    for _, body in home.ledger.entries():
        parsed = parse_entry(body)
        if isinstance(parsed, dict) and parsed["record"] == kind:
            found.append(parsed)
    return found


def durability(monkeypatch, tmp_path, text):
    path = tmp_path / "affidavit.toml"
    path.write_text(f"[affidavit]\n{text}\n", "utf-8")
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(path))


def test_a_served_record_waits_in_a_spool_and_a_reader_finds_it_in_the_log(home, risk, reader):
    before = home.ledger.head().size
    served()({"income": 5})
    # Only the writer's opening is in the log as yet.
    assert home.ledger.head().size == before + 1
    assert spools_of(home).waiting()
    (row,) = reader.predictions()
    assert [row["id"]] == aff.prediction_ids()[-1:]
    (record,) = records(home)
    assert record["number"] == 1
    assert records(home, "decision")[-1]["number"] == 0
    assert not spools_of(home).waiting()
    report = aff.verify_home(home)
    assert report.ok
    assert report.unclosed[0].outcome == "open"


def serving(folder, what):
    """Write a script that serves, and then does what it is told."""
    script = folder / "serve.py"
    begin = """
        import affidavit as aff

        @aff.serve("risk")
        def predict(features):
            return 1
    """
    script.write_text(textwrap.dedent(begin) + textwrap.dedent(what), "utf-8")
    return script


@pytest.mark.parametrize("level", ["process", "disk", "log"])
def test_each_durability_records_the_same(home, risk, monkeypatch, tmp_path, level):
    durability(monkeypatch, tmp_path, f'durability = "{level}"')
    before = home.ledger.head().size
    served(subject="person")({"income": 5, "person": "jane"})
    if level == "log":
        assert home.ledger.head().size == before + 2
        assert not list_segments(spools_of(home).folder)
    decision = aff.disclose_decision(aff.prediction_ids()[-1])
    assert decision.features == {"income": 5, "person": "jane"}
    assert decision.output is True
    assert set(decision.record) - {"writer", "number"} == {
        "record", "id", "time", "model", "version", "model_digest", "actor", "purpose",
        "decision", "outcome", "fields",
    }  # fmt: skip
    assert aff.verify_home(home).ok


@pytest.mark.parametrize(
    "features",
    [
        {"income": 5, "text": "half \ud800 of a pair", "none": None, "flag": True},
        {"income": 5, "nan": float("nan"), "inf": float("inf"), "nested": {"a": [1, (2, 3)]}},
        {"income": 5, 7: "a key that is no text", "big": 2**80, "quote": 'a"b\\c\n\u2028é'},
        {"income": 5.5, **{f"f{n}": n for n in range(1200)}},
    ],
)
def test_both_ways_into_the_log_keep_the_same_features(home, risk, monkeypatch, tmp_path, features):
    predict = served()
    kept = []
    for level in ("process", "log"):
        durability(monkeypatch, tmp_path, f'durability = "{level}"')
        predict(features)
        kept.append(aff.disclose_decision(aff.prediction_ids()[-1]).features)
    assert kept[0] == kept[1]
    assert set(kept[0]) == {str(name) for name in features}


def test_a_process_that_ends_closes_its_spool_and_drains(home, risk, tmp_path):
    script = serving(
        tmp_path,
        """
        for _ in range(20):
            predict({"income": 1})
        """,
    )
    subprocess.run([sys.executable, script], check=True)
    assert len(records(home)) == 20
    report = aff.verify_home(home)
    assert report.ok
    assert (report.writers, report.unclosed) == (1, ())
    assert not list_segments(home.folder / "spool")


def _serve_some(count):
    predict = served()
    for _ in range(count):
        predict({"income": 1})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pool_workers_have_spools_of_their_own(home, risk, method):
    served()({"income": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        work = [
            multiprocessing.get_context(method).Process(target=_serve_some, args=(10,))
            for _ in range(3)
        ]
        for process in work:
            process.start()
    for process in work:
        process.join()
    assert aff.Reader(home).count_predictions("risk") == 31
    report = aff.verify_home(home)
    assert report.ok
    assert report.writers == 4


def test_a_drainer_process_starts_by_itself_and_goes_when_idle(home, risk, monkeypatch):
    monkeypatch.setattr(_spools, "DELAY_SECONDS", 0.05)
    before = home.ledger.head().size
    served()({"income": 1})
    until = time.monotonic() + 30
    while home.ledger.head().size < before + 3:
        assert time.monotonic() < until
        time.sleep(0.05)
    (drainer,) = spools_of(home)._drainers
    drainer.terminate()
    drainer.wait()
    assert aff.verify_home(home).ok
    assert not (home.folder / "spool" / "drainer.log").read_text("utf-8")


def test_a_drainer_that_follows_goes_when_nothing_comes(home, risk):
    served()({"income": 1})
    assert drain_until_idle(home, idle=0.3) == 2


def test_drain_says_what_is_missing_and_verify_says_it_too(home, risk):
    predict = served()
    for _ in range(3):
        predict({"income": 1})
    aff.Reader(home).counts()
    predict({"income": 1})
    spool = next(iter(spools_of(home)._spools.values()))
    writer = spool.writer
    next((home.folder / "spool").glob("*.spool")).unlink()
    spool._release()
    found = CLI.invoke(app, ["verify", "--json"])
    assert found.exit_code == 1
    assert [e["code"] for e in json.loads(found.stdout)["errors"]] == ["spool-missing"]
    drained = CLI.invoke(app, ["drain", "--json"])
    assert drained.exit_code == 1
    (missing,) = json.loads(drained.stdout)["missing"]
    assert (missing["writer"], missing["first"], missing["last"]) == (writer, 6, None)
    assert CLI.invoke(app, ["drain"]).exit_code == 0
    verified = CLI.invoke(app, ["verify"])
    assert verified.exit_code == 0
    assert "numbers from 6 on" in " ".join(verified.stdout.split())
    assert CLI.invoke(app, ["verify", "--complete"]).exit_code == 1


def test_an_erasure_takes_in_what_waits_and_leaves_nothing_of_it_in_the_spool(home, risk):
    predict = served(subject="person")
    predict({"income": 4, "person": "jane"})
    done = erase(home, aff.load_settings(), "jane")
    assert done.payloads == 1
    (path,) = (home.folder / "spool").glob("*.spool")
    assert set(path.read_bytes()[SPOOL_PAGE:]) == {0}
    predict({"income": 5, "person": "joe"})
    assert aff.Reader(home).count_predictions("risk") == 2
    assert home.ledger.subject_keys([home.vault.pseudonym("jane")]) == {}
    assert aff.verify_home(home).ok


def test_an_erasure_destroys_damaged_spools_for_they_may_hold_anything(home, risk):
    predict = served(subject="person")
    predict({"income": 4, "person": "jane"})
    (spools_of(home).folder / f"{'ab' * 16}-000000.damaged").write_bytes(b"x" * 9000)
    erase(home, aff.load_settings(), "jane")
    assert not list((home.folder / "spool").glob("*.damaged"))


def _no_opening(monkeypatch):
    def refuse(*_, **__):
        raise LedgerUnavailableError("The disk is full.")

    monkeypatch.setattr(_spools, "open_writer", refuse)


def test_a_log_that_takes_nothing_blocks_the_first_call(home, risk, monkeypatch):
    _no_opening(monkeypatch)
    ran = []

    @aff.serve("risk")
    def predict(features):
        ran.append(features)

    with pytest.raises(LedgerUnavailableError, match="full"):
        predict({"income": 1})
    assert ran == []


def test_on_error_spool_goes_on_and_the_log_hears_of_it_later(
    home, risk, monkeypatch, tmp_path, reader
):
    durability(monkeypatch, tmp_path, 'on_error = "spool"')
    with monkeypatch.context() as patched:
        _no_opening(patched)
        served()({"income": 1})
    assert len(reader.predictions()) == 1
    opened = records(home, "writer")[0]
    assert (opened["event"], opened["late"]) == ("opened", True)
    assert aff.verify_home(home).ok


def test_on_error_warn_notes_a_gap_for_what_could_not_be_spooled(home, risk, monkeypatch, tmp_path):
    durability(monkeypatch, tmp_path, 'on_error = "warn"')
    with monkeypatch.context() as patched:
        _no_opening(patched)
        with pytest.warns(aff.EvidenceGapWarning):
            served()({"income": 1})
    served()({"income": 1})
    assert aff.Reader(home).counts()["gap"] == 2
    report = aff.verify_home(home)
    assert report.ok
    assert sum(gap.entries or 0 for gap in report.gaps) == 2


def test_a_reader_without_the_log_still_reads_what_is_in_it(home, risk, monkeypatch):
    served()({"income": 1})

    def refuse(self):
        raise LedgerUnavailableError("The disk is full.")

    monkeypatch.setattr(Ledger, "transaction", refuse)
    with pytest.warns(UserWarning, match="Not yet in the log"):
        assert aff.Reader(home).newest("run") is not None


def test_doctor_says_what_waits(home, risk):
    served()({"income": 1})
    found = CLI.invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(found.stdout)["checks"]}
    assert "wait" in checks["spools"]["message"]
    CLI.invoke(app, ["drain"])
    found = CLI.invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(found.stdout)["checks"]}
    assert checks["spools"]["message"] == "nothing waits"


def test_a_killed_server_loses_nothing_it_answered(home, risk, tmp_path):
    script = serving(
        tmp_path,
        """
        while True:
            predict({"income": 1})
            print(aff.prediction_ids()[-1], flush=True)
        """,
    )
    child = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answered = [child.stdout.readline().strip() for _ in range(100)]
    os.kill(child.pid, signal.SIGKILL)
    answered += child.stdout.read().split()
    child.wait()
    aff.Reader(home).counts()
    found = [record["id"] for record in records(home)]
    assert len(found) == len(set(found))
    assert {item for item in answered if len(item) == 32} <= set(found)
    report = aff.verify_home(home)
    assert report.ok
    assert [item.outcome for item in report.unclosed] == ["ended"]


def test_nothing_of_an_erased_person_is_found_in_any_file_of_the_home(home, risk):
    predict = served(subject="person")
    for number in range(50):
        predict({"income": 4, "person": "jane", "address": f"Elm Street {number} zyxwv"})
        predict({"income": 4, "person": "joe", "address": f"Oak Street {number} zyxwv"})
    aff.Reader(home).counts()
    predict({"income": 4, "person": "jane", "address": "Elm Street 51 zyxwv"})
    pseudonym = home.vault.pseudonym("jane")
    ids = [row["id"] for row in aff.Reader(home).predictions(limit=200)]
    payloads = [home.ledger.payload(identifier) for identifier in ids]
    hers = [payload for payload in payloads if payload and payload.subject == pseudonym]
    assert len(hers) == 51
    gone = {hers[0].wrapped_key, *(payload.sealed for payload in hers)}
    predict({"income": 4, "person": "jane", "address": "Elm Street 52 zyxwv"})
    assert erase(home, aff.load_settings(), "jane").payloads == 52
    files = [path for path in home.folder.rglob("*") if path.is_file()]
    assert {"ledger.db", "drain.lock"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert b"Elm Street" not in content, path
        assert not [part for part in gone if part in content], path
    assert home.ledger.payload(ids[0]) is None or home.ledger.payload(ids[1]) is None
    assert aff.verify_home(home).ok
