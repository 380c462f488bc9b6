"""in-toto statements, version 1 (in-toto attestation framework, ``spec/v1/statement.md``).

```
{"_type":"https://in-toto.io/Statement/v1",
 "subject":[{"name":"model.joblib","digest":{"sha256":"9f86d0…"}}],
 "predicateType":"https://slsa.dev/provenance/v1","predicate":{…}}
```
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.errors import EnvelopeError
from affidavit.lineage._envelope import STATEMENT_TYPE, Envelope, sign_envelope
from affidavit.lineage._keys import Signer
from affidavit.lineage._predicates import KINDS, PROVENANCE
from affidavit.lineage._strict_json import dump_json, parse_json

STATEMENT_V1 = "https://in-toto.io/Statement/v1"
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Resource:
    """An artifact that a statement names (in-toto ResourceDescriptor).

    Args:
        name: What it is called; may be empty where the digest says it all.
        sha256: Its digest in lowercase hex.
        recipe: How the digest was made, such as ``file-bytes-v1`` or ``arrow-table-v1``.
        annotations: Further JSON-safe facts.
    """

    name: str
    sha256: str
    recipe: str = "file-bytes-v1"
    annotations: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.sha256):
            raise EnvelopeError(f"A SHA-256 digest is 64 hex digits, not {self.sha256[:80]!r}.")

    @property
    def digest(self) -> str:
        """The digest as ``sha256:…``."""
        return f"sha256:{self.sha256}"

    def to_json(self) -> dict[str, Any]:
        """Return the resource descriptor."""
        value: dict[str, Any] = {"digest": {"sha256": self.sha256}}
        if self.name:
            value["name"] = self.name
        value["annotations"] = {**(self.annotations or {}), "recipe": self.recipe}
        return value

    @classmethod
    def from_json(cls, value: object) -> Resource:
        """Return the resource in a descriptor.

        Raises:
            EnvelopeError: The descriptor names no SHA-256 digest.
        """
        digest = value.get("digest") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(digest, dict):
            raise EnvelopeError("A resource descriptor is an object with a digest.")
        sha256, name = digest.get("sha256"), value.get("name", "")
        notes = value.get("annotations", {})
        if not isinstance(sha256, str) or not isinstance(name, str) or not isinstance(notes, dict):
            raise EnvelopeError("A resource descriptor has a name and a sha256 digest.")
        recipe = notes.get("recipe", "file-bytes-v1")
        if not isinstance(recipe, str):
            raise EnvelopeError("A resource's recipe is text.")
        rest = {key: note for key, note in notes.items() if key != "recipe"}
        return cls(name, sha256, recipe, rest or None)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one signed entry says about which artifacts.

    Args:
        subjects: What it is about; at least one.
        predicate_type: The URI of what is said.
        predicate: What is said, JSON-safe.
    """

    subjects: tuple[Resource, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Return the statement's JSON, the payload of its envelope."""
        return dump_json(
            {
                "_type": STATEMENT_V1,
                "subject": [subject.to_json() for subject in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )

    @classmethod
    def parse(cls, payload: bytes) -> Statement:
        """Return the statement in an envelope's payload.

        Raises:
            EnvelopeError: The payload is not an in-toto statement v1 with a subject.
        """
        value = parse_json(payload)
        if not isinstance(value, dict) or set(value) != _MEMBERS:
            raise EnvelopeError("A statement has _type, subject, predicateType and predicate.")
        if value["_type"] != STATEMENT_V1:
            raise EnvelopeError(
                f"A statement is {STATEMENT_V1}, not {str(value['_type'])[:100]!r}."
            )
        subjects, predicate = value["subject"], value["predicate"]
        if not isinstance(subjects, list) or not subjects:
            raise EnvelopeError("A statement has at least one subject.")
        if not isinstance(value["predicateType"], str) or not isinstance(predicate, dict):
            raise EnvelopeError("A statement has a predicate type and a predicate object.")
        parsed = tuple(Resource.from_json(item) for item in subjects)
        return cls(parsed, value["predicateType"], predicate)

    @property
    def kind(self) -> str:
        """The short name of the predicate type; the type itself where it is not one of ours."""
        return KINDS.get(self.predicate_type, self.predicate_type)

    def sign(self, *keys: Signer) -> Envelope:
        """Return the statement in an envelope."""
        return sign_envelope(self.to_bytes(), STATEMENT_TYPE, *keys)


_MEMBERS = {"_type", "subject", "predicateType", "predicate"}


def statement_id(statement: Statement, payload: bytes) -> str:
    """Return the id by which a statement is looked up.

    A run is known by its invocation id, every other statement by the first 32 hex digits of its
    payload's SHA-256.
    """
    if statement.predicate_type == PROVENANCE:
        details = statement.predicate.get("runDetails")
        metadata = details.get("metadata") if isinstance(details, dict) else None
        invocation = metadata.get("invocationId") if isinstance(metadata, dict) else None
        if isinstance(invocation, str) and invocation:
            return invocation
    return hashlib.sha256(payload).hexdigest()[:32]


def resources(items: Sequence[object]) -> tuple[Resource, ...]:
    """Return the resources in a list of descriptors that carry digests; others are passed over."""
    return tuple(
        Resource.from_json(item)
        for item in items
        if isinstance(item, dict)
        and isinstance(item.get("digest"), dict)
        and "sha256" in item["digest"]
    )
