"""Counts per group, the signed primitive, and the rates that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.errors import FairnessError
from affidavit.explain._intervals import Estimate, wilson

if TYPE_CHECKING:
    from collections.abc import Iterable

MISSING = "(missing)"

RATES = (
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "false_negative_rate",
    "true_negative_rate",
    "precision",
    "accuracy",
    "base_rate",
    "scoring_rate",
)


@dataclass(frozen=True)
class GroupCounts:
    """What was counted in one group; every metric is a function of such counts.

    Args:
        feature: The sensitive columns whose values make the group.
        group: The group's value in each of them, as text; `(missing)` where there was none.
        n: Rows, or the sum of their weights.
        tp: True positives; None, as the next three, where no true labels were given.
        fp: False positives.
        tn: True negatives.
        fn: False negatives.
        selected: Positive predictions.
        above_median: Rows scoring above the median of all rows; None where no score was given.
        effective: Kish's effective sample size (1965, §11.7), the square of the sum of the weights
            over the sum of their squares; None where rows are not weighted.
    """

    feature: tuple[str, ...]
    group: tuple[str, ...]
    n: float
    tp: float | None
    fp: float | None
    tn: float | None
    fn: float | None
    selected: float
    above_median: float | None = None
    effective: float | None = None

    def fraction(self, rate: str) -> tuple[float, float] | None:
        """Numerator and denominator of a rate, or None where the counts do not hold it.

        Args:
            rate: One of the names in `RATES`.

        Returns:
            Numerator and denominator; the denominator may be 0.
        """
        if rate == "selection_rate":
            return self.selected, self.n
        if rate == "scoring_rate":
            return None if self.above_median is None else (self.above_median, self.n)
        tp, fp, tn, fn = self.tp, self.fp, self.tn, self.fn
        if tp is None or fp is None or tn is None or fn is None:
            return None
        return {
            "true_positive_rate": (tp, tp + fn),
            "false_positive_rate": (fp, fp + tn),
            "false_negative_rate": (fn, tp + fn),
            "true_negative_rate": (tn, fp + tn),
            "precision": (tp, tp + fp),
            "accuracy": (tp + tn, self.n),
            "base_rate": (tp + fn, self.n),
        }[rate]

    @property
    def shrink(self) -> float:
        """What a count is multiplied with before it enters an interval: 1 without weights."""
        if self.effective is None or self.n <= 0:
            return 1.0
        return self.effective / self.n

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON types."""
        return {
            "feature": list(self.feature),
            "group": list(self.group),
            "n": self.n,
            "tp": self.tp,
            "fp": self.fp,
            "tn": self.tn,
            "fn": self.fn,
            "selected": self.selected,
            "above_median": self.above_median,
            "effective": self.effective,
        }


@dataclass(frozen=True)
class GroupRates:
    """The rates of one group.

    Args:
        feature: The sensitive columns whose values make the group.
        group: The group's value in each of them.
        n: Rows, or the sum of their weights.
        suppressed: The group is smaller than the smallest cell that may be shown.
        rates: Rate to estimate; an undefined rate has the value None, never 0.
    """

    feature: tuple[str, ...]
    group: tuple[str, ...]
    n: float
    suppressed: bool
    rates: dict[str, Estimate]


def rate_value(counts: GroupCounts, rate: str) -> float | None:
    """A rate of one group, or None where its denominator is 0 or it was not counted."""
    fraction = counts.fraction(rate)
    if fraction is None or fraction[1] <= 0:
        return None
    return fraction[0] / fraction[1]


def interval_counts(counts: GroupCounts, rate: str) -> tuple[float, float] | None:
    """Successes and trials of a rate as an interval takes them, or None where undefined."""
    fraction = counts.fraction(rate)
    if fraction is None or fraction[1] <= 0:
        return None
    return fraction[0] * counts.shrink, fraction[1] * counts.shrink


def group_rates(counts: GroupCounts, *, z: float, min_cell: float) -> GroupRates:
    """Every rate of one group with its Wilson interval.

    Args:
        counts: The group's counts.
        z: Standard normal quantile of the interval.
        min_cell: Groups smaller than this are marked as suppressed.

    Returns:
        The rates that were counted.
    """
    found = {}
    for rate in RATES:
        if counts.fraction(rate) is None:
            continue
        trials = interval_counts(counts, rate)
        low, high = (None, None) if trials is None else wilson(*trials, z)
        found[rate] = Estimate(rate_value(counts, rate), low, high, "wilson")
    return GroupRates(counts.feature, counts.group, counts.n, counts.n < min_cell, found)


def check_counts(counts: Iterable[GroupCounts]) -> tuple[GroupCounts, ...]:
    """The same counts, if they are counts and their totals agree between the sets of columns.

    Args:
        counts: As measured, or as read from a record.

    Returns:
        The counts as a tuple.

    Raises:
        FairnessError: A number is negative or does not add up, a group repeats, or there is none.
    """
    checked = tuple(counts)
    if not checked:
        raise FairnessError("Expected at least one group, found none.")
    totals: dict[tuple[str, ...], list[float]] = {}
    seen = set()
    for row in checked:
        where = f"group {row.group} of {row.feature}"
        if len(row.group) != len(row.feature) or not row.feature:
            raise FairnessError(f"Expected one value per sensitive column in {where}.")
        if (row.feature, row.group) in seen:
            raise FairnessError(f"Expected each group once, found {where} again.")
        seen.add((row.feature, row.group))
        _check_row(row, where)
        total = totals.setdefault(row.feature, [0.0, 0.0])
        total[0] += row.n
        total[1] += row.selected
    first = next(iter(totals.values()))
    for feature, total in totals.items():
        if not all(_close(a, b) for a, b in zip(total, first, strict=True)):
            raise FairnessError(
                f"The groups of {feature} hold {total[0]:g} rows with {total[1]:g} selected, where "
                f"the first set of columns holds {first[0]:g} with {first[1]:g}."
            )
    return checked


def _check_row(row: GroupCounts, where: str) -> None:
    cells = [row.tp, row.fp, row.tn, row.fn]
    given = [c for c in cells if c is not None]
    numbers = [row.n, row.selected, *given]
    numbers += [x for x in (row.above_median, row.effective) if x is not None]
    if any(isinstance(x, bool) or not x >= 0 or x == float("inf") for x in numbers):
        raise FairnessError(f"Expected counts of 0 or more in {where}, found {numbers}.")
    if given and len(given) != len(cells):
        raise FairnessError(f"Expected all of tp, fp, tn and fn or none of them in {where}.")
    if row.selected > row.n and not _close(row.selected, row.n):
        raise FairnessError(f"Expected at most n selected in {where}, found {row.selected:g}.")
    if row.tp is None or row.fp is None:
        return
    if not _close(sum(given), row.n) or not _close(row.tp + row.fp, row.selected):
        raise FairnessError(
            f"Expected tp + fp + tn + fn = n and tp + fp = selected in {where}, found "
            f"{[*given, row.n, row.selected]}."
        )


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))
