"""Makes the records of predictions and masked decisions, at once or later from a spool."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit._home import Home
from affidavit._sealed_decisions import MaskedDecision, is_decision, seal_decision
from affidavit.errors import SpoolDamagedError
from affidavit.lineage import Made, Message, SealedPayload, record_bytes

MOST_FIELDS = 1000
"""Rows of more fields are not spooled: whether their record fits an entry shows at once then."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of one served call.

    Args:
        fields: The members that their records share.
        rows: For each its id, the data subject's name or nothing, the features and the output.
    """

    fields: Mapping[str, Any]
    rows: Sequence[tuple[str, str, Mapping[str, Any], Any]]

    def to_bytes(self) -> bytes:
        """Return them as a spool carries them."""
        return _ENCODER.encode([self.fields, self.rows]).encode()

    @classmethod
    def parse(cls, content: bytes) -> Predictions:
        """Return the predictions in a message.

        Raises:
            SpoolDamagedError: It is not one; what was written is authenticated, so that this means
                another version of the program.
        """
        try:
            fields, rows = json.loads(content)
            return cls(dict(fields), [(str(i), str(s), dict(f), o) for i, s, f, o in rows])
        except (ValueError, TypeError) as error:
            raise SpoolDamagedError(
                f"A spooled message cannot be read: {error}.",
                hint="Drain it with the version of Affidavit that wrote it.",
            ) from error


class PredictionTemplate:
    """Messages of one prediction each that differ in a few members only.

    Args:
        fields: The members that stay the same.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._prefix = b"[" + _ENCODER.encode(fields).encode()[:-1] + b',"time":"'

    def fill(
        self,
        *,
        time: str,
        decision: str,
        identifier: str,
        subject: str,
        features: bytes,
        output: bytes,
    ) -> bytes:
        """Return the message of one served prediction.

        Args:
            time: When it was served.
            decision: The id of the policy's decision.
            identifier: Its own id.
            subject: The data subject's name, or nothing.
            features: The features as JSON.
            output: The output as JSON.
        """
        ids = f'{time}","decision":"{decision}","outcome":"served"}},[["{identifier}",'
        name = _ENCODER.encode(subject) if subject else '""'
        rest = (ids.encode(), name.encode(), b",", features, b",", output, b"]]]")
        return self._prefix + b"".join(rest)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def make_records(
    home: Home, batch: Sequence[tuple[Predictions | MaskedDecision, Mapping[str, Any]]]
) -> list[Made]:
    """Seal the personal data of predictions and masked decisions, and make their records.

    Args:
        home: Whose keys seal it.
        batch: Each with further members of its first record; a ``number`` among them counts up
            from record to record.

    Returns:
        The records and payloads of each.
    """
    vault = home.vault
    named = {subject for said, _ in batch for subject in _subjects(said) if subject}
    pseudonyms = {subject: vault.pseudonym(subject) for subject in named}
    # One for all: two keys for one data subject would keep each other out.
    keys = home.ledger.subject_keys(list(pseudonyms.values())) if pseudonyms else {}
    made = []
    for said, more in batch:
        if isinstance(said, MaskedDecision):
            made.append(seal_decision(home, said, more, keys))
            continue
        bodies: list[bytes] = []
        payloads: list[SealedPayload] = []
        for place, (identifier, name, features, output) in enumerate(said.rows):
            subject = pseudonyms.get(name) or vault.pseudonym(identifier)
            fields = {f"features.{key}": value for key, value in features.items()}
            fields["output"] = output
            payload, digests = vault.seal(identifier, subject, fields, keys.get(subject))
            if name:
                keys[subject] = payload.wrapped_key
            record = {**said.fields, **more, "id": identifier, "fields": digests}
            if "number" in record:
                record["number"] += place
            bodies.append(record_bytes("prediction", record))
            payloads.append(payload)
        made.append(Made(bodies, payloads))
    return made


def _subjects(said: Predictions | MaskedDecision) -> Iterator[str]:
    if isinstance(said, MaskedDecision):
        yield said.subject
    else:
        yield from (subject for _, subject, _, _ in said.rows)


def make_messages(home: Home, messages: Sequence[Message]) -> list[Made]:
    """Make the records of spooled messages; see `make_records`."""
    return make_records(
        home,
        [
            (_parse(item.content), {"writer": item.writer, "number": item.number})
            for item in messages
        ],
    )


def _parse(content: bytes) -> Predictions | MaskedDecision:
    return MaskedDecision.parse(content) if is_decision(content) else Predictions.parse(content)
