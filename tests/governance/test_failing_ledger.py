"""What happens to a call where the ledger fails: blocked, or a warning and a gap that is signed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import warnings
from pathlib import Path

import pandas as pd
import pytest
from real import need
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit._recording import _last_attempt, note_gap


class Faulty:
    """Takes the log's key away and puts it back, as a volume that is not mounted does."""

    def __init__(self, home):
        self.key = home.folder / "keys" / "log.pem"
        self.away = home.folder / "log.pem.away"
        self.home = home

    def __enter__(self):
        self.key.rename(self.away)
        self.home.__dict__.pop("ledger", None)

    def __exit__(self, *_):
        self.away.rename(self.key)
        self.home.__dict__.pop("ledger", None)


@aff.train("risk")
def fit(path: Path) -> int:
    path.write_text("it ran")
    return 3


def test_a_missing_log_key_blocks_the_call_before_it_runs(home, tmp_path):
    with Faulty(home), pytest.raises(aff.AffidavitError, match="key"):
        fit(tmp_path / "proof")
    assert not (tmp_path / "proof").exists()
    assert fit(tmp_path / "proof") == 3


def test_with_on_error_warn_it_proceeds_and_the_gap_is_signed_later(
    configure, home, tmp_path, reader
):
    configure('[affidavit]\non_error = "warn"\n')
    with Faulty(home), pytest.warns(aff.EvidenceGapWarning, match="risk"):
        assert fit(tmp_path / "proof") == 3
    assert reader.counts().get("gap", 0) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(tmp_path / "proof")
    gaps = [reader.statement(row["entry"]).predicate for row in reader.statements(kind="gap")]
    assert {gap["outcome"] for gap in gaps} == {"unrecorded"}
    assert {gap["name"].split()[0] for gap in gaps} == {"decision", "run"}
    assert aff.verify_home(home).ok
    assert reader.counts()["gap"] == len(gaps), "each gap is recorded once"


def test_a_gap_of_one_home_is_not_written_into_another(configure, home, tmp_path, monkeypatch):
    configure('[affidavit]\non_error = "warn"\n')
    with Faulty(home), pytest.warns(aff.EvidenceGapWarning):
        fit(tmp_path / "proof")
    other, _ = aff.create_home(tmp_path / "other", actor="x")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(other.folder))
    fit(tmp_path / "proof")
    assert aff.Reader(aff.open_home(other.folder)).counts().get("gap", 0) == 0
    monkeypatch.setenv("AFFIDAVIT_HOME", str(home.folder))
    fit(tmp_path / "proof")
    assert aff.Reader(home).counts()["gap"] > 0


def test_a_forked_child_does_not_record_its_parents_gaps_again(configure, home, tmp_path):
    configure('[affidavit]\non_error = "warn"\n')
    with Faulty(home), pytest.warns(aff.EvidenceGapWarning):
        fit(tmp_path / "proof")
    child = multiprocessing.get_context("fork").Process(target=fit, args=(tmp_path / "child",))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert aff.Reader(home).counts().get("gap", 0) == 0
    fit(tmp_path / "proof")
    assert aff.Reader(home).counts()["gap"] == 2


def test_many_gaps_are_folded_and_none_is_forgotten(home, reader):
    settings = aff.load_settings()
    trouble = aff.AffidavitError("no disk")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1500):
            note_gap(home, settings, f"call {number}", trouble, entries=2)
    with aff.run("after"):
        pass
    rows = reader.statements(kind="gap", limit=2000)
    assert len(rows) <= 1000
    counted = sum(reader.statement(row["entry"]).predicate["entries"] for row in rows)
    assert counted == 3000


def test_a_prediction_under_warn_is_given_although_nothing_can_be_sealed(
    configure, risk, home, reader
):
    configure('[affidavit]\non_error = "warn"\ndurability = "log"\n')

    @aff.serve("risk")
    def predict(features):
        return 1

    predict({"income": 1})
    master = home.folder / "keys" / "master.key"
    master.chmod(0o644)
    home.__dict__.pop("vault", None)
    with pytest.warns(aff.EvidenceGapWarning, match="prediction"):
        assert predict({"income": 2}) == 1
    master.chmod(0o600)
    assert predict({"income": 3}) == 1
    assert reader.counts()["prediction"] == 2
    gaps = {
        reader.statement(row["entry"]).predicate["name"] for row in reader.statements(kind="gap")
    }
    assert gaps == {"decision affidavit/serve: its key", "1 prediction(s) of risk"}


def test_a_prediction_that_cannot_be_recorded_is_withheld_by_default(risk, home):
    @aff.serve("risk")
    def predict(features):
        return 1

    master = home.folder / "keys" / "master.key"
    master.chmod(0o644)
    home.__dict__.pop("vault", None)
    with pytest.raises(aff.AffidavitError, match="lets others read it"):
        predict({"income": 2})


def test_a_users_exception_passes_even_where_its_record_fails(home, tmp_path, reader):
    raised = RuntimeError("theirs")

    @aff.train("risk")
    def broken():
        faulty.__enter__()
        raise raised

    faulty = Faulty(home)
    with (
        pytest.warns(aff.EvidenceGapWarning, match="run risk"),
        pytest.raises(RuntimeError) as caught,
    ):
        broken()
    faulty.__exit__()
    assert caught.value is raised
    fit(tmp_path / "proof")
    assert reader.counts()["gap"] == 1


