"""The witness's protocol (C2SP tlog-witness): a refused request never moves its state."""

from __future__ import annotations

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import ORIGIN

from affidavit.errors import LedgerCorruptError, LedgerUnavailableError, ProofError
from affidavit.lineage import (
    AddCheckpoint,
    Checkpoint,
    Cosigner,
    NoteSigner,
    Witness,
    check_quorum,
    consistency_proof,
    leaf_hash,
    tree_root,
)
from affidavit.lineage._merkle import EMPTY_ROOT, node_hash
from affidavit.lineage._witness import MAX_REQUEST, Seen, answer

LOG = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
OTHER = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
ELSEWHERE = NoteSigner("elsewhere.example/log", Ed25519PrivateKey.generate())
WITNESS = Cosigner("witness.example/w1", Ed25519PrivateKey.generate())
LOGS = {ORIGIN: [LOG.verifier]}
NOW = 1_679_315_147
LEAVES = [leaf_hash(b"%d" % n) for n in range(64)]
FORK = [leaf_hash(b"fork %d" % n) for n in range(64)]


def subtree_of(leaves):
    def root(level, index):
        if level == 0:
            return leaves[index]
        return node_hash(root(level - 1, 2 * index), root(level - 1, 2 * index + 1))

    return root


def request(old, new, *, leaves=LEAVES, signer=LOG, path=None, extensions=()):
    head = Checkpoint(signer.name, new, tree_root(leaves[:new]), extensions)
    proof = consistency_proof(old, new, subtree_of(leaves)) if path is None else path
    return AddCheckpoint(old, tuple(proof), head.signed(signer)).to_bytes()


def ask(body, seen=None):
    return answer(body, LOGS, seen or {}, WITNESS, NOW)


def seen(size, leaves=LEAVES):
    return {ORIGIN: Seen(size, tree_root(leaves[:size]))}


def test_a_first_checkpoint_is_cosigned_with_an_empty_proof():
    given_back, moved = ask(request(0, 5))
    assert (given_back.status, moved) == (200, (ORIGIN, Seen(5, tree_root(LEAVES[:5]))))
    head = Checkpoint(ORIGIN, 5, tree_root(LEAVES[:5]))
    (one,) = check_quorum(head.signed(LOG) + given_back.body, [WITNESS.verifier], 1)
    assert one.time == NOW


@settings(max_examples=200)
@given(st.integers(0, 64), st.integers(0, 64))
def test_every_honest_growth_is_cosigned(old, new):
    old, new = sorted((old, new))
    given_back, moved = ask(request(old, new), seen(old))
    assert given_back.status == 200
    assert moved == (ORIGIN, seen(new)[ORIGIN])


@settings(max_examples=200)
@given(st.integers(1, 64), st.integers(1, 64))
def test_no_fork_is_ever_cosigned(old, new):
    old, new = sorted((old, new))
    given_back, moved = ask(request(old, new, leaves=FORK), seen(old))
    assert given_back.status == (409 if old == new else 422)
    assert moved is None


@settings(max_examples=100)
@given(st.data())
def test_a_changed_proof_is_not_accepted(data):
    old = data.draw(st.integers(1, 62))
    new = data.draw(st.integers(old + 1, 64))
    path = [bytearray(p) for p in consistency_proof(old, new, subtree_of(LEAVES))]
    path[data.draw(st.integers(0, len(path) - 1))][data.draw(st.integers(0, 31))] ^= 1
    given_back, moved = ask(request(old, new, path=[bytes(p) for p in path]), seen(old))
    assert (given_back.status, moved) == (422, None)


def test_an_old_size_that_is_not_the_last_one_conflicts_and_tells_the_last():
    for old in (0, 3, 6):
        given_back, moved = ask(request(old, 8), seen(5))
        assert (given_back.status, given_back.body, moved) == (409, b"5\n", None)
        assert given_back.content_type == "text/x.tlog.size"
    assert ask(request(3, 8))[0].body == b"0\n"


