"""Whether a trained model honours the columns that it must not learn from.

That a column has another name, or is dropped somewhere inside a pipeline, proves nothing either
way. So the model is asked: its predictions are compared with those after every row is given one and
the same value of the excluded column. Where they move, the model uses the column.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit._frame_columns import column_names
from affidavit._home import Home
from affidavit._read import Reader
from affidavit.lineage import fingerprint

_ROWS = 500
_VALUES = 20


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


def note_exclusions(home: Home, dataset: str, columns: Iterable[str]) -> None:
    """Remember the columns that a read in this process excluded from learning."""
    with _noted_lock:
        _noted.setdefault(home.folder, {}).update(dict.fromkeys(columns, dataset))


def check_excluded(home: Home, model: Any, frames: Iterable[Any]) -> list[ExcludedColumn]:
    """Check a model against the exclusions that came with the frames that it was trained on.

    A frame that the ledger knows has the exclusions of its own read. Any other one, such as a part
    of what was read, has those of every read in this process, by the names of its columns.

    Args:
        home: Whose ledger knows the reads of the frames.
        model: The trained model.
        frames: The data frames that the training function was given.
    """
    found: dict[tuple[str, str], ExcludedColumn] = {}
    for frame in frames:
        for column, dataset in _exclusions(home, frame).items():
            item = ExcludedColumn(column, dataset, _outcome(model, frame, column))
            known = found.setdefault((column, dataset), item)
            if _WORST.index(item.outcome) < _WORST.index(known.outcome):
                found[column, dataset] = item
    return list(found.values())


_WORST = ("violated", "unverified", "honoured")
_noted: dict[Path, dict[str, str]] = {}
_noted_lock = threading.Lock()


def _exclusions(home: Home, frame: Any) -> dict[str, str]:
    reader = Reader(home, settled=False)
    for index in reader.evidence(str(fingerprint(frame).digest), "dataset"):
        predicate = reader.statement(index).predicate
        return {
            str(column): str(predicate.get("name", ""))
            for item in predicate.get("obligations", [])
            if item.get("kind") == "exclude_as_feature"
            for column in item.get("columns", [])
        }
    names = set(column_names(frame) or ())
    with _noted_lock:
        noted = dict(_noted.get(home.folder, {}))
    return {column: dataset for column, dataset in noted.items() if column in names}


def _outcome(model: Any, frame: Any, column: str) -> str:
    features = getattr(model, "feature_names_in_", None)
    if features is None or not set(features) <= set(column_names(frame) or ()):
        # A feature that is not a column of the frame may be made from any of them.
        return "unverified"
    if column not in set(features):
        return "honoured"
    import numpy as np
    import pandas as pd

    sample = _sample(frame, [str(name) for name in features])
    ask = getattr(model, "predict_proba", model.predict)
    try:
        before = np.asarray(ask(sample))
        values = sample[column].dropna().drop_duplicates()
        step = max(1, len(values) // _VALUES)
        for value in values.sort_values()[::step]:
            same = pd.Series([value] * len(sample), sample.index, dtype=sample[column].dtype)
            changed = sample.assign(**{column: same})
            if not np.array_equal(before, np.asarray(ask(changed))):
                return "violated"
    except (TypeError, ValueError, KeyError, AttributeError):
        return "unverified"
    return "honoured"


def _sample(frame: Any, names: list[str]) -> Any:
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return frame[names].head(_ROWS)
    import numpy as np

    return pd.DataFrame({name: np.asarray(frame[name][:_ROWS]) for name in names})
