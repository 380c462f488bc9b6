"""The engine in force: made anew when its files change, and denying while it cannot be made."""

from __future__ import annotations

import json
import os
import threading

import pytest

import affidavit as aff
from affidavit import _engines
from affidavit._home import create_home
from affidavit.errors import ConfigurationError
from affidavit.policies import CachedEngine, open_bundle, server_bundle

STRICT = {"purpose": {"datasets": {"people": {"purposes": ["audit"]}}}}


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A home whose settings name a bundle's file; its `write` puts a bundle there."""
    path = tmp_path / "affidavit.toml"
    path.write_text('[policy]\npacks = "bundle.tar.gz"\n')
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(path))
    home, _ = create_home(tmp_path / "home", actor="tester")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(home.folder))
    return home


@pytest.fixture
def read():
    @aff.data("people", purpose="research")
    def read():
        import pandas as pd

        return pd.DataFrame({"age": [36, 85]})

    return read


def newest(home):
    reader = aff.Reader(home)
    return reader.decision(reader.decisions(limit=1)[0]["id"]).record["decision"]


def test_a_changed_bundle_is_in_force_at_the_next_call_with_its_digest(configured, read, tmp_path):
    file = tmp_path / "bundle.tar.gz"
    lenient = server_bundle(file)
    read()
    assert newest(configured)["bundle_digest"] == lenient.digest
    strict = server_bundle(file, data=STRICT)
    with pytest.raises(aff.PolicyDenied, match=r"purpose\.not_permitted"):
        read()
    assert newest(configured)["bundle_digest"] == strict.digest != lenient.digest
    server_bundle(file)
    read()
    assert newest(configured)["bundle_digest"] == lenient.digest


@pytest.mark.parametrize("broken", ["cut", "gone", "junk"])
def test_a_broken_bundle_denies_on_the_record_until_it_is_mended(
    configured, read, tmp_path, monkeypatch, broken
):
    monkeypatch.setattr(_engines, "PAUSE_S", 0.0)
    file = tmp_path / "bundle.tar.gz"
    server_bundle(file)
    whole = file.read_bytes()
    read()
    if broken == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:-20] if broken == "cut" else b"junk")
    for _ in range(2):
        with pytest.raises(aff.PolicyDenied, match=r"engine\.unloadable.*bundle") as denied:
            read()
        assert denied.value.decision.deny[0].rule == "engine.unloadable"
    kept = newest(configured)
    assert kept["allow"] is False
    assert kept["bundle_digest"] == ""
    assert kept["input_digest"].startswith("hmac-sha256:")
    file.write_bytes(whole)
    read()
    assert newest(configured)["allow"] is True


def test_a_changed_folder_of_packs_is_noticed_when_its_manifest_is_written(
    configured, read, tmp_path
):
    (tmp_path / "affidavit.toml").write_text('[policy]\npacks = "built"\n')
    bundle, built = open_bundle(), tmp_path / "built"
    files = {"policy.wasm": bundle.module, **bundle.sources, **bundle.schemas}

    def build(data):
        for name, content in files.items():
            (built / name).parent.mkdir(parents=True, exist_ok=True)
            (built / name).write_bytes(content)
        (built / "packs" / "data.json").write_text(json.dumps(data))
        from affidavit.policies._manifest import file_digest

        digest = file_digest((built / "packs" / "data.json").read_bytes())
        manifest = {**bundle.manifest, "data": {"packs/data.json": digest}}
        (built / "manifest.new").write_text(json.dumps(manifest))
        (built / "manifest.new").replace(built / "manifest.json")

    build(dict(bundle.data))
    read()
    build(dict(bundle.with_data(STRICT).data))
    with pytest.raises(aff.PolicyDenied, match=r"purpose\.not_permitted"):
        read()


