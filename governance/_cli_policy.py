"""`affidavit policy`: evaluate, test and build policy packs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affidavit._terminal import print_json, print_table, say
from affidavit.errors import ConfigurationError

if TYPE_CHECKING:
    from affidavit.policies import Decision, Engine

policy = typer.Typer(no_args_is_help=True, help="Policy packs and decisions.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@policy.command("eval")
def evaluate(
    entrypoint: Annotated[str, typer.Argument(help="Such as affidavit/data_read.")],
    *,
    source: Annotated[
        Path, typer.Option("--input", "-i", help="A JSON file with the input; - for stdin.")
    ],
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", "-b", help="A bundle or built folder, in place of the settings'."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The public key that must have signed --bundle.")
    ] = None,
    scope: Annotated[str, typer.Option(help="The scope that the signature must name.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also clauses, parameters and who decided.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the policy engine one question; nothing is recorded. Exit 0 allow, 1 deny."""
    from affidavit._engines import engine_for
    from affidavit._settings import load_settings
    from affidavit.policies import EmbeddedEngine

    if bundle is None and (key or scope):
        raise ConfigurationError("--key and --scope are about a bundle: name it with --bundle.")
    engine: Engine = (
        engine_for(load_settings())
        if bundle is None
        else EmbeddedEngine(bundle=bundle, key=_content(key) if key else None, scope=scope)
    )
    decision = engine.decide(entrypoint, _input(source))
    if as_json:
        print_json({"ok": decision.allow, **decision.to_dict()})
    else:
        say("ALLOW" if decision.allow else "DENY", "bold green" if decision.allow else "bold red")
        _print_decision(decision, explain=explain)
    raise typer.Exit(0 if decision.allow else 1)


def _print_decision(decision: Decision, *, explain: bool) -> None:
    rows = [
        (word, found.rule, found.message, f"{found.severity}; {found.clause}".rstrip("; "))
        for word, findings in (("deny", decision.deny), ("warn", decision.warn))
        for found in findings
    ]
    rows += [
        ("do", o.kind, ", ".join(o.columns), ", ".join(f"{k}={v}" for k, v in o.parameters.items()))
        for o in decision.obligations
    ]
    columns = ("", "rule", "what", "more") if explain else ("", "rule", "what")
    if rows:
        print_table("", columns, [row[: len(columns)] for row in rows])
    if explain:
        say(f"{decision.entrypoint} by {decision.engine} {decision.engine_version}")
        say(f"bundle {decision.bundle_digest or '(none)'}, input {decision.input_digest}")
        say(f"{decision.duration_ns / 1e6:.2f} ms")


@policy.command("check")
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A folder that `build` wrote; the shipped one by default."),
    ] = None,
    *,
    opa: Annotated[str, typer.Option(help="The opa command.")] = "opa",
    as_json: AsJson = False,
) -> None:
    """Hold compiled packs against their sources and opa's checks. Exit 1 where they part."""
    from affidavit.policies import check_packs, check_style

    problems = check_packs(folder, opa=opa)
    problems += check_style(folder and folder / "packs", opa=opa)
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            say(problem, "red")
        say("The packs do not hold." if problems else "Digests, rebuild and style hold.")
    raise typer.Exit(1 if problems else 0)


@policy.command("test")
def run_tests(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder with the packs; the shipped ones by default.")
    ] = None,
    *,
    least: Annotated[
        float,
        typer.Option("--min-coverage", min=0, max=100, help="Percent of lines to be covered."),
    ] = 0,
    opa: Annotated[str, typer.Option(help="The opa command.")] = "opa",
    as_json: AsJson = False,
) -> None:
    """Run the packs' own tests with opa, with coverage. Exit 1 where one fails."""
    from affidavit.policies import run_pack_tests

    report = run_pack_tests(folder, opa=opa)
    ok = report.passed and report.coverage >= least
    if as_json:
        cases = [{"name": c.name, "passed": c.passed} for c in report.cases]
        facts = {
            "ok": ok,
            "coverage": report.coverage,
            "uncovered": report.uncovered,
            "problems": list(report.problems),
        }
        print_json({**facts, "cases": cases})
    else:
        failed = [(c.name,) for c in report.cases if not c.passed]
        passed = len(report.cases) - len(failed)
        say(f"{passed} passed, {len(failed)} failed, coverage {report.coverage:.1f} %")
        if failed:
            print_table("Failed", ("test",), failed)
        for problem in report.problems:
            say(problem, "red")
        if report.coverage < least:
            say(f"Coverage is below {least:g} %. Lines that no test evaluated:", "red")
            for name, lines in report.uncovered.items():
                say(f"  {name}: {', '.join(map(str, lines))}")
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
    from affidavit.policies import build_packs, host_builtins

    manifest = build_packs(folder, output, opa=opa)
    if as_json:
        print_json({"ok": True, "manifest": manifest})
    else:
        say(f"Built {output / 'policy.wasm'}: {len(manifest['entrypoints'])} entry points.")
        missing = sorted(set(manifest["builtins"]) - host_builtins())
        if missing:
            say(f"Only an OPA server can run it: it needs {', '.join(missing)}.", "yellow")


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
