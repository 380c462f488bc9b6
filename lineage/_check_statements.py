"""Checks every envelope against the trust root that was in force at its log index."""

from __future__ import annotations

from dataclasses import dataclass, field

from affidavit.errors import EnvelopeError, VerificationError
from affidavit.lineage._envelope import STATEMENT_TYPE, Envelope
from affidavit.lineage._findings import Faults
from affidavit.lineage._keys import PublicKey
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._predicates import APPROVAL, TRUST_ROOT
from affidavit.lineage._records import Parsed
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

    def entry(self, index: int, parsed: Parsed) -> bool:
        """Check the next entry; gives whether it holds."""
        if isinstance(parsed, dict):
            self.records += 1
            return True
        self.statements += 1
        try:
            self._statement(index, *parsed)
        except VerificationError as error:
            self.faults.add("statement-invalid", f"entry {index}", error.message, index)
            return False
        return True

    def _statement(self, index: int, envelope: Envelope, statement: Statement) -> None:
        if envelope.payload_type != STATEMENT_TYPE:
            raise EnvelopeError(f"The payload type {envelope.payload_type[:100]!r} is unknown.")
        if statement.predicate_type == TRUST_ROOT:
            self._trust_root(envelope, statement)
            return
        if self.root is None:
            if index == 0:
                raise EnvelopeError("The log does not begin with a trust root.")
            raise EnvelopeError("No valid trust root comes before it in the log.")
        signer = envelope.verify(self._allowed(self.root, role_for(statement)).get)
        if signer != envelope.signatures[0][0]:
            # The index names the first signature's key as the signer.
            raise EnvelopeError("Its first signature is not by a trusted key.")
        identity = self.root.keys[signer].identity
        if statement.predicate_type == APPROVAL and statement.predicate.get("actor") != identity:
            raise EnvelopeError(
                f"It names {statement.predicate.get('actor')!r} as the approver, but is signed by "
                f"{identity!r}."
            )

    def _trust_root(self, envelope: Envelope, statement: Statement) -> None:
        pinned = PublicKey(self.verifier.public)
        envelope.verify({pinned.keyid: pinned}.get)
        root = TrustRoot.parse(statement)
        if root.origin != self.verifier.name or pinned.keyid not in root.find("log"):
            raise EnvelopeError("The trust root is not one of this log and its key.")
        self.root, self._keys = root, {}

    def _allowed(self, root: TrustRoot, role: str) -> dict[str, PublicKey]:
        if role not in self._keys:
            self._keys[role] = root.find(role)
        return self._keys[role]
