"""Decision lookup: one served prediction, why it came out so, and from which model and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from affidavit import DecisionExplanation, Reader, disclose_decision, explain_decision
from affidavit._read_model_pages import newest_time, read_answers
from affidavit.errors import AffidavitError, NotFoundError, PolicyDenied
from affidavit.ui import _charts, _frame
from affidavit.ui._integrity import check_inclusion
from affidavit.ui._model_marks import waterfall_marks
from affidavit.ui._wording import unit

if TYPE_CHECKING:
    from affidavit import Entry, Home, ServedDecision, Settings


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What a disclosure gave.

    Args:
        decision: The disclosed record; None where it was refused.
        explanation: Its explanation; None where there is none.
        word: What went wrong, in a word.
        problem: What went wrong.
        hint: What to do next.
    """

    decision: ServedDecision | None = None
    explanation: DecisionExplanation | None = None
    word: str = ""
    problem: str = ""
    hint: str = ""


def render(settings: Settings, home: Home) -> None:
    """Draw the page."""
    del settings
    with st.form("lookup"):
        identifier = st.text_input("Prediction id", value=st.query_params.get("id", "")).strip()
        opened = st.form_submit_button("Look up")
        st.text("To see the personal data, disclose them below: each disclosure is recorded.")
    disclose = bool(identifier) and st.button("Disclose and explain (this read is recorded)")
    if opened and identifier:
        st.query_params["id"] = identifier
    # The disclosure appends to the log; it comes first, so that the verification covers it.
    disclosed = _disclose(identifier) if disclose else None
    integrity = _frame.verify(home)
    if not identifier:
        _newest(home)
        return
    try:
        found = Reader(home).prediction(identifier)
    except NotFoundError as error:
        _frame.show("notice", word="There is no such decision", text=error.message, todo=error.hint)
        return
    record = found.record or {}
    st.header("The record", anchor=False)
    _record(home, found)
    st.header("Scope and date", anchor=False)
    _frame.scope(integrity, newest_time(home))
    if disclosed is not None:
        _disclosed(disclosed)
    answers = read_answers(home, resource=identifier)
    st.header("Who read it", anchor=False)
    _frame.show("decisions", answers=answers, caption="Policy decisions about reading this record")
    _frame.raw("Raw: the record as logged", dict(record))


def _record(home: Home, found: Entry) -> None:
    problem, proof = "", None
    try:
        proof = check_inclusion(home, found.index)
    except AffidavitError as error:
        problem = error.message
    _frame.show(
        "prediction", entry=found.index, record=found.record or {}, proof=proof, problem=problem
    )


def _disclose(identifier: str) -> Disclosure:
    try:
        explanation = explain_decision(identifier)
    except PolicyDenied as error:
        word = "The policy does not let you read this"
        return Disclosure(word=word, problem=error.message, hint=error.hint)
    except AffidavitError as first:
        word, problem = "This decision cannot be explained", first.message
        try:
            decision = disclose_decision(identifier)
        except AffidavitError as error:
            word = "This decision cannot be disclosed"
            return Disclosure(word=word, problem=error.message, hint=error.hint)
        return Disclosure(decision, None, word, problem, first.hint)
    return Disclosure(explanation.decision, explanation)


def _disclosed(found: Disclosure) -> None:
    st.header("Disclosed", anchor=False)
    if found.problem:
        _frame.show("notice", word=found.word, text=found.problem, todo=found.hint)
    why = found.explanation
    if why is not None:
        marks = waterfall_marks(why.base_value, why.reasons, why.output)
        title = "Contributions from the base value to the output; a table follows."
        st.altair_chart(_charts.waterfall(marks, axis=unit(why.output_space), title=title))
    if found.decision is not None:
        _frame.show("disclosed", decision=found.decision, why=why)


def _newest(home: Home) -> None:
    rows = Reader(home).predictions(limit=20)
    if not rows:
        _frame.show(
            "notice",
            word="No prediction has been served yet",
            text="Served predictions appear here with their ids.",
            todo='Put @aff.serve("name@production") on the function that predicts.',
        )
        return
    _frame.show("newest", rows=rows)


if __name__ == "__main__":
    _frame.page("Decision lookup", "Why did this decision come out so, and from what?", render)
