"""Time stamps of a real authority hold for what they are over, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from authority import Authority, openssl

from affidavit.errors import EnvelopeError, KeyFileError, LedgerError, VerificationError
from affidavit.lineage import (
    Checkpoint,
    TimeStampAuthority,
    keep_stamp,
    newest_stamped,
    open_checkpoint,
    request_stamp,
    stamps_of,
    verify_ledger,
    verify_stamp,
)
from affidavit.lineage import _time_stamp as module

MESSAGE = b"some bytes"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority.make(tmp_path_factory.mktemp("tsa"))
    for usage in ("lax", "two", "none", "caself"):
        made.certify(usage, usage)
    made.certify("other", "tsa")
    made.certify("old", "tsa")
    made.outdate("old")
    return made


@pytest.fixture(scope="module")
def trusted(authority):
    return TimeStampAuthority.parse(authority.pem("ca", "tsa"))


def stamp(authority, message=MESSAGE, signer="tsa"):
    query, nonce = request_stamp(message)
    return authority.answer(query, signer), nonce


def test_a_stamp_tells_the_time_and_who_made_it(authority, trusted):
    response, nonce = stamp(authority)
    found = trusted.verify(response, MESSAGE, nonce=nonce)
    assert abs(found.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert found.accuracy == timedelta(seconds=1)
    assert found.latest == found.time + timedelta(seconds=1)
    assert found.authority == "CN=Test tsa"
    assert found.serial > 0


def test_openssl_accepts_what_we_accept_and_refuses_other_bytes(authority):
    response, _ = stamp(authority)
    (authority.folder / "x.tsr").write_bytes(response)
    (authority.folder / "x").write_bytes(MESSAGE)
    command = ["ts", "-verify", "-in", "x.tsr", "-data", "x", "-CAfile", "ca.pem"]
    assert b"OK" in openssl(*command, folder=authority.folder).stdout
    (authority.folder / "x").write_bytes(MESSAGE + b".")
    assert openssl(*command, folder=authority.folder).returncode != 0


def test_a_root_alone_lets_every_time_stamping_certificate_under_it_sign(authority):
    under = TimeStampAuthority.parse(authority.pem("ca"))
    response, nonce = stamp(authority, signer="other")
    assert under.verify(response, MESSAGE, nonce=nonce).authority == "CN=Test other"


def test_a_stamp_over_other_bytes_is_refused(authority, trusted):
    response, _ = stamp(authority)
    with pytest.raises(VerificationError, match="Mismatch"):
        trusted.verify(response, MESSAGE + b"\n")


def test_an_answer_to_another_request_is_refused(authority, trusted):
    response, nonce = stamp(authority)
    with pytest.raises(VerificationError, match="Nonce"):
        trusted.verify(response, MESSAGE, nonce=nonce + 1)


def test_another_signer_than_the_pinned_one_is_refused(authority, trusted):
    response, _ = stamp(authority, signer="other")
    with pytest.raises(VerificationError):
        trusted.verify(response, MESSAGE)


def test_a_signer_under_another_root_is_refused(authority, trusted, tmp_path):
    stranger = Authority.make(tmp_path / "stranger")
    response, _ = stamp(stranger)
    for against in (trusted, TimeStampAuthority.parse(authority.pem("ca"))):
        with pytest.raises(VerificationError, match="certif"):
            against.verify(response, MESSAGE)
    # Two authorities never share what the builder of the library collects.
    assert TimeStampAuthority.parse(stranger.pem("ca")).verify(response, MESSAGE)
    with pytest.raises(VerificationError):
        trusted.verify(response, MESSAGE)


def test_a_certificate_that_had_expired_when_it_signed_is_refused(authority):
    response, _ = stamp(authority, signer="old")
    for pem in (authority.pem("ca", "old"), authority.pem("ca")):
        with pytest.raises(VerificationError, match="expired"):
            TimeStampAuthority.parse(pem).verify(response, MESSAGE)


def test_openssl_makes_no_stamp_with_a_certificate_that_may_not(authority):
    query, _ = request_stamp(MESSAGE)
    for usage in ("lax", "none"):
        with pytest.raises(AssertionError):
            authority.answer(query, usage)


@pytest.mark.parametrize("usage", ["lax", "two", "none", "caself"])
def test_a_certificate_that_is_not_for_time_stamping_alone_is_refused(authority, usage):
    """OpenSSL signs under none of these: the certificate is put in after the chain is checked."""
    response, _ = stamp(authority)
    from cryptography import x509
    from rfc3161_client import decode_timestamp_response

    certificate = x509.load_pem_x509_certificate(authority.pem(usage))
    root = x509.load_pem_x509_certificate(authority.pem("ca"))
    against = TimeStampAuthority((root,), (), certificate)
    with pytest.raises((VerificationError, ValueError, x509.ExtensionNotFound)):
        against._signer(decode_timestamp_response(response))
    with pytest.raises(VerificationError):
        against.verify(response, MESSAGE)


def test_a_refusal_is_told_with_its_reason(authority, trusted):
    query, _ = request_stamp(MESSAGE)
    broken = bytearray(query)
    at = query.index(bytes.fromhex("0609608648016503040201")) + 10
    broken[at] = 0x02  # SHA-384 with 32 bytes: the authority is to refuse it
    refused = authority.answer(bytes(broken))
    with pytest.raises(VerificationError, match="refused, with the status 2"):
        trusted.verify(refused, MESSAGE)


def test_a_stamp_by_another_hash_is_refused(authority, trusted):
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    request = TimestampRequestBuilder(MESSAGE, HashAlgorithm.SHA512).build()
    response = authority.answer(request.as_bytes())
    with pytest.raises(VerificationError, match="SHA-256"):
        trusted.verify(response, MESSAGE)


@pytest.mark.parametrize("junk", [b"", b"<html>", bytes(100), b"\x30\x80" + bytes(40)])
def test_what_is_no_answer_is_malformed(trusted, junk):
    with pytest.raises(EnvelopeError, match="malformed"):
        trusted.verify(junk, MESSAGE)


def test_a_huge_answer_is_not_parsed(trusted):
    with pytest.raises(EnvelopeError, match="at most"):
        trusted.verify(bytes(module.MAX_RESPONSE + 1), MESSAGE)


def test_one_bit_changed_never_changes_what_a_stamp_says(authority, trusted):
    """Some bytes of CMS are under no signature, such as its version; none of them is read."""
    response, nonce = stamp(authority)
    said = trusted.verify(response, MESSAGE, nonce=nonce)
    accepted = 0
    for at in range(len(response)):
        changed = bytearray(response)
        changed[at] ^= 1 << at % 8
        try:
            found = trusted.verify(bytes(changed), MESSAGE, nonce=nonce)
        except VerificationError:
            continue
        accepted += 1
        assert found == said
    assert accepted < 20


@pytest.mark.parametrize(
    ("files", "match"),
    [(("tsa",), "0 root"), (("ca", "tsa", "other"), "2 signing"), ((), "cannot be read")],
)
def test_certificates_that_name_no_authority_are_refused(authority, files, match):
    with pytest.raises(KeyFileError, match=match):
        TimeStampAuthority.parse(authority.pem(*files))


def kept(log, authority, trusted):
    note = log.ledger.checkpoint()
    response, _ = stamp(authority, note)
    keep_stamp(log.ledger, note, response, trusted)
    return note, response


def verified(log, *authorities):
    return verify_ledger(log.path, log.signer.verifier, authorities=authorities)


def codes(report):
    return [fault.code for fault in report.errors]


def test_a_kept_stamp_is_told_by_a_verification_that_is_asked_for_it(log, authority, trusted):
    note, response = kept(log, authority, trusted)
    keep_stamp(log.ledger, note, response, trusted)
    assert stamps_of(log.ledger, 28) == [response]
    log.ledger.append([log.ledger.entry(1)])
    report = verified(log, trusted)
    assert report.ok
    (found,) = report.stamped
    assert found.size == 28
    assert found.to_dict()["authority"] == "CN=Test tsa"
    assert newest_stamped(log.ledger) == note
    assert verified(log).stamped == ()


def test_a_stamp_is_kept_only_for_the_checkpoint_in_the_store(log, authority, trusted):
    head = log.ledger.head()
    other = Checkpoint(head.origin, head.size, bytes(32)).signed(log.signer)
    response, _ = stamp(authority, other)
    with pytest.raises(LedgerError, match="not the one in the store"):
        keep_stamp(log.ledger, other, response, trusted)
    with pytest.raises(VerificationError):
        keep_stamp(log.ledger, log.ledger.checkpoint(), response, trusted)
    assert stamps_of(log.ledger, head.size) == []


def test_a_stamp_filed_under_another_checkpoint_is_found(log, authority, trusted):
    kept(log, authority, trusted)
    log.cut("UPDATE time_stamp SET size = 27")
    report = verified(log, trusted)
    assert codes(report) == ["time-stamp-invalid"]
    assert report.stamped == ()


@pytest.mark.parametrize("way", ["bit", "no-checkpoint", "text", "digest"])
def test_a_changed_stamp_is_found(log, authority, trusted, way):
    note, response = kept(log, authority, trusted)
    log.ledger.append([log.ledger.entry(1)])
    if way == "bit":
        # The version of the CMS: the token still verifies, but it is not what was kept.
        log.cut("UPDATE time_stamp SET response = ?", response[:34] + b"\x02" + response[35:])
    elif way == "no-checkpoint":
        log.cut("DELETE FROM checkpoint WHERE size = 28")
    elif way == "text":
        log.cut("UPDATE time_stamp SET response = 'text'")
    else:
        log.cut("UPDATE time_stamp SET digest = ?", "0" * 64)
    assert codes(verified(log, trusted)) == ["time-stamp-invalid"]
    assert open_checkpoint(note, log.signer.verifier).size == 28


def test_a_stamp_by_nobody_who_counts_is_a_finding(log, authority, trusted, tmp_path):
    kept(log, authority, trusted)
    stranger = TimeStampAuthority.parse(Authority.make(tmp_path / "s").pem("ca", "tsa"))
    report = verified(log, stranger)
    assert codes(report) == ["time-stamp-invalid"]
    assert "another authority" in report.errors[0].message
    assert verified(log, stranger, trusted).ok


def test_no_stamp_is_claimed_of_a_log_that_does_not_hold(log, authority, trusted):
    kept(log, authority, trusted)
    log.cut("DELETE FROM entry WHERE entry = 5")
    report = verified(log, trusted)
    assert not report.ok
    assert report.stamped == ()


def test_a_store_from_before_there_were_stamps_takes_them(log, authority, trusted):
    log.cut("DROP TABLE time_stamp")
    assert verified(log, trusted).ok
    assert stamps_of(log.ledger, 28) == []
    kept(log, authority, trusted)
    assert len(verified(log, trusted).stamped) == 1


def test_a_stamp_holds_for_the_note_that_a_witness_cosigned_later(log, authority, trusted):
    note, response = kept(log, authority, trusted)
    line = "— witness.example AAAAAAAA\n".encode()
    assert verify_stamp(trusted, response, note + line).authority == "CN=Test tsa"
    with pytest.raises(VerificationError):
        verify_stamp(trusted, response, note.replace(b"28", b"29") + line)
