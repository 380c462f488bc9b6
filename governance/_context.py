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

served: ContextVar[list[str] | None] = ContextVar("affidavit_served", default=None)
"""The ids of the predictions served in this context, newest last."""


def present() -> tuple[Settings, Home]:
    """Return the settings in force and the home that they name.

    Raises:
        NotInitialisedError: There is no home there.
        ConfigurationError: A setting is wrong.
    """
    settings = load_settings()
    return settings, open_home(settings.home)


def acting(settings: Settings) -> str:
    """Return who acts now."""
    return current_actor.get() or settings.actor
