"""Other people's verifiers read what we write, and refuse it once a bit has changed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as InTotoStatement
from logs import TIME, dataset, furnish, run, start, trust_root
from real import ROOT, need
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError as ForeignRefusal
from securesystemslib.signer import SSlibKey

from affidavit.lineage import PROVENANCE, Resource, SigningKey, Statement

KEY = SigningKey.generate()


def statements():
    root = trust_root(KEY, SigningKey.generate(), SigningKey.generate())
    return [dataset(1), run(1), root.statement(actor="log", time=TIME, note="n")]


def foreign_key(key):
    return SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.public.raw.hex()})


@pytest.mark.parametrize("statement", statements(), ids=lambda s: s.kind)
def test_securesystemslib_accepts_our_envelope(statement):
    envelope = ForeignEnvelope.from_dict(json.loads(statement.sign(KEY).to_bytes()))
    assert set(envelope.verify([foreign_key(KEY)], 1)) == {KEY.keyid}
    assert Statement.parse(envelope.payload) == statement


@pytest.mark.parametrize("field", ["payload", "signature", "type", "key"])
def test_securesystemslib_refuses_our_envelope_with_one_bit_changed(field):
    envelope = ForeignEnvelope.from_dict(json.loads(dataset(1).sign(KEY).to_bytes()))
    key = foreign_key(KEY)
    if field == "payload":
        envelope.payload = bytes([envelope.payload[0] ^ 1]) + envelope.payload[1:]
    elif field == "signature":
        (found,) = envelope.signatures.values()
        first = format(int(found.signature[0], 16) ^ 1, "x")
        found.signature = first + found.signature[1:]
    elif field == "type":
        envelope.payload_type += "x"
    else:
        key = foreign_key(SigningKey.generate())
    with pytest.raises(ForeignRefusal):
        envelope.verify([key], 1)


@pytest.mark.parametrize("statement", statements(), ids=lambda s: s.kind)
def test_in_toto_attestation_reads_our_statement(statement):
    parsed = json_format.Parse(statement.to_bytes(), statement_pb2.Statement())
    InTotoStatement.copy_from_pb(parsed).validate()
    assert parsed.predicate_type == statement.predicate_type
    assert [dict(s.digest) for s in parsed.subject] == [
        {"sha256": subject.sha256} for subject in statement.subjects
    ]
    assert parsed.subject[0].annotations["recipe"] == statement.subjects[0].recipe


@pytest.fixture(scope="module")
def notecheck(tmp_path_factory):
    """A verifier of signed notes made of Go's own library."""
    go = shutil.which("go")
    need(go, "there is no `go` on PATH")
    folder = tmp_path_factory.mktemp("notecheck")
    built = subprocess.run(
        [go, "build", "-o", folder / "notecheck", "."],
        cwd=ROOT / "tests" / "integration" / "notecheck",
        env={**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    need(built.returncode == 0, f"the Go program could not be built: {built.stderr[-300:]}")
    return folder / "notecheck"


def opened(notecheck, key, note):
    return subprocess.run([notecheck, str(key)], input=note, capture_output=True, check=False)


@pytest.mark.real
def test_go_verifies_our_checkpoint_and_refuses_every_flipped_byte(notecheck, tmp_path):
    log = furnish(start(tmp_path))
    note, key = log.ledger.checkpoint(), log.signer.verifier
    good = opened(notecheck, key, note)
    assert good.returncode == 0, good.stderr
    assert good.stdout == note[: note.rindex(b"\n\n") + 1]
    for at in range(0, len(note), 11):
        changed = bytearray(note)
        changed[at] ^= 1
        assert opened(notecheck, key, bytes(changed)).returncode == 1, at
    log.ledger.close()


def cosign_verify(folder, blob: bytes, envelope: bytes, key) -> subprocess.CompletedProcess[str]:
    (folder / "blob").write_bytes(blob)
    (folder / "envelope.json").write_bytes(envelope)
    pem = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pub").write_bytes(pem)
    options = ["--key", "key.pub", "--signature", "envelope.json", "--type", "slsaprovenance1"]
    return subprocess.run(
        ["cosign", "verify-blob-attestation", "--insecure-ignore-tlog", *options, "blob"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_cosign_accepts_our_provenance_and_refuses_it_with_one_bit_changed(tmp_path):
    need(shutil.which("cosign"), "there is no `cosign` on PATH")
    blob = b"the bytes of a model"
    subject = Resource("model", hashlib.sha256(blob).hexdigest())
    statement = Statement((subject,), PROVENANCE, run(1).predicate)
    envelope = statement.sign(KEY).to_bytes()
    accepted = cosign_verify(tmp_path, blob, envelope, KEY)
    assert accepted.returncode == 0, accepted.stderr
    assert "Verified OK" in accepted.stdout + accepted.stderr
    changed = bytes([blob[0] ^ 1]) + blob[1:]
    assert cosign_verify(tmp_path, changed, envelope, KEY).returncode != 0
    for name in ("payload", "sig"):
        forged = json.loads(envelope)
        holder = forged if name == "payload" else forged["signatures"][0]
        raw = base64.b64decode(holder[name])
        holder[name] = base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()
        assert cosign_verify(tmp_path, blob, json.dumps(forged).encode(), KEY).returncode != 0
    assert cosign_verify(tmp_path, blob, envelope, SigningKey.generate()).returncode != 0
