"""Checks of attributions against the model's own output."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from affidavit.explain._permutation import all_coalitions, shapley_from_coalitions

if TYPE_CHECKING:
    from collections.abc import Callable

_SPOT_ROWS = 3
_SPOT_COLUMNS = 8
# Relative to the scale of the output: what an engine's arithmetic may lose.
_RELATIVE = {"double": 1e-8, "single": 1e-6, "model-single": 1e-5, "permutation": 1e-6}


class Residuals(NamedTuple):
    """How far attributions and base value are from the model's output."""

    largest: float
    p99: float
    worst_row: int


def tolerance(arithmetic: str, outputs: np.ndarray, base: np.ndarray) -> float:
    """The residual that is allowed, in units of the output.

    Args:
        arithmetic: `double`, `single` (shap's interventional leaves have 32 bits), `model-single`
            (the model itself sums in 32 bits) or `permutation`.
        outputs: The model's outputs.
        base: The base values.

    Returns:
        A relative allowance times the largest output, and at least times 1.
    """
    scale = max(1.0, float(np.abs(outputs).max()), float(np.abs(base).max()))
    return _RELATIVE[arithmetic] * scale


def residuals(values: np.ndarray, base: np.ndarray, outputs: np.ndarray) -> Residuals:
    """|sum of values + base - output| over every row and output.

    Args:
        values: (n_samples, n_features, n_outputs).
        base: (n_outputs,).
        outputs: (n_samples, n_outputs).

    Returns:
        The largest, the 99th percentile, and the row of the largest; infinite where not a number.
    """
    found = np.abs(values.sum(axis=1) + base - outputs)
    found = np.where(np.isfinite(found), found, np.inf)
    worst = found.max(axis=1)
    p99 = float(np.percentile(found, 99, method="higher"))
    return Residuals(float(worst.max()), p99, int(worst.argmax()))


def spot_residual(
    matrix: np.ndarray,
    background: np.ndarray,
    engine: Callable[[np.ndarray, np.ndarray], np.ndarray],
    score: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
) -> float | None:
    """The engine against an enumeration of all coalitions with the model's own output.

    Sums alone do not show a wrong interventional value: an engine may route the masked rows
    wrongly and the whole ones rightly. So rows are explained against a single background row that
    differs from them in few columns, for which every coalition can be evaluated.

    Args:
        matrix: Encoded rows, (n_samples, n_encoded).
        background: Encoded background rows.
        engine: Rows and background to values, (n, n_encoded, n_outputs).
        score: Encoded rows to the model's output, (n, n_outputs).
        seed: Seeds the choice of rows and columns.

    Returns:
        The largest difference, or None where no background row differs from the rows.
    """
    rng = np.random.default_rng([seed, 1])
    largest: float | None = None
    for i in rng.choice(len(matrix), size=min(_SPOT_ROWS, len(matrix)), replace=False):
        row, other = matrix[i], background[rng.integers(len(background))]
        differing = np.flatnonzero(~((row == other) | (np.isnan(row) & np.isnan(other))))
        if not len(differing):
            continue
        whole = np.abs(engine(row[None], other[None])[0]).sum(axis=1)
        # Half of the columns are those that matter most, the others are drawn.
        ranked = differing[np.argsort(-whole[differing], kind="stable")]
        first, rest = ranked[: _SPOT_COLUMNS // 2], ranked[_SPOT_COLUMNS // 2 :]
        drawn = rng.choice(rest, size=min(len(rest), _SPOT_COLUMNS // 2), replace=False)
        chosen = np.concatenate([first, drawn])
        masked = row.copy()
        masked[chosen] = other[chosen]
        hybrids = np.repeat(masked[None], 2 ** len(chosen), axis=0)
        hybrids[:, chosen] = np.where(all_coalitions(len(chosen)), row[chosen], masked[chosen])
        expected = np.zeros((len(row), score(row[None]).shape[1]))
        expected[chosen] = shapley_from_coalitions(score(hybrids)[None])[0]
        found = engine(row[None], masked[None])[0]
        gap = np.abs(found - expected)
        worst = float(np.where(np.isfinite(gap), gap, np.inf).max())
        largest = worst if largest is None else max(largest, worst)
    return largest
