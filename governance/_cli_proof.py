"""`affidavit proof`, `consistency`, `witness`, `cosign` and `bundle`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from affidavit._cli_timestamp import say_stamped
from affidavit._files import read_file, write_file
from affidavit._terminal import print_facts, print_json, progress, say
from affidavit.errors import ConfigurationError, MissingDependencyError, NotFoundError

if TYPE_CHECKING:
    from affidavit._home import Home
    from affidavit.lineage import WitnessVerifier

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="A file with the log's public key, from your own copy.")
]
WitnessKeys = Annotated[
    list[Path] | None, typer.Option("--witness-key", help="A file with a witness's public key.")
]
Quorum = Annotated[
    int | None, typer.Option(min=1, help="How many witnesses are needed; all by default.")
]


def register_proof(app: typer.Typer) -> None:
    """Add the commands around proofs, witnesses and bundles."""
    for command in (proof, consistency, witness, cosign, bundle):
        app.command()(command)


def proof(
    key: Annotated[str, typer.Argument(help="An entry's index, id or digest.")] = "",
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the proof goes.")
    ] = None,
    entry: Annotated[
        Path | None, typer.Option(help="The entry's exact bytes: written, or with --check read.")
    ] = None,
    check: Annotated[Path | None, typer.Option(help="Check this proof; needs --entry.")] = None,
    log_key: Annotated[
        Path | None, typer.Option("--key", help="With --check: a file with the log's public key.")
    ] = None,
    witness_key: WitnessKeys = None,
    quorum: Quorum = None,
    as_json: AsJson = False,
) -> None:
    """Write the offline proof that an entry is in the log (C2SP tlog-proof), or check one."""
    if check is not None:
        _check_proof(check, entry, log_key, witness_key or [], quorum, as_json=as_json)
        return
    if not key or log_key or witness_key:
        raise ConfigurationError(
            "A proof is made for an entry, or checked.",
            hint="Give an id and -o FILE, or --check FILE --entry FILE --key FILE.",
        )
    from affidavit._context import present
    from affidavit._read import Reader
    from affidavit._witnesses import cosigned_note
    from affidavit.lineage import open_checkpoint, prove_entry

    _, home = present()
    found = Reader(home).find(key)
    if len(found) > 1:
        indexes = ", ".join(map(str, found[:10]))
        raise ConfigurationError(
            f"{key!r} stands for {len(found)} entries: {indexes}{' …' if len(found) > 10 else ''}.",
            hint="Give the index of one of them.",
        )
    note = cosigned_note(home)
    if note is not None and open_checkpoint(note, home.verifier).size <= found[0]:
        note = None
    made = prove_entry(home.ledger, found[0], note)
    if entry is not None:
        write_file(entry, home.ledger.entry(found[0]))
    if output is not None:
        write_file(output, made.to_bytes())
    if as_json:
        facts = {"ok": True, "index": made.index, "output": str(output or "")}
        print_json({**facts, "proof": made.to_bytes().decode()})
    elif output is None:
        sys.stdout.write(made.to_bytes().decode())
    else:
        say(f"The proof of entry {made.index} is in {output}.")


def _check_proof(
    check: Path,
    entry: Path | None,
    key: Path | None,
    witness_keys: list[Path],
    quorum: int | None,
    *,
    as_json: bool,
) -> None:
    from affidavit.lineage import NoteVerifier, TlogProof, check_quorum

    if entry is None or key is None:
        raise ConfigurationError(
            "A proof is checked against the entry's bytes and the log's key.",
            hint="Give --entry FILE and --key FILE.",
        )
    found = TlogProof.parse(read_file(check))
    head = found.verify(read_file(entry), NoteVerifier.parse(_text(key)))
    witnesses = read_witnesses(witness_keys)
    if witnesses:
        check_quorum(found.checkpoint, witnesses, quorum or len(witnesses))
    if as_json:
        facts = {"ok": True, "index": found.index, "origin": head.origin, "size": head.size}
        print_json({**facts, "root": head.root.hex(), "witnesses": [w.name for w in witnesses]})
    else:
        say(f"Verified: entry {found.index} of {head.origin}, in its tree of {head.size} entries.",
            "bold green")  # fmt: skip


def consistency(
    old: Annotated[Path, typer.Argument(help="A checkpoint exported earlier.")],
    *,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Check that the log still extends an older checkpoint; exit code 1 if it does not."""
    from affidavit._context import present
    from affidavit.lineage import NoteVerifier, open_checkpoint, prove_extension

    _, home = present()
    verifier = NoteVerifier.parse(_text(key)) if key else home.verifier
    before = open_checkpoint(read_file(old), verifier)
    head, path = prove_extension(home.ledger, before)
    if as_json:
        facts = {"ok": True, "old": before.size, "size": head.size, "root": head.root.hex()}
        print_json({**facts, "proof": [step.hex() for step in path]})
    else:
        say(f"The log of {head.size} entries extends the one of {before.size}.", "bold green")


