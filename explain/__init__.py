"""Measurements: attributions and fairness, as plain results.

Public names are loaded when they are first used: importing this package loads none of numpy,
scikit-learn and shap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.explain._disparities import Disparity, Pairwise
    from affidavit.explain._explanation import Explanation, Reason
    from affidavit.explain._fairness import FairnessResult
    from affidavit.explain._intervals import Estimate
    from affidavit.explain._measure import measure_fairness
    from affidavit.explain._model import explain_model
    from affidavit.explain._rates import GroupCounts, GroupRates

_SOURCES = {
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
# The extra that brings each library behind these names.
_EXTRAS = dict.fromkeys(
    ("narwhals", "numpy", "pandas", "pyarrow", "scipy", "shap", "sklearn"), "explain"
)

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

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES, _EXTRAS)
