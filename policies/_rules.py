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

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.policies._manifest import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Rule", "judged_rules", "rule_catalogue"]

_ANNOTATED = re.compile(r"^# METADATA\n((?:#.*\n)+)(\S+)(?: (\S+))?", re.MULTILINE)
_PACKAGE = re.compile(r"^package (\S+)$", re.MULTILINE)
_FIELD = re.compile(r"^# +(title|rule|severity|clause): (.*?)\s*$", re.MULTILINE)
_ENTRY = "affidavit.rego"


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


def rule_catalogue(directory: Path | None = None) -> Mapping[str, Rule]:
    """Return the annotated rules of a bundle, by id, in alphabetical order.

    Args:
        directory: The bundle's folder, with the sources in ``packs/``; the shipped one by default.
    """
    return _catalogue(directory or shipped())


def judged_rules(entrypoint: str, directory: Path | None = None) -> tuple[Rule, ...]:
    """Return the rules that can deny at an entry point: those of the packages that it joins.

    Args:
        entrypoint: Such as ``affidavit/promote``.
        directory: As for `rule_catalogue`.
    """
    return _judged(entrypoint, directory or shipped())


@functools.lru_cache(maxsize=8)
def _catalogue(directory: Path) -> Mapping[str, Rule]:
    found = {}
    for path in sorted((directory / "packs").rglob("*.rego")):
        if path.name.endswith("_test.rego"):
            continue
        text = path.read_text("utf-8")
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


@functools.lru_cache(maxsize=32)
def _judged(entrypoint: str, directory: Path) -> tuple[Rule, ...]:
    package, _, name = entrypoint.rpartition("/")
    path = directory / "packs" / _ENTRY
    if not path.is_file():
        return ()
    text = path.read_text("utf-8")
    wanted, seen = [name], {name}
    packages = set()
    while wanted:
        # What the entry point joins, directly or through a rule beside it.
        body = _body(text, wanted.pop())
        packages |= set(re.findall(r"\b([a-z_]+)\.deny\b", body))
        fresh = set(re.findall(r"\b[a-z_]+\b", body)) - seen
        seen |= fresh
        wanted += [word for word in fresh if re.search(rf"^{word} :=", text, re.MULTILINE)]
    whole = {f"{package.replace('/', '.')}.{one}" for one in packages}
    return tuple(
        rule for rule in _catalogue(directory).values() if rule.denies and rule.package in whole
    )


def _body(text: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)} := (.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""