def test_an_old_size_above_the_checkpoints_is_a_bad_request():
    assert ask(request(6, 5, path=()), seen(6))[0].status == 400


def test_a_log_that_is_not_known_is_not_found():
    assert ask(request(0, 5, signer=ELSEWHERE))[0].status == 404


def test_a_checkpoint_that_the_log_did_not_sign_is_forbidden():
    given_back, moved = ask(request(0, 5, signer=OTHER))
    assert (given_back.status, moved) == (403, None)


def test_the_origin_is_looked_up_before_the_signature_and_that_before_the_size():
    # A request may be wrong in several ways; the protocol fixes which one is told.
    assert ask(request(6, 5, path=(), signer=OTHER), seen(6))[0].status == 403


def test_any_of_a_logs_keys_will_do_and_unknown_signatures_are_passed_over():
    head = Checkpoint(ORIGIN, 5, tree_root(LEAVES[:5]))
    body = AddCheckpoint(0, (), head.signed(ELSEWHERE, OTHER)).to_bytes()
    logs = {ORIGIN: [LOG.verifier, OTHER.verifier]}
    assert answer(body, logs, {}, WITNESS, NOW)[0].status == 200


def test_extension_lines_are_cosigned_as_they_are():
    body = request(0, 5, extensions=("more",))
    given_back, _ = ask(body)
    assert given_back.status == 200
    assert check_quorum(AddCheckpoint.parse(body).note + given_back.body, [WITNESS.verifier], 1)


def test_a_proof_from_nothing_must_be_empty():
    assert ask(request(0, 5, path=(bytes(32),)))[0].status == 422


def test_the_empty_tree_has_its_own_root():
    assert ask(request(0, 0))[0].status == 200
    head = Checkpoint(ORIGIN, 0, bytes(32)).signed(LOG)
    assert ask(AddCheckpoint(0, (), head).to_bytes())[0].status == 409
    assert tree_root([]) == EMPTY_ROOT


GOOD = request(3, 5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"old 3\n", b"old 03\n"),
        (b"old 3\n", b"old +3\n"),
        (b"old 3\n", b"old -3\n"),
        (b"old 3\n", b"old  3\n"),
        (b"old 3\n", b"size 3\n"),
        (b"old 3\n", b""),
        (b"old 3\n", b"old 3\r\n"),
        (b"old 3\n", b"old 3\nAAAA\n"),
        (b"old 3\n", b"old 3\n" + 64 * (b"A" * 43 + b"=\n")),
        (b"old 3\n", b"old 3\n\xff\n"),
        (b"old 3\n", b"old 3\n\n"),
        (b"\n5\n", b"\n05\n"),
        ("— ".encode(), b"- "),
        (ORIGIN.encode() + b"\n5", b"\n5"),
    ],
)
def test_a_malformed_request_is_a_bad_request(old, new):
    assert old in GOOD
    given_back, moved = ask(GOOD.replace(old, new, 1), seen(3))
    assert (given_back.status, moved) == (400, None)


@settings(max_examples=300)
@given(st.data())
def test_a_request_with_any_bit_changed_moves_nothing(data):
    body = bytearray(GOOD)
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    given_back, moved = ask(bytes(body), seen(3))
    assert given_back.status in {400, 403, 404, 409, 422}
    assert moved is None


def test_a_clock_before_1970_cosigns_nothing():
    given_back, moved = answer(request(0, 5), LOGS, {}, WITNESS, -1)
    assert (given_back.status, moved) == (422, None)
    assert b"no time" in given_back.body


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_reading_a_request_gives_what_was_written(old, path):
    body = AddCheckpoint(old, tuple(path), b"note\n").to_bytes()
    assert AddCheckpoint.parse(body) == AddCheckpoint(old, tuple(path), b"note\n")


