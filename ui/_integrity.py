"""What a page or a report says about the ledger, verified at the moment it is made."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affidavit import load_settings, verify_home
from affidavit._spools import settle
from affidavit._time_stamps import authorities
from affidavit.errors import AffidavitError
from affidavit.lineage import leaf_hash, open_checkpoint, verify_inclusion
from affidavit.ui._wording import count

if TYPE_CHECKING:
    from affidavit import Home
    from affidavit.lineage import Fault, NoteVerifier, Progress, VerificationReport


@dataclass(frozen=True, slots=True)
class Integrity:
    """The outcome of a full verification.

    Args:
        report: What was found; None where the ledger could not be read at all.
        error: Why it could not be read; empty otherwise.
        seconds: How long it took.
        checkpoint: The newest checkpoint as its signed note; empty where there is no valid one.
        fingerprint: SHA-256, in hex, of the raw public key that everything was checked against.
    """

    report: VerificationReport | None
    error: str
    seconds: float
    checkpoint: str
    fingerprint: str

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return self.report is not None and self.report.ok and bool(self.checkpoint)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong, by log order."""
        return () if self.report is None else self.report.errors

    @property
    def rate(self) -> float:
        """Entries verified per second."""
        return 0.0 if self.report is None or not self.seconds else self.report.size / self.seconds

    @property
    def stamped(self) -> str:
        """What the newest verified time stamp shows; empty where there is none."""
        found = () if self.report is None else self.report.stamped
        newest = max(found, key=lambda one: one.size, default=None)
        if newest is None:
            return ""
        latest = newest.stamp.latest.isoformat().replace("+00:00", "Z")
        return (
            f"The first {count(newest.size)} entries were as they are by {latest} at the latest: "
            f"{newest.stamp.authority} stamped their checkpoint, as the certificates in the "
            "settings show."
        )

    def rows(self, newest: str) -> list[tuple[str, str]]:
        """Return what the verification covered, as facts.

        Args:
            newest: The time of the newest entry, in words.
        """
        key = ("Key fingerprint (SHA-256)", self.fingerprint)
        if self.report is None:
            return [key]
        report = self.report
        held = (
            f"{count(report.size)}: {count(report.statements)} signed statements, "
            f"{count(report.records)} records"
        )
        return [
            ("Newest entry", newest),
            ("Entries", held),
            ("Root, recomputed", report.root),
            ("Log", report.origin),
            key,
            ("Checkpoints checked", count(report.checkpoints)),
        ]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An entry that the newest checkpoint covers, as a proof showed.

    Args:
        index: Its log index.
        leaf: Its leaf hash, in hex.
        size: The checkpoint's size.
        root: The checkpoint's root, in hex.
        hashes: How many hashes the proof has.
    """

    index: int
    leaf: str
    size: int
    root: str
    hashes: int


def check_integrity(
    home: Home,
    *,
    verifier: NoteVerifier | None = None,
    exported: bytes | None = None,
    progress: Progress | None = None,
) -> Integrity:
    """Verify a home from its stored bytes; nothing is taken from an earlier verification.

    Args:
        home: The home.
        verifier: The log's public key from a place of the caller's own; the home's by default.
        exported: A checkpoint that was kept elsewhere, which the log must still extend.
        progress: Told how far it is.
    """
    started = time.perf_counter()
    checkpoint, fingerprint = "", ""
    try:
        key = verifier or home.verifier
        fingerprint = hashlib.sha256(key.public).hexdigest()
        settle(home)
        report = verify_home(
            home,
            verifier=verifier,
            exported=exported,
            authorities=authorities(load_settings()),
            progress=progress,
        )
    except AffidavitError as error:
        return Integrity(None, str(error), time.perf_counter() - started, "", fingerprint)
    seconds = time.perf_counter() - started
    try:
        checkpoint = home.ledger.checkpoint().decode("utf-8")
    except AffidavitError:
        checkpoint = ""
    return Integrity(report, "", seconds, checkpoint, fingerprint)


def check_inclusion(home: Home, index: int) -> Inclusion:
    """Prove that the newest checkpoint covers an entry.

    Args:
        home: Whose ledger it is in.
        index: The entry's log index.

    Raises:
        VerificationError: The entry is not the one that was logged.
        NotFoundError: There is none.
        LedgerError: The store cannot be read.
    """
    body = home.ledger.entry(index)
    note, path = home.ledger.inclusion(index)
    checkpoint = open_checkpoint(note, home.verifier)
    leaf = leaf_hash(body)
    verify_inclusion(index, checkpoint.size, leaf, path, checkpoint.root)
    return Inclusion(index, leaf.hex(), checkpoint.size, checkpoint.root.hex(), len(path))
