"""The gate's result in SARIF 2.1.0 (OASIS, with errata 01), as code-scanning services read it.

One run for each model, so that each is tracked on its own (§3.17.3). A waived denial is a result
with an external suppression (§3.35); what passed is not reported.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from affidavit._gate_items import GateReport, Item
from affidavit._terminal import clean

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_SECURITY = {"low": "2.0", "medium": "5.5", "high": "8.0", "critical": "9.5"}
"""Severities as the bands that code scanning makes of scores of 0 to 10."""
_PROBLEM = {"error": "error", "warning": "warning", "note": "recommendation"}
_SECURITY_RULES = ("access.", "promotion.provenance_", "request.", "serving.artifact_")
"""Rules about who may and about what was tampered with; the others are about quality."""


def render_sarif(reports: Sequence[GateReport]) -> str:
    """Return the results as one log file, ending in a line feed.

    Args:
        reports: The results.
    """
    runs = [_run(report) for report in reports]
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}
    return json.dumps(log, indent=2) + "\n"


def _run(report: GateReport) -> dict[str, Any]:
    from affidavit import __version__

    result = report.result
    shown = [item for item in report.items if item.state in {"denied", "waived", "warned"}]
    trouble = [item for item in report.items if item.state in {"undecided", "unverified"}]
    rules: dict[str, dict[str, Any]] = {}
    for item in sorted(shown, key=lambda item: _LEVELS.index(_level(item))):
        rules.setdefault(item.rule, _rule(item))
    places = {rule: n for n, rule in enumerate(rules)}
    notices = {item.rule: _descriptor(item) for item in trouble}
    return {
        "tool": {
            "driver": {
                "name": "Affidavit",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": list(rules.values()),
                "notifications": list(notices.values()),
            }
        },
        "automationDetails": {
            "id": f"affidavit/gate/{result.stage}/{quote(clean(result.name), safe='')}"
        },
        "invocations": [
            {
                "executionSuccessful": not trouble,
                "exitCode": result.exit_code,
                "exitCodeDescription": clean(result.sentence),
                "toolExecutionNotifications": [
                    {
                        "descriptor": {
                            "id": clean(item.rule),
                            "index": list(notices).index(item.rule),
                        },
                        "level": "error",
                        "message": {"text": _plain(item.message)},
                    }
                    for item in trouble
                ],
            }
        ],
        "results": [_result(report, item, places[item.rule]) for item in shown],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "model": clean(result.digest),
            "decision": result.decision_id,
            "effectiveTime": result.effective_time,
        },
    }


def _result(report: GateReport, item: Item, index: int) -> dict[str, Any]:
    result = report.result
    where: dict[str, Any] = {
        "logicalLocations": [
            {
                "name": clean(result.name),
                "fullyQualifiedName": clean(f"{result.name}@{result.digest}"),
                "kind": "resource",
            }
        ]
    }
    if report.source:
        where["physicalLocation"] = {
            "artifactLocation": {"uri": quote(report.source), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 1},
        }
    found: dict[str, Any] = {
        "ruleId": clean(item.rule),
        "ruleIndex": index,
        "level": _level(item),
        "kind": "fail",
        "message": {"text": _plain(item.message)},
        "locations": [where],
        "partialFingerprints": {"affidavitGate/v1": _fingerprint(report, item)},
    }
    if item.clause:
        found["properties"] = {"clause": clean(item.clause), "severity": item.severity}
    if item.waiver is not None:
        said = f"Waived by {item.waiver.person} until {item.waiver.expires}: {item.waiver.reason}"
        found["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": clean(said),
                "properties": {"waiver": item.waiver.id, "expires": item.waiver.expires},
            }
        ]
    return found


_LEVELS = ("error", "warning", "note")


def _level(item: Item) -> str:
    if item.state in {"denied", "waived"}:
        return "error"
    return "note" if item.severity == "low" else "warning"


def _rule(item: Item) -> dict[str, Any]:
    level = _level(item)
    properties: dict[str, Any] = {
        "problem.severity": _PROBLEM[level],
        "precision": "very-high",
        "severity": item.severity,
        "tags": ["policy"],
    }
    if item.rule.startswith(_SECURITY_RULES):
        # Only results with this tag are ranked by the score.
        properties["tags"] = ["policy", "security"]
        properties["security-severity"] = _SECURITY.get(item.severity, "8.0")
    if item.clause:
        properties["clause"] = clean(item.clause)
    return {
        **_descriptor(item),
        "defaultConfiguration": {"level": level},
        "properties": properties,
    }


def _descriptor(item: Item) -> dict[str, Any]:
    clause = f" Answers to: {item.clause}." if item.clause else ""
    return {
        "id": clean(item.rule),
        "shortDescription": {"text": _plain(item.title)},
        "fullDescription": {"text": _plain(f"{item.title}.")},
        "help": {
            "text": _plain(
                f"{item.title}.{clause} The rule {item.rule} is described in the policy guide; "
                "the whole decision is in the ledger."
            )
        },
    }


def _fingerprint(report: GateReport, item: Item) -> str:
    # Figures change from run to run; the finding is still the same.
    settled = re.sub(r"[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?", "0", item.message)
    parts = (report.result.name, report.result.stage, item.rule, settled)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _plain(text: str) -> str:
    r"""Return a message that holds no placeholder and no link (§3.11.5 ``{{``, §3.11.6 ``\[``)."""
    escaped = re.sub(r"([\\\[\]])", r"\\\1", clean(text))
    return escaped.replace("{", "{{").replace("}", "}}")
