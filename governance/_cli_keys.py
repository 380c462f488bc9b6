"""`affidavit keys`: who may sign what."""

from __future__ import annotations

from typing import Annotated

import typer

from affidavit._terminal import print_json, print_table, say
from affidavit.errors import ConfigurationError

keys = typer.Typer(no_args_is_help=True, help="The keys that the log trusts.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@keys.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """List the keys in force, with their roles."""
    from affidavit._context import present

    _, home = present()
    root = home.trust_root()
    found = [root.keys[keyid] for keyid in sorted(root.keys)]
    if as_json:
        listed = [key.to_json() for key in found]
        print_json({"ok": True, "verifier": str(home.verifier), "keys": listed})
        return
    rows = [(key.identity, ", ".join(sorted(key.roles)), key.public.keyid) for key in found]
    print_table("Keys", ("identity", "roles", "key id"), rows)
    say(f"Verifier key: {home.verifier}")


@keys.command("add")
def add_key(
    identity: Annotated[str, typer.Argument(help="Whose key it is, such as an e-mail address.")],
    *,
    role: Annotated[str, typer.Option(help="approver or recorder.")] = "approver",
    as_json: AsJson = False,
) -> None:
    """Make a key for a person and enrol it, signed by the log's key."""
    from affidavit._context import acting, present

    if role not in {"approver", "recorder"}:
        raise ConfigurationError(
            f"The role {role!r} cannot be added.", hint="Use approver or recorder."
        )
    settings, home = present()
    key = home.enrol(identity, role, actor=acting(settings))
    if as_json:
        print_json({"ok": True, "identity": identity, "role": role, "keyid": key.keyid})
    else:
        say(f"{identity} is enrolled as {role} with the key {key.keyid}.")
        say(f"The private key is {home.person_key(identity, role)}; hand it over and remove it.")
