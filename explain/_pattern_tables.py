"""Exact values of a tree ensemble by patterns, in the columns that the caller calls players."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from affidavit.errors import ExplanationError, MissingDependencyError

if TYPE_CHECKING:
    from affidavit.explain._tree_model import TreeModel

ENGINE = "affidavit patterns-v1"
# Rows among which a leaf's patterns are looked up: as many as fit the second cache with them.
_CHUNK = 1024


def pattern_values(
    model: TreeModel,
    matrix: np.ndarray,
    background: np.ndarray | None,
    *,
    players: Sequence[int] | None = None,
    n_players: int | None = None,
) -> np.ndarray:
    """Shapley values of the players, exact for both semantics.

    Encoded columns that have one player come and go together, which is what the user's column does
    that they stem from.

    Args:
        model: The ensemble.
        matrix: Encoded rows as float64, (n_samples, n_encoded).
        background: Encoded background rows, or None for path-dependent values.
        players: The player of each encoded column, from 0; by default each column is one.
        n_players: How many there are; some may have no encoded column.

    Returns:
        Shape (n_samples, n_players, n_outputs); the same bits on any number of cores.

    Raises:
        ExplanationError: A path has more columns than a machine word has bits.
        MissingDependencyError: numba is not installed.
    """
    try:
        from affidavit.explain import _pattern_kernels as kernels
    except ModuleNotFoundError as error:
        raise MissingDependencyError("numba", "explain") from error
    if players is None:
        players, n_players = range(matrix.shape[1]), matrix.shape[1]
    player = np.asarray(players, dtype=np.int64)
    width = max(players, default=-1) + 1 if n_players is None else n_players
    most = min(model.levels - 1, width)
    if most > kernels.MOST_PLAYERS:
        raise ExplanationError(
            f"A path of the trees has {most} columns; patterns take at most {kernels.MOST_PLAYERS}."
        )
    out = np.zeros((len(matrix), width, model.trees.value.shape[1]))
    if most == 0 or not len(matrix):
        return out
    reference = np.zeros((matrix.shape[1], 0), dtype=np.int32)
    if background is not None:
        if not len(background):
            raise ExplanationError("Expected background rows to compare with, found none.")
        reference = model.ranks(background)
    ranks, weights = model.ranks(matrix), kernels.game_weights(most)
    n = len(matrix)

    def explain(first: int) -> None:
        kernels.explain_rows(
            ranks, first, min(_CHUNK, n - first), reference, model.trees, player,
            model.levels, most, weights, out,
        )  # fmt: skip

    starts = range(0, n, _CHUNK)
    threads = min(len(starts), len(os.sched_getaffinity(0)))
    if threads == 1:
        for first in starts:
            explain(first)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(explain, starts))
    return out
