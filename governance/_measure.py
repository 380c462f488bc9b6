"""Signed measurements of a model: `aff.evaluate` and `aff.explain_model`."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit import explain as measurements
from affidavit._context import acting, present, run_id
from affidavit._frame_columns import column_names
from affidavit._home import Home
from affidavit._recording import keep_artifact, record
from affidavit._run import resource_of
from affidavit._settings import Settings
from affidavit.errors import FairnessError, FingerprintError, MissingDependencyError
from affidavit.explain import Explanation, FairnessResult, measure_fairness
from affidavit.lineage import (
    EVALUATION_FIELD,
    EXPLANATION,
    TEST_RESULT,
    Fingerprint,
    Resource,
    Statement,
    dump_json,
    fingerprint,
    timestamp,
)

_LARGEST_FAIRNESS = 40 * 1024  # of the 48 KiB that an entry of 64 KiB leaves to a statement


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model measured on labelled data.

    Args:
        metrics: Figures by name.
        fairness: Rates and disparities by group; None where none were asked for.
    """

    metrics: dict[str, float]
    fairness: FairnessResult | None


def evaluate(
    name: str,
    model: Any,
    X: Any,  # noqa: N803  # the field's name for a design matrix
    y: Any,
    *,
    sensitive: Sequence[str] | Any = (),
    positive: Any = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model's performance and fairness on labelled data and sign the result.

    Args:
        name: The system's name.
        model: A fitted model with ``predict``; ``predict_proba`` is used where it has it.
        X: Features, shape (n_samples, n_features), as the model takes them.
        y: Labels, shape (n_samples,).
        sensitive: Names of columns of ``X``; or the features themselves, a row a sample, as a
            frame, a named series or a mapping from name to column.
        positive: The label that counts as the positive outcome; the last class by default.
        seed: Seeds the resampling of the intervals.

    Returns:
        The metrics and, for a binary classifier with sensitive features, the fairness result.

    Raises:
        FairnessError: The inputs do not fit each other.
        NotInitialisedError: There is no Affidavit home.
    """
    settings, home = present()
    predicted, scores, chosen = _predict(model, X, positive)
    metrics = _metrics(y, predicted, scores, chosen, getattr(model, "classes_", None))
    fairness = None
    names: list[str] = []
    if not isinstance(sensitive, Sequence | Mapping) or len(sensitive) > 0:
        if chosen is None:
            raise FairnessError(
                "Fairness is measured for binary classifiers.",
                hint="Leave `sensitive` out, or name the `positive` label.",
            )
        groups = _groups(X, sensitive)
        names = list(groups)
        fairness = measure_fairness(
            _equals(y, chosen), _equals(predicted, chosen), groups, y_score=scores, seed=seed
        )
    data = resource_of(home, settings, X, f"{name} evaluation data")
    labels = _labels(y).digest
    predicate: dict[str, Any] = {
        "result": "PASSED",
        "configuration": [
            data.to_json(),
            Resource("labels", labels.value, labels.recipe).to_json(),
        ],
        EVALUATION_FIELD: {
            "name": name,
            "actor": acting(settings),
            "time": timestamp(),
            "run": run_id(),
            "n": len(_array(y)),
            "positive": str(chosen) if chosen is not None else "",
            "metrics": metrics,
            "sensitive": names,
            "fairness": _fairness_record(home, settings, name, fairness),
        },
    }
    statement = Statement(_subjects(home, name, model), TEST_RESULT, predicate)
    record(home, settings, f"evaluation of {name}", statement)
    return Evaluation(metrics, fairness)


def explain_model(
    name: str,
    model: Any,
    X: Any,  # noqa: N803  # the field's name for a design matrix
    *,
    background: Any = None,
    seed: int = 0,
) -> Explanation:
    """Compute SHAP values of a model's outputs, check that they add up, and sign them.

    Args:
        name: The system's name.
        model: A fitted model or pipeline.
        X: The rows to explain, shape (n_samples, n_features).
        background: Rows that stand for the average case, kept so that served decisions can be
            explained later; by default the first rows of ``X``.
        seed: Seeds whatever is sampled.

    Returns:
        The explanation, in the columns of ``X``.

    Raises:
        ExplanationError: The model cannot be explained, or the values do not add up.
        NotInitialisedError: There is no Affidavit home.
    """
    settings, home = present()
    base = background if background is not None else X
    result = measurements.explain_model(model, X, background=base, seed=seed)
    data = resource_of(home, settings, X, f"{name} explained data")
    values = _keep(home, settings, f"{name} explanation values", result.to_arrow())
    kept = _keep(home, settings, f"{name} background", _arrow(base, limit=1000))
    predicate = {
        "name": name,
        "actor": acting(settings),
        "time": timestamp(),
        "outcome": "additive",
        "run": run_id(),
        "seed": seed,
        "summary": result.summary(),
        "mean_absolute": result.mean_absolute(),
        "inputs": [data.to_json(), kept.to_json()],
        "outputs": [values.to_json()],
        "background": kept.digest,
    }
    record(
        home,
        settings,
        f"explanation of {name}",
        Statement(_subjects(home, name, model), EXPLANATION, predicate),
    )
    return result


def _subjects(home: Home, name: str, model: Any) -> tuple[Resource, ...]:
    from affidavit._read import Reader

    try:
        state = fingerprint(model).digest
    except FingerprintError:
        # Without a canonical state the model is known by its file alone.
        return (Resource(f"{name}.pickle", _pickled(model)),)
    found = Reader(home, settled=False).model_of_state(str(state))
    named = Resource(name, state.value, state.recipe)
    if found is None:
        return (named,)
    return (Resource(found[1], found[0].removeprefix("sha256:")), named)


def _pickled(model: Any) -> str:
    try:
        return hashlib.sha256(pickle.dumps(model, protocol=5)).hexdigest()
    except Exception as error:
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise FingerprintError(
            f"A {kind} can neither be pickled nor digested, so no evidence can name it: {error}.",
            hint="Measure a model that can be saved.",
        ) from error


def _predict(model: Any, X: Any, positive: Any) -> tuple[Any, Any, Any]:  # noqa: N803
    predicted = _array(model.predict(X))
    classes = list(getattr(model, "classes_", ()))
    if not classes:
        return predicted, None, positive
    if len(classes) > 2 and positive is None:
        return predicted, None, None
    chosen = classes[-1] if positive is None else positive
    matches = [number for number, label in enumerate(classes) if label == chosen]
    if not matches:
        raise FairnessError(
            f"The positive label {chosen!r} is not among the model's classes {classes}."
        )
    scores = None
    if hasattr(model, "predict_proba"):
        scores = _array(model.predict_proba(X))[:, matches[0]]
    return predicted, scores, chosen


def _check_labels(truth: Any, predicted: Any, classes: Any) -> None:
    if truth.ndim != 1 or len(truth) != len(predicted):
        raise FairnessError(
            f"Expected {len(predicted)} labels in one column, as there are predictions, found "
            f"the shape {truth.shape}."
        )
    labels = truth.tolist()
    missing = sum(label is None or label != label for label in labels)  # noqa: PLR0124  # NaN
    if missing:
        raise FairnessError(
            f"{missing} of {len(labels)} labels are missing.", hint="Drop those rows first."
        )
    if classes is not None and len(classes) and not set(labels) & set(_array(classes).tolist()):
        raise FairnessError(
            f"No label, such as {labels[0]!r}, is among the model's classes {list(classes)}.",
            hint="Give the labels in the form that the model was trained with.",
        )


def _metrics(y: Any, predicted: Any, scores: Any, positive: Any, classes: Any) -> dict[str, float]:
    from sklearn import metrics as sk

    truth = _array(y)
    _check_labels(truth, predicted, classes)
    if classes is None and positive is None:
        return {
            "r2": float(sk.r2_score(truth, predicted)),
            "mean_absolute_error": float(sk.mean_absolute_error(truth, predicted)),
            "root_mean_squared_error": float(sk.root_mean_squared_error(truth, predicted)),
        }
    found = {
        "accuracy": float(sk.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(sk.balanced_accuracy_score(truth, predicted)),
    }
    if positive is None:
        found["f1_macro"] = float(sk.f1_score(truth, predicted, average="macro"))
        return found
    actual, guess = truth == positive, predicted == positive
    found["precision"] = float(sk.precision_score(actual, guess, zero_division=0.0))
    found["recall"] = float(sk.recall_score(actual, guess, zero_division=0.0))
    found["f1"] = float(sk.f1_score(actual, guess, zero_division=0.0))
    if scores is not None:
        found["brier_score"] = float(sk.brier_score_loss(actual, scores))
        if 0 < int(actual.sum()) < len(actual):
            found["roc_auc"] = float(sk.roc_auc_score(actual, scores))
    return found


def _groups(X: Any, sensitive: Any) -> dict[str, Any]:  # noqa: N803
    if isinstance(sensitive, Mapping):
        return {str(name): column for name, column in sensitive.items()}
    if column_names(sensitive) is not None:
        return {name: sensitive[name] for name in column_names(sensitive) or ()}
    if isinstance(sensitive, str):
        sensitive = [sensitive]
    if not isinstance(sensitive, Sequence):
        name = getattr(sensitive, "name", None)
        if not isinstance(name, str) or not name:
            raise FairnessError(
                f"Expected sensitive features as names, a frame or a named series, found a "
                f"{type(sensitive).__name__}."
            )
        return {name: sensitive}
    known = column_names(X)
    missing = [name for name in sensitive if known is None or name not in known]
    if missing:
        raise FairnessError(
            f"The sensitive column {missing[0]!r} is not in the data.",
            hint="Give a frame of sensitive features where they are not among the features.",
        )
    return {name: X[name] for name in sensitive}


def _fairness_record(
    home: Home, settings: Settings, name: str, fairness: FairnessResult | None
) -> dict[str, Any] | None:
    """Return what the statement says of fairness; what is too large for it stands beside the log.

    The single features then stay in the statement, and ``artifact`` names the whole.
    """
    if fairness is None:
        return None
    whole = fairness.to_dict()
    content = dump_json(whole)
    if len(content) <= _LARGEST_FAIRNESS:
        return whole
    single = FairnessResult.from_counts(
        [item for item in fairness.counts if len(item.feature) == 1], **whole["parameters"]
    ).to_dict()
    if len(dump_json(single)) > _LARGEST_FAIRNESS:
        raise FairnessError(
            f"The sensitive features have {len(single['counts'])} groups, more than one statement "
            "can hold.",
            hint="Measure fewer features at a time, or put their values into bands.",
        )
    kept = keep_artifact(home, settings, f"fairness of {name}", content)
    return {**single, "artifact": f"sha256:{kept}"}


def _keep(home: Home, settings: Settings, name: str, table: Any) -> Resource:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink)
    content = sink.getvalue()
    note = {"rows": table.num_rows, "format": "parquet", "kept": True}
    return Resource(name, keep_artifact(home, settings, name, content), "file-bytes-v1", note)


def _arrow(frame: Any, *, limit: int) -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "frames") from error
    head = frame[:limit]
    if isinstance(head, pa.Table):
        return head
    if hasattr(head, "__arrow_c_stream__"):
        return pa.table(head)
    matrix = _array(head)
    return pa.table({f"x{n}": matrix[:, n] for n in range(matrix.shape[1])})


def _array(values: Any) -> Any:
    import numpy as np

    return np.asarray(values)


def _equals(values: Any, label: Any) -> Any:
    return (_array(values) == label).astype("int8")


def _labels(y: Any) -> Fingerprint:
    values = _array(y)
    # Text labels come as objects from some libraries and as text from others.
    return fingerprint(values.astype(str) if values.dtype.kind in "OUT" else values)
