"""Latency of one policy decision: embedded, cached, and through OPA beside plain HTTP.

Run it as `python benchmarks/policy.py`. Every line is measured in this one run; the ratio is
to plain keep-alive HTTP to the same server with the same body. Then where the time of an embedded
decision goes, and the memory of the process before and after a hundred thousand of them.
"""

from __future__ import annotations

import http.client
import json
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from affidavit.policies import CachedEngine, EmbeddedEngine, OpaServerEngine, server_bundle
from affidavit.policies._canonical import canonical_input
from affidavit.policies._contract import parse_result
from affidavit.policies._evaluation import evaluate

ENTRY = "affidavit/data_read"
REQUEST = {
    "action": "data.read",
    "actor": {"id": "ada", "roles": ["engineer"]},
    "purpose": "credit-scoring",
    "resource": {"kind": "dataset", "name": "applications", "digest": "", "tags": []},
    "columns": [
        {"name": f"c{i}", "tags": [("personal", "identifier", "sensitive")[i % 3]]}
        for i in range(30)
    ],
    "environment": "development",
    "time": "2026-11-21T10:00:00Z",
    "request_id": "r-1",
}


def measure(name, call, rounds, base=None):
    for _ in range(20):
        call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1e3)
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    ratio = f"  {p50 / base:5.2f} x plain HTTP" if base else ""
    print(f"{name:44} p50 {p50:9.1f} µs   p99 {p99:9.1f} µs{ratio}")
    return p50


def start(bundle):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        bundle.command(f"127.0.0.1:{port}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health?bundles", timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server, port
    server.kill()
    raise SystemExit("opa did not become healthy")


def through_opa(folder):
    bundle = server_bundle(folder / "bundle.tar.gz")
    server, port = start(bundle)
    try:
        body = json.dumps({"input": REQUEST})
        plain = http.client.HTTPConnection("127.0.0.1", port)
        plain.connect()
        # As our client's library does; with Nagle's algorithm the peer would look slow.
        plain.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def post():
            headers = {"Content-Type": "application/json"}
            plain.request("POST", f"/v1/data/{ENTRY}?provenance=true", body, headers)
            return json.load(plain.getresponse())

        assert post()["result"]["allow"]
        base = measure("plain keep-alive HTTP to OPA", post, 500)
        engine = OpaServerEngine(f"http://127.0.0.1:{port}", bundle_digest=bundle.digest, timeout=5)
        assert engine.decide(ENTRY, REQUEST).allow
        measure("OpaServerEngine", lambda: engine.decide(ENTRY, REQUEST), 500, base)
    finally:
        server.kill()
        server.wait()
    return base


def parts(engine):
    """Where the time of one decision goes."""
    canonical = canonical_input(REQUEST)
    policy = engine._policy()
    (answer,) = evaluate(policy, canonical, ENTRY)
    stated = {"duration_ns": 1, "engine": "", "engine_version": ""}
    stated |= {"bundle_digest": "", "input_digest": ""}
    measure("  the input as canonical JSON", lambda: canonical_input(REQUEST), 2000)
    measure("  the module: in, evaluation, out", lambda: evaluate(policy, canonical, ENTRY), 2000)
    measure("  the result read strictly", lambda: parse_result(ENTRY, answer, **stated), 2000)


def resident():
    """Memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def many(engine, rounds=100_000):
    """Different requests, one after the other; what memory they leave behind."""
    for number in range(2000):
        engine.decide(ENTRY, {**REQUEST, "request_id": f"r{number}"})
    before, begin = resident(), time.perf_counter()
    for number in range(rounds):
        assert engine.decide(ENTRY, {**REQUEST, "request_id": f"r{number}"}).allow
    spent = time.perf_counter() - begin
    after = resident()
    print(
        f"{f'EmbeddedEngine, {rounds:,} decisions':44} {rounds / spent:9.0f} /s   "
        f"memory {before:.1f} MiB before, {after:.1f} MiB after ({after - before:+.1f})"
    )


def main():
    base = None
    if shutil.which("opa"):
        with tempfile.TemporaryDirectory() as folder:
            base = through_opa(Path(folder))
    else:
        print("no opa on PATH: the server is left out")
    embedded = EmbeddedEngine()
    begin = time.perf_counter()
    assert embedded.decide(ENTRY, REQUEST).allow
    print(f"{'EmbeddedEngine, first decision':44} {time.perf_counter() - begin:13.2f} s (compiles)")
    measure(
        "EmbeddedEngine, 30 tagged columns", lambda: embedded.decide(ENTRY, REQUEST), 2000, base
    )
    parts(embedded)
    many(embedded)
    cached = CachedEngine(embedded)
    small = {**REQUEST, "columns": []}
    for name, document in (("30 tagged columns", REQUEST), ("no columns", small)):
        assert not cached.decide(ENTRY, document).cached
        measure(f"CachedEngine, {name}", lambda d=document: cached.decide(ENTRY, d), 20_000, base)


if __name__ == "__main__":
    main()
