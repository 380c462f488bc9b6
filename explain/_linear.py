"""Linear models in closed form: coefficient times the distance from the background's mean.

Exact for the interventional game, in which the columns are masked independently
(Štrumbelj and Kononenko 2014, §3.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from affidavit.errors import ExplanationError

ENGINE = "affidavit linear-v1"


def linear_values(
    estimator: Any, matrix: np.ndarray, background: np.ndarray, n_outputs: int
) -> np.ndarray:
    """Attributions of the encoded columns in a linear model.

    Args:
        estimator: Fitted, with `coef_`.
        matrix: Encoded rows, (n_samples, n_encoded).
        background: Encoded background rows, (n_background, n_encoded).
        n_outputs: How many outputs the model has.

    Returns:
        Shape (n_samples, n_encoded, n_outputs).

    Raises:
        ExplanationError: The coefficients do not have one row per output.
    """
    coefficients = estimator.coef_
    if hasattr(coefficients, "toarray"):
        coefficients = coefficients.toarray()
    coefficients = np.asarray(coefficients, dtype=np.float64)
    if coefficients.size != n_outputs * matrix.shape[1]:
        raise ExplanationError(
            f"Expected coefficients for {n_outputs} outputs and {matrix.shape[1]} columns, "
            f"found shape {coefficients.shape}."
        )
    coefficients = coefficients.reshape(n_outputs, matrix.shape[1])
    distance = matrix - background.mean(axis=0)
    return np.asarray(distance[:, :, None] * coefficients.T[None])
