"""Latency of one policy decision: embedded, cached, and through OPA beside plain HTTP.

Run it as `python benchmarks/policy.py`. Every line is measured in this one run; the ratio is
to plain keep-alive HTTP to the same server with the same body.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from affidavit.policies import CachedEngine, EmbeddedEngine, OpaServerEngine, server_bundle

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
    cached = CachedEngine(embedded)
    small = {**REQUEST, "columns": []}
    for name, document in (("30 tagged columns", REQUEST), ("no columns", small)):
        assert not cached.decide(ENTRY, document).cached
        measure(f"CachedEngine, {name}", lambda d=document: cached.decide(ENTRY, d), 20_000, base)


if __name__ == "__main__":
    main()
