"""The gate's result as JUnit XML, as continuous-integration servers read it.

There is no standard; this keeps to what the schemas of Jenkins (junit-10.xsd) and of Surefire have
in common: a suite for each model, a case for each rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from affidavit._gate_items import GateReport, Item
from affidavit._terminal import clean

# XML 1.0 §2.2, Char; whatever else `clean` leaves cannot stand in a document, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(reports: Sequence[GateReport]) -> str:
    """Return the results as one document, ending in a line feed.

    Args:
        reports: The results.
    """
    root = ET.Element("testsuites", name="affidavit gate")
    totals = [0, 0, 0, 0]
    for report in reports:
        suite = _suite(root, report)
        for n, name in enumerate(("tests", "failures", "errors", "skipped")):
            totals[n] += int(suite.attrib[name])
    for n, name in enumerate(("tests", "failures", "errors")):
        root.set(name, str(totals[n]))
    ET.indent(root)
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{head}\n{ET.tostring(root, encoding='unicode')}\n"


def _suite(root: ET.Element, report: GateReport) -> ET.Element:
    result, items = report.result, report.items
    states = [item.state for item in items]
    seconds = result.decision.duration_ns / 1e9 if result.decision else 0.0
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _text(f"{result.name} {result.stage}"),
            "tests": str(len(items)),
            "failures": str(states.count("denied")),
            "errors": str(states.count("undecided") + states.count("unverified")),
            "skipped": str(states.count("waived")),
            "time": f"{seconds:.6f}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    facts = {
        "model": result.digest,
        "decision": result.decision_id,
        "exit_code": str(result.exit_code),
        "effective_time": result.effective_time,
    }
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=name, value=_text(value))
    seen: dict[str, int] = {}
    for item in items:
        seen[item.rule] = seen.get(item.rule, 0) + 1
        _case(suite, item, seen[item.rule])
    return suite


def _case(suite: ET.Element, item: Item, number: int) -> None:
    again = f" ({number})" if number > 1 else ""
    case = ET.SubElement(
        suite,
        "testcase",
        name=_text(item.rule + again),
        classname=_text(f"affidavit.{item.rule.partition('.')[0]}"),
        time="0",
    )
    message, kind = _text(item.message), _text(item.rule)
    if item.state == "denied":
        ET.SubElement(case, "failure", message=message, type=kind).text = _whole(item)
    elif item.state in {"undecided", "unverified"}:
        ET.SubElement(case, "error", message=message, type=kind).text = _whole(item)
    elif item.state == "waived":
        ET.SubElement(case, "skipped", message=_text(f"waived: {item.message}"))
    elif item.state == "warned":
        ET.SubElement(case, "system-out").text = _whole(item)


def _whole(item: Item) -> str:
    lines = [item.message, f"Rule: {item.title}", f"Severity: {item.severity}"]
    return _text("\n".join([*lines, f"Clause: {item.clause}"] if item.clause else lines))


def _text(value: str) -> str:
    return _FORBIDDEN.sub("\ufffd", clean(value))
