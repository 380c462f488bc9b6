"""Model signatures: ours and those of the model_signing package, each checked by the other."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from model_signing import hashing as oms_hashing
from model_signing import signing as oms_signing
from model_signing import verifying as oms_verifying

from affidavit.errors import EnvelopeError, FingerprintError, KeyFileError, VerificationError
from affidavit.lineage import (
    GIT_PATHS,
    ModelKey,
    ModelVerifier,
    directory_manifest,
    open_signature,
    read_model_key,
    sign_manifest,
    write_model_key,
)

BIN = Path(sys.executable).parent
CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


@pytest.fixture(params=CURVES)
def keys(request, tmp_path):
    """A key of each curve: ours, and the files that the other tool reads."""
    key = ModelKey(ec.generate_private_key(CURVES[request.param]()))
    return _written(key, tmp_path)


@pytest.fixture
def pair(tmp_path):
    return _written(ModelKey.generate(), tmp_path)


def _written(key, folder):
    write_model_key(folder / "key.pem", key)
    (folder / "key.pub").write_bytes(key.verifier.pem)
    return key, folder / "key.pem", folder / "key.pub"


@pytest.fixture
def model(tmp_path):
    root = tmp_path / "model"
    (root / "d0" / "deep").mkdir(parents=True)
    for name, content in {
        "config.json": b"{}",
        "d0/weights.bin": bytes(range(256)) * 40,
        "d0/deep/empty": b"",
        "d0.txt": b"text",
        "new\nline": b"odd",
        "é": b"accent",
    }.items():
        (root / name).write_bytes(content)
    return root


def ours(model, key, algorithm="sha256", ignore=GIT_PATHS):
    manifest = directory_manifest(model, algorithm, ignore=ignore)
    return sign_manifest(manifest, model.name, key)


def check_ours(model, data, verifier):
    signed = open_signature(data, verifier)
    signed.check(
        directory_manifest(model, signed.manifest.algorithm, ignore=signed.manifest.ignored)
    )
    return signed


def theirs(model, private, target, **config):
    hasher = oms_hashing.Config().use_file_serialization(**config)
    oms_signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(
        hasher
    ).sign(model, target)
    return target.read_bytes()


def check_theirs(model, data, public, target):
    target.write_bytes(data)
    oms_verifying.Config().use_elliptic_key_verifier(public_key=public).verify(model, target)


def changed_payload(data, change):
    """The signature file with another statement under the same signature."""
    bundle = json.loads(data)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    return json.dumps(bundle).encode()


def resigned(data, change, key):
    """The signature file with another statement, signed anew by the right key."""
    from affidavit.lineage import STATEMENT_TYPE, pre_authentication_encoding

    bundle = json.loads(changed_payload(data, change))
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    signature = key.sign(pre_authentication_encoding(STATEMENT_TYPE, payload))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(bundle).encode()


def flipped_signature(data):
    bundle = json.loads(data)
    entry = bundle["dsseEnvelope"]["signatures"][0]
    raw = bytearray(base64.b64decode(entry["sig"]))
    raw[-1] ^= 1
    entry["sig"] = base64.b64encode(raw).decode()
    return json.dumps(bundle).encode()


def flip(statement):
    digest = statement["predicate"]["resources"][0]["digest"]
    statement["predicate"]["resources"][0]["digest"] = f"{int(digest[0], 16) ^ 1:x}{digest[1:]}"


def _change(model):
    path = model / "d0" / "weights.bin"
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 1
    path.write_bytes(raw)


TAMPERED = {
    "a bit of a file": _change,
    "a file added": lambda model: (model / "d0" / "more").write_bytes(b"x"),
    "an empty file added": lambda model: (model / "more").touch(),
    "a file removed": lambda model: (model / "config.json").unlink(),
    "an empty file removed": lambda model: (model / "d0" / "deep" / "empty").unlink(),
    "a file renamed": lambda model: (model / "d0.txt").rename(model / "d1.txt"),
}


# -- both ways ------------------------------------------------------------------------------------


def test_ours_is_verified_by_model_signing_and_theirs_by_us(model, keys, tmp_path):
    key, private, public = keys
    check_theirs(model, ours(model, key), public, tmp_path / "ours.sig")
    signed = check_ours(model, theirs(model, private, tmp_path / "theirs.sig"), key.verifier)
    assert signed.name == "model"
    assert signed.manifest.files == directory_manifest(model).files


def test_blake3_goes_both_ways(model, pair, tmp_path):
    key, private, public = pair
    check_theirs(model, ours(model, key, "blake3"), public, tmp_path / "ours.sig")
    made = theirs(model, private, tmp_path / "theirs.sig", hashing_algorithm="blake3")
    assert check_ours(model, made, key.verifier).manifest.algorithm == "blake3"


def test_the_two_statements_say_the_same(model, pair, tmp_path):
    key, private, _ = pair

    def said(data):
        statement = json.loads(base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"]))
        statement["predicate"]["serialization"]["ignore_paths"].sort()
        return statement

    assert said(ours(model, key)) == said(theirs(model, private, tmp_path / "theirs.sig"))


@pytest.mark.parametrize("what", TAMPERED)
def test_both_refuse_a_directory_that_is_not_the_signed_one(model, pair, tmp_path, what):
    key, private, public = pair
    made, given = ours(model, key), theirs(model, private, tmp_path / "theirs.sig")
    TAMPERED[what](model)
    with pytest.raises(ValueError, match="mismatch"):
        check_theirs(model, made, public, tmp_path / "ours.sig")
    for data in (made, given):
        with pytest.raises(VerificationError, match="not the model 'model'"):
            check_ours(model, data, key.verifier)


@pytest.mark.parametrize("tamper", [flipped_signature, lambda d: changed_payload(d, flip)])
def test_both_refuse_a_changed_bit_of_signature_or_manifest(model, keys, tmp_path, tamper):
    key, private, public = keys
    with pytest.raises(Exception, match=r".*"):  # it lets its library's exceptions through
        check_theirs(model, tamper(ours(model, key)), public, tmp_path / "ours.sig")
    with pytest.raises(EnvelopeError, match="not by the key"):
        check_ours(model, tamper(theirs(model, private, tmp_path / "t.sig")), key.verifier)


def test_both_refuse_another_key(model, pair, tmp_path):
    key, private, _ = pair
    other = ModelKey.generate()
    (tmp_path / "other.pub").write_bytes(other.verifier.pem)
    with pytest.raises(ValueError, match="Key mismatch"):
        check_theirs(model, ours(model, key), tmp_path / "other.pub", tmp_path / "ours.sig")
    made = theirs(model, private, tmp_path / "theirs.sig")
    with pytest.raises(EnvelopeError, match="names the key"):
        check_ours(model, made, other.verifier)
    hidden = json.loads(made)
    hidden["verificationMaterial"]["publicKey"]["hint"] = other.verifier.hint
    with pytest.raises(EnvelopeError, match="not by the key"):
        check_ours(model, json.dumps(hidden).encode(), other.verifier)


def test_what_git_keeps_is_left_out_by_both_and_covered_where_asked(model, pair, tmp_path):
    key, private, public = pair
    made = ours(model, key)
    (model / ".git").mkdir()
    (model / ".git" / "config").write_bytes(b"x")
    check_theirs(model, made, public, tmp_path / "ours.sig")
    check_ours(model, theirs(model, private, tmp_path / "theirs.sig"), key.verifier)
    (model / ".git" / "link").symlink_to("nowhere")
    check_ours(model, made, key.verifier)
    with pytest.raises(FingerprintError, match="symbolic link"):
        ours(model, key, ignore=())


@pytest.mark.real
def test_the_command_lines_agree_both_ways(model, pair, tmp_path):
    key, private, public = pair

    def tool(*words):
        done = subprocess.run(
            [BIN / "model_signing", *words], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    target = model / "model.sig"
    assert tool("sign", "key", model, "--private_key", private, "--signature", target)[0] == 0
    signed = check_ours(model, target.read_bytes(), key.verifier)
    assert "model.sig" in signed.manifest.ignored
    target.write_bytes(ours(model, key, ignore=[*GIT_PATHS, "model.sig"]))
    verify = ("verify", "key", model, "--public_key", public, "--signature", target)
    assert tool(*verify) == (0, "Verification succeeded\n")
    _change(model)
    code, text = tool(*verify)
    assert code != 0
    assert "weights.bin" in text


# -- what ours refuses to read --------------------------------------------------------------------

BAD_FILES = {
    "not JSON": lambda d: b"{",
    "a duplicate key": lambda d: d.replace(b'"mediaType"', b'"mediaType":"x","mediaType"', 1),
    "another media type": lambda d: d.replace(b"v0.3", b"v0.1"),
    "a certificate": lambda d: d.replace(b'"publicKey"', b'"certificate"'),
    "log entries": lambda d: d.replace(b'"tlogEntries":[]', b'"tlogEntries":[{}]'),
    "another payload type": lambda d: d.replace(b"application/vnd.in-toto+json", b"text/plain"),
    "two signatures": lambda d: d.replace(b'"signatures":[', b'"signatures":[{"sig":""},'),
    "no signature": lambda d: d.replace(b'"signatures":[{', b'"signatures":[],"x":[{'),
    "base64 that is not canonical": lambda d: d.replace(b'"payload":"', b'"payload":" '),
    "another member": lambda d: d.replace(b'{"dsse', b'{"more":1,"dsse', 1),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_signature_file_of_another_form_is_refused(model, pair, what):
    key, *_ = pair
    data = ours(model, key)
    bad = BAD_FILES[what](data)
    assert bad != data
    with pytest.raises(EnvelopeError):
        open_signature(bad, key.verifier)


def _serialization(**members):
    return lambda s: s["predicate"]["serialization"].update(members)


def _name(name):
    return lambda s: s["predicate"]["resources"][0].update(name=name)


BAD_STATEMENTS = {
    "another predicate type": lambda s: s.update(predicateType="https://example.org/x"),
    "the type from before 1.0": lambda s: s.update(
        predicateType="https://model_signing/Digests/v0.1"
    ),
    "another statement type": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "two subjects": lambda s: s["subject"].append(s["subject"][0]),
    "a subject that is not the root": lambda s: s["subject"][0].update(digest={"sha256": "0" * 64}),
    "shards": _serialization(method="shards"),
    "an unknown hash": _serialization(hash_type="md5"),
    "everything ignored": _serialization(ignore_paths=["."]),
    "a path outside ignored": _serialization(ignore_paths=["../x"]),
    "an absolute path ignored": _serialization(ignore_paths=["/etc"]),
    "paths that are no list": _serialization(ignore_paths="d0"),
    "a file listed twice": lambda s: s["predicate"]["resources"].append(
        s["predicate"]["resources"][0]
    ),
    "no file": lambda s: s["predicate"].update(resources=[]),
    "a file outside": _name("../x"),
    "an absolute file": _name("/etc/passwd"),
    "a file in two spellings": _name("d0//x"),
    "a digest of another length": lambda s: s["predicate"]["resources"][0].update(digest="00"),
    "another algorithm": lambda s: s["predicate"]["resources"][0].update(algorithm="blake3"),
}


@pytest.mark.parametrize("what", BAD_STATEMENTS)
def test_a_statement_that_contradicts_itself_is_refused_though_it_is_signed(model, pair, what):
    key, *_ = pair
    bad = resigned(ours(model, key), BAD_STATEMENTS[what], key)
    with pytest.raises(EnvelopeError):
        open_signature(bad, key.verifier)


def test_further_members_of_the_predicate_are_ignored_as_version_1_0_asks(model, pair):
    key, *_ = pair
    more = resigned(ours(model, key), lambda s: s["predicate"].update(card={"x": 1}), key)
    check_ours(model, more, key.verifier)


def test_the_signed_bytes_of_before_version_1_0_are_refused(model, pair):
    # model_signing accepts these: a payload pasted as Python's repr into the signed text.
    key, *_ = pair
    bundle = json.loads(ours(model, key))
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    kind = "application/vnd.in-toto+json"
    old = f"DSSEV1 {len(kind)} {kind} {len(payload)} {payload!r}".encode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(key.sign(old)).decode()
    with pytest.raises(EnvelopeError, match="not by the key"):
        open_signature(json.dumps(bundle).encode(), key.verifier)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_bit_of_a_signature_file_is_accepted_as_another_statement(fixed, data):
    raw, verifier, files = fixed
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    bad = bytearray(raw)
    bad[place // 8] ^= 1 << place % 8
    try:
        signed = open_signature(bytes(bad), verifier)
    except VerificationError:
        return
    assert signed.manifest.files == files  # only the free text of a key id may change


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    root = tmp_path_factory.mktemp("fixed")
    (root / "a").write_bytes(b"a")
    key = ModelKey.generate()
    manifest = directory_manifest(root)
    return sign_manifest(manifest, "m", key), key.verifier, manifest.files


def test_a_message_names_a_few_files_and_counts_the_rest(model, pair):
    key, *_ = pair
    data = ours(model, key)
    for number in range(8):
        (model / f"x{number}").touch()
    with pytest.raises(VerificationError, match=r"'x4' and 3 more was not signed"):
        check_ours(model, data, key.verifier)


def test_nothing_and_unknown_hashes_are_not_signed(tmp_path):
    with pytest.raises(FingerprintError, match="no file"):
        sign_manifest(directory_manifest(tmp_path), "m", ModelKey.generate())
    (tmp_path / "f").touch()
    with pytest.raises(FingerprintError, match="sha512"):
        sign_manifest(directory_manifest(tmp_path, "sha512"), "m", ModelKey.generate())


# -- keys -----------------------------------------------------------------------------------------


def test_a_key_is_kept_as_pkcs8_with_mode_0600_and_never_overwritten(tmp_path):
    key = ModelKey.generate()
    path = tmp_path / "model.pem"
    write_model_key(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert read_model_key(path).verifier.pem == key.verifier.pem
    assert key.verifier.curve == "P-256"
    with pytest.raises(KeyFileError, match="already"):
        write_model_key(path, key)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="mode 0640"):
        read_model_key(path)


def test_a_passphrase_is_needed_where_there_is_one(tmp_path):
    path = tmp_path / "model.pem"
    write_model_key(path, ModelKey.generate(), passphrase="secret")
    assert read_model_key(path, passphrase="secret")
    for wrong in (None, "other"):
        with pytest.raises(KeyFileError, match="passphrase"):
            read_model_key(path, passphrase=wrong)


def test_keys_of_other_kinds_are_refused(tmp_path):
    def written(private):
        path = tmp_path / "key.pem"
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path

    with pytest.raises(KeyFileError, match="secp256k1"):
        read_model_key(written(ec.generate_private_key(ec.SECP256K1())))
    log = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(KeyFileError, match="not an elliptic-curve key"):
        read_model_key(written(log))
    pem = log.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyFileError, match="elliptic-curve key, not"):
        ModelVerifier.parse(pem)
    with pytest.raises(KeyFileError, match="no public key"):
        ModelVerifier.parse(b"log+1234+abcd")
    with pytest.raises(KeyFileError, match="secp256k1"):
        ModelVerifier(ec.generate_private_key(ec.SECP256K1()).public_key())
