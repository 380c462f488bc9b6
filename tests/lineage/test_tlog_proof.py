"""Proofs in the format of C2SP tlog-proof: written, read strictly, and refused once changed."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import ORIGIN

from affidavit.errors import CheckpointError, NotFoundError, ProofError, VerificationError
from affidavit.lineage import (
    Checkpoint,
    NoteSigner,
    SigningKey,
    TlogProof,
    inclusion_proof,
    leaf_hash,
    open_checkpoint,
    prove_entry,
    prove_extension,
    verify_consistency,
)
from affidavit.lineage._merkle import CompactRange, node_hash
from affidavit.lineage._proving import prove_entries

HASH = bytes(range(32))
KEY = NoteSigner(ORIGIN, SigningKey.generate().private)
NOTE = Checkpoint(ORIGIN, 3, HASH).signed(KEY)
hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple)


def equal_leaves(leaf):
    """A tree in which every leaf is the same, so that one hash stands for each level."""
    levels = [leaf]
    for _ in range(64):
        levels.append(node_hash(levels[-1], levels[-1]))
    return lambda level, _index: levels[level]


def root_of(size, subtree):
    tree = CompactRange(size)
    tree.hashes = [subtree(n, 0) for n in range(size.bit_length() - 1, -1, -1) if size >> n & 1]
    return tree.root()


def test_a_proof_is_written_line_by_line_as_the_specification_shows_it():
    proof = TlogProof(2, (HASH, HASH[::-1]), NOTE, b"age-v1.2.1-darwin-arm64.tar.gz")
    lines = proof.to_bytes().decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6"
    assert lines[2] == "index 2"
    assert base64.b64decode(lines[3]) == HASH
    assert lines[5] == ""
    assert "\n".join(lines[6:]).encode() == NOTE


@given(st.integers(0, 2**63 - 1), hashes, st.binary(max_size=200))
def test_reading_what_was_written_gives_the_same_proof(index, path, extra):
    proof = TlogProof(index, path, NOTE, extra)
    assert TlogProof.parse(proof.to_bytes()) == proof


@given(st.integers(0, 2**40), hashes, st.data())
def test_whatever_is_read_is_written_back_byte_for_byte(index, path, data):
    good = bytearray(TlogProof(index, path, NOTE).to_bytes())
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = TlogProof.parse(bytes(good))
    except ProofError:
        return
    assert read.to_bytes() == bytes(good)


def b64(data):
    return base64.b64encode(data).decode()


GOOD = f"c2sp.org/tlog-proof@v1\nindex 2\n{b64(HASH)}\n\n".encode() + NOTE


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"@v1\n", b"@v2\n", "begins with"),
        (b"c2sp", b"\xefc2sp", "ASCII"),
        (b"index 2\n", b"index 02\n", "plain decimal"),
        (b"index 2\n", b"index +2\n", "plain decimal"),
        (b"index 2\n", b"index -2\n", "plain decimal"),
        (b"index 2\n", b"index  2\n", "plain decimal"),
        (b"index 2\n", b"index 2\r\n", "plain decimal"),
        (b"index 2\n", b"index 9999999999999999999\n", "below 2"),
        (b"index 2\n", b"", "names the entry"),
        (b"index 2\n", b"index 2\nindex 2\n", "base64"),
        (b"index 2\n", b"extra \nindex 2\n", "no line for it"),
        (b"index 2\n", b"extra YQ\nindex 2\n", "extra data is"),
        (b"index 2\n", b"extra YR==\nindex 2\n", "canonical"),
        (b"index 2\n", b"index 2\nextra YQ==\n", "base64"),
        (b"index 2\n", b"index 2\n" + b64(HASH[1:]).encode() + b"\n", "32 bytes"),
        (b"index 2\n", b"index 2\n" + b64(HASH).encode()[:-2] + b"9=\n", "canonical"),
        (b"index 2\n", b"index 2\n" + 63 * (b64(HASH).encode() + b"\n"), "at most 63"),
        (b"\n\n" + NOTE, b"", "empty line"),
        (NOTE, b"", "empty line"),
        (NOTE, NOTE + 65536 * b"x", "at most 65536"),
    ],
)
def test_a_proof_in_any_other_form_is_refused(old, new, match):
    assert GOOD.count(old) == 1
    with pytest.raises(ProofError, match=match):
        TlogProof.parse(GOOD.replace(old, new))


def test_a_proof_of_a_real_entry_needs_nothing_but_the_key(log):
    verifier = log.signer.verifier
    for index in (0, 3, 7, 27):
        written = prove_entry(log.ledger, index).to_bytes()
        head = TlogProof.parse(written).verify(log.ledger.entry(index), verifier)
        assert head == log.ledger.head()


def test_a_proof_with_any_bit_changed_does_not_verify(log):
    entry, verifier = log.ledger.entry(5), log.signer.verifier
    good = prove_entry(log.ledger, 5).to_bytes()
    # The signed note's own signature is exhausted in the tests of notes; here every byte once.
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 + at % 127
        with pytest.raises(VerificationError):
            TlogProof.parse(bytes(bad)).verify(entry, verifier)


def test_a_proof_holds_for_its_own_entry_and_key_alone(log):
    proof = prove_entry(log.ledger, 5)
    with pytest.raises(ProofError, match="does not lead"):
        proof.verify(log.ledger.entry(6), log.signer.verifier)
    with pytest.raises(CheckpointError, match="not signed by"):
        proof.verify(log.ledger.entry(5), KEY.verifier)


def test_the_extra_data_is_kept_and_vouched_for_by_nothing(log):
    proof = prove_entry(log.ledger, 5)
    other = TlogProof(5, proof.path, proof.checkpoint, b"anything")
    assert other.verify(log.ledger.entry(5), log.signer.verifier).size == 28


def test_several_proofs_are_the_same_as_one_by_one(log):
    chosen = [0, 27, 5, 6, 6]
    assert prove_entries(log.ledger, chosen) == [prove_entry(log.ledger, n) for n in chosen]


def test_a_proof_of_a_changed_entry_is_not_handed_out(log):
    body = log.ledger.entry(5)
    log.cut("UPDATE entry SET body = ? WHERE entry = 5", body + b" ")
    with pytest.raises(ProofError, match="not the one that was logged") as raised:
        prove_entry(log.ledger, 5)
    assert raised.value.index == 5


def test_a_proof_of_an_entry_that_is_not_there_is_not_found(log):
    with pytest.raises(NotFoundError):
        prove_entry(log.ledger, 28)


def test_a_proof_can_be_made_under_an_older_checkpoint(log):
    note = log.rows("SELECT note FROM checkpoint WHERE size = 10")[0][0]
    proof = prove_entry(log.ledger, 9, note)
    assert proof.verify(log.ledger.entry(9), log.signer.verifier).size == 10
    with pytest.raises(ProofError, match="not in a tree of 10"):
        prove_entry(log.ledger, 10, note)


def test_the_log_extends_every_checkpoint_of_its_own(log):
    for (note,) in log.rows("SELECT note FROM checkpoint"):
        old = open_checkpoint(note, log.signer.verifier)
        new, path = prove_extension(log.ledger, old)
        verify_consistency(old.size, new.size, old.root, new.root, path)


@pytest.mark.parametrize("size", [1, 10, 16, 28])
def test_the_log_does_not_extend_a_checkpoint_with_another_root(log, size):
    forged = Checkpoint(ORIGIN, size, hashlib.sha256(b"other").digest())
    with pytest.raises(ProofError):
        prove_extension(log.ledger, forged)


def test_a_log_that_was_cut_off_does_not_extend_a_longer_checkpoint(log):
    with pytest.raises(ProofError, match="cut off"):
        prove_extension(log.ledger, Checkpoint(ORIGIN, 29, HASH))


@settings(max_examples=50)
@given(st.integers(0, 999_999))
def test_a_proof_at_a_million_entries_is_short(index):
    size, origin = 1_000_000, "affidavit.local/3f2a9c0d51e7b846"
    signer = NoteSigner(origin, KEY.private)
    entry = b'{"id":"0"}'
    subtree = equal_leaves(leaf_hash(entry))
    note = Checkpoint(origin, size, root_of(size, subtree)).signed(signer)
    proof = TlogProof(index, tuple(inclusion_proof(index, size, subtree)), note)
    assert proof.verify(entry, signer.verifier).size == size
    assert len(proof.to_bytes()) <= 1200
