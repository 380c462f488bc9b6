"""Keys that stay where they are: in a device or a service that securesystemslib's signers reach.

A URI names the key, such as ``hsm:2?label=affidavit`` for the key 02 on the PKCS#11 token of that
label. What signs is theirs; what it is trusted for is the trust root's business, and every
signature is checked against the enrolled key before it is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature

from affidavit.errors import KeyFileError, MissingDependencyError
from affidavit.lineage._keys import ED25519, PublicKey

URI_SCHEMES = ("hsm", "awskms", "gcpkms", "azurekms", "hv")
"""PKCS#11, the three large clouds' key services, and HashiCorp Vault.

Left out of what securesystemslib reads: ``file2`` (our key files check who may read them),
``gnupg`` (signs another message than DSSE's), and Sigstore (a new key for each signature, which no
trust root can list).
"""

Secrets = Callable[[str], str]
"""Gives a secret by its name, such as ``pin``."""

_one_at_a_time = threading.Lock()
"""A PKCS#11 token has one login for a whole process."""


def _unlock_in_child() -> None:
    global _one_at_a_time  # noqa: PLW0603  # another thread of the parent may have held it
    _one_at_a_time = threading.Lock()


os.register_at_fork(after_in_child=_unlock_in_child)


@dataclass(slots=True)
class UriSigner:
    """A key behind a URI.

    Args:
        uri: Where it is.
        public: The enrolled public half; a signature that it does not verify is not used.
        secrets: Gives the PIN.
    """

    uri: str
    public: PublicKey
    secrets: Secrets
    _signer: Any = None
    _refused: str = field(default="")

    @property
    def keyid(self) -> str:
        """The public half's key id."""
        return self.public.keyid

    def sign(self, message: bytes) -> bytes:
        """Return the signature over a message.

        Raises:
            KeyFileError: The key cannot be reached, refuses, or is another than the enrolled one.
            MissingDependencyError: The library for it is not installed.
        """
        with _one_at_a_time:
            if self._refused:
                raise KeyFileError(
                    self._refused, hint="Correct AFFIDAVIT_HSM_PIN and start the process again."
                )
            if self._signer is None:
                self._signer = _open(self.uri, self.public, self.secrets)
            try:
                signature = bytes.fromhex(self._signer.sign(message).signature)
            except Exception as error:
                self._note_refusal(error)
                raise _unusable(self.uri, error) from error
        try:
            self.public.verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise KeyFileError(
                f"{self.uri} signs with another key than the enrolled {self.keyid[:16]}.",
                hint="Name the right key, or enrol this one: `affidavit keys rotate`.",
            ) from error
        return signature

    def _note_refusal(self, error: Exception) -> None:
        # A token locks itself for good after a few wrong PINs: one is enough.
        if type(error).__name__ in {"PinIncorrect", "PinLocked", "PinInvalid", "PinLenRange"}:
            self._refused = f"{self.uri} refused its PIN; it is not tried again."


def open_signer(uri: str, public: PublicKey, secrets: Secrets) -> UriSigner:
    """Return what signs with the key behind a URI.

    Args:
        uri: Where the key is, of one of `URI_SCHEMES`.
        public: Its enrolled public half.
        secrets: Gives the PIN.

    Raises:
        KeyFileError: The URI is of no such scheme.
    """
    check_uri(uri)
    return UriSigner(uri, public, secrets)


def public_at(uri: str, secrets: Secrets) -> PublicKey:
    """Return the public half of the key on a PKCS#11 token, fit to be enrolled.

    Raises:
        KeyFileError: There is no such token or key, or the key is refused; of another service than
            a token the public half must be given as a file.
        MissingDependencyError: The library for it is not installed.
    """
    if check_uri(uri) != "hsm":
        raise KeyFileError(
            f"The public half of {uri} is not fetched from here.",
            hint="Get it from the service and give it with --public FILE.",
        )
    from urllib.parse import parse_qsl, urlparse

    signers = _library()
    parts = urlparse(uri)
    label = dict(parse_qsl(parts.query)).get("label")
    try:
        number = int(parts.path) if parts.path else None
        with _one_at_a_time:
            _, key = signers.HSMSigner.import_(number, label, secrets)
    except Exception as error:
        raise _unusable(uri, error) from error
    return PublicKey.parse(str(key.keyval["public"]).encode())


def check_uri(uri: str) -> str:
    """Return the scheme of a key's URI.

    Raises:
        KeyFileError: It is none of `URI_SCHEMES`, or the URI holds what does not belong on one
            line.
    """
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme not in URI_SCHEMES or not uri.isprintable() or len(uri) > 2000:
        raise KeyFileError(
            f"{uri[:100]!r} does not name a key.",
            hint=f"Begin with one of {', '.join(s + ':' for s in URI_SCHEMES)} "
            "such as hsm:2?label=affidavit.",
        )
    return scheme


def _open(uri: str, public: PublicKey, secrets: Secrets) -> Any:
    signers = _library()
    if public.scheme == ED25519:
        key = signers.SSlibKey(public.keyid, "ed25519", ED25519, {"public": public.raw.hex()})
    else:
        key = signers.SSlibKey(public.keyid, "ecdsa", public.scheme, {"public": public.pem})
    try:
        return signers.Signer.from_priv_key_uri(uri, key, secrets)
    except Exception as error:
        raise _unusable(uri, error) from error


def _library() -> Any:
    try:
        import securesystemslib.signer as signers
    except ImportError as error:
        raise MissingDependencyError("securesystemslib", "hsm") from error
    return signers


def _unusable(uri: str, error: Exception) -> KeyFileError | MissingDependencyError:
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, KeyFileError | MissingDependencyError):
        return error
    if type(error).__name__ == "UnsupportedLibraryError":
        return MissingDependencyError("pkcs11" if uri.startswith("hsm:") else str(error), "hsm")
    hint = "PYKCS11LIB names the token's library, AFFIDAVIT_HSM_PIN its PIN."
    return KeyFileError(
        f"The key at {uri} cannot be used ({what}).", hint=hint if uri.startswith("hsm:") else ""
    )
