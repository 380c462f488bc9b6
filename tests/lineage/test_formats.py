"""Strict JSON, envelopes, statements, notes, keys: what is written reads back, and only that."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import ORIGIN, TIME, approval, dataset, digest, run, trust_root

from affidavit.errors import CheckpointError, EnvelopeError, FingerprintError, KeyFileError
from affidavit.lineage import (
    Checkpoint,
    Envelope,
    Note,
    NoteSigner,
    NoteVerifier,
    PublicKey,
    Resource,
    SigningKey,
    Statement,
    TrustedKey,
    TrustRoot,
    derive_rows,
    dump_json,
    new_id,
    open_checkpoint,
    parse_entry,
    parse_json,
    read_key,
    record_bytes,
    sign_envelope,
    sign_note,
    statement_facts,
    statement_id,
    timestamp,
    write_key,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
KEY = SigningKey.generate()
SIGNER = NoteSigner(ORIGIN, KEY.private)


@given(values)
def test_json_reads_back_what_it_wrote_in_one_form(value):
    data = dump_json(value)
    assert parse_json(data) == value
    assert dump_json(parse_json(data)) == data


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b'{"a":1,"a":2}', "stands twice"),
        (b'{"a":{"b":1,"b":1}}', "stands twice"),
        (b'{"a":1,"\\u0061":2}', "stands twice"),
        (b"NaN", "not JSON"),
        (b"[Infinity]", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b"1e999", "too large"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b"[" * 101 + b"]" * 101, "nests"),
        (b"[" * 100_000, "nests|malformed"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nests"),
        (b"", "malformed"),
        (b"1 2", "malformed"),
        (b"{} {}", "malformed"),
        (b"{'a':1}", "malformed"),
        (b"[1,]", "malformed"),
        (b"01", "malformed"),
        (b'"\x01"', "malformed"),
        (b"9" * 5000, "malformed"),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(bad, why):
    with pytest.raises(EnvelopeError, match=why):
        parse_json(bad)


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, {1: "a"}, {None: 1}, {"a": {1, 2}}, b"bytes", "\ud800", object()]
)
def test_what_json_cannot_carry_is_not_written(bad):
    with pytest.raises(FingerprintError, match="cannot be written as JSON"):
        dump_json(bad)


def test_nesting_is_allowed_to_the_same_depth_on_both_sides():
    deep = 1
    for _ in range(100):
        deep = [deep]
    assert parse_json(dump_json(deep)) == deep
    with pytest.raises(FingerprintError, match="nests"):
        dump_json([deep])


# Envelopes


@given(st.binary(max_size=200), lines)
def test_an_envelope_reads_back_what_it_wrote_and_verifies(payload, kind):
    envelope = sign_envelope(payload, kind, KEY)
    again = Envelope.parse(envelope.to_bytes())
    assert again == envelope
    assert again.verify({KEY.keyid: KEY.public}.get) == KEY.keyid


@given(st.data())
def test_one_flipped_bit_anywhere_in_an_envelope_is_refused(data):
    envelope = dataset(1).sign(KEY).to_bytes()
    bit = data.draw(st.integers(0, len(envelope) * 8 - 1))
    changed = bytearray(envelope)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EnvelopeError):
        Envelope.parse(bytes(changed)).verify({KEY.keyid: KEY.public}.get)


def test_an_envelope_is_refused_where_no_trusted_key_signed_it():
    envelope = dataset(1).sign(KEY)
    with pytest.raises(EnvelopeError, match="No signature is by a trusted key"):
        envelope.verify({}.get)
    with pytest.raises(EnvelopeError, match="at least one key"):
        sign_envelope(b"", "text/plain")


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"signatures": []},
        {"signatures": [{"keyid": "a"}]},
        {"signatures": [{"keyid": "a", "sig": "AA==", "cert": ""}]},
        {"signatures": [{"keyid": 1, "sig": "AA=="}]},
        {"signatures": "AA=="},
        {"payload": 1},
        {"payload": "AA=", "payloadType": "t"},
        {"payload": "AB=="},
        {"payload": "A-_="},
        {"payload": "AA==\n"},
        {"payloadType": None},
    ],
)
def test_a_malformed_envelope_is_refused(change):
    value = {**json.loads(dataset(1).sign(KEY).to_bytes()), **change}
    with pytest.raises(EnvelopeError):
        Envelope.parse(json.dumps(value).encode())


# Statements


resources = st.builds(
    Resource,
    text,
    st.integers(0, 2**256 - 1).map(digest),
    text,
    st.none() | st.dictionaries(text.filter(lambda k: k != "recipe"), values, min_size=1),
)


@settings(deadline=None)
@given(
    st.lists(resources, min_size=1, max_size=3).map(tuple),
    text,
    st.dictionaries(text, values, max_size=3),
)
def test_a_statement_reads_back_what_it_wrote(subjects, kind, predicate):
    statement = Statement(subjects, kind, predicate)
    assert Statement.parse(statement.to_bytes()) == statement


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"_type": None},
        {"subject": []},
        {"subject": {}},
        {"subject": [{"name": "x"}]},
        {"subject": [{"name": "x", "digest": {"sha1": "00"}}]},
        {"subject": [{"name": "x", "digest": {"sha256": "AB" * 32}}]},
        {"subject": [{"name": 7, "digest": {"sha256": "ab" * 32}}]},
        {"subject": [{"digest": {"sha256": "ab" * 32}, "annotations": []}]},
        {"subject": [{"digest": {"sha256": "ab" * 32}, "annotations": {"recipe": 1}}]},
        {"predicateType": 1},
        {"predicate": []},
        {"more": 1},
    ],
)
def test_a_malformed_statement_is_refused(change):
    value = {**json.loads(dataset(1).to_bytes()), **change}
    with pytest.raises(EnvelopeError):
        Statement.parse(json.dumps(value).encode())


def test_an_annotation_cannot_pass_for_the_recipe():
    resource = Resource("a", digest(1), "arrow-table-v1", {"recipe": "file-bytes-v1"})
    assert Resource.from_json(resource.to_json()).recipe == "arrow-table-v1"


def test_a_run_is_known_by_its_invocation_and_others_by_their_payload():
    assert statement_id(run(3), run(3).to_bytes()) == "run-3"
    one, other = (statement_id(dataset(n), dataset(n).to_bytes()) for n in (1, 2))
    assert re.fullmatch("[0-9a-f]{32}", one)
    assert one != other
    assert statement_id(Statement(run(3).subjects, run(3).predicate_type, {}), b"x")


def test_the_index_of_a_run_joins_its_inputs_to_its_model():
    envelope = run(3).sign(KEY)
    rows = derive_rows(9, envelope.to_bytes())
    edges = [
        dict(zip(table.columns.keys(), cells, strict=True))
        for table, cells in rows
        if table.name == "edge"
    ]
    assert edges == [
        {
            "entry": 9,
            "ordinal": 0,
            "source": "sha256:" + digest(3),
            "target": "sha256:" + digest(1003),
            "via": "run-3",
        }
    ]
    assert statement_facts(run(3)) == {
        "name": "credit-risk",
        "outcome": "succeeded",
        "actor": "pipeline",
        "time": TIME,
    }


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([run(1), dataset(1), approval()]), st.data())
def test_no_predicate_however_odd_breaks_the_index(statement, data):
    predicate = dict(statement.predicate)
    for key in data.draw(st.sets(st.sampled_from(sorted(predicate)), min_size=1)):
        predicate[key] = data.draw(values)
    odd = dataclasses.replace(statement, predicate=predicate)
    rows = derive_rows(0, odd.sign(KEY).to_bytes())
    assert rows[0][0].name == "statement"
    for _, row in rows:
        assert all(isinstance(cell, str | int) for cell in row)


# Records


def test_a_record_reads_back_and_its_kind_cannot_be_overridden():
    body = record_bytes("access", {"id": "1", "time": TIME, "action": "read"})
    assert parse_entry(body) == {"record": "access", "id": "1", "time": TIME, "action": "read"}
    for fields in ({"id": "1", "time": TIME, "record": "decision"}, {"id": "1"}, {"time": TIME}):
        with pytest.raises(EnvelopeError):
            record_bytes("access", fields)
    with pytest.raises(EnvelopeError, match="one of"):
        record_bytes("gossip", {"id": "1", "time": TIME})


def test_ids_are_uuids_of_version_7_in_the_order_of_time():
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch("[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", one) for one in ids)
    stamps = [one[:12] for one in ids]
    assert stamps == sorted(stamps)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp())


# Notes, checkpoints and keys


@given(lines, st.integers(0, 2**63), st.binary(min_size=32, max_size=32), st.lists(lines))
def test_a_checkpoint_reads_back_what_it_wrote(origin, size, root, extensions):
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    assert Note.parse(checkpoint.signed(SIGNER)).text == checkpoint.text()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60).map(lambda t: t + "\n"))
def test_a_note_reads_back_its_text_and_verifies_for_every_signer(body):
    other = NoteSigner("witness.test", SigningKey.generate().private)
    note = Note.parse(sign_note(body.encode(), SIGNER, other))
    assert note.text == body.encode()
    for signer in (SIGNER, other):
        note.verify(signer.verifier)


@given(st.data())
def test_one_flipped_bit_anywhere_in_a_checkpoint_is_refused(data):
    note = Checkpoint(ORIGIN, 12, b"\x07" * 32).signed(SIGNER)
    bit = data.draw(st.integers(0, len(note) * 8 - 1))
    changed = bytearray(note)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CheckpointError):
        open_checkpoint(bytes(changed), SIGNER.verifier)


@pytest.mark.parametrize(
    "arguments",
    [("", 1, bytes(32)), ("a\nb", 1, bytes(32)), ("a", -1, bytes(32)), ("a", 1, b"short")],
)
def test_a_checkpoint_that_would_read_back_differently_is_refused(arguments):
    with pytest.raises(CheckpointError):
        Checkpoint(*arguments)
    with pytest.raises(CheckpointError):
        Checkpoint("a", 1, bytes(32), ("line", ""))


@pytest.mark.parametrize(
    "bad",
    [b"", b"a\n1\n", b"a\n01\nAA==\n", b"a\n-1\nAA==\n", b"a\n1\nAA==\n", b"a\n1 \n\n", b"\xff\n"],
)
def test_a_malformed_checkpoint_is_refused(bad):
    with pytest.raises(CheckpointError):
        Checkpoint.parse(bad)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n- a AAAAAAAA\n",
        "text\n\n— a\n".encode(),
        "text\n\n— a AAA\n".encode(),
        "text\n\n— a AAAA\n".encode(),
        "text\n\n— a b AAAAAAAA\n".encode(),
        "text\n\n— a+b AAAAAAAA\n".encode(),
        "text\n\n— a AAAAAAAA".encode(),
        "te\txt\n\n— a AAAAAAAA\n".encode(),
        b"\xff\n\n",
        ("text\n\n" + "— a AAAAAAAA\n" * 101).encode(),
    ],
)
def test_a_malformed_note_is_refused(bad):
    with pytest.raises(CheckpointError):
        Note.parse(bad)


def test_a_note_that_could_not_be_read_back_is_not_signed():
    with pytest.raises(CheckpointError, match="newline"):
        sign_note(b"no newline", SIGNER)
    with pytest.raises(CheckpointError):
        sign_note(b"text\n")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=40))
def test_a_verifier_key_reads_back_what_it_wrote(name):
    name = name.replace("+", "-")
    verifier = NoteVerifier(name, KEY.public.raw)
    assert NoteVerifier.parse(str(verifier)) == verifier


@pytest.mark.parametrize("bad", ["", "a+b", "a b+00000000+AA==", "a+00000000+!", "a+00000000+AA=="])
def test_a_malformed_verifier_key_is_refused(bad):
    with pytest.raises(KeyFileError):
        NoteVerifier.parse(bad)


def test_a_verifier_key_whose_hash_is_of_another_key_is_refused():
    name, _, rest = str(SIGNER.verifier).split("+", 2)
    with pytest.raises(KeyFileError, match="its own hash"):
        NoteVerifier.parse(f"{name}+00000000+{rest}")


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def small_order_points():
    """Encodings of all points that eight times themselves give the neutral one (RFC 8032 §5.1)."""

    def add(one, other):
        (a, b), (c, d) = one, other
        product = D * a * b * c * d % P
        return (
            (a * d + b * c) * pow(1 + product, -1, P) % P,
            (b * d + a * c) * pow(1 - product, -1, P) % P,
        )

    y, start = 2, None
    while start is None:
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        for root in (x, x * pow(2, (P - 1) // 4, P) % P):
            if root * root % P == square:
                point, order = (root, y), 2**252 + 27742317777372353535851937790883648493
                torsion, double = (0, 1), point
                while order:
                    torsion = add(torsion, double) if order & 1 else torsion
                    double, order = add(double, double), order >> 1
                four = add(add(torsion, torsion), add(torsion, torsion))
                if four != (0, 1):
                    start = torsion
                break
        y += 1
    points, point = [], (0, 1)
    for _ in range(8):
        points.append(point)
        point = add(point, start)
    assert point == (0, 1)
    return [(py | (px & 1) << 255).to_bytes(32, "little") for px, py in points]


def test_every_key_of_small_order_is_refused():
    weak = small_order_points()
    assert len(set(weak)) == 8
    for raw in weak:
        for sign in (0, 0x80):
            encoded = raw[:31] + bytes([(raw[31] & 0x7F) | sign])
            with pytest.raises(KeyFileError, match="weak"):
                NoteVerifier("a", encoded)


@pytest.mark.parametrize("y", [P, P + 1, 2**255 - 1])
def test_a_public_key_that_is_not_canonical_is_refused(y):
    with pytest.raises(KeyFileError, match="canonical"):
        NoteVerifier("a", y.to_bytes(32, "little"))


def test_a_trust_root_reads_back_what_it_wrote():
    root = trust_root(KEY, SigningKey.generate(), SigningKey.generate())
    statement = root.statement(actor="log", time=TIME, note="n")
    assert TrustRoot.parse(Statement.parse(statement.to_bytes())) == root
    assert set(root.find("log")) == {KEY.keyid}


@pytest.mark.parametrize(
    "change",
    [
        {"roles": ["king"]},
        {"roles": "log"},
        {"roles": [["log"]]},
        {"identity": ""},
        {"identity": {"a": 1}},
        {"keyid": "00" * 32},
        {"ed25519": "AA=="},
        {"ed25519": base64.b64encode(bytes(32)).decode()},
        {"ed25519": 7},
        {"more": 1},
    ],
)
def test_a_malformed_or_weak_key_in_a_trust_root_is_refused(change):
    value = {**TrustedKey("a", KEY.public, frozenset({"log"})).to_json(), **change}
    with pytest.raises(EnvelopeError):
        TrustedKey.from_json(value)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_file_is_private_and_reads_back(tmp_path, passphrase):
    path = tmp_path / "key.pem"
    write_key(path, KEY, passphrase=passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path, passphrase=passphrase).keyid == KEY.keyid
    with pytest.raises(KeyFileError, match="already"):
        write_key(path, KEY)
    with pytest.raises(KeyFileError):
        read_key(path, passphrase=None if passphrase else "unwanted")
    with pytest.raises(KeyFileError):
        read_key(path, passphrase="wrong")


def test_a_key_file_that_others_can_read_or_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "key.pem"
    with pytest.raises(KeyFileError, match="missing"):
        read_key(path)
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path.write_bytes(pem)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(path)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="not an Ed25519 key"):
        read_key(path)
    path.write_bytes(b"hello")
    with pytest.raises(KeyFileError, match="not a PKCS"):
        read_key(path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_key(tmp_path)
    with pytest.raises(KeyFileError, match="cannot be written"):
        write_key(tmp_path / "no" / "key.pem", KEY)


def test_a_key_id_is_the_digest_of_the_subject_public_key_info():
    assert PublicKey(KEY.public.raw).keyid == KEY.keyid
    assert re.fullmatch("[0-9a-f]{64}", KEY.keyid)
