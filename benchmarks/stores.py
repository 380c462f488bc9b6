"""The two stores beside each other and beside raw inserts: one writer, and sixteen processes.

    python benchmarks/stores.py [--seconds 5] [--processes 16] [--postgres URL]

Everything is flushed to disk before it counts. The peers write one row of the same bytes for each
record, without tree, index or signature. Without a URL a PostgreSQL server is started from
Debian's binaries, with its default flushing, and stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.lineage import (
    Ledger,
    NoteSigner,
    SigningKey,
    new_id,
    record_bytes,
    timestamp,
    verify_ledger,
)

ORIGIN = "affidavit.benchmark/log"
Append = Callable[[bytes], object]


def _body() -> bytes:
    fields = {"id": new_id(), "time": timestamp(), "actor": "a", "action": "read", "object": "o"}
    return record_bytes("access", fields)


def _line(label: str, rate: float, peer: float | None = None, worst: float | None = None) -> None:
    ratio = f"{rate / peer:8.2f}x" if peer else " " * 9
    wait = f"   worst wait {worst * 1000:8,.0f} ms" if worst is not None else ""
    print(f"{label:<56}{rate:>10,.0f}/s{ratio}{wait}", flush=True)


def _ours(where: Path | str, signer: NoteSigner) -> Append:
    ledger = Ledger(where, signer.verifier, signer=signer)
    return lambda body: ledger.append([body])


def _raw(where: Path | str, _: NoteSigner) -> Append:
    if isinstance(where, Path):
        raw: Any = sqlite3.connect(where.with_name("raw.db"), timeout=60, isolation_level=None)
        raw.execute("PRAGMA synchronous = FULL")
        return lambda body: raw.execute("INSERT INTO raw (body) VALUES (?)", (body,))
    import psycopg

    server: Any = psycopg.connect(where, autocommit=True)
    return lambda body: server.execute("INSERT INTO peer.raw (body) VALUES (%s)", (body,))


def _prepare(where: Path | str) -> None:
    if isinstance(where, Path):
        with contextlib.closing(sqlite3.connect(where.with_name("raw.db"))) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute("CREATE TABLE raw (entry INTEGER PRIMARY KEY, body BLOB)")
        return
    import psycopg

    with psycopg.connect(where, autocommit=True) as server:
        server.execute("CREATE SCHEMA peer")
        server.execute("CREATE TABLE peer.raw (entry bigserial PRIMARY KEY, body bytea)")


def _work(make: Any, where: Any, key: bytes, *, seconds: float, gate: Any, found: Any) -> None:
    append = make(where, NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(key)))
    gate.wait()
    until = time.perf_counter() + seconds
    count, worst = 0, 0.0
    while (began := time.perf_counter()) < until:
        append(_body())
        count += 1
        worst = max(worst, time.perf_counter() - began)
    found.put((count, worst))


def _together(
    make: Any, where: Path | str, key: bytes, processes: int, seconds: float
) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    gate, found = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(
            target=_work,
            args=(make, where, key),
            kwargs={"seconds": seconds, "gate": gate, "found": found},
        )
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    results = [found.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(count for count, _ in results) / seconds, max(worst for _, worst in results)


def measure(name: str, where: Path | str, processes: int, seconds: float) -> None:
    """Print a store's rates beside those of raw inserts into the same database."""
    key = SigningKey.generate()
    seed = key.private.private_bytes_raw()
    signer = NoteSigner(ORIGIN, key.private)
    ledger = Ledger(where, signer.verifier, signer=signer, create=True)
    _prepare(where)
    bodies = [_body() for _ in range(1000)]
    ledger.append(bodies)
    began = time.perf_counter()
    for _ in range(10):
        ledger.append(bodies)
    _line(f"{name}: batches of 1000", 10_000 / (time.perf_counter() - began))
    began = time.perf_counter()
    for _ in range(300):
        ledger.append(bodies[:1])
    _line(f"{name}: one record at a time", 300 / (time.perf_counter() - began))
    peer, worst = _together(_raw, where, seed, processes, seconds)
    _line(f"{name}: {processes} processes, raw inserts", peer, worst=worst)
    rate, worst = _together(_ours, where, seed, processes, seconds)
    _line(f"{name}: {processes} processes, one record at a time", rate, peer, worst)
    began = time.perf_counter()
    report = verify_ledger(where, signer.verifier)
    report.raise_for_errors()
    _line(f"{name}: full verification", report.size / (time.perf_counter() - began))
    ledger.close()


@contextlib.contextmanager
def _postgres(url: str) -> Iterator[str]:
    if url:
        yield url
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from postgres import running

    with running("-c fsync=on") as server:
        yield server.url(server.database())


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--postgres", default="", help="the URL of an empty database")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", Path(folder) / "ledger.db", chosen.processes, chosen.seconds)
    with _postgres(chosen.postgres) as url:
        measure("PostgreSQL", url, chosen.processes, chosen.seconds)


if __name__ == "__main__":
    main()
