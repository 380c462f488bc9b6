"""The data that tune the rules: shipped defaults, and what an organisation puts over them."""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from affidavit.errors import ConfigurationError, PolicyEngineError
from affidavit.policies._canonical import canonical_input
from affidavit.policies._frameworks import check_frameworks

__all__ = ["epoch_seconds", "grant_instants", "merge_data"]

_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
# Sections to which an organisation may add: what is in them is checked by its own reader.
_OPEN = frozenset({"frameworks"})
_HINT = "The schema is policies/schemas/data.schema.json; shipped defaults stand beside the packs."


def epoch_seconds(text: object) -> int | None:
    """Whole seconds since 1970 of an RFC 3339 timestamp as the packs read it, else None."""
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        return None
    try:
        # Fractions are cut off, as the packs do; fromisoformat reads at most six digits.
        whole = dt.datetime.fromisoformat(text[:19] + "+00:00")
        shift = 0
        if not text.endswith("Z"):
            hours, minutes = int(text[-5:-3]), int(text[-2:])
            if hours > 23 or minutes > 59:
                return None
            shift = (hours * 3600 + minutes * 60) * (1 if text[-6] == "+" else -1)
    except ValueError:
        return None
    return int((whole - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds()) - shift


def grant_instants(data: Mapping[str, Any]) -> tuple[int, ...]:
    """The instants at which grants in the data begin or expire, in order, without repeats."""
    found = set()
    for grant in data.get("access", {}).get("grants", []):
        for key in ("not_before", "expires"):
            at = epoch_seconds(grant.get(key))
            if at is not None:
                found.add(at)
    return tuple(sorted(found))


def _over(base: Any, user: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(user, Mapping):
        merged = dict(base)
        for key, value in user.items():
            merged[key] = _over(base[key], value) if key in base else copy.deepcopy(value)
        return merged
    return copy.deepcopy(user)


def _refuse(place: str, found: str) -> ConfigurationError:
    return ConfigurationError(f"In the policy data, {place} {found}.", hint=_HINT)


def _check_names(defaults: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    unknown = sorted(set(user) - set(defaults))
    if unknown:
        known = ", ".join(sorted(defaults))
        raise _refuse(f"the section {unknown[0]!r}", f"is unknown; known are {known}")
    for section, content in user.items():
        if not isinstance(content, Mapping):
            raise _refuse(section, f"is {type(content).__name__}, expected a table")
        closed = {} if section in _OPEN else content
        for key, value in closed.items():
            where = f"{section}.{key}"
            if key not in defaults[section]:
                known = ", ".join(sorted(defaults[section]))
                raise _refuse(f"the setting {where!r}", f"is unknown; known are {known}")
            if where == "access.default_role" and value is None:
                continue
            wanted = type(defaults[section][key])
            if isinstance(defaults[section][key], Mapping):
                fits = isinstance(value, Mapping)
            elif wanted in {int, float}:
                fits = type(value) in {int, float}
            else:
                fits = isinstance(value, wanted)
            if not fits:
                raise _refuse(where, f"is {type(value).__name__}, expected {wanted.__name__}")


def _check_grants(data: Mapping[str, Any]) -> None:
    for number, grant in enumerate(data.get("access", {}).get("grants", [])):
        where = f"access.grants[{number}]"
        if not isinstance(grant, Mapping):
            raise _refuse(where, "is not a table")
        for key in ("actor", "role"):
            if not isinstance(grant.get(key), str) or not grant[key].strip():
                raise _refuse(f"{where}.{key}", "is missing or not text")
        for key in ("not_before", "expires"):
            if grant.get(key) is not None and epoch_seconds(grant[key]) is None:
                raise _refuse(
                    f"{where}.{key}", f"is {grant[key]!r}, expected RFC 3339 with an offset"
                )


def merge_data(defaults: Mapping[str, Any], user: Mapping[str, Any] | None) -> dict[str, Any]:
    """The data in force: the user's tables merged into the defaults, key by key.

    Lists and plain values replace the default; tables merge. So one more role keeps the shipped
    roles, while ``purpose.prohibited`` is replaced as a whole.

    Args:
        defaults: The data of the bundle.
        user: What the organisation sets, or None.

    Returns:
        A new mapping that shares nothing with ``user``.

    Raises:
        ConfigurationError: A section or setting is unknown, of another type than the default,
            not writable as JSON, a grant lacks its actor, its role or a readable date, or a
            framework is not of the form that the rules evaluate.
    """
    if user is None:
        return copy.deepcopy(dict(defaults))
    if not isinstance(user, Mapping):
        raise _refuse("the whole", f"is {type(user).__name__}, expected a table")
    _check_names(defaults, user)
    merged = _over(defaults, user)
    try:
        canonical_input(merged)
    except PolicyEngineError as error:
        raise ConfigurationError(error.message, hint=_HINT) from error
    _check_grants(merged)
    if "frameworks" in user:
        check_frameworks(merged["frameworks"])
    return dict(merged)
