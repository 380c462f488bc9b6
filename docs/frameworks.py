"""Writes the page of each shipped framework, and the table of them all, from the data files.

Run as ``python docs/frameworks.py``; a test compares what it would write with what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affidavit.policies import EVIDENCE_KINDS, Clause, EmbeddedEngine, Framework, frameworks

HERE = Path(__file__).resolve().parent / "policies"
_ORIGIN = (
    "Written from `policies/packs/frameworks/{}/data.json` by `docs/frameworks.py`; how clauses "
    "are judged is in [frameworks](../frameworks.md). Titles and summaries are ours; evidence is "
    "not compliance."
)
_BEGIN, _END = "<!-- from the data: {} -->\n", "<!-- end -->\n"


def pages() -> dict[Path, str]:
    """Return what each generated page holds, by its file."""
    known = frameworks(EmbeddedEngine().data)
    found = {HERE / "frameworks" / f"{one.id}.md": _page(one) for one in known.values()}
    guide = (HERE / "frameworks.md").read_text("utf-8")
    guide = _put(guide, "frameworks", _overview(known))
    found[HERE / "frameworks.md"] = _put(guide, "evidence", _kinds())
    return found


def _put(text: str, name: str, table: str) -> str:
    begin = _BEGIN.format(name)
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(_END)
    if not found or not closed:
        raise SystemExit(f"docs/policies/frameworks.md lacks the place for {name}.")
    return f"{before}{begin}{table}{closed}{after}"


def _overview(known: Mapping[str, Framework]) -> str:
    rows = ["| id | framework | version | text of | read | clauses |", "|---|---|---|---|---|---|"]
    rows += [
        f"| [`{one.id}`](frameworks/{one.id}.md) | {_cell(one.title)} ({one.nature}) | "
        f"{_cell(one.version)} | {one.dated} | {one.read} | {len(one.clauses)} |"
        for one in known.values()
    ]
    return "\n".join(rows) + "\n"


def _kinds() -> str:
    rows = ["| evidence | what is counted |", "|---|---|"]
    rows += [f"| `{kind}` | {_cell(what)} |" for kind, what in EVIDENCE_KINDS.items()]
    return "\n".join(rows) + "\n"


def _page(one: Framework) -> str:
    source = one.source["reference"]
    if one.source.get("url"):
        source = f"[{source}]({one.source['url']})"
    lines = [
        f"# {one.title}",
        "",
        _ORIGIN.format(one.id),
        "",
        "| | |",
        "|---|---|",
        f"| id, and name in findings | `{one.id}`, {one.short} |",
        f"| issued by | {_cell(one.issuer)} |",
        f"| holds in | {_cell(one.jurisdiction)} |",
        f"| version | {_cell(one.version)} |",
        f"| date of the text | {one.dated} |",
        f"| status | {_cell(one.status)} |",
        f"| source | {_cell(source)} |",
        f"| read | {one.read}: {_cell(one.source['confidence'])} |",
        "",
        *(f"- {note}" for note in one.notes),
        "",
        "## Clauses",
        "",
        "| clause | what it asks | mode | in force | applies where | evidence |",
        "|---|---|---|---|---|---|",
        *map(_row, one.clauses),
        "",
    ]
    return "\n".join(lines)


def _row(clause: Clause) -> str:
    asks = f"**{_cell(clause.title)}.** {_cell(clause.summary)}"
    if clause.question:
        asks += f" *A person answers: {_cell(clause.question)}*"
    cells = (
        _cell(clause.id),
        asks,
        clause.mode,
        "; ".join(map(_window, clause.in_force)),
        _conditions(clause.applies) or "always",
        " and ".join(map(_requirement, clause.evidence)) or "none: a person answers",
    )
    return f"| {' | '.join(cells)} |"


def _window(window: Mapping[str, Any]) -> str:
    text = f"from {window['from']}"
    if "until" in window:
        text += f" until {window['until']}"
    when = _conditions(window["when"])
    return f"{text} where {when}" if when else text


def _conditions(conditions: Mapping[str, Any]) -> str:
    return " and ".join(
        f"`{name}` is {' or '.join(str(value).lower() for value in values)}"
        for name, values in conditions.items()
    )


def _requirement(requirement: Mapping[str, Any]) -> str:
    if "any" in requirement:
        return f"({' or '.join(map(_requirement, requirement['any']))})"
    if "declared" in requirement:
        return f"the declaration `{requirement['declared']}`"
    text = f"`{requirement['kind']}`"
    if "min" in requirement:
        text += f", at least {requirement['min']}"
    if "max_age_days" in requirement:
        text += f", at most {requirement['max_age_days']} days old"
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write every page that is not current."""
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
