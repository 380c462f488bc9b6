"""The trust root: which keys may sign what, from which log index on.

The log's own key is pinned by whoever verifies. It signs trust-root statements; each lists every
key with its roles and replaces the one before it from its own entry on, so that a later change
never alters what an earlier signature was worth.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from affidavit.errors import EnvelopeError, KeyFileError
from affidavit.lineage._keys import PublicKey
from affidavit.lineage._note import check_public
from affidavit.lineage._predicates import APPROVAL, TRUST_ROOT
from affidavit.lineage._statement import Resource, Statement

ROLES = ("log", "recorder", "approver", "witness")


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
        """Return the key as it stands in a trust root."""
        return {
            "identity": self.identity,
            "keyid": self.public.keyid,
            "ed25519": self.public.base64,
            "roles": sorted(self.roles),
        }

    @classmethod
    def from_json(cls, value: object) -> TrustedKey:
        """Return the key in a trust root's list.

        Raises:
            EnvelopeError: The value is malformed or names an unknown role.
        """
        if not isinstance(value, dict) or set(value) != {"identity", "keyid", "ed25519", "roles"}:
            raise EnvelopeError("A trusted key has identity, keyid, ed25519 and roles.")
        try:
            raw = base64.b64decode(str(value["ed25519"]), validate=True)
            check_public(raw)
        except (binascii.Error, ValueError) as error:
            raise EnvelopeError("A trusted key's ed25519 is base64 of 32 bytes.") from error
        except KeyFileError as error:
            raise EnvelopeError(f"A trusted key is refused: {error.message}") from error
        public, identity, roles = PublicKey(raw), value["identity"], value["roles"]
        if not isinstance(identity, str) or not identity:
            raise EnvelopeError("A trusted key's identity is text.")
        if not isinstance(roles, list) or not all(role in ROLES for role in roles):
            raise EnvelopeError(f"A trusted key's roles are among {', '.join(ROLES)}.")
        if public.keyid != value["keyid"]:
            raise EnvelopeError(
                f"A trusted key's id is {public.keyid[:16]}, not what the list says."
            )
        return cls(identity, public, frozenset(roles))


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """The keys in force at one point of the log.

    Args:
        origin: The log that they belong to.
        keys: By key id.
    """

    origin: str
    keys: Mapping[str, TrustedKey] = field(default_factory=dict)

    def with_key(self, key: TrustedKey) -> TrustRoot:
        """Return a trust root that has the key too, in place of one with the same id."""
        return replace(self, keys={**self.keys, key.public.keyid: key})

    def statement(self, *, actor: str, time: str, note: str) -> Statement:
        """Return the statement that puts this trust root in force."""
        listed = [self.keys[keyid] for keyid in sorted(self.keys)]
        return Statement(
            tuple(
                Resource(f"key/{key.identity}", key.public.keyid, "subject-public-key-info-v1")
                for key in listed
            ),
            TRUST_ROOT,
            {
                "name": self.origin,
                "actor": actor,
                "time": time,
                "outcome": note,
                "keys": [key.to_json() for key in listed],
            },
        )

    @classmethod
    def parse(cls, statement: Statement) -> TrustRoot:
        """Return the trust root that a statement puts in force.

        Raises:
            EnvelopeError: The statement's list of keys is malformed.
        """
        keys = statement.predicate.get("keys")
        if not isinstance(keys, list) or not keys:
            raise EnvelopeError("A trust root lists at least one key.")
        parsed = [TrustedKey.from_json(item) for item in keys]
        by_id = {key.public.keyid: key for key in parsed}
        if len(by_id) != len(parsed):
            raise EnvelopeError("A trust root lists a key twice.")
        return cls(str(statement.predicate.get("name", "")), by_id)

    def find(self, role: str) -> dict[str, PublicKey]:
        """Return the keys that have a role, by key id."""
        return {keyid: key.public for keyid, key in self.keys.items() if role in key.roles}


def role_for(statement: Statement) -> str:
    """Return the role whose keys may sign a statement."""
    if statement.predicate_type == TRUST_ROOT:
        return "log"
    return "approver" if statement.predicate_type == APPROVAL else "recorder"
