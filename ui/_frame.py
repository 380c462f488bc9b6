"""What every page of the app has: the home, the verification made in this view, and its sections.

Nothing here is cached: each script run opens the home anew and verifies it from the stored bytes,
so that a page can show green only for what it has just checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from affidavit import Home, load_settings
from affidavit.errors import AffidavitError, NotInitialisedError
from affidavit.ui._integrity import Integrity, check_integrity
from affidavit.ui._templates import section
from affidavit.ui._wording import count, moment

if TYPE_CHECKING:
    from affidavit import Settings
    from affidavit.lineage import NoteVerifier

_STYLE = Path(__file__).with_name("style.css")
_RAW = 400_000
"""Characters of raw JSON that a page sends to the browser at most."""


def page(title: str, question: str, render: Callable[[Settings, Home], None]) -> None:
    """Draw one page.

    Args:
        title: Its heading.
        question: What it answers.
        render: Draws the rest from the settings and the home.
    """
    st.html(_STYLE)
    st.title(title, anchor=False)
    st.text(question)
    try:
        settings = load_settings()
        home = Home(settings.home, settings.store)
    except NotInitialisedError as error:
        show("notice", word="There is nothing to look at yet", text=error.message, todo=error.hint)
        return
    except AffidavitError as error:
        show("notice", word="The settings cannot be used", text=error.message, todo=error.hint)
        return
    try:
        render(settings, home)
    except AffidavitError as error:
        show("notice", word="This cannot be shown", text=error.message, todo=error.hint)
    finally:
        home.close()


def show(template: str, /, **values: Any) -> None:
    """Draw one section; its HTML has every value escaped, and is sanitised again by the browser."""
    st.html(section(template, **values))


def verify(
    home: Home, *, verifier: NoteVerifier | None = None, exported: bytes | None = None
) -> Integrity:
    """Verify the ledger now, and draw the verdict.

    Args:
        home: The home.
        verifier: A public key of the auditor's own; the home's by default.
        exported: A checkpoint that the auditor kept.
    """
    place = st.empty()
    bar = place.progress(0.0, text="Verifying every entry …")

    def tell(done: int, total: int) -> None:
        bar.progress(min(1.0, done / max(total, 1)), text="Verifying every entry …")

    found = check_integrity(home, verifier=verifier, exported=exported, progress=tell)
    place.html(section("integrity", integrity=found, when="in this view"))
    return found


def scope(found: Integrity, newest: str, *extra: tuple[str, str]) -> None:
    """Draw what the verdict covers, and as of when.

    Args:
        found: The verification.
        newest: The time of the newest entry.
        extra: Further facts of the page.
    """
    rows = [*extra, *found.rows(moment(newest)), _speed(found)]
    show("scope", scope=rows, stamped=found.stamped)


def raw(label: str, value: Any) -> None:
    """Offer a record as JSON; characters beyond ASCII are escaped, so that none can hide.

    Args:
        label: What it is; a constant of this program.
        value: A JSON value.
    """
    with st.expander(label):
        text = json.dumps(value, indent=2, ensure_ascii=True, sort_keys=True, default=str)
        st.code(text[:_RAW], language="json", wrap_lines=True)
        if len(text) > _RAW:
            st.text("Cut here: use `affidavit show` for the rest.")


def _speed(found: Integrity) -> tuple[str, str]:
    if found.report is None:
        return ("", "")
    return ("This verification", f"{found.seconds:.2f} s, {count(round(found.rate))} entries/s")
