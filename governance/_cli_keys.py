"""`affidavit keys`: who may sign what, from which entry of the log on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit._files import read_file
from affidavit._terminal import print_json, print_table, say
from affidavit.errors import ConfigurationError

if TYPE_CHECKING:
    from affidavit.lineage import VerificationReport

keys = typer.Typer(no_args_is_help=True, help="The keys that the log trusts.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Public = Annotated[
    Path | None,
    typer.Option(help="The public half (PEM or DER) of a key that stays with its holder."),
]
Uri = Annotated[
    str, typer.Option(help="Where a key is that never leaves its device, as hsm:2?label=TOKEN.")
]
Who = Annotated[str, typer.Argument(help="The holder's identity, or 8 digits of the key id.")]

_NEW_PASSPHRASE = "AFFIDAVIT_NEW_KEY_PASSPHRASE"  # noqa: S105  # where it stands, not what it is


@keys.command("list")
def list_keys(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also keys that were rotated or revoked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys in force, with their roles."""
    from affidavit._context import present
    from affidavit._enrolment import list_keys as listing

    _, home = present()
    found = listing(home, every=every)
    if as_json:
        print_json({"ok": True, "verifier": str(home.verifier), "keys": found})
        return
    rows = [
        (k["identity"], ", ".join(k["roles"]), k["scheme"], k["state"], k["keyid"]) for k in found
    ]
    print_table("Keys", ("identity", "roles", "scheme", "state", "key id"), rows)
    for key in found:
        if key["revoked"]:
            gone = key["revoked"]
            say(f"{key['keyid'][:16]} is revoked from entry {gone['since']} on: {gone['reason']}")
    say(f"Verifier key: {home.verifier}")


@keys.command("add")
def add_key(
    identity: Annotated[str, typer.Argument(help="Whose key it is, such as an e-mail address.")],
    *,
    role: Annotated[str, typer.Option(help="approver, waiver or recorder.")] = "approver",
    public: Public = None,
    uri: Uri = "",
    as_json: AsJson = False,
) -> None:
    """Enrol a person's key: a new one, unless --public or --uri is given."""
    from affidavit._context import acting, present
    from affidavit._enrolment import enrol

    settings, home = present()
    content = None if public is None else read_file(public)
    change = enrol(home, identity, role, actor=acting(settings), public=content, uri=uri)
    if as_json:
        print_json({"ok": True, "role": role, **change.to_dict()})
        return
    say(f"{identity} is enrolled as {role} with the key {change.keyid}.")
    if change.path is not None and not uri:
        say(f"The private key is {change.path}; hand it over and remove it.")


@keys.command()
def rotate(who: Who, *, public: Public = None, uri: Uri = "", as_json: AsJson = False) -> None:
    """Put a new key in the place of one; what the old one signed before stays valid."""
    from affidavit._context import acting, present
    from affidavit._enrolment import rotate as replace

    settings, home = present()
    content = None if public is None else read_file(public)
    change = replace(home, who, actor=acting(settings), public=content, uri=uri)
    if as_json:
        print_json({"ok": True, **change.to_dict()})
        return
    say(
        f"From entry {change.entry} on {change.identity} signs with the key {change.keyid}, and no "
        f"longer with {change.former}."
    )
    if change.path is not None:
        say(f"It is in {change.path}.")


@keys.command()
def revoke(
    who: Who,
    *,
    reason: Annotated[str, typer.Option(help="Why; everyone who verifies the log reads it.")],
    since: Annotated[
        int | None,
        typer.Option(help="The first entry that is not to be relied on; from now by default."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--rotate", help="Put a new key in its place in the same entry.")
    ] = False,
    uri: Uri = "",
    as_json: AsJson = False,
) -> None:
    """Put a key out of force for good, from now or from an earlier entry on."""
    from affidavit._context import acting, present
    from affidavit._enrolment import revoke as withdraw
    from affidavit._enrolment import rotate as renew

    if uri and not replace:
        raise ConfigurationError("A revoked key has no new place.", hint="Give --rotate too.")
    settings, home = present()
    actor = acting(settings)
    if replace:
        change = renew(home, who, actor=actor, uri=uri, revocation=(reason, since))
    else:
        change = withdraw(home, who, actor=actor, reason=reason, since=since)
    if as_json:
        print_json(
            {"ok": True, "since": change.entry if since is None else since, **change.to_dict()}
        )
        return
    first = change.entry if since is None else since
    say(f"The key {change.former} of {change.identity} is revoked from entry {first} on.")
    if change.keyid:
        say(f"From entry {change.entry} on they sign with {change.keyid}.")
    say("`affidavit verify` lists the statements that are not to be relied on.")


@keys.command()
def passphrase(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Key files without .pem; the log's and the recorder's by default."),
    ] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Keep the keys without one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put key files under a new passphrase, or under none.

    The present one is AFFIDAVIT_KEY_PASSPHRASE, the new one AFFIDAVIT_NEW_KEY_PASSPHRASE; without
    the latter it is asked for.
    """
    from affidavit._context import present
    from affidavit._keyring import PASSPHRASE
    from affidavit._passphrases import change_passphrase

    _, home = present()
    new = None
    if not remove:
        new = os.environ.get(_NEW_PASSPHRASE) or typer.prompt(
            "New passphrase", hide_input=True, confirmation_prompt=True, err=True
        )
    changed = change_passphrase(home, os.environ.get(PASSPHRASE), new, *(names or []))
    if as_json:
        print_json({"ok": True, "changed": [str(path) for path in changed]})
        return
    for path in changed:
        say(f"{path} is written anew.")
    if not changed:
        say("Nothing had to be changed.")
    elif new:
        say(f"Set {PASSPHRASE} to the new one wherever these keys are used.")


def verdict(report: VerificationReport) -> tuple[str, str]:
    """Return the sentence that says what a verification found, and its colour."""
    text = "Verified." if report.ok else f"NOT VERIFIED: {len(report.errors)} finding(s)."
    if count := len(report.distrusted) + report.more_distrusted:
        text += f" {count} statement(s) are by revoked keys: do not rely on them."
    if not report.ok:
        return text, "bold red"
    return text, "bold yellow" if count else "bold green"


def print_distrusted(report: VerificationReport) -> None:
    """Print the statements that hold and are not to be relied on."""
    if report.distrusted:
        rows = [(fault.where, fault.message) for fault in report.distrusted]
        print_table("Logged, and not to be relied on", ("where", "why"), rows)
    if report.more_distrusted:
        say(f"… and {report.more_distrusted} more.")
