"""Measurements: attributions and fairness, as plain results.

Public names are loaded when they are first used: importing this package loads none of numpy,
scikit-learn and shap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affidavit.explain._disparities import Disparity, Pairwise
    from affidavit.explain._explanation import Explanation, Reason
    from affidavit.explain._fairness import FairnessResult
    from affidavit.explain._intervals import Estimate
    from affidavit.explain._measure import measure_fairness
    from affidavit.explain._model import explain_model
    from affidavit.explain._rates import GroupCounts, GroupRates

_LAZY = {
    "Disparity": "affidavit.explain._disparities",
    "Estimate": "affidavit.explain._intervals",
    "Explanation": "affidavit.explain._explanation",
    "FairnessResult": "affidavit.explain._fairness",
    "GroupCounts": "affidavit.explain._rates",
    "GroupRates": "affidavit.explain._rates",
    "Pairwise": "affidavit.explain._disparities",
    "Reason": "affidavit.explain._explanation",
    "explain_model": "affidavit.explain._model",
    "measure_fairness": "affidavit.explain._measure",
}

# The libraries that the private modules stand on; all come with the extra `explain`.
_HEAVY = {"narwhals", "numpy", "pandas", "pyarrow", "scipy", "shap", "sklearn"}

__all__ = [
    "Disparity",
    "Estimate",
    "Explanation",
    "FairnessResult",
    "GroupCounts",
    "GroupRates",
    "Pairwise",
    "Reason",
    "explain_model",
    "measure_fairness",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        from affidavit.errors import MissingDependencyError

        library = (error.name or "").split(".")[0]
        if library not in _HEAVY:
            raise
        raise MissingDependencyError(library, "explain") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
