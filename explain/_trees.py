"""Tree ensembles through shap's TreeExplainer, with inputs it cannot misroute.

shap 0.51 keeps the thresholds of its interventional algorithm in 32 bits and compares 64-bit inputs
with them. HistGradientBoosting's thresholds equal training values, so that rows land on the wrong
side, and their values are wrong by far more than rounding. Each input is therefore replaced by its
rank among the model's own thresholds of that feature, and each threshold by its own rank: `x <= t`
holds exactly when it holds for the ranks, and small integers survive any cast. The values are
Lundberg et al. 2020, Algorithms 2 (path-dependent) and 3 (interventional).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from affidavit.errors import ExplanationError, MissingDependencyError

if TYPE_CHECKING:
    from affidavit.explain._target import Target

# shap numbers the nodes of a tree in 16 bits when it computes interventional values.
_MOST_NODES = 2**15 - 1
# Ranks at or above this are not exact in 32 bits.
_EXACT_IN_FLOAT32 = 2**24


class TreeEngine:
    """shap's TreeExplainer on one model, ready for any rows.

    Args:
        target: The model; its final estimator is a tree ensemble.
        background: Encoded background rows, or None for path-dependent values.

    Raises:
        ExplanationError: shap has no exact method for this model.
    """

    def __init__(self, target: Target, background: np.ndarray | None) -> None:
        try:
            import shap
        except ModuleNotFoundError as error:
            raise MissingDependencyError("shap", "explain") from error
        self.name = f"shap {shap.__version__}"
        self._target = target
        self._interventional = background is not None
        self._singles = target.library == "xgboost" or _casts_to_single(target.estimator)
        self.native = not self._interventional and target.library in {"xgboost", "lightgbm"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._explainer = shap.TreeExplainer(
                    target.estimator,
                    data=None if background is None else background[:1],
                    feature_perturbation=(
                        "interventional" if self._interventional else "tree_path_dependent"
                    ),
                )
                if not self.native:
                    self._rank_thresholds()
            except Exception as error:
                raise ExplanationError(
                    f"shap has no exact method for this model: {type(error).__name__}: {error}"
                ) from error

    def values(self, encoded: Any, matrix: np.ndarray, background: np.ndarray | None) -> np.ndarray:
        """Attributions of the encoded columns.

        Args:
            encoded: Rows as the estimator takes them.
            matrix: The same rows as float64, (n_samples, n_encoded).
            background: Encoded background rows, or None for path-dependent values.

        Returns:
            Shape (n_samples, n_encoded, n_outputs).
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if self.native:
                    found = self._explainer.shap_values(encoded, check_additivity=False)
                else:
                    if background is not None:
                        self._explainer.data = self._ranks(background)
                        self._explainer.data_missing = np.isnan(background)
                    found = self._explainer.shap_values(self._ranks(matrix), check_additivity=False)
            except Exception as error:
                raise ExplanationError(
                    f"shap failed on this model: {type(error).__name__}: {error}"
                ) from error
        values = np.asarray(found, dtype=np.float64).reshape(len(matrix), matrix.shape[1], -1)
        return self._second_class(values)

    def path_dependent_base(self) -> np.ndarray:
        """The output before any column is known, weighted by the training rows, (n_outputs,)."""
        base = np.atleast_1d(np.asarray(self._explainer.expected_value, dtype=np.float64))
        return np.asarray(self._second_class(base.reshape(1, 1, -1))[0, 0])

    def _second_class(self, values: np.ndarray) -> np.ndarray:
        binary = self._target.classes is not None and len(self._target.classes) == 2
        return values[:, :, 1:] if binary and values.shape[2] == 2 else values

    def _rank_thresholds(self) -> None:
        model = self._explainer.model
        if model.threshold_types is not None and (np.asarray(model.threshold_types) > 0).any():
            raise ValueError("categorical splits have no order to rank")
        if self._interventional and np.asarray(model.features).shape[1] > _MOST_NODES:
            raise ValueError(f"a tree has more nodes than {_MOST_NODES}")
        features = np.asarray(model.features)
        thresholds = _exact_thresholds(model)
        self._grid: dict[int, np.ndarray] = {}
        ranks = np.zeros_like(thresholds)
        for feature in np.unique(features[features >= 0]):
            at = (features == feature) & (np.asarray(model.children_left) >= 0)
            grid = np.unique(thresholds[at])
            if len(grid) >= _EXACT_IN_FLOAT32:
                raise ValueError("too many thresholds to rank exactly")
            ranks[at] = np.searchsorted(grid, thresholds[at])
            self._grid[int(feature)] = grid
        model.thresholds = ranks.astype(np.asarray(model.thresholds).dtype)

    def _ranks(self, matrix: np.ndarray) -> np.ndarray:
        # scikit-learn's trees and XGBoost compare 32-bit inputs; the others compare 64-bit ones.
        seen = matrix.astype(np.float32).astype(np.float64) if self._singles else matrix
        ranks = np.zeros_like(matrix)
        for feature, grid in self._grid.items():
            ranks[:, feature] = np.searchsorted(grid, seen[:, feature], side="left")
        ranks[np.isnan(matrix)] = np.nan
        return ranks


def _exact_thresholds(model: Any) -> np.ndarray:
    """The thresholds before shap packed them, padded as it pads them."""
    packed = np.zeros(np.asarray(model.features).shape, dtype=np.float64)
    for i, tree in enumerate(model.trees):
        packed[i, : len(tree.thresholds)] = tree.thresholds
    return packed


def _casts_to_single(estimator: Any) -> bool:
    """Whether the estimator casts its inputs to 32 bits, as scikit-learn's tree module does."""
    return type(estimator).__module__.startswith(
        ("sklearn.tree.", "sklearn.ensemble._forest", "sklearn.ensemble._gb")
    )
