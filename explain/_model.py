"""The entry point for explanations: the exact method where there is one, and every row checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affidavit.errors import ExplanationError
from affidavit.explain import _checks, _linear, _permutation
from affidavit.explain._columns import Sources, sources_of, verify_sources
from affidavit.explain._explanation import Explanation
from affidavit.explain._frames import (
    fit_to_model,
    fitted_names,
    model_input,
    numeric_matrix,
    to_frame,
)
from affidavit.explain._target import resolve
from affidavit.explain._trees import TreeEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from affidavit.explain._explanation import Aggregation, Method, OutputSpace
    from affidavit.explain._target import Target

# Background rows for the permutation method, whose cost grows with their number.
_PERMUTATION_BACKGROUND = 100


@dataclass(frozen=True)
class _Job:
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
class _Found:
    """What a method found, before it is checked."""

    values: np.ndarray
    base: np.ndarray
    method: Method
    engine: str
    arithmetic: str
    n_background: int
    aggregation: Aggregation = "none"
    budget: int | None = None
    standard_error: float | None = None
    spot: float | None = None


def explain_model(
    model: Any,
    X: Any,
    *,
    background: Any = None,
    columns: Sequence[str] | None = None,
    max_background: int = 1000,
    seed: int = 0,
    budget: int | None = None,
    output: OutputSpace | None = None,
) -> Explanation:
    """Attributes a model's output to the user's columns, and checks every row against the model.

    Tree ensembles of scikit-learn, XGBoost and LightGBM are explained by TreeSHAP: path-dependent
    without a background, interventional with one. Linear models are explained in closed form.
    A pipeline is explained by its final estimator on the encoded rows, and the encoded columns that
    stem from one of the user's columns are summed. That sum is exact for linear models, whose
    columns are masked independently; for trees it approximates the game in which the encoded
    columns of one source column come and go together. Everything else, and every exact method whose
    result does not hold, is explained by evaluating coalitions of the user's columns.

    A result is kept only if the values and the base value sum to the model's own output in every
    row, and, where there is a background, if it equals the enumeration of all coalitions on
    spot-checked rows. Which method was rejected and why is in `notes`.

    Args:
        model: A fitted model, pipeline or search; columns of X that it never saw are left out.
        X: Rows to explain, (n_samples, n_features): pandas, Polars, Arrow or numpy.
        background: Rows that say what is usual. Where a method needs one and there is none, X is
            its own background, which takes at least two rows.
        columns: Names for a numpy X.
        max_background: More background rows than this are sampled down, by `seed`. The permutation
            method takes at most a hundred.
        seed: Makes the result repeatable.
        budget: Coalitions per row for the permutation method, each averaged over the background;
            by default ten pairs of orderings. All coalitions are evaluated if they fit.
        output: `probability`, `margin` or `value`; by default the space in which the model adds up.

    Returns:
        The explanation.

    Raises:
        ExplanationError: The input is unusable, the model failed, or no method's result holds.
    """
    if max_background < 1:
        raise ExplanationError(f"Expected max_background of at least 1, found {max_background}.")
    target = resolve(model, output)
    as_frame = fitted_names(model) is not None or _needs_frame(target)
    frame = _table(X, columns, model, what="X")
    rows = None
    if background is not None:
        rows = _table(background, columns, model, what="the background")
        if list(rows.columns) != list(frame.columns):
            raise ExplanationError(
                f"Expected the background to have the columns of X, {list(frame.columns)}, "
                f"found {list(rows.columns)}."
            )
        rows = _sample(rows, max_background, seed)
    outputs = target.score(target.encode(model_input(frame, as_frame=as_frame)))
    if len(outputs) != len(frame):
        raise ExplanationError(f"Expected {len(frame)} outputs, found {len(outputs)}.")
    job = _Job(target, frame, rows, as_frame, outputs, seed)
    notes: list[str] = []
    for attempt in _methods(job, max_background, budget):
        try:
            found = attempt()
            limit = _checks.tolerance(found.arithmetic, outputs, found.base)
            rest = _checks.residuals(found.values, found.base, outputs)
            _require(found, rest, limit)
        except ExplanationError as error:
            notes.append(error.message)
            failure = error
            continue
        return _explanation(job, found, rest, limit, tuple(notes))
    raise ExplanationError(
        failure.message if len(notes) == 1 else "No method's result holds. " + " ".join(notes),
        hint=failure.hint,
    ) from failure


def _methods(job: _Job, max_background: int, budget: int | None) -> list[Callable[[], _Found]]:
    methods: list[Callable[[], _Found]] = []
    if job.target.family == "tree":
        methods.append(lambda: _by_trees(job))
    elif job.target.family == "linear":
        methods.append(lambda: _by_coefficients(job, max_background))
    methods.append(lambda: _by_permutation(job, max_background, budget))
    return methods


def _by_trees(job: _Job) -> _Found:
    encoded, matrix, sources = _encoded(job)
    target = job.target
    arithmetic = "double" if job.background is None else "single"
    if target.library == "xgboost":
        arithmetic = "model-single"
    if job.background is None:
        engine = TreeEngine(target, None)
        values = engine.values(encoded, matrix, None)
        base = engine.path_dependent_base()
        method: Method = "tree-path-dependent"
        n_background, spot = 0, None
    else:
        others = job.encode(job.background)
        reference = _matrix(others)
        engine = TreeEngine(target, reference)
        values = engine.values(encoded, matrix, reference)
        base = target.score(others).mean(axis=0)
        method = "tree-interventional"
        n_background = len(reference)
        spot = _spot(job, encoded, matrix, reference, lambda x, b: engine.values(x, x, b))
    summed, aggregation = _by_source(values, sources, job)
    return _Found(
        summed, base, method, engine.name, arithmetic, n_background, aggregation, spot=spot
    )


def _by_coefficients(job: _Job, max_background: int) -> _Found:
    encoded, matrix, sources = _encoded(job)
    others = job.encode(_background(job, max_background))
    reference = _matrix(others)
    k = job.outputs.shape[1]

    def engine(rows: np.ndarray, background: np.ndarray) -> np.ndarray:
        return _linear.linear_values(job.target.estimator, rows, background, k)

    spot = _spot(job, encoded, matrix, reference, engine)
    summed, aggregation = _by_source(engine(matrix, reference), sources, job)
    return _Found(
        summed,
        job.target.score(others).mean(axis=0),
        "linear-interventional",
        _linear.ENGINE,
        "double",
        len(reference),
        aggregation,
        spot=spot,
    )


def _by_permutation(job: _Job, max_background: int, budget: int | None) -> _Found:
    background = _background(job, min(max_background, _PERMUTATION_BACKGROUND))
    d = job.frame.shape[1]
    game = _permutation.Game(
        job.frame, background, lambda frame: job.target.score(job.encode(frame))
    )
    found = _permutation.permutation_values(
        game, budget=_permutation.default_budget(d) if budget is None else budget, seed=job.seed
    )
    return _Found(
        found.values,
        found.base,
        "permutation",
        _permutation.ENGINE,
        "permutation",
        len(background),
        budget=found.evaluations,
        standard_error=found.standard_error,
    )


def _require(found: _Found, rest: _checks.Residuals, limit: float) -> None:
    if rest.largest > limit:
        raise ExplanationError(
            f"The values of {found.method} do not add up to the model's output: row "
            f"{rest.worst_row} is off by {rest.largest:.3g}, where {limit:.3g} is allowed.",
            hint="A model whose output changes from call to call cannot be explained.",
        )
    # Differences of sums lose what both sums lose.
    if found.spot is not None and found.spot > 4 * limit:
        raise ExplanationError(
            f"The values of {found.method} differ by {found.spot:.3g} from the enumeration of all "
            f"coalitions on spot-checked rows, where {4 * limit:.3g} is allowed."
        )


def _encoded(job: _Job) -> tuple[Any, np.ndarray, Sources | None]:
    """The encoded rows, as the estimator takes them and as numbers, and what they stem from."""
    encoded = job.encode(job.frame)
    if not job.target.steps:
        return encoded, _matrix(encoded), None
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
    return encoded, _matrix(encoded), sources


def _matrix(encoded: Any) -> np.ndarray:
    matrix = numeric_matrix(encoded)
    if matrix is None:
        raise ExplanationError(
            "The final estimator takes columns that are no plain numbers, which its exact method "
            "cannot mask."
        )
    return matrix


def _spot(
    job: _Job,
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
    values: np.ndarray, sources: Sources | None, job: _Job
) -> tuple[np.ndarray, Aggregation]:
    d = job.frame.shape[1]
    if sources is None:
        return values, "none"
    summed = np.zeros((values.shape[0], d, values.shape[2]))
    for position, source in enumerate(sources):
        summed[:, source] += values[:, position]
    return summed, "none" if len(set(sources)) == len(sources) else "sum-of-encoded"


def _background(job: _Job, limit: int) -> pd.DataFrame:
    if job.background is None and len(job.frame) < 2:
        raise ExplanationError(
            f"Explaining a {type(job.target.estimator).__name__} needs a background to compare a "
            "single row with, found none.",
            hint="Pass background=, a sample of the training rows.",
        )
    rows = job.frame if job.background is None else job.background
    return _sample(rows, limit, job.seed)


def _sample(rows: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    if len(rows) <= limit:
        return rows
    chosen = np.random.default_rng([seed, 0]).choice(len(rows), size=limit, replace=False)
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def _table(data: Any, columns: Sequence[str] | None, model: Any, *, what: str) -> pd.DataFrame:
    named = columns is not None or not isinstance(data, np.ndarray)
    names = columns if isinstance(data, np.ndarray) else None
    return fit_to_model(to_frame(data, names, what=what), model, what=what, named=named)


def _needs_frame(target: Target) -> bool:
    """Whether a step selects columns by name, which a matrix has not."""
    return bool(target.steps) and fitted_names(target.steps[0]) is not None


def _explanation(
    job: _Job, found: _Found, rest: _checks.Residuals, limit: float, notes: tuple[str, ...]
) -> Explanation:
    single = job.outputs.shape[1] == 1
    return Explanation(
        values=found.values[:, :, 0] if single else found.values,
        base_values=found.base,
        outputs=job.outputs[:, 0] if single else job.outputs,
        feature_names=tuple(str(c) for c in job.frame.columns),
        output_space=job.target.space,
        method=found.method,
        engine=found.engine,
        aggregation=found.aggregation,
        residual_max=rest.largest,
        residual_p99=rest.p99,
        tolerance=limit,
        n_background=found.n_background,
        seed=job.seed,
        classes=job.target.classes,
        data=job.frame,
        budget=found.budget,
        standard_error=found.standard_error,
        spot_residual=found.spot,
        notes=notes,
    )
