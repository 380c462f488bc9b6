"""What stands in for an engine that cannot be made: it denies, and says why."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from affidavit.errors import AffidavitError, PolicyEngineError
from affidavit.policies._canonical import canonical_input, input_digest
from affidavit.policies._decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from affidavit.policies._engine import Engine

__all__ = ["StandbyEngine"]


class StandbyEngine:
    """Denies every request until the engine that was asked for can be made.

    Args:
        make: Makes the engine; whatever it raises of ours is the reason of the denials.
        digest_key: Key for the digest of the input, as of the other engines.
        pause: Seconds between two attempts.
        clock: A monotonic clock in seconds.
    """

    name = "none"

    def __init__(
        self,
        make: Callable[[], Engine],
        *,
        digest_key: bytes | None = None,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._digest_key = digest_key
        self._pause = pause
        self._clock = clock
        self._engine: Engine | None = None
        self._reason = ""
        self._next = clock()
        self._lock = threading.Lock()

    def ready(self) -> Engine | None:
        """The engine, or None while it cannot be made; tried at most once in each pause."""
        with self._lock:
            if self._engine is None and self._clock() >= self._next:
                try:
                    self._engine = self._make()
                except AffidavitError as error:
                    self._reason = str(error)
                    self._next = self._clock() + self._pause
            return self._engine

    def decide(self, entrypoint: str, input: Mapping[str, Any]) -> Decision:  # noqa: A002  # the contract's word
        """Decide by the engine, or deny with the rule ``engine.unloadable`` and the reason.

        Args:
            entrypoint: The rule to ask.
            input: The request.
        """
        engine = self.ready()
        if engine is not None:
            return engine.decide(entrypoint, input)
        try:
            digest = input_digest(canonical_input(input), self._digest_key)
        except PolicyEngineError:
            digest = ""
        return Decision.denied(
            entrypoint, "engine.unloadable", self._reason, engine=self.name, input_digest=digest
        )
