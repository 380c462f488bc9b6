"""`affidavit verify` and `checkpoint`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit._cli_keys import print_distrusted, verdict
from affidavit._cli_proof import BundleChecks, Quorum, WitnessKeys, check_witnesses, show_bundle
from affidavit._cli_timestamp import TsaCerts, say_stamped
from affidavit._files import read_file, write_file
from affidavit._terminal import print_facts, print_json, print_table, progress, say
from affidavit.errors import ConfigurationError

if TYPE_CHECKING:
    from affidavit.lineage import VerificationReport

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register_verify(app: typer.Typer) -> None:
    """Add the commands that check the whole log and export its head."""
    for command in (verify, checkpoint):
        app.command()(command)


def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="An evidence bundle; the home's ledger by default.")
    ] = None,
    *,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A checkpoint exported earlier, which the log must still extend."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="A file with the log's public key, from your own copy.")
    ] = None,
    witness_key: WitnessKeys = None,
    quorum: Quorum = None,
    tsa_cert: TsaCerts = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Exit with 1 where the log itself names gaps.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute and check everything: entries, tree, checkpoints, signatures, index, artifacts.

    With a file, check an evidence bundle instead; it needs --key and no home.
    """
    from affidavit._context import present
    from affidavit._time_stamps import authorities
    from affidavit._verify_home import verify_home
    from affidavit.lineage import NoteVerifier

    if bundle is not None:
        if checkpoint is not None:
            raise ConfigurationError(
                "A bundle brings its own checkpoint.", hint="Give either a bundle or --checkpoint."
            )
        asked = BundleChecks(key, witness_key or [], quorum, tsa_cert or [])
        show_bundle(bundle, asked, as_json=as_json)
        return
    settings, home = present()
    pinned = NoteVerifier.parse(read_file(key).decode("utf-8", "replace")) if key else None
    exported = read_file(checkpoint) if checkpoint else None
    cosigned = check_witnesses(home, exported, witness_key or [], quorum)
    with progress("Verifying", quiet=as_json) as told:
        report = verify_home(
            home,
            verifier=pinned,
            exported=exported,
            authorities=authorities(settings, tsa_cert),
            progress=told,
        )
    if as_json:
        print_json(report.to_dict())
    else:
        say(*verdict(report))
        print_facts(
            {
                "entries": f"{report.size} ({report.statements} statements, "
                f"{report.records} records)",
                "tree size": report.size,
                "root": report.root,
                **({"pruned": f"{report.pruned} records"} if report.pruned else {}),
                "checkpoints": report.checkpoints,
                "key": f"{report.key}{' (yours)' if pinned else ' (the one in the home)'}",
            }
        )
        print_distrusted(report)
        _show_completeness(report)
        if report.errors:
            rows = [(f.where, f.code, f.message) for f in report.errors]
            print_table("What is wrong", ("where", "code", "what"), rows)
            if report.more_errors:
                say(f"… and {report.more_errors} more.")
        elif cosigned:
            say(f"The log extends a checkpoint that {', '.join(cosigned)} cosigned.", "green")
        if report.stamped:
            say_stamped(report.stamped, cosigned=bool(cosigned), yours=bool(tsa_cert))
        elif report.ok and not cosigned and not exported:
            say(
                "No witness and no time stamp was checked: without one, whoever holds the log key "
                "could rewrite history. Keep checkpoints elsewhere (`affidavit checkpoint -o "
                "FILE`) and verify against them."
            )
    raise typer.Exit(1 if not report.ok or (complete and report.gaps) else 0)


def _show_completeness(report: VerificationReport) -> None:
    if report.gaps:
        print_table(
            "What is not in the log, as it says itself",
            ("what", "why", "said by"),
            [(gap.where, gap.message, f"entry {gap.index}") for gap in report.gaps],
        )
    ended = [item for item in report.unclosed if item.outcome != "open"]
    if ended:
        print_table(
            "Processes that ended without saying which record was their last",
            ("writer", "next number", "outcome", "said by"),
            [(w.writer[:8], str(w.numbers), w.outcome, f"entry {w.index}") for w in ended],
        )


def checkpoint(
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write it to a file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export the newest signed checkpoint, to be kept where the operator cannot change it."""
    from affidavit._context import present
    from affidavit._spools import settle

    _, home = present()
    settle(home)
    note = home.ledger.checkpoint()
    if output is not None:
        write_file(output, note)
    head = home.ledger.head()
    if as_json:
        facts = {"ok": True, "origin": head.origin, "size": head.size, "root": head.root.hex()}
        print_json({**facts, "note": note.decode()})
    elif output is None:
        sys.stdout.write(note.decode())
    else:
        say(f"The checkpoint of {head.size} entries is in {output}.")
