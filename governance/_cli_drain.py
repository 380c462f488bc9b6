"""`affidavit drain`."""

from __future__ import annotations

from typing import Annotated

import typer

from affidavit._terminal import print_json, print_table, progress, say

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register_drain(app: typer.Typer) -> None:
    """Add the command that takes spools into the log."""
    app.command()(drain)


def drain(
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take what processes have acknowledged into the log; says what is missing."""
    from affidavit._context import present
    from affidavit._drainer import drain_until_idle
    from affidavit._spools import spools_of

    _, home = present()
    if follow:
        total = drain_until_idle(home, idle=float("inf"))
        say(f"{total} record(s) were taken into the log.")
        return
    with progress("Draining", quiet=as_json):
        done = spools_of(home).settle(force=True)
    lost = [(item.writer, item.first, item.last, item.reason) for item in done.lost]
    if as_json:
        names = ("writer", "first", "last", "reason")
        gaps = [dict(zip(names, row, strict=True)) for row in lost]
        print_json({"ok": not lost, "records": done.records, "ended": done.closed, "missing": gaps})
    else:
        say(f"{done.records} record(s) were taken into the log.")
        if lost:
            rows = [
                (w[:8], first, "?" if last is None else last, why) for w, first, last, why in lost
            ]
            print_table("Missing; a signed entry says so", ("writer", "from", "to", "why"), rows)
    raise typer.Exit(1 if lost else 0)
