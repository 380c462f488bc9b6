"""Rules: Rego packs, policy engines, decisions and obligations."""

from __future__ import annotations

__all__: list[str] = []
