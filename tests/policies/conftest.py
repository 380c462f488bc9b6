"""Requests, and a real OPA server on the shipped packs for the tests of this room."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request

import pytest
from real import opa_binary

from affidavit.policies import EmbeddedEngine, OpaServerEngine, server_bundle


class OpaServer:
    """An `opa run --server` on a free port of the loopback interface, which can be killed."""

    def __init__(self, bundle):
        self.bundle = bundle
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self.process = None

    def start(self):
        command = self.bundle.command(self.address, opa=opa_binary())
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(self.url + "/health?bundles", timeout=1):
                    return self
            except OSError:
                assert self.process.poll() is None, self.process.stderr.read()
                time.sleep(0.05)
        raise AssertionError("opa did not become healthy")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    return server_bundle(tmp_path_factory.mktemp("bundle") / "bundle.tar.gz")


@pytest.fixture(scope="session")
def start_opa():
    started = []

    def start(bundle):
        server = OpaServer(bundle)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def served(bundle, start_opa):
    server = start_opa(bundle)
    return OpaServerEngine(server.url, bundle_digest=bundle.digest, timeout=10)


@pytest.fixture(scope="session")
def embedded():
    engine = EmbeddedEngine(deadline_ms=20_000)
    engine.load()
    return engine


def make_request(**changes):
    return {
        "action": "data.read",
        "actor": {"id": "ada", "roles": []},
        "purpose": "credit-scoring",
        "resource": {"kind": "dataset", "name": "applications", "digest": "", "tags": []},
        "columns": [{"name": "income", "tags": []}],
        "environment": "development",
        "time": "2026-11-21T10:00:00Z",
        "request_id": "r-1",
        **changes,
    }


@pytest.fixture(scope="session")
def request_for():
    return make_request


@pytest.fixture(scope="session")
def promotion():
    """Whole evidence for a promotion."""
    at = "2026-11-20T12:00:00Z"
    return make_request(
        action="model.promote",
        purpose="",
        resource={"kind": "model", "name": "credit-risk", "digest": "", "tags": []},
        declared={"sensitive": ["sex"]},
        evidence={
            "provenance": {"verified": True, "time": at, "trainer": "ada"},
            "evaluations": [{"verified": True, "time": at, "metrics": {"auc": 0.81}}],
            "fairness": [
                {
                    "verified": True,
                    "features": ["sex"],
                    "demographic_parity_ratio": 0.9,
                    "lower": 0.82,
                    "upper": 0.97,
                    "assessment": "pass",
                    "min_n": 200,
                    "time": at,
                }
            ],
            "explanations": [
                {"verified": True, "residual_max": 1e-9, "tolerance": 1e-6, "time": at}
            ],
            "approvals": [{"verified": True, "approver": "bob", "outcome": "approved", "time": at}],
        },
    )
