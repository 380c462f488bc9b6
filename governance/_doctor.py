"""`affidavit doctor`: whether everything that is needed is there and in order."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from affidavit._context import present
from affidavit._engines import engine_for
from affidavit._settings import Settings, load_settings
from affidavit._spools import spools_of
from affidavit.errors import AffidavitError
from affidavit.lineage import store_location

_EXTRAS = {
    "frames": ("narwhals", "pyarrow", "numpy"),
    "explain": ("shap", "fairlearn", "sklearn"),
    "opa": ("opa_client",),
    "hsm": ("securesystemslib", "pkcs11"),
    "postgres": ("psycopg",),
    "ui": ("streamlit", "jinja2", "altair"),
}
_MUCH_KIB = 8 << 10
_LOW_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What it is.
        state: ``ok``; ``warn``, which does not stop work; or ``fail``.
        message: What was found, and what to do where it is not ok.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str

    def to_dict(self) -> dict[str, str]:
        """Return the check, JSON-safe."""
        return {"name": self.name, "state": self.state, "message": self.message}


def examine() -> Iterator[Check]:
    """Give one check after the other."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Check("python", "ok" if good else "fail", f"{version} (3.11 or later is needed)")
    yield from _extras()
    yield _guard("settings", _settings)
    yield _guard("home", _home)
    yield _guard("keys", _keys)
    yield _guard("spools", _spools)
    yield _guard("policy", _policy)
    yield _guard("disk", _disk)
    yield _opa()


def _guard(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except AffidavitError as error:
        return Check(name, "fail", str(error))
    except OSError as error:
        return Check(name, "fail", f"{error.strerror}.")


def _extras() -> Iterator[Check]:
    for extra, libraries in _EXTRAS.items():
        missing = [lib for lib in libraries if importlib.util.find_spec(lib) is None]
        if missing:
            hint = f"{', '.join(missing)} missing; pip install 'affidavit[{extra}]' brings it."
            yield Check(f"extra {extra}", "warn", hint)
        else:
            yield Check(f"extra {extra}", "ok", ", ".join(libraries))


def _settings() -> Check:
    settings = load_settings()
    where = f", store {store_location(settings.store)}" if settings.store else ""
    return Check("settings", "ok", f"home {settings.home}{where}, actor {settings.actor}")


def _home() -> Check:
    _, home = present()
    head = home.ledger.head()
    return Check("home", "ok", f"{head.size} entries, log {head.origin}")


def _keys() -> Check:
    settings = load_settings()
    folder = settings.home / "keys"
    for path in sorted(folder.iterdir()):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            return Check("keys", "fail", f"{path.name} has mode {mode:04o}; chmod 600 it.")
    _, home = present()
    home.recorder.sign(b"doctor")
    home.vault.pseudonym("doctor")
    return Check("keys", "ok", "present, mode 0600")


def _spools() -> Check:
    _, home = present()
    if not home.can_append():
        return Check("spools", "ok", "not this user's to drain")
    waiting = spools_of(home).waiting()
    damaged = len(list(spools_of(home).folder.glob("*.damaged")))
    if damaged:
        message = f"{damaged} damaged, kept in {spools_of(home).folder} until the next erasure."
        return Check("spools", "warn", message)
    if not waiting:
        return Check("spools", "ok", "nothing waits")
    size = sum(waiting.values()) >> 10
    message = f"{size} KiB of {len(waiting)} writer(s) wait; `affidavit drain` takes them in."
    return Check("spools", "warn" if size > _MUCH_KIB else "ok", message)


def _policy() -> Check:
    settings: Settings = load_settings()
    question: dict[str, Any] = {}
    decision = engine_for(settings).decide("affidavit/data_read", question)
    if decision.allow:
        return Check("policy", "fail", "an empty question was allowed; do not trust this engine.")
    if not decision.bundle_digest:
        return Check("policy", "fail", f"{decision.deny[0].message}")
    detail = f"{decision.engine}, OPA {decision.engine_version}, {decision.bundle_digest[:19]}…"
    state: Literal["ok", "warn"] = "warn" if settings.mode == "observe" else "ok"
    return Check("policy", state, f"{detail}, mode {settings.mode}")


def _disk() -> Check:
    settings = load_settings()
    place = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(place).free
    state: Literal["ok", "warn"] = "ok" if free > _LOW_BYTES else "warn"
    writable = os.access(place, os.W_OK)
    if not writable:
        return Check("disk", "fail", f"{place} cannot be written by this user.")
    return Check("disk", state, f"{free // 2**20} MiB free")


def _opa() -> Check:
    found = shutil.which("opa")
    if found is None:
        return Check("opa", "warn", "not on PATH; only `policy build` and `policy test` need it.")
    return Check("opa", "ok", found)
