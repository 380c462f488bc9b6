"""Shapley values by their definition, one coalition at a time: the oracle of exact methods."""

from __future__ import annotations

import itertools
import math

import numpy as np


def shapley(worth, d):
    """The values of a game of d players (Shapley 1953).

    Args:
        worth: The worth of a coalition, a set of players.
        d: How many players there are.
    """
    values = []
    for j in range(d):
        others = [i for i in range(d) if i != j]
        total = 0.0
        for size in range(d):
            weight = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for known in itertools.combinations(others, size):
                total = total + weight * (worth({*known, j}) - worth(set(known)))
        values.append(total)
    return np.array(values)


def by_training_rows(trees, row, player, value):
    """What trees expect of a row when some players are known (Lundberg et al. 2020, Alg. 1).

    Args:
        trees: scikit-learn's trees.
        row: The encoded row.
        player: The player of each encoded column.
        value: What a leaf gives, a function of tree and node.
    """

    def expected(tree, node, known):
        if tree.children_left[node] < 0:
            return value(tree, node)
        left, right = tree.children_left[node], tree.children_right[node]
        column = tree.feature[node]
        if player[column] in known:
            to_left = np.float32(row[column]) <= tree.threshold[node]
            return expected(tree, left if to_left else right, known)
        weight = tree.weighted_n_node_samples
        share = weight[left] / weight[node]
        return share * expected(tree, left, known) + (1 - share) * expected(tree, right, known)

    return lambda known: np.mean([expected(tree, 0, known) for tree in trees])
