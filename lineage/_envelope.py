"""DSSE envelopes (Dead Simple Signing Envelope, protocol v1.0.2).

What is signed is the pre-authentication encoding of the payload's bytes:

```
DSSEv1 29 http://example.com/HelloWorld 11 hello world
```
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature

from affidavit.errors import EnvelopeError
from affidavit.lineage._keys import PublicKey, Signer
from affidavit.lineage._strict_json import dump_json, parse_json

STATEMENT_TYPE = "application/vnd.in-toto+json"
"""The payload type of an in-toto statement."""


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return PAE(type, body), the bytes that a DSSE signature covers."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and the signatures over it.

    Args:
        payload: The exact bytes.
        payload_type: What they are.
        signatures: (key id, signature) pairs.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    def to_bytes(self) -> bytes:
        """Return the envelope's JSON, as it is logged."""
        return dump_json(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": keyid, "sig": base64.b64encode(sig).decode()}
                    for keyid, sig in self.signatures
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        """Return the envelope in the bytes; nothing is verified yet.

        Raises:
            EnvelopeError: The bytes are not a DSSE envelope with at least one signature.
        """
        return cls.from_json(parse_json(data))

    @classmethod
    def from_json(cls, value: object) -> Envelope:
        """Return the envelope in a parsed JSON value.

        Raises:
            EnvelopeError: The value is not a DSSE envelope with at least one signature.
        """
        if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
            raise EnvelopeError("An envelope has payload, payloadType and signatures, no more.")
        payload, kind, signatures = value["payload"], value["payloadType"], value["signatures"]
        if not isinstance(payload, str) or not isinstance(kind, str):
            raise EnvelopeError("An envelope's payload and payloadType are text.")
        if not isinstance(signatures, list) or not signatures:
            raise EnvelopeError("An envelope has at least one signature.")
        return cls(_base64(payload), kind, tuple(_signature(item) for item in signatures))

    def verify(self, find: Callable[[str], PublicKey | None]) -> str:
        """Accept the envelope as signed by a known key, or raise.

        Args:
            find: Gives the public key of a key id, or None where it is not trusted.

        Returns:
            The key id of the first signature by a trusted key.

        Raises:
            EnvelopeError: No signature is by a trusted key, or one by a trusted key is wrong.
        """
        message = pre_authentication_encoding(self.payload_type, self.payload)
        signer = ""
        for keyid, signature in self.signatures:
            key = find(keyid)
            if key is None:
                continue
            try:
                key.verify(signature, message)
            except (InvalidSignature, ValueError) as error:
                raise EnvelopeError(
                    f"The signature of key {keyid[:16]} does not verify."
                ) from error
            signer = signer or keyid
        if not signer:
            ids = ", ".join(keyid[:16] for keyid, _ in self.signatures)
            raise EnvelopeError(f"No signature is by a trusted key; there are {ids}.")
        return signer


def sign_envelope(payload: bytes, payload_type: str, *keys: Signer) -> Envelope:
    """Return an envelope over a payload, signed by each key in turn.

    Raises:
        EnvelopeError: There is no key.
    """
    if not keys:
        raise EnvelopeError("An envelope is signed by at least one key.")
    message = pre_authentication_encoding(payload_type, payload)
    return Envelope(payload, payload_type, tuple((k.keyid, k.sign(message)) for k in keys))


def _signature(item: object) -> tuple[str, bytes]:
    if not isinstance(item, dict) or not {"sig"} <= set(item) <= {"keyid", "sig"}:
        raise EnvelopeError("A signature has keyid and sig, no more.")
    keyid, signature = item.get("keyid", ""), item["sig"]
    if not isinstance(keyid, str) or not isinstance(signature, str):
        raise EnvelopeError("A signature's keyid and sig are text.")
    return keyid, _base64(signature)


def _base64(text: str) -> bytes:
    # DSSE §"JSON envelope" lets a reader accept both alphabets; ours only writes the standard one.
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EnvelopeError("An envelope's payload and signatures are standard base64.") from error
    if base64.b64encode(data).decode() != text:
        raise EnvelopeError("An envelope's base64 is not canonical.")
    return data
