"""Personal data beside the log: sealed under a key per data subject, disclosed field by field.

The log holds for each field only ``SHA-256(disclosure)``, where the disclosure is
``base64url(JSON [salt, name, value])`` with a 128-bit salt (RFC 9901 §4.2). The disclosures are
encrypted (AES-256-GCM) under the data subject's key, which is itself wrapped (AES key wrap,
RFC 3394) by a master key: without the subject's key, neither values nor salts can be had.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from affidavit.errors import EnvelopeError, KeyFileError, VerificationError
from affidavit.lineage._strict_json import dump_json, parse_json

_NONCE = 12
_SALT = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


def disclose(fields: Mapping[str, Any]) -> list[str]:
    """Return the disclosures of fields, each under a new random salt.

    Args:
        fields: JSON-safe values by name.

    Raises:
        FingerprintError: A value cannot be put as JSON.
    """
    salts = os.urandom(_SALT * len(fields))
    found = []
    for place, (name, value) in enumerate(fields.items()):
        salt = _b64(salts[place * _SALT : (place + 1) * _SALT])
        found.append(_b64(b'["%b",%b,%b]' % (salt.encode(), _json(name), _json(value))))
    return found


def _json(value: Any) -> bytes:
    """Return what `dump_json` returns, sooner for the values that nearly every field has."""
    kind = value.__class__
    if kind is str and value.isascii():
        return encode_basestring(value).encode()
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value).encode()
    return dump_json(value)


def disclosure_digest(disclosure: str) -> str:
    """Return the digest by which the log knows a disclosure, base64url without padding."""
    return _b64(hashlib.sha256(disclosure.encode()).digest())


def read_disclosure(disclosure: str) -> tuple[str, Any]:
    """Return the name and value that a disclosure discloses.

    Raises:
        EnvelopeError: It is not a disclosure.
    """
    if not _BASE64URL.fullmatch(disclosure):
        raise EnvelopeError("A disclosure is base64url without padding.")
    try:
        parsed = parse_json(base64.urlsafe_b64decode(disclosure + "=" * (-len(disclosure) % 4)))
    except ValueError as error:
        raise EnvelopeError("A disclosure is base64url without padding.") from error
    if not isinstance(parsed, list) or len(parsed) != 3 or not isinstance(parsed[1], str):
        raise EnvelopeError("A disclosure is [salt, name, value].")
    return parsed[1], parsed[2]


def check_disclosures(disclosures: list[str], digests: object) -> dict[str, Any]:
    """Return the fields of disclosures that the log knows, or raise.

    Args:
        disclosures: What is disclosed.
        digests: The record's list of digests.

    Raises:
        VerificationError: A disclosure is not among the digests, or a field stands twice.
    """
    known = {d for d in digests if isinstance(d, str)} if isinstance(digests, list) else set()
    fields: dict[str, Any] = {}
    for item in disclosures:
        name, value = read_disclosure(item)
        if disclosure_digest(item) not in known:
            raise VerificationError(f"The disclosed value of {name!r} is not the one logged.")
        if name in fields:
            raise VerificationError(f"The field {name!r} is disclosed twice.")
        fields[name] = value
    return fields


@dataclass(frozen=True, slots=True)
class SealedPayload:
    """One record's personal data, ready for the store.

    Args:
        id: The record's id.
        subject: The data subject's pseudonym.
        sealed: Nonce and ciphertext.
        wrapped_key: The subject's key, wrapped.
    """

    id: str
    subject: str
    sealed: bytes
    wrapped_key: bytes


@dataclass(frozen=True)
class PayloadVault:
    """Seals and opens personal data.

    Args:
        master: 32 secret bytes.
    """

    master: bytes

    def __post_init__(self) -> None:
        if len(self.master) != 32:
            raise KeyFileError(f"The master key has 32 bytes, not {len(self.master)}.")

    def pseudonym(self, subject: str) -> str:
        """Return the name under which a data subject is known in the store."""
        return hmac.digest(self._naming_key, subject.encode(), "sha256").hex()

    def named_key(self, name: str) -> bytes:
        """Return the secret key of a name, such as the one that pseudonyms are made with."""
        derived = hmac.digest(self.master, b"affidavit named key v1", "sha256")
        return hmac.digest(derived, name.encode(), "sha256")

    def seal(
        self, identifier: str, subject: str, fields: Mapping[str, Any], wrapped: bytes | None
    ) -> tuple[SealedPayload, list[str]]:
        """Return sealed fields and the digests that go into the log.

        Args:
            identifier: The record's id, which the seal is bound to.
            subject: The data subject's pseudonym.
            fields: JSON-safe values by name.
            wrapped: The subject's wrapped key; None makes a new one.
        """
        key = self._unwrap(wrapped) if wrapped else AESGCM.generate_key(256)
        disclosures = disclose(fields)
        nonce = os.urandom(_NONCE)
        data = dump_json(disclosures)
        sealed = nonce + AESGCM(key).encrypt(nonce, data, _binding(subject, identifier))
        wrapped = wrapped or aes_key_wrap(self._wrapping_key, key)
        digests = sorted(disclosure_digest(item) for item in disclosures)
        return SealedPayload(identifier, subject, sealed, wrapped), digests

    def open(self, payload: SealedPayload) -> list[str]:
        """Return the disclosures in a sealed payload.

        Raises:
            VerificationError: The ciphertext, its binding or the key do not fit.
        """
        key = self._unwrap(payload.wrapped_key)
        nonce, data = payload.sealed[:_NONCE], payload.sealed[_NONCE:]
        bound = _binding(payload.subject, payload.id)
        try:
            opened = parse_json(AESGCM(key).decrypt(nonce, data, bound))
        except (InvalidTag, ValueError) as error:
            raise VerificationError(
                f"The personal data of {payload.id} cannot be opened: it was changed, or belongs "
                "to another record."
            ) from error
        if not isinstance(opened, list):
            raise EnvelopeError("A sealed payload is a list of disclosures.")
        return [str(item) for item in opened]

    @cached_property
    def _naming_key(self) -> bytes:
        return hmac.digest(self.master, b"affidavit subject pseudonym v1", "sha256")

    @cached_property
    def _wrapping_key(self) -> bytes:
        return hmac.digest(self.master, b"affidavit key wrapping v1", "sha256")

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap(self._wrapping_key, wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise VerificationError(
                "A data subject's key cannot be unwrapped: the master key is another one, or the "
                "row was changed."
            ) from error


def _binding(subject: str, identifier: str) -> bytes:
    return dump_json([subject, identifier])


def _b64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode()
