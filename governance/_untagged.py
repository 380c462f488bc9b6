"""Columns of a read that nobody tagged and that look as if they should be: noted, never decided."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Mapping
from typing import Any

from affidavit._settings import Settings
from affidavit.errors import AffidavitError, MissingDependencyError
from affidavit.policies import TagProposal, propose_tags


class UntaggedColumnsWarning(UserWarning):
    """A read gave columns without tags that look as if they held personal data."""


def proposals_for(
    settings: Settings, dataset: str, frame: Any, tags: Mapping[str, list[str]]
) -> list[dict[str, Any]] | None:
    """Return what the record of a read says of its untagged columns; None where nobody asks.

    Args:
        settings: Whether ``[datasets.NAME] detect`` is on.
        dataset: Its name.
        frame: What was read.
        tags: The tags of its columns.

    Raises:
        MissingDependencyError: The extra ``detect`` is not installed.
    """
    if settings.datasets.get(dataset, {}).get("detect") is not True:
        return None
    try:
        found = propose_tags(frame, today=dt.datetime.now(dt.UTC).date())
    except MissingDependencyError:
        raise
    except AffidavitError as error:
        return [{"column": "", "tag": "", "confidence": 0, "reasons": [error.message]}]
    asked = [item for item in found if not tags.get(item.column)]
    if asked:
        _warn(dataset, asked)
    return [item.to_dict() for item in asked]


def _warn(dataset: str, found: list[TagProposal]) -> None:
    named = dict.fromkeys(f"{item.column!r} ({item.tag})" for item in found)
    warnings.warn(
        f"Columns of {dataset!r} have no tags and look as if they should: {', '.join(named)}. "
        f"Nothing was decided by that. Tag them in affidavit.toml, if only as public.",
        UntaggedColumnsWarning,
        stacklevel=6,
    )
