"""Decisions remembered, without ever answering from one that could have changed."""

from __future__ import annotations

import marshal
import re
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

from affidavit.errors import ConfigurationError
from affidavit.policies._instants import epoch_seconds, phase, request_instants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from affidavit.policies._decision import Decision
    from affidavit.policies._engine import CacheProfile

__all__ = ["CachedEngine", "StandingRequest"]

_VOLATILE = ("time", "request_id")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,256}")
# Version 2 writes no references between equal objects: equal values give equal bytes.
_MARSHAL_VERSION = 2

_Standing = tuple[str, tuple[int, ...], int, tuple[int, int], bytes]
_NEW: _Standing = ("", (), 0, (0, 0), b"")


class _Cacheable(Protocol):
    @property
    def bundle_digest(self) -> str: ...

    def cache_profile(self, entrypoint: str) -> CacheProfile: ...

    def decide(
        self,
        entrypoint: str,
        input: Mapping[str, Any],  # noqa: A002  # the word of the contract
    ) -> Decision: ...


class CachedEngine:
    """A cache in front of an engine.

    The key is the entry point, the bundle's digest and the whole input less its volatile fields,
    encoded so that values of different types never meet. A field is left out only if the caller
    asks for it *and* the pack declares that it cannot change the decision (``volatile`` in the
    manifest). For ``time`` a pack declares that decisions change only at the instants which data
    and request hold (a grant expires, data are kept for too long): the key keeps how many of them
    are past, so that an answer outlives none of them. An entry point that measures age against
    the clock (promotion) declares no such thing, and its answers are then as good as never reused.

    Only answers of rules are kept: trouble with the engine or the input never is. An input whose
    volatile fields are not well formed goes to the engine.

    Args:
        inner: The engine that decides.
        volatile: Fields to leave out where the pack permits it; ``time`` and ``request_id``.
        size: How many answers are kept; the one not used for longest goes first.
        ttl: How long an answer is kept, in seconds.
        clock: A monotonic clock in seconds.

    Raises:
        ConfigurationError: A field is not one that can be left out, or a number is not positive.
    """

    def __init__(
        self,
        inner: _Cacheable,
        *,
        volatile: Iterable[str] = _VOLATILE,
        size: int = 4096,
        ttl: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._volatile = frozenset(volatile)
        if not self._volatile <= set(_VOLATILE) or size < 1 or not ttl > 0:
            raise ConfigurationError(
                f"A policy cache needs volatile fields among {', '.join(_VOLATILE)}, size ≥ 1 and "
                f"ttl > 0; found {sorted(self._volatile)}, {size} and {ttl}."
            )
        self._inner = inner
        self._size = size
        self._ttl = ttl
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Decision]] = OrderedDict()
        self._profiles: dict[tuple[str, str], CacheProfile] = {}
        self._times: tuple[str, int | None] = ("", None)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bundle_digest(self) -> str:
        """The digest of the engine's rules and data."""
        return self._inner.bundle_digest

    def clear(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._kept.clear()

    def _seconds(self, text: object) -> int | None:
        # A service asks many times within one second: remember the last one read.
        known, value = self._times
        if text.__class__ is str and text == known:
            return value
        value = epoch_seconds(text)
        if isinstance(text, str) and text.endswith("Z"):
            self._times = (text, value)
            return value
        return None

    def standing(self, entrypoint: str, input: Mapping[str, Any]) -> StandingRequest:  # noqa: A002  # the contract's word
        """A request that is put again and again, with another time and request id each time.

        Args:
            entrypoint: The rule to ask.
            input: The request, which must not change afterwards.
        """
        return StandingRequest(self, entrypoint, input)

    def _standing_key(self, entrypoint: str, document: Mapping[str, Any]) -> _Standing:
        """What a standing request is remembered by; no key where the time matters."""
        digest = self._inner.bundle_digest
        profile = self._profile(entrypoint, digest)
        key = self._key(entrypoint, digest, document)
        at = self._seconds(document["time"])
        if key is None or at is None or not profile.volatile & self._volatile >= set(_VOLATILE):
            return _NEW
        own = request_instants(document, profile.periods)
        instants = tuple(sorted({*profile.instants, *own})) if own else profile.instants
        return digest, instants, profile.step, phase(instants, profile.step, at), key

    def _profile(self, entrypoint: str, digest: str) -> CacheProfile:
        profile = self._profiles.get((entrypoint, digest))
        if profile is None:
            profile = self._inner.cache_profile(entrypoint)
            self._profiles = {
                (entrypoint, digest): profile,
                **dict(list(self._profiles.items())[:63]),
            }
        return profile

    def _key(self, entrypoint: str, digest: str, document: Mapping[str, Any]) -> bytes | None:
        """The key of a request, or None where it must go to the engine."""
        if document.__class__ is not dict or not digest:
            return None
        profile = self._profile(entrypoint, digest)
        left_out = profile.volatile & self._volatile
        past: tuple[int, int, int] | None = None
        if "time" in left_out:
            at = self._seconds(document.get("time"))
            if at is None:
                return None
            own = request_instants(document, profile.periods)
            past = (*phase(profile.instants, profile.step, at), sum(one <= at for one in own))
        if "request_id" in left_out:
            request_id = document.get("request_id")
            if request_id.__class__ is not str or not _REQUEST_ID.fullmatch(request_id):
                return None
        kept = {key: value for key, value in document.items() if key not in left_out}
        try:
            return marshal.dumps((entrypoint, digest, past, kept), _MARSHAL_VERSION)
        except ValueError:
            # Something that JSON may not know either: the engine says what.
            return None

    def _recall(self, key: bytes) -> Decision | None:
        found = self._kept.get(key)
        if found is None or self._clock() >= found[0]:
            return None
        try:  # noqa: SIM105  # on the path of every served call
            self._kept.move_to_end(key)
        except KeyError:
            # Another thread let it go meanwhile; the answer stands.
            pass
        return found[1]

    def decide(self, entrypoint: str, input: Mapping[str, Any]) -> Decision:  # noqa: A002  # the contract's word
        """Decide one request, from memory where an equal one was decided by rules before.

        Args:
            entrypoint: The rule to ask.
            input: The request.

        Returns:
            The decision; ``cached`` tells whether it was remembered.
        """
        digest = self._inner.bundle_digest
        key = self._key(entrypoint, digest, input)
        if key is None:
            return self._inner.decide(entrypoint, input)
        found = self._recall(key)
        if found is not None:
            return found
        now = self._clock()
        decision = self._inner.decide(entrypoint, input)
        # A server may have changed its bundle since the key was made.
        if decision.trustworthy and decision.bundle_digest == digest:
            with self._lock:
                self._kept[key] = (now + self._ttl, decision.from_cache())
                self._kept.move_to_end(key)
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
        return decision


class StandingRequest:
    """A request whose key in a cache is made once for all its times.

    Args:
        engine: The cache in front of an engine.
        entrypoint: The rule to ask.
        document: The request.
    """

    def __init__(self, engine: CachedEngine, entrypoint: str, document: Mapping[str, Any]) -> None:
        self._engine = engine
        self._entrypoint = entrypoint
        self._document = dict(document)
        self._known = _NEW

    def decide(self, time: str, request_id: str) -> Decision:
        """Decide the request at some time, as `CachedEngine.decide` does.

        Args:
            time: The request's ``time``.
            request_id: Its ``request_id``.
        """
        engine, entrypoint = self._engine, self._entrypoint
        digest, instants, step, past, key = self._known
        if key and digest == engine.bundle_digest and _REQUEST_ID.fullmatch(request_id):
            at = engine._seconds(time)  # noqa: SLF001  # the two share one cache
            if at is not None and phase(instants, step, at) == past:
                found = engine._recall(key)  # noqa: SLF001  # as above
                if found is not None:
                    return found
        document = {**self._document, "time": time, "request_id": request_id}
        decision = engine.decide(entrypoint, document)
        self._known = engine._standing_key(entrypoint, document)  # noqa: SLF001  # as above
        return decision
