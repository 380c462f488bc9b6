"""What every policy engine is, and what a cache in front of it may rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from affidavit.policies._decision import Decision

__all__ = ["CacheProfile", "Engine"]


@runtime_checkable
class Engine(Protocol):
    """Anything that decides; `EmbeddedEngine` and `OpaServerEngine` do."""

    def decide(self, entrypoint: str, input: Mapping[str, Any]) -> Decision:  # noqa: A002  # the contract's word
        """Decide one request; trouble with the engine is a denial, never an exception."""
        ...


@dataclass(frozen=True, slots=True)
class CacheProfile:
    """Which fields of a request cannot change an entry point's decision.

    Args:
        volatile: Top-level fields that do not matter, as the pack declares them.
        instants: The instants in the data, in seconds since 1970, at which decisions may change,
            in order. With ``time`` among the volatile fields, two times with the same number of
            instants at or before them decide alike.
        periods: Numbers of days; a date in the request's attributes adds further instants, such
            many days later.
        step: Where it is not 0, times decide alike only within the same such many seconds.
    """

    volatile: frozenset[str] = frozenset()
    instants: tuple[int, ...] = ()
    periods: tuple[int, ...] = ()
    step: int = 0