def witness(
    *,
    state: Annotated[Path, typer.Option(help="The witness's folder; made where it is missing.")],
    log: Annotated[list[Path], typer.Option(help="A file with the public key of a log.")],
    listen: Annotated[str, typer.Option(help="Host and port.")] = "127.0.0.1:7380",
    name: Annotated[str, typer.Option(help="What a new witness is called.")] = "",
) -> None:
    """Serve as a witness for logs: cosign a checkpoint only if the log grew by appending."""
    from affidavit._witness_server import WitnessServer, open_witness
    from affidavit.lineage import NoteVerifier

    host, colon, port = listen.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigurationError(f"{listen!r} is no address.", hint="Give host:port.")
    found, verifier = open_witness(state, [NoteVerifier.parse(_text(p)) for p in log], name=name)
    try:
        server = WitnessServer((host, int(port)), found)
    except OSError as error:
        raise ConfigurationError(f"{listen} cannot be listened on: {error.strerror}.") from error
    with server:
        say(f"{verifier} listens on {server.url}")
        sys.stdout.flush()
        server.serve_forever()


def cosign(
    *,
    witness_url: Annotated[list[str], typer.Option("--witness", help="A witness's address.")],
    key: Annotated[list[Path], typer.Option(help="Its public key's file, in the same order.")],
    quorum: Quorum = None,
    as_json: AsJson = False,
) -> None:
    """Ask witnesses to cosign the newest checkpoint, and keep the cosigned note."""
    from affidavit._context import present
    from affidavit._witnesses import WitnessAddress, note_path
    from affidavit._witnesses import cosign as ask

    if len(witness_url) != len(key):
        raise ConfigurationError(
            f"There are {len(witness_url)} addresses and {len(key)} keys.",
            hint="Give --witness URL and --key FILE once for each witness.",
        )
    _, home = present()
    pairs = zip(witness_url, read_witnesses(key), strict=True)
    done = ask(home, [WitnessAddress(*pair) for pair in pairs], quorum or len(key))
    names = [one.witness.name for one in done.cosignatures]
    if as_json:
        facts = {"ok": True, "size": done.checkpoint.size, "witnesses": names}
        print_json({**facts, "refusals": done.refusals, "note": done.note.decode()})
        return
    say(f"The checkpoint of {done.checkpoint.size} entries is cosigned by {', '.join(names)}.",
        "bold green")  # fmt: skip
    for refused, why in done.refusals.items():
        say(f"{refused}: {why}", "red")
    say(f"The note is in {note_path(home)}; give it to whoever audits.")


