"""Shapley values by evaluating coalitions with the model's own output.

All coalitions are evaluated where the budget allows it, which is exact (Shapley 1953). Otherwise
orderings are sampled in antithetic pairs, an ordering and its reverse (Castro, Gómez and Tejada
2009; Mitchell, Cooper, Frank and Holmes 2022, §3). The same orderings serve every row, so a row's
values do not depend on the rows beside it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from affidavit.errors import ExplanationError

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE = "affidavit coalitions-v1"
# Rows handed to the model at once: bounds the memory of a wide background.
_BATCH = 131_072


class Attribution(NamedTuple):
    """Values (n_samples, n_features, n_outputs), base (n_outputs,), and how they were found."""

    values: np.ndarray
    base: np.ndarray
    evaluations: int
    standard_error: float | None


class Game:
    """The interventional game: known columns from a row, the others from the background.

    Args:
        rows: Rows to explain, (n_samples, n_features).
        background: Background rows, (n_background, n_features).
        predict: The model's output for a frame, (n, n_outputs).
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        background: pd.DataFrame,
        predict: Callable[[pd.DataFrame], np.ndarray],
    ) -> None:
        both = pd.concat([rows, background], ignore_index=True)
        self.names = list(both.columns)
        self._columns = [both[name].array for name in self.names]
        self.n_rows, self.n_background = len(rows), len(background)
        self._predict = predict

    def evaluate(self, masks: np.ndarray) -> np.ndarray:
        """The mean output of each coalition for each row.

        Args:
            masks: Which columns are known, (n_masks, n_features).

        Returns:
            Shape (n_samples, n_masks, n_outputs).
        """
        total = self.n_rows * len(masks)
        step = max(1, _BATCH // self.n_background)
        other = self.n_rows + np.arange(self.n_background)
        parts = []
        for start in range(0, total, step):
            row, mask = np.divmod(np.arange(start, min(start + step, total)), len(masks))
            known = masks[mask]
            frame = pd.DataFrame(
                {
                    name: column.take(
                        np.where(known[:, j, None], row[:, None], other[None, :]).ravel()
                    )
                    for j, (name, column) in enumerate(zip(self.names, self._columns, strict=True))
                }
            )
            output = self._predict(frame)
            parts.append(output.reshape(len(row), self.n_background, -1).mean(axis=1))
        return np.concatenate(parts).reshape(self.n_rows, len(masks), -1)


def default_budget(n_features: int) -> int:
    """Coalitions per row where none is stated: ten antithetic pairs of orderings."""
    return max(2, 20 * n_features)


def least_budget(n_features: int) -> int:
    """The fewest coalitions that give an estimate: one antithetic pair of orderings."""
    return int(min(2**n_features, 2 * n_features))


def permutation_values(game: Game, *, budget: int, seed: int) -> Attribution:
    """Shapley values of the game, exact where 2**n_features coalitions fit the budget.

    Args:
        game: Rows, background and model.
        budget: Coalitions to evaluate per row, each averaged over the whole background.
        seed: Seeds the orderings.

    Returns:
        Values, base values, evaluations per row, and the largest standard error.

    Raises:
        ExplanationError: The budget does not cover one pair of orderings.
    """
    d = len(game.names)
    if budget < least_budget(d):
        raise ExplanationError(
            f"Expected a budget of at least {least_budget(d)} coalitions for {d} columns, "
            f"found {budget}."
        )
    if d < 63 and 2**d <= budget:
        outputs = game.evaluate(all_coalitions(d))
        return Attribution(shapley_from_coalitions(outputs), outputs[0, 0], 2**d, 0.0)
    pairs = max(1, (budget - 2) // (2 * (d - 1)))
    rng = np.random.default_rng(seed)
    orders = []
    for _ in range(pairs):
        order = rng.permutation(d)
        orders += [order, order[::-1]]
    return _from_orders(game, np.array(orders))


def _from_orders(game: Game, orders: np.ndarray) -> Attribution:
    d = orders.shape[1]
    rank = np.argsort(orders, axis=1)
    # The empty and the full coalition are shared; the others are the proper prefixes.
    prefixes = rank[:, None, :] < np.arange(1, d)[None, :, None]
    masks = np.concatenate([np.zeros((1, d), bool), np.ones((1, d), bool), prefixes.reshape(-1, d)])
    outputs = game.evaluate(masks)
    n, _, k = outputs.shape
    inner = outputs[:, 2:].reshape(n, len(orders), d - 1, k)
    ends = np.broadcast_to(outputs[:, None, :2], (n, len(orders), 2, k))
    steps = np.diff(np.concatenate([ends[:, :, :1], inner, ends[:, :, 1:]], axis=2), axis=2)
    gains = np.take_along_axis(steps, rank[None, :, :, None], axis=2)
    halves = gains.reshape(n, len(orders) // 2, 2, d, k).mean(axis=2)
    error = None
    if halves.shape[1] > 1:
        spread = halves.std(axis=1, ddof=1) / math.sqrt(halves.shape[1])
        error = float(spread.max())
    return Attribution(halves.mean(axis=1), outputs[0, 0], len(masks), error)


def all_coalitions(d: int) -> np.ndarray:
    """Every subset of d players, (2**d, d); row b holds the bits of b, lowest first."""
    return ((np.arange(2**d)[:, None] >> np.arange(d)) & 1).astype(bool)


def shapley_from_coalitions(outputs: np.ndarray) -> np.ndarray:
    """Shapley values from the outputs of all coalitions.

    Args:
        outputs: (n_samples, 2**d, n_outputs), in the order of `all_coalitions`.

    Returns:
        Values, (n_samples, d, n_outputs).
    """
    n, size, k = outputs.shape
    d = size.bit_length() - 1
    index = np.arange(size)
    members = all_coalitions(d).sum(axis=1)
    weight = np.array([1.0 / (d * math.comb(d - 1, s)) for s in range(d)])
    values = np.empty((n, d, k))
    for j in range(d):
        without = index[(index >> j) & 1 == 0]
        gain = outputs[:, without | (1 << j)] - outputs[:, without]
        values[:, j] = np.einsum("s,nsk->nk", weight[members[without]], gain)
    return values
