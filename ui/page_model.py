"""Model: what is known about one model, from its verdict down to its raw statements."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import streamlit as st
from markupsafe import Markup

from affidavit import Reader
from affidavit._read_model_pages import newest_time, read_answers
from affidavit._read_model_system import read_model_page
from affidavit._read_waivers import list_waivers
from affidavit.errors import NotFoundError
from affidavit.lineage import timestamp
from affidavit.ui import _charts, _frame, _model_marks
from affidavit.ui._svg import lineage_arrows, lineage_chart, standalone
from affidavit.ui._wording import group, output_space, unit, visible

if TYPE_CHECKING:
    from affidavit import Home, Settings
    from affidavit._read_model_system import FairnessFigures, ModelPage
    from affidavit.ui._integrity import Integrity


def render(settings: Settings, home: Home) -> None:
    """Draw the page."""
    name = _choose(Reader(home))
    integrity = _frame.verify(home)
    if not name:
        _frame.show(
            "notice",
            word="There is no system yet",
            text="No run is recorded in this ledger.",
            todo='Put @aff.train("name") on a training function, or run `affidavit demo`.',
        )
        return
    try:
        page = read_model_page(home, settings, name)
    except NotFoundError as error:
        _without_model(home, integrity, name, error)
        return
    st.header("Verdict of the gate", anchor=False)
    _frame.show("gate", page=page)
    st.header("Scope and date", anchor=False)
    _frame.scope(integrity, newest_time(home), *_about(page))
    st.header("Exceptions", anchor=False)
    _frame.show("missing", page=page)
    _evidence(home, page)
    st.header("Raw", anchor=False)
    _frame.raw("Raw: the run's statement", dict(page.run.predicate))
    for item in (*page.evaluations, *page.explanations):
        label = "evaluation" if item.kind == "evaluation" else "explanation"
        _frame.raw(f"Raw: {label}, entry {item.entry}", dict(item.predicate))


def _without_model(home: Home, integrity: Integrity, name: str, error: NotFoundError) -> None:
    _frame.show("notice", word="There is no such model", text=error.message, todo=error.hint)
    _frame.scope(integrity, newest_time(home))
    st.header("Policy decisions", anchor=False)
    caption = "The newest policy decisions about it"
    _frame.show("decisions", answers=read_answers(home, resource=name), caption=caption)


def _choose(reader: Reader) -> str:
    asked = st.query_params.get("name", "")
    known = [name for name in reader.systems() if name]
    if asked and asked not in known:
        return asked
    if not known:
        return ""
    first = asked or next((name for name in known if _has_model(reader, name)), known[0])
    chosen = st.selectbox("System", known, index=known.index(first), format_func=visible)
    if asked and chosen != asked:
        st.query_params["name"] = chosen
    return str(chosen)


def _has_model(reader: Reader, name: str) -> bool:
    try:
        reader.model(name)
    except NotFoundError:
        return False
    return True


def _about(page: ModelPage) -> list[tuple[str, str]]:
    declared = page.declared
    rows = [("System", page.reference.name), ("Model", page.reference.digest)]
    rows += [(word.title(), str(declared.get(word, ""))) for word in ("owner", "purpose", "tier")]
    return [*rows, ("Predictions served", f"{page.predictions:,}")]


def _evidence(home: Home, page: ModelPage) -> None:
    st.header("Run", anchor=False)
    _frame.show("run", page=page)
    st.header("Lineage", anchor=False)
    _lineage(page)
    st.header("Data and obligations", anchor=False)
    _frame.show("data", page=page)
    st.header("Performance", anchor=False)
    _frame.show("evaluation", page=page)
    st.header("Fairness", anchor=False)
    for figures in page.fairness:
        _fairness(figures)
    if not page.fairness:
        _frame.show("nothing", what="fairness", how='aff.evaluate(…, sensitive=["…"])')
    st.header("Explanation", anchor=False)
    for item in page.explanations:
        summary = item.body.get("summary") or {}
        space = str(summary.get("output_space", ""))
        rows = summary.get("n_samples", "?")
        marks = _model_marks.explanation_marks(item)
        title = f"Mean |SHAP| per column, {output_space(space)}, n = {rows}; a table follows."
        if marks:
            st.altair_chart(_charts.bars(marks, axis=f"mean |SHAP| ({unit(space)})", title=title))
        _frame.show("explanation", item=item, ranked=_model_marks.ranked(item), chart="")
    if not page.explanations:
        _frame.show("nothing", what="an explanation", how="aff.explain_model(name, model, X)")
    st.header("Policy decisions", anchor=False)
    caption = "The newest policy decisions about this system"
    _frame.show("decisions", answers=page.answers, caption=caption)
    st.header("Approvals", anchor=False)
    _frame.show("approvals", page=page)
    st.header("Waivers", anchor=False)
    _frame.show(
        "waivers",
        listed=list_waivers(home, at=timestamp(), digest=page.reference.digest),
        caption="What people waived for this model; whether it counted stands in the verdict",
        nothing="Nobody has waived anything for this model.",
    )
    if page.newest_prediction is not None:
        st.header("Served decisions", anchor=False)
        _frame.show("served", page=page)


def _lineage(page: ModelPage) -> None:
    drawing = standalone(lineage_chart(page.lineage)).encode()
    source = "data:image/svg+xml;base64," + base64.b64encode(drawing).decode()
    words = f"Lineage graph of {len(page.lineage.nodes)} nodes; the table below says the same."
    image = Markup('<img src="{}" alt="{}">').format(source, words)
    arrows = lineage_arrows(page.lineage)
    _frame.show("lineage", page=page, chart=image, arrows=arrows, expanded=False)


def _fairness(figures: FairnessFigures) -> None:
    _frame.show("fairness_note", item=figures)
    for feature in figures.features:
        _frame.show("fairness_head", item=figures, f=feature)
        marks = _model_marks.fairness_marks(feature)
        title = f"Selection rate by {visible(group(feature.feature))} with intervals."
        st.altair_chart(
            _charts.intervals(
                marks,
                axis="selection rate",
                title=title,
                reference=_model_marks.four_fifths(marks),
            )
        )
        _frame.show("fairness_rates", item=figures, f=feature, expanded=False)


if __name__ == "__main__":
    _frame.page("Model", "Which evidence stands behind this model?", render)
