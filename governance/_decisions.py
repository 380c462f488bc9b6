"""One served decision, looked up, opened and explained after the fact."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from affidavit._context import acting, present
from affidavit._evidence import included_entry, verified_statement
from affidavit._home import Home
from affidavit._models import unpickle
from affidavit._named_keys import NamedKeys
from affidavit._obliged import output_met
from affidavit._policy import Ruling, enforce, unmet
from affidavit._question import Question
from affidavit._read import Reader
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit._spools import settle
from affidavit.errors import (
    ExplanationError,
    NotFoundError,
    ObligationError,
    VerificationError,
)
from affidavit.lineage import (
    check_disclosures,
    new_id,
    record_bytes,
    timestamp,
)


@dataclass(frozen=True, slots=True)
class ServedDecision:
    """A served prediction with its personal data disclosed and checked against the log.

    Args:
        id: The prediction's id.
        entry: Its log index.
        record: The record in the log.
        features: The disclosed features.
        output: The disclosed output.
        checked_root: The root, in hex, of the checkpoint that the record was checked against.
    """

    id: str
    entry: int
    record: Mapping[str, Any]
    features: Mapping[str, Any]
    output: Any
    checked_root: str


@dataclass(frozen=True, slots=True)
class DecisionExplanation:
    """Why a model gave the output that it gave.

    Args:
        decision: The decision.
        reasons: Feature, value and contribution, the strongest first.
        base_value: The average output over the background.
        output: The model's output in the space that the contributions are in.
        output_space: ``probability``, ``margin`` or ``value``.
        method: How the contributions were computed.
        residual: How far base value and contributions are from the output, at most.
        background: The digest of the background.
    """

    decision: ServedDecision
    reasons: tuple[Mapping[str, Any], ...]
    base_value: float
    output: float
    output_space: str
    method: str
    residual: float
    background: str


def disclose_decision(identifier: str) -> ServedDecision:
    """Return a served prediction with its features and output; the read itself is recorded.

    Args:
        identifier: The prediction's id.

    Raises:
        NotFoundError: There is no such prediction, or its personal data was erased.
        VerificationError: The record or the data are not what was logged.
        PolicyDenied: The policy does not let this person read it.
    """
    settings, home = present()
    return _disclose(home, settings, identifier)


def explain_decision(identifier: str) -> DecisionExplanation:
    """Explain a served prediction from its record, the kept model and the kept background.

    Args:
        identifier: The prediction's id.

    Raises:
        NotFoundError: The prediction, its data, its model or a background is missing.
        VerificationError: One of them is not what was logged.
        ExplanationError: The contributions cannot be computed or do not add up.
        PolicyDenied: The policy does not let this person read it.
    """
    from affidavit.explain import explain_model

    settings, home = present()
    decision = _disclose(home, settings, identifier)
    digest = str(decision.record.get("model_digest", ""))
    model = unpickle(home, digest)
    background, kept = _background(home, digest)
    row = _frame_like(background, decision.features)
    result = explain_model(model, row, background=background)
    reasons = tuple(
        {"feature": r.feature, "value": r.value, "contribution": r.contribution}
        for r in result.row(0)
    )
    return DecisionExplanation(
        decision,
        reasons,
        float(result.base_values.reshape(-1)[0]),
        float(result.outputs.reshape(-1)[0]),
        result.output_space,
        result.method,
        float(result.residual_max),
        kept,
    )


def _disclose(home: Home, settings: Settings, identifier: str) -> ServedDecision:
    settle(home)
    found = Reader(home).prediction(identifier)
    index, entry = found.index, found.record or {}
    question = Question(
        "affidavit/disclose",
        "record.disclose",
        "record",
        identifier,
        str(entry.get("model_digest", "")),
        "audit",
    )
    ruling = enforce(home, settings, question)
    _, checkpoint, _ = included_entry(home, index)
    payload = home.ledger.payload(identifier)
    if payload is None:
        raise NotFoundError(
            f"The personal data of prediction {identifier} is not kept any more.",
            hint="It was erased; the record and its proof remain.",
        )
    fields = check_disclosures(home.vault.open(payload), entry.get("fields"))
    features = {
        name.removeprefix("features."): value
        for name, value in fields.items()
        if name.startswith("features.")
    }
    features, output = _shown(home, settings, question, ruling, (features, fields.get("output")))
    access = {
        "id": new_id(),
        "time": timestamp(),
        "actor": acting(settings),
        "action": "disclose",
        "object": identifier,
        "decision": ruling.id,
    }
    record(home, settings, f"disclosure of {identifier}", record_bytes("access", access))
    return ServedDecision(identifier, index, entry, features, output, checkpoint.root.hex())


def _shown(
    home: Home,
    settings: Settings,
    question: Question,
    ruling: Ruling,
    opened: tuple[dict[str, Any], Any],
) -> tuple[dict[str, Any], Any]:
    """Return features and output as the policy lets them be seen.

    Which fields there are shows only when the payload is open. Where one of them is declared in
    some dataset, the policy is asked about them too, before anyone sees them.
    """
    features, output = opened
    names = {*features, *(output if isinstance(output, dict) else ())}
    declared: dict[str, list[str]] = {}
    for dataset in settings.datasets:
        for column, tags in settings.column_tags(dataset).items():
            if column in names:
                declared[column] = sorted({*declared.get(column, []), *tags})
    rulings = [ruling]
    if declared:
        columns = {name: declared.get(name, []) for name in sorted(names)}
        question = replace(question, columns=columns)
        rulings.append(enforce(home, settings, question))
    asked = [item for one in rulings for item in one.decision.obligations]
    try:
        shown = output_met((features, output), asked, NamedKeys(home), frozenset())
    except ObligationError as error:
        if settings.mode == "enforce":
            raise unmet(question, rulings[-1], error, acting(settings)) from error
        return opened
    return shown[0], shown[1]


def _background(home: Home, digest: str) -> tuple[Any, str]:
    import pyarrow.parquet as pq

    for index in Reader(home).evidence(digest, "explanation"):
        kept = verified_statement(home, index).predicate.get("background")
        if isinstance(kept, str):
            table = pq.read_table(io.BytesIO(home.artifacts.get(kept)))
            return table.to_pandas(), kept
    raise NotFoundError(
        f"No explanation of the model {digest[:19]}… is in the ledger, so there is no background.",
        hint="Call aff.explain_model(name, model, X) once after training.",
    )


def _frame_like(background: Any, features: Mapping[str, Any]) -> Any:
    import pandas as pd

    missing = [name for name in background.columns if name not in features]
    if missing:
        raise ExplanationError(
            f"The prediction was made without the feature {missing[0]!r} that the model needs.",
            hint="Serve features under the names that the model was trained with.",
        )
    row = pd.DataFrame([{name: features[name] for name in background.columns}])
    try:
        return row.astype(background.dtypes.to_dict())
    except (TypeError, ValueError) as error:
        raise VerificationError(
            f"The features do not fit the types that the model was explained with: {error}."
        ) from error
