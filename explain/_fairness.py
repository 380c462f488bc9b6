"""The result of a fairness measurement: counts per group, and everything that follows from them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from affidavit.errors import FairnessError
from affidavit.explain import _disparities
from affidavit.explain._intervals import quantile
from affidavit.explain._rates import GroupCounts, GroupRates, check_counts, group_rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from affidavit.explain._disparities import Disparity, Pairwise

Verdict = Literal["pass", "fail", "insufficient evidence"]

_COUNTS = {f.name for f in fields(GroupCounts)}
_PARAMETERS = ("confidence", "resamples", "seed", "min_cell")


@dataclass(frozen=True)
class FairnessResult:
    """Counts per group, from which anyone recomputes every metric.

    Args:
        counts: The groups of each sensitive column, and of the columns' intersections.
        confidence: Confidence level of every interval.
        resamples: Draws for resampled intervals and for permutation tests.
        seed: Seeds the draws.
        min_cell: Groups smaller than this are marked as suppressed.
    """

    counts: tuple[GroupCounts, ...]
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0
    min_cell: float = 0

    @classmethod
    def from_counts(
        cls,
        counts: Iterable[GroupCounts | Mapping[str, Any]],
        *,
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
        min_cell: float = 0,
    ) -> FairnessResult:
        """The result that follows from counts, as an auditor recomputes it.

        Args:
            counts: Group counts, or the JSON objects that `GroupCounts.to_dict` gives.
            confidence: Confidence level of every interval.
            resamples: Draws for resampled intervals and for permutation tests.
            seed: Seeds the draws.
            min_cell: Groups smaller than this are marked as suppressed.

        Returns:
            A result equal to the one that the counts were taken from.

        Raises:
            FairnessError: The counts do not add up, or a parameter is out of range.
        """
        check_parameters(confidence, resamples, seed, min_cell)
        parsed = [c if isinstance(c, GroupCounts) else _parse(c) for c in counts]
        return cls(check_counts(parsed), confidence, resamples, seed, min_cell)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FairnessResult:
        """The result whose `to_dict` was recorded; only its counts and parameters are read.

        Args:
            record: What `to_dict` gave.

        Returns:
            A result for which `to_dict` gives the same record, unless that was altered.

        Raises:
            FairnessError: Counts or parameters are missing or unusable.
        """
        try:
            parameters = {name: record["parameters"][name] for name in _PARAMETERS}
            counts = record["counts"]
        except (KeyError, TypeError) as error:
            raise FairnessError(
                f"Expected a record with counts and parameters, found none of {error}."
            ) from error
        return cls.from_counts(counts, **parameters)

    @property
    def features(self) -> tuple[tuple[str, ...], ...]:
        """The sets of sensitive columns that were counted, single columns first."""
        return tuple(dict.fromkeys(c.feature for c in self.counts))

    def groups(self, feature: str | tuple[str, ...]) -> tuple[GroupCounts, ...]:
        """The counts of one sensitive column, or of one intersection.

        Args:
            feature: A column, or a tuple of columns.

        Returns:
            Its groups.

        Raises:
            FairnessError: It was not counted.
        """
        wanted = (feature,) if isinstance(feature, str) else tuple(feature)
        found = tuple(c for c in self.counts if c.feature == wanted)
        if not found:
            raise FairnessError(f"Expected one of {list(self.features)}, found {wanted}.")
        return found

    def rates(self) -> tuple[GroupRates, ...]:
        """Every rate of every group, with Wilson's interval; undefined is None, never 0."""
        z = quantile(self.confidence)
        return tuple(group_rates(c, z=z, min_cell=self.min_cell) for c in self.counts)

    def disparities(self) -> dict[tuple[str, ...], dict[str, Disparity]]:
        """Per set of sensitive columns, every disparity with its interval."""
        return {
            feature: _disparities.disparities(
                self.groups(feature),
                z=quantile(self.confidence),
                confidence=self.confidence,
                resamples=self.resamples,
                seed=self.seed,
            )
            for feature in self.features
        }

    def pairwise(self, feature: str | tuple[str, ...]) -> tuple[Pairwise, ...]:
        """Each group's selection rate against that of the group selected most."""
        return _disparities.pairwise(self.groups(feature), z=quantile(self.confidence))

    def p_any_gap(self, feature: str | tuple[str, ...]) -> float | None:
        """The permutation test of any gap in selection rates; None where there is one group."""
        return _disparities.p_any_gap(
            self.groups(feature), resamples=self.resamples, seed=self.seed
        )

    def assess(
        self,
        threshold_ratio: float = 0.8,
        min_n: int = 30,
        *,
        feature: str | tuple[str, ...] | None = None,
    ) -> Verdict:
        """Whether the lowest selection rate reaches a share of the highest, as far as counts show.

        A set of columns passes only if the interval of its ratio lies at or above the threshold and
        no group is smaller than `min_n`. It fails only if the interval lies below the threshold and
        the permutation test finds a gap at the same confidence, since the lowest of many small
        groups is low by chance alone. Everything else is insufficient evidence.

        Args:
            threshold_ratio: 0.8 is the four-fifths rule (29 CFR 1607.4(D)).
            min_n: The smallest group that can support a pass.
            feature: One set of columns; all by default, of which one failure is a failure.

        Returns:
            The verdict.

        Raises:
            FairnessError: A parameter is out of range, or the feature was not counted.
        """
        if not 0 < threshold_ratio <= 1:
            raise FairnessError(
                f"Expected a threshold above 0 and up to 1, found {threshold_ratio}."
            )
        chosen = self.features
        if feature is not None:
            chosen = (self.groups(feature)[0].feature,)
        verdicts = {self._assess(f, threshold_ratio, min_n) for f in chosen}
        if "fail" in verdicts:
            return "fail"
        return "pass" if verdicts == {"pass"} else "insufficient evidence"

    def _assess(self, feature: tuple[str, ...], threshold: float, min_n: int) -> Verdict:
        groups = self.groups(feature)
        ratio = _disparities.disparities(
            groups,
            z=quantile(self.confidence),
            confidence=self.confidence,
            resamples=self.resamples,
            seed=self.seed,
        )["four_fifths_ratio"]
        if ratio.low is None or ratio.high is None:
            return "insufficient evidence"
        chance = self.p_any_gap(feature)
        if ratio.high < threshold and chance is not None and chance <= 1 - self.confidence:
            return "fail"
        if ratio.low >= threshold and all(g.n * g.shrink >= min_n for g in groups):
            return "pass"
        return "insufficient evidence"

    def to_dict(self) -> dict[str, Any]:
        """The counts, the parameters, and what follows from them, as JSON types without NaN."""
        found = self.disparities()
        return {
            "parameters": {name: getattr(self, name) for name in _PARAMETERS},
            "counts": [c.to_dict() for c in self.counts],
            "rates": [
                {
                    "feature": list(r.feature),
                    "group": list(r.group),
                    "n": r.n,
                    "suppressed": r.suppressed,
                    "rates": {name: _numbers(e) for name, e in r.rates.items()},
                }
                for r in self.rates()
            ],
            "disparities": [
                {
                    "feature": list(feature),
                    "p_any_gap": self.p_any_gap(feature),
                    "metrics": {
                        name: {
                            **_numbers(d),
                            "lowest": None if d.lowest is None else list(d.lowest),
                            "highest": None if d.highest is None else list(d.highest),
                            "undefined": [list(g) for g in d.undefined],
                        }
                        for name, d in metrics.items()
                    },
                }
                for feature, metrics in found.items()
            ],
        }


