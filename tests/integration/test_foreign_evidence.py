"""Other people's programs check what an evidence bundle holds, and refuse it once changed."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as InTotoStatement
from logs import TIME, furnish, start
from real import ROOT, need
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError as ForeignRefusal
from securesystemslib.signer import SSlibKey

from affidavit.lineage import Cosigner, build_bundle

CHOSEN = [0, 1, 2, 3, 4, 27]
WITNESSES = [Cosigner(f"w{n}.example", Ed25519PrivateKey.generate()) for n in (1, 2)]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """The log, and the members of a bundle of it whose checkpoint two witnesses cosigned."""
    log = furnish(start(tmp_path_factory.mktemp("evidence")))
    text = log.ledger.head().text()
    lines = [witness.signature_line(text, 1_700_000_000) for witness in WITNESSES]
    archive = build_bundle(
        log.ledger,
        CHOSEN,
        log.recorder,
        name="credit-risk",
        actor="auditor",
        time=TIME,
        checkpoint=log.ledger.checkpoint() + "".join(lines).encode(),
    )
    log.ledger.close()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return log, {name: opened.read(name) for name in opened.namelist()}


def test_securesystemslib_and_in_toto_read_the_envelopes_of_a_bundle(evidence):
    log, members = evidence
    keys = {
        key.keyid: SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.public.raw.hex()})
        for key in (log.log, log.recorder, log.approver)
    }
    envelopes = 0
    for name in (*(f"entries/{n}.json" for n in CHOSEN), "manifest.json"):
        value = json.loads(members[name])
        if "record" in value:
            continue
        envelopes += 1
        envelope = ForeignEnvelope.from_dict(value)
        (keyid,) = envelope.signatures
        assert set(envelope.verify([keys[keyid]], 1)) == {keyid}
        parsed = json_format.Parse(envelope.payload, statement_pb2.Statement())
        InTotoStatement.copy_from_pb(parsed).validate()
        envelope.payload = envelope.payload.replace(b"a", b"b", 1)
        with pytest.raises(ForeignRefusal):
            envelope.verify([keys[keyid]], 1)
    assert envelopes == 6


@pytest.fixture(scope="module")
def proofcheck(tmp_path_factory):
    """A verifier of proofs and cosignatures made of the Go libraries for them."""
    go = shutil.which("go")
    need(go, "there is no `go` on PATH")
    binary = tmp_path_factory.mktemp("proofcheck") / "proofcheck"
    built = subprocess.run(
        [go, "build", "-o", binary, "."],
        cwd=ROOT / "tests" / "integration" / "proofcheck",
        env={**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    need(built.returncode == 0, f"the Go program could not be built: {built.stderr[-300:]}")
    return binary


@pytest.mark.real
def test_go_checks_the_checkpoint_inclusion_and_cosignatures(evidence, proofcheck, tmp_path):
    log, members = evidence
    key, keys = str(log.signer.verifier), [str(w.verifier) for w in WITNESSES]
    proof, entry = tmp_path / "proof", tmp_path / "entry"

    def check(proof_bytes, entry_bytes):
        proof.write_bytes(proof_bytes)
        entry.write_bytes(entry_bytes)
        command = [proofcheck, key, proof, entry, *keys]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for index in CHOSEN:
        good = members[f"proofs/{index}.tlog-proof"], members[f"entries/{index}.json"]
        ended = check(*good)
        assert (ended.returncode, ended.stdout) == (0, f"{index} 28\n"), ended.stderr
    path, body = members["proofs/4.tlog-proof"], members["entries/4.json"]
    assert check(path, body + b" ").returncode == 1
    assert check(path, members["entries/3.json"]).returncode == 1
    for at in range(0, len(path), 5):
        bad = bytearray(path)
        bad[at] ^= 2
        assert check(bytes(bad), body).returncode == 1, at