def test_a_request_without_its_empty_line_is_refused():
    with pytest.raises(ProofError):
        AddCheckpoint.parse(b"old 0\n")


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "state.json"
    Witness.create(path)
    return path


def test_the_state_is_on_disk_before_the_answer(kept):
    witness = Witness(kept, WITNESS, LOGS)
    assert witness.add_checkpoint(request(0, 5), NOW).status == 200
    assert Witness(kept, WITNESS, LOGS).seen() == seen(5)


def test_a_fork_is_refused_after_a_restart_and_the_state_does_not_move(kept):
    Witness(kept, WITNESS, LOGS).add_checkpoint(request(0, 5), NOW)
    before = kept.read_bytes()
    again = Witness(kept, WITNESS, LOGS)
    assert again.add_checkpoint(request(5, 8, leaves=FORK), NOW).status == 422
    assert again.add_checkpoint(request(5, 5, leaves=FORK, path=()), NOW).status == 409
    assert again.add_checkpoint(request(0, 8, leaves=FORK), NOW).status == 409
    assert kept.read_bytes() == before


def test_two_logs_are_kept_apart(kept):
    logs = {**LOGS, ELSEWHERE.name: [ELSEWHERE.verifier]}
    witness = Witness(kept, WITNESS, logs)
    assert witness.add_checkpoint(request(0, 5), NOW).status == 200
    assert witness.add_checkpoint(request(0, 7, signer=ELSEWHERE), NOW).status == 200
    assert {origin: one.size for origin, one in witness.seen().items()} == {
        ORIGIN: 5,
        ELSEWHERE.name: 7,
    }


def test_of_racing_requests_none_rolls_the_log_back(kept):
    # Two objects on one file stand for two processes: only the lock on the file is between them.
    witnesses = [Witness(kept, WITNESS, LOGS) for _ in range(2)]
    statuses = []

    def climb(witness):
        for new in range(1, 40):
            for old in {0, *range(max(0, new - 3), new)}:
                statuses.append(witness.add_checkpoint(request(old, new), NOW).status)  # noqa: PERF401  # it says what each step does

    threads = [threading.Thread(target=climb, args=[one]) for one in witnesses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 409}
    assert witnesses[0].seen() == seen(39)


def test_too_large_a_request_is_refused(kept):
    witness = Witness(kept, WITNESS, LOGS)
    assert witness.add_checkpoint(b"x" * (MAX_REQUEST + 1), NOW).status == 413


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b'{"logs":{},"version":2}',
        b'{"logs":[],"version":1}',
        b'{"logs":{},"version":1,"more":0}',
        b'{"logs":{"a":{"size":1}},"version":1}',
        b'{"logs":{"a":{"root":"AAAA","size":1}},"version":1}',
        b'{"logs":{"a":{"root":"%s=","size":true}},"version":1}' % (43 * b"A"),
        b'{"logs":{"a":{"root":"%s=","size":-1}},"version":1}' % (43 * b"A"),
    ],
)
def test_a_witness_with_a_damaged_state_signs_nothing(kept, content):
    kept.write_bytes(content)
    with pytest.raises(LedgerCorruptError, match="damaged"):
        Witness(kept, WITNESS, LOGS)


def test_a_state_that_is_lost_meanwhile_is_not_taken_for_an_empty_one(kept):
    witness = Witness(kept, WITNESS, LOGS)
    kept.unlink()
    with pytest.raises(LedgerUnavailableError):
        witness.add_checkpoint(request(0, 5), NOW)


def test_a_state_is_never_made_over_another(kept):
    with pytest.raises(LedgerUnavailableError, match="cannot be made"):
        Witness.create(kept)


def test_a_state_that_cannot_be_kept_means_no_cosignature(kept):
    witness = Witness(kept, WITNESS, LOGS)
    kept.with_name("state.json.part").mkdir()
    with pytest.raises(LedgerUnavailableError, match="nothing was cosigned"):
        witness.add_checkpoint(request(0, 5), NOW)
    assert witness.seen() == {}
