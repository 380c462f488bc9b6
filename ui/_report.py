"""The printable report: one HTML file that refers to nothing outside itself.

It is made from the ledger alone, without a clock, so that the same checkpoint gives the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit import Reader
from affidavit._read_model_pages import newest_time
from affidavit._read_model_system import read_model_page
from affidavit._read_waivers import list_waivers
from affidavit.errors import AffidavitError, NotFoundError
from affidavit.lineage import leaf_hash
from affidavit.ui import _model_marks
from affidavit.ui._integrity import check_integrity
from affidavit.ui._svg import bar_chart, interval_chart, lineage_arrows, lineage_chart
from affidavit.ui._templates import environment, section, trusted
from affidavit.ui._wording import count, group, moment, output_space, visible

if TYPE_CHECKING:
    from markupsafe import Markup

    from affidavit import Home, Settings
    from affidavit._read_model_pages import Evidence
    from affidavit._read_model_system import FairnessFigures, ModelPage
    from affidavit.ui._integrity import Integrity

_LINK = "#entry-"
_REFERRED = re.compile(r'href="#entry-(\d+)"')


def render_report(home: Home, settings: Settings, name: str) -> str:
    """Return the audit report on a model as one self-contained HTML document.

    The ledger is verified for it. A report on a ledger that does not verify says so in its title
    and at its top, and is still made: it is what an auditor would show.

    Args:
        home: Whose ledger it is made from.
        settings: Declares owner, purpose and tier.
        name: The system, or a reference such as ``credit-risk@production``.

    Raises:
        NotFoundError: There is no such model in an intact ledger.
        MissingDependencyError: Jinja2 is not installed.
    """
    integrity = check_integrity(home)
    page: ModelPage | None = None
    problem = ""
    try:
        page = read_model_page(home, settings, name)
    except NotFoundError as error:
        if integrity.ok:
            raise
        problem = error.message
    except AffidavitError as error:
        problem = error.message
    newest = newest_time(home) if integrity.report is not None else ""
    sections = _sections(home, page, newest) if page else []
    referred = sorted({int(n) for _, html in sections for n in _REFERRED.findall(html)})
    style = Path(__file__).with_name("style.css").read_text("utf-8")
    return (
        environment()
        .get_template("report.html")
        .render(
            name=page.reference.name if page else name,
            page=page,
            problem=problem,
            integrity=integrity,
            newest=newest,
            style=trusted(style),
            verdict=section("integrity", integrity=integrity, when="when this was made"),
            scope=section(
                "scope", scope=_scope(integrity, newest, page), stamped=integrity.stamped
            ),
            sections=sections,
            annex=[_annexed(home, index) for index in referred],
            checkpoint=integrity.checkpoint,
        )
    )


def _sections(home: Home, page: ModelPage, newest: str) -> list[tuple[str, Markup]]:
    """Return the sections as (title, HTML), in the order of every page."""

    def part(template: str, **values: Any) -> Markup:
        return section(template, page=page, entry_link=_LINK, expanded=True, **values)

    fairness = [_fairness(figures) for figures in page.fairness]
    explanations = [_explanation(item) for item in page.explanations]
    how = 'aff.evaluate(…, sensitive=["…"])'
    no_fairness = part("nothing", what="fairness", how=how)
    no_explanation = part("nothing", what="an explanation", how="aff.explain_model(…)")
    arrows = lineage_arrows(page.lineage)
    caption = "The newest policy decisions about this system"
    # A report is made without a clock: waivers are told as at the newest entry.
    waivers = list_waivers(home, at=newest, digest=page.reference.digest)
    stated = f"What people waived for this model, as at {moment(newest)}"
    none_waived = "Nobody has waived anything for this model."
    return [
        ("Verdict of the gate", part("gate")),
        ("Exceptions and open points", part("missing")),
        ("Run", part("run")),
        (
            "Lineage",
            part("lineage", chart=trusted(lineage_chart(page.lineage)), arrows=arrows),
        ),
        ("Data and obligations", part("data")),
        ("Performance", part("evaluation")),
        ("Fairness", trusted("").join(fairness) or no_fairness),
        ("Explanation", trusted("").join(explanations) or no_explanation),
        ("Policy decisions", part("decisions", answers=page.answers, caption=caption)),
        ("Approvals", part("approvals")),
        ("Waivers", part("waivers", listed=waivers, caption=stated, nothing=none_waived)),
    ]


def _fairness(figures: FairnessFigures) -> Markup:
    features = []
    for feature in figures.features:
        marks = _model_marks.fairness_marks(feature)
        top = max((m.high or m.value or 0.0 for m in marks), default=1.0) or 1.0
        named = visible(group(feature.feature))
        drawn = interval_chart(
            _model_marks.short_marks(marks),
            title=f"Selection rate by {named} with intervals; the dashed line is at four fifths of "
            "the highest. The table below says the same.",
            reference=_model_marks.four_fifths(marks),
            top=top,
        )
        features.append((feature, trusted(drawn)))
    return section("fairness", item=figures, features=features, expanded=True, entry_link=_LINK)


def _explanation(item: Evidence) -> Markup:
    summary = item.body.get("summary") or {}
    space = output_space(str(summary.get("output_space", "")))
    title = f"Mean |SHAP| per column, {space}, n = {summary.get('n_samples', '?')}."
    drawn = bar_chart(_model_marks.explanation_marks(item), title=title)
    ranked = _model_marks.ranked(item)
    return section("explanation", item=item, ranked=ranked, chart=trusted(drawn), entry_link=_LINK)


def _scope(integrity: Integrity, newest: str, page: ModelPage | None) -> list[tuple[str, str]]:
    rows = []
    if page is not None:
        declared = page.declared
        rows += [("System", page.reference.name), ("Model", page.reference.digest)]
        rows += [(word.title(), str(declared.get(word, ""))) for word in ("owner", "purpose")]
        rows += [("Tier", str(declared.get("tier", "")))]
        rows += [("Predictions served", count(page.predictions))]
    return [*rows, *integrity.rows(moment(newest))]


def _annexed(home: Home, index: int) -> dict[str, Any]:
    """Return what lets a reader find an entry again: its place, its leaf hash, and what it says."""
    try:
        body = home.ledger.entry(index)
        leaf = leaf_hash(body).hex()
        entry = Reader(home).entry(index)
    except AffidavitError as error:
        return {"index": index, "kind": "unreadable", "time": "", "leaf": error.message}
    if entry.statement is None:
        record = entry.record or {}
        kind, time = str(record.get("record", "")), str(record.get("time", ""))
        return {"index": index, "kind": f"{kind} (record)", "time": time, "leaf": leaf}
    from affidavit.lineage import statement_facts

    facts = statement_facts(entry.statement)
    return {"index": index, "kind": entry.statement.kind, "time": facts["time"], "leaf": leaf}
