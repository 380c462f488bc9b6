"""Verification of a home: its ledger, and the files that it keeps for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from affidavit._home import Home
from affidavit._read import Reader
from affidavit.lineage import (
    Fault,
    NoteVerifier,
    Progress,
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
        exported: A checkpoint that was kept elsewhere, which the log must still extend.
        progress: Told how far it is.

    Returns:
        What was found.

    Raises:
        LedgerError: The store cannot be read at all.
    """
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
    missing = tuple(_missing(home)) if report.ok else ()
    return replace(report, errors=(*report.errors, *changed, *missing))


def _missing(home: Home) -> Iterator[Fault]:
    """Give a fault for each file that a statement says is kept here, and that is not."""
    reader = Reader(home)
    seen: set[str] = set()
    for kind in ("run", "explanation"):
        for index in reader.indexes(kind):
            statement = reader.statement(index)
            named = resources([*statement.predicate.get("inputs", ()),
                               *statement.predicate.get("outputs", ())])  # fmt: skip
            for item in (*statement.subjects, *named):
                if not (item.annotations or {}).get("kept") or item.digest in seen:
                    continue
                seen.add(item.digest)
                if item.digest not in home.artifacts:
                    message = f"{item.name!r}, named by entry {index}, is not in the folder."
                    yield Fault("artifact-missing", f"artifact {item.sha256[:16]}…", message, index)
