"""Real witnesses on loopback: honest growth is cosigned, a fork never, and a quorum is kept."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from affidavit import _witnesses as client
from affidavit._home import create_home
from affidavit._witness_server import MAX_BODY, WitnessServer, open_witness
from affidavit._witnesses import WitnessAddress, cosign, cosigned_note, note_path
from affidavit.errors import (
    CheckpointError,
    ConfigurationError,
    KeyFileError,
    LedgerCorruptError,
)
from affidavit.lineage import (
    TlogProof,
    check_quorum,
    new_id,
    open_checkpoint,
    record_bytes,
    timestamp,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    made, _ = create_home(tmp_path / "home", actor="operator", origin="witnessed.example/log")
    yield made
    made.close()


def grow(home, count=1):
    facts = {"time": timestamp(), "actor": "a", "action": "read", "object": "o"}
    home.record(*(record_bytes("access", {"id": new_id(), **facts}) for _ in range(count)))


@contextmanager
def serving(folder, logs, name=""):
    witness, verifier = open_witness(folder, logs, name=name)
    server = WitnessServer(("127.0.0.1", 0), witness)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield WitnessAddress(server.url, verifier)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def two(home, tmp_path):
    logs = [home.verifier]
    with (
        serving(tmp_path / "w1", logs, "one.example/w") as one,
        serving(tmp_path / "w2", logs, "two.example/w") as other,
    ):
        yield [one, other]


def test_two_witnesses_cosign_a_growing_log(home, two, tmp_path):
    for step in range(4):
        grow(home, step * 3 + 1)
        done = cosign(home, two, 2)
        assert done.refusals == {}
        assert done.checkpoint == home.ledger.head()
        assert cosigned_note(home) == done.note
        keys = [one.verifier for one in two]
        assert len(check_quorum(done.note, keys, 2)) == 2
        assert open_checkpoint(done.note, home.verifier).size == done.checkpoint.size


def test_a_checkpoint_can_be_cosigned_again(home, two):
    first, second = cosign(home, two, 2), cosign(home, two, 2)
    assert first.checkpoint == second.checkpoint


def test_a_client_that_forgot_learns_the_size_from_the_witness(home, two):
    cosign(home, two, 2)
    note_path(home).unlink()
    grow(home, 5)
    assert cosign(home, two, 2).checkpoint.size == 6


def test_one_witness_that_is_down_does_not_hinder_a_quorum_of_one(home, two):
    dead = WitnessAddress("http://127.0.0.1:1", two[1].verifier)
    done = cosign(home, [two[0], dead], 1)
    assert list(done.refusals) == ["two.example/w"]
    assert "cannot be reached" in done.refusals["two.example/w"]
    with pytest.raises(CheckpointError, match="1 of 2 witnesses cosigned; 2 are needed"):
        cosign(home, [two[0], dead], 2)


def test_a_fork_gets_no_cosignature_and_moves_no_state(home, two, tmp_path):
    from affidavit._home import Home

    fork = Home(shutil.copytree(home.folder, tmp_path / "fork"))
    grow(home, 3)
    cosign(home, two, 2)
    states = [(tmp_path / name / "state.json").read_bytes() for name in ("w1", "w2")]
    for size in (2, 3, 5):
        grow(fork, size)
        with pytest.raises(CheckpointError, match="0 of 2 witnesses") as raised:
            cosign(fork, two, 1)
        assert re.search("another tree|cut off|422", raised.value.message)
        assert cosigned_note(fork) is None
    assert states == [(tmp_path / name / "state.json").read_bytes() for name in ("w1", "w2")]
    grow(home)
    assert cosign(home, two, 2).checkpoint.size == 5
    fork.close()


def test_a_log_that_was_cut_off_is_told_so(home, two, tmp_path):
    from affidavit._home import Home

    early = Home(shutil.copytree(home.folder, tmp_path / "early"))
    grow(home, 7)
    cosign(home, two, 2)
    with pytest.raises(CheckpointError, match="it has seen 8 entries, the log has 1"):
        cosign(early, two, 1)
    early.close()


def test_a_witness_under_another_key_does_not_count(home, two):
    swapped = [WitnessAddress(two[0].url, two[1].verifier)]
    with pytest.raises(CheckpointError, match="no cosignature of the key that you gave"):
        cosign(home, swapped, 1)
    assert cosigned_note(home) is None


def test_a_longer_note_is_never_replaced_by_a_shorter_one(home, two, tmp_path):
    from affidavit._home import Home

    early = Home(shutil.copytree(home.folder, tmp_path / "early"))
    grow(home, 3)
    note = cosign(home, two, 2).note
    shutil.copytree(home.folder / "witness", early.folder / "witness")
    with serving(tmp_path / "w3", [home.verifier]) as newcomer:
        assert cosign(early, [newcomer], 1).checkpoint.size == 1
    assert cosigned_note(early) == note
    early.close()


def test_a_witness_keeps_its_key_and_state_over_a_restart(home, tmp_path):
    grow(home, 3)
    with serving(tmp_path / "w", [home.verifier]) as first:
        cosign(home, [first], 1)
    with serving(tmp_path / "w", [home.verifier]) as again:
        assert again.verifier == first.verifier
        grow(home)
        assert cosign(home, [again], 1).checkpoint.size == 5
    assert (tmp_path / "w" / "witness.pem").stat().st_mode & 0o777 == 0o600


def test_a_witness_that_lost_its_state_or_key_does_not_start(home, tmp_path):
    for lost, error in (("state.json", Exception), ("witness.pem", KeyFileError)):
        folder = tmp_path / lost
        open_witness(folder, [home.verifier])
        (folder / lost).unlink()
        with pytest.raises(error):
            open_witness(folder, [home.verifier])


def test_a_witness_with_a_damaged_state_does_not_start(home, tmp_path):
    open_witness(tmp_path / "w", [home.verifier])
    (tmp_path / "w" / "state.json").write_bytes(b"{")
    with pytest.raises(LedgerCorruptError):
        open_witness(tmp_path / "w", [home.verifier])


def test_a_witness_does_not_change_its_name(home, tmp_path):
    open_witness(tmp_path / "w", [home.verifier], name="one")
    with pytest.raises(KeyFileError, match="not what was asked for"):
        open_witness(tmp_path / "w", [home.verifier], name="two")


def post(url, path, body, headers):
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.putrequest("POST", path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/add-checkpoint", {}, 411),
        ("/add-checkpoint", {"Content-Length": "x"}, 411),
        ("/add-checkpoint", {"Content-Length": "-1"}, 411),
        ("/add-checkpoint", {"Transfer-Encoding": "chunked"}, 411),
        ("/add-checkpoint", {"Content-Length": str(MAX_BODY + 1)}, 413),
        ("/add-checkpoint", {"Content-Length": "9" * 30}, 413),
        ("/add-checkpoint", {"Content-Length": "0"}, 400),
        ("/add-checkpoint/../x", {"Content-Length": "0"}, 404),
        ("/", {"Content-Length": "0"}, 404),
    ],
)
def test_the_server_bounds_what_it_reads(two, path, headers, status):
    assert post(two[0].url, path, b"", headers)[0] == status


def test_the_server_answers_many_requests_on_one_connection(two):
    host, port = two[0].url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    for _ in range(5):
        connection.request("POST", "/add-checkpoint", b"old x\n")
        response = connection.getresponse()
        assert response.status == 400
        response.read()
    connection.request("GET", "/add-checkpoint")
    assert connection.getresponse().status == 501
    connection.close()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "witness", "file:///etc/passwd"])
def test_only_http_is_spoken_to_a_witness(url):
    with pytest.raises(ConfigurationError, match="not the address"):
        client._post(url, b"")


def test_the_command_line_asks_keeps_and_verifies(home, two, cli, tmp_path):
    grow(home, 3)
    keys = []
    for number, one in enumerate(two):
        keys.append(tmp_path / f"w{number}.pub")
        keys[-1].write_text(f"{one.verifier}\n")
    pairs = ["--witness", two[0].url, "--key", keys[0], "--witness", two[1].url, "--key", keys[1]]
    code, out, _ = cli("cosign", *pairs, "--json")
    said = json.loads(out)
    assert (code, said["size"], said["witnesses"]) == (0, 4, ["one.example/w", "two.example/w"])
    both = ["--witness-key", keys[0], "--witness-key", keys[1]]
    code, out, _ = cli("verify", *both)
    assert (code, "one.example/w, two.example/w cosigned" in out) == (0, True)
    proof, entry = tmp_path / "x.tlog-proof", tmp_path / "x.json"
    assert cli("proof", "2", "-o", proof, "--entry", entry)[0] == 0
    assert len(check_quorum(TlogProof.parse(proof.read_bytes()).checkpoint,
                            [one.verifier for one in two], 2)) == 2  # fmt: skip
    key = home.folder / "log.pub"
    check = ["proof", "--check", proof, "--entry", entry, "--key", key]
    assert cli(*check, *both)[0] == 0
    plain = tmp_path / "plain"
    assert cli("checkpoint", "-o", plain)[0] == 0
    code, _, err = cli("verify", "--checkpoint", plain, *both)
    assert (code, "0 of the known witnesses" in err) == (1, True)
    assert cli("verify", "--checkpoint", plain, *both, "--quorum", "3")[0] == 2
    code, _, err = cli("cosign", *pairs[:4], "--key", keys[1])
    assert (code, "1 addresses and 2 keys" in err) == (2, True)


def test_verify_compares_the_log_with_what_witnesses_cosigned(
    home, two, cli, tmp_path, monkeypatch
):
    grow(home, 3)
    early = shutil.copytree(home.folder, tmp_path / "early")
    grow(home, 3)
    cosign(home, two, 2)
    shutil.copytree(home.folder / "witness", early / "witness")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(early))
    code, out, _ = cli("verify", "--json")
    assert code == 1
    assert [e["code"] for e in json.loads(out)["errors"]] == ["entries-cut-off"]


def test_verify_without_a_cosigned_note_says_what_to_do(home, cli, two, tmp_path):
    key = tmp_path / "w.pub"
    key.write_text(str(two[0].verifier))
    code, _, err = cli("verify", "--witness-key", key)
    assert (code, "affidavit cosign" in err) == (2, True)


def test_the_witness_command_serves_until_it_is_stopped(home, tmp_path):
    command = [
        *(sys.executable, "-c", "from affidavit.cli import main; main()", "witness"),
        *("--state", tmp_path / "w", "--log", home.folder / "log.pub"),
        *("--listen", "127.0.0.1:0", "--name", "cli.example/w"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("cli.example/w+")
            verifier, _, url = line.strip().partition(" listens on ")
            assert verifier == (tmp_path / "w" / "witness.pub").read_text().strip()
            from affidavit.lineage import WitnessVerifier

            done = cosign(home, [WitnessAddress(url, WitnessVerifier.parse(verifier))], 1)
            assert done.checkpoint == home.ledger.head()
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("listen", ["127.0.0.1", "x:y", ":80", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(home, cli, tmp_path, listen):
    key = home.folder / "log.pub"
    code, _, err = cli("witness", "--state", tmp_path / "w", "--log", key, "--listen", listen)
    assert (code, "is no address" in err) == (2, True)
