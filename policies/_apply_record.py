"""Obligations on served payloads: one record, or a batch of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affidavit.errors import ObligationError
from affidavit.policies._hidden import check_fields, value_fields
from affidavit.policies._obligations import (
    AppliedObligation,
    ColumnPlan,
    Plan,
    applied_record,
    check_columns,
    plan,
)
from affidavit.policies._rows import check_cells, check_kept, large_cells, rows_kept
from affidavit.policies._values import find_key, generalised, is_missing, masked, pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from affidavit.policies._decision import Obligation

__all__ = ["apply_to_record", "apply_to_records"]


def _changed(value: Any, column: ColumnPlan, name: str, keys: Mapping[str, bytes]) -> Any:
    if column.kind == "mask":
        return masked(value)
    try:
        if column.kind == "pseudonymise":
            return pseudonym(value, find_key(keys, column.parameters["key"]))
        return generalised(value, column.parameters, name)
    except (ValueError, ArithmeticError) as error:
        # Its message may quote the value, so it is not chained.
        raise ObligationError(
            f"The obligation {column.kind!r} cannot be met on the field {name!r}, which holds a "
            f"{type(value).__name__} ({type(error).__name__})."
        ) from None


def _verify(name: str, column: ColumnPlan, before: Any, after: Any) -> None:
    if is_missing(before):
        holds = is_missing(after)
    elif column.kind == "mask":
        holds = after == masked(before)
    elif column.kind == "pseudonymise":
        holds = isinstance(after, str) and len(after) == 64 and after != before
    else:
        holds = bool(generalised(after, column.parameters, name) == after)
    if not holds:
        raise ObligationError(
            f"The obligation {column.kind!r} does not hold on the field {name!r}.",
            hint="The data were not handed out.",
        )


def _check(features: Mapping[str, Any], merged: Plan) -> None:
    if not all(isinstance(name, str) for name in features):
        raise ObligationError("A record needs text as the names of its fields.")
    check_columns(list(features), merged)
    if merged.bound:
        nested = ((name, field) for name in features for field in value_fields(features[name]))
        check_fields(nested, merged.bound)


def _columns_met(
    features: Mapping[str, Any], merged: Plan, keys: Mapping[str, bytes]
) -> dict[str, Any]:
    result = dict(features)
    for name, column in merged.columns.items():
        if name not in features:
            continue
        if column.kind == "drop":
            del result[name]
            continue
        result[name] = _changed(features[name], column, name, keys)
        _verify(name, column, features[name], result[name])
    return result


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
            record is handed out then. ``suppress_small_cells`` cannot be met on one record, and
            ``keep_rows`` only by a record that stays.
    """
    asked = tuple(obligations)
    merged = plan(asked)
    if merged.cells is not None:
        raise ObligationError(
            f"The obligation 'suppress_small_cells' counts rows, and a single record cannot have "
            f"{merged.cells.k} alike.",
            hint="Serve a data frame or a list of records, or leave the obligation out of serving.",
        )
    _check(features, merged)
    if not rows_kept(1, lambda name: [features[name]], merged)[0]:
        why = "limits this to 0 rows" if merged.rows == 0 else "removes rows like it"
        raise ObligationError(
            f"The policy {why}, and a record is one.",
            hint="Nothing would be left to be served.",
        )
    result = _columns_met(features, merged, keys)
    return result, applied_record(asked, features, 1, 1)


def apply_to_records(
    batch: Sequence[Mapping[str, Any]],
    obligations: Iterable[Obligation],
    *,
    keys: Mapping[str, bytes],
) -> tuple[list[dict[str, Any]], tuple[AppliedObligation, ...]]:
    """Meet obligations on a batch of records, in the order of `apply_obligations`.

    Args:
        batch: The records; they are not changed. They need not have the same fields, except those
            that an obligation other than ``drop`` binds.
        obligations: What the decision asks.
        keys: Keys for pseudonyms, by name. No key appears in any result or error.

    Returns:
        The records that stay, and what was done.

    Raises:
        ObligationError: As for `apply_to_record`; more rows would go than the policy lets go.
    """
    asked = tuple(obligations)
    merged = plan(asked)
    for features in batch:
        _check(features, merged)
    kept = rows_kept(len(batch), lambda name: [features[name] for features in batch], merged)
    left = [features for features, stays in zip(batch, kept, strict=True) if stays]
    for name, wanted in merged.keeps.items():
        check_kept([features[name] for features in left], name, wanted)
    result = [_columns_met(features, merged, keys) for features in left]
    if merged.cells is not None:
        names = [name for name in merged.cells.columns if name not in _dropped(merged)]
        cells = [[features[name] for features in result] for name in names]
        large = large_cells(cells, len(result), merged.cells)
        result = [features for features, stays in zip(result, large, strict=True) if stays]
        cells = [[features[name] for features in result] for name in names]
        check_cells(cells, len(result), merged.cells)
    present = {name for features in batch for name in features}
    return result, applied_record(asked, present, len(batch), len(result))


def _dropped(merged: Plan) -> set[str]:
    return {name for name, column in merged.columns.items() if column.kind == "drop"}
