"""The entry point for explanations: the exact method where there is one, and every row checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from affidavit.errors import ExplanationError
from affidavit.explain import _checks
from affidavit.explain._explanation import Explanation
from affidavit.explain._frames import fit_to_model, fitted_names, model_input, to_frame
from affidavit.explain._methods import Found, Job, methods_for, sample
from affidavit.explain._target import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from affidavit.explain._explanation import OutputSpace
    from affidavit.explain._target import Target


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
    Their values are computed by patterns (`_pattern_kernels`) and held against shap's on a few rows
    of the same run. A pipeline is explained by its final estimator on the encoded rows: for trees
    the encoded columns that stem from one of the user's columns come and go together as one player;
    for linear models they are summed, which is the same. Everything else, and every method whose
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
        rows = sample(rows, max_background, seed)
    outputs = target.score(target.encode(model_input(frame, as_frame=as_frame)))
    if len(outputs) != len(frame):
        raise ExplanationError(f"Expected {len(frame)} outputs, found {len(outputs)}.")
    job = Job(target, frame, rows, as_frame, outputs, seed)
    notes: list[str] = []
    for attempt in methods_for(job, max_background, budget):
        try:
            found = attempt()
            limit = _checks.tolerance(found.arithmetic, outputs, found.base)
            rest = _checks.residuals(found.attributions, found.base, outputs)
            # shap's own leaves have 32 bits.
            by_shap = _checks.tolerance("model-single", outputs, found.base)
            _require(found, rest, limit, by_shap)
        except ExplanationError as error:
            notes.append(error.message)
            failure = error
            continue
        return _explanation(job, found, rest, limit, tuple(notes))
    raise ExplanationError(
        failure.message if len(notes) == 1 else "No method's result holds. " + " ".join(notes),
        hint=failure.hint,
    ) from failure


def _require(found: Found, rest: _checks.Residuals, limit: float, by_shap: float) -> None:
    if rest.largest > limit:
        raise ExplanationError(
            f"The values of {found.method} do not add up to the model's output: row "
            f"{rest.worst_row} is off by {rest.largest:.3g}, where {limit:.3g} is allowed.",
            hint="A model whose output changes from call to call cannot be explained.",
        )
    if found.shap_gap is not None and found.shap_gap > by_shap:
        raise ExplanationError(
            f"The values of {found.engine} differ by {found.shap_gap:.3g} from shap's on the rows "
            f"that it was asked about, where {by_shap:.3g} is allowed."
        )
    # Differences of sums lose what both sums lose.
    if found.spot is not None and found.spot > 4 * limit:
        raise ExplanationError(
            f"The values of {found.method} differ by {found.spot:.3g} from the enumeration of all "
            f"coalitions on spot-checked rows, where {4 * limit:.3g} is allowed."
        )


def _table(data: Any, columns: Sequence[str] | None, model: Any, *, what: str) -> pd.DataFrame:
    named = columns is not None or not isinstance(data, np.ndarray)
    names = columns if isinstance(data, np.ndarray) else None
    return fit_to_model(to_frame(data, names, what=what), model, what=what, named=named)


def _needs_frame(target: Target) -> bool:
    """Whether a step selects columns by name, which a matrix has not."""
    return bool(target.steps) and fitted_names(target.steps[0]) is not None


def _explanation(
    job: Job, found: Found, rest: _checks.Residuals, limit: float, notes: tuple[str, ...]
) -> Explanation:
    single = job.outputs.shape[1] == 1
    return Explanation(
        values=found.attributions[:, :, 0] if single else found.attributions,
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
        shap_residual=found.shap_gap,
        notes=notes,
    )
