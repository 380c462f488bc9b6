"""Keys that sign and check envelopes, their two signature schemes, and their ids.

| scheme | key | signature |
|---|---|---|
| ``ed25519`` | the 32 bytes of RFC 8032 §5.1.5 | RFC 8032 §5.1.6 |
| ``ecdsa-sha2-nistp256`` | a P-256 point, uncompressed (SEC 1 §2.3.3) | DER (RFC 3279 §2.2.3) |

A key id is the SHA-256 of the key's SubjectPublicKeyInfo (RFC 5280 §4.1; RFC 8410 §4, RFC 5480 §2)
in lowercase hex. The scheme of a key comes from the trust root, never from an envelope.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from affidavit.errors import KeyFileError
from affidavit.lineage._note import check_public, raw_public

ED25519 = "ed25519"
ECDSA_P256 = "ecdsa-sha2-nistp256"
SCHEMES = (ED25519, ECDSA_P256)
"""The signature schemes, by the names that securesystemslib gives them."""

_PEM_HEAD, _PEM_FOOT = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_SPKI_HEADS = {
    # RFC 8410 §4: id-Ed25519, no parameters.
    ED25519: bytes.fromhex("302a300506032b6570032100"),
    # RFC 5480 §2: id-ecPublicKey, secp256r1.
    ECDSA_P256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that envelopes are checked with.

    Args:
        raw: The key's bytes, in the one form that its scheme has.
        scheme: One of `SCHEMES`.
    """

    raw: bytes
    scheme: str = ED25519

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo in DER."""
        return _SPKI_HEADS[self.scheme] + self.raw

    @property
    def keyid(self) -> str:
        """The SHA-256 of the SubjectPublicKeyInfo, in hex."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def pem(self) -> str:
        """The SubjectPublicKeyInfo in PEM (RFC 7468 §13)."""
        encoded = base64.b64encode(self.spki).decode()
        lines = [encoded[at : at + 64] for at in range(0, len(encoded), 64)]
        return "\n".join([_PEM_HEAD, *lines, _PEM_FOOT, ""])

    @property
    def base64(self) -> str:
        """The raw key in base64, as it stands in a trust root."""
        return base64.b64encode(self.raw).decode()

    def verify(self, signature: bytes, message: bytes) -> None:
        """Accept a signature or raise `cryptography.exceptions.InvalidSignature`."""
        if self.scheme == ED25519:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        elif self.scheme == ECDSA_P256:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.raw)
            key.verify(signature, message, ec.ECDSA(SHA256()))
        else:
            raise InvalidSignature(f"no key has the scheme {self.scheme!r}")

    def check(self) -> PublicKey:
        """Return the key itself where it may be enrolled.

        Raises:
            KeyFileError: The scheme is unknown; the key is weak, no point of its curve, or not in
                its canonical form.
        """
        if self.scheme == ED25519:
            check_public(self.raw)
        elif self.scheme == ECDSA_P256:
            if len(self.raw) != 65 or self.raw[0] != 4:
                raise KeyFileError(
                    "A P-256 public key is an uncompressed point: 65 bytes, of which the first is "
                    f"04; there are {len(self.raw)}, of which the first is {self.raw[:1].hex()}."
                )
            try:
                ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.raw)
            except ValueError as error:
                raise KeyFileError("The public key is not a point of the curve P-256.") from error
        else:
            raise KeyFileError(
                f"No key has the scheme {self.scheme!r}.",
                hint=f"There are {' and '.join(SCHEMES)}.",
            )
        return self

    @classmethod
    def parse(cls, content: bytes) -> PublicKey:
        """Return the public key in a SubjectPublicKeyInfo, in PEM or DER, fit to be enrolled.

        Raises:
            KeyFileError: It is none, is of another algorithm or curve, is weak, or is not in its
                canonical DER form.
        """
        der = _der_of_pem(content) if content.lstrip().startswith(b"-----") else content
        for scheme, head in _SPKI_HEADS.items():
            if der.startswith(head):
                return cls(der[len(head) :], scheme).check()
        raise KeyFileError(
            f"The public key is refused: {_what(der)}.",
            hint="Give an Ed25519 key, or a key of the curve P-256 with the curve's name and an "
            "uncompressed point.",
        )


@runtime_checkable
class Signer(Protocol):
    """Whatever signs envelopes: a key file, or a key that never leaves its device or service."""

    @property
    def public(self) -> PublicKey:
        """The public half."""

    @property
    def keyid(self) -> str:
        """The public half's key id."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature over a message, in the scheme of the public half."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 private key that signs envelopes.

    Args:
        private: The private key.
        keyid: The public half's key id.
    """

    private: Ed25519PrivateKey
    keyid: str

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> SigningKey:
        """Return the signing key over a private key."""
        return cls(private, PublicKey(raw_public(private.public_key())).keyid)

    @classmethod
    def generate(cls) -> SigningKey:
        """Return a new random key."""
        return cls.of(Ed25519PrivateKey.generate())

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(raw_public(self.private.public_key()))

    def sign(self, message: bytes) -> bytes:
        """Return the signature over a message (RFC 8032 §5.1.6)."""
        return self.private.sign(message)


def _der_of_pem(content: bytes) -> bytes:
    """Return what a PEM file holds between its lines (RFC 7468 §2), and nothing else."""
    lines = content.decode("ascii", "replace").strip().splitlines()
    if lines[0] != _PEM_HEAD or lines[-1] != _PEM_FOOT:
        raise KeyFileError(
            "The file is not one public key in PEM.",
            hint="`openssl pkey -in key.pem -pubout` writes the public half of a key.",
        )
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError as error:
        raise KeyFileError("The public key's PEM is not base64.") from error


def _what(der: bytes) -> str:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return "it is no public key that can be read"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name != "secp256r1":
        return f"it is of the curve {key.curve.name}, not P-256"
    canonical = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ec.EllipticCurvePublicKey | Ed25519PublicKey) and canonical != der:
        return "it is not in the canonical form, with an uncompressed point"
    return f"it is a {type(key).__name__}"
