"""Seals what the mask takes out of decisions, so that it can be replayed, and erased."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit._home import Home
from affidavit.errors import EnvelopeError, SpoolDamagedError
from affidavit.lineage import Made, SealedPayload, parse_json, record_bytes


@dataclass(frozen=True, slots=True)
class MaskedDecision:
    """A decision from which the mask took something out.

    Args:
        fields: The members of its record.
        subject: Whose data was taken out: the data subject of a served call, else the actor.
        taken: What was taken out, by JSON pointer.
    """

    fields: Mapping[str, Any]
    subject: str
    taken: Mapping[str, Any]

    @classmethod
    def parse(cls, content: bytes) -> MaskedDecision:
        """Return the decision in a spooled message.

        Raises:
            SpoolDamagedError: It is not one; what was written is authenticated, so that this means
                another version of the program.
        """
        try:
            said = parse_json(content)
            fields = {key: value for key, value in said["fields"].items() if key != "record"}
            return cls(fields, str(said["subject"]), dict(said["taken"]))
        except (EnvelopeError, TypeError, KeyError, AttributeError) as error:
            raise SpoolDamagedError(
                f"A spooled decision cannot be read: {error}.",
                hint="Drain it with the version of Affidavit that wrote it.",
            ) from error


def message_of(record: bytes, subject: str, taken: bytes) -> bytes:
    """Return a masked decision as a spool carries it.

    Args:
        record: Its record, without the digests of what was taken out.
        subject: Whose data that is.
        taken: That itself, as JSON.
    """
    name = json.dumps(subject).encode()
    return b'{"fields":' + record + b',"subject":' + name + b',"taken":' + taken + b"}"


def is_decision(content: bytes) -> bool:
    """Return whether a spooled message is a masked decision; predictions are a list."""
    return content.startswith(b"{")


def seal_decision(
    home: Home,
    said: MaskedDecision,
    more: Mapping[str, Any],
    keys: dict[str, bytes],
) -> Made:
    """Seal what was taken out of a decision and make its record.

    Args:
        home: Whose keys seal it.
        said: The decision.
        more: Further members of its record.
        keys: Wrapped keys by the pseudonym of their data subject; a new one is added.
    """
    payload, digests = _sealed(home, said, keys)
    custom = {**said.fields["custom"], "sealed": digests}
    return Made([record_bytes("decision", {**said.fields, **more, "custom": custom})], [payload])


def _sealed(
    home: Home, said: MaskedDecision, keys: dict[str, bytes]
) -> tuple[SealedPayload, list[str]]:
    identifier = str(said.fields["decision_id"])
    subject = home.vault.pseudonym(said.subject or identifier)
    payload, digests = home.vault.seal(identifier, subject, said.taken, keys.get(subject))
    keys[subject] = payload.wrapped_key
    return payload, digests
