"""Ed25519 keys: made, kept as PKCS#8 PEM with mode 0600, and named by their key id.

A key id is the SHA-256 of the key's SubjectPublicKeyInfo (RFC 5280 §4.1) in lowercase hex.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from affidavit.errors import KeyFileError
from affidavit.lineage._note import raw_public


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that envelopes are checked with.

    Args:
        raw: The 32 bytes of the Ed25519 public key.
    """

    raw: bytes

    @property
    def keyid(self) -> str:
        """The SHA-256 of the SubjectPublicKeyInfo, in hex."""
        return hashlib.sha256(self._key().public_bytes(*_SPKI)).hexdigest()

    def verify(self, signature: bytes, message: bytes) -> None:
        """Accept a signature or raise `cryptography.exceptions.InvalidSignature`."""
        self._key().verify(signature, message)

    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    @property
    def base64(self) -> str:
        """The raw key in base64, as it stands in a trust root."""
        return base64.b64encode(self.raw).decode()


_SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs envelopes.

    Args:
        private: The Ed25519 private key.
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


def write_key(path: Path, key: SigningKey, *, passphrase: str | None = None) -> None:
    """Write a private key as PKCS#8 PEM, readable by its owner alone.

    Args:
        path: Where the key goes; a file that exists is never overwritten.
        key: The key.
        passphrase: Encrypts the file where given.

    Raises:
        KeyFileError: The file exists or cannot be written.
    """
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    write_secret(path, pem)


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600 and flush it to disk.

    Raises:
        KeyFileError: The file exists or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileError(
            f"There is a key file at {path} already.", hint="A key is never overwritten."
        ) from error
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Half a key would be neither usable nor replaceable.
        path.unlink(missing_ok=True)
        raise KeyFileError(f"The key file {path} cannot be written: {error.strerror}.") from error


def read_secret(path: Path) -> bytes:
    """Return the content of a secret file that only its owner may read.

    Raises:
        KeyFileError: The file is missing, unreadable, or open to others.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError as error:
        raise KeyFileError(
            f"The key file {path} is missing.",
            hint="Restore it from your backup; without it nothing can be signed, but the ledger "
            "can still be verified.",
        ) from error
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise KeyFileError(
            f"The key file {path} has mode {mode:04o}, which lets others read it.",
            hint=f"Run: chmod 600 {path}; and consider the key exposed.",
        )
    return content


def read_key(path: Path, *, passphrase: str | None = None) -> SigningKey:
    """Return the private key in a file.

    Args:
        path: A PKCS#8 PEM file with mode 0600.
        passphrase: Needed where the file is encrypted.

    Raises:
        KeyFileError: The file is missing, open to others, or holds no Ed25519 key.
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
            f"{path} is not a PKCS#8 PEM key, or the passphrase is wrong."
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a {type(private).__name__}, not an Ed25519 key.")
    return SigningKey.of(private)
