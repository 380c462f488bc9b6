"""What the pages and reports show of waivers: each with its state, and what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affidavit._waivers import Waiver, read_waivers
from affidavit.errors import AffidavitError

if TYPE_CHECKING:
    from affidavit._home import Home


@dataclass(frozen=True, slots=True)
class WaiverRow:
    """A waiver as a page shows it.

    Args:
        waiver: The waiver.
        state: What became of it, at the moment that the page is about.
    """

    waiver: Waiver
    state: str


@dataclass(frozen=True, slots=True)
class WaiverList:
    """Waivers as a page shows them.

    Args:
        rows: The newest first.
        problem: Why there are none to show; empty where they were read.
    """

    rows: tuple[WaiverRow, ...] = ()
    problem: str = ""


def list_waivers(home: Home, *, at: str, digest: str = "", standing: bool = False) -> WaiverList:
    """Return waivers with their state; a statement that does not hold is named, not raised.

    Args:
        home: Whose ledger they are in.
        at: The moment that the page is about, RFC 3339 in UTC.
        digest: Only those about this model; all where empty.
        standing: Only those in force.
    """
    try:
        found = read_waivers(home, digest=digest)
    except AffidavitError as error:
        return WaiverList(problem=error.message)
    rows = [WaiverRow(waiver, waiver.state(at)) for waiver in found]
    return WaiverList(tuple(row for row in rows if row.state == "in force" or not standing))
