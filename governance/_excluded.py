"""Whether a trained model honours the columns that it must not learn from.

That a column has another name, or is dropped somewhere inside a pipeline, proves nothing either
way. So the model is asked: its predictions are compared before and after the values of an excluded
column are exchanged among rows. Where they move, the model uses the column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from affidavit._data import column_names
from affidavit._home import Home
from affidavit._read import Reader
from affidavit.lineage import fingerprint

_ROWS = 500


@dataclass(frozen=True, slots=True)
class ExcludedColumn:
    """What was found about one excluded column.

    Args:
        column: Its name.
        dataset: The dataset whose read excluded it.
        outcome: ``honoured``, ``violated``, or ``unverified`` where the model cannot be asked.
    """

    column: str
    dataset: str
    outcome: str

    def to_dict(self) -> dict[str, str]:
        """Return the finding, JSON-safe."""
        return {"column": self.column, "dataset": self.dataset, "outcome": self.outcome}


def check_excluded(home: Home, model: Any, frames: Iterable[Any]) -> list[ExcludedColumn]:
    """Check a model against the exclusions that came with the frames that it was trained on.

    Args:
        home: Whose ledger knows the reads of the frames.
        model: The trained model.
        frames: The data frames that the training function was given.
    """
    found: list[ExcludedColumn] = []
    for frame in frames:
        dataset, excluded = _exclusions(home, frame)
        found += [ExcludedColumn(c, dataset, _outcome(model, frame, c)) for c in excluded]
    return found


def _exclusions(home: Home, frame: Any) -> tuple[str, list[str]]:
    reader = Reader(home)
    for index in reader.evidence(str(fingerprint(frame).digest), "dataset"):
        predicate = reader.statement(index).predicate
        columns = [
            str(column)
            for item in predicate.get("obligations", [])
            if item.get("kind") == "exclude_as_feature"
            for column in item.get("columns", [])
        ]
        return str(predicate.get("name", "")), columns
    return "", []


def _outcome(model: Any, frame: Any, column: str) -> str:
    features = getattr(model, "feature_names_in_", None)
    if features is None:
        return "unverified"
    if column not in set(features):
        return "honoured"
    known = column_names(frame) or []
    if not set(features) <= set(known):
        return "unverified"
    import numpy as np
    import pandas as pd

    sample = pd.DataFrame({name: np.asarray(frame[name][:_ROWS]) for name in features})
    ask = getattr(model, "predict_proba", model.predict)
    try:
        before = np.asarray(ask(sample))
        for value in pd.unique(sample[column].dropna()):
            after = np.asarray(ask(sample.assign(**{column: value})))
            if not np.array_equal(before, after):
                return "violated"
    except (TypeError, ValueError, KeyError):
        return "unverified"
    return "honoured"
