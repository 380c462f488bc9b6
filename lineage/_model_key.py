"""Keys for model signatures: ECDSA over NIST P-256, P-384 or P-521.

OpenSSF Model Signing admits no Ed25519 key, so models have a key of their own beside the log's and
the recorder's. The hash goes with the curve (SHA-256, SHA-384, SHA-512), as the Sigstore protobuf
specification ties them (``PublicKeyDetails``, ``PKIX_ECDSA_P256_SHA_256`` and its siblings). A
signature names its key by a hint: the SHA-256, in hex, of the public key as PEM.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from affidavit.errors import EnvelopeError, KeyFileError
from affidavit.lineage._key_files import read_secret, write_secret

_CURVES = {
    "secp256r1": ("P-256", hashes.SHA256),
    "secp384r1": ("P-384", hashes.SHA384),
    "secp521r1": ("P-521", hashes.SHA512),
}


@dataclass(frozen=True, slots=True)
class ModelVerifier:
    """The public half of a key for model signatures.

    Args:
        key: The public key, on one of the three curves.

    Raises:
        KeyFileError: It is on another curve.
    """

    key: ec.EllipticCurvePublicKey

    def __post_init__(self) -> None:
        if self.key.curve.name not in _CURVES:
            raise KeyFileError(
                f"A model key on the curve {self.key.curve.name} cannot be used.",
                hint=f"Use one on {', '.join(name for name, _ in _CURVES.values())}.",
            )

    @classmethod
    def parse(cls, pem: bytes) -> ModelVerifier:
        """Return the public key in a PEM text.

        Raises:
            KeyFileError: It is no public key on one of the three curves.
        """
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError(
                "This is no public key in PEM.",
                hint="Give the file that begins with -----BEGIN PUBLIC KEY-----.",
            ) from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise KeyFileError(
                f"A model key is an elliptic-curve key, not {type(key).__name__}.",
                hint="The log's key signs no models; the home's key for those is `model.pub`.",
            )
        return cls(key)

    @property
    def curve(self) -> str:
        """The curve: ``P-256``, ``P-384`` or ``P-521``."""
        return _CURVES[self.key.curve.name][0]

    @property
    def pem(self) -> bytes:
        """The key as PEM (SubjectPublicKeyInfo, RFC 5280 §4.1)."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def hint(self) -> str:
        """What a signature names the key by."""
        return hashlib.sha256(self.pem).hexdigest()

    def verify(self, signature: bytes, message: bytes) -> None:
        """Accept a signature (DER, RFC 3279 §2.2.3) over a message, or raise.

        Raises:
            EnvelopeError: It is not this key's over this message.
        """
        algorithm = _CURVES[self.key.curve.name][1]()
        try:
            self.key.verify(signature, message, ec.ECDSA(algorithm))
        except InvalidSignature as error:
            raise EnvelopeError(
                f"The model signature is not by the key {self.hint[:16]}, or what was signed "
                "has been changed."
            ) from error


@dataclass(frozen=True, slots=True)
class ModelKey:
    """A private key for model signatures.

    Args:
        private: The private key, on one of the three curves.
    """

    private: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> ModelKey:
        """Return a new random key on P-256."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def verifier(self) -> ModelVerifier:
        """The public half."""
        return ModelVerifier(self.private.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return a signature over a message, in DER."""
        algorithm = _CURVES[self.private.curve.name][1]()
        return self.private.sign(message, ec.ECDSA(algorithm))


def write_model_key(path: Path, key: ModelKey, *, passphrase: str | None = None) -> None:
    """Write a private key as PKCS#8 PEM with mode 0600.

    Args:
        path: Where it goes; a file that exists is never overwritten.
        key: The key.
        passphrase: Encrypts the file where given.

    Raises:
        KeyFileError: The file exists or cannot be written.
    """
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    write_secret(path, key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def read_model_key(path: Path, *, passphrase: str | None = None) -> ModelKey:
    """Return the private key in a file.

    Args:
        path: A PEM file, PKCS#8 or SEC 1, with mode 0600.
        passphrase: Needed where the file is encrypted.

    Raises:
        KeyFileError: The file is missing, open to others, or holds no key on the three curves.
    """
    content = read_secret(path)
    try:
        private = load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except TypeError as error:
        raise KeyFileError(
            f"The passphrase of {path} is missing or not wanted.",
            hint="Set AFFIDAVIT_KEY_PASSPHRASE for an encrypted key.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path} is not a private key in PEM, or the passphrase is wrong."
        ) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise KeyFileError(f"{path} holds a {type(private).__name__}, not an elliptic-curve key.")
    ModelVerifier(private.public_key())
    return ModelKey(private)
