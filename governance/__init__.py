"""Affidavit: signed lineage, enforced policies, explanations and fairness for machine learning.

Public names are loaded when they are first used, so that ``import affidavit`` stays cheap enough
for a serving process and imports no data-science library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affidavit.errors import AffidavitError, PolicyDenied

__version__ = "0.1.0"

_LAZY = {
    "AffidavitError": "affidavit.errors",
    "PolicyDenied": "affidavit.errors",
}

__all__ = ["AffidavitError", "PolicyDenied", "__version__"]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
