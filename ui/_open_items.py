"""What is open in a ledger: denials, failures, gaps, and models that have not passed the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affidavit._read_model_pages import Evidence, OverviewPage


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One thing that somebody has to look at.

    Args:
        kind: Such as ``denied``.
        about: The system, dataset or record concerned.
        what: What happened or is missing.
        who: Who did it; empty where nobody did.
        time: When.
        entry: Where it is in the log; None where it is the absence of an entry.
    """

    kind: str
    about: str
    what: str
    who: str
    time: str
    entry: int | None


def open_items(page: OverviewPage) -> list[OpenItem]:
    """What is open: what does not hold and what is missing first, then the newest."""
    items = [
        *_unpromoted(page),
        *(_of(item, "gap", "ran and could not be recorded") for item in page.gaps),
        *(_of(item, "failed", _failure(item)) for item in page.failures),
    ]
    for answer in page.denials:
        # What was only warned of, such as a waiver, stands beside the decision itself.
        denials = [reason for reason in answer.reasons if reason.get("effect") == "deny"]
        messages = [str(reason.get("message", "")) for reason in denials]
        what = f"{answer.entrypoint}: {' '.join(messages) or 'no reason recorded'}"
        items.append(
            OpenItem("denied", answer.resource, what, answer.actor, answer.time, answer.entry)
        )
    return items


def _unpromoted(page: OverviewPage) -> list[OpenItem]:
    items = []
    for system in page.systems:
        if not system.digest:
            what = "no completed run has made a model"
            items.append(OpenItem("no model", system.name, what, "", "", None))
        elif not system.verdict:
            what = "the gate was not asked about the newest model"
            items.append(OpenItem("no verdict", system.name, what, "", system.time, system.entry))
        elif system.verdict != "PASSED":
            what = "the newest model has not passed the gate"
            items.append(
                OpenItem("not promoted", system.name, what, "", system.time, system.verdict_entry)
            )
    return items


def _of(item: Evidence, kind: str, what: str) -> OpenItem:
    text = f"{what}; the statement does not hold: {item.problem}" if item.problem else what
    return OpenItem(kind, item.name, text, item.actor, item.time, item.entry)


def _failure(item: Evidence) -> str:
    error = item.body.get("error")
    if isinstance(error, dict):
        error = error.get("type", "")
    work = "run" if item.kind == "run" else "read"
    return f"{work} failed: {error}" if error else f"{work} failed"
