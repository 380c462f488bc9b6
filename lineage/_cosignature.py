"""Cosignatures of witnesses on checkpoints (C2SP tlog-cosignature, Ed25519 ``cosignature/v1``).

A witness signs, with the moment, that it has seen the log grow to this checkpoint by appending:

```
cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
```

The line on the note carries ``SHA-256(name || 0x0A || 0x04 || public key)[:4]``, the time as eight
big-endian bytes, and the signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from affidavit.errors import CheckpointError, KeyFileError
from affidavit.lineage._note import Note, check_key_name, check_public, raw_public

_TYPE = b"\x04"
_LATEST = 2**63 - 1
FUTURE_SECONDS = 300
"""How far a witness's clock may be ahead."""


def cosignature_message(text: bytes, time: int) -> bytes:
    """Return the bytes that a cosignature covers.

    Args:
        text: The checkpoint's text, which ends in a newline.
        time: Seconds since the epoch.
    """
    return b"cosignature/v1\ntime %d\n" % time + text


@dataclass(frozen=True, slots=True)
class WitnessVerifier:
    """A witness's name and public key.

    Args:
        name: The witness's name.
        public: The 32 bytes of its Ed25519 public key.

    Raises:
        KeyFileError: The name cannot stand in a note, or the key is weak or not canonical.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        check_public(self.public)

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a note names the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _TYPE + self.public).digest()[:4]

    def __str__(self) -> str:
        """Return the verifier key as ``name+hash+base64(0x04 || public key)``."""
        encoded = base64.b64encode(_TYPE + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> WitnessVerifier:
        """Return the witness that a verifier-key string names.

        Raises:
            KeyFileError: The string is not the verifier key of an Ed25519 witness.
        """
        parts = text.strip().split("+", 2)
        try:
            name, hashed, encoded = parts
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KeyFileError(
                "A witness's verifier key reads name+hash+base64.",
                hint="`affidavit witness` writes one to witness.pub in its folder.",
            ) from error
        if blob[:1] != _TYPE or len(blob) != 33:
            raise KeyFileError(
                f"The verifier key of {name!r} is not a witness's.",
                hint="A log's key cannot stand in for a witness's.",
            )
        found = cls(name, blob[1:])
        if str(found) != f"{name}+{hashed}+{encoded}":
            raise KeyFileError(f"The verifier key of {name!r} does not match its own hash.")
        return found

    def verify(self, text: bytes, signature: bytes) -> int:
        """Return the time of a cosignature over a checkpoint's text, or raise.

        Raises:
            CheckpointError: The signature does not verify.
        """
        if len(signature) != 72:
            raise CheckpointError(f"The cosignature of {self.name!r} has not 72 bytes.")
        (time,) = struct.unpack(">Q", signature[:8])
        if time > _LATEST:
            raise CheckpointError(f"The cosignature of {self.name!r} has an impossible time.")
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public)
            key.verify(signature[8:], cosignature_message(text, time))
        except (InvalidSignature, ValueError) as error:
            raise CheckpointError(f"The cosignature of {self.name!r} does not verify.") from error
        return int(time)


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's private half.

    Args:
        name: The witness's name.
        private: Its Ed25519 private key.
    """

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> WitnessVerifier:
        """The public half."""
        return WitnessVerifier(self.name, raw_public(self.private.public_key()))

    def signature_line(self, text: bytes, time: int) -> str:
        """Return the cosignature line over a checkpoint's text, newline included.

        Args:
            text: The checkpoint's text.
            time: Seconds since the epoch.

        Raises:
            CheckpointError: The time is negative or too large to be written.
        """
        if not 0 <= time <= _LATEST:
            raise CheckpointError(f"{time} is no time that a cosignature can carry.")
        signature = self.private.sign(cosignature_message(text, time))
        blob = self.verifier.key_id + struct.pack(">Q", time) + signature
        return f"— {self.name} {base64.b64encode(blob).decode()}\n"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that was verified.

    Args:
        witness: Whose it is.
        time: When it was made by the witness's clock, in seconds since the epoch.
    """

    witness: WitnessVerifier
    time: int


def cosignatures(note: bytes, witnesses: Sequence[WitnessVerifier]) -> tuple[Cosignature, ...]:
    """Return the cosignatures on a note by known witnesses; unknown ones are passed over.

    Raises:
        CheckpointError: The note is malformed, or a known witness's cosignature does not verify.
    """
    parsed = Note.parse(note)
    known = {(witness.name, witness.key_id): witness for witness in witnesses}
    found: dict[bytes, Cosignature] = {}
    for name, key_id, signature in parsed.signatures:
        witness = known.get((name, key_id))
        if witness is not None:
            time = witness.verify(parsed.text, signature)
            # The signed message does not name the witness: one key under two names is one witness.
            found.setdefault(witness.public, Cosignature(witness, time))
    return tuple(found.values())


def check_quorum(
    note: bytes, witnesses: Sequence[WitnessVerifier], quorum: int, *, now: int | None = None
) -> tuple[Cosignature, ...]:
    """Accept a note that enough witnesses have cosigned, or raise.

    Args:
        note: The signed note.
        witnesses: The witnesses that count, each key once.
        quorum: How many of them are needed, at least one.
        now: Seconds since the epoch; cosignatures from the future are then refused.

    Returns:
        The cosignatures.

    Raises:
        CheckpointError: There are too few, or one does not verify.
        KeyFileError: A witness's key stands twice, or the quorum cannot be met.
    """
    keys = {witness.public for witness in witnesses}
    if len(keys) != len(witnesses):
        raise KeyFileError("A witness's key stands twice.", hint="Name each witness once.")
    if not 1 <= quorum <= len(keys):
        raise KeyFileError(
            f"A quorum of {quorum} cannot be had from {len(keys)} witness(es).",
            hint="Name a quorum of at least 1 and at most the number of witnesses.",
        )
    found = cosignatures(note, witnesses)
    for one in found:
        if now is not None and one.time > now + FUTURE_SECONDS:
            raise CheckpointError(
                f"The cosignature of {one.witness.name!r} is {one.time - now} s in the future.",
                hint="Set the clock of this machine or of the witness.",
            )
    if len(found) < quorum:
        raise CheckpointError(
            f"{len(found)} of the known witnesses cosigned the checkpoint; {quorum} are needed.",
            hint="Run `affidavit cosign` with the witnesses' addresses.",
        )
    return found
