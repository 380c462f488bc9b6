"""Shapley values of tree ensembles leaf by leaf, compiled.

A leaf is reached when every column on its path passes its conditions. So for one leaf a row is no
more than its *pattern*: which of the path's columns pass. The Shapley values of the leaf depend on
the pattern alone, and there are few patterns, so they are computed once for each and looked up.

Two games (Lundberg et al. 2020, §Methods), both of one form. With d columns on the path, o[j] = 1
where the row passes column j:

- *path-dependent*: an unknown column passes with the share r[j] of the training rows that did. The
  worth of a coalition S is the product of o[j] over S and of r[j] over the others, so

      phi[j] = (o[j] - r[j]) * integral over t in (0, 1) of the product over k != j
               of (r[k] (1 - t) + o[k] t),

  for the integral of t^s (1 - t)^(d-1-s) is s! (d-1-s)! / d!, the weight of a coalition of size s
  (Shapley 1953; the beta integral). A Gauss-Legendre rule of d/2 points is exact for it.
- *interventional*: unknown columns come from a background row. A background row that fails the
  columns A reaches the leaf with the row only if the row passes all of A; with a = |A| and b the
  number of columns that the row fails, which the background row must then all pass,

      phi[j] = (a - 1)! b! / (a + b)!    for j in A,
      phi[j] = -a! (b - 1)! / (a + b)!   for j that the row fails,

  and 0 otherwise, averaged over the background.

Each row adds up its leaves in one order, whichever rows are beside it: its values are the same bits
on any number of threads. The threads are Python's, for numba's own survive neither a fork nor two
callers at once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

# A pattern of more columns does not fit a word.
MOST_PLAYERS = 62


def _compiled(function: Any) -> Any:
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's can be written: compile in each process.
        return numba.njit(nogil=True)(function)


class Weights(NamedTuple):
    """Weights of the interventional game by a and b; points and weights of the rules by length."""

    gain: np.ndarray
    loss: np.ndarray
    points: np.ndarray
    shares: np.ndarray


class Path(NamedTuple):
    """For each level of the present path: its players, their shares, and how many they are."""

    players: np.ndarray
    shares: np.ndarray
    widths: np.ndarray


class Table(NamedTuple):
    """A hash table of patterns; entries of an older stamp count as empty."""

    keys: np.ndarray
    stamps: np.ndarray
    places: np.ndarray


class Work(NamedTuple):
    """Values of the patterns seen; partial products; what background rows fail, and how many."""

    kept: np.ndarray
    products: np.ndarray
    failing: np.ndarray
    counts: np.ndarray


def game_weights(most: int) -> Weights:
    """The weights of both games for paths of up to `most` players."""
    gain = np.zeros((most + 1, most + 1))
    loss = np.zeros((most + 1, most + 1))
    for a in range(most + 1):
        for b in range(most + 1 - a):
            if a:
                gain[a, b] = 1.0 / (a * math.comb(a + b, a))
            if b:
                loss[a, b] = 1.0 / (b * math.comb(a + b, b))
    rules = (most + 1) // 2
    points, shares = np.zeros((rules + 1, rules)), np.zeros((rules + 1, rules))
    for q in range(1, rules + 1):
        at, weight = np.polynomial.legendre.leggauss(q)
        points[q, :q], shares[q, :q] = (at + 1) / 2, weight / 2
    return Weights(gain, loss, points, shares)


@_compiled
def _ones(word):
    found = 0
    while word:
        word &= word - 1
        found += 1
    return found


@_compiled
def _by_shares(passes, d, shares, work, weights, out):
    """The path-dependent values of one pattern, (d,)."""
    for j in range(d):
        out[j] = 0.0
    rule = (d + 1) // 2
    for q in range(rule):
        t = weights.points[rule, q]
        product = weights.shares[rule, q]
        for k in range(d):
            work.products[k] = product
            product *= shares[k] * (1.0 - t) + (t if passes >> k & 1 else 0.0)
        product = 1.0
        for k in range(d - 1, -1, -1):
            out[k] += work.products[k] * product
            product *= shares[k] * (1.0 - t) + (t if passes >> k & 1 else 0.0)
    for j in range(d):
        out[j] *= (1.0 if passes >> j & 1 else 0.0) - shares[j]


@_compiled
def _by_background(passes, d, kinds, work, weights, out):
    """The interventional values of one pattern, (d,)."""
    for j in range(d):
        out[j] = 0.0
    b = d - _ones(passes)
    total = 0.0
    for i in range(kinds):
        fails = work.failing[i]
        if fails & ~passes:
            continue
        a = _ones(fails)
        total += work.counts[i] * weights.loss[a, b]
        up = work.counts[i] * weights.gain[a, b]
        j = 0
        while fails:
            if fails & 1:
                out[j] += up
            fails >>= 1
            j += 1
    for j in range(d):
        if not passes >> j & 1:
            out[j] -= total


@_compiled
def _slot(key, keys, stamps, stamp):
    """Where a pattern stands in a hash table, or may be put; stale entries count as empty."""
    mask = len(keys) - 1
    at = (key * np.int64(-7046029254386353131) >> 20) & mask
    while stamps[at] == stamp and keys[at] != key:
        at = (at + 1) & mask
    return at


@_compiled
def _descend(ranks, first, n, trees, node, child, bit, patterns, level):
    """The patterns of rows at a child, from those at its parent."""
    old, new = patterns[level - 1], patterns[level]
    f, t = trees.feature[node], trees.rank[node]
    to_left = child == trees.left[node]
    usual = child == trees.default[node]
    keep = ~bit
    if to_left:
        for i in range(n):
            v = ranks[f, first + i]
            new[i] = old[i] & (keep if v > t or (v < 0 and not usual) else -1)
    else:
        for i in range(n):
            v = ranks[f, first + i]
            new[i] = old[i] & (keep if (v >= 0 and v <= t) or (v < 0 and not usual) else -1)


@_compiled
def _step(trees, node, parent, path, level, player):
    """Take the step from a parent to its child: which bit its column has on the path."""
    d = path.widths[level - 1]
    for k in range(d):
        path.players[level, k] = path.players[level - 1, k]
        path.shares[level, k] = path.shares[level - 1, k]
    p = player[trees.feature[parent]]
    k = 0
    while k < d and path.players[level, k] != p:
        k += 1
    if k == d:
        path.players[level, k], path.shares[level, k] = p, 1.0
        d += 1
    path.shares[level, k] *= trees.share[node]
    path.widths[level] = d
    return np.int64(1) << k


@_compiled
def _distinct(patterns, n, full, table, stamp, found, counts):
    """The distinct patterns of failed columns and the share of rows that have each."""
    kinds = 0
    for i in range(n):
        fails = ~patterns[i] & full
        at = _slot(fails, table.keys, table.stamps, stamp)
        if table.stamps[at] != stamp:
            table.stamps[at], table.keys[at], table.places[at] = stamp, fails, kinds
            found[kinds], counts[kinds] = fails, 0.0
            kinds += 1
        counts[table.places[at]] += 1.0 / n
    return kinds


@_compiled
def _add_leaf(patterns, first, n, d, kinds, path, level, values, table, stamp, work, weights, out):
    """Add a leaf to each row, with one evaluation of the game for each distinct pattern."""
    full = (np.int64(1) << d) - 1
    known = 0
    for i in range(n):
        passes = patterns[i] & full
        at = _slot(passes, table.keys, table.stamps, stamp)
        if table.stamps[at] != stamp:
            table.stamps[at], table.keys[at], table.places[at] = stamp, passes, known
            if kinds:
                _by_background(passes, d, kinds, work, weights, work.kept[known])
            else:
                _by_shares(passes, d, path.shares[level], work, weights, work.kept[known])
            known += 1
        found = work.kept[table.places[at]]
        if len(values) == 1:
            for j in range(d):
                out[first + i, path.players[level, j], 0] += found[j] * values[0]
        else:
            for j in range(d):
                for c in range(len(values)):
                    out[first + i, path.players[level, j], c] += found[j] * values[c]


@_compiled
def explain_rows(ranks, first, n, reference, trees, player, levels, most, weights, out):
    """Add the values of every tree to some rows; other threads may do so with other rows.

    Args:
        ranks: Rows as ranks, (n_encoded, n_samples), -1 where a value is missing.
        first: The first row to explain.
        n: How many.
        reference: Background rows likewise; no rows for the path-dependent game.
        trees: The ensemble.
        player: The player of each encoded column, (n_encoded,).
        levels: Nodes on the longest path.
        most: Players on the longest path, at most `MOST_PLAYERS`.
        weights: What `game_weights(most)` gives.
        out: (n_samples, n_players, n_outputs), added to.
    """
    n_reference = reference.shape[1]
    patterns = np.zeros((levels, n), np.int64)
    others = np.zeros((levels, n_reference), np.int64)
    path = Path(
        np.zeros((levels, most), np.int64), np.ones((levels, most)), np.zeros(levels, np.int64)
    )
    size = 2
    while size < 2 * max(n, n_reference):
        size *= 2
    table = Table(np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64))
    work = Work(
        np.zeros((n, most)), np.zeros(most), np.zeros(n_reference, np.int64), np.zeros(n_reference)
    )
    waiting = np.zeros((2 * levels + 2, 3), np.int64)
    stamp, kinds = 0, 0
    for tree in range(len(trees.starts) - 1):
        top = 1
        waiting[0, 0], waiting[0, 1], waiting[0, 2] = trees.starts[tree], -1, 0
        patterns[0, :] = -1
        others[0, :] = -1
        path.widths[0] = 0
        while top:
            top -= 1
            node, parent, level = waiting[top, 0], waiting[top, 1], waiting[top, 2]
            if parent >= 0:
                bit = _step(trees, node, parent, path, level, player)
                _descend(ranks, first, n, trees, parent, node, bit, patterns, level)
                if n_reference:
                    _descend(reference, 0, n_reference, trees, parent, node, bit, others, level)
            if trees.left[node] >= 0:
                for child in (trees.right[node], trees.left[node]):
                    waiting[top, 0], waiting[top, 1], waiting[top, 2] = child, node, level + 1
                    top += 1
                continue
            d = path.widths[level]
            if d == 0:
                continue
            if n_reference:
                stamp += 1
                full = (np.int64(1) << d) - 1
                kinds = _distinct(
                    others[level], n_reference, full, table, stamp, work.failing, work.counts
                )
            stamp += 1
            _add_leaf(
                patterns[level], first, n, d, kinds, path, level, trees.value[node],
                table, stamp, work, weights, out,
            )  # fmt: skip
