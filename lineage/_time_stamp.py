"""Time stamps of checkpoints by a time-stamping authority (RFC 3161).

An authority signs that it saw the SHA-256 of some bytes at a moment by its clock. What is stamped
are the exact bytes of a checkpoint's signed note. The library ``rfc3161-client`` makes the requests
and checks the answers' signatures and certificate chains; what it leaves open is demanded here:
the hash algorithm, the one key purpose, and that the signer is no certificate authority.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from affidavit.errors import (
    EnvelopeError,
    KeyFileError,
    MissingDependencyError,
    VerificationError,
)
from affidavit.lineage._note import Note

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

MAX_RESPONSE = 64 * 1024
"""The longest answer of an authority that is looked at, in bytes."""
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A time stamp that was verified.

    Args:
        time: The moment by the authority's clock, in UTC.
        accuracy: How far off the authority says that may be; None where it says nothing.
        authority: The name in its certificate.
        serial: The token's serial number.
    """

    time: datetime
    accuracy: timedelta | None
    authority: str
    serial: int

    @property
    def latest(self) -> datetime:
        """The latest moment at which the stamp was made, by the authority's own account."""
        return self.time + (self.accuracy or timedelta())


@dataclass(frozen=True, slots=True)
class Stamped:
    """A checkpoint with a time stamp on it, both verified.

    Args:
        size: How many entries the checkpoint covers.
        stamp: The time stamp.
        response: The authority's answer, as it is kept.
    """

    size: int
    stamp: TimeStamp
    response: bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the stamp, JSON-safe, without its bytes."""
        return {
            "size": self.size,
            "time": self.stamp.time.isoformat().replace("+00:00", "Z"),
            "accuracy_seconds": self.stamp.accuracy and self.stamp.accuracy.total_seconds(),
            "authority": self.stamp.authority,
            "serial": str(self.stamp.serial),
        }


@dataclass(frozen=True, slots=True)
class TimeStampAuthority:
    """The certificates that time stamps are verified against.

    Args:
        roots: Self-signed certificates that are trusted.
        intermediates: Certificates of authorities between these and the signer.
        certificate: The only certificate that may sign, where it is pinned.
    """

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()
    certificate: x509.Certificate | None = None

    @classmethod
    def parse(cls, pem: bytes) -> TimeStampAuthority:
        """Return the authority that a file of PEM certificates describes.

        Args:
            pem: A root's certificate; with it, in any order, those between and the authority's
                own, which is then the only one that may sign.

        Raises:
            KeyFileError: There is no root, or more than one certificate that would sign.
        """
        try:
            found = list(dict.fromkeys(x509.load_pem_x509_certificates(pem)))
            authorities = [one for one in found if _is_authority(one)]
        except ValueError as error:
            raise KeyFileError(
                f"The authority's certificates cannot be read: {error}.",
                hint="Give a file of PEM certificates, as the authority publishes them.",
            ) from error
        roots = tuple(one for one in authorities if _is_self_signed(one))
        between = tuple(one for one in authorities if one not in roots)
        signers = [one for one in found if one not in authorities]
        if not roots or len(signers) > 1:
            raise KeyFileError(
                f"The file has {len(roots)} root(s) and {len(signers)} signing certificate(s); a "
                "root is needed, and at most one certificate that signs.",
                hint="Put the whole chain of the authority into the file, its root included.",
            )
        return cls(roots, between, signers[0] if signers else None)

    def verify(self, response: bytes, message: bytes, *, nonce: int | None = None) -> TimeStamp:
        """Return the time stamp in an authority's answer, or raise.

        The certificates must have been valid at the moment that the stamp names.

        Args:
            response: The answer's exact bytes (RFC 3161 §2.4.2, TimeStampResp).
            message: What was stamped.
            nonce: The request's nonce, where this answers it.

        Raises:
            VerificationError: The answer is malformed, refuses, is of other bytes, or is not signed
                by the authority.
            MissingDependencyError: The library is not installed.
        """
        library = _library()
        if len(response) > MAX_RESPONSE:
            raise EnvelopeError(f"A time stamp has at most {MAX_RESPONSE} bytes.")
        try:
            parsed = library.decode_timestamp_response(response)
            self._check(library, parsed, message, nonce)
            return _read(parsed, self._signer(parsed))
        except library.VerificationError as error:
            raise VerificationError(f"The time stamp does not hold: {error}.") from error
        except (ValueError, TypeError, OverflowError, x509.InvalidVersion) as error:
            raise EnvelopeError(f"The time stamp is malformed: {error}.") from error

    def _check(
        self, library: Any, parsed: TimeStampResponse, message: bytes, nonce: int | None
    ) -> None:
        if parsed.status != 0:
            said = " ".join(parsed.status_string)[:200]
            raise VerificationError(
                f"The authority refused, with the status {parsed.status}: {said or 'no reason'}."
            )
        if parsed.tst_info.message_imprint.hash_algorithm != _SHA256:
            raise VerificationError("The time stamp is not over a SHA-256 digest.")
        # The builder's methods share their lists between what is derived: it is given fresh ones.
        verifier = library.VerifierBuilder(
            tsa_certificate=self.certificate,
            intermediates=list(self.intermediates),
            roots=list(self.roots),
            nonce=nonce,
        ).build()
        verifier.verify(parsed, hashlib.sha256(message).digest())

    def _signer(self, parsed: TimeStampResponse) -> x509.Certificate:
        """Return the certificate that signed, once it is one that RFC 3161 §2.3 lets sign."""
        signer = self.certificate
        if signer is None:
            (said,) = parsed.signed_data.signer_infos
            named = (said.issuer, said.serial_number)
            found = map(x509.load_der_x509_certificate, sorted(parsed.signed_data.certificates))
            fitting = [one for one in found if (one.issuer, one.serial_number) == named]
            if len(fitting) != 1:
                raise VerificationError("The time stamp does not hold its signer's certificate.")
            signer = fitting[0]
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        if list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING] or not usage.critical:
            raise VerificationError(
                "The signer's certificate is not for time stamping alone (RFC 3161 §2.3)."
            )
        if _is_authority(signer):
            raise VerificationError("The signer's certificate is one of a certificate authority.")
        return signer


def request_stamp(message: bytes) -> tuple[bytes, int]:
    """Return a request for a time stamp over some bytes, and its nonce (RFC 3161 §2.4.1).

    Raises:
        MissingDependencyError: The library is not installed.
    """
    library = _library()
    request = library.TimestampRequestBuilder(
        message, library.base.HashAlgorithm.SHA256, nonce=True, cert_req=True
    ).build()
    return request.as_bytes(), request.nonce


def stamped_notes(note: bytes) -> list[bytes]:
    """Return the forms of a signed note that may have been stamped before it was cosigned.

    A witness's line is added at the end, so each form is the text with the first signature lines.

    Raises:
        CheckpointError: The note is malformed.
    """
    Note.parse(note)
    text, _, lines = note.rpartition(b"\n\n")
    kept = lines.splitlines(keepends=True)
    return [text + b"\n\n" + b"".join(kept[:count]) for count in range(1, len(kept) + 1)]


def verify_stamp(authority: TimeStampAuthority, response: bytes, note: bytes) -> TimeStamp:
    """Return the time stamp of a signed note, whoever cosigned it since, or raise.

    Raises:
        VerificationError: The answer is of other bytes, or does not hold.
    """
    forms: Sequence[bytes] = stamped_notes(note)
    for form in forms[:-1]:
        try:
            return authority.verify(response, form)
        except VerificationError:
            continue
    return authority.verify(response, forms[-1])


def _read(parsed: TimeStampResponse, signer: x509.Certificate) -> TimeStamp:
    info = parsed.tst_info
    accuracy = info.accuracy
    within = None
    if accuracy is not None:
        within = timedelta(
            seconds=accuracy.seconds or 0,
            milliseconds=accuracy.millis or 0,
            microseconds=accuracy.micros or 0,
        )
    return TimeStamp(info.gen_time, within, signer.subject.rfc4514_string(), info.serial_number)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _library() -> Any:
    try:
        import rfc3161_client
    except ImportError as error:
        raise MissingDependencyError("rfc3161-client", "timestamp") from error
    return rfc3161_client
