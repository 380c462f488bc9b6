"""What is going on right now: the run, the request's predictions and who acts, per context.

`contextvars` carry it through nested calls, coroutines and threads that copy their context.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from affidavit._home import Home, open_home
from affidavit._settings import Settings, load_settings

if TYPE_CHECKING:
    from affidavit._run import Run

current_run: ContextVar[Run | None] = ContextVar("affidavit_run", default=None)
"""The innermost run that is under way."""

current_actor: ContextVar[str] = ContextVar("affidavit_actor", default="")
"""Who makes the present request, where something else than the process's user does."""

current_client: ContextVar[str] = ContextVar("affidavit_client", default="")
"""The network address that the present request came from, where the middleware tells it."""

served: ContextVar[list[str] | None] = ContextVar("affidavit_served", default=None)
"""Collects the ids of a request's predictions; every task and thread of it adds to one list."""


_Ids = tuple[tuple[str, ...], "_Ids | None"]
"""Some ids and those before them: adding to such a list costs the same however long it is."""

_recent: ContextVar[tuple[int, _Ids | None, _Ids | None]] = ContextVar(
    "affidavit_recent", default=(0, None, None)
)
"""How many ids are in the newer list, that list, and the full one before it."""
_MOST_RECENT = 1000


def note_served(identifiers: list[str]) -> None:
    """Add the ids of predictions that were just served."""
    collected = served.get()
    if collected is not None:
        collected.extend(identifiers)
        return
    # A value of its own for each context: what one task serves is no other's.
    count, newer, older = _recent.get()
    if count >= _MOST_RECENT:
        count, newer, older = 0, None, newer
    _recent.set((count + len(identifiers), (tuple(identifiers), newer), older))


def prediction_ids() -> list[str]:
    """Return the ids of the predictions served in this context, newest last.

    In a request under the ASGI middleware these are the request's, else the context's last ones.
    """
    collected = served.get()
    if collected is not None:
        return list(collected)
    _, newer, older = _recent.get()
    found: list[str] = []
    for part in (newer, older):
        rest = part
        while rest is not None:
            ids, rest = rest
            found += reversed(ids)
    return found[:_MOST_RECENT][::-1]


def present() -> tuple[Settings, Home]:
    """Return the settings in force and the home that they name.

    Raises:
        NotInitialisedError: There is no home there.
        ConfigurationError: A setting is wrong.
    """
    settings = load_settings()
    return settings, open_home(settings.home, settings.store)


def acting(settings: Settings) -> str:
    """Return who acts now."""
    return current_actor.get() or settings.actor


def run_id() -> str:
    """Return the id of the innermost run that is under way; empty where there is none."""
    work = current_run.get()
    return work.id if work is not None else ""
