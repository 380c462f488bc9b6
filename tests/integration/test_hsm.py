"""Keys on a PKCS#11 token, shown with SoftHSM: the private half never leaves it."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from logs import dataset
from real import ROOT, need, softhsm_library

import affidavit as aff
from affidavit import _home
from affidavit._bundle_home import export_bundle
from affidavit._enrolment import enrol, rotate
from affidavit.errors import KeyFileError, MissingDependencyError
from affidavit.lineage import open_signer, parse_entry, public_at

pytestmark = pytest.mark.real

ME = "engineer@example.org"
PIN, LABEL = "271828", "affidavit-test"
RECORDER, ADA, LARGE = (f"hsm:{number}?label={LABEL}" for number in (2, 3, 4))


@pytest.fixture(scope="session")
def token(tmp_path_factory):
    """A token with three EC keys: 02 and 03 of P-256, 04 of P-384."""
    library = softhsm_library()
    need(importlib.util.find_spec("pkcs11"), "python-pkcs11 is not installed (affidavit[hsm])")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(config)
    os.environ["PYKCS11LIB"] = library
    made = ["softhsm2-util", "--init-token", "--free", "--label", LABEL]
    made += ["--pin", PIN, "--so-pin", "314159"]
    subprocess.run(made, check=True, capture_output=True)
    for number, curve in (("02", "prime256v1"), ("03", "prime256v1"), ("04", "secp384r1")):
        tool = ["pkcs11-tool", "--module", library, "--token-label", LABEL, "--login"]
        tool += ["--pin", PIN, "--keypairgen", "--key-type", f"EC:{curve}", "--id", number]
        subprocess.run(tool, check=True, capture_output=True)
    yield LABEL
    del os.environ["SOFTHSM2_CONF"], os.environ["PYKCS11LIB"]


@pytest.fixture
def home(token, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFIDAVIT_ACTOR", ME)
    monkeypatch.setenv("AFFIDAVIT_HSM_PIN", PIN)
    made, _ = aff.create_home(tmp_path / ".affidavit", actor=ME)
    monkeypatch.setenv("AFFIDAVIT_HOME", str(made.folder))
    yield made
    made.close()


def test_the_recorder_signs_with_a_key_on_the_token(home, tmp_path):
    before = home.record(dataset(1))
    change = rotate(home, "recorder", actor=ME, uri=RECORDER)
    assert home.recorder.keyid == change.keyid == public_at(RECORDER, lambda _: PIN).keyid
    files = {path.name for path in (home.folder / "keys").iterdir()}
    assert "recorder.uri" in files
    assert "recorder.pem" not in files
    assert PIN not in (home.folder / "keys" / "recorder.uri").read_text()
    after = home.record(dataset(2))
    assert aff.verify_home(home).ok
    for index in (before, after):
        aff.verified_statement(home, index)
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(export_bundle(home, aff.load_settings(), str(after)))
    # The program of one file, in a process that has no token.
    script = ROOT / "lineage" / "standalone" / "verify_evidence.py"
    command = [sys.executable, str(script), str(archive), "--key", str(home.folder / "log.pub")]
    bare = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_library_accepts_the_tokens_envelope_and_not_with_a_bit_changed(home):
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    rotate(home, "recorder", actor=ME, uri=RECORDER)
    body = json.loads(home.ledger.entry(home.record(dataset(1))))
    public = home.recorder.public
    key = SSlibKey(public.keyid, "ecdsa", public.scheme, {"public": public.pem})
    Envelope.from_dict(json.loads(json.dumps(body))).verify([key], 1)
    other = json.loads(json.dumps(body))
    changed = bytearray(base64.b64decode(other["payload"]))
    changed[-2] ^= 1
    other["payload"] = base64.b64encode(bytes(changed)).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(other).verify([key], 1)


def test_an_approver_signs_with_a_key_on_the_token(home):
    from affidavit.lineage import APPROVAL, Resource, Statement, timestamp

    enrol(home, "ada@example.org", "approver", actor=ME, uri=ADA)
    name = "approver-ada@example.org"
    key = home.keyring.person(name, "ada@example.org", "approver")
    facts = {"name": "m", "actor": "ada@example.org", "time": timestamp(), "outcome": "approved"}
    signed = Statement((Resource("m", "0" * 64),), APPROVAL, facts).sign(key)
    aff.verified_statement(home, home.record(signed.to_bytes()))
    with pytest.raises(KeyFileError, match="not 'bob"):
        home.keyring.person(name, "bob@example.org", "approver")
    assert aff.verify_home(home).ok


def test_a_missing_or_wrong_pin_is_told_and_tried_once(home, monkeypatch):
    rotate(home, "recorder", actor=ME, uri=RECORDER)
    size = home.ledger.head().size
    monkeypatch.delenv("AFFIDAVIT_HSM_PIN")
    fresh = _home.Home(home.folder)
    with pytest.raises(KeyFileError, match="asks for its pin") as told:
        fresh.record(dataset(1))
    assert "AFFIDAVIT_HSM_PIN" in told.value.hint
    tried = []

    def pin(_):
        tried.append(1)
        return "000000"

    signer = open_signer(RECORDER, home.recorder.public, pin)
    with pytest.raises(KeyFileError, match="PinIncorrect"):
        signer.sign(b"x")
    with pytest.raises(KeyFileError, match="not tried again"):
        signer.sign(b"x")
    assert tried == [1], "a token locks itself after a few wrong PINs"
    assert home.ledger.head().size == size
    fresh.close()


def test_a_uri_that_leads_to_another_key_signs_nothing(home):
    rotate(home, "recorder", actor=ME, uri=RECORDER)
    path = home.folder / "keys" / "recorder.uri"
    path.write_text(path.read_text().replace("hsm:2", "hsm:3"))
    fresh = _home.Home(home.folder)
    size = fresh.ledger.head().size
    with pytest.raises(KeyFileError, match="another key than the enrolled"):
        fresh.record(dataset(1))
    assert fresh.ledger.head().size == size
    fresh.close()


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        (LARGE, "curve secp384r1, not P-256"),
        (f"hsm:9?label={LABEL}", "could not find"),
        ("hsm:2?label=nowhere", "No PKCS#11 token"),
        ("hsm:two", "cannot be used"),
        ("file2:/etc/passwd", "does not name a key"),
        ("awskms:alias/x", "not fetched from here"),
        ("hsm:2\n", "does not name a key"),
        ("hsm", "does not name a key"),
    ],
)
def test_a_key_that_cannot_be_enrolled_changes_nothing(home, uri, match):
    size, files = home.ledger.head().size, sorted((home.folder / "keys").iterdir())
    with pytest.raises(KeyFileError, match=match):
        enrol(home, "ada@example.org", "recorder", actor=ME, uri=uri)
    assert home.ledger.head().size == size
    assert sorted((home.folder / "keys").iterdir()) == files
    home.record(dataset(1))


def test_the_way_back_to_a_key_file(home):
    rotate(home, "recorder", actor=ME, uri=RECORDER)
    rotate(home, "recorder", actor=ME)
    files = {path.name for path in (home.folder / "keys").iterdir()}
    assert "recorder.pem" in files
    assert "recorder.uri" not in files
    home.record(dataset(1))
    assert aff.verify_home(home).ok


def test_threads_and_forked_children_sign_too(home):
    rotate(home, "recorder", actor=ME, uri=RECORDER)
    threads = [threading.Thread(target=home.record, args=(dataset(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pid = os.fork()
    if pid == 0:
        try:
            child = _home.Home(home.folder)
            child.record(dataset(9))
            child.close()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # a child of a test ends here whatever happens
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    report = aff.verify_home(home)
    assert (report.ok, report.statements) == (True, 1 + 1 + 6 + 1)


def test_without_the_extra_the_error_names_it(home, monkeypatch):
    public = public_at(RECORDER, lambda _: PIN)
    monkeypatch.setitem(sys.modules, "securesystemslib.signer", None)
    with pytest.raises(MissingDependencyError, match=r"affidavit\[hsm\]"):
        open_signer(RECORDER, public, lambda _: PIN).sign(b"x")


def test_the_command_line_rotates_to_the_token(home):
    command = [str(Path(sys.executable).parent / "affidavit")]
    words = ["keys", "rotate", "recorder", "--uri", RECORDER, "--json"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["keyid"] == home.recorder.keyid
    (entry,) = [home.record(dataset(1))]
    envelope, _ = parse_entry(home.ledger.entry(entry))
    assert envelope.signatures[0][0] == home.recorder.keyid
    listed = subprocess.run([*command, "keys", "list"], capture_output=True, text=True, check=True)
    assert "ecdsa-sha2-nistp256" in " ".join(listed.stdout.split())
