"""Presentation: the auditor's app and printable reports over one read model."""

from __future__ import annotations

__all__: list[str] = []
