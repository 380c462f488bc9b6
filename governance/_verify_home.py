"""Verification of a home: its ledger, and the files that it keeps for it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from affidavit._home import Home
from affidavit._witnesses import note_path
from affidavit.lineage import (
    Fault,
    NoteVerifier,
    Progress,
    Statement,
    VerificationReport,
    resources,
    verify_ledger,
)


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
    kept: dict[str, tuple[str, int]] = {}

    def note_kept(index: int, statement: Statement) -> None:
        given, made = statement.predicate.get("inputs"), statement.predicate.get("outputs")
        lists = [part for part in (given, made) if isinstance(part, list)]
        named = resources([item for part in lists for item in part])
        for item in (*statement.subjects, *named):
            if (item.annotations or {}).get("kept") is True:
                kept.setdefault(item.sha256, (item.name, index))

    report = verify_ledger(
        home.database,
        verifier or home.verifier,
        exported=exported,
        progress=progress,
        on_statement=note_kept,
        spools=(None, home.folder / "spool"),
    )
    changed = tuple(
        Fault(
            "artifact-changed",
            f"artifact {digest[:16]}…",
            "the kept file does not have the digest that it is filed under.",
        )
        for digest in home.artifacts.changed()
    )
    missing = tuple(
        Fault(
            "artifact-missing",
            f"artifact {digest[:16]}…",
            f"{name!r}, named by entry {index}, is not in the artifacts folder.",
            index,
        )
        for digest, (name, index) in kept.items()
        if digest not in home.artifacts
    )
    return replace(report, errors=(*report.errors, *changed, *missing))
