"""Private keys as files: PKCS#8 PEM with mode 0600, with a passphrase or without."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from affidavit.errors import KeyFileError
from affidavit.lineage._keys import SigningKey

_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"  # RFC 7468 §11
_LONGEST_PASSPHRASE = 1023
"""OpenSSL reads no longer one."""


def write_key(path: Path, key: SigningKey, *, passphrase: str | None = None) -> None:
    """Write a private key as PKCS#8 PEM, readable by its owner alone.

    Args:
        path: Where the key goes; a file that exists is never overwritten.
        key: The key.
        passphrase: Encrypts the file where given.

    Raises:
        KeyFileError: The file exists or cannot be written.
    """
    write_secret(path, _pem(key, passphrase))


def replace_key(path: Path, key: SigningKey, *, passphrase: str | None = None) -> None:
    """Write a private key in the place of another: the old file stays whole until the new one is.

    Args:
        path: The file, which is there.
        key: The key.
        passphrase: Encrypts the file where given.

    Raises:
        KeyFileError: It cannot be written; the old file is as it was.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_secret(fresh, _pem(key, passphrase))
    try:
        move_secret(fresh, path)
    except KeyFileError:
        fresh.unlink(missing_ok=True)
        raise


def move_secret(source: Path, target: Path) -> None:
    """Put a secret file in the place of another, in one step that a crash cannot halve.

    Raises:
        KeyFileError: It cannot be done; both files are as they were.
    """
    try:
        source.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyFileError(
            f"The key file {target} cannot be replaced: {error.strerror}.",
            hint="The old file is as it was.",
        ) from error


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
        passphrase: The one that the file is encrypted with; None where it is not.

    Raises:
        KeyFileError: The file is missing, open to others, or holds no Ed25519 key; the passphrase
            is missing, wrong, or not wanted.
    """
    content = read_secret(path)
    encrypted = content.lstrip().startswith(_ENCRYPTED)
    if encrypted and not passphrase:
        raise KeyFileError(
            f"The key file {path} has a passphrase, and none was given.",
            hint="Set AFFIDAVIT_KEY_PASSPHRASE.",
        )
    if passphrase and not encrypted:
        # Whoever gives one believes that the key is kept under it.
        raise KeyFileError(
            f"The key file {path} has no passphrase, and one was given.",
            hint="`affidavit keys passphrase` puts one on it; or unset AFFIDAVIT_KEY_PASSPHRASE.",
        )
    try:
        private = load_pem_private_key(content, _bytes(passphrase) if encrypted else None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise KeyFileError(
                f"The passphrase does not open {path}, or the file is damaged.",
                hint="Check AFFIDAVIT_KEY_PASSPHRASE: white space at its ends counts.",
            ) from error
        raise KeyFileError(f"{path} is not a PKCS#8 PEM key.") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a {type(private).__name__}, not an Ed25519 key.")
    return SigningKey.of(private)


def has_passphrase(path: Path) -> bool:
    """Return whether a key file is encrypted.

    Raises:
        KeyFileError: The file is missing, unreadable, or open to others.
    """
    return read_secret(path).lstrip().startswith(_ENCRYPTED)


def _pem(key: SigningKey, passphrase: str | None) -> bytes:
    encryption = BestAvailableEncryption(_bytes(passphrase)) if passphrase else NoEncryption()
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _bytes(passphrase: str | None) -> bytes:
    encoded = (passphrase or "").encode()
    if len(encoded) > _LONGEST_PASSPHRASE:
        raise KeyFileError(f"A passphrase has {_LONGEST_PASSPHRASE} bytes at most.")
    return encoded
