"""The ledger beside its peers: durable signed runs, served records, verification.

    python benchmarks/ledger.py [--runs 300] [--records 20000]

A run here is what a training run leaves behind: parameters, metrics, code, environment, one input
and one output, signed and flushed to disk before the call returns. MLflow's is a run with the same
parameters and metrics in its own SQLite store.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import affidavit as aff
from affidavit.lineage import new_id, record_bytes, timestamp, verify_ledger

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


class Model:
    """A model that costs nothing, so that what is measured is the hook."""

    def predict(self, rows: object) -> object:
        """Return the rows."""
        return rows


def served(count: int) -> None:
    """Print served calls per second, each with its decision and record in the log."""

    with aff.run("served") as run:
        run.produce(Model(), "served")

    @aff.serve("served@latest", purpose="benchmark")
    def predict(features: dict[str, float]) -> float:
        return features["a"]

    predict({"a": 1.0, "b": 2.0})
    began = time.perf_counter()
    for number in range(count):
        predict({"a": 1.0, "b": float(number)})
    _rate("affidavit, served call: decision and record, each flushed", count,
          time.perf_counter() - began)  # fmt: skip
    batch = [{"a": 1.0, "b": float(number)} for number in range(1000)]

    @aff.serve("served@latest", purpose="benchmark")
    def predict_batch(rows: list[dict[str, float]]) -> list[float]:
        return [row["a"] for row in rows]

    began = time.perf_counter()
    for _ in range(5):
        predict_batch(batch)
    _rate("affidavit, served rows in batches of 1000, sealed", 5000, time.perf_counter() - began)


def records(home: aff.Home, count: int) -> None:
    """Print record appends per second in batches, beside raw SQLite rows."""
    bodies = [
        record_bytes("access", {"id": new_id(), "time": timestamp(), "actor": "a", "action": "read",
                                "object": str(number)})
        for number in range(count)
    ]  # fmt: skip
    raw = sqlite3.connect(home.folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("CREATE TABLE entry (entry INTEGER PRIMARY KEY, body BLOB)")
    began = time.perf_counter()
    for start in range(0, count, 1000):
        raw.execute("BEGIN")
        rows = [(start + n, body) for n, body in enumerate(bodies[start : start + 1000])]
        raw.executemany("INSERT INTO entry VALUES (?, ?)", rows)
        raw.execute("COMMIT")
    peer = _rate("raw SQLite, rows in batches of 1000", count, time.perf_counter() - began)
    began = time.perf_counter()
    for start in range(0, count, 1000):
        home.ledger.append(bodies[start : start + 1000])
    _rate("affidavit, records in batches of 1000: tree, index, signed", count,
          time.perf_counter() - began, peer)  # fmt: skip
    began = time.perf_counter()
    report = verify_ledger(home.database, home.verifier)
    report.raise_for_errors()
    _rate("affidavit, full verification of the above", report.size, time.perf_counter() - began)


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--records", type=int, default=20_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["AFFIDAVIT_HOME"] = str(folder / "home")
        home, _ = aff.create_home(folder / "home", actor="benchmark")
        try:
            peer = mlflow_runs(folder, chosen.runs)
        except ImportError:
            print("MLflow is not installed: `make bench` brings it.")
            peer = None
        our_runs(chosen.runs, peer)
        served(chosen.runs)
        records(home, chosen.records)


if __name__ == "__main__":
    main()
