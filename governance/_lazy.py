"""Public names that are loaded when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from affidavit.errors import MissingDependencyError


def lazy_names(
    package: str, sources: Mapping[str, str], extras: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose public names live in private modules.

    Args:
        package: The package's ``__name__``.
        sources: For each public name the module that defines it.
        extras: For each library that such a module stands on, the extra that brings it.

    Returns:
        A function that raises `MissingDependencyError` where such a library is not installed.
    """

    def find(name: str) -> Any:
        module = sources.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in (extras or {}):
                raise
            raise MissingDependencyError(library, (extras or {})[library]) from error
        setattr(sys.modules[package], name, value)
        return value

    return find
