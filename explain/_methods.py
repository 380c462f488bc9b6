"""The methods that explain a model, each giving values in the user's columns, not yet checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affidavit.errors import ExplanationError
from affidavit.explain import _checks, _linear, _permutation
from affidavit.explain._columns import Sources, sources_of, verify_sources
from affidavit.explain._frames import model_input, numeric_matrix
from affidavit.explain._pattern_tables import ENGINE as PATTERNS
from affidavit.explain._pattern_tables import pattern_values
from affidavit.explain._trees import TreeEngine, parse_trees

if TYPE_CHECKING:
    from collections.abc import Callable

    from affidavit.explain._explanation import Aggregation, Method
    from affidavit.explain._target import Target
    from affidavit.explain._tree_model import TreeModel

# Background rows for the permutation method, whose cost grows with their number.
_PERMUTATION_BACKGROUND = 100
# What shap is asked about in the same run.
_SHAP_ROWS, _SHAP_BACKGROUND = 3, 16


@dataclass(frozen=True)
class Job:
    """What every method is given."""

    target: Target
    frame: pd.DataFrame
    background: pd.DataFrame | None
    as_frame: bool
    outputs: np.ndarray
    seed: int

    def encode(self, frame: pd.DataFrame) -> Any:
        return self.target.encode(model_input(frame, as_frame=self.as_frame))


@dataclass(frozen=True)
class Found:
    """What a method found, before it is checked."""

    attributions: np.ndarray
    base: np.ndarray
    method: Method
    engine: str
    arithmetic: str
    n_background: int
    aggregation: Aggregation = "none"
    budget: int | None = None
    standard_error: float | None = None
    spot: float | None = None
    shap_gap: float | None = None


def methods_for(job: Job, max_background: int, budget: int | None) -> list[Callable[[], Found]]:
    """The methods to try in turn, exact ones first."""
    methods: list[Callable[[], Found]] = []
    if job.target.family == "tree":
        methods += [lambda: _by_patterns(job), lambda: _by_shap(job)]
    elif job.target.family == "linear":
        methods.append(lambda: _by_coefficients(job, max_background))
    methods.append(lambda: _by_permutation(job, max_background, budget))
    return methods


def _by_patterns(job: Job) -> Found:
    encoded, sources = _encoded(job)
    model = parse_trees(job.target)
    matrix = _matrix(encoded)
    arithmetic = "model-single" if job.target.library == "xgboost" else "double"
    method: Method = "tree-path-dependent"
    reference, spot = None, None
    if job.background is None:
        base = model.path_dependent_base()
    else:
        others = job.encode(job.background)
        reference = _matrix(others)
        method = "tree-interventional"
        base = job.target.score(others).mean(axis=0)
        spot = _spot(job, encoded, matrix, reference, lambda x, b: pattern_values(model, x, b))
    values = pattern_values(model, matrix, reference, players=sources, n_players=job.frame.shape[1])
    grouped = sources is not None and len(set(sources)) < len(sources)
    return Found(
        values,
        base,
        method,
        PATTERNS,
        arithmetic,
        0 if reference is None else len(reference),
        "one-player" if grouped else "none",
        spot=spot,
        shap_gap=_against_shap(job, model, encoded, matrix, reference),
    )


def _against_shap(
    job: Job, model: TreeModel, encoded: Any, matrix: np.ndarray, reference: np.ndarray | None
) -> float | None:
    """The largest difference from shap on a few rows; None where shap has no answer."""
    some = np.arange(min(_SHAP_ROWS, len(matrix)))
    few = None if reference is None else reference[:_SHAP_BACKGROUND]
    rows = encoded.iloc[some] if isinstance(encoded, pd.DataFrame) else encoded[some]
    try:
        theirs = TreeEngine(job.target, few).values(rows, matrix[some], few)
    except ExplanationError:
        return None
    ours = pattern_values(model, matrix[some], few)
    return float(np.abs(ours - theirs).max(initial=0.0))


def _by_shap(job: Job) -> Found:
    encoded, sources = _encoded(job)
    target = job.target
    arithmetic = "double" if job.background is None else "single"
    if target.library == "xgboost":
        arithmetic = "model-single"
    if job.background is None:
        engine = TreeEngine(target, None)
        # The boosting libraries explain their own categorical splits; the others take numbers only.
        matrix = np.empty(np.shape(encoded)) if engine.native else _matrix(encoded)
        values = engine.values(encoded, matrix, None)
        base = engine.path_dependent_base()
        method: Method = "tree-path-dependent"
        n_background, spot = 0, None
    else:
        others = job.encode(job.background)
        matrix, reference = _matrix(encoded), _matrix(others)
        engine = TreeEngine(target, reference)
        values = engine.values(encoded, matrix, reference)
        base = target.score(others).mean(axis=0)
        method = "tree-interventional"
        n_background = len(reference)
        spot = _spot(job, encoded, matrix, reference, lambda x, b: engine.values(x, x, b))
    summed, aggregation = _by_source(values, sources, job)
    return Found(
        summed, base, method, engine.name, arithmetic, n_background, aggregation, spot=spot
    )


def _by_coefficients(job: Job, max_background: int) -> Found:
    encoded, sources = _encoded(job)
    others = job.encode(_background(job, max_background))
    matrix, reference = _matrix(encoded), _matrix(others)
    k = job.outputs.shape[1]

    def engine(rows: np.ndarray, background: np.ndarray) -> np.ndarray:
        return _linear.linear_values(job.target.estimator, rows, background, k)

    spot = _spot(job, encoded, matrix, reference, engine)
    summed, aggregation = _by_source(engine(matrix, reference), sources, job)
    return Found(
        summed,
        job.target.score(others).mean(axis=0),
        "linear-interventional",
        _linear.ENGINE,
        "double",
        len(reference),
        aggregation,
        spot=spot,
    )


def _by_permutation(job: Job, max_background: int, budget: int | None) -> Found:
    background = _background(job, min(max_background, _PERMUTATION_BACKGROUND))
    d = job.frame.shape[1]
    game = _permutation.Game(
        job.frame, background, lambda frame: job.target.score(job.encode(frame))
    )
    found = _permutation.permutation_values(
        game, budget=_permutation.default_budget(d) if budget is None else budget, seed=job.seed
    )
    return Found(
        found.values,
        found.base,
        "permutation",
        _permutation.ENGINE,
        "permutation",
        len(background),
        budget=found.evaluations,
        standard_error=found.standard_error,
    )


def _encoded(job: Job) -> tuple[Any, Sources | None]:
    """The encoded rows as the estimator takes them, and what their columns stem from."""
    encoded = job.encode(job.frame)
    if not job.target.steps:
        return encoded, None
    sources = sources_of(job.target.steps, job.frame.shape[1])
    if sources is None:
        raise ExplanationError(
            "A transformer of the pipeline mixes columns or is not known, so that its outputs "
            "cannot be assigned to the user's columns."
        )
    sample = job.frame if job.background is None else job.background
    if not verify_sources(sources, sample, job.encode, seed=job.seed):
        raise ExplanationError(
            "The pipeline's encoded columns did not change with the user's columns that they "
            "were taken to stem from."
        )
    return encoded, sources


def _matrix(encoded: Any) -> np.ndarray:
    matrix = numeric_matrix(encoded)
    if matrix is None:
        raise ExplanationError(
            "The final estimator takes columns that are no plain numbers, which its exact method "
            "cannot mask."
        )
    return matrix


def _spot(
    job: Job,
    encoded: Any,
    matrix: np.ndarray,
    reference: np.ndarray,
    engine: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> float | None:
    names = encoded.columns if isinstance(encoded, pd.DataFrame) else None

    def score(rows: np.ndarray) -> np.ndarray:
        return job.target.score(rows if names is None else pd.DataFrame(rows, columns=names))

    return _checks.spot_residual(matrix, reference, engine, score, seed=job.seed)


def _by_source(
    values: np.ndarray, sources: Sources | None, job: Job
) -> tuple[np.ndarray, Aggregation]:
    d = job.frame.shape[1]
    if sources is None:
        return values, "none"
    summed = np.zeros((values.shape[0], d, values.shape[2]))
    for position, source in enumerate(sources):
        summed[:, source] += values[:, position]
    return summed, "none" if len(set(sources)) == len(sources) else "sum-of-encoded"


def _background(job: Job, limit: int) -> pd.DataFrame:
    if job.background is None and len(job.frame) < 2:
        raise ExplanationError(
            f"Explaining a {type(job.target.estimator).__name__} needs a background to compare a "
            "single row with, found none.",
            hint="Pass background=, a sample of the training rows.",
        )
    rows = job.frame if job.background is None else job.background
    return sample(rows, limit, job.seed)


def sample(rows: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """At most `limit` of the rows, drawn without replacement and kept in order."""
    if len(rows) <= limit:
        return rows
    chosen = np.random.default_rng([seed, 0]).choice(len(rows), size=limit, replace=False)
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)
