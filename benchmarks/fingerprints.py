"""How fast tables and directories are fingerprinted and signed, beside the hashes' own limits and
the peers."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blake3
import duckdb
import joblib
import numpy as np
import pandas as pd
import polars as pl

from affidavit.lineage import ModelKey, write_model_key
from affidavit.lineage._files import directory_manifest
from affidavit.lineage._frames import table_digest

ROWS = 4_000_000
REPEATS = 5
BIN = Path(sys.executable).parent


def best(call):
    """The shortest of several runs, in seconds: the least disturbed one."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def show(name, seconds, size, limit):
    rate = size / seconds / 1e9
    print(f"  {name:<42} {rate:6.2f} GB/s  {rate / limit:5.2f} x sha256 on one core")


def limits(size=256 << 20):
    data = np.random.default_rng(0).bytes(size)
    sha = size / best(lambda: hashlib.sha256(data).digest()) / 1e9
    blake = size / best(lambda: blake3.blake3(data).digest()) / 1e9
    print(f"one core: sha256 {sha:.2f} GB/s, blake3 {blake:.2f} GB/s ({blake / sha:.1f} x); "
          f"{os.cpu_count()} cores")  # fmt: skip
    return sha


def tables(limit):
    rng = np.random.default_rng(0)
    numeric = pd.DataFrame({f"c{i}": rng.random(ROWS) for i in range(8)})
    missing = numeric.mask(rng.random(numeric.shape) < 0.05)
    names = np.array([f"customer-{i:06d}" for i in range(50_000)])
    mixed = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "name": pd.array(names[rng.integers(0, len(names), ROWS)], dtype="str"),
            "class": pd.Categorical.from_codes(rng.integers(0, 4, ROWS), list("abcd")),
            "amount": rng.random(ROWS),
            "open": rng.random(ROWS) < 0.5,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="s"),
        }
    )
    for title, frame in (
        ("numeric", numeric),
        ("numeric, 5 % missing", missing),
        ("mixed with text", mixed),
    ):
        size = int(frame.memory_usage(index=False, deep=True).sum())
        print(f"table, {title}: {len(frame):,} x {frame.shape[1]}, {size / 1e6:,.0f} MB in pandas")
        ours = best(lambda frame=frame: table_digest(frame))
        show("affidavit, pandas", ours, size, limit)
        fast = best(lambda frame=frame: table_digest(frame, "blake3"))
        show("affidavit, pandas, blake3", fast, size, limit)
        print(f"    blake3 is {ours / fast:.2f} x as fast as sha256")
        converted = pl.from_pandas(frame)
        show("affidavit, Polars", best(lambda c=converted: table_digest(c)), size, limit)
        with duckdb.connect() as connection:
            connection.from_arrow(converted.to_arrow()).create("stored")
            stored = connection.table("stored")
            show("affidavit, DuckDB table", best(lambda s=stored: table_digest(s)), size, limit)
        del converted
        peers = {
            "joblib.hash (md5)": lambda frame=frame: joblib.hash(frame),
            "pandas.util.hash_pandas_object (not secure)": lambda frame=frame: (
                pd.util.hash_pandas_object(frame)
            ),
        }
        for name, call in peers.items():
            seconds = best(call)
            show(name, seconds, size, limit)
            print(f"    affidavit takes {ours / seconds:.2f} of its time")


def directories(limit):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i in range(16):
            (root / f"shard-{i:02d}.bin").write_bytes(os.urandom(32 << 20))
        size = 16 * (32 << 20)
        print(f"directory: 16 files, {size / 1e6:,.0f} MB, in the page cache")
        single = best(lambda: directory_manifest(root, threads=1))
        threads = best(lambda: directory_manifest(root))
        fast = best(lambda: directory_manifest(root, "blake3"))
        show("affidavit, one thread", single, size, limit)
        show(f"affidavit, {os.cpu_count()} cores", threads, size, limit)
        show(f"affidavit, {os.cpu_count()} cores, blake3", fast, size, limit)
        print(f"    threads are {single / threads:.2f} x as fast as one")


def command(words, environment):
    """The middle of several runs of a command: seconds by the clock, and of the processor."""
    clocks, busy = [], []
    for _ in range(REPEATS):
        before, start = os.times(), time.perf_counter()
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
        clocks.append(time.perf_counter() - start)
        after = os.times()
        busy.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return statistics.median(clocks), statistics.median(busy)


def signing():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environment = {**os.environ, "AFFIDAVIT_HOME": str(root / "home")}
        model, key = root / "model", root / "key.pem"
        model.mkdir()
        for i in range(8):
            (model / f"shard-{i}.bin").write_bytes(os.urandom(125_000_000))
        write_model_key(key, ModelKey.generate())
        made = subprocess.run(
            [BIN / "affidavit", "init"], check=True, env=environment, capture_output=True
        )
        assert made.returncode == 0
        ours = [BIN / "affidavit", "sign-model", model, "-o", root / "ours.sig", "--key", key]
        theirs = [BIN / "model_signing", "sign", "key", model, "--private_key", key]
        cases = {
            "model_signing sign key": [*theirs, "--signature", root / "theirs.sig"],
            "affidavit sign-model --no-record": [*ours, "--no-record"],
            "affidavit sign-model --no-record, blake3": [*ours, "--no-record", "--hash", "blake3"],
            "affidavit sign-model, recorded in the log": ours,
            "affidavit --version (start-up alone)": [BIN / "affidavit", "--version"],
        }
        print("command line, model directory of 8 files, 1,000 MB, in the page cache")
        peer = 0.0
        for name, words in cases.items():
            clock, busy = command([str(word) for word in words], environment)
            peer = peer or clock
            print(f"  {name:<42} {clock:6.2f} s  ({busy:.2f} s of processor)"
                  f"  {clock / peer:5.2f} of model_signing's")  # fmt: skip


def main():
    limit = limits()
    tables(limit)
    directories(limit)
    signing()


if __name__ == "__main__":
    main()
