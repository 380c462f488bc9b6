"""The gate's result in Markdown, for a job's summary or a comment under a change.

Whatever comes from elsewhere stands in a code span: nothing in one is a link, a picture, markup or
a mention (CommonMark 0.31.2 §6.1). There is no table, for in GitHub's a bar ends even a code span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from affidavit._gate_items import GateReport, Item
from affidavit._gate_result import WORDS
from affidavit._terminal import clean

_TITLES = {
    "denied": "Denied",
    "undecided": "Could not be decided",
    "unverified": "Evidence missing or not verified",
    "waived": "Denied, and waived",
    "warned": "Warnings",
}


def render_markdown(reports: Sequence[GateReport]) -> str:
    """Return the results as one document, ending in a line feed.

    Args:
        reports: The results.
    """
    return "\n".join(line for report in reports for line in _lines(report)) + "\n"


def _lines(report: GateReport) -> list[str]:
    result = report.result
    lines = [f"### Affidavit gate: {WORDS[result.exit_code]}", ""]
    facts = {
        "System": result.name,
        "Stage": result.stage,
        "Model": result.digest,
        "Decision": result.decision_id,
        "As at": result.effective_time,
    }
    lines += [f"- {name}: {_code(value)}" for name, value in facts.items() if value]
    if result.effective_time:
        lines.append("- This answers what would be; no verdict was signed.")
    for state, title in _TITLES.items():
        chosen = [item for item in report.items if item.state == state]
        if chosen:
            lines += ["", f"**{title}**", "", *(_item(item) for item in chosen)]
    passed = sum(item.state == "passed" for item in report.items)
    if passed:
        lines += ["", f"{passed} rules found nothing."]
    return [*lines, ""]


def _item(item: Item) -> str:
    parts = [f"- {_code(item.rule)}", _code(item.message)]
    if item.clause:
        parts.append(_code(item.clause))
    if item.waiver is not None:
        waiver = item.waiver
        until = f"until {_code(waiver.expires)}"
        parts.append(f"waived by {_code(waiver.person)} {until}: {_code(waiver.reason)}")
    return ", ".join(parts)


def _code(text: str) -> str:
    """Return a text as a code span that it cannot end."""
    one = " ".join(clean(text).split())
    if not one:
        return "(nothing)"
    longest = max((len(run) for run in re.findall(r"`+", one)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {one} {fence}"
