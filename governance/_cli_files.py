"""`affidavit diff`, `sign-model` and `verify-model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit._terminal import print_facts, print_json, print_table, progress, say

if TYPE_CHECKING:
    from affidavit._diff import Difference
    from affidavit.lineage import TableDiff

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The model's directory.")]
Ignore = Annotated[
    list[Path] | None, typer.Option(help="A path in it to leave out, with all below it.")
]


def register_files(app: typer.Typer) -> None:
    """Add the commands around digests and model signatures."""
    app.command()(diff)
    app.command("sign-model")(sign)
    app.command("verify-model")(verify)


def diff(
    digest_a: Annotated[str, typer.Argument(help="A digest, or eight digits of it.")],
    digest_b: Annotated[str, typer.Argument(help="Another of the same kind.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say which columns and row groups of two tables, or which files of two directories, differ.

    Exit codes: 0 equal, 1 they differ, 2 unknown or not comparable.
    """
    from affidavit._context import present
    from affidavit._diff import diff as compare

    _, home = present()
    found = compare(home, digest_a, digest_b)
    if as_json:
        print_json({"ok": True, **found.to_dict()})
    else:
        _show(found)
    raise typer.Exit(0 if found.equal else 1)


def _show(found: Difference) -> None:
    a, b = found.first.resource, found.second.resource
    print_facts({"A": f"{a.digest} {a.name}", "B": f"{b.digest} {b.name}"})
    if found.equal:
        say("Equal.", "bold green")
    elif found.table is not None:
        _show_table(found.table)
    elif found.listed:
        rows = [("only in A", name) for name in found.only_in_first]
        rows += [("only in B", name) for name in found.only_in_second]
        rows += [("changed", name) for name in found.changed]
        print_table("Files", ("", "file"), rows, empty="The same files, under another hash.")
    else:
        say(f"They differ ({found.kind}). What of them differs is not kept.", "bold")


def _show_table(found: TableDiff) -> None:
    from affidavit._diff import group_ranges

    rows = [(name, "only in A", "") for name in found.only_in_first]
    rows += [(name, "only in B", "") for name in found.only_in_second]
    for column in found.changed:
        one, other = column.types
        what = "differs" if one == other else f"{one} became {other}"
        if column.row_groups is None:
            where = "which row groups is not kept"
        else:
            where = "; ".join(
                f"group {r['first_group']} to {r['last_group']}, "
                f"rows {r['first_row']:,} to {r['last_row']:,}"
                for r in group_ranges(column.row_groups, found.n_rows)
            )
        rows.append((column.name, what, where))
    print_table("Columns", ("column", "what", "where, counted from 0"), rows)
    if found.n_rows[0] != found.n_rows[1]:
        say(f"A has {found.n_rows[0]:,} rows, B has {found.n_rows[1]:,}.")
    if found.reordered:
        say("The columns that both have stand in another order.")


def sign(
    folder: Folder,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The signature file; DIR/model.sig by default."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="A private key in PEM; the home's own by default.")
    ] = None,
    algorithm: Annotated[str, typer.Option("--hash", help="sha256 or blake3.")] = "sha256",
    ignore: Ignore = None,
    git: Annotated[
        bool, typer.Option("--git/--ignore-git", help="Cover Git's own files too.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record it in the ledger.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Sign a model's directory in the OpenSSF Model Signing format, and record that."""
    from affidavit._files import write_file
    from affidavit._sign_model import sign_model

    target = output or folder / "model.sig"
    with progress("Hashing", quiet=as_json) as told:
        made = sign_model(
            folder,
            target,
            key=key,
            algorithm=algorithm,
            ignore=ignore or [],
            git=git,
            recorded=record,
            progress=told,
        )
    write_file(target, made.signature)
    facts = made.to_dict()
    if as_json:
        print_json({"ok": True, "output": str(target), **facts})
        return
    say(f"{facts['files']} files of {facts['name']} are signed; the signature is in {target}.")
    where = "not recorded" if made.entry is None else f"entry {made.entry}"
    print_facts({"digest": facts["digest"], "key": made.verifier.hint, "ledger": where})


def verify(
    folder: Folder,
    *,
    signature: Annotated[
        Path | None, typer.Option(help="The signature file; DIR/model.sig by default.")
    ] = None,
    key: Annotated[Path, typer.Option(help="The signer's public key in PEM, your own copy.")],
    ignore: Ignore = None,
    as_json: AsJson = False,
) -> None:
    """Check a model's directory against its signature; exit code 1 if it does not hold."""
    from affidavit._sign_model import verify_model

    with progress("Hashing", quiet=as_json) as told:
        found = verify_model(
            folder, signature or folder / "model.sig", key, ignore=ignore or [], progress=told
        )
    if as_json:
        print_json({"ok": True, **found.to_dict()})
        return
    say(f"Verified: the {len(found.manifest.files)} files that were signed as "
        f"{found.signed.name}.", "bold green")  # fmt: skip
    if found.uncovered:
        say(f"Not covered by the signature: {', '.join(found.uncovered)}.", "yellow")
