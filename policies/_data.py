"""The data that tune the rules: shipped defaults, and what an organisation puts over them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from affidavit.errors import ConfigurationError, PolicyEngineError
from affidavit.policies._canonical import canonical_input
from affidavit.policies._frameworks import check_frameworks

__all__ = ["merge_data"]

_HINT = "Each section's schema is schema.json in its pack's folder, beside the shipped defaults."


def _over(base: Any, user: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(user, Mapping):
        merged = dict(base)
        for key, value in user.items():
            merged[key] = _over(base[key], value) if key in base else copy.deepcopy(value)
        return merged
    return copy.deepcopy(user)


def _refuse(place: str, found: str) -> ConfigurationError:
    return ConfigurationError(f"In the policy data, {place} {found}.", hint=_HINT)


def _check_names(
    defaults: Mapping[str, Any], schemas: Mapping[str, Any], user: Mapping[str, Any]
) -> None:
    unknown = sorted(set(user) - set(defaults))
    if unknown:
        known = ", ".join(sorted(defaults))
        raise _refuse(f"the section {unknown[0]!r}", f"is unknown; known are {known}")
    for section, content in user.items():
        if not isinstance(content, Mapping):
            raise _refuse(section, f"is {type(content).__name__}, expected a table")
        if "properties" not in schemas.get(section, {"properties": {}}):
            # What may be added is named by whoever adds it; the schema says what it holds.
            continue
        for key, value in content.items():
            where = f"{section}.{key}"
            settings = schemas.get(section, {}).get("properties", defaults[section])
            if key not in settings:
                known = ", ".join(sorted(settings))
                raise _refuse(f"the setting {where!r}", f"is unknown; known are {known}")
            if section not in schemas:
                _check_kind(where, defaults[section][key], value)


def _check_kind(where: str, default: Any, value: Any) -> None:
    """Where a pack has no schema, a value is of its default's kind."""
    wanted = type(default)
    if isinstance(default, Mapping):
        fits = isinstance(value, Mapping)
    elif wanted in {int, float}:
        fits = type(value) in {int, float}
    else:
        fits = isinstance(value, wanted)
    if not fits:
        raise _refuse(where, f"is {type(value).__name__}, expected {wanted.__name__}")


def merge_data(
    defaults: Mapping[str, Any],
    user: Mapping[str, Any] | None,
    schemas: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The data in force: the user's tables merged into the defaults, key by key.

    Lists and plain values replace the default; tables merge. So one more role keeps the shipped
    roles, while ``purpose.prohibited`` is replaced as a whole.

    Args:
        defaults: The data of the bundle.
        user: What the organisation sets, or None.
        schemas: The JSON Schema of each section that has one; what comes of the merge must fit it.

    Returns:
        A new mapping that shares nothing with ``user``.

    Raises:
        ConfigurationError: A section or setting is unknown, or what comes of the merge does not
            fit its schema (of another type than the default, where there is none) or cannot be
            written as JSON.
    """
    if user is None:
        return copy.deepcopy(dict(defaults))
    if not isinstance(user, Mapping):
        raise _refuse("the whole", f"is {type(user).__name__}, expected a table")
    known = schemas or {}
    _check_names(defaults, known, user)
    merged = _over(defaults, user)
    try:
        canonical_input(merged)
    except PolicyEngineError as error:
        raise ConfigurationError(error.message, hint=_HINT) from error
    if "frameworks" in user:
        # Before the schema, which says of a leaf that is unknown only that it fits no form.
        check_frameworks(merged["frameworks"])
    for section in sorted(set(user) & set(known)):
        # The library behind it takes a tenth of a second to import: paid only by who tunes.
        from affidavit.policies._data_schema import first_departure

        departure = first_departure(known[section], merged[section], section)
        if departure is not None:
            raise _refuse(*departure)
    return dict(merged)
