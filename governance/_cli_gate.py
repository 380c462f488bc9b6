"""`affidavit gate`, `waive` and `waivers`: a model judged, and what a person may override."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit._terminal import print_facts, print_json, print_table, say
from affidavit.errors import ConfigurationError

if TYPE_CHECKING:
    from affidavit._gate_items import GateReport

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
FORMATS = ("text", "json", "junit", "sarif", "github", "markdown")


def register_gate(app: typer.Typer) -> None:
    """Add the commands of the gate."""
    for command in (gate, waive, waivers):
        app.command()(command)


def gate(
    names: Annotated[
        list[str], typer.Argument(help="Systems, or models such as NAME@sha256:…", metavar="NAME…")
    ],
    *,
    stage: Annotated[str, typer.Option(help="The stage to pass.")] = "promote",
    effective_time: Annotated[
        str, typer.Option(help="Decide as at this moment, RFC 3339 in UTC; signs no verdict.")
    ] = "",
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}.")] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write there, not to standard output.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Another FORMAT=FILE of the same result; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide whether models may pass a stage, from signed evidence alone.

    Exit codes: 0 allowed, 1 denied, 2 usage, 3 the policy engine could not decide, 4 evidence
    that is missing or cannot be verified; of several models the highest.
    """
    from affidavit._context import present
    from affidavit._gate import gate as decide
    from affidavit._gate_items import gate_report
    from affidavit._gate_output import RENDERERS, append_summary, wanted_files, write_reports
    from affidavit._gate_result import worst

    form = "json" if as_json else form
    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r} is not among them.", param_hint="--format")
    files = wanted_files(output, form, also or [])
    settings, home = present()
    source = "affidavit.toml" if Path("affidavit.toml").is_file() else ""
    reports = [
        gate_report(
            decide(home, settings, name, stage=stage, effective_time=effective_time),
            settings,
            source=source,
        )
        for name in dict.fromkeys(names)
    ]
    write_reports(reports, files)
    if form == "github":
        append_summary(reports)
    if output is None and form == "text":
        for report in reports:
            _print(report)
    elif output is None:
        sys.stdout.write(RENDERERS[form](reports))
    raise typer.Exit(worst([report.result for report in reports]))


def _print(report: GateReport) -> None:
    result = report.result
    say(result.sentence, "bold green" if result.allowed else "bold red")
    print_facts({"model": result.digest, "decision": result.decision_id or "-"})
    words = {"denied": "deny", "undecided": "deny", "waived": "waived", "warned": "warn"}
    rows = [
        (words[item.state], item.rule, item.message, item.clause)
        for item in report.items
        if item.state in words
    ]
    if rows:
        print_table("Findings", ("", "rule", "what", "clause"), rows)
    for fault in result.faults:
        say(f"{fault.where}: {fault.message}", "red")


def waive(
    reference: Annotated[
        str, typer.Argument(help="The model, such as NAME@latest; none with --withdraw.")
    ] = "",
    *,
    rules: Annotated[
        list[str] | None, typer.Option("--rule", help="The exact id of a rule; repeatable.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; everyone who reads the log reads it.")],
    expires: Annotated[str, typer.Option(help="Until when, such as 2026-12-31T00:00:00Z.")] = "",
    stage: Annotated[str, typer.Option(help="The stage of the gate.")] = "promote",
    person: Annotated[
        str, typer.Option("--as", help="The identity enrolled for waivers; the actor by default.")
    ] = "",
    withdraw: Annotated[str, typer.Option(help="Take the waiver with this id back.")] = "",
    as_json: AsJson = False,
) -> None:
    """Sign a waiver of rules for one model with a person's own key, or withdraw one.

    The gate says whether it counts: the policy's data list which rules can be waived, for how long,
    and by whom.
    """
    from affidavit._context import acting, present
    from affidavit._waive import waive as sign
    from affidavit._waive import withdraw_waiver

    settings, home = present()
    who = person or acting(settings)
    if withdraw:
        if reference or rules or expires:
            raise ConfigurationError(
                "A withdrawal names a waiver and a reason, no more.",
                hint="`affidavit waivers` lists the ids.",
            )
        found = withdraw_waiver(home, settings, withdraw, who, reason=reason)
    else:
        if not reference:
            raise ConfigurationError("No model is named.", hint="Such as NAME@latest.")
        found = sign(
            home, settings, reference, who,
            rules=rules or [], reason=reason, expires=expires, stage=stage,
        )  # fmt: skip
    if as_json:
        print_json({"ok": True, **found.to_dict()})
    elif withdraw:
        say(f"{who} withdrew the waiver {found.id}. The gate has to be asked again.")
    else:
        say(f"{who} waives {', '.join(found.rules)} for {found.digest} until {found.expires}.")
        say(f"Its id is {found.id}. The gate says whether it counts: affidavit gate {found.model}")


def waivers(
    name: Annotated[str, typer.Argument(help="The system; every one by default.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List waivers, the newest first: who waived what for which model, until when."""
    from affidavit._context import present
    from affidavit._waivers import read_waivers

    _, home = present()
    found = [waiver.to_dict() for waiver in read_waivers(home, name=name)]
    if as_json:
        print_json({"ok": True, "waivers": found})
        return
    rows = [
        (one["id"], one["state"], one["model"], one["digest"][:19], ", ".join(one["rules"]),
         one["person"], one["expires"], one["reason"])
        for one in found
    ]  # fmt: skip
    columns = ("id", "state", "system", "model", "rules", "who", "until", "why")
    print_table("Waivers", columns, rows, empty="No waiver is in the ledger.")
