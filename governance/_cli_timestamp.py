"""`affidavit timestamp`, and what `verify` says of time stamps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit._files import write_file
from affidavit._terminal import print_facts, print_json, progress, say
from affidavit.errors import ConfigurationError

if TYPE_CHECKING:
    from affidavit.lineage import Stamped

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TsaCerts = Annotated[
    list[Path] | None,
    typer.Option("--tsa-cert", help="A file with a time-stamping authority's certificates (PEM)."),
]


def register_timestamp(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(timestamp)


def timestamp(
    *,
    tsa: Annotated[str, typer.Option(help="The authority's address; as set by default.")] = "",
    tsa_cert: Annotated[
        Path | None, typer.Option(help="Its certificates (PEM), root included; as set by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the authority's answer too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have the newest checkpoint stamped by a time-stamping authority (RFC 3161)."""
    from affidavit._context import present
    from affidavit._time_stamps import authorities, stamp_checkpoint

    settings, home = present()
    url = tsa or settings.tsa_url
    found = authorities(settings, [tsa_cert] if tsa_cert else None)
    if not url or not found:
        raise ConfigurationError(
            "A time-stamping authority is asked by its address and verified against its "
            "certificates; nothing that it sends is trusted by itself.",
            hint="Set url and certificate in [timestamp], or give --tsa URL and --tsa-cert FILE.",
        )
    with progress("Asking the authority", quiet=as_json):
        stamped, asked = stamp_checkpoint(home, url, found[0])
    if output is not None:
        write_file(output, stamped.response)
    if as_json:
        print_json({"ok": True, "new": asked, **stamped.to_dict(), "output": str(output or "")})
        return
    say("Stamped." if asked else "This checkpoint was stamped before.", "bold green")
    print_facts({"entries": stamped.size, **_moment(stamped)})


def say_stamped(stamped: Sequence[Stamped], *, cosigned: bool, yours: bool) -> None:
    """Print what verified time stamps show, and what they leave open.

    Args:
        stamped: The time stamps of a log that holds.
        cosigned: Whether witnesses were checked as well.
        yours: Whether the certificates came from whoever asks.
    """
    newest = max(stamped, key=lambda one: one.size)
    moment = _moment(newest)
    whose = "your certificate" if yours else "the certificate in the settings"
    say(
        f"Its first {newest.size} entries were as they are by {moment['time']} at the latest, as "
        f"{moment['authority']} stamped ({whose}).",
        "green",
    )
    if not cosigned:
        say("What came later is under no time stamp, and no witness was checked: whoever holds "
            "the log key could have had another history stamped for others.")  # fmt: skip


def _moment(stamped: Stamped) -> dict[str, str]:
    latest = stamped.stamp.latest.isoformat().replace("+00:00", "Z")
    return {"time": latest, "authority": stamped.stamp.authority}
