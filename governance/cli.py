"""The command line. It parses, calls and prints; it decides nothing.

Exit codes: 0 pass; 1 denied or not verified; 2 usage, or it could not be decided. The gate has
codes of its own, which its help lists.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit import __version__
from affidavit._cli_controls import register_controls
from affidavit._cli_decisions import register_decisions
from affidavit._cli_drain import register_drain
from affidavit._cli_erase import register_erase
from affidavit._cli_files import register_files
from affidavit._cli_gate import register_gate
from affidavit._cli_keys import keys
from affidavit._cli_policy import policy
from affidavit._cli_proof import register_proof
from affidavit._cli_retain import register_retain
from affidavit._cli_show import register_show
from affidavit._cli_tags import tags
from affidavit._cli_timestamp import register_timestamp
from affidavit._cli_verify import register_verify
from affidavit._terminal import print_error, print_facts, print_json, print_table, progress, say
from affidavit.errors import (
    AffidavitError,
    LedgerCorruptError,
    PolicyDenied,
    PolicyEngineError,
    VerificationError,
)

app = typer.Typer(
    name="affidavit",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Signed lineage, enforced policies, explanations and fairness for machine learning.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys, name="keys")
app.add_typer(policy, name="policy")
register_decisions(policy)
app.add_typer(tags, name="tags")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """Run the command line; errors of ours become one line and an exit code."""
    as_json = "--json" in sys.argv
    try:
        app()
    except AffidavitError as error:
        print_error(error, as_json=as_json)
        gated = sys.argv[1:2] in (["gate"], ["controls"])
        sys.exit(_gate_code(error) if gated else _exit_code(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _exit_code(error: AffidavitError) -> int:
    if isinstance(error, PolicyEngineError):
        return 2
    denied = (VerificationError, PolicyDenied, LedgerCorruptError)
    return 1 if isinstance(error, denied) else 2


def _gate_code(error: AffidavitError) -> int:
    # A pipeline reads these: a store that cannot be read is evidence that cannot be verified.
    if isinstance(error, PolicyEngineError):
        return 3
    return 4 if isinstance(error, LedgerCorruptError | VerificationError) else 2


def _version(*, wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=lambda v: _version(wanted=v), help="Print the version."),
    ] = False,
) -> None:
    del version


@app.command()
def init(
    *,
    origin: Annotated[str, typer.Option(help="The log's name; a random one by default.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make an Affidavit home: an empty ledger and its keys. Safe to run again."""
    from affidavit._home import create_home
    from affidavit._settings import load_settings

    now = load_settings()
    home, made = create_home(now.home, actor=now.actor, origin=origin, store=now.store)
    facts = {
        "ok": True,
        "created": made,
        "home": str(home.folder),
        "store": home.location,
        "origin": home.verifier.name,
        "key": str(home.verifier),
    }
    if as_json:
        print_json(facts)
        return
    say("Created." if made else "There is a home already; nothing was changed.", "bold")
    print_facts({"home": home.folder, "log": home.verifier.name, "public key": home.verifier})
    say("Give the public key to whoever audits, by a way that the operator cannot change.")


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Check that everything needed is there and in order."""
    from affidavit._doctor import examine

    checks = list(examine())
    ok = all(check.state != "fail" for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [check.to_dict() for check in checks]})
    else:
        rows = [(check.state, check.name, check.message) for check in checks]
        print_table("Doctor", ("state", "what", "found"), rows)
    raise typer.Exit(0 if ok else 2)


@app.command()
def approve(
    reference: Annotated[str, typer.Argument(help="The model, such as NAME@latest.")],
    *,
    person: Annotated[str, typer.Option("--as", help="The approver's enrolled identity.")],
    comment: Annotated[str, typer.Option(help="What the approver wants to say.")] = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take the approval back that the person gave.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign an approval of a model with a person's own key, or withdraw it."""
    from affidavit._approve import approve as sign
    from affidavit._context import present

    settings, home = present()
    digest = sign(home, settings, reference, person, comment, withdraw=withdraw)
    outcome = "withdrawn" if withdraw else "approved"
    if as_json:
        print_json({"ok": True, "digest": digest, "approver": person, "outcome": outcome})
    elif withdraw:
        say(f"{person} withdrew the approval of {digest}. The gate has to be asked again.")
    else:
        say(f"{person} approved {digest}.")


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="The system.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write a self-contained audit report of a system."""
    from affidavit._cli_reports import write_report
    from affidavit._context import present

    settings, home = present()
    with progress("Rendering", quiet=as_json):
        size = write_report(home, settings, name, output)
    if as_json:
        print_json({"ok": True, "output": str(output), "bytes": size})
    else:
        say(f"The report is in {output}.")


@app.command()
def ui(
    *,
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 8501,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open the auditor's app."""
    from affidavit._cli_reports import open_app
    from affidavit._context import present

    present()
    open_app(host, port, browser=browser)


@app.command()
def demo(
    *,
    scenario: Annotated[str, typer.Option(help="referral or lending.")] = "referral",
    rows: Annotated[int, typer.Option(help="Rows that the lending generator makes.")] = 5000,
    seed: Annotated[int, typer.Option(help="Seeds the generator.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Run the whole loop on real data: read, train, measure, gate, serve, verify, report."""
    from affidavit._demo import run_demo

    result = run_demo(scenario, rows=rows, seed=seed, quiet=as_json)
    if as_json:
        print_json(result)
    raise typer.Exit(0 if result["ok"] else 1)


register_gate(app)
register_verify(app)
register_controls(app)
register_show(app)
register_proof(app)
register_timestamp(app)
register_retain(app)
register_erase(app)
register_files(app)
register_drain(app)
