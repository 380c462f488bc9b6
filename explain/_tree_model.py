"""A tree ensemble as arrays whose splits compare small integers.

The trees are read by shap's parser, which knows the formats of scikit-learn, XGBoost and LightGBM.
Each threshold is replaced by its rank among the thresholds of its column, and each input by how
many of them it exceeds: `x <= t` holds exactly when it holds for the ranks. So no cast of an input
to 32 bits, by shap or by us, sends a row to the wrong side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# Ranks at or above this are not exact in 32 bits.
_EXACT_IN_FLOAT32 = 2**24
MISSING = -1


class Trees(NamedTuple):
    """All nodes of all trees, one after the other; compiled code takes it as it is.

    Args:
        starts: The first node of each tree, and the end, (n_trees + 1,).
        feature: The encoded column that a node splits on, (n_nodes,).
        rank: The rank of its threshold; a row goes left where its own rank is not greater.
        left: Its left child; -1 in a leaf.
        right: Its right child; -1 in a leaf.
        default: The child that a missing value goes to.
        share: The share of its parent's training rows that went to a node; 1 at a root.
        value: What a leaf adds to the outputs, (n_nodes, n_outputs).
    """

    starts: np.ndarray
    feature: np.ndarray
    rank: np.ndarray
    left: np.ndarray
    right: np.ndarray
    default: np.ndarray
    share: np.ndarray
    value: np.ndarray


@dataclass(frozen=True, eq=False)
class TreeModel:
    """A tree ensemble, and how its inputs become ranks.

    Args:
        trees: Its nodes.
        offset: What is added to the sum of the leaves, (n_outputs,).
        levels: Nodes on the longest path.
        grid: For each column that is split on, its thresholds in order.
        singles: Whether the model casts its inputs to 32 bits before it compares them.
    """

    trees: Trees
    offset: np.ndarray
    levels: int
    grid: dict[int, np.ndarray]
    singles: bool

    def path_dependent_base(self) -> np.ndarray:
        """The output before any column is known, weighted by the training rows, (n_outputs,)."""
        trees = self.trees
        reach = np.ones(len(trees.left))
        here = trees.starts[:-1]
        while len(here):
            inner = here[trees.left[here] >= 0]
            for child in (trees.left[inner], trees.right[inner]):
                reach[child] = reach[inner] * trees.share[child]
            here = np.concatenate([trees.left[inner], trees.right[inner]])
        leaves = trees.left < 0
        return np.asarray(self.offset + reach[leaves] @ trees.value[leaves])

    def ranks(self, matrix: np.ndarray) -> np.ndarray:
        """Rows as ranks.

        Args:
            matrix: Encoded rows as float64, (n_samples, n_encoded).

        Returns:
            Shape (n_encoded, n_samples), 32-bit; -1 where a value is missing.
        """
        seen = matrix.astype(np.float32).astype(np.float64) if self.singles else matrix
        found = np.zeros(matrix.shape[::-1], dtype=np.int32)
        for feature, grid in self.grid.items():
            found[feature] = np.searchsorted(grid, seen[:, feature], side="left")
        found[np.isnan(matrix).T] = MISSING
        return found


def read_trees(ensemble: Any, *, singles: bool, second_class: bool = False) -> TreeModel:
    """Take the trees out of shap's `TreeEnsemble`.

    Args:
        ensemble: What `shap.TreeExplainer(model).model` is, made without background rows, which
            would replace the training rows' shares by their own.
        singles: Whether the model casts its inputs to 32 bits.
        second_class: Of two outputs, keep the second alone: a binary classifier's first is its
            complement.

    Raises:
        ValueError: A split has no order, or a column has too many thresholds.
    """
    if ensemble.threshold_types is not None and (np.asarray(ensemble.threshold_types) > 0).any():
        raise ValueError("categorical splits have no order to rank")
    starts = np.cumsum([0, *(len(tree.features) for tree in ensemble.trees)])
    left, right, default = (
        np.concatenate(
            [
                np.where(np.asarray(at) >= 0, np.asarray(at) + start, -1)
                for at, start in zip(
                    (getattr(tree, name) for tree in ensemble.trees), starts[:-1], strict=True
                )
            ]
        ).astype(np.int64)
        for name in ("children_left", "children_right", "children_default")
    )
    feature = np.concatenate([tree.features for tree in ensemble.trees]).astype(np.int64)
    # shap keeps the thresholds of its packed form in 32 bits; those of the single trees are whole.
    thresholds = np.concatenate([tree.thresholds for tree in ensemble.trees]).astype(np.float64)
    weight = np.concatenate([tree.node_sample_weight for tree in ensemble.trees])
    value = np.concatenate(
        [np.asarray(ensemble.values)[i, : len(t.features)] for i, t in enumerate(ensemble.trees)]
    )
    offset = np.broadcast_to(np.asarray(ensemble.base_offset, dtype=np.float64), value.shape[1])
    if second_class and value.shape[1] == 2:
        value, offset = value[:, 1:], offset[1:]
    inner = left >= 0
    grid: dict[int, np.ndarray] = {}
    rank = np.zeros(len(feature), dtype=np.int32)
    for column in np.unique(feature[inner]):
        at = inner & (feature == column)
        grid[int(column)] = np.unique(thresholds[at])
        if len(grid[int(column)]) >= _EXACT_IN_FLOAT32:
            raise ValueError("too many thresholds to rank exactly")
        rank[at] = np.searchsorted(grid[int(column)], thresholds[at])
    trees = Trees(
        starts.astype(np.int64),
        feature,
        rank,
        left,
        right,
        default,
        _shares(left, right, weight.astype(np.float64)),
        np.ascontiguousarray(value, dtype=np.float64),
    )
    return TreeModel(trees, offset, _levels(starts, left, right), grid, singles)


def _shares(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    share = np.ones(len(left))
    inner = np.flatnonzero(left >= 0)
    for child in (left[inner], right[inner]):
        # A node that no training row reached passes nothing on.
        whole = weight[inner]
        share[child] = np.divide(weight[child], whole, out=np.zeros(len(whole)), where=whole > 0)
    return share


def _levels(starts: np.ndarray, left: np.ndarray, right: np.ndarray) -> int:
    here, levels = starts[:-1], 0
    while len(here):
        levels += 1
        inner = here[left[here] >= 0]
        here = np.concatenate([left[inner], right[inner]])
    return levels
