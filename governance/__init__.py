"""Affidavit: signed lineage, enforced policies, explanations and fairness for machine learning.

Public names are loaded when they are first used, so that ``import affidavit`` stays cheap enough
for a serving process and imports no data-science library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.errors import AffidavitError, PolicyDenied

__version__ = "0.1.0"

_SOURCES = {
    "AffidavitError": "affidavit.errors",
    "PolicyDenied": "affidavit.errors",
}

__all__ = ["AffidavitError", "PolicyDenied", "__version__"]

__getattr__ = lazy_names(__name__, _SOURCES)
