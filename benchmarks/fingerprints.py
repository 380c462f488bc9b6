"""How fast tables and directories are fingerprinted, beside the hash's own limit and the peers."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl

from affidavit.lineage._files import directory_manifest
from affidavit.lineage._frames import table_digest

ROWS = 4_000_000
REPEATS = 3


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


def sha256_limit(size=256 << 20):
    data = np.random.default_rng(0).bytes(size)
    return size / best(lambda: hashlib.sha256(data).digest()) / 1e9


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
        converted = pl.from_pandas(frame)
        show("affidavit, Polars", best(lambda c=converted: table_digest(c)), size, limit)
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
        show("affidavit, one thread", single, size, limit)
        show(f"affidavit, {os.cpu_count()} cores", threads, size, limit)
        print(f"    threads are {single / threads:.2f} x as fast as one")


def main():
    limit = sha256_limit()
    print(f"hashlib sha256, one core: {limit:.2f} GB/s; {os.cpu_count()} cores")
    tables(limit)
    directories(limit)


if __name__ == "__main__":
    main()