def bundle(
    key: Annotated[str, typer.Argument(help="A system, reference, digest, id or index.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip file to write.")],
    disclose: Annotated[
        bool, typer.Option("--disclose", help="Open personal data, if the policy allows.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write an evidence bundle that a stranger can check with the log's public key."""
    from affidavit._bundle_home import export_bundle
    from affidavit._context import present
    from affidavit.lineage import verify_bundle

    settings, home = present()
    with progress("Exporting", quiet=as_json):
        report = _report(key)
        archive = export_bundle(home, settings, key, disclose=disclose, report=report)
    write_file(output, archive)
    facts = verify_bundle(archive, home.verifier).to_dict()
    if as_json:
        print_json({**facts, "output": str(output), "bytes": len(archive)})
    else:
        count = len(facts["entries"])
        say(f"{count} entries with their proofs are in {output} ({len(archive)} bytes).")


def _report(key: str) -> bytes | None:
    from affidavit._cli_reports import write_report
    from affidavit._context import present
    from affidavit._read import Reader

    settings, home = present()
    if key not in Reader(home).systems():
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        try:
            write_report(home, settings, key, path)
        except (ImportError, MissingDependencyError, NotFoundError):
            return None
        return path.read_bytes()


class BundleChecks(NamedTuple):
    """What a bundle is verified against: files of whoever verifies it."""

    key: Path | None
    witness_keys: list[Path]
    quorum: int | None
    tsa_certs: list[Path]


def show_bundle(path: Path, against: BundleChecks, *, as_json: bool) -> None:
    """Verify an evidence bundle and print what it shows."""
    from affidavit.lineage import NoteVerifier, TimeStampAuthority, verify_bundle

    if against.key is None:
        raise ConfigurationError(
            "A bundle is verified against the log's public key, from your own copy.",
            hint="Give --key FILE. The key in the bundle itself proves nothing.",
        )
    report = verify_bundle(
        read_file(path),
        NoteVerifier.parse(_text(against.key)),
        witnesses=read_witnesses(against.witness_keys),
        quorum=against.quorum,
        authorities=[TimeStampAuthority.parse(read_file(one)) for one in against.tsa_certs],
    )
    found = report.to_dict()
    if as_json:
        print_json(found)
        return
    say("Verified.", "bold green")
    hidden = {"ok", "entries", "disclosed", "witnesses", "time_stamp"}
    print_facts({name: value for name, value in found.items() if name not in hidden})
    print_facts({"entries": ", ".join(map(str, found["entries"]))})
    for index, fields in found["disclosed"].items():
        say(f"disclosed of entry {index}: {', '.join(fields)}")
    if found["witnesses"]:
        say(f"cosigned by {', '.join(found['witnesses'])}")
    if report.stamped is not None:
        say_stamped([report.stamped], cosigned=bool(found["witnesses"]), yours=True)
    elif not found["witnesses"]:
        say("Neither a witness nor a time stamp was asked for: whoever holds the log's key could "
            "have written another history for others.")  # fmt: skip


def check_witnesses(
    home: Home, exported: bytes | None, keys: list[Path], quorum: int | None
) -> list[str]:
    """Return the names of the witnesses that cosigned a checkpoint of the log.

    Args:
        home: Whose newest cosigned note is taken where no checkpoint is given.
        exported: The checkpoint.
        keys: Files with the keys of the witnesses that count; none asks for nothing.
        quorum: How many are needed; all by default.

    Raises:
        CheckpointError: Too few cosigned it.
        NotFoundError: There is no cosigned checkpoint.
    """
    from affidavit._witnesses import cosigned_note
    from affidavit.lineage import check_quorum

    if not keys:
        return []
    note = exported or cosigned_note(home)
    if note is None:
        raise NotFoundError(
            "There is no checkpoint that witnesses cosigned.",
            hint="Run `affidavit cosign`, or give one with --checkpoint.",
        )
    found = check_quorum(note, read_witnesses(keys), quorum or len(keys))
    return [one.witness.name for one in found]


def read_witnesses(paths: list[Path]) -> list[WitnessVerifier]:
    """Return the witnesses whose public keys some files hold."""
    from affidavit.lineage import WitnessVerifier

    return [WitnessVerifier.parse(_text(path)) for path in paths]


def _text(path: Path) -> str:
    return read_file(path).decode("utf-8", "replace")
