"""Bundles signed in OPA's format: what OPA signs holds here, what we sign holds there."""

from __future__ import annotations

import base64
import json
import subprocess

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from real import opa_binary

from affidavit.errors import ConfigurationError, PolicyEngineError
from affidavit.policies import (
    EmbeddedEngine,
    OpaServerEngine,
    open_bundle,
    read_bundle,
    server_bundle,
    write_bundle,
)
from affidavit.policies._archive import pack_files, unpack_files
from affidavit.policies._build import run_opa
from affidavit.policies._signatures import SIGNATURES, sign_files, verify_files

KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(65537, 2048),
}


def pem(key, password=None):
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, how)


def public(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


@pytest.fixture(scope="module")
def signed():
    return write_bundle(open_bundle(), key=pem(KEYS["ES256"]), scope="production")


def token_of(files):
    return json.loads(files[SIGNATURES])["signatures"][0]


def resigned(files, change, key=KEYS["ES256"], algorithm="ES256"):
    """The files with a valid signature over claims that a test changed."""
    claims = json.loads(jwt.PyJWS().decode(token_of(files), options={"verify_signature": False}))
    change(claims)
    token = jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm)
    return {**files, SIGNATURES: json.dumps({"signatures": [token]}).encode()}


@pytest.mark.real
@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_opa_serves_what_we_sign_and_refuses_it_under_another_key(
    algorithm, start_opa, request_for, tmp_path
):
    (tmp_path / "key.pub").write_bytes(public(KEYS[algorithm]))
    scope = "production" if algorithm == "ES256" else ""
    bundle = server_bundle(tmp_path / "b.tar.gz", key=pem(KEYS[algorithm]), scope=scope)
    assert bundle.algorithm == algorithm
    command = bundle.command

    def signed_command(address, opa):
        return command(address, opa=opa, verification_key=tmp_path / "key.pub")

    class Verified:
        command = staticmethod(signed_command)

    server = start_opa(Verified)
    decision = OpaServerEngine(server.url, bundle_digest=bundle.digest, timeout=10).decide(
        "affidavit/data_read", request_for()
    )
    assert decision.allow
    server.kill()
    other = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pub").write_bytes(public(other))
    words = signed_command("127.0.0.1:0", opa_binary())
    refused = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert refused.returncode != 0


