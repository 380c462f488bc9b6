"""Confidence intervals of rates, of their differences and of their ratios, from counts alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Args:
        value: The number, or None where it is undefined.
        low: Lower end, or None where there is no interval.
        high: Upper end, or None where there is no interval.
        interval: How the interval was found.
    """

    value: float | None
    low: float | None
    high: float | None
    interval: str


def quantile(confidence: float) -> float:
    """The two-sided standard normal quantile of a confidence level."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: float, trials: float, z: float) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001, §3.1.1).

    Args:
        successes: Number of successes.
        trials: Number of trials, above 0.
        z: Standard normal quantile.

    Returns:
        Lower and upper end within 0 to 1.
    """
    rate = successes / trials
    shrunk = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrunk
    half = z / shrunk * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= trials else min(1.0, centre + half)
    return low, high


def newcombe(
    first: tuple[float, float], second: tuple[float, float], z: float
) -> tuple[float, float]:
    """The hybrid score interval of a difference of proportions (Newcombe 1998, method 10).

    Args:
        first: Successes and trials of the first group.
        second: Successes and trials of the second group.
        z: Standard normal quantile.

    Returns:
        Lower and upper end of first minus second.
    """
    p1, p2 = first[0] / first[1], second[0] / second[1]
    l1, u1 = wilson(*first, z)
    l2, u2 = wilson(*second, z)
    return (
        p1 - p2 - math.hypot(p1 - l1, u2 - p2),
        p1 - p2 + math.hypot(u1 - p1, p2 - l2),
    )


def katz(first: tuple[float, float], second: tuple[float, float], z: float) -> tuple[float, float]:
    """The log interval of a ratio of proportions (Katz, Baptista, Azen and Pike 1978, method C).

    Where a group has no success, or both nothing else, 0.5 is added to each of the four cells
    (Haldane 1956).

    Args:
        first: Successes and trials of the numerator.
        second: Successes and trials of the denominator.
        z: Standard normal quantile.

    Returns:
        Lower and upper end of first over second; the lower end is 0 where the numerator has no
        success.
    """
    (a, n), (b, m) = first, second
    corner = a <= 0 or b <= 0 or (a >= n and b >= m)
    add = 0.5 if corner else 0.0
    a2, n2, b2, m2 = a + add, n + 2 * add, b + add, m + 2 * add
    centre = math.log((a2 / n2) / (b2 / m2))
    half = z * math.sqrt(max(0.0, 1 / a2 - 1 / n2 + 1 / b2 - 1 / m2))
    low = 0.0 if a <= 0 else math.exp(centre - half)
    return low, math.exp(centre + half)


def fold_difference(low: float, high: float) -> tuple[float, float]:
    """The interval of |d| given the interval of d."""
    if low <= 0 <= high:
        return 0.0, max(-low, high)
    return min(abs(low), abs(high)), max(abs(low), abs(high))


def fold_ratio(low: float, high: float) -> tuple[float, float]:
    """The interval of min(r, 1/r) given the interval of r."""
    if low <= 1 <= high:
        return min(low, 1 / high), 1.0
    if low > 1:
        low, high = 1 / high, 1 / low
    return low, high
