"""Signed notes and verifier keys (C2SP signed-note, Ed25519 signature type 0x01).

```
affidavit.local/3f2a9c0d51e7b846
12
9r0dX1eD0oXo2m8Yc4tA4p0cD8i3pYV7wV1xWzJmPzU=

— affidavit.local/3f2a9c0d51e7b846 hQ8xQh1…
```

The text ends in a newline; a blank line and one line for each signature follow. A signature is
``base64(key hash, 4 bytes || signature)`` with the key hash
``SHA-256(name || 0x0A || 0x01 || public key)[:4]``, and covers the text's bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from affidavit.errors import CheckpointError, KeyFileError

_ED25519 = b"\x01"
_DASH = "— "
MAX_SIGNATURES = 100


def raw_public(key: Ed25519PublicKey) -> bytes:
    """Return the 32 bytes of a public key (RFC 8032 §5.1.5)."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_hash(name: str, public: bytes) -> bytes:
    """Return the four bytes by which a note names a key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A named public key that signatures on notes are checked with.

    Args:
        name: The key's name, for a log its origin.
        public: The 32 bytes of the Ed25519 public key.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        check_public(self.public)

    def __str__(self) -> str:
        """Return the verifier key as ``name+hash+base64(0x01 || public key)``."""
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{key_hash(self.name, self.public).hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """Return the verifier that a verifier-key string names.

        Raises:
            KeyFileError: The string is not a well-formed Ed25519 verifier key.
        """
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise KeyFileError(
                "A verifier key reads name+hash+base64.",
                hint="`affidavit keys list` prints the log's own.",
            )
        name, hashed, encoded = parts
        try:
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KeyFileError(f"The verifier key of {name!r} is not base64.") from error
        if blob[:1] != _ED25519 or len(blob) != 33:
            raise KeyFileError(f"The verifier key of {name!r} is not an Ed25519 key.")
        verifier = cls(name, blob[1:])
        if key_hash(name, verifier.public).hex() != hashed:
            raise KeyFileError(f"The verifier key of {name!r} does not match its own hash.")
        return verifier

    def verify(self, text: bytes, signature: bytes) -> None:
        """Accept a signature over a note's text or raise.

        Raises:
            CheckpointError: The signature does not verify.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError) as error:
            raise CheckpointError(f"The signature of {self.name!r} does not verify.") from error


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A named private key that signs notes.

    Args:
        name: The key's name, for a log its origin.
        private: The Ed25519 private key.
    """

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""
        return NoteVerifier(self.name, raw_public(self.private.public_key()))

    def signature_line(self, text: bytes) -> str:
        """Return the signature line over a note's text, newline included."""
        public = raw_public(self.private.public_key())
        blob = key_hash(self.name, public) + self.private.sign(text)
        return f"{_DASH}{self.name} {base64.b64encode(blob).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: its exact text and its signatures, none of them checked yet.

    Args:
        text: The signed bytes, which end in a newline.
        signatures: (key name, key hash, signature) in the order of their lines.
    """

    text: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Return the note in the bytes.

        Raises:
            CheckpointError: The bytes are not a well-formed signed note.
        """
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError("A note is UTF-8 text.") from error
        if any(ch < " " and ch != "\n" for ch in text):
            raise CheckpointError("A note holds no control character but the newline.")
        head, blank, tail = text.rpartition("\n\n")
        if not blank or not tail.endswith("\n"):
            raise CheckpointError("A note is its text, a blank line, and signature lines.")
        lines = tail.split("\n")[:-1]
        if not 1 <= len(lines) <= MAX_SIGNATURES:
            raise CheckpointError(f"A note has 1 to {MAX_SIGNATURES} signatures.")
        return cls((head + "\n").encode(), tuple(_parse_signature(line) for line in lines))

    def verify(self, verifier: NoteVerifier) -> None:
        """Accept the note as signed by a key, or raise.

        Raises:
            CheckpointError: No signature is the key's, or the key's does not verify.
        """
        wanted = (verifier.name, key_hash(verifier.name, verifier.public))
        found = False
        for name, hashed, signature in self.signatures:
            if (name, hashed) == wanted:
                verifier.verify(self.text, signature)
                found = True
        if not found:
            names = ", ".join(f"{n}+{h.hex()}" for n, h, _ in self.signatures)
            raise CheckpointError(
                f"The note is not signed by {wanted[0]}+{wanted[1].hex()}; it is signed by {names}."
            )


def sign_note(text: bytes, *signers: NoteSigner) -> bytes:
    """Return a note over a text that ends in a newline, signed by each signer in turn.

    Raises:
        CheckpointError: The text does not end in a newline, or nobody signs.
    """
    if not text.endswith(b"\n") or not signers:
        raise CheckpointError("A note's text ends in a newline, and somebody signs it.")
    lines = "".join(signer.signature_line(text) for signer in signers)
    return text + b"\n" + lines.encode()


_P = 2**255 - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_WEAK_Y = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""The y coordinates of the eight points of small order (Curve25519 group, RFC 7748 §4.1)."""


def check_public(public: bytes) -> None:
    """Accept the encoding of an Ed25519 public key that only its holder can sign for.

    Under a key of small order one signature holds for many messages, and a non-canonical encoding
    gives one key several names.

    Raises:
        KeyFileError: The key has another length, is not canonical, or is of small order.
    """
    if len(public) != 32:
        raise KeyFileError(f"An Ed25519 public key has 32 bytes, not {len(public)}.")
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= _P or y in _WEAK_Y:
        raise KeyFileError(
            "The Ed25519 public key is weak or not canonical.", hint="Generate another key."
        )


def check_key_name(name: str) -> None:
    """Accept a key name: not empty, without white space, plus signs or control characters.

    Raises:
        KeyFileError: The name cannot stand in a note.
    """
    if not name or "+" in name or any(ch.isspace() or ch < " " for ch in name):
        raise KeyFileError(f"{name!r} cannot name a key: no white space, no '+', not empty.")


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    if not line.startswith(_DASH):
        raise CheckpointError("A signature line starts with an em dash and a space.")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    try:
        check_key_name(name)
        blob = base64.b64decode(encoded, validate=True)
    except (KeyFileError, binascii.Error, ValueError) as error:
        raise CheckpointError(f"A signature line is malformed: {error}") from error
    if not space or len(blob) < 5 or base64.b64encode(blob).decode() != encoded:
        raise CheckpointError("A signature is canonical base64 of a key hash and a signature.")
    return name, blob[:4], blob[4:]
