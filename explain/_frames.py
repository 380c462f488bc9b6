"""What the user hands in as X, made into one pandas frame or matrix that the model accepts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from affidavit.errors import ExplanationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def to_frame(data: Any, columns: Sequence[str] | None, *, what: str) -> pd.DataFrame:
    """A pandas frame with string column names, from pandas, Polars, Arrow or numpy.

    Args:
        data: The rows, (n_samples, n_features).
        columns: Names for an array without names; `x0`, `x1`, … by default.
        what: How to call it in an error.

    Returns:
        A frame with a plain index.

    Raises:
        ExplanationError: It is no table, empty, or its names repeat or do not fit.
    """
    names: list[str]
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise ExplanationError(
                f"Expected {what} of shape (n_samples, n_features), found shape {data.shape}.",
                hint="A single row is data[i : i + 1].",
            )
        names = [f"x{i}" for i in range(data.shape[1])] if columns is None else list(columns)
        if len(names) != data.shape[1]:
            raise ExplanationError(
                f"Expected {data.shape[1]} column names for {what}, found {len(names)}."
            )
        frame = pd.DataFrame(data)
    elif isinstance(data, pd.DataFrame):
        frame, names = data.reset_index(drop=True), [str(c) for c in data.columns]
    else:
        try:
            frame = nw.from_native(data, eager_only=True).to_pandas().reset_index(drop=True)
        except TypeError as error:
            raise ExplanationError(
                f"Expected {what} as a pandas, Polars or Arrow table or a numpy array, "
                f"found {type(data).__name__}."
            ) from error
        names = [str(c) for c in frame.columns]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ExplanationError(f"Expected distinct columns in {what}, found repeated: {repeated}.")
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise ExplanationError(
            f"Expected at least one row and one column in {what}, found shape {frame.shape}."
        )
    frame = frame.copy(deep=False)
    frame.columns = pd.Index(names)
    return frame


def fit_to_model(frame: pd.DataFrame, model: Any, *, what: str, named: bool) -> pd.DataFrame:
    """The columns that the model was fitted on, in its order.

    Args:
        frame: The rows.
        model: The fitted model.
        what: How to call the frame in an error.
        named: Whether the user gave names; without, the model's own names are taken by position.

    Returns:
        The frame with the model's columns only; columns that the model never saw are left out.

    Raises:
        ExplanationError: A column is missing, or their number differs.
    """
    expected = fitted_names(model)
    if expected is not None:
        if not named and frame.shape[1] == len(expected):
            return frame.set_axis(pd.Index(expected), axis=1)
        missing = [name for name in expected if name not in frame.columns]
        if missing:
            raise ExplanationError(
                f"The model was fitted on columns that {what} lacks: {missing}.",
                hint=f"Found: {[str(c) for c in frame.columns]}.",
            )
        return frame[expected]
    width = getattr(model, "n_features_in_", None)
    if width is not None and int(width) != frame.shape[1]:
        raise ExplanationError(
            f"The model was fitted on {int(width)} columns, found {frame.shape[1]} in {what}."
        )
    return frame


def fitted_names(model: Any) -> list[str] | None:
    """The column names that the model was fitted with, or None if it was fitted on an array."""
    try:
        names = getattr(model, "feature_names_in_", None)
    except Exception:  # noqa: BLE001  # wrappers raise their own kinds when fitted on an array
        return None
    if names is None:
        return None
    found = [str(name) for name in names]
    # LightGBM names the columns of an array itself.
    if found == [f"Column_{i}" for i in range(len(found))]:
        return None
    return found


def model_input(frame: pd.DataFrame, *, as_frame: bool) -> Any:
    """The rows in the shape that the model was fitted on: a frame, or a bare matrix."""
    return frame if as_frame else frame.to_numpy()


def numeric_matrix(encoded: Any) -> np.ndarray | None:
    """The encoded rows as float64, (n_samples, n_encoded), or None where they are not numbers."""
    if hasattr(encoded, "toarray"):
        encoded = encoded.toarray()
    if isinstance(encoded, pd.DataFrame) and any(
        isinstance(kind, pd.CategoricalDtype) for kind in encoded.dtypes
    ):
        return None
    try:
        matrix = np.asarray(encoded, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.ndim == 2 else None
