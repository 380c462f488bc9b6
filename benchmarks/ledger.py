"""The ledger beside its peers: durable signed runs, served records, verification.

    python benchmarks/ledger.py [--runs 300] [--sizes 100000 1000000] [--only-log]

A run here is what a training run leaves behind: parameters, metrics, code, environment, one input
and one output, signed and flushed to disk before the call returns. MLflow's is a run with the same
parameters and metrics in its own SQLite store.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

import affidavit as aff
from affidavit.lineage import SigningKey, new_id, record_bytes, timestamp
from affidavit.lineage._index import rows_of_all
from affidavit.lineage.tables import ENTRY, PREDICTION

BATCH = 10_000
PARAMETERS = {f"parameter_{n}": n for n in range(10)}
METRICS = {f"metric_{n}": n / 10 for n in range(5)}


def _rate(label: str, count: int, seconds: float, peer: float | None = None) -> float:
    rate = count / seconds
    ratio = f"{rate / peer:10.1f}x" if peer else ""
    print(f"{label:<58}{rate:>14,.0f}/s{ratio}")
    return rate


def mlflow_runs(folder: Path, count: int) -> float:
    """Give MLflow's runs per second on SQLite."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("benchmark")
    began = time.perf_counter()
    for _ in range(count):
        with mlflow.start_run():
            mlflow.log_params(PARAMETERS)
            mlflow.log_metrics(METRICS)
    return _rate("MLflow, run with 10 parameters and 5 metrics (SQLite)", count,
                 time.perf_counter() - began)  # fmt: skip


def our_runs(count: int, peer: float | None) -> None:
    """Print our signed runs per second through the public hook."""
    with aff.run("warm-up"):
        pass
    began = time.perf_counter()
    for _ in range(count):
        with aff.run("benchmark") as run:
            for name, value in PARAMETERS.items():
                run.parameter(name, value)
            for name, metric in METRICS.items():
                run.metric(name, metric)
            run.use(b"input", "input")
            run.produce(b"output", "output")
    seconds = time.perf_counter() - began
    _rate("affidavit, the same run, signed, in the log, flushed", count, seconds, peer)


def prediction() -> bytes:
    """Return a record as serving writes it: four sealed fields, about half a kilobyte."""
    fields = {
        "id": new_id(),
        "time": timestamp(),
        "actor": "service",
        "model": "credit-risk@production",
        "model_digest": "sha256:" + "ab" * 32,
        "outcome": "0.7",
        "decision": new_id(),
        "subject": "f" * 32,
        "fields": [letter * 43 for letter in "abcd"],
    }
    return record_bytes("prediction", fields)


def raw_rows(folder: Path, bodies: list[bytes], *, indexed: bool) -> float:
    """Give the rows per second of SQLite alone, with as full a flush at each commit."""
    raw = sqlite3.connect(folder / f"raw-{indexed}.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    for table in (ENTRY, PREDICTION):
        for made in (CreateTable(table), *(CreateIndex(index) for index in table.indexes)):
            raw.execute(str(made.compile(dialect=sqlite.dialect())))
    cells = rows_of_all(bodies)[PREDICTION] if indexed else []
    began = time.perf_counter()
    for start in range(0, len(bodies), BATCH):
        raw.execute("BEGIN")
        rows = list(enumerate(bodies[start : start + BATCH], start))
        raw.executemany("INSERT INTO entry VALUES (?, ?)", rows)
        if indexed:
            holes = ", ".join("?" * len(PREDICTION.columns))
            raw.executemany(
                f"INSERT INTO prediction VALUES ({holes})", cells[start : start + BATCH]
            )
        raw.execute("COMMIT")
    what = "entries and index rows" if indexed else "entries"
    return _rate(f"raw SQLite, the same {what}, batches of {BATCH:,}", len(bodies),
                 time.perf_counter() - began)  # fmt: skip


def records(folder: Path, home: aff.Home) -> None:
    """Print record appends per second in batches, beside raw SQLite rows of the same bytes."""
    bodies = [prediction() for _ in range(10 * BATCH)]
    raw_rows(folder, bodies, indexed=False)
    peer = raw_rows(folder, bodies, indexed=True)
    began = time.perf_counter()
    for start in range(0, len(bodies), BATCH):
        home.ledger.append(bodies[start : start + BATCH])
    _rate(f"affidavit, tree, index, signed, batches of {BATCH:,}", len(bodies),
          time.perf_counter() - began, peer)  # fmt: skip


VERIFY = """
import json, sys, time
from pathlib import Path
from affidavit.lineage import NoteVerifier, verify_ledger
path, key, processes = sys.argv[1:]
began = time.perf_counter()
report = verify_ledger(Path(path), NoteVerifier.parse(key), processes=int(processes) or None)
seconds = time.perf_counter() - began
report.raise_for_errors()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([report.size, seconds, int(peak.split()[1]) / 1024]))
"""


def verification(home: aff.Home, sizes: list[int]) -> None:
    """Print verified records per second and the most memory, beside one signature for each."""
    key, body = SigningKey.generate(), prediction()
    signature, public = key.private.sign(body), key.private.public_key()
    began, count = time.perf_counter(), 5000
    for _ in range(count):
        public.verify(signature, body)
    peer = _rate("cryptography, one Ed25519 verification for each record", count,
                 time.perf_counter() - began)  # fmt: skip
    written = home.ledger.head().size
    for size in sizes:
        while written < size:
            home.ledger.append([prediction() for _ in range(min(BATCH, size - written))])
            written = home.ledger.head().size
        for processes, label in ((1, "one process"), (0, "all cores")):
            done = subprocess.run(
                [sys.executable, "-c", VERIFY, home.database, str(home.verifier), str(processes)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            found, seconds, peak = json.loads(done.stdout)
            _rate(f"affidavit, full verification, {label}, {found:,} entries", found, seconds, peer)
            print(f"{'    most memory of it':<58}{peak:>14,.0f} MB")


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000, 1_000_000],
                        help="how many entries the verified log has")  # fmt: skip
    parser.add_argument("--only-log", action="store_true", help="no runs")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["AFFIDAVIT_HOME"] = str(folder / "home")
        home, _ = aff.create_home(folder / "home", actor="benchmark")
        if not chosen.only_log:
            try:
                peer = mlflow_runs(folder, chosen.runs)
            except ImportError:
                print("MLflow is not installed: `make bench` brings it.")
                peer = None
            our_runs(chosen.runs, peer)
        records(folder, home)
        verification(home, sorted(chosen.sizes))


if __name__ == "__main__":
    main()
