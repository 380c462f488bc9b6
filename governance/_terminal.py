"""What the CLI prints: text from the ledger shown as text, JSON, tables, progress and errors.

Rich is loaded where something is laid out or coloured: it takes longer to load than most commands
take to run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from affidavit.errors import AffidavitError

if TYPE_CHECKING:
    from rich.console import Console


@functools.cache
def _out() -> Console:
    from rich.console import Console

    found = Console(highlight=False)
    # Whoever reads a pipe wants whole ids, not columns folded to a guessed width.
    return found if found.is_terminal else Console(highlight=False, width=200)


@functools.cache
def _err() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _plain() -> bool:
    """Return whether a style would not show, so that text can be written as it is."""
    forced = any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return not forced and not sys.stdout.isatty()


def clean(value: Any) -> str:
    """Return text in which control and direction-changing characters show as escapes.

    A name in the ledger may hold anything; nothing of it may move the cursor, colour the screen or
    reverse the reading direction.
    """
    text = value if isinstance(value, str) else str(value)
    return "".join(
        ch
        if ch == "\n" or unicodedata.category(ch) not in {"Cc", "Cf", "Cs", "Co"}
        else _escape(ch)
        for ch in text
    )


def _escape(ch: str) -> str:
    return f"\\x{ord(ch):02x}" if ord(ch) < 256 else f"\\u{ord(ch):04x}"


def say(value: Any, style: str = "") -> None:
    """Print a line of text as it is."""
    if _plain():
        sys.stdout.write(f"{clean(value)}\n")
        return
    from rich.text import Text

    _out().print(Text(clean(value), style=style), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str = ""
) -> None:
    """Print a table; where there are no rows, a line that says what to do."""
    if not rows:
        say(empty or f"{title}: none.")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(clean(title)), title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(clean(cell).replace("\n", " ")) for cell in row))
    _out().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")


@contextlib.contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show how far long work is, on a terminal; the work calls back with (done, total)."""
    if quiet or not _err_is_terminal():
        yield lambda _done, _total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_err(), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _err_is_terminal() -> bool:
    return sys.stderr.isatty() and _err().is_terminal


def print_error(error: AffidavitError, *, as_json: bool) -> None:
    """Print an error of ours, with what to do next, and never a traceback."""
    if as_json:
        print_json({"ok": False, "error": _error(error), "errors": [_error(error)]})
        return
    from rich.text import Text

    err = _err()
    err.print(Text("Error: ", style="bold red"), end="")
    err.print(Text(clean(error.message)), soft_wrap=True)
    if error.hint:
        err.print(Text("  Next: ", style="bold"), end="")
        err.print(Text(clean(error.hint)), soft_wrap=True)


def _error(error: AffidavitError) -> dict[str, str]:
    return {
        "code": type(error).__name__,
        "where": "",
        "message": error.message,
        "hint": error.hint,
    }
