"""What a log's trust roots say taken together: keys in force at an index, revocations for ever."""

from __future__ import annotations

from dataclasses import dataclass, field

from affidavit.errors import EnvelopeError
from affidavit.lineage._envelope import Envelope
from affidavit.lineage._keys import PublicKey
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._predicates import PERSONAL
from affidavit.lineage._statement import Statement
from affidavit.lineage._trust import Revocation, TrustedKey, TrustRoot, role_for


@dataclass(frozen=True, slots=True)
class Revoked:
    """A key that a trust root revoked.

    Args:
        revocation: What it said.
        since: The first log index that the revocation reaches.
        entry: The trust root's log index.
    """

    revocation: Revocation
    since: int
    entry: int

    @property
    def message(self) -> str:
        """Why a statement that the revocation reaches is not to be relied on."""
        said = self.revocation
        return (
            f"signed by the key {said.keyid[:16]} of {said.identity!r}, which entry {self.entry} "
            f"revokes from entry {self.since} on: {said.reason}"
        )


@dataclass(slots=True)
class TrustHistory:
    """The trust roots of a log, taken in log order.

    Args:
        verifier: The pinned log key, which must have signed every trust root.
        root: The trust root in force now; None before the first.
        revoked: Each revoked key, by key id. A later trust root can move a revocation back in the
            log, and neither forward nor away.
        ever: Every key that was ever listed, as it was listed last, by key id.
    """

    verifier: NoteVerifier
    root: TrustRoot | None = None
    revoked: dict[str, Revoked] = field(default_factory=dict)
    ever: dict[str, TrustedKey] = field(default_factory=dict)
    _allowed: dict[str, dict[str, PublicKey]] = field(default_factory=dict)

    def check(self, index: int, envelope: Envelope, statement: Statement) -> TrustRoot:
        """Return the trust root in a statement that may stand at a log index; nothing changes yet.

        Raises:
            EnvelopeError: The pinned key did not sign it; it is of another log or does not list the
                log's key; it lists a revoked key, revokes what it lists or the log's own key, or
                reaches into the future; a key has changed hands.
        """
        pinned = PublicKey(self.verifier.public)
        envelope.verify({pinned.keyid: pinned}.get)
        root = TrustRoot.parse(statement)
        if root.origin != self.verifier.name or pinned.keyid not in root.find("log"):
            raise EnvelopeError("The trust root is not one of this log and its key.")
        for revocation in root.revoked:
            if revocation.since is not None and revocation.since > index:
                raise EnvelopeError(
                    f"The trust root revokes a key from entry {revocation.since} on, which is "
                    "after its own."
                )
        gone = {*self.revoked, *(revocation.keyid for revocation in root.revoked)}
        for keyid, key in root.keys.items():
            if keyid in gone:
                raise EnvelopeError(
                    f"The trust root lists the key {keyid[:16]}, which is revoked for good."
                )
            if (known := self.ever.get(keyid, key)).identity != key.identity:
                raise EnvelopeError(
                    f"The trust root gives the key {keyid[:16]} of {known.identity!r} to "
                    f"{key.identity!r}: one key is one person's."
                )
        return root

    def apply(self, index: int, root: TrustRoot) -> list[Revoked]:
        """Put a trust root that was checked in force, and return the revocations that reach back.

        Args:
            index: Its log index.
            root: What `check` returned.
        """
        found = []
        for revocation in root.revoked:
            since = index if revocation.since is None else revocation.since
            known = self.revoked.get(revocation.keyid)
            if known is None or since < known.since:
                self.revoked[revocation.keyid] = Revoked(revocation, since, index)
                found.append(self.revoked[revocation.keyid])
        self.ever |= root.keys
        self.root, self._allowed = root, {}
        return found

    def signer(self, index: int, envelope: Envelope, statement: Statement) -> str:
        """Return the id of the key that signed a statement at a log index and was allowed to.

        Raises:
            EnvelopeError: No trust root is in force there; no signature, or not the first, is by a
                key with the role that the statement needs; or what a person signs names
                another.
        """
        if self.root is None:
            if index == 0:
                raise EnvelopeError("The log does not begin with a trust root.")
            raise EnvelopeError("No valid trust root comes before it in the log.")
        role = role_for(statement)
        if role not in self._allowed:
            self._allowed[role] = self.root.find(role)
        signer = envelope.verify(self._allowed[role].get)
        if signer != envelope.signatures[0][0]:
            # The index names the first signature's key as the signer.
            raise EnvelopeError("Its first signature is not by a trusted key.")
        identity = self.root.keys[signer].identity
        personal = PERSONAL.get(statement.predicate_type)
        if personal and statement.predicate.get("actor") != identity:
            raise EnvelopeError(
                f"It names {statement.predicate.get('actor')!r} as the {personal}, but is signed "
                f"by {identity!r}."
            )
        return signer

    def reached(self, keyid: str, index: int) -> Revoked | None:
        """Return the revocation that reaches a statement by a key at a log index, if any does."""
        found = self.revoked.get(keyid)
        return found if found is not None and index >= found.since else None
