"""The gate's result as workflow commands of GitHub Actions, which show as annotations.

A command is ``::error file=F,title=T::message``. In a message ``%``, carriage return and line feed
are escaped as ``%25``, ``%0D`` and ``%0A``; in a property ``:`` and ``,`` too, as ``%3A`` and
``%2C`` (GitHub Docs, Workflow commands; the toolkit's ``command.ts``).
"""

from __future__ import annotations

from collections.abc import Sequence

from affidavit._gate_items import GateReport, Item
from affidavit._terminal import clean

_COMMANDS = {"warned": "warning", "waived": "warning"}


def render_github(reports: Sequence[GateReport]) -> str:
    """Return a line for each finding, and one for each result that is not an error.

    Args:
        reports: The results.
    """
    lines = []
    for report in reports:
        lines += [_line(report, item) for item in report.items if item.state != "passed"]
        kind = "notice" if report.result.allowed else "error"
        lines.append(_command(kind, report, "affidavit gate", report.result.sentence))
    return "".join(f"{line}\n" for line in lines)


def _line(report: GateReport, item: Item) -> str:
    message = f"{report.result.name}: {item.message}"
    if item.clause:
        message += f" ({item.clause})"
    title = f"{item.rule} (waived)" if item.waiver is not None else item.rule
    return _command(_COMMANDS.get(item.state, "error"), report, title, message)


def _command(kind: str, report: GateReport, title: str, message: str) -> str:
    properties = {"file": report.source, "line": "1" if report.source else "", "title": title}
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{kind} {told}::{_data(message)}"


def _data(text: str) -> str:
    # `clean` leaves line feeds; a carriage return it shows as an escape.
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
