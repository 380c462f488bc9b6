"""A model taken apart: its encoding steps, its final estimator, and the output to explain."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affidavit.errors import ExplanationError

if TYPE_CHECKING:
    from affidavit.explain._explanation import OutputSpace

Family = Literal["tree", "linear", "other"]

_TREES_OF_PROBABILITY = {
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "ExtraTreesClassifier",
    "RandomForestClassifier",
}
_TREES_OF_MARGIN = {
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "LGBMClassifier",
    "XGBClassifier",
    "XGBRFClassifier",
}
_TREES_OF_VALUE = {
    "DecisionTreeRegressor",
    "ExtraTreeRegressor",
    "ExtraTreesRegressor",
    "GradientBoostingRegressor",
    "HistGradientBoostingRegressor",
    "LGBMRegressor",
    "RandomForestRegressor",
    "XGBRFRegressor",
    "XGBRegressor",
}
_TREE_LIBRARIES = {"sklearn", "xgboost", "lightgbm"}


@dataclass(frozen=True)
class Target:
    """What is explained: `score(encode(X))`, in one output space.

    Args:
        steps: Fitted transformers before the final estimator.
        estimator: The final estimator.
        family: Which exact method its structure admits in this output space.
        space: The output space.
        classes: The classes of a classifier, or None.
    """

    steps: tuple[Any, ...]
    estimator: Any
    family: Family
    space: OutputSpace
    classes: tuple[Any, ...] | None

    @property
    def library(self) -> str:
        """The library that the final estimator comes from."""
        return type(self.estimator).__module__.split(".")[0]

    def encode(self, X: Any) -> Any:
        """The rows as the final estimator sees them."""
        for step in self.steps:
            X = _call("transforming", step.transform, X)
        return X

    def score(self, encoded: Any) -> np.ndarray:
        """The model's own output in the explained space.

        Args:
            encoded: Rows as the final estimator sees them, (n, n_encoded).

        Returns:
            Shape (n, n_outputs); a binary classifier has one output, of its second class.

        Raises:
            ExplanationError: The model failed, or gave something that is no finite number.
        """
        raw = _call("predicting", _scorer(self.estimator, self.space), encoded)
        if isinstance(raw, list):
            raise ExplanationError(
                "Models with several labels per row are not supported.",
                hint="Explain one label's model at a time.",
            )
        try:
            output = np.asarray(raw, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ExplanationError(
                f"Expected numbers from the model, found {np.asarray(raw).dtype}.",
                hint="A classifier needs predict_proba or decision_function to be explained.",
            ) from error
        output = output.reshape(len(output), -1)
        if self.space == "probability" and output.shape[1] == 2:
            output = output[:, 1:]
        bad = np.flatnonzero(~np.isfinite(output).all(axis=1))
        if len(bad):
            raise ExplanationError(
                f"Expected finite outputs from the model, found {output[bad[0]].tolist()} "
                f"in row {int(bad[0])} and {len(bad)} such rows in all.",
                hint="Check the model on these rows before explaining it.",
            )
        return output


def resolve(model: Any, output: OutputSpace | None) -> Target:
    """Take a fitted model or pipeline apart.

    Args:
        model: A scikit-learn compatible model, pipeline, or search around one.
        output: The output space wanted; by default the one in which the model adds up.

    Returns:
        The target to explain.

    Raises:
        ExplanationError: It is no model, not fitted, or has no such output.
    """
    steps: list[Any] = []
    estimator = model
    while True:
        inner = _unwrapped(estimator)
        if inner is not None:
            estimator = inner
        elif hasattr(estimator, "steps") and hasattr(estimator, "named_steps"):
            _check_fitted(estimator)
            steps += [s for _, s in estimator.steps[:-1] if s is not None and s != "passthrough"]
            estimator = estimator.steps[-1][1]
        else:
            break
    if not callable(getattr(estimator, "predict", None)):
        raise ExplanationError(
            f"Expected a model with a predict method, found {type(estimator).__name__}.",
            hint="Wrap it in a class with predict or predict_proba.",
        )
    _check_fitted(estimator)
    classes = _classes(estimator)
    space = _space(estimator, output, classifier=classes is not None)
    return Target(tuple(steps), estimator, _family(estimator, space), space, classes)


def _unwrapped(estimator: Any) -> Any:
    if type(estimator).__name__ == "FrozenEstimator":
        return estimator.estimator
    return getattr(estimator, "best_estimator_", None)


def _check_fitted(estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ExplanationError(
            f"Expected a fitted model, found an unfitted {type(estimator).__name__}.",
            hint="Call fit first.",
        ) from error
    except (AttributeError, TypeError):
        # No scikit-learn estimator: whether it is fitted shows when it predicts.
        return


def _classes(estimator: Any) -> tuple[Any, ...] | None:
    found = getattr(estimator, "classes_", None)
    if found is None:
        return None
    if isinstance(found, list):
        raise ExplanationError(
            "Models with several labels per row are not supported.",
            hint="Explain one label's model at a time.",
        )
    classes = tuple(c.item() if hasattr(c, "item") else c for c in found)
    if len(classes) < 2:
        raise ExplanationError(
            f"Expected a classifier of at least two classes, found {list(classes)}.",
            hint="Its training labels were constant: there is nothing to explain.",
        )
    return classes


def _space(estimator: Any, wanted: OutputSpace | None, *, classifier: bool) -> OutputSpace:
    spaces: list[OutputSpace]
    if not classifier:
        spaces = ["value"]
    else:
        margin = _is_tree(estimator, _TREES_OF_MARGIN) or hasattr(estimator, "decision_function")
        probability = hasattr(estimator, "predict_proba")
        natural = _is_tree(estimator, _TREES_OF_MARGIN) or _is_linear(estimator)
        spaces = []
        if probability:
            spaces.append("probability")
        if margin:
            spaces.insert(0 if natural else len(spaces), "margin")
    if not spaces:
        raise ExplanationError(
            f"{type(estimator).__name__} has classes but neither predict_proba nor "
            "decision_function: a bare label has no attribution."
        )
    if wanted is None:
        return spaces[0]
    if wanted not in spaces:
        raise ExplanationError(
            f"Expected an output out of {spaces} for {type(estimator).__name__}, found {wanted!r}."
        )
    return wanted


def _is_tree(estimator: Any, names: set[str]) -> bool:
    return any(
        kind.__name__ in names and kind.__module__.split(".")[0] in _TREE_LIBRARIES
        for kind in type(estimator).__mro__
    )


def _is_linear(estimator: Any) -> bool:
    return (
        any(kind.__module__.startswith("sklearn.") for kind in type(estimator).__mro__)
        and not _is_support_vector(estimator)
        and hasattr(estimator, "intercept_")
        and hasattr(estimator, "coef_")
    )


def _is_support_vector(estimator: Any) -> bool:
    # SVC's coefficients are one row per pair of classes, not per output.
    return any(kind.__name__ in {"BaseSVC", "BaseLibSVM"} for kind in type(estimator).__mro__)


def _family(estimator: Any, space: OutputSpace) -> Family:
    trees = {
        "probability": _TREES_OF_PROBABILITY,
        "margin": _TREES_OF_MARGIN,
        "value": _TREES_OF_VALUE,
    }[space]
    if _is_tree(estimator, trees):
        return "tree"
    if space != "probability" and _is_linear(estimator):
        return "linear"
    return "other"


def _scorer(estimator: Any, space: OutputSpace) -> Any:
    if space == "probability":
        return estimator.predict_proba
    if space == "value":
        return estimator.predict
    name = type(estimator).__module__.split(".")[0]
    if name == "xgboost":
        return lambda X: estimator.predict(X, output_margin=True)
    if name == "lightgbm":
        return lambda X: estimator.predict(X, raw_score=True)
    return estimator.decision_function


def _call(doing: str, function: Any, X: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(X)
    except ExplanationError:
        raise
    except Exception as error:
        raise ExplanationError(
            f"The model failed while {doing} the rows: {type(error).__name__}: {error}",
            hint="Check that it predicts on exactly these rows.",
        ) from error
