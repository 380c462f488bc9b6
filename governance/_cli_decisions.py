"""`affidavit policy replay`, `diff`, `keep` and `ship`: what becomes of past decisions."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit._terminal import print_json, print_table, progress, say

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Decisions' ids.")]
Every = Annotated[bool, typer.Option("--all", help="Every decision in the log.")]
Since = Annotated[str, typer.Option(help="Decisions from a day or moment on.")]
Entrypoint = Annotated[str, typer.Option(help="Only this entry point's decisions.")]
_LISTED = 50


def register_decisions(policy: typer.Typer) -> None:
    """Add the commands about past decisions."""
    for command in (replay, diff, keep, ship):
        policy.command()(command)


def replay(
    ids: Ids = None,
    *,
    every: Every = False,
    since: Since = "",
    entrypoint: Entrypoint = "",
    as_json: AsJson = False,
) -> None:
    """Evaluate past decisions again from the log alone. Exit 0 all agree, 1 one differs, 4 lacks.

    The rules are the kept bundle that each decision names; settings and clock are not looked at.
    """
    from affidavit._replay import STATUSES, exit_code
    from affidavit._replay import replay as evaluate

    home, decisions, pasts = _chosen(ids, every=every, since=since, entrypoint=entrypoint)
    with progress("replaying", quiet=as_json) as told:
        found = evaluate(home, decisions, pasts, told)
    counted = Counter(one.status for one in found)
    counts = {name: counted[name] for name in STATUSES if counted[name]}
    code = exit_code(counts)
    trust = decisions.trust()
    if as_json:
        rows = [one.to_dict() for one in found]
        print_json({"ok": code == 0, "log": trust, "counts": counts, "decisions": rows})
        raise typer.Exit(code)
    lines = ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
    say(f"{len(found)} replayed: {lines}", "green" if code == 0 else "bold red")
    say(f"covered by the checkpoint of {trust['size']} entries of {trust['origin']}")
    odd = [one for one in found if one.status != "agrees"]
    if odd:
        table = [(o.past.facts.id, o.past.facts.entrypoint, o.status, o.reason) for o in odd]
        print_table("Not equal", ("decision", "entry point", "status", "why"), table[:_LISTED])
        _more(len(table))
    raise typer.Exit(code)


def diff(
    ids: Ids = None,
    *,
    bundle: Annotated[Path, typer.Option(help="A built folder, or a bundle's archive.")],
    data: Annotated[Path | None, typer.Option(help="Data over the bundle's own.")] = None,
    every: Every = False,
    since: Since = "",
    entrypoint: Entrypoint = "",
    as_json: AsJson = False,
) -> None:
    """List which past decisions another bundle would decide otherwise. Exit 1 where one would."""
    from affidavit._policy_diff import diff_policy, proposed_engine
    from affidavit._replay import exit_code

    engine = proposed_engine(bundle, data)
    _, decisions, pasts = _chosen(ids, every=every, since=since, entrypoint=entrypoint)
    with progress("comparing", quiet=as_json) as told:
        found = diff_policy(decisions, pasts, engine, told)
    lacking = Counter(status for _, status, _ in found.skipped)
    code = 1 if found.changes else exit_code(lacking)
    if as_json:
        print_json({"ok": code == 0, "log": decisions.trust(), **found.to_dict()})
        raise typer.Exit(code)
    changed = len(found.changes)
    say(f"{changed} of {found.compared} decisions would be otherwise by {found.revision}")
    if found.changes:
        print_table("By rule", ("rule", "change", "decisions"), found.by_rule())
        rows = [
            (one.past.facts.id, one.past.facts.entrypoint, one.past.facts.resource, one.change)
            for one in found.changes
        ]
        columns = ("decision", "entry point", "about", "change")
        print_table("Decisions", columns, rows[:_LISTED])
        _more(len(rows))
    if found.skipped:
        skipped = [(past.facts.id, status, why) for past, status, why in found.skipped]
        print_table("Not compared", ("decision", "status", "why"), skipped[:_LISTED])
        _more(len(skipped))
    raise typer.Exit(code)


def keep(
    bundle: Annotated[Path, typer.Argument(help="A bundle's archive.")],
    *,
    verification_key: Annotated[
        Path | None, typer.Option(help="The public key in PEM that must have signed it.")
    ] = None,
    scope: Annotated[str, typer.Option(help="What the signature must be for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep a bundle that past decisions name and the home lacks, so that they can be replayed."""
    from affidavit._context import present
    from affidavit._files import read_file
    from affidavit._kept_bundles import keep_bundle

    settings, home = present()
    key = read_file(verification_key) if verification_key is not None else None
    content = read_file(bundle)
    revision, entry = keep_bundle(home, settings, content, key=key, scope=scope)
    if as_json:
        print_json({"ok": True, "revision": revision, "entry": entry})
    elif entry is None:
        say(f"The bundle {revision} is kept already.")
    else:
        say(f"The bundle {revision} is kept (entry {entry}).", "green")


def ship(
    *,
    url: Annotated[str, typer.Option(help="The service; [policy.decision_log] by default.")] = "",
    partition: Annotated[str, typer.Option(help="Posted to /logs/PARTITION.")] = "",
    follow: Annotated[bool, typer.Option(help="Go on until it is ended.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Post decisions to a service that takes OPA's decision logs, from where it stopped."""
    from affidavit._context import present
    from affidavit._ship import shipper_for

    settings, home = present()
    shipper = shipper_for(home, settings, url=url, partition=partition)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            shipper.follow(every=every, told=_told)
        return
    with progress("shipping", quiet=as_json) as told:
        done = shipper.ship(told)
    if as_json:
        facts = {"decisions": done.decisions, "uploads": done.uploads, "next": done.next}
        print_json({"ok": True, "url": shipper.url, **facts})
    else:
        say(f"{done.decisions} decisions shipped in {done.uploads} uploads.", "green")


def _told(what: Any) -> None:
    from affidavit._ship import Shipped
    from affidavit.lineage import timestamp

    if isinstance(what, Shipped):
        say(f"{timestamp()} {what.decisions} decisions shipped, up to entry {what.next}")
    else:
        say(f"{timestamp()} {what}", "red")


def _chosen(ids: list[str] | None, *, every: bool, since: str, entrypoint: str) -> Any:
    from affidavit._context import present
    from affidavit._replay import PastDecisions, since_moment

    if bool(ids) is (every or bool(since) or bool(entrypoint)):
        raise typer.BadParameter("Give decisions' ids, or --all, --since or --entrypoint.")
    _, home = present()
    decisions = PastDecisions(home)
    if ids:
        return home, decisions, list(decisions.named(ids))
    moment = since_moment(since) if since else None
    return home, decisions, decisions.every(since=moment, entrypoint=entrypoint)


def _more(count: int) -> None:
    if count > _LISTED:
        say(f"and {count - _LISTED} more; --json has all of them.")
