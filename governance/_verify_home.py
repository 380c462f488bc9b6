"""Verification of a home: its ledger, and the files that it keeps for it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from affidavit._home import Home
from affidavit._witnesses import note_path
from affidavit.lineage import (
    Fault,
    NoteVerifier,
    Progress,
    Statement,
    TimeStampAuthority,
    VerificationReport,
    resources,
    verify_ledger,
)

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


def verify_home(
    home: Home,
    *,
    verifier: NoteVerifier | None = None,
    exported: bytes | None = None,
    authorities: Sequence[TimeStampAuthority] = (),
    progress: Progress | None = None,
) -> VerificationReport:
    """Verify the ledger from its bytes, and every kept artifact against its digest.

    Args:
        home: The home.
        verifier: The log's public key from a place of the caller's own; the home's by default.
        exported: A checkpoint that was kept elsewhere, which the log must still extend; by
            default the newest one that witnesses cosigned, where there is one.
        authorities: Whose time stamps count; without any, none is looked at.
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
        said = statement.predicate
        definition = said.get("buildDefinition")
        used = definition.get("resolvedDependencies") if isinstance(definition, dict) else None
        named_in = (said.get("inputs"), said.get("outputs"), said.get("configuration"), used)
        lists = [part for part in named_in if isinstance(part, list)]
        named = resources([item for part in lists for item in part])
        for item in (*statement.subjects, *named):
            notes = item.annotations or {}
            if notes.get("kept") is True:
                kept.setdefault(item.sha256, (item.name, index))
            parts = notes.get("parts")
            if isinstance(parts, str) and _DIGEST.fullmatch(parts):
                kept.setdefault(parts.removeprefix("sha256:"), (f"parts of {item.name}", index))

    report = verify_ledger(
        home.database,
        verifier or home.verifier,
        exported=exported,
        authorities=tuple(authorities),
        progress=progress,
        on_statement=note_kept,
        spools=_spools(home),
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
    found = (*report.errors, *changed, *missing)
    return replace(report, errors=found, stamped=() if found else report.stamped)


def _spools(home: Home) -> tuple[str | None, Path] | None:
    """Return where the spools lie, None where this user may not look."""
    folder = home.folder / "spool"
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return None
    # Of spools on other machines that share the store nothing is known here.
    return (home.place if home.url else None), folder
