"""An engine that obliges: the shipped packs decide, and each allowance carries more."""

from __future__ import annotations

import dataclasses

from affidavit import _policy, _serve_plan
from affidavit.policies import CachedEngine, Decision, EmbeddedEngine, Obligation


class Obliging:
    """The embedded engine with obligations added to every allowance of some entry points.

    Args:
        obligations: What is added.
        only: The entry points concerned; all where empty.
    """

    def __init__(self, *obligations: Obligation, only: tuple[str, ...] = ()) -> None:
        self._inner = CachedEngine(EmbeddedEngine())
        self._obligations = obligations
        self._only = only

    def decide(self, entrypoint, document) -> Decision:
        decision = self._inner.decide(entrypoint, document)
        if not decision.allow or (self._only and entrypoint not in self._only):
            return decision
        obligations = (*decision.obligations, *self._obligations)
        return dataclasses.replace(decision, obligations=obligations)


def oblige(monkeypatch, *obligations: Obligation, only: tuple[str, ...] = ()) -> None:
    """Make every hook of this process ask such an engine."""
    engine = Obliging(*obligations, only=only)
    for module in (_policy, _serve_plan):
        monkeypatch.setattr(module, "engine_for", lambda *_: engine)
