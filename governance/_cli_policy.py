"""`affidavit policy`: evaluate, test and build policy packs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit._terminal import print_json, print_table, say
from affidavit.errors import ConfigurationError

policy = typer.Typer(no_args_is_help=True, help="Policy packs and decisions.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@policy.command("eval")
def evaluate(
    entrypoint: Annotated[str, typer.Argument(help="Such as affidavit/data_read.")],
    *,
    source: Annotated[
        Path, typer.Option("--input", "-i", help="A JSON file with the input; - for stdin.")
    ],
    as_json: AsJson = False,
) -> None:
    """Ask the policy engine one question; nothing is recorded. Exit 0 allow, 1 deny."""
    from affidavit._engines import engine_for
    from affidavit._settings import load_settings

    decision = engine_for(load_settings()).decide(entrypoint, _input(source))
    if as_json:
        print_json({"ok": decision.allow, **decision.to_dict()})
    else:
        say("ALLOW" if decision.allow else "DENY", "bold green" if decision.allow else "bold red")
        rows = [("deny", f.rule, f.message) for f in decision.deny]
        rows += [("warn", f.rule, f.message) for f in decision.warn]
        rows += [("do", o.kind, ", ".join(o.columns)) for o in decision.obligations]
        if rows:
            print_table("", ("", "rule", "what"), rows)
    raise typer.Exit(0 if decision.allow else 1)


@policy.command("test")
def run_tests(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder with the packs; the shipped ones by default.")
    ] = None,
    *,
    opa: Annotated[str, typer.Option(help="The opa command.")] = "opa",
    as_json: AsJson = False,
) -> None:
    """Run the packs' own tests with opa, with coverage. Exit 1 where one fails."""
    from affidavit.policies import run_pack_tests

    report = run_pack_tests(folder, opa=opa)
    ok = bool(report.cases) and all(c.passed for c in report.cases) and not report.problems
    if as_json:
        cases = [{"name": c.name, "passed": c.passed} for c in report.cases]
        facts = {"ok": ok, "coverage": report.coverage, "problems": list(report.problems)}
        print_json({**facts, "cases": cases})
    else:
        failed = [(c.name,) for c in report.cases if not c.passed]
        passed = len(report.cases) - len(failed)
        say(f"{passed} passed, {len(failed)} failed, coverage {report.coverage:.1f} %")
        if failed:
            print_table("Failed", ("test",), failed)
        for problem in report.problems:
            say(problem, "red")
    raise typer.Exit(0 if ok else 1)


@policy.command("build")
def build(
    folder: Annotated[Path, typer.Argument(help="The folder with the packs' .rego files.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the module goes.")],
    opa: Annotated[str, typer.Option(help="The opa command.")] = "opa",
    as_json: AsJson = False,
) -> None:
    """Compile packs to WebAssembly, with a manifest of what went into them."""
    from affidavit.policies import build_packs

    manifest = build_packs(folder, output, opa=opa)
    if as_json:
        print_json({"ok": True, "manifest": manifest})
    else:
        say(f"Built {output / 'policy.wasm'}.")


@policy.command("bundle")
def bundle(
    file: Annotated[Path, typer.Argument(help="The archive to write, such as bundle.tar.gz.")],
    *,
    sign: Annotated[
        Path | None, typer.Option("--sign", help="A private key in PEM to sign it with.")
    ] = None,
    scope: Annotated[str, typer.Option(help="What the signature is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the packs and the data in force as one file, which OPA and the embedded engine run."""
    from affidavit._settings import load_settings
    from affidavit.policies import server_bundle

    settings = load_settings()
    passphrase = os.environ.get("AFFIDAVIT_KEY_PASSPHRASE")
    written = server_bundle(
        file,
        data=settings.policy_data or None,
        bundle=settings.packs,
        key=_content(sign) if sign else None,
        password=passphrase.encode() if sign and passphrase else None,
        scope=scope,
    )
    public = Path("PUBLIC-KEY.pem") if sign else None
    command = written.command("127.0.0.1:8181", verification_key=public)
    if as_json:
        facts = {"path": str(file), "digest": written.digest, "command": command}
        print_json({"ok": True, **facts, "algorithm": written.algorithm})
    else:
        say(f"The bundle {written.digest} is in {file}. Serve it with:")
        say(f"  {' '.join(command)}")
        say("and in affidavit.toml:")
        say('  [policy]\n  engine = "opa"\n  url = "http://127.0.0.1:8181"')
        say(f'  bundle = "{written.digest}"')


def _content(source: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}.") from error


def _input(source: Path) -> dict[str, Any]:
    from affidavit.lineage import parse_json

    value = parse_json(_content(source))
    if not isinstance(value, dict):
        raise ConfigurationError("A policy's input is a JSON object.")
    return value
