"""The rules of a folder of packs, as the METADATA annotations above them say.

```rego
# METADATA
# title: Each required metric meets its threshold
# custom:
#   rule: promotion.metric
#   severity: high
#   clause: EU AI Act Art. 15(1)
deny contains …
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affidavit.policies._open import open_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from affidavit.policies._manifest import Bundle

__all__ = ["Rule", "judged_rules", "rule_catalogue"]

_ANNOTATED = re.compile(r"^# METADATA\n((?:#.*\n)+)(\S+)(?: (\S+))?", re.MULTILINE)
_PACKAGE = re.compile(r"^package (\S+)$", re.MULTILINE)
_FIELD = re.compile(r"^# +(title|rule|severity|clause): (.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule is called, and what it is about.

    Args:
        id: Such as ``promotion.metric``.
        title: What holds where it finds nothing.
        severity: How severe a finding is.
        clause: The clause of a law or standard that it answers to; empty where none does.
        package: The Rego package that it stands in.
        denies: Whether a finding denies; else it warns.
    """

    id: str
    title: str
    severity: str
    clause: str
    package: str
    denies: bool


def rule_catalogue(source: Bundle | Path | None = None) -> dict[str, Rule]:
    """Return the annotated rules of a bundle, by id, in alphabetical order.

    Args:
        source: As for `open_bundle`; the shipped one by default.

    Raises:
        PolicyEngineError: It is missing, malformed, or not what its manifest says.
    """
    found = {}
    for text in _texts(open_bundle(source)):
        package = _PACKAGE.search(text)
        for block, head, word in _ANNOTATED.findall(text):
            fields: dict[str, str] = dict(_FIELD.findall(block))
            rule = fields.get("rule")
            if rule is not None and package is not None:
                found[rule] = Rule(
                    rule,
                    fields.get("title", rule),
                    fields.get("severity", "high"),
                    fields.get("clause", ""),
                    str(package[1]),
                    (head, word) == ("deny", "contains"),
                )
    return {name: found[name] for name in sorted(found)}


def judged_rules(entrypoint: str, source: Bundle | Path | None = None) -> tuple[Rule, ...]:
    """Return the rules that can deny at an entry point: those of the packages that it joins.

    Args:
        entrypoint: Such as ``affidavit/promote``.
        source: As for `open_bundle`; the shipped one by default.

    Raises:
        PolicyEngineError: It is missing, malformed, or not what its manifest says.
    """
    bundle = open_bundle(source)
    package, _, name = entrypoint.replace("/", ".").rpartition(".")
    here = re.compile(rf"^package {re.escape(package)}$", re.MULTILINE)
    text = "\n".join(one for one in _texts(bundle) if here.search(one))
    wanted, seen = [name], {name}
    joined = set()
    while wanted:
        # What the entry point joins, directly or through a rule beside it.
        body = _body(text, wanted.pop())
        joined |= {f"{package}.{one}" for one in re.findall(r"\b([a-z_]+)\.deny\b", body)}
        fresh = set(re.findall(r"\b[a-z_]+\b", body)) - seen
        seen |= fresh
        wanted += [word for word in fresh if re.search(rf"^{word} :=", text, re.MULTILINE)]
    rules = rule_catalogue(bundle).values()
    return tuple(rule for rule in rules if rule.denies and rule.package in joined)


def _texts(bundle: Bundle) -> list[str]:
    sources = bundle.sources
    names = [name for name in sorted(sources) if not name.endswith("_test.rego")]
    return [sources[name].decode() for name in names]


def _body(text: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)} := (.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""
