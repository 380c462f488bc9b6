"""The trust root: which keys may sign what, from which log index on, and which are revoked.

The log's own key is pinned by whoever verifies. It signs trust-root statements; each lists every
key with its roles and replaces the one before it from its own entry on, so that a later change
never alters what an earlier signature was worth. The one exception is a revocation, which may
reach back, and which no later trust root takes back.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from affidavit.errors import EnvelopeError, KeyFileError
from affidavit.lineage._keys import ED25519, SCHEMES, PublicKey
from affidavit.lineage._predicates import PERSONAL, TRUST_ROOT
from affidavit.lineage._statement import Resource, Statement

ROLES = ("log", "recorder", "approver", "waiver", "witness")
_NOTE_ROLES = {"log", "witness"}
"""Roles whose keys sign notes, which are Ed25519 (C2SP signed-note, tlog-cosignature)."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key, whose it is, and what it may sign.

    Args:
        identity: The person or process that holds it.
        public: The key.
        roles: Some of `ROLES`.
    """

    identity: str
    public: PublicKey
    roles: frozenset[str]

    def to_json(self) -> dict[str, Any]:
        """Return the key as it stands in a trust root, its scheme being the name of a member."""
        return {
            "identity": self.identity,
            "keyid": self.public.keyid,
            self.public.scheme: self.public.base64,
            "roles": sorted(self.roles),
        }

    @classmethod
    def from_json(cls, value: object) -> TrustedKey:
        """Return the key in a trust root's list.

        Raises:
            EnvelopeError: The value is malformed, names an unknown role or scheme, or the key is
                weak or not in its canonical form.
        """
        schemes = set(value) & set(SCHEMES) if isinstance(value, dict) else set()
        if not isinstance(value, dict) or len(schemes) != 1 or set(value) != _MEMBERS | schemes:
            raise EnvelopeError(
                f"A trusted key has identity, keyid, roles, and one of {', '.join(SCHEMES)}."
            )
        (scheme,) = schemes
        identity, roles = value["identity"], value["roles"]
        public = _public(scheme, value[scheme])
        if not isinstance(identity, str) or not identity:
            raise EnvelopeError("A trusted key's identity is text.")
        if not isinstance(roles, list) or not all(role in ROLES for role in roles):
            raise EnvelopeError(f"A trusted key's roles are among {', '.join(ROLES)}.")
        if scheme != ED25519 and _NOTE_ROLES & set(roles):
            raise EnvelopeError("A log's or a witness's key is an Ed25519 key.")
        if public.keyid != value["keyid"]:
            raise EnvelopeError(
                f"A trusted key's id is {public.keyid[:16]}, not what the list says."
            )
        return cls(identity, public, frozenset(roles))


_MEMBERS = {"identity", "keyid", "roles"}
_KEYID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that is out of force for good, from an entry on that may lie in the past.

    Args:
        keyid: The key.
        identity: Whose it was.
        reason: Why, as whoever revoked it says.
        since: The first log index from which its signatures are not to be relied on; None for the
            entry of the trust root that says so.
    """

    keyid: str
    identity: str
    reason: str
    since: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the revocation as it stands in a trust root."""
        value: dict[str, Any] = {
            "keyid": self.keyid,
            "identity": self.identity,
            "reason": self.reason,
        }
        return value if self.since is None else {**value, "since": self.since}

    @classmethod
    def from_json(cls, value: object) -> Revocation:
        """Return the revocation in a trust root's list.

        Raises:
            EnvelopeError: The value is malformed.
        """
        needed = {"keyid", "identity", "reason"}
        if not isinstance(value, dict) or not needed <= set(value) <= needed | {"since"}:
            raise EnvelopeError("A revocation has keyid, identity, reason, and perhaps since.")
        if not all(isinstance(value[name], str) and value[name] for name in needed):
            raise EnvelopeError("A revocation's keyid, identity and reason are text.")
        if not _KEYID.fullmatch(value["keyid"]):
            raise EnvelopeError("A revocation's keyid is 64 hex digits.")
        since = value.get("since")
        if "since" in value and (type(since) is not int or since < 0):
            raise EnvelopeError("A revocation's since is a log index.")
        return cls(value["keyid"], value["identity"], value["reason"], since)


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """The keys in force at one point of the log.

    Args:
        origin: The log that they belong to.
        keys: By key id.
        revoked: What this trust root revokes; what earlier ones did stays revoked.
    """

    origin: str
    keys: Mapping[str, TrustedKey] = field(default_factory=dict)
    revoked: tuple[Revocation, ...] = ()

    def with_key(self, key: TrustedKey) -> TrustRoot:
        """Return a trust root that has the key too, in place of one with the same id."""
        return replace(self, keys={**self.keys, key.public.keyid: key})

    def without_key(self, keyid: str) -> TrustRoot:
        """Return a trust root that has not the key."""
        return replace(self, keys={k: key for k, key in self.keys.items() if k != keyid})

    def statement(self, *, actor: str, time: str, note: str) -> Statement:
        """Return the statement that puts this trust root in force."""
        listed = [self.keys[keyid] for keyid in sorted(self.keys)]
        predicate: dict[str, Any] = {
            "name": self.origin,
            "actor": actor,
            "time": time,
            "outcome": note,
            "keys": [key.to_json() for key in listed],
        }
        if self.revoked:
            predicate["revoked"] = [revocation.to_json() for revocation in self.revoked]
        return Statement(
            tuple(
                Resource(f"key/{key.identity}", key.public.keyid, "subject-public-key-info-v1")
                for key in listed
            ),
            TRUST_ROOT,
            predicate,
        )

    @classmethod
    def parse(cls, statement: Statement) -> TrustRoot:
        """Return the trust root that a statement puts in force.

        Raises:
            EnvelopeError: The statement's list of keys or of revocations is malformed, or a key
                stands in both.
        """
        keys, revoked = statement.predicate.get("keys"), statement.predicate.get("revoked", [])
        if not isinstance(keys, list) or not keys:
            raise EnvelopeError("A trust root lists at least one key.")
        if not isinstance(revoked, list) or ("revoked" in statement.predicate and not revoked):
            raise EnvelopeError("A trust root's list of revocations has at least one.")
        parsed = [TrustedKey.from_json(item) for item in keys]
        gone = tuple(Revocation.from_json(item) for item in revoked)
        by_id = {key.public.keyid: key for key in parsed}
        if len(by_id) != len(parsed) or len({one.keyid for one in gone}) != len(gone):
            raise EnvelopeError("A trust root lists a key twice.")
        return cls(str(statement.predicate.get("name", "")), by_id, gone)

    def find(self, role: str) -> dict[str, PublicKey]:
        """Return the keys that have a role, by key id."""
        return {keyid: key.public for keyid, key in self.keys.items() if role in key.roles}


def role_for(statement: Statement) -> str:
    """Return the role whose keys may sign a statement."""
    if statement.predicate_type == TRUST_ROOT:
        return "log"
    return PERSONAL.get(statement.predicate_type, "recorder")


def _public(scheme: str, encoded: object) -> PublicKey:
    try:
        raw = base64.b64decode(str(encoded), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EnvelopeError(f"A trusted key's {scheme} is base64.") from error
    if base64.b64encode(raw).decode() != encoded:
        raise EnvelopeError(f"A trusted key's {scheme} is canonical base64.")
    try:
        return PublicKey(raw, scheme).check()
    except KeyFileError as error:
        raise EnvelopeError(f"A trusted key is refused: {error.message}") from error
