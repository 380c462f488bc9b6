"""Obligations on one served payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affidavit.errors import ObligationError
from affidavit.policies._obligations import (
    AppliedObligation,
    check_columns,
    merge_obligations,
    plan,
)
from affidavit.policies._values import find_key, generalised, is_missing, masked, pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from affidavit.policies._decision import Obligation

__all__ = ["apply_to_record"]


def _verify(name: str, kind: str, before: Any, after: Any) -> None:
    if is_missing(before):
        holds = is_missing(after)
    elif kind == "mask":
        holds = after == masked(before)
    elif kind == "pseudonymise":
        holds = isinstance(after, str) and len(after) == 64 and after != before
    else:
        holds = type(after) is type(before) or isinstance(after, float | str)
    if not holds:
        raise ObligationError(f"The obligation {kind!r} does not hold on the field {name!r}.")


def apply_to_record(
    features: Mapping[str, Any],
    obligations: Iterable[Obligation],
    *,
    keys: Mapping[str, bytes],
) -> tuple[dict[str, Any], tuple[AppliedObligation, ...]]:
    """Meet obligations on one record, and verify that they hold.

    Args:
        features: The record, by field; it is not changed.
        obligations: What the decision asks.
        keys: Keys for pseudonyms, by name. No key appears in any result or error.

    Returns:
        A new record, and what was done. ``exclude_as_feature`` and the caller's flags change
        nothing and are returned.

    Raises:
        ObligationError: An obligation is unknown, cannot be met, or does not hold afterwards; no
            record is handed out then.
    """
    asked = tuple(obligations)
    merged = plan(asked)
    if not all(isinstance(name, str) for name in features):
        raise ObligationError("A record needs text as the names of its fields.")
    check_columns(list(features), merged)
    if merged.rows == 0:
        raise ObligationError("The policy limits this to 0 rows, and a record is one.")
    result = dict(features)
    for name, column in merged.columns.items():
        if name not in features:
            continue
        value = features[name]
        if column.kind == "drop":
            del result[name]
            continue
        if column.kind == "mask":
            result[name] = masked(value)
        elif column.kind == "pseudonymise":
            result[name] = pseudonym(value, find_key(keys, column.parameters["key"]))
        else:
            result[name] = generalised(value, column.parameters, name)
        _verify(name, column.kind, value, result[name])
    flags = set(merged.flags)
    applied = tuple(
        AppliedObligation(
            obligation.kind,
            tuple(name for name in obligation.columns if name in features),
            obligation.parameters,
            1,
            1,
            for_caller=obligation.kind in flags,
        )
        for obligation in merge_obligations(asked)
    )
    return result, applied