@pytest.mark.real
@pytest.mark.parametrize("algorithm", [*sorted(KEYS), "PS256", "RS512"])
def test_what_opa_build_signs_is_accepted_here_under_its_key_and_scope_alone(
    algorithm, request_for, tmp_path
):
    key = KEYS.get(algorithm, KEYS["RS256"])
    (tmp_path / "key.pem").write_bytes(pem(key))
    (tmp_path / "claims.json").write_text('{"scope": "production", "team": "risk"}')
    source = tmp_path / "source"
    for name, content in open_bundle().sources.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    odd = {**open_bundle().data, "odd": {"é\u2028\x7f<&>\b": [1.50, 1e3, -0.0, "\x00\U0001f99c"]}}
    (source / "data.json").write_text(json.dumps(odd, indent=3))
    built = tmp_path / "opa.tar.gz"
    arguments = ["build", "--target", "wasm", "-e", "affidavit/data_read", "--bundle", "source"]
    arguments += ["-o", "opa.tar.gz"]
    arguments += ["--signing-key", "key.pem", "--signing-alg", algorithm]
    arguments += ["--claims-file", "claims.json"]
    result = run_opa(arguments, opa=opa_binary(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    engine = EmbeddedEngine(bundle=built, key=public(key), scope="production")
    assert engine.decide("affidavit/data_read", request_for()).allow
    for wrong in (
        {"key": public(key), "scope": "staging"},
        {"key": public(key), "scope": ""},
        {"key": public(ec.generate_private_key(ec.SECP256R1())), "scope": "production"},
        {"key": None, "scope": "production"},
    ):
        with pytest.raises(PolicyEngineError):
            open_bundle(built, **wrong)


@pytest.mark.real
def test_what_opa_sign_signs_is_accepted_here(tmp_path):
    files = unpack_files(write_bundle(open_bundle()))
    for name, content in files.items():
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_bytes(content)
    (tmp_path / "key.pem").write_bytes(pem(KEYS["ES256"]))
    arguments = ["sign", "--signing-key", "../key.pem", "--signing-alg", "ES256", "--bundle", "."]
    result = run_opa(arguments, opa=opa_binary(), cwd=tmp_path / "b")
    assert result.returncode == 0, result.stderr
    files[SIGNATURES] = (tmp_path / "b" / SIGNATURES).read_bytes()
    found = read_bundle(pack_files(files), key=public(KEYS["ES256"]))
    assert found.digest == open_bundle().digest


def test_a_signed_bundle_decides_only_under_its_key_and_scope(signed, request_for):
    good = {"key": public(KEYS["ES256"]), "scope": "production"}
    engine = EmbeddedEngine(bundle=signed, **good)
    assert engine.bundle_digest == open_bundle().digest
    assert engine.decide("affidavit/data_read", request_for()).allow
    another = public(ec.generate_private_key(ec.SECP256R1()))
    for wrong, said in (
        ({**good, "key": another}, "does not hold"),
        ({**good, "key": public(KEYS["RS256"])}, "does not hold"),
        ({**good, "scope": ""}, "scope"),
        ({**good, "scope": "Production"}, "scope"),
        ({}, "no key"),
    ):
        with pytest.raises(PolicyEngineError, match=said):
            EmbeddedEngine(bundle=signed, **wrong)


def test_what_is_unsigned_is_refused_while_a_key_is_set(tmp_path):
    key = public(KEYS["ES256"])
    for source in (None, open_bundle(), write_bundle(open_bundle()), tmp_path):
        with pytest.raises(PolicyEngineError, match="sign"):
            open_bundle(source, key=key)


def test_one_changed_bit_anywhere_is_refused(signed):
    files = unpack_files(signed)
    key = public(KEYS["ES256"])
    verify_files(files, key, scope="production")
    for name, content in files.items():
        if name != SIGNATURES:
            changed = bytearray(content)
            changed[len(changed) // 2] ^= 1
            with pytest.raises(PolicyEngineError):
                verify_files({**files, name: bytes(changed)}, key, scope="production")
    token = token_of(files)
    for at in range(0, len(token), 37):
        flipped = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        content = json.dumps({"signatures": [flipped]}).encode()
        with pytest.raises(PolicyEngineError):
            verify_files({**files, SIGNATURES: content}, key, scope="production")


def test_an_added_or_missing_file_is_refused(signed):
    files = unpack_files(signed)
    key = public(KEYS["ES256"])
    with pytest.raises(PolicyEngineError, match="was added"):
        verify_files({**files, "packs/more.rego": b"package more"}, key, scope="production")
    for name in set(files) - {SIGNATURES}:
        fewer = {other: content for other, content in files.items() if other != name}
        with pytest.raises(PolicyEngineError, match="taken away"):
            verify_files(fewer, key, scope="production")


@pytest.mark.parametrize(
    "change",
    [
        lambda claims: claims["files"].append(claims["files"][0]),
        lambda claims: claims["files"].append({"hash": "00", "algorithm": "SHA-256"}),
        lambda claims: claims["files"][0].update(algorithm="MD5"),
        lambda claims: claims["files"][0].update(algorithm="SHA-1"),
        lambda claims: claims["files"][0].pop("algorithm"),
        lambda claims: claims["files"][0].update(hash=None),
        lambda claims: claims.pop("files"),
        lambda claims: claims.update(scope=["production"]),
    ],
)
def test_a_validly_signed_list_of_another_form_is_refused(signed, change):
    files = resigned(unpack_files(signed), change)
    with pytest.raises(PolicyEngineError):
        verify_files(files, public(KEYS["ES256"]), scope="production")


def test_the_token_never_chooses_its_algorithm(signed):
    files = unpack_files(signed)
    key = public(KEYS["ES256"])
    head, body, _ = token_of(files).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    forged = [f"{none}.{body}.", f"{none}.{body}.{'A' * 86}", f"{head}.{body}."]
    # The public key as the secret of an HMAC: made by hand, for libraries refuse to.
    import hashlib
    import hmac

    told = base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode().rstrip("=")
    mac = hmac.digest(key, f"{told}.{body}".encode(), hashlib.sha256)
    forged.append(f"{told}.{body}." + base64.urlsafe_b64encode(mac).decode().rstrip("="))
    for token in forged:
        content = json.dumps({"signatures": [token]}).encode()
        with pytest.raises(PolicyEngineError, match="does not hold"):
            verify_files({**files, SIGNATURES: content}, key, scope="production")


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[]",
        b"not JSON",
        b'{"signatures": []}',
        b'{"signatures": ["a", "b"]}',
        b'{"signatures": [1]}',
        b'{"signatures": "a.b.c"}',
    ],
)
def test_a_signatures_file_of_another_form_is_refused(signed, content):
    files = {**unpack_files(signed), SIGNATURES: content}
    with pytest.raises(PolicyEngineError):
        verify_files(files, public(KEYS["ES256"]), scope="production")
    token = token_of(unpack_files(signed))
    plugin = json.dumps({"signatures": [token], "plugin": "mine"}).encode()
    with pytest.raises(PolicyEngineError, match="plugin"):
        verify_files({**files, SIGNATURES: plugin}, public(KEYS["ES256"]), scope="production")


def test_keys_that_opa_does_not_take_are_refused_in_words():
    for key in (
        ed448.Ed448PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
    ):
        with pytest.raises(ConfigurationError, match="not one that signs"):
            sign_files({"a.rego": b""}, pem(key))
        with pytest.raises(ConfigurationError, match="not one that signs"):
            verify_files({SIGNATURES: b"{}"}, public(key))
    with pytest.raises(ConfigurationError, match="passphrase"):
        sign_files({}, pem(KEYS["ES256"], b"secret"))
    with pytest.raises(ConfigurationError, match="public key"):
        verify_files({SIGNATURES: b"{}"}, pem(KEYS["ES256"]))
    assert sign_files({}, pem(KEYS["ES256"], b"secret"), password=b"secret")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(st.text(), json_values, max_size=4), indent=st.integers(0, 4))
def test_white_space_and_order_in_json_do_not_count_and_values_do(data, indent):
    key = KEYS["ES256"]
    first = json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")
    files = {"data.json": first, "a.rego": b"package a"}
    files[SIGNATURES] = sign_files(files, pem(key))
    backwards = dict(reversed(data.items()))
    second = json.dumps(backwards, indent=indent, ensure_ascii=True).encode()
    verify_files({**files, "data.json": second}, public(key))
    third = json.dumps({**data, "more": 1}).encode()
    if data.get("more") != 1:
        with pytest.raises(PolicyEngineError, match="changed"):
            verify_files({**files, "data.json": third}, public(key))
