"""`affidavit controls`: what the evidence shows of each clause of a framework."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from affidavit._cli_proof import WitnessKeys, read_witnesses
from affidavit._terminal import print_facts, print_json, print_table, say
from affidavit.errors import ConfigurationError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_STYLES = {0: "bold green", 1: "bold red", 3: "bold red", 4: "bold red"}
_WORDS = {
    0: "Nothing is missing",
    1: "MISSING EVIDENCE",
    3: "NOT DECIDED",
    4: "EVIDENCE NOT VERIFIED",
}


def register_controls(app: typer.Typer) -> None:
    """Add the command that shows clauses and their evidence."""
    app.command()(controls)


def controls(
    name: Annotated[str, typer.Argument(help="The system, or a model such as NAME@sha256:…")] = "",
    *,
    framework: Annotated[
        list[str] | None,
        typer.Option(help="A framework, in place of those that the system declares; repeatable."),
    ] = None,
    effective_time: Annotated[
        str, typer.Option(help="Judge as at this moment, RFC 3339 in UTC.")
    ] = "",
    witness_key: WitnessKeys = None,
    listed: Annotated[bool, typer.Option("--list", help="List the known frameworks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show clause by clause what verified evidence there is; nothing is recorded.

    Exit codes: 0 nothing is missing, 1 a clause has no evidence or the question is denied, 2
    usage, 3 the policy engine could not decide, 4 evidence that cannot be verified.
    """
    from affidavit._context import present
    from affidavit._controls import controls as judge

    if listed:
        _list(as_json=as_json)
        return
    if not name:
        raise ConfigurationError("No system was named.", hint="Name one, or ask with --list.")
    settings, home = present()
    result = judge(
        home,
        settings,
        name,
        only=framework or (),
        effective_time=effective_time,
        witnesses=read_witnesses(witness_key or []),
    )
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result)
    raise typer.Exit(result.exit_code)


def _list(*, as_json: bool) -> None:
    from affidavit._controls import framework_head, known_frameworks
    from affidavit._settings import load_settings

    heads = [framework_head(one) for one in known_frameworks(load_settings()).values()]
    if as_json:
        print_json({"ok": True, "frameworks": heads})
        return
    columns = ("id", "short", "nature", "dated", "read", "clauses", "version")
    print_table("Frameworks", columns, [[head[key] for key in columns] for head in heads])


def _show(result: Any) -> None:
    say(f"{_WORDS[result.exit_code]}: {result.name}", _STYLES[result.exit_code])
    print_facts({"model": result.digest or "-", "as at": result.time})
    for framework in result.frameworks:
        rows = [
            (
                state.clause.id,
                state.state,
                state.clause.title,
                _told(state),
            )
            for state in result.states
            if state.framework == framework.id
        ]
        if rows:
            head = f"{framework.short}: {framework.version}; read {framework.read}"
            print_table(head, ("clause", "state", "what it asks", "evidence"), rows)
    for finding in result.findings:
        say(f"[{finding.rule}] {finding.message}", "red")
    for fault in result.faults:
        say(f"{fault.where}: {fault.message}", "red")
    if result.states:
        say("Evidence is named by log index: `affidavit show INDEX`. Evidence is not compliance.")


def _told(state: Any) -> str:
    shown = "; ".join(
        f"{kind} {', '.join(map(str, entries[:3]))}".strip()
        for kind, entries in state.entries.items()
    )
    if state.state in {"missing", "partial"}:
        return f"{shown}; {state.reason}" if shown else state.reason
    return shown
