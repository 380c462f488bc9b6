"""Checks every envelope against the trust root that was in force at its log index."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field

from affidavit.errors import EnvelopeError, VerificationError
from affidavit.lineage._envelope import STATEMENT_TYPE, Envelope
from affidavit.lineage._findings import Faults
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._predicates import TRUST_ROOT
from affidavit.lineage._records import Parsed
from affidavit.lineage._statement import Statement
from affidavit.lineage._trust import TrustRoot
from affidavit.lineage._trust_history import TrustHistory


@dataclass(slots=True)
class StatementCheck:
    """The state of a check of the statements.

    Args:
        verifier: The pinned log key; trust roots must be signed by it.
        faults: Where faults are noted.
        distrusted: Where statements are noted that a valid key signed and a later trust root
            revoked from an earlier entry on.
    """

    verifier: NoteVerifier
    faults: Faults
    distrusted: Faults = field(default_factory=Faults)
    statements: int = 0
    records: int = 0
    history: TrustHistory = field(init=False)
    # Eight bytes for each statement: a revocation may reach back to any of them.
    _signed: dict[str, array[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history = TrustHistory(self.verifier)

    @property
    def root(self) -> TrustRoot | None:
        """The trust root in force now."""
        return self.history.root

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

    def finish(self) -> None:
        """Note each statement that a revocation reaches."""
        for keyid, revoked in self.history.revoked.items():
            signed = self._signed.get(keyid, array("Q"))
            for index in signed[bisect_left(signed, revoked.since) :]:
                self.distrusted.add(
                    "statement-revoked", f"entry {index}", f"{revoked.message}.", index
                )

    def _statement(self, index: int, envelope: Envelope, statement: Statement) -> None:
        if envelope.payload_type != STATEMENT_TYPE:
            raise EnvelopeError(f"The payload type {envelope.payload_type[:100]!r} is unknown.")
        if statement.predicate_type == TRUST_ROOT:
            self.history.apply(index, self.history.check(index, envelope, statement))
            return
        signer = self.history.signer(index, envelope, statement)
        self._signed.setdefault(signer, array("Q")).append(index)
