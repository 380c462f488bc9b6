"""`affidavit retain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit._terminal import print_facts, print_json, progress, say
from affidavit.errors import ConfigurationError

if TYPE_CHECKING:
    from affidavit._retain import Retention


def register_retain(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retain)


def retain(
    *,
    records: Annotated[
        bool, typer.Option("--records", help="Prune served records that are old enough too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Remove personal data, and with --records served records, that the settings call too old.

    Statements, hashes and checkpoints stay, and every proof holds.
    """
    from affidavit._context import present
    from affidavit._retain import plan, rule_of
    from affidavit._retain import retain as remove

    settings, home = present()
    rule = rule_of(settings, records=records)
    if dry_run or not yes:
        with progress("Reading entries", quiet=as_json):
            found = plan(home, rule)
        if dry_run or not as_json:
            _show(found, as_json=as_json, planned=True)
        if dry_run:
            return
        if as_json:
            raise ConfigurationError(
                "With --json nobody is asked.", hint="Give --dry-run to see, or --yes to do it."
            )
        if not found.nothing:
            typer.confirm("Remove this for good?", abort=True)
    with progress("Removing", quiet=as_json) as told:
        done = remove(home, settings, rule, told)
    _show(done, as_json=as_json, planned=False)


def _show(found: Retention, *, as_json: bool, planned: bool) -> None:
    if as_json:
        print_json({"ok": True, "dry_run": planned, **found.to_dict()})
        return
    if found.nothing:
        say("Nothing is old enough.")
    else:
        say("This would go:" if planned else "This is gone:", "bold")
    facts = {
        "personal data": f"of {found.payloads} record(s), {found.keys} data subject(s) wholly",
        "personal data before": found.payloads_cutoff,
        "records": found.records,
        "records before": found.records_cutoff,
        "kept by a legal hold": f"{found.held} record(s)" if found.held else "",
        "log indexes": _spans(found.ranges),
        "statement": ", ".join(f"entry {entry}" for entry in found.entries),
    }
    print_facts({name: value for name, value in facts.items() if value})
    if not planned and not found.nothing:
        say("Backups and copies of the home keep what they hold: treat them likewise.")


def _spans(ranges: Sequence[tuple[int, int]]) -> str:
    shown = [str(one) if one == last else f"{one} to {last}" for one, last in ranges[:8]]
    return ", ".join(shown) + (" …" if len(ranges) > 8 else "")
