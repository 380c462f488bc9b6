"""Verification of a home: its ledger, and the files that it keeps for it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from affidavit._home import Home
from affidavit._witnesses import note_path
from affidavit.lineage import Fault, NoteVerifier, Progress, VerificationReport, verify_ledger


def verify_home(
    home: Home,
    *,
    verifier: NoteVerifier | None = None,
    exported: bytes | None = None,
    progress: Progress | None = None,
) -> VerificationReport:
    """Verify the ledger from its bytes, and every kept artifact against its digest.

    Args:
        home: The home.
        verifier: The log's public key from a place of the caller's own; the home's by default.
        exported: A checkpoint that was kept elsewhere, which the log must still extend; by
            default the newest one that witnesses cosigned, where there is one.
        progress: Told how far it is.

    Returns:
        What was found.

    Raises:
        LedgerError: The store cannot be read at all.
    """
    if exported is None:
        with contextlib.suppress(FileNotFoundError):
            exported = note_path(home).read_bytes()
    report = verify_ledger(
        home.database, verifier or home.verifier, exported=exported, progress=progress
    )
    changed = tuple(
        Fault(
            "artifact-changed",
            f"artifact {digest[:16]}…",
            "the kept file does not have the digest that it is filed under.",
        )
        for digest in home.artifacts.changed()
    )
    return replace(report, errors=(*report.errors, *changed))