def test_threads_see_the_old_or_the_new_bundle_and_nothing_else(configured, read, tmp_path):
    file = tmp_path / "bundle.tar.gz"
    lenient = server_bundle(file)
    read()
    seen, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            engine = _engines.engine_for(aff.load_settings(), b"k" * 32)
            document = {
                "action": "data.read",
                "actor": {"id": "ada", "roles": []},
                "purpose": "research",
                "resource": {"kind": "dataset", "name": "people", "digest": "", "tags": []},
                "columns": [],
                "environment": "development",
                "time": "2026-11-21T10:00:00Z",
                "request_id": "r-1",
            }
            decision = engine.decide("affidavit/data_read", document)
            seen.append((decision.bundle_digest, decision.allow))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        strict = server_bundle(file, data=STRICT)
        for _ in range(200):
            ends = [pair for pair in seen if pair[0] == strict.digest]
            if len(ends) > 20:
                break
            threading.Event().wait(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {(lenient.digest, True), (strict.digest, False)} >= set(seen)
    assert (strict.digest, False) in seen


def test_an_engine_that_was_replaced_gives_its_memory_and_its_clock_thread_back(
    configured, read, tmp_path
):
    file = tmp_path / "bundle.tar.gz"
    clocks = []
    for number in range(4):
        roles = {"guest": {"permissions": [{"actions": ["data.read"], "tags": [str(number)]}]}}
        server_bundle(file, data={"access": {"roles": roles}})
        read()
        for thread in threading.enumerate():
            if thread.name == "affidavit-opa-close":
                thread.join(10)
        clocks.append(sum("epoch-ticker" in thread.name for thread in threading.enumerate()))
    assert max(clocks[1:]) <= clocks[0] + 1


def test_one_engine_serves_while_nothing_changes(configured, tmp_path):
    server_bundle(tmp_path / "bundle.tar.gz")
    first = _engines.engine_for(aff.load_settings(), b"k")
    assert isinstance(first, CachedEngine)
    assert _engines.engine_for(aff.load_settings(), b"k") is first
    assert _engines.engine_for(aff.load_settings(), b"l") is not first
    assert _engines.engine_for(aff.load_settings(), b"k") is first
    os.utime(tmp_path / "bundle.tar.gz", ns=(1, 1))
    assert _engines.engine_for(aff.load_settings(), b"k") is not first


@pytest.mark.parametrize("value", ["0", "-1", "61", "true", '"1"', "nan"])
def test_a_time_budget_that_is_none_is_refused(configured, tmp_path, value):
    (tmp_path / "affidavit.toml").write_text(f"[policy]\ntimeout = {value}\n")
    with pytest.raises(ConfigurationError, match=r"policy\.timeout"):
        aff.load_settings()


def keys(folder, name):
    """A new key on P-256: its private half in PEM, and the file of its public one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / f"{name}.pub"
    path.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    how = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(serialization.Encoding.PEM, *how), path


def test_with_a_verification_key_only_what_it_signed_decides(
    configured, read, tmp_path, monkeypatch
):
    monkeypatch.setattr(_engines, "PAUSE_S", 0.0)
    mine, _ = keys(tmp_path, "mine")
    other, _ = keys(tmp_path, "other")
    settings = '[policy]\npacks = "bundle.tar.gz"\nverification_key = "mine.pub"\nscope = "prod"\n'
    (tmp_path / "affidavit.toml").write_text(settings)
    file = tmp_path / "bundle.tar.gz"
    signed = server_bundle(file, key=mine, scope="prod")
    read()
    assert newest(configured)["bundle_digest"] == signed.digest
    for wrong in ({}, {"key": other, "scope": "prod"}, {"key": mine, "scope": "test"}):
        server_bundle(file, **wrong)
        with pytest.raises(aff.PolicyDenied, match=r"engine\.unloadable.*sign"):
            read()
    server_bundle(file, key=mine, scope="prod")
    read()
    (tmp_path / "mine.pub").write_bytes((tmp_path / "other.pub").read_bytes())
    with pytest.raises(aff.PolicyDenied, match=r"engine\.unloadable.*sign"):
        read()


@pytest.mark.parametrize(
    "settings",
    [
        'verification_key = "mine.pub"',
        'verification_key = "mine.pub"\npacks = "bundle.tar.gz"\ndata = "data.json"',
        'verification_key = "absent.pub"\npacks = "bundle.tar.gz"',
        'verification_key = "mine.pub"\nengine = "opa"\nurl = "http://127.0.0.1:9"',
        'engine = "opa"',
    ],
)
def test_settings_that_verify_nothing_deny(configured, read, tmp_path, settings):
    mine, _ = keys(tmp_path, "mine")
    (tmp_path / "data.json").write_text('{"access": {"default_role": "engineer"}}')
    server_bundle(tmp_path / "bundle.tar.gz", key=mine)
    (tmp_path / "affidavit.toml").write_text(f"[policy]\n{settings}\n")
    with pytest.raises(aff.PolicyDenied, match=r"engine\.unloadable"):
        read()
    assert newest(configured)["allow"] is False
