"""The entry point for fairness: one count over the rows, from which all else follows."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from affidavit.errors import FairnessError
from affidavit.explain._counting import Cells, Codes, count, encode, numbers, positives
from affidavit.explain._fairness import FairnessResult, check_names, check_parameters
from affidavit.explain._rates import MISSING, GroupCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_INTERSECTING = 6


def measure_fairness(
    y_true: Any,
    y_pred: Any,
    sensitive: Any,
    *,
    intersections: bool = True,
    y_score: Any = None,
    weights: Any = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    min_cell: float = 0,
    positive: Any = 1,
) -> FairnessResult:
    """Counts outcomes per group once; every metric of the result is a function of these counts.

    The finest cells, one per observed combination of sensitive values, are counted in one pass, and
    the groups of single columns and of intersections are sums of cells. A group exists because a
    row is in it. Missing sensitive values are a group of their own, `(missing)`.

    Args:
        y_true: True labels, (n,), or None where only the selection is known.
        y_pred: Predicted labels, (n,).
        sensitive: A pandas, Polars or Arrow table, a mapping from name to column, or a named
            series; n rows.
        intersections: Also count every intersection of two and more columns.
        y_score: Scores, (n,); counts the rows above the median of all, as the scoring rate of
            New York City's rule on automated employment decision tools does (6 RCNY § 5-300).
        weights: Weights of the rows, (n,), 0 or more. Counts are then sums of weights, and
            intervals take Kish's effective sample size.
        confidence: Confidence level of every interval.
        resamples: Draws for resampled intervals and for permutation tests.
        seed: Seeds the draws.
        min_cell: Groups smaller than this are marked as suppressed.
        positive: The positive label, in y_true and in y_pred.

    Returns:
        The counts, and what follows from them.

    Raises:
        FairnessError: Lengths differ, a label is missing or not binary, names repeat, there is no
            row, or there are too many groups.
    """
    check_parameters(confidence, resamples, seed, min_cell)
    columns = _columns(sensitive)
    check_names([name for name, _ in columns])
    if intersections and len(columns) > _MOST_INTERSECTING:
        raise FairnessError(
            f"Expected at most {_MOST_INTERSECTING} sensitive columns with their intersections, "
            f"found {len(columns)}.",
            hint="Measure fewer at a time, or pass intersections=False.",
        )
    predicted = positives(y_pred, "y_pred", positive)
    n = len(predicted)
    if n == 0:
        raise FairnessError("Expected at least one row, found none.")
    truth = None if y_true is None else positives(y_true, "y_true", positive)
    _same_length("y_true", n if truth is None else len(truth), n)
    weight = None if weights is None else _weights(weights, n)
    above = None
    if y_score is not None:
        scores = numbers(y_score, "y_score", n)
        above = scores > np.median(scores)
    with ThreadPoolExecutor(max_workers=2) as pool:
        codes = list(pool.map(lambda pair: encode(pair[1], pair[0]), columns))
    names = [name for name, _ in columns]
    for name, code in zip(names, codes, strict=True):
        _same_length(f"the sensitive column {name!r}", len(code.rows), n)
    counts: list[GroupCounts] = []
    if intersections:
        cells = count(codes, truth, predicted, weight, above)
        for size in range(1, len(names) + 1):
            for chosen in combinations(range(len(names)), size):
                counts += _groups(cells, chosen, names, codes, labelled=truth is not None)
    else:
        for j, code in enumerate(codes):
            cells = count([code], truth, predicted, weight, above)
            counts += _groups(cells, (0,), [names[j]], [code], labelled=truth is not None)
    return FairnessResult.from_counts(
        counts, confidence=confidence, resamples=resamples, seed=seed, min_cell=min_cell
    )


def _columns(sensitive: Any) -> list[tuple[str, Any]]:
    if isinstance(sensitive, pd.DataFrame):
        # By position, so that a repeated name shows instead of giving a table.
        return [(str(c), sensitive.iloc[:, j]) for j, c in enumerate(sensitive.columns)]
    if isinstance(sensitive, Mapping):
        return [(str(name), column) for name, column in sensitive.items()]
    if hasattr(sensitive, "column_names") and hasattr(sensitive, "columns"):
        return list(zip(map(str, sensitive.column_names), sensitive.columns, strict=True))
    try:
        found = nw.from_native(sensitive, eager_only=True, allow_series=True)
    except TypeError as error:
        raise FairnessError(
            "Expected sensitive columns as a pandas, Polars or Arrow table, a mapping from name to "
            f"column or a named series, found {type(sensitive).__name__}."
        ) from error
    if isinstance(found, nw.Series):
        if getattr(sensitive, "name", None) in {None, ""}:
            raise FairnessError("Expected a sensitive series with a name, found none.")
        return [(str(found.name), sensitive)]
    return [(name, found[name].to_native()) for name in found.columns]


def _weights(weights: Any, n: int) -> np.ndarray:
    found = numbers(weights, "weights", n)
    if (found < 0).any() or not found.any():
        raise FairnessError(
            "Expected weights of 0 or more, one of them above 0, found "
            f"{float(found.min()):g} to {float(found.max()):g}."
        )
    return found


def _same_length(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise FairnessError(f"Expected {expected} rows in {name}, as in y_pred, found {found}.")


def _groups(
    cells: Cells,
    chosen: tuple[int, ...],
    names: Sequence[str],
    codes: Sequence[Codes],
    *,
    labelled: bool,
) -> Iterator[GroupCounts]:
    """The groups of some of the columns: sums over the others, sorted by their text."""
    kinds, inverse = np.unique(cells.codes[:, chosen], axis=0, return_inverse=True)
    inverse = inverse.ravel()
    outcomes = np.zeros((len(kinds), 4))
    np.add.at(outcomes, inverse, cells.outcomes)
    squares = None if cells.squares is None else np.bincount(inverse, weights=cells.squares)
    above = None if cells.above is None else np.bincount(inverse, weights=cells.above)
    weighted = squares is not None
    feature = tuple(names[j] for j in chosen)
    texts = [
        tuple(
            codes[j].labels[code] if code >= 0 else MISSING
            for j, code in zip(chosen, kind, strict=True)
        )
        for kind in kinds
    ]
    for i in sorted(range(len(kinds)), key=lambda i: _order(texts[i])):
        tn, fp, fn, tp = (_number(v, weighted=weighted) for v in outcomes[i])
        n = _number(outcomes[i].sum(), weighted=weighted)
        effective = None
        if squares is not None:
            effective = float(n**2 / squares[i]) if squares[i] > 0 else 0.0
        yield GroupCounts(
            feature,
            texts[i],
            n,
            tp if labelled else None,
            fp if labelled else None,
            tn if labelled else None,
            fn if labelled else None,
            tp + fp,
            None if above is None else _number(above[i], weighted=weighted),
            effective,
        )


def _order(group: tuple[str, ...]) -> tuple[tuple[bool, str], ...]:
    return tuple((text == MISSING, text) for text in group)


def _number(value: float, *, weighted: bool) -> float:
    return float(value) if weighted else int(value)
