"""The result of explaining a model: attributions per row, in the user's own columns."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affidavit.errors import ExplanationError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

OutputSpace = Literal["probability", "margin", "value"]
Method = Literal[
    "tree-path-dependent", "tree-interventional", "linear-interventional", "permutation"
]
Aggregation = Literal["none", "one-player", "sum-of-encoded"]


@dataclass(frozen=True)
class Reason:
    """One column's part in one output of one row.

    Args:
        feature: The user's column.
        value: What the row holds there; None where it is missing.
        contribution: The attribution, in units of the explained output.
    """

    feature: str
    value: Any
    contribution: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions of a model's output to the user's columns, checked row by row.

    For every row, the attributions and the base value sum to the model's own output within
    `tolerance` (the efficiency axiom; Lundberg and Lee 2017, property 1).

    Args:
        values: Attributions, (n_samples, n_features), or (n_samples, n_features, n_outputs) for
            several outputs. A binary classifier has one output, that of `classes[1]`.
        base_values: The output before any column is known, (n_outputs,).
        outputs: The model's own output, (n_samples,) or (n_samples, n_outputs).
        feature_names: The user's columns, in the order of the second axis of `values`.
        output_space: What the outputs are: a probability, a margin (log-odds or decision
            function), or a predicted value.
        method: How the values were found.
        engine: What computed them, with its version.
        aggregation: How encoded columns became the user's: as one player each, which is exact, or
            summed, which is exact for linear models only.
        residual_max: Largest |sum of values + base - output| over rows and outputs.
        residual_p99: 99th percentile of the same.
        tolerance: What the residual was allowed to be.
        n_background: Background rows used; 0 where the method needs none.
        seed: Seeds the choice of background, of coalitions and of spot checks.
        classes: The classifier's classes, or None for a regression.
        data: The rows explained, in the user's columns.
        budget: Coalitions evaluated per row, for the permutation method.
        standard_error: Largest standard error of a value, for a sampled permutation estimate; 0
            where every coalition was evaluated; None for other methods, or a single permutation.
        spot_residual: Largest difference between the engine and an enumeration of all coalitions
            with the model's own output, on spot-checked rows; None where that was not possible.
        shap_residual: Largest difference from shap's own TreeExplainer on a few rows of this run,
            in encoded columns; None where it was not asked, or has no answer.
        notes: Faster methods that were tried and rejected, and why.
    """

    values: np.ndarray
    base_values: np.ndarray
    outputs: np.ndarray
    feature_names: tuple[str, ...]
    output_space: OutputSpace
    method: Method
    engine: str
    aggregation: Aggregation
    residual_max: float
    residual_p99: float
    tolerance: float
    n_background: int
    seed: int
    classes: tuple[Any, ...] | None
    data: pd.DataFrame = field(repr=False)
    budget: int | None = None
    standard_error: float | None = None
    spot_residual: float | None = None
    shap_residual: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.values, self.base_values, self.outputs):
            array.setflags(write=False)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def mean_absolute(self) -> dict[str, float]:
        """Mean |attribution| per column over rows and outputs, largest first.

        Returns:
            Column to mean, ties in the order of the columns.
        """
        axes = (0, 2) if self.values.ndim == 3 else (0,)
        means = np.abs(self.values).mean(axis=axes)
        order = np.argsort(-means, kind="stable")
        return {self.feature_names[i]: float(means[i]) for i in order}

    def to_arrow(self) -> pa.Table:
        """The values as an Arrow table, one column per user column, with the summary as metadata.

        With several outputs each cell is a fixed-size list, one number per output.

        Returns:
            A table of n_samples rows; the schema's metadata holds `affidavit.explanation`.
        """
        import pyarrow as pa

        if self.values.ndim == 2:
            arrays = [pa.array(self.values[:, j]) for j in range(self.values.shape[1])]
        else:
            width = self.values.shape[2]
            arrays = [
                pa.FixedSizeListArray.from_arrays(
                    pa.array(np.ascontiguousarray(self.values[:, j]).ravel()), width
                )
                for j in range(self.values.shape[1])
            ]
        note = json.dumps(self.summary(), sort_keys=True, allow_nan=False)
        table = pa.Table.from_arrays(arrays, names=list(self.feature_names))
        return table.replace_schema_metadata({"affidavit.explanation": note})

    def summary(self) -> dict[str, Any]:
        """What a signed statement says of this explanation: no row, no NaN, JSON types only.

        Returns:
            Method, engine, space, residuals, background, seed, and mean |attribution| per column.
        """
        return {
            "method": self.method,
            "engine": self.engine,
            "output_space": self.output_space,
            "aggregation": self.aggregation,
            "n_samples": len(self),
            "n_background": self.n_background,
            "seed": self.seed,
            "budget": self.budget,
            "standard_error": self.standard_error,
            "residual_max": self.residual_max,
            "residual_p99": self.residual_p99,
            "tolerance": self.tolerance,
            "spot_residual": self.spot_residual,
            "shap_residual": self.shap_residual,
            "classes": None if self.classes is None else [json_safe(c) for c in self.classes],
            "base_values": [float(v) for v in self.base_values],
            "feature_names": list(self.feature_names),
            "mean_absolute": self.mean_absolute(),
            "notes": list(self.notes),
        }

    def row(self, i: int, *, top: int | None = None, output: int | None = None) -> list[Reason]:
        """The reasons for one row's output, largest |contribution| first.

        Args:
            i: Which row, from 0.
            top: How many reasons; all by default.
            output: Which output, from 0; by default the only one, or the largest of this row.

        Returns:
            One reason per column, ties in the order of the columns.

        Raises:
            ExplanationError: There is no such row or output.
        """
        if not 0 <= i < len(self):
            raise ExplanationError(f"Expected a row from 0 to {len(self) - 1}, found {i}.")
        values = self.values[i]
        if values.ndim == 2:
            chosen = int(np.argmax(self.outputs[i])) if output is None else output
            if not 0 <= chosen < values.shape[1]:
                raise ExplanationError(
                    f"Expected an output from 0 to {values.shape[1] - 1}, found {chosen}."
                )
            values = values[:, chosen]
        elif output not in {None, 0}:
            raise ExplanationError(f"There is one output, numbered 0; found {output}.")
        order = np.argsort(-np.abs(values), kind="stable")[:top]
        row = self.data.iloc[i]
        return [
            Reason(self.feature_names[j], json_safe(row.iloc[j]), float(values[j])) for j in order
        ]


def json_safe(value: Any) -> Any:
    """A scalar as JSON can hold it: missing and non-finite become None, others their text.

    Args:
        value: A scalar of numpy, pandas or Python.

    Returns:
        None, a bool, an int, a finite float or a string.
    """
    if hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    text = str(value)
    return None if text in {"<NA>", "NaT", "nan"} else text
