"""The one strict reading of a policy result, the same for every engine.

A result is a JSON object with exactly these keys:

```json
{"allow": true,
 "deny": [],
 "warn": [{"rule": "serving.unpromoted", "message": "…", "severity": "low", "clause": ""}],
 "obligations": [{"kind": "mask", "columns": ["note"], "parameters": {}}]}
```

Whatever departs from that denies, with the departure as its reason.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from affidavit.policies._decision import SEVERITIES, Decision, Finding, Obligation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["COLUMN_KINDS", "FLAG_KINDS", "OBLIGATION_KINDS", "check_obligation", "parse_result"]

_KEYS = {"allow", "deny", "warn", "obligations"}
_FINDING_KEYS = {"rule", "message", "severity", "clause"}
_OBLIGATION_KEYS = {"kind", "columns", "parameters"}

# Obligations that name columns, those that choose rows, and those that are flags for the caller.
COLUMN_KINDS = frozenset(
    {
        "drop",
        "exclude_as_feature",
        "generalise",
        "keep_rows",
        "mask",
        "pseudonymise",
        "suppress_small_cells",
    }
)
FLAG_KINDS = frozenset({"explain", "log_full", "require_approval"})
OBLIGATION_KINDS = COLUMN_KINDS | FLAG_KINDS | {"limit_rate", "limit_rows"}


class _MalformedError(Exception):
    """The result departs from the contract."""


class _UnknownObligationError(Exception):
    """The obligation is not one that can be honoured."""


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _no_parameters(parameters: Mapping[str, Any]) -> bool:
    return not parameters


def _pseudonymise(parameters: Mapping[str, Any]) -> bool:
    key = parameters.get("key")
    return set(parameters) == {"key"} and isinstance(key, str) and key != ""


def _generalise(parameters: Mapping[str, Any]) -> bool:
    if set(parameters) == {"unit"}:
        return bool(parameters["unit"] == "year")
    if set(parameters) != {"width"}:
        return False
    width = parameters["width"]
    return _number(width) and width > 0


def _limit_rows(parameters: Mapping[str, Any]) -> bool:
    rows = parameters.get("rows")
    return set(parameters) == {"rows"} and type(rows) is int and rows >= 0


def _suppress_small_cells(parameters: Mapping[str, Any]) -> bool:
    if set(parameters) != {"k", "max_share"}:
        return False
    k, share = parameters["k"], parameters["max_share"]
    return type(k) is int and k >= 2 and _number(share) and 0 <= share <= 1


def _keep_rows(parameters: Mapping[str, Any]) -> bool:
    values = parameters.get("values")
    return (
        set(parameters) == {"values"}
        and isinstance(values, list | tuple)
        and all(isinstance(value, str) for value in values)
    )


def _limit_rate(parameters: Mapping[str, Any]) -> bool:
    numbers = [parameters.get("calls"), parameters.get("seconds")]
    return (
        set(parameters) == {"calls", "seconds", "per"}
        and all(type(number) is int and number >= 1 for number in numbers)
        and parameters["per"] in {"actor", "client", "model"}
    )


_PARAMETERS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "generalise": _generalise,
    "keep_rows": _keep_rows,
    "limit_rate": _limit_rate,
    "limit_rows": _limit_rows,
    "pseudonymise": _pseudonymise,
    "suppress_small_cells": _suppress_small_cells,
}


def check_obligation(obligation: Obligation) -> str:
    """Say why an obligation cannot be honoured; empty where it can.

    Args:
        obligation: The obligation, from a policy or from a caller.

    Returns:
        The reason as a sentence, or the empty text.
    """
    kind = obligation.kind
    if kind not in OBLIGATION_KINDS:
        return (
            f"The obligation {kind!r} is unknown; known are {', '.join(sorted(OBLIGATION_KINDS))}."
        )
    if bool(obligation.columns) is not (kind in COLUMN_KINDS):
        wanted = "names no column" if kind in COLUMN_KINDS else "names columns, but binds none"
        return f"The obligation {kind!r} {wanted}."
    if kind == "keep_rows" and len(obligation.columns) != 1:
        return f"The obligation {kind!r} names {len(obligation.columns)} columns, expected one."
    if not _PARAMETERS.get(kind, _no_parameters)(obligation.parameters):
        return f"The obligation {kind!r} has unusable parameters: {dict(obligation.parameters)!r}."
    return ""


def _exact_object(value: object, keys: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _MalformedError(f"{what} is {type(value).__name__}, expected an object")
    if set(value) != keys:
        raise _MalformedError(
            f"{what} has the keys {sorted(map(str, value))}, expected {sorted(keys)}"
        )
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _MalformedError(f"{what} is {type(value).__name__}, expected an array")
    return value


def _boolean(value: object) -> None:
    if not isinstance(value, bool):
        raise _MalformedError(f"allow is {value!r}, expected true or false")


def _findings(value: object, what: str) -> tuple[Finding, ...]:
    found = set()
    for item in _list(value, what):
        fields = _exact_object(item, _FINDING_KEYS, f"an item of {what}")
        if not all(isinstance(text, str) for text in fields.values()):
            raise _MalformedError(f"an item of {what} has a field that is not text")
        if not fields["rule"] or fields["severity"] not in SEVERITIES:
            raise _MalformedError(f"an item of {what} has no rule or an unknown severity")
        found.add(Finding(**fields))
    return tuple(sorted(found))


def _obligations(value: object) -> tuple[Obligation, ...]:
    found = []
    for item in _list(value, "obligations"):
        fields = _exact_object(item, _OBLIGATION_KEYS, "an obligation")
        columns = _list(fields["columns"], "an obligation's columns")
        if not isinstance(fields["kind"], str) or not all(isinstance(c, str) for c in columns):
            raise _MalformedError("an obligation's kind or one of its columns is not text")
        if not isinstance(fields["parameters"], dict):
            raise _MalformedError("an obligation's parameters are not an object")
        obligation = Obligation(fields["kind"], tuple(sorted(set(columns))), fields["parameters"])
        reason = check_obligation(obligation)
        if reason:
            raise _UnknownObligationError(reason)
        found.append(obligation)
    return tuple(sorted(found, key=lambda item: json.dumps(item.to_dict(), sort_keys=True)))


def parse_result(
    entrypoint: str,
    raw: object,
    *,
    engine: str = "",
    engine_version: str = "",
    bundle_digest: str = "",
    input_digest: str = "",
    duration_ns: int = 0,
) -> Decision:
    """Read an engine's result strictly; whatever departs from the contract denies.

    Args:
        entrypoint: The rule that was asked.
        raw: The result as JSON values.
        engine: The engine's name.
        engine_version: The version of OPA behind it.
        bundle_digest: Digest of rules and data.
        input_digest: Digest of the canonical input.
        duration_ns: Wall time in nanoseconds.

    Returns:
        The decision. It allows only if ``raw`` is an object with exactly the contracted keys,
        ``allow`` is literally true, ``deny`` is empty and every obligation is known.
    """
    meta: dict[str, Any] = {
        "engine": engine,
        "engine_version": engine_version,
        "bundle_digest": bundle_digest,
        "input_digest": input_digest,
        "duration_ns": duration_ns,
    }
    try:
        fields = _exact_object(raw, _KEYS, "the result")
        _boolean(fields["allow"])
        deny = _findings(fields["deny"], "deny")
        warn = _findings(fields["warn"], "warn")
        obligations = _obligations(fields["obligations"])
    except _MalformedError as error:
        message = f"The policy result is not usable: {error}."
        return Decision.denied(entrypoint, "engine.malformed", message, **meta)
    except _UnknownObligationError as error:
        return Decision.denied(entrypoint, "engine.obligation_unknown", str(error), **meta)
    if not fields["allow"] and not deny:
        deny = (Finding("policy.undefined", "The rules did not allow the request."),)
    allow = fields["allow"] is True and not deny
    return Decision(
        allow=allow,
        deny=deny,
        warn=warn,
        obligations=obligations if allow else (),
        entrypoint=entrypoint,
        **meta,
    )
