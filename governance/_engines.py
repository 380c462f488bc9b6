"""Which policy engine decides: the one that the settings name, made anew when its files change."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from typing import Any

from affidavit._settings import Settings
from affidavit.errors import ConfigurationError
from affidavit.policies import (
    CachedEngine,
    EmbeddedEngine,
    Engine,
    OpaServerEngine,
    StandbyEngine,
)

PAUSE_S = 1.0
"""Seconds between two attempts to make an engine that could not be made."""

_MOST = 8
"""Engines kept at once: one for each place that rules come from, and each home's digest key."""

_kept: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], Engine]] = OrderedDict()
_lock = threading.Lock()
_latest: list[tuple[Settings, bytes | None, str | None, Engine] | None] = [None]
# A child is forked from whatever thread forks, maybe while another holds the lock.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release)
os.register_at_fork(after_in_child=_lock.release)


def engine_for(settings: Settings, digest_key: bytes | None = None) -> Engine:
    """Return the engine that the settings name, the same one while nothing of it changes.

    Where it cannot be made, because a bundle is broken, unsigned or gone, what is returned denies
    with that reason and tries again; the settings are another object as soon as a file changes.

    Args:
        settings: Which engine, on which data.
        digest_key: Keys the digest of the input, so that nobody can guess an input from it.
    """
    # The settings are one object while nothing changes, so that identity tells most of the time.
    token = os.environ.get("AFFIDAVIT_OPA_TOKEN") if settings.engine == "opa" else None
    known = _latest[0]
    if known is not None and known[0] is settings and known[1:3] == (digest_key, token):
        return known[3]

    def make() -> Engine:
        return _engine(settings, digest_key, token)

    standby = StandbyEngine(make, digest_key=digest_key, pause=PAUSE_S)
    made = standby.ready()
    # An empty cache is false, so only None tells.
    engine: Engine = standby if made is None else made
    _latest[0] = (settings, digest_key, token, engine)
    return engine


def _engine(settings: Settings, digest_key: bytes | None, token: str | None) -> Engine:
    """Return the engine kept for a place while its version is the same; else a new one for it."""
    place = (settings.engine, settings.opa_url, settings.packs, digest_key)
    version = (
        settings.watched,
        json.dumps(settings.policy_data, sort_keys=True),
        settings.opa_bundle,
        settings.opa_ca,
        settings.verification_key,
        settings.bundle_scope,
        settings.policy_timeout,
        token,
    )
    with _lock:
        found = _kept.get(place)
        if found is None or found[0] != version:
            make = _server if settings.engine == "opa" else _embedded
            found = (version, make(settings, digest_key, token))
            _kept[place] = found
            while len(_kept) > _MOST:
                _kept.popitem(last=False)
        _kept.move_to_end(place)
        return found[1]


def _embedded(settings: Settings, digest_key: bytes | None, _: str | None) -> Engine:
    seconds = settings.policy_timeout or 2.0
    return CachedEngine(
        EmbeddedEngine(
            data=settings.policy_data or None,
            bundle=settings.packs,
            deadline_ms=max(1, round(seconds * 1000)),
            digest_key=digest_key,
            key=_verification_key(settings),
            scope=settings.bundle_scope,
        )
    )


def _verification_key(settings: Settings) -> bytes | None:
    """Return the key that must have signed the packs, where one is set."""
    path = settings.verification_key
    if path is None:
        return None
    if settings.policy_data:
        raise ConfigurationError(
            "A verification key is set, and policy data that no signature covers.",
            hint="Put the data into the bundle: affidavit policy bundle FILE --sign KEY.",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The verification key {path} cannot be read: {error.strerror}."
        ) from error


def _server(settings: Settings, digest_key: bytes | None, token: str | None) -> Engine:
    if not settings.opa_url:
        raise ConfigurationError(
            "The policy engine is an OPA server, but no url is set.",
            hint='Set url = "http://…" in the [policy] section of affidavit.toml.',
        )
    if settings.verification_key is not None:
        raise ConfigurationError(
            "A verification key is set, and an OPA server, which verifies its bundle itself.",
            hint="Start it with --verification-key, and set `bundle` to the bundle's digest.",
        )
    return OpaServerEngine(
        settings.opa_url,
        token=token,
        timeout=settings.policy_timeout or 1.0,
        bundle_digest=settings.opa_bundle or None,
        ca=settings.opa_ca,
        digest_key=digest_key,
    )
