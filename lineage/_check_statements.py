"""Checks every envelope against the trust root that was in force at its log index."""

from __future__ import annotations

from dataclasses import dataclass, field

from affidavit.errors import EnvelopeError, VerificationError
from affidavit.lineage._envelope import STATEMENT_TYPE, Envelope
from affidavit.lineage._findings import Faults
from affidavit.lineage._keys import PublicKey
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._predicates import TRUST_ROOT
from affidavit.lineage._records import parse_entry
from affidavit.lineage._statement import Statement
from affidavit.lineage._trust import TrustRoot, role_for


@dataclass(slots=True)
class StatementCheck:
    """The state of a check of the statements.

    Args:
        verifier: The pinned log key; trust roots must be signed by it.
        faults: Where faults are noted.
    """

    verifier: NoteVerifier
    faults: Faults
    root: TrustRoot | None = None
    statements: int = 0
    records: int = 0
    _keys: dict[str, dict[str, PublicKey]] = field(default_factory=dict)

    def entry(self, index: int, body: bytes) -> None:
        """Check the next entry."""
        try:
            parsed = parse_entry(body)
            if isinstance(parsed, dict):
                self.records += 1
                return
            self.statements += 1
            self._statement(index, *parsed)
        except VerificationError as error:
            self.faults.add("statement-invalid", f"entry {index}", error.message, index)

    def _statement(self, index: int, envelope: Envelope, statement: Statement) -> None:
        if envelope.payload_type != STATEMENT_TYPE:
            raise EnvelopeError(f"The payload type {envelope.payload_type!r} is unknown.")
        if (index == 0) != (self.root is None):
            raise EnvelopeError("The log does not begin with a trust root.")
        if statement.predicate_type == TRUST_ROOT:
            pinned = PublicKey(self.verifier.public)
            envelope.verify({pinned.keyid: pinned}.get)
            root = TrustRoot.parse(statement)
            if root.origin != self.verifier.name or pinned.keyid not in root.find("log"):
                raise EnvelopeError("The trust root is not one of this log and its key.")
            self.root, self._keys = root, {}
            return
        envelope.verify(self._allowed(role_for(statement)).get)

    def _allowed(self, role: str) -> dict[str, PublicKey]:
        if self.root is None:
            return {}
        if role not in self._keys:
            self._keys[role] = self.root.find(role)
        return self._keys[role]
