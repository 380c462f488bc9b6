"""Measurements: attributions and fairness, as plain results."""

from __future__ import annotations

__all__: list[str] = []
