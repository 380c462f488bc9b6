"""The JSON Schemas (draft 2020-12) of our own predicates, extension fields and records."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from affidavit.errors import NotFoundError
from affidavit.lineage import _predicates as types
from affidavit.lineage._record_kinds import RECORD_KINDS

_NAMES = {
    types.DATASET: "dataset",
    types.EXPLANATION: "explanation",
    types.APPROVAL: "approval",
    types.WAIVER: "waiver",
    types.TRUST_ROOT: "trust-root",
    types.GAP: "gap",
    types.REPORT: "report",
    types.ERASURE: "erasure",
    types.HOLD: "hold",
    types.BUNDLE: "bundle",
    types.RETENTION: "retention",
    types.MODEL_SIGNATURE: "model-signature",
    types.POLICY_BUNDLE: "policy-bundle",
    types.EVALUATION_FIELD: "evaluation",
    types.RUN_FIELD: "run",
    types.VERDICT_FIELD: "verdict",
    **{kind: kind for kind in RECORD_KINDS},
}


def schema_for(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a predicate type of ours, an extension field or a record kind.

    Args:
        kind: Such as ``urn:affidavit:dataset:v1`` or ``prediction``.

    Returns:
        The schema, the caller's own to change.

    Raises:
        NotFoundError: There is none; the standard predicate types have theirs elsewhere.
    """
    if kind not in _NAMES:
        raise NotFoundError(
            f"There is no schema of {kind!r}.", hint=f"There are {', '.join(sorted(_NAMES))}."
        )
    schema: dict[str, Any] = json.loads(_text(_NAMES[kind]))
    return schema


@cache
def _text(name: str) -> str:
    return files("affidavit.lineage").joinpath("schemas", f"{name}.json").read_text("utf-8")