def test_a_trained_model_is_on_the_error_where_its_record_fails(home, loans, reader):
    faulty = Faulty(home)

    @aff.train("risk")
    def train() -> LogisticRegression:
        model = LogisticRegression().fit(loans[["income"]], loans["granted"])
        faulty.__enter__()
        return model

    with (
        pytest.warns(aff.EvidenceGapWarning),
        pytest.raises(aff.AffidavitError) as caught,
    ):
        train()
    faulty.__exit__()
    assert caught.value.result.predict(loans[["income"]]).shape == (60,)
    assert "`result`" in caught.value.__notes__[0]


def test_a_trained_model_is_on_the_error_where_a_metric_is_nan(home, loans, reader):
    @aff.train("risk")
    def train():
        model = LogisticRegression().fit(loans[["income"]], loans["granted"])
        return model, {"auc": float("nan")}

    with pytest.raises(aff.AffidavitError, match="'auc' is nan") as caught:
        train()
    model, metrics = caught.value.result
    assert model.coef_.shape == (1, 1)
    assert metrics.keys() == {"auc"}
    assert reader.statements(kind="run")[0]["outcome"] == "failed"


def test_a_store_made_anew_in_the_same_place_is_noticed(home, tmp_path):
    fit(tmp_path / "proof")
    home.folder.rename(tmp_path / "old")
    aff.create_home(home.folder, actor="x")
    fit(tmp_path / "proof")
    fresh = aff.open_home(home.folder)
    assert fresh is not home
    assert aff.Reader(fresh).counts()["run"] == 1
    assert aff.verify_home(fresh).ok


def _as_nobody(home: aff.Home, proof: Path) -> list[str]:
    """What a call comes to in a child process that runs as another user."""
    need(os.geteuid() == 0, "another user can be taken on by root only")
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def call() -> None:
        os.setgid(65534)
        os.setuid(65534)
        seen: list[str] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                seen.append(str(fit(proof)))
                _last_attempt()
            seen += [f"{item.category.__name__}: {item.message}" for item in caught]
        except aff.AffidavitError as error:
            seen.append(f"{type(error).__name__}: {error}")
        sender.send(seen)

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    process.join(60)
    return receiver.recv() if receiver.poll(1) else ["it died"]


def _reachable(path: Path) -> None:
    for parent in path.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)


@pytest.mark.parametrize("on_error", ["block", "warn"])
def test_a_read_only_home_blocks_or_warns_for_another_user(configure, home, tmp_path, on_error):
    configure(f'[affidavit]\non_error = "{on_error}"\n')
    fit(tmp_path / "warm")  # so that the child need import nothing
    home.close()
    _reachable(home.database)
    home.folder.chmod(0o755)
    home.database.chmod(0o644)
    (home.folder / "log.pub").chmod(0o644)
    home.__dict__.pop("ledger", None)
    home.__dict__.pop("recorder", None)
    home.__dict__.pop("vault", None)
    drop = tmp_path / "drop"
    drop.mkdir()
    drop.chmod(0o777)
    seen = _as_nobody(home, drop / "proof")
    if on_error == "block":
        assert seen[0].startswith(("LedgerUnavailableError", "KeyFileError")), seen
        assert not (drop / "proof").exists()
    else:
        assert seen[0] == "3", seen
        assert (drop / "proof").read_text() == "it ran"
        assert seen[1].startswith("EvidenceGapWarning: Not recorded: decision")
        assert "stay unrecorded" in seen[-1]
    assert aff.verify_home(home).ok


def test_a_full_disk_blocks_and_nothing_is_half_written(tmp_path, monkeypatch):
    need(os.geteuid() == 0, "a small file system can be mounted by root only")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False
    )
    need(mounted.returncode == 0, "a small file system cannot be mounted here")
    try:
        monkeypatch.setenv("AFFIDAVIT_HOME", str(disk / "home"))
        monkeypatch.chdir(tmp_path)
        home, _ = aff.create_home(disk / "home", actor="x")
        fit(tmp_path / "proof")
        (tmp_path / "proof").unlink()
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        refusal = ""
        while not refusal:
            (tmp_path / "proof").unlink(missing_ok=True)
            try:
                fit(tmp_path / "proof")
            except aff.AffidavitError as error:
                refusal = str(error)
        assert "disk is full" in refusal
        filler.unlink(missing_ok=True)
        fit(tmp_path / "proof")
        opened = aff.open_home(home.folder)
        assert aff.verify_home(opened).ok
        opened.close()
        home.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_a_frame_that_repeats_a_column_gets_a_clear_error(home):
    double = pd.DataFrame([[1, 2]], columns=["a", "a"])

    @aff.data("double", purpose="research")
    def read():
        return double

    @aff.train("risk")
    def train(frame):
        raise AssertionError("it ran")

    with pytest.raises(aff.AffidavitError, match="more than once: a"):
        read()
    with pytest.raises(aff.AffidavitError, match="more than once: a"):
        train(double)
    with pytest.raises(aff.AffidavitError, match="more than once"), aff.run("r") as run:
        run.use(double)
