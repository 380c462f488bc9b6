"""What a served call costs: the hook, sixteen processes at once, and the way into the log.

    python benchmarks/serving.py [--calls 5000] [--processes 16] [--records 5000]

The function that is served does nothing, so that what is measured is the hook alone: the policy's
decision (remembered), its record, the features and the output, sealed. Peers: MLflow's trace of
the same call on SQLite, and raw per-row inserts by the same number of processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import affidavit as aff
from affidavit import _spools
from affidavit._spools import spools_of
from affidavit.lineage import RECORDS, Hole, RecordTemplate, new_id, pack_records, timestamp

FEATURES = {f"feature_{n}": (n * 1.5 if n % 2 else f"value {n}") for n in range(14)}


def _print(label: str, value: str, more: str = "") -> None:
    print(f"{label:<62}{value:>16}{more}", flush=True)


def _timed(call: Callable[[], object], count: int) -> list[float]:
    call()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def _microseconds(label: str, taken: list[float], peer: float | None = None) -> float:
    half = taken[len(taken) // 2]
    ninety_nine = taken[len(taken) * 99 // 100]
    ratio = f"   {peer / half:,.0f}x" if peer else ""
    _print(label, f"{half * 1e6:,.1f} µs p50", f"  {ninety_nine * 1e6:>10,.0f} µs p99{ratio}")
    return half


def mlflow_trace(folder: Path, count: int) -> float | None:
    """Print what MLflow's trace of a call costs; None where MLflow is not installed."""
    try:
        import mlflow
    except ImportError:
        print("MLflow is not installed: `make bench` brings it.")
        return None
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("benchmark")

    @mlflow.trace
    def predict(_: dict[str, Any]) -> float:
        return 1.0

    began = time.perf_counter()
    for _ in range(count):
        predict(FEATURES)
    mlflow.flush_trace_async_logging()
    each = (time.perf_counter() - began) / count
    _print("MLflow, traced call (SQLite), each", f"{each * 1e6:,.1f} µs")
    return each


def hook(folder: Path, calls: int, peer: float | None) -> None:
    """Print what the hook adds to a call, by durability."""

    def bare(_: dict[str, Any]) -> float:
        return 1.0

    _microseconds("the bare call", _timed(lambda: bare(FEATURES), calls))
    served = aff.serve("model", purpose="benchmark")(bare)
    for level, count in (("process", calls), ("disk", calls // 10), ("log", calls // 20)):
        (folder / "affidavit.toml").write_text(f'[affidavit]\ndurability = "{level}"\n', "utf-8")
        taken = _timed(lambda: served(FEATURES), max(count, 50))
        _microseconds(f"served call, durability {level}", taken, peer)
    (folder / "affidavit.toml").unlink()


def drained(home: aff.Home, calls: int) -> None:
    """Print how fast served calls get from spools into the log, sealed."""
    served = aff.serve("model", purpose="benchmark", subject="feature_0")(lambda _: 1.0)
    spools_of(home).settle()
    for _ in range(calls):
        served(FEATURES)
    began = time.perf_counter()
    count = spools_of(home).settle().records
    _print(
        "drained: decisions and predictions of 14 features, sealed",
        f"{count / (time.perf_counter() - began):,.0f}/s",
    )


def _spooling(count: int, results: Any, start: Any) -> None:
    home = aff.open_home(aff.load_settings().home)
    settings, spools = aff.load_settings(), spools_of(home)
    holes = {name: Hole(name) for name in ("id", "time", "writer", "number")}
    template = RecordTemplate("access", {"actor": "a", "action": "read", "object": "o", **holes})

    def write(writer: str, number: int) -> bytes:
        quoted = (b'"%b"' % text.encode() for text in (new_id(), timestamp(), writer))
        identifier, now, whose = quoted
        said = {"id": identifier, "time": now, "writer": whose, "number": b"%d" % number}
        body = template.fill(said)
        return pack_records([body])

    spools.append(settings, RECORDS, 1, write)
    start.wait()
    results.put(_worst(lambda: spools.append(settings, RECORDS, 1, write), count))


def _inserting(path: Path, count: int, results: Any, start: Any) -> None:
    raw = sqlite3.connect(path, timeout=60, isolation_level=None)
    raw.execute("PRAGMA synchronous = FULL")
    body = b"x" * 180
    start.wait()
    results.put(_worst(lambda: raw.execute("INSERT INTO raw (body) VALUES (?)", (body,)), count))


def _idling(count: int, results: Any, start: Any) -> None:
    start.wait()
    results.put(_worst(lambda: sum(range(300)), count))


def _worst(call: Callable[[], object], count: int) -> float:
    worst = 0.0
    for _ in range(count):
        began = time.perf_counter()
        call()
        worst = max(worst, time.perf_counter() - began)
    return worst


def _together(processes: int, work: Callable[..., None], *given: object) -> tuple[float, float]:
    """Return seconds until all have done their work, and the longest that one call took."""
    context = multiprocessing.get_context("fork")
    results, start = context.SimpleQueue(), context.Barrier(processes + 1)
    workers = [
        context.Process(target=work, args=(*given, results, start)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    worst = max(results.get() for _ in workers)
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return seconds, worst


def many(home: aff.Home, processes: int, count: int) -> None:
    """Print how fast many processes are, and how long the unluckiest call waits."""
    path = home.folder / "raw.db"
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("CREATE TABLE raw (number INTEGER PRIMARY KEY, body BLOB)")
    raw.close()
    some = max(count // 20, 20)
    seconds, worst = _together(processes, _inserting, path, some)
    peer = processes * some / seconds
    label = f"raw SQLite, {processes} processes, a row each"
    _print(label, f"{peer:,.0f}/s", f"   worst wait {worst * 1e3:8,.1f} ms")
    _, idle = _together(processes, _idling, count)
    label = f"{processes} processes that only count: what the scheduler alone makes wait"
    _print(label, "", f"   worst wait {idle * 1e3:8,.1f} ms")
    before = home.ledger.head().size
    began = time.perf_counter()
    seconds, worst = _together(processes, _spooling, count)
    rate = processes * count / seconds
    label = f"affidavit, {processes} processes, acknowledged"
    _print(label, f"{rate:,.0f}/s", f"   worst wait {worst * 1e3:8,.1f} ms   {rate / peer:,.0f}x")
    spools_of(home).settle(force=True)
    logged = home.ledger.head().size - before
    rate = logged / (time.perf_counter() - began)
    _print("the same, in the log, under a checkpoint", f"{rate:,.0f}/s", f"   {rate / peer:,.0f}x")


def main() -> int:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--records", type=int, default=5000)
    chosen = parser.parse_args()
    # What is measured drains by itself, when it says so.
    _spools.DELAY_SECONDS = 3600.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        os.environ["AFFIDAVIT_HOME"] = str(folder / "home")
        home, _ = aff.create_home(folder / "home", actor="benchmark")
        home = aff.open_home(home.folder)
        with aff.run("model") as run:
            run.produce(b"model", "model.pickle")
        peer = mlflow_trace(folder, 200)
        hook(folder, chosen.calls, peer)
        drained(home, chosen.calls)
        many(home, chosen.processes, chosen.records)
        report = aff.verify_home(home)
        spools_of(home).close()
        print(f"verified: {report.ok}, {report.size:,} entries")
        return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
