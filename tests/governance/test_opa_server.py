"""The hooks with a real OPA server deciding: the same answers, and no answer is a no."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from real import ROOT, free_port, opa_binary, wait_for_port

import affidavit as aff
from affidavit._home import create_home
from affidavit.policies import server_bundle


class _Opa:
    def __init__(self, path, port):
        self.bundle = server_bundle(path)
        self.port = port
        self.process = None

    def start(self):
        command = self.bundle.command(f"127.0.0.1:{self.port}", opa=opa_binary())
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=20)


@pytest.fixture
def opa(tmp_path):
    server = _Opa(tmp_path / "bundle.tar.gz", free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def configured(opa, tmp_path, monkeypatch):
    path = tmp_path / "affidavit.toml"
    path.write_text(
        f'[policy]\nengine = "opa"\nurl = "http://127.0.0.1:{opa.port}"\n'
        f'bundle = "{opa.bundle.digest}"\n'
    )
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(path))
    home, _ = create_home(tmp_path / "home", actor="tester")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(home.folder))
    return home


def _reader(ran):
    import pandas as pd

    @aff.data("people", purpose="research", columns={"name": ["identifier"]})
    def read():
        ran.append(1)
        return pd.DataFrame({"name": ["Ada", "Ada", "Grace"], "age": [36, 36, 85]})

    return read


def test_an_opa_server_decides_and_its_obligations_are_applied(opa, configured):
    ran = []
    frame = _reader(ran)()
    assert ran == [1]
    assert set(frame["name"]).isdisjoint({"Ada", "Grace"})
    assert frame["name"][0] == frame["name"][1] != frame["name"][2]
    newest = aff.Reader(configured).decisions(limit=1)[0]
    decision = aff.Reader(configured).decision(newest["id"]).record["decision"]
    assert decision["engine"] != "embedded"
    assert decision["bundle_digest"] == opa.bundle.digest


def test_with_opa_killed_every_call_is_denied_and_recorded_until_it_is_back(opa, configured):
    ran = []
    read = _reader(ran)
    read()
    opa.kill()
    began = time.monotonic()
    with pytest.raises(aff.PolicyDenied) as denied:
        read()
    assert time.monotonic() - began < 10
    assert ran == [1]
    assert denied.value.decision.deny[0].rule.startswith("engine.")
    assert aff.Reader(configured).decisions(limit=1)[0]["allow"] is False
    opa.start()
    read()
    assert ran == [1, 1]
    assert aff.verify_home(configured).ok


def test_a_server_with_another_bundle_is_not_believed(opa, configured, tmp_path, monkeypatch):
    opa.kill()
    other = _Opa(tmp_path / "other.tar.gz", opa.port)
    lenient = {"access": {"default_role": "auditor"}}
    other.bundle = server_bundle(tmp_path / "other.tar.gz", data=lenient)
    other.start()
    try:
        ran = []
        with pytest.raises(aff.PolicyDenied):
            _reader(ran)()
        assert ran == []
    finally:
        other.kill()


def test_the_whole_small_loop_runs_with_an_opa_server(opa, configured, tmp_path):
    # The same script as the other tests' home, but here the server answers each question.
    config = tmp_path / "loop.toml"
    config.write_text(f'[policy]\nengine = "opa"\nurl = "http://127.0.0.1:{opa.port}"\n')
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "import small_home\n"
        "small_home.build(pathlib.Path(sys.argv[2]), config=pathlib.Path(sys.argv[3]))\n"
    )
    folder = tmp_path / "loop"
    support = ROOT / "tests" / "support"
    subprocess.run([sys.executable, "-c", code, support, folder, config], check=True, timeout=300)
    home = aff.open_home(folder)
    engines = {
        aff.Reader(home).decision(row["id"]).record["decision"]["engine"]
        for row in aff.Reader(home).decisions(limit=100)
    }
    assert len(engines) == 1
    assert aff.verify_home(home).ok
