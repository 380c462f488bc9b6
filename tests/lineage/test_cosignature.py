"""Cosignatures after C2SP tlog-cosignature: laws, tampering, quorums."""

from __future__ import annotations

import base64
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from logs import ORIGIN

from affidavit.errors import CheckpointError, KeyFileError
from affidavit.lineage import (
    Checkpoint,
    Cosigner,
    Note,
    NoteSigner,
    WitnessVerifier,
    check_quorum,
    cosignatures,
    open_checkpoint,
)
from affidavit.lineage._cosignature import FUTURE_SECONDS, cosignature_message

LOG = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
ONE, TWO, THREE = (
    Cosigner(f"witness.example/w{n}", Ed25519PrivateKey.generate()) for n in (1, 2, 3)
)
CHECKPOINT = Checkpoint(ORIGIN, 3, bytes(range(32)))
TEXT = CHECKPOINT.text()
NOTE = CHECKPOINT.signed(LOG)
NOW = 1_679_315_147


def cosigned(*signers, time=NOW):
    return NOTE + b"".join(one.signature_line(TEXT, time).encode() for one in signers)


def test_the_signed_message_is_the_one_of_the_specification():
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosignature_message(text, NOW) == b"cosignature/v1\ntime 1679315147\n" + text


def test_the_line_carries_key_id_time_and_signature():
    line = ONE.signature_line(TEXT, NOW)
    dash, name, encoded = line.split()
    blob = base64.b64decode(encoded)
    assert (dash, name, len(blob)) == ("—", "witness.example/w1", 4 + 8 + 64)
    assert blob[:4] == ONE.verifier.key_id
    assert struct.unpack(">Q", blob[4:12]) == (NOW,)


@given(st.integers(0, 2**63 - 1))
def test_a_cosignature_verifies_and_tells_its_time(time):
    (found,) = cosignatures(cosigned(ONE, time=time), [ONE.verifier])
    assert (found.time, found.witness) == (time, ONE.verifier)


@pytest.mark.parametrize("time", [-1, 2**63, 2**64])
def test_a_time_that_the_format_cannot_carry_is_not_signed(time):
    with pytest.raises(CheckpointError, match="no time"):
        ONE.signature_line(TEXT, time)


@given(st.integers(4, 75), st.integers(0, 7))
def test_a_cosignature_with_any_bit_changed_is_refused(at, bit):
    encoded = ONE.signature_line(TEXT, NOW).split()[2]
    blob = bytearray(base64.b64decode(encoded))
    blob[at] ^= 1 << bit
    line = f"— {ONE.name} {base64.b64encode(blob).decode()}\n"
    with pytest.raises(CheckpointError):
        cosignatures(NOTE + line.encode(), [ONE.verifier])


@pytest.mark.parametrize("length", [71, 73])
def test_a_cosignature_of_another_length_is_refused(length):
    blob = (ONE.verifier.key_id + bytes(100))[: length + 4]
    line = f"— {ONE.name} {base64.b64encode(blob).decode()}\n"
    with pytest.raises(CheckpointError, match="72 bytes"):
        cosignatures(NOTE + line.encode(), [ONE.verifier])


def test_a_cosignature_of_one_checkpoint_does_not_hold_for_another():
    other = Checkpoint(ORIGIN, 4, CHECKPOINT.root).signed(LOG)
    with pytest.raises(CheckpointError, match="does not verify"):
        cosignatures(other + ONE.signature_line(TEXT, NOW).encode(), [ONE.verifier])


def test_a_plain_signature_with_the_witnesss_key_is_no_cosignature():
    plain = NoteSigner(ONE.name, ONE.private)
    note = NOTE + plain.signature_line(TEXT).encode()
    assert cosignatures(note, [ONE.verifier]) == ()


def test_the_logs_own_signature_stays_valid_among_cosignatures():
    assert open_checkpoint(cosigned(ONE, TWO), LOG.verifier) == CHECKPOINT


def test_unknown_witnesses_are_passed_over():
    assert cosignatures(cosigned(ONE, TWO), [THREE.verifier]) == ()


def test_a_quorum_is_met_by_enough_known_witnesses():
    keys = [one.verifier for one in (ONE, TWO, THREE)]
    assert len(check_quorum(cosigned(ONE, TWO), keys, 2)) == 2
    with pytest.raises(CheckpointError, match="2 of the known witnesses cosigned"):
        check_quorum(cosigned(ONE, TWO), keys, 3)


def test_one_witness_that_cosigns_twice_counts_once():
    note = cosigned(ONE, ONE) + ONE.signature_line(TEXT, NOW + 5).encode()
    with pytest.raises(CheckpointError, match="1 of the known"):
        check_quorum(note, [ONE.verifier, TWO.verifier], 2)


def test_one_key_under_two_names_is_refused_as_two_witnesses():
    twin = WitnessVerifier("witness.example/twin", ONE.verifier.public)
    with pytest.raises(KeyFileError, match="twice"):
        check_quorum(cosigned(ONE), [ONE.verifier, twin], 1)


@pytest.mark.parametrize("quorum", [0, -1, 2])
def test_a_quorum_that_cannot_be_met_is_refused(quorum):
    with pytest.raises(KeyFileError, match="quorum"):
        check_quorum(cosigned(ONE), [ONE.verifier], quorum)


def test_a_cosignature_from_the_future_is_refused_where_the_clock_is_given():
    note = cosigned(ONE, time=NOW + FUTURE_SECONDS + 1)
    assert check_quorum(note, [ONE.verifier], 1)
    with pytest.raises(CheckpointError, match="in the future"):
        check_quorum(note, [ONE.verifier], 1, now=NOW)
    assert check_quorum(note, [ONE.verifier], 1, now=NOW + 1)


def test_a_verifier_key_reads_back_and_is_not_a_logs():
    assert WitnessVerifier.parse(f"{ONE.verifier}\n") == ONE.verifier
    as_log = NoteSigner(ONE.name, ONE.private).verifier
    assert ONE.verifier.key_id.hex() not in str(as_log)
    with pytest.raises(KeyFileError, match="not a witness"):
        WitnessVerifier.parse(str(as_log))


@pytest.mark.parametrize(
    "text",
    ["", "w", "w+00000000", "w+00000000+!!", str(ONE.verifier)[:-4], "x" + str(ONE.verifier)],
)
def test_a_malformed_verifier_key_is_refused(text):
    with pytest.raises(KeyFileError):
        WitnessVerifier.parse(text)


def test_a_verifier_key_with_another_hash_is_refused():
    name, hashed, encoded = str(ONE.verifier).split("+", 2)
    with pytest.raises(KeyFileError, match="own hash"):
        WitnessVerifier.parse(f"{name}+{int(hashed, 16) ^ 1:08x}+{encoded}")


def test_a_weak_key_is_no_witness():
    with pytest.raises(KeyFileError, match="weak"):
        WitnessVerifier("w", bytes(32))


def test_a_cosigned_note_parses_as_a_note_with_all_its_lines():
    assert len(Note.parse(cosigned(ONE, TWO, THREE)).signatures) == 4
