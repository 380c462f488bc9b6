"""shap's TreeExplainer, with inputs that it cannot misroute: the second opinion on trees.

shap 0.51 keeps the thresholds of its interventional algorithm in 32 bits and compares 64-bit inputs
with them. HistGradientBoosting's thresholds equal training values, so that rows land on the wrong
side, and their values are wrong by far more than rounding. Rows and thresholds are therefore
replaced by ranks (`TreeModel`), small integers that survive any cast. The values are Lundberg et
al. 2020, Algorithms 2 (path-dependent) and 3 (interventional).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from affidavit.errors import ExplanationError, MissingDependencyError
from affidavit.explain._tree_model import TreeModel, read_trees

if TYPE_CHECKING:
    from affidavit.explain._target import Target

# shap numbers the nodes of a tree in 16 bits when it computes interventional values.
_MOST_NODES = 2**15 - 1


def parse_trees(target: Target) -> TreeModel:
    """The trees of a model as arrays, by shap's parser.

    Raises:
        ExplanationError: shap does not know the model, or its splits have no order.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ensemble = (
                _shap()
                .TreeExplainer(target.estimator, feature_perturbation="tree_path_dependent")
                .model
            )
            return read_trees(ensemble, singles=_singles(target), second_class=_binary(target))
        except Exception as error:
            raise ExplanationError(
                f"The trees of this model cannot be read: {type(error).__name__}: {error}"
            ) from error


class TreeEngine:
    """shap's TreeExplainer on one model, ready for any rows.

    Args:
        target: The model; its final estimator is a tree ensemble.
        background: Encoded background rows, or None for path-dependent values.

    Raises:
        ExplanationError: shap has no exact method for this model.
    """

    def __init__(self, target: Target, background: np.ndarray | None) -> None:
        shap = _shap()
        self.name = f"shap {shap.__version__}"
        self._target = target
        self._interventional = background is not None
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
        return values[:, :, 1:] if _binary(self._target) and values.shape[2] == 2 else values

    def _rank_thresholds(self) -> None:
        model = self._explainer.model
        if self._interventional and np.asarray(model.features).shape[1] > _MOST_NODES:
            raise ValueError(f"a tree has more nodes than {_MOST_NODES}")
        self._trees = read_trees(model, singles=_singles(self._target))
        nodes = self._trees.trees
        ranks = np.zeros_like(np.asarray(model.thresholds))
        for i, tree in enumerate(model.trees):
            ranks[i, : len(tree.features)] = nodes.rank[nodes.starts[i] : nodes.starts[i + 1]]
        model.thresholds = ranks

    def _ranks(self, matrix: np.ndarray) -> np.ndarray:
        ranks = self._trees.ranks(matrix).T.astype(np.float64)
        ranks[np.isnan(matrix)] = np.nan
        return np.ascontiguousarray(ranks)


def _shap() -> Any:
    try:
        import shap
    except ModuleNotFoundError as error:
        raise MissingDependencyError("shap", "explain") from error
    return shap


def _binary(target: Target) -> bool:
    return target.classes is not None and len(target.classes) == 2


def _singles(target: Target) -> bool:
    # scikit-learn's trees and XGBoost compare 32-bit inputs; the others compare 64-bit ones.
    return target.library == "xgboost" or _casts_to_single(target.estimator)


def _casts_to_single(estimator: Any) -> bool:
    """Whether the estimator casts its inputs to 32 bits, as scikit-learn's tree module does."""
    return type(estimator).__module__.startswith(
        ("sklearn.tree.", "sklearn.ensemble._forest", "sklearn.ensemble._gb")
    )
