"""Overview: is the log intact, and what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from affidavit._read_model_pages import read_overview
from affidavit._read_waivers import list_waivers
from affidavit.lineage import timestamp
from affidavit.ui import _frame
from affidavit.ui._open_items import open_items

if TYPE_CHECKING:
    from affidavit import Home, Settings


def render(settings: Settings, home: Home) -> None:
    """Draw the page."""
    integrity = _frame.verify(home)
    if integrity.report is None:
        return
    overview = read_overview(home, settings)
    st.header("Scope and date", anchor=False)
    _frame.scope(integrity, overview.newest)
    st.header("What is open", anchor=False)
    _frame.show("open", items=open_items(overview))
    st.header("Waivers in force", anchor=False)
    _frame.show(
        "waivers",
        listed=list_waivers(home, at=timestamp(), standing=True),
        caption="Who waived what, until when; whether it counts is decided at the gate",
        nothing="No waiver is in force.",
    )
    st.header("Systems", anchor=False)
    _frame.show("overview", page=overview)
    st.header("What the log holds", anchor=False)
    _frame.show("counts", counts=sorted(overview.counts.items()))
    _frame.raw("Raw: verification report", integrity.report.to_dict())


if __name__ == "__main__":
    _frame.page("Overview", "Is the log intact, and what is open?", render)
