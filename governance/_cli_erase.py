"""`affidavit erase`, `hold` and `reindex`."""

from __future__ import annotations

from typing import Annotated

import typer

from affidavit._terminal import print_facts, print_json, progress, say

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register_erase(app: typer.Typer) -> None:
    """Add the commands around personal data and the index."""
    for command in (erase, hold, reindex):
        app.command()(command)


def erase(
    subject: Annotated[str, typer.Argument(help="The data subject, or a prediction's id.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it must not name the person.")] = "",
    as_json: AsJson = False,
) -> None:
    """Destroy a data subject's key and personal data for good; every proof stays valid."""
    from affidavit._context import present
    from affidavit._erase import erase as destroy

    settings, home = present()
    with progress("Erasing", quiet=as_json):
        done = destroy(home, settings, subject, reason)
    if as_json:
        print_json({"ok": True, **done.to_dict()})
    else:
        say(f"The personal data of {done.payloads} record(s) and its key are destroyed.")
        print_facts({"statement": f"entry {done.entry}", "pseudonym": done.pseudonym})
        if settings.store:
            say(
                "The server's write-ahead log holds them until it reuses its files, and so do "
                "replicas."
            )
        say("Backups and copies of the home keep what they hold: treat them likewise.")


def hold(
    subject: Annotated[str, typer.Argument(help="The data subject, or a prediction's id.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it must not name the person.")],
    release: Annotated[bool, typer.Option("--release", help="End the hold.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a legal hold on a data subject's personal data: it blocks erasure."""
    from affidavit._context import present
    from affidavit._erase import hold as put

    settings, home = present()
    pseudonym, entry = put(home, settings, subject, reason, release=release)
    if as_json:
        facts = {"ok": True, "pseudonym": pseudonym, "entry": entry}
        print_json({**facts, "held": not release})
    else:
        say(f"The hold is {'released' if release else 'in force'} (entry {entry}).")


def reindex(*, as_json: AsJson = False) -> None:
    """Make the index anew from the entries; says what it repaired."""
    from affidavit._context import present
    from affidavit.lineage import reindex as rebuild

    _, home = present()
    with progress("Reading entries", quiet=as_json) as told:
        done = rebuild(home.ledger, progress=told)
    if as_json:
        print_json({"ok": True, **done.to_dict()})
    else:
        say(f"The index has {done.rows} rows from {done.entries} entries.")
        say(f"{done.missing} were missing, {done.changed} changed, {done.extra} too many.")