def check_parameters(confidence: Any, resamples: Any, seed: Any, min_cell: Any) -> None:
    """Refuses parameters out of range.

    Raises:
        FairnessError: One is; the message names it.
    """
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise FairnessError(f"Expected a confidence between 0 and 1, found {confidence!r}.")
    for name, value in (("resamples", resamples), ("seed", seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise FairnessError(f"Expected {name} as an integer of 0 or more, found {value!r}.")
    if not isinstance(min_cell, int | float) or not 0 <= min_cell < math.inf:
        raise FairnessError(f"Expected a min_cell of 0 or more, found {min_cell!r}.")


def check_names(names: list[str]) -> None:
    """Refuses an empty or repeated sensitive column.

    Raises:
        FairnessError: There is none, or one repeats.
    """
    if not names:
        raise FairnessError("Expected at least one sensitive column, found none.")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise FairnessError(f"Expected distinct sensitive columns, found repeated: {repeated}.")


def _parse(record: Mapping[str, Any]) -> GroupCounts:
    if set(record) != _COUNTS:
        raise FairnessError(f"Expected counts with {sorted(_COUNTS)}, found {sorted(record)}.")
    numbers = {k: v for k, v in record.items() if k not in {"feature", "group"}}
    for name, value in numbers.items():
        optional = name not in {"n", "selected"}
        if not (optional and value is None) and not isinstance(value, int | float):
            raise FairnessError(f"Expected {name} as a number, found {value!r}.")
    names = (*record["feature"], *record["group"])
    if not all(isinstance(x, str) for x in names):
        raise FairnessError(f"Expected columns and groups as text, found {list(names)}.")
    return GroupCounts(tuple(record["feature"]), tuple(record["group"]), **numbers)


def _numbers(estimate: Any) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in ("value", "low", "high", "interval")}
