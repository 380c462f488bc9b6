"""Official vectors: values that others published, met by our code."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from real import ROOT

from affidavit.errors import CheckpointError, ProofError
from affidavit.lineage import (
    Checkpoint,
    Note,
    NoteSigner,
    NoteVerifier,
    SigningKey,
    TlogProof,
    check_disclosures,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    pre_authentication_encoding,
    sign_note,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from affidavit.lineage._merkle import subtrees_of


def vectors(name):
    found = json.loads((ROOT / "tests" / "vectors" / name).read_text("utf-8"))
    assert found["specification"]
    return found


TREE = vectors("merkle-tree.json")
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in TREE["leaves"]]
ROOTS = [bytes.fromhex(root) for root in TREE["roots"]]


@pytest.mark.parametrize("size", range(9))
def test_the_tree_has_the_root_of_certificate_transparency(size):
    assert tree_root(LEAVES[:size]) == ROOTS[size]


@pytest.mark.parametrize("case", TREE["inclusion"], ids=lambda c: f"{c['index']}-of-{c['size']}")
def test_inclusion_proofs_are_those_of_certificate_transparency(case):
    path = [bytes.fromhex(step) for step in case["path"]]
    index, size = case["index"], case["size"]
    assert inclusion_proof(index, size, subtrees_of(LEAVES[:size])) == path
    verify_inclusion(index, size, LEAVES[index], path, ROOTS[size])


@pytest.mark.parametrize("case", TREE["consistency"], ids=lambda c: f"{c['old']}-to-{c['new']}")
def test_consistency_proofs_are_those_of_certificate_transparency(case):
    path = [bytes.fromhex(step) for step in case["path"]]
    old, new = case["old"], case["new"]
    assert consistency_proof(old, new, subtrees_of(LEAVES[:new])) == path
    verify_consistency(old, new, ROOTS[old], ROOTS[new], path)


def test_the_pre_authentication_encoding_is_the_one_of_the_dsse_protocol():
    case = vectors("dsse.json")
    encoded = pre_authentication_encoding(case["payloadType"], case["payload"].encode())
    assert encoded == case["pae"].encode()


@pytest.mark.parametrize("case", vectors("signed-note.json")["notes"], ids=lambda c: c["key"][:12])
def test_published_notes_verify_and_their_keys_read_back(case):
    verifier = NoteVerifier.parse(case["key"])
    assert str(verifier) == case["key"]
    note = case["note"].encode()
    Note.parse(note).verify(verifier)
    changed = note.replace(b"is", b"iz", 1)
    with pytest.raises(CheckpointError, match="does not verify"):
        Note.parse(changed).verify(verifier)


def test_signing_with_the_published_key_gives_the_published_note():
    case = vectors("signed-note.json")["notes"][1]
    seed = base64.b64decode(case["private"].split("+", 4)[4])[1:]
    signer = NoteSigner("PeterNeumann", Ed25519PrivateKey.from_private_bytes(seed))
    text = case["note"].rpartition("\n\n")[0] + "\n"
    assert str(signer.verifier) == case["key"]
    assert sign_note(text.encode(), signer).decode() == case["note"]


def test_the_published_checkpoint_reads_and_writes_the_same():
    case = vectors("checkpoint.json")
    checkpoint = Checkpoint.parse(case["text"].encode())
    root = base64.b64decode(case["root"])
    assert checkpoint == Checkpoint(case["origin"], case["size"], root)
    assert checkpoint.text() == case["text"].encode()


@pytest.mark.parametrize(
    "case", vectors("tlog-proof.json")["proofs"], ids=lambda case: str(case["index"])
)
def test_the_published_proofs_read_and_write_the_same(case):
    text = case["text"].encode()
    path = tuple(base64.b64decode(step) for step in case["path"])
    extra = base64.b64decode(case["extra"])
    proof = TlogProof(case["index"], path, case["checkpoint"].encode(), extra)
    assert TlogProof.parse(text) == proof
    assert proof.to_bytes() == text


@pytest.mark.parametrize("text", vectors("tlog-proof.json")["refused"])
def test_the_published_malformed_proofs_are_refused(text):
    with pytest.raises(ProofError):
        TlogProof.parse(text.encode())


@pytest.mark.parametrize("case", vectors("ed25519.json")["vectors"], ids=lambda c: c["message"])
def test_signatures_are_those_of_rfc_8032(case):
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["secret"]))
    key = SigningKey.of(private)
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    assert key.public.raw.hex() == case["public"]
    assert key.sign(message) == signature
    key.public.verify(signature, message)
    with pytest.raises(InvalidSignature):
        key.public.verify(signature, message + b"\0")


def test_the_published_disclosure_matches_its_published_digest():
    case = vectors("disclosure.json")
    fields = check_disclosures([case["disclosure"]], [case["digest"]])
    assert fields == {case["name"]: case["value"]}
