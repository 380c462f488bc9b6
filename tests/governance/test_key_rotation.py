"""Keys of a home: enrolled, rotated, revoked, found again after a crash, and passphrases."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from logs import dataset
from trust_logs import EcKey
from typer.testing import CliRunner

import affidavit as aff
from affidavit import _enrolment, _home
from affidavit._enrolment import enrol, list_keys, revoke, rotate
from affidavit._passphrases import change_passphrase
from affidavit.cli import app
from affidavit.errors import ConfigurationError, KeyFileError, LedgerCorruptError, NotFoundError
from affidavit.lineage import PublicKey, SigningKey, read_key

ME = "engineer@example.org"
ADA = "ada@example.org"


def run(*words, env=None):
    return CliRunner().invoke(app, list(words), env=env)


def pem(home, name):
    return home.folder / "keys" / f"{name}.pem"


def names(home):
    return sorted(path.name for path in (home.folder / "keys").iterdir())


def test_a_rotated_recorder_signs_on_with_its_new_key(home):
    old = home.recorder.keyid
    home.record(dataset(1))
    before = names(home)
    change = rotate(home, "recorder", actor=ME)
    assert (change.former, change.identity) == (old, "recorder")
    assert home.recorder.keyid == change.keyid != old
    assert read_key(pem(home, "recorder")).keyid == change.keyid
    assert names(home) == before
    home.record(dataset(2))
    report = aff.verify_home(home)
    assert report.ok
    assert not report.distrusted


def test_a_process_that_kept_the_old_key_takes_the_new_one(home):
    other = _home.Home(home.folder)
    old = other.recorder.keyid
    rotate(home, "recorder", actor=ME)
    index = other.record(dataset(1))
    assert other.recorder.keyid != old
    aff.verified_statement(other, index)
    assert aff.verify_home(home).ok
    other.close()


def test_a_key_that_is_rotated_between_signing_and_appending_leaves_no_bad_entry(home):
    other, once = _home.Home(home.folder), [True]
    append = other.ledger.append

    def slow(*given, **more):
        if once.pop() if once else False:
            rotate(home, "recorder", actor=ME)
        return append(*given, **more)

    other.ledger.append = slow
    index = other.record(dataset(1))
    assert not once
    aff.verified_statement(other, index)
    assert aff.verify_home(home).ok
    other.close()


def test_a_statement_signed_elsewhere_is_not_appended_once_its_key_is_out(home):
    key = home.recorder
    signed = dataset(1).sign(key).to_bytes()
    rotate(home, "recorder", actor=ME)
    size = home.ledger.head().size
    with pytest.raises(KeyFileError, match="would not verify"):
        home.record(signed)
    assert home.ledger.head().size == size


def test_a_restored_old_key_file_is_refused_in_plain_words(home):
    old = pem(home, "recorder").read_bytes()
    rotate(home, "recorder", actor=ME)
    pem(home, "recorder").write_bytes(old)
    fresh = _home.Home(home.folder)
    with pytest.raises(KeyFileError, match=r"not in force as recorder.*restore the newer") as told:
        fresh.record(dataset(1))
    assert "keys rotate" in told.value.hint
    assert aff.verify_home(home).ok
    rotate(fresh, "recorder", actor=ME)  # what the hint says
    fresh.record(dataset(1))
    fresh.close()


@pytest.mark.parametrize("moment", ["before the entry", "after the entry"])
def test_a_crash_while_rotating_leaves_a_home_that_signs(home, monkeypatch, moment):
    old = home.recorder.keyid
    with monkeypatch.context() as patch:
        if moment == "before the entry":
            # As a kill would: what is on disk stays, and no handler runs.
            patch.setattr(home.ledger, "append", lambda *_, **__: os._exit(9))
        else:
            patch.setattr(_enrolment, "move_secret", lambda *_: os._exit(9))
        pid = os.fork()
        if pid == 0:
            rotate(home, "recorder", actor=ME)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    assert "recorder.next.pem" in names(home)
    again = _home.Home(home.folder)
    assert (again.recorder.keyid == old) is (moment == "before the entry")
    again.record(dataset(1))
    rotate(again, "recorder", actor=ME)
    assert "recorder.next.pem" not in names(again)
    again.record(dataset(2))
    assert aff.verify_home(again).ok
    again.close()


def test_a_key_file_that_cannot_be_moved_is_used_where_it_is(home, monkeypatch):
    def refuse(*_):
        raise KeyFileError("The key file cannot be replaced: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(_enrolment, "move_secret", refuse)
        with pytest.raises(KeyFileError, match="No space"):
            rotate(home, "recorder", actor=ME)
    home.record(dataset(1))
    assert aff.verify_home(home).ok


def test_changes_of_the_trust_root_at_once_lose_none(home):
    people = [f"p{n}@example.org" for n in range(6)]
    homes = [_home.Home(home.folder) for _ in people]
    threads = [
        threading.Thread(target=enrol, args=(one, person, "approver"), kwargs={"actor": ME})
        for one, person in zip(homes, people, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {k.identity for k in home.trust_root().keys.values()} >= set(people)
    assert aff.verify_home(home).ok


def test_a_revoked_recorder_is_replaced_in_the_same_entry(home):
    home.record(dataset(1))
    bad = home.record(dataset(2))
    old = home.recorder.keyid
    change = rotate(home, "recorder", actor=ME, revocation=("laptop stolen", bad))
    assert home.trust_root().revoked[0].since == bad
    report = aff.verify_home(home)
    assert report.ok
    assert [fault.index for fault in report.distrusted] == [bad]
    with pytest.raises(aff.AffidavitError, match=f"revokes from entry {bad} on: laptop stolen"):
        aff.verified_statement(home, bad)
    home.record(dataset(3))
    enrol(home, ADA, "approver", actor=ME)  # a later trust root
    assert [fault.index for fault in aff.verify_home(home).distrusted] == [bad]
    states = {k["keyid"]: k["state"] for k in list_keys(home, every=True)}
    assert (states[old], states[change.keyid]) == ("revoked", "in force")
    assert old not in {k["keyid"] for k in list_keys(home)}


def test_a_revocation_can_be_moved_back_and_not_forward(home):
    old = home.recorder.keyid
    first, second = home.record(dataset(1)), home.record(dataset(2))
    rotate(home, "recorder", actor=ME, revocation=("stolen", second))
    for since in (None, second, second + 1):
        with pytest.raises(ConfigurationError, match="already"):
            revoke(home, old[:12], actor=ME, reason="stolen", since=since)
    revoke(home, old[:12], actor=ME, reason="stolen earlier", since=first)
    report = aff.verify_home(home)
    assert [fault.index for fault in report.distrusted] == [first, second]
    assert report.ok


def test_a_revoked_key_never_comes_back(home):
    key = SigningKey.generate()
    public = key.public.pem.encode()
    enrol(home, ADA, "approver", actor=ME, public=public)
    revoke(home, ADA, actor=ME, reason="left")
    size = home.ledger.head().size
    with pytest.raises(KeyFileError, match="revoked for good"):
        enrol(home, ADA, "approver", actor=ME, public=public)
    with pytest.raises(KeyFileError, match="revoked for good"):
        rotate(home, "recorder", actor=ME, public=public)
    assert home.ledger.head().size == size
    home.record(dataset(1))
    assert aff.verify_home(home).ok


def test_one_key_is_one_persons(home):
    public = SigningKey.generate().public.pem.encode()
    enrol(home, ADA, "approver", actor=ME, public=public)
    with pytest.raises(KeyFileError, match="one key is one person's"):
        enrol(home, "bob@example.org", "approver", actor=ME, public=public)


@pytest.mark.parametrize("act", ["rotate", "revoke"])
def test_what_cannot_be_changed_is_refused_with_the_way_out(home, act):
    def change(who, **more):
        if act == "rotate":
            return rotate(home, who, actor=ME)
        return revoke(home, who, actor=ME, **{"reason": "x", **more})

    size = home.ledger.head().size
    with pytest.raises(ConfigurationError, match="log's own key"):
        change("log")
    with pytest.raises(NotFoundError, match="No key of 'nobody'"):
        change("nobody")
    with pytest.raises(NotFoundError):
        change(home.recorder.keyid[:7])
    if act == "revoke":
        with pytest.raises(ConfigurationError, match="reason"):
            change("recorder", reason=" ")
        for since in (-1, size + 1):
            with pytest.raises(ConfigurationError, match=f"0 to {size}"):
                change("recorder", since=since)
    assert home.ledger.head().size == size


def test_a_person_with_two_keys_is_asked_which(home):
    enrol(home, ADA, "approver", actor=ME)
    change = enrol(home, ADA, "recorder", actor=ME)
    with pytest.raises(NotFoundError, match="several keys"):
        rotate(home, ADA, actor=ME)
    assert rotate(home, change.keyid[:16], actor=ME).former == change.keyid


def spki(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _flipped(der):
    return der[:-1] + bytes([der[-1] ^ 1])


REFUSED = {
    "P-384": lambda: spki(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": lambda: spki(ec.generate_private_key(ec.SECP256K1())),
    "compressed": lambda: (
        bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
        + ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    ),
    "off the curve": lambda: _flipped(EcKey.generate().public.spki),
    "long form length": lambda: b"\x30\x81\x59" + EcKey.generate().public.spki[2:],
    "trailing byte": lambda: EcKey.generate().public.spki + b"\x00",
    "cut short": lambda: EcKey.generate().public.spki[:-1],
    "weak Ed25519": lambda: PublicKey(bytes(32)).spki,
    "not canonical Ed25519": lambda: PublicKey((2**255 - 18).to_bytes(32, "little")).spki,
    "two keys": (SigningKey.generate().public.pem * 2).encode,
    "a private key": lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_weak_or_unusual_public_key_is_not_enrolled(home, name):
    content = REFUSED[name]()
    size = home.ledger.head().size
    with pytest.raises(KeyFileError):
        enrol(home, ADA, "approver", actor=ME, public=content)
    assert home.ledger.head().size == size


@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_key_that_stays_with_its_holder_is_enrolled_by_its_public_half(home, form):
    key = EcKey.generate()
    content = key.public.pem.encode() if form == "pem" else key.public.spki
    before = names(home)
    change = enrol(home, ADA, "recorder", actor=ME, public=content)
    assert (change.keyid, change.path) == (key.keyid, None)
    assert names(home) == before
    index = home.record(dataset(1).sign(key).to_bytes())
    aff.verified_statement(home, index)
    assert aff.verify_home(home).ok


def test_openssl_names_the_same_key(home, tmp_path):
    made = subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"],
        capture_output=True,
        check=True,
    ).stdout
    public = subprocess.run(
        ["openssl", "pkey", "-pubout"], input=made, capture_output=True, check=True
    ).stdout
    assert PublicKey.parse(public).pem.encode() == public


def test_a_damaged_trust_root_stops_signing(home):
    with sqlite3.connect(home.database) as connection:
        body = bytes(connection.execute("SELECT body FROM entry WHERE entry = 0").fetchone()[0])
        changed = body.replace(b'"sig":"A', b'"sig":"B') if b'"sig":"A' in body else body + b" "
        connection.execute("UPDATE entry SET body = ? WHERE entry = 0", (changed,))
    connection.close()
    fresh = _home.Home(home.folder)
    with pytest.raises(LedgerCorruptError, match="affidavit verify"):
        fresh.record(dataset(1))
    fresh.close()


# -- passphrases -----------------------------------------------------------------------------

OURS = ("log", "recorder")


def opens(home, passphrase):
    return [read_key(pem(home, name), passphrase=passphrase).keyid for name in OURS]


def test_a_passphrase_is_put_on_changed_and_taken_away(home, monkeypatch):
    ids = opens(home, None)
    assert len(change_passphrase(home, None, "first")) == 2
    assert opens(home, "first") == ids
    assert b"ENCRYPTED" in pem(home, "log").read_bytes()
    assert pem(home, "log").stat().st_mode & 0o777 == 0o600
    fresh = _home.Home(home.folder)
    with pytest.raises(KeyFileError, match="has a passphrase, and none was given"):
        fresh.record(dataset(1))
    monkeypatch.setenv("AFFIDAVIT_KEY_PASSPHRASE", "wrong")
    with pytest.raises(KeyFileError, match="does not open"):
        fresh.record(dataset(1))
    monkeypatch.setenv("AFFIDAVIT_KEY_PASSPHRASE", "first")
    fresh.record(dataset(1))
    rotate(fresh, "recorder", actor=ME)
    assert read_key(pem(home, "recorder"), passphrase="first").keyid == fresh.recorder.keyid
    change_passphrase(home, "first", "second")
    opens(home, "second")
    change_passphrase(home, "second", None)
    assert opens(home, None)[0] == ids[0]
    assert not any(name.startswith(".") for name in names(home))
    fresh.close()


def test_a_wrong_passphrase_changes_nothing(home):
    change_passphrase(home, None, "first")
    before = [pem(home, name).read_bytes() for name in OURS]
    with pytest.raises(KeyFileError, match="does not open"):
        change_passphrase(home, "guess", "mine")
    with pytest.raises(KeyFileError, match="none was given"):
        change_passphrase(home, None, "mine")
    with pytest.raises(KeyFileError, match="1023 bytes"):
        change_passphrase(home, "first", "x" * 1024)
    assert [pem(home, name).read_bytes() for name in OURS] == before


def test_a_failure_between_two_files_is_finished_by_the_same_command(home, monkeypatch):
    import pathlib

    real, done = pathlib.Path.replace, []

    def once(self, target):
        if done:
            raise OSError(28, "No space left on device")
        done.append(target)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", once)
        with pytest.raises(KeyFileError, match="No space left"):
            change_passphrase(home, None, "new")
    assert not any(name.startswith(".") for name in names(home)), "no half-written key"
    read_key(pem(home, "log"), passphrase="new")
    read_key(pem(home, "recorder"))
    assert change_passphrase(home, None, "new") == [pem(home, "recorder")]
    opens(home, "new")
    assert change_passphrase(home, "new", "new") == []


# -- the commands ----------------------------------------------------------------------------


def test_the_commands_rotate_revoke_and_list(home):
    bad = home.record(dataset(1))
    old = home.recorder.keyid
    done = json.loads(run("keys", "rotate", "recorder", "--json").output)
    assert done["ok"] is True
    assert done["former"] == old
    words = ("keys", "revoke", old[:16], "--reason", "laptop stolen", "--since", str(bad))
    told = run(*words)
    assert told.exit_code == 0
    assert f"revoked from entry {bad} on" in told.output
    listed = json.loads(run("keys", "list", "--all", "--json").output)["keys"]
    gone = next(key for key in listed if key["keyid"] == old)
    assert gone["revoked"]["reason"] == "laptop stolen"
    assert "laptop stolen" in run("keys", "list", "--all").output
    checked = run("verify")
    assert checked.exit_code == 0
    assert "do not rely on them" in checked.output
    assert [f["index"] for f in json.loads(run("verify", "--json").output)["distrusted"]] == [bad]
    both = run("keys", "revoke", "recorder", "--reason", "again", "--rotate", "--json")
    assert json.loads(both.output)["keyid"] == home.recorder.keyid
    assert json.loads(run("verify", "--json").output)["ok"] is True


def test_the_passphrase_command_takes_both_from_the_environment_or_asks(home, cli, monkeypatch):
    env = {"AFFIDAVIT_NEW_KEY_PASSPHRASE": "one"}
    assert json.loads(run("keys", "passphrase", "--json", env=env).output)["ok"] is True
    opens(home, "one")
    env = {"AFFIDAVIT_KEY_PASSPHRASE": "one"}
    asked = CliRunner().invoke(app, ["keys", "passphrase"], input="two\ntwo\n", env=env)
    assert asked.exit_code == 0
    opens(home, "two")
    monkeypatch.setenv("AFFIDAVIT_KEY_PASSPHRASE", "bad")
    monkeypatch.setenv("AFFIDAVIT_NEW_KEY_PASSPHRASE", "three")
    code, _, said = cli("keys", "passphrase")
    assert code == 2
    assert "does not open" in said
    opens(home, "two")
    env = {"AFFIDAVIT_KEY_PASSPHRASE": "two"}
    assert run("keys", "passphrase", "--remove", env=env).exit_code == 0
    opens(home, None)
