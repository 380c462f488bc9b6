"""Personal data: sealed, bound to its record, disclosed field by field, and never hashed bare."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import KeyFileError, VerificationError
from affidavit.lineage import PayloadVault, check_disclosures
from affidavit.lineage._payloads import disclose, disclosure_digest, read_disclosure

VAULT = PayloadVault(bytes(range(32)))
FIELDS = {"name": "Grete Hermann", "income": 52000, "codes": [1, 2.5, None], "ü": "ß"}
SUBJECT = VAULT.pseudonym("customer-17")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(text, st.dictionaries(text, st.integers() | text | st.booleans() | st.none(), max_size=5))
def test_what_was_sealed_is_opened_and_matches_the_logged_digests(identifier, fields):
    payload, digests = VAULT.seal(identifier, SUBJECT, fields, None)
    disclosures = VAULT.open(payload)
    assert check_disclosures(disclosures, digests) == fields
    assert len(digests) == len(fields)


def test_a_second_payload_of_a_subject_is_sealed_under_the_same_key():
    first, _ = VAULT.seal("one", SUBJECT, FIELDS, None)
    second, digests = VAULT.seal("two", SUBJECT, FIELDS, first.wrapped_key)
    assert second.wrapped_key == first.wrapped_key
    assert check_disclosures(VAULT.open(second), digests) == FIELDS


@pytest.mark.parametrize(
    "change",
    [
        {"id": "another"},
        {"subject": VAULT.pseudonym("customer-18")},
        {"sealed": b""},
        {"sealed": bytes(5)},
        {"sealed": bytes(60)},
        {"wrapped_key": bytes(40)},
        {"wrapped_key": b""},
        {"wrapped_key": VAULT.seal("x", "y", {}, None)[0].wrapped_key},
    ],
    ids=["id", "subject", "empty", "short", "zeros", "zero key", "no key", "another key"],
)
def test_a_payload_opens_only_under_its_own_id_subject_and_key(change):
    payload, _ = VAULT.seal("one", SUBJECT, FIELDS, None)
    with pytest.raises(VerificationError):
        VAULT.open(dataclasses.replace(payload, **change))


def test_a_boundary_between_subject_and_id_cannot_be_moved():
    payload, _ = VAULT.seal("b/c", "a", FIELDS, None)
    with pytest.raises(VerificationError):
        VAULT.open(dataclasses.replace(payload, subject="a/b", id="c"))


def test_every_changed_byte_of_the_sealed_data_is_refused():
    payload, _ = VAULT.seal("one", SUBJECT, FIELDS, None)
    for at in range(0, len(payload.sealed), 7):
        sealed = bytearray(payload.sealed)
        sealed[at] ^= 1
        with pytest.raises(VerificationError):
            VAULT.open(dataclasses.replace(payload, sealed=bytes(sealed)))


def test_another_master_key_opens_nothing_and_names_subjects_differently():
    payload, _ = VAULT.seal("one", SUBJECT, FIELDS, None)
    other = PayloadVault(bytes(32))
    with pytest.raises(VerificationError, match="master key"):
        other.open(payload)
    assert other.pseudonym("customer-17") != SUBJECT
    assert VAULT.pseudonym("customer-17") == SUBJECT
    with pytest.raises(KeyFileError, match="32 bytes"):
        PayloadVault(b"short")


def test_the_sealed_bytes_and_the_digests_give_no_value_away():
    payload, digests = VAULT.seal("one", SUBJECT, FIELDS, None)
    seen = payload.sealed + payload.wrapped_key + "".join(digests).encode() + SUBJECT.encode()
    for word in (b"Grete", b"52000", b"income", b"customer-17"):
        assert word not in seen
        assert base64.b64encode(word)[:-2] not in seen
    for value in FIELDS.values():
        for form in (str(value), repr(value)):
            bare = hashlib.sha256(form.encode()).digest()
            assert base64.urlsafe_b64encode(bare).rstrip(b"=").decode() not in digests
    again, others = VAULT.seal("one", SUBJECT, FIELDS, None)
    assert not set(digests) & set(others)
    assert again.sealed != payload.sealed


def test_salts_have_128_bits_and_are_never_reused():
    salts = set()
    for disclosure in disclose({f"name-{n}": "value" for n in range(200)}):
        padded = disclosure + "=="
        salt = base64.urlsafe_b64decode(padded).split(b'"')[1]
        assert len(base64.urlsafe_b64decode(salt + b"==")) == 16
        salts.add(salt)
    assert len(salts) == 200


def test_a_changed_unknown_or_repeated_disclosure_is_refused():
    (one,), (other,) = disclose({"income": 52000}), disclose({"income": 99000})
    assert check_disclosures([one], [disclosure_digest(one)]) == {"income": 52000}
    with pytest.raises(VerificationError, match="not the one logged"):
        check_disclosures([other], [disclosure_digest(one)])
    with pytest.raises(VerificationError, match="twice"):
        check_disclosures([one, other], [disclosure_digest(one), disclosure_digest(other)])
    for digests in (None, "text", [{}], [[]], [None]):
        with pytest.raises(VerificationError, match="not the one logged"):
            check_disclosures([one], digests)


@pytest.mark.parametrize("bad", ["", "a", "!!!!", "é", "W10", "WyJhIl0=", " W10", "WzEsMiwzXQ"])
def test_what_is_no_disclosure_is_refused(bad):
    with pytest.raises(VerificationError):
        read_disclosure(bad)
