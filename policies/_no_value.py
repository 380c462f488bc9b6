"""What a function of the host may say instead of giving a value."""

from __future__ import annotations

__all__ = ["NoValueError", "UnknownResultError"]


class NoValueError(Exception):
    """OPA gives no value for these arguments: the expression is undefined."""


class UnknownResultError(Exception):
    """It is not known here what OPA gives for these arguments: the evaluation must fail."""
