"""Verify: check everything now, against what the auditor kept, and look at single entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from affidavit import Reader
from affidavit._read_model_pages import newest_time
from affidavit.errors import AffidavitError
from affidavit.lineage import NoteVerifier
from affidavit.ui import _frame
from affidavit.ui._integrity import check_inclusion

if TYPE_CHECKING:
    from affidavit import Home, Settings
    from affidavit.ui._integrity import Integrity


def render(settings: Settings, home: Home) -> None:
    """Draw the page."""
    del settings
    verdict = st.container()
    st.header("Check against what you kept", anchor=False)
    with st.form("kept"):
        pinned = st.text_area("The log's public key, from your own copy", height=68)
        pasted = st.text_area("A checkpoint that you exported earlier", height=130)
        uploaded = st.file_uploader("Or the file that you exported it to", max_upload_size=1)
        st.form_submit_button("Verify against these")
    exported = uploaded.getvalue() if uploaded is not None else pasted.strip().encode()
    with verdict:
        try:
            verifier = NoteVerifier.parse(pinned) if pinned.strip() else None
        except AffidavitError as error:
            _frame.show("notice", word="That is no key", text=error.message, todo=error.hint)
            return
        # A pasted note loses its last line break; without it, it is no note.
        note = exported if uploaded is not None else exported + b"\n"
        integrity = _frame.verify(home, verifier=verifier, exported=note if exported else None)
        checked = [("Key", "the one that you pasted" if verifier else "the home's own log.pub")]
        if exported:
            checked.append(("Compared with", "the checkpoint that you gave"))
        _frame.scope(integrity, newest_time(home), *checked)
        if integrity.faults:
            st.header("Faults", anchor=False)
            _frame.show("faults", integrity=integrity)
        _distrusted(integrity)
    _export(integrity.checkpoint)
    _lookup(home)
    if integrity.report is not None:
        _frame.raw("Raw: verification report", integrity.report.to_dict())


def _distrusted(integrity: Integrity) -> None:
    report = integrity.report
    if report is None or not report.distrusted:
        return
    st.header("Logged, and not to be relied on", anchor=False)
    for fault in report.distrusted:
        _frame.show("notice", word=fault.where, text=fault.message)
    if report.more_distrusted:
        st.text(f"… and {report.more_distrusted} more.")


def _export(checkpoint: str) -> None:
    st.header("Newest checkpoint", anchor=False)
    if not checkpoint:
        _frame.show("notice", word="There is no valid checkpoint", text="None can be exported.")
        return
    st.text("Keep it where the log's operator cannot write; with it, a rewritten log shows.")
    st.code(checkpoint, language=None, wrap_lines=True)
    st.download_button(
        "Export this checkpoint", checkpoint.encode(), "checkpoint.txt", mime="text/plain"
    )


def _lookup(home: Home) -> None:
    st.header("Look up an entry", anchor=False)
    key = st.text_input(
        "Log index, id, digest or name", value=st.query_params.get("entry", "")
    ).strip()
    if not key:
        return
    try:
        found = Reader(home).find(key)
    except AffidavitError as error:
        _frame.show("notice", word="Nothing is known by that", text=error.message, todo=error.hint)
        return
    _frame.show("matches", found=found[:50], more=max(0, len(found) - 50))
    for index in found[:5]:
        _entry(home, index)


def _entry(home: Home, index: int) -> None:
    try:
        proof = check_inclusion(home, index)
        entry = Reader(home).entry(index)
    except AffidavitError as error:
        _frame.show("proof", proof=None, problem=error.message, index=index, kind="")
        return
    statement = entry.statement
    kind = statement.kind if statement is not None else str((entry.record or {}).get("record"))
    _frame.show("proof", proof=proof, problem="", index=index, kind=kind)
    if statement is not None:
        subjects = [subject.to_json() for subject in statement.subjects]
        value = {"predicateType": statement.predicate_type, "subject": subjects}
        _frame.raw(f"Raw: entry {index}", {**value, "predicate": dict(statement.predicate)})
    else:
        _frame.raw(f"Raw: entry {index}", dict(entry.record or {}))


if __name__ == "__main__":
    _frame.page("Verify", "Does every byte of the log hold, now?", render)
