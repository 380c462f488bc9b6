"""Digests and fingerprints: forms, round trips and refusals."""

from __future__ import annotations

import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import ALGORITHMS, Digest, Fingerprint, new_hash

HELLO = hashlib.sha256(b"hello").hexdigest()

digests = st.sampled_from(sorted(ALGORITHMS)).flatmap(
    lambda name: st.builds(
        Digest,
        st.just(name),
        st.binary(min_size=ALGORITHMS[name], max_size=ALGORITHMS[name]).map(bytes.hex),
        st.sampled_from(["file-bytes-v1", "arrow-table-v1", "json-v12"]),
    )
)


@given(digests)
def test_a_digest_survives_its_dict_its_text_and_pickling(digest):
    assert Digest.from_dict(digest.to_dict()) == digest
    assert Digest.parse(str(digest), recipe=digest.recipe) == digest
    assert pickle.loads(pickle.dumps(digest)) == digest
    assert bytes.fromhex(digest.value) == digest.raw
    assert hash(digest) == hash(Digest(digest.algorithm, digest.value, digest.recipe))


def test_a_digest_is_written_with_its_algorithm_and_recipe():
    digest = Digest.of(b"hello", recipe="file-bytes-v1")
    assert str(digest) == f"sha256:{HELLO}"
    assert digest.short == HELLO[:12]
    assert digest.to_dict() == {"digest": {"sha256": HELLO}, "recipe": "file-bytes-v1"}


def test_the_same_value_under_another_recipe_is_another_digest():
    assert Digest("sha256", HELLO, "file-bytes-v1") != Digest("sha256", HELLO, "json-v1")


@pytest.mark.parametrize(
    ("algorithm", "value", "recipe"),
    [
        ("md5", HELLO, "file-bytes-v1"),
        ("SHA256", HELLO, "file-bytes-v1"),
        ("sha256", HELLO.upper(), "file-bytes-v1"),
        ("sha256", HELLO[:-1], "file-bytes-v1"),
        ("sha256", HELLO + "\n", "file-bytes-v1"),
        ("sha512", HELLO, "file-bytes-v1"),
        ("sha256", "", "file-bytes-v1"),
        ("sha256", HELLO, "file-bytes"),
        ("sha256", HELLO, "file-bytes-v01"),
        ("sha256", HELLO, ""),
        (None, HELLO, "file-bytes-v1"),
        ("sha256", None, "file-bytes-v1"),
        ("sha256", HELLO, None),
    ],
)
def test_a_malformed_digest_is_refused(algorithm, value, recipe):
    with pytest.raises(FingerprintError):
        Digest(algorithm, value, recipe)


@pytest.mark.parametrize("text", ["", HELLO, f"sha256-{HELLO}", f" sha256:{HELLO}", None])
def test_parse_refuses_any_other_text(text):
    with pytest.raises(FingerprintError):
        Digest.parse(text, recipe="file-bytes-v1")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"digest": {"sha256": HELLO}},
        {"digest": {"sha256": HELLO}, "recipe": "json-v1", "more": 1},
        {"digest": {"sha256": HELLO, "sha512": HELLO * 2}, "recipe": "json-v1"},
        {"digest": {}, "recipe": "json-v1"},
        {"digest": HELLO, "recipe": "json-v1"},
        "sha256",
    ],
)
def test_from_dict_refuses_missing_unknown_and_ambiguous_keys(data):
    with pytest.raises(FingerprintError):
        Digest.from_dict(data)


def test_a_digest_cannot_be_changed():
    digest = Digest("sha256", HELLO, "json-v1")
    with pytest.raises(AttributeError):
        digest.value = HELLO[::-1]


def test_an_unknown_hash_algorithm_is_named_with_those_that_work():
    with pytest.raises(FingerprintError, match=r"'crc32'.*sha256"):
        new_hash("crc32")


def test_a_fingerprint_survives_its_dict_and_copies_what_it_was_given():
    detail = {"columns": [{"name": "a", "type": "int64"}]}
    print_ = Fingerprint(Digest("sha256", HELLO, "arrow-table-v1"), "table", detail)
    detail["columns"].append("later")
    assert print_.detail == {"columns": [{"name": "a", "type": "int64"}]}
    assert Fingerprint.from_dict(print_.to_dict()) == print_
    print_.to_dict()["detail"]["columns"].clear()
    assert print_.detail["columns"]
    assert str(print_) == f"sha256:{HELLO}"
    assert {print_: 1}[Fingerprint.from_dict(print_.to_dict())] == 1


@pytest.mark.parametrize("detail", [{"x": float("nan")}, {"x": object()}, {"x": b"bytes"}])
def test_a_fingerprint_refuses_a_detail_that_json_cannot_hold(detail):
    with pytest.raises(FingerprintError, match="JSON-safe"):
        Fingerprint(Digest("sha256", HELLO, "json-v1"), "json", detail)


@pytest.mark.parametrize("kind", ["", "Table", "a b", None])
def test_a_fingerprint_refuses_a_kind_that_is_no_name(kind):
    with pytest.raises(FingerprintError):
        Fingerprint(Digest("sha256", HELLO, "json-v1"), kind)


def test_a_fingerprint_refuses_unknown_keys_and_a_detail_that_is_no_object():
    data = Fingerprint(Digest("sha256", HELLO, "json-v1"), "json").to_dict()
    with pytest.raises(FingerprintError):
        Fingerprint.from_dict({**data, "more": 1})
    with pytest.raises(FingerprintError):
        Fingerprint.from_dict({**data, "detail": [1]})
