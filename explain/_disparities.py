"""Differences and ratios between groups, with intervals, and a test of any gap at all.

The definitions are Fairlearn's (user guide, "Common fairness metrics"), except that a rate which is
undefined in a group leaves that group out and is said to, instead of counting as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from affidavit.explain._intervals import Estimate, fold_difference, fold_ratio, katz, newcombe
from affidavit.explain._rates import GroupCounts, interval_counts, rate_value

if TYPE_CHECKING:
    from collections.abc import Sequence

# Resampled cells held at once: bounds memory with many groups.
_CELLS = 4_000_000

# Metric, the rates it is the worst of, and whether it is a ratio.
DISPARITIES: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("demographic_parity_difference", ("selection_rate",), False),
    ("demographic_parity_ratio", ("selection_rate",), True),
    ("four_fifths_ratio", ("selection_rate",), True),
    ("equalized_odds_difference", ("true_positive_rate", "false_positive_rate"), False),
    ("equalized_odds_ratio", ("true_positive_rate", "false_positive_rate"), True),
    ("equal_opportunity_difference", ("true_positive_rate",), False),
    ("scoring_rate_ratio", ("scoring_rate",), True),
)


@dataclass(frozen=True)
class Disparity:
    """A disparity over the groups of one set of sensitive columns.

    Args:
        value: The disparity, or None where fewer than two groups have the rate, or a ratio is 0/0.
        low: Lower end of its interval.
        high: Upper end of its interval.
        interval: How the interval was found.
        lowest: The group with the lowest rate.
        highest: The group with the highest rate.
        undefined: Groups left out because the rate is undefined in them.
    """

    value: float | None
    low: float | None
    high: float | None
    interval: str
    lowest: tuple[str, ...] | None
    highest: tuple[str, ...] | None
    undefined: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Pairwise:
    """One group's selection rate against that of the group selected most.

    Args:
        feature: The sensitive columns.
        group: The group.
        reference: The group with the highest selection rate.
        difference: Group minus reference, with Newcombe's interval.
        ratio: Group over reference, with Katz's interval.
    """

    feature: tuple[str, ...]
    group: tuple[str, ...]
    reference: tuple[str, ...]
    difference: Estimate
    ratio: Estimate


def disparities(
    groups: Sequence[GroupCounts], *, z: float, confidence: float, resamples: int, seed: int
) -> dict[str, Disparity]:
    """Every disparity over one set of groups.

    Two groups have Newcombe's interval for a difference and Katz's for a ratio. More groups, and
    the worst of several rates, have the percentile interval of a multinomial resampling of each
    group's counts; a maximum over groups is biased upwards by chance, and so is that interval, so
    read it beside the permutation test.

    Args:
        groups: The groups of one set of columns.
        z: Standard normal quantile.
        confidence: The confidence level that `z` belongs to.
        resamples: Draws.
        seed: Seeds the draws.

    Returns:
        Metric to disparity, for the metrics whose rates were counted.
    """
    drawn: dict[str, np.ndarray] = {}
    found = {}
    for metric, rates, is_ratio in DISPARITIES:
        if any(groups[0].fraction(rate) is None for rate in rates):
            continue
        value, lowest, highest = _worst(groups, rates, is_ratio=is_ratio)
        undefined = tuple(
            g.group for g in groups if any(rate_value(g, rate) is None for rate in rates)
        )
        low = high = None
        interval = "none"
        if value is not None and len(groups) == 2 and len(rates) == 1:
            assert lowest is not None
            assert highest is not None
            low, high = _of_two(lowest, highest, rates[0], z, is_ratio=is_ratio)
            interval = "katz" if is_ratio else "newcombe"
        elif value is not None and resamples > 0:
            if not drawn:
                drawn = _resampled(groups, resamples, seed)
            low, high = _percentiles(drawn, rates, confidence, is_ratio=is_ratio)
            interval = "multinomial-percentile"
        found[metric] = Disparity(
            value,
            low,
            high,
            interval,
            None if lowest is None else lowest.group,
            None if highest is None else highest.group,
            undefined,
        )
    return found


def pairwise(groups: Sequence[GroupCounts], *, z: float) -> tuple[Pairwise, ...]:
    """Each group's selection rate against that of the group selected most.

    Args:
        groups: The groups of one set of columns.
        z: Standard normal quantile.

    Returns:
        One comparison per group other than the reference.
    """
    rated = [g for g in groups if rate_value(g, "selection_rate") is not None]
    if not rated:
        return ()
    reference = max(rated, key=lambda g: rate_value(g, "selection_rate") or 0.0)
    base = interval_counts(reference, "selection_rate")
    assert base is not None
    found = []
    for group in rated:
        if group is reference:
            continue
        own = interval_counts(group, "selection_rate")
        assert own is not None
        p, q = own[0] / own[1], base[0] / base[1]
        difference = Estimate(p - q, *newcombe(own, base, z), "newcombe")
        ratio = Estimate(None, None, None, "none")
        if q > 0:
            ratio = Estimate(p / q, *katz(own, base, z), "katz")
        found.append(Pairwise(group.feature, group.group, reference.group, difference, ratio))
    return tuple(found)


def p_any_gap(groups: Sequence[GroupCounts], *, resamples: int, seed: int) -> float | None:
    """The probability of so large a gap in selection rates if group and selection are unrelated.

    A permutation test with the maximum difference as its statistic: group sizes and the number
    selected are held, so that the selected fall as a multivariate hypergeometric draw. The observed
    table counts as one of the draws (Davison and Hinkley 1997, §4.3).

    Args:
        groups: The groups of one set of columns.
        resamples: Draws.
        seed: Seeds the draws.

    Returns:
        A p-value above 0, or None where fewer than two groups hold rows.
    """
    sizes = np.array([round(g.n * g.shrink) for g in groups], dtype=np.int64)
    chosen = np.array([round(g.selected * g.shrink) for g in groups], dtype=np.int64)
    kept = sizes > 0
    sizes, chosen = sizes[kept], np.minimum(chosen, sizes)[kept]
    if len(sizes) < 2 or resamples < 1:
        return None
    rng = np.random.default_rng([seed, 1])
    observed = np.ptp(chosen / sizes)
    above = 0
    step = max(1, _CELLS // len(sizes))
    for start in range(0, resamples, step):
        draws = rng.multivariate_hypergeometric(
            sizes, int(chosen.sum()), size=min(step, resamples - start), method="marginals"
        )
        above += int(np.count_nonzero(np.ptp(draws / sizes, axis=1) >= observed - 1e-12))
    return (1 + above) / (1 + resamples)


def _worst(
    groups: Sequence[GroupCounts], rates: tuple[str, ...], *, is_ratio: bool
) -> tuple[float | None, GroupCounts | None, GroupCounts | None]:
    found: list[tuple[float, GroupCounts, GroupCounts]] = []
    for rate in rates:
        values = [(v, g) for g in groups if (v := rate_value(g, rate)) is not None]
        if len(values) < 2:
            return None, None, None
        low, high = min(values, key=lambda p: p[0]), max(values, key=lambda p: p[0])
        if is_ratio and high[0] <= 0:
            return None, None, None
        value = low[0] / high[0] if is_ratio else high[0] - low[0]
        other = low[1] if low[1] is not high[1] else next(g for _, g in values if g is not high[1])
        found.append((value, other, high[1]))
    pick = min if is_ratio else max
    return pick(found, key=lambda f: f[0])


def _of_two(
    lowest: GroupCounts, highest: GroupCounts, rate: str, z: float, *, is_ratio: bool
) -> tuple[float, float]:
    low, high = interval_counts(lowest, rate), interval_counts(highest, rate)
    assert low is not None
    assert high is not None
    if is_ratio:
        return fold_ratio(*katz(low, high, z))
    return fold_difference(*newcombe(high, low, z))


def _resampled(groups: Sequence[GroupCounts], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Lowest and highest rate of each draw, (resamples, 2), per rate; NaN where undefined."""
    rng = np.random.default_rng([seed, 0])
    labelled = groups[0].tp is not None
    cells = np.array(
        [
            [g.tp, g.fp, g.tn, g.fn] if labelled else [0, g.selected, g.n - g.selected, 0]
            for g in groups
        ],
        dtype=np.float64,
    )
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-300)
    sizes = np.array([round(g.n * g.shrink) for g in groups], dtype=np.int64)
    scored = None
    if groups[0].above_median is not None:
        scored = np.array([(g.above_median or 0.0) / max(g.n, 1e-300) for g in groups])
    parts: dict[str, list[np.ndarray]] = {}
    step = max(1, _CELLS // (4 * len(groups)))
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), len(groups))
        tp, fp, tn, fn = np.moveaxis(rng.multinomial(sizes, shares, size=size), 2, 0)
        fractions = {"selection_rate": (tp + fp, sizes)}
        if labelled:
            fractions["true_positive_rate"] = (tp, tp + fn)
            fractions["false_positive_rate"] = (fp, fp + tn)
        if scored is not None:
            fractions["scoring_rate"] = (rng.binomial(sizes, np.clip(scored, 0, 1), size), sizes)
        for rate, (top, bottom) in fractions.items():
            parts.setdefault(rate, []).append(_ends(top, np.broadcast_to(bottom, size)))
    return {rate: np.concatenate(pieces) for rate, pieces in parts.items()}


def _ends(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    rates = np.full(bottom.shape, np.nan)
    np.divide(top, bottom, out=rates, where=bottom > 0)
    # fmin and fmax pass over NaN without a warning.
    return np.stack([np.fmin.reduce(rates, axis=1), np.fmax.reduce(rates, axis=1)], axis=1)


def _percentiles(
    drawn: dict[str, np.ndarray], rates: tuple[str, ...], confidence: float, *, is_ratio: bool
) -> tuple[float | None, float | None]:
    worst = None
    for rate in rates:
        low, high = drawn[rate].T
        if is_ratio:
            value = np.full(len(low), np.nan)
            np.divide(low, high, out=value, where=high > 0)
            worst = value if worst is None else np.minimum(worst, value)
        else:
            value = high - low
            worst = value if worst is None else np.maximum(worst, value)
    assert worst is not None
    worst = worst[np.isfinite(worst)]
    if not len(worst):
        return None, None
    tail = (1 - confidence) / 2
    low_end, high_end = np.quantile(worst, [tail, 1 - tail])
    return float(low_end), float(high_end)
