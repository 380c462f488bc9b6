"""A real OPA server behind TLS under an own authority, and behind a bearer token."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from real import free_port, opa_binary, wait_for_port

from affidavit import load_settings
from affidavit._engines import engine_for
from affidavit.policies import OpaServerEngine, server_bundle

TOKEN = "correct-horse-battery-staple"  # of this test alone
AUTHORISED = f"""package system.authz

default allow := false

allow if input.identity == {json.dumps(TOKEN)}
"""


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject, issuer, key, signer, *, authority):
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """OPA with TLS and token; gives its URL, its bundle and the file of its authority."""
    folder = tmp_path_factory.mktemp("secured")
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(_certificate("Root", "Root", root, root, authority=True))
    (folder / "opa.pem").write_bytes(_certificate("OPA", "Root", leaf, root, authority=False))
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "opa.key").write_bytes(leaf.private_bytes(serialization.Encoding.PEM, *form))
    (folder / "authz.rego").write_text(AUTHORISED)
    bundle = server_bundle(folder / "bundle.tar.gz")
    port = free_port()
    command = [
        *(opa_binary(), "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error"),
        *("--tls-cert-file", str(folder / "opa.pem"), "--skip-version-check"),
        *("--tls-private-key-file", str(folder / "opa.key")),
        *("--authentication", "token", "--authorization", "basic"),
        # With --bundle, what authorises would have to be a bundle too, and there may be only one.
        *("--set", f"bundles.packs.resource=file://{bundle.path}", str(folder / "authz.rego")),
    ]
    process = subprocess.Popen(command)
    wait_for_port(port)
    yield f"https://127.0.0.1:{port}", bundle, folder / "ca.pem"
    process.kill()
    process.wait(timeout=20)


def ask(url, request_for, **options):
    decision = OpaServerEngine(url, timeout=10, **options).decide(
        "affidavit/data_read", request_for()
    )
    return decision, [finding.rule for finding in decision.deny]


@pytest.mark.real
def test_with_its_authority_and_token_a_server_decides(secured, request_for):
    url, bundle, ca = secured
    decision, _ = ask(url, request_for, ca=ca, token=TOKEN, bundle_digest=bundle.digest)
    assert decision.allow
    assert decision.bundle_digest == bundle.digest


@pytest.mark.real
def test_without_its_token_its_authority_or_tls_nothing_is_allowed(secured, request_for, tmp_path):
    url, _, ca = secured
    for options, rule in (
        ({"ca": ca}, "engine.refused"),
        ({"ca": ca, "token": TOKEN + "r"}, "engine.refused"),
        ({"token": TOKEN}, "engine.unreachable"),
    ):
        decision, rules = ask(url, request_for, **options)
        assert not decision.allow
        assert rules == [rule]
        assert TOKEN not in json.dumps(decision.to_dict())
    decision, rules = ask(url.replace("https", "http"), request_for, token=TOKEN)
    assert not decision.allow
    assert rules[0] in {"engine.refused", "engine.unreachable"}
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "other.pem").write_bytes(_certificate("Root", "Root", key, key, authority=True))
    _, rules = ask(url, request_for, ca=tmp_path / "other.pem", token=TOKEN)
    assert rules == ["engine.unreachable"]
    for broken in (tmp_path / "absent.pem", tmp_path):
        decision, rules = ask(url, request_for, ca=broken, token=TOKEN)
        assert not decision.allow
        assert rules[0].startswith("engine.")


@pytest.mark.real
def test_settings_name_the_authority_and_a_new_token_is_taken_without_a_restart(
    secured, request_for, tmp_path, monkeypatch
):
    url, bundle, ca = secured
    (tmp_path / "ca.pem").write_bytes(ca.read_bytes())
    (tmp_path / "affidavit.toml").write_text(
        f'[policy]\nengine = "opa"\nurl = "{url}"\nca = "ca.pem"\ntimeout = 10\n'
        f'bundle = "{bundle.digest}"\n'
    )
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(tmp_path / "affidavit.toml"))
    for token, allowed in ((TOKEN, True), ("revoked", False), (TOKEN, True)):
        monkeypatch.setenv("AFFIDAVIT_OPA_TOKEN", token)
        engine = engine_for(load_settings())
        assert engine.decide("affidavit/data_read", request_for()).allow is allowed
    (tmp_path / "ca.pem").write_text("no certificate")
    decision = engine_for(load_settings()).decide("affidavit/data_read", request_for())
    assert decision.deny[0].rule.startswith("engine.")
    (tmp_path / "ca.pem").write_bytes(ca.read_bytes())
    assert engine_for(load_settings()).decide("affidavit/data_read", request_for()).allow
