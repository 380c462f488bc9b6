"""The documents: their examples run, what they name exists, and what exists is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from real import ROOT

from affidavit import errors
from affidavit._gate_result import EXIT_ALLOWED, EXIT_DENIED, EXIT_ENGINE, EXIT_EVIDENCE, EXIT_USAGE
from affidavit._settings import _SHAPE
from affidavit.cli import app
from affidavit.lineage import KINDS, tables

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
ADRS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
BIN = Path(sys.executable).parent
# A block is run, or written to a file, where the line before its fence says so.
_BLOCK = re.compile(
    r"(?:^<!-- (?P<verb>run|file)(?:: (?P<what>\S+))? -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    verb: str
    what: str
    text: str


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _blocks(name: str) -> list[Block]:
    return [
        Block(match["verb"] or "", match["what"] or "", match["text"])
        for match in _BLOCK.finditer(_text(name))
    ]


def _prose(name: str) -> str:
    return _BLOCK.sub("", _text(name))


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AFFIDAVIT_")}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "HOME": str(folder)}


def _commands(group: typer.Typer, prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    root = typer.main.get_command(group)
    found: set[tuple[str, ...]] = set()

    def visit(command, words):
        found.add(words)
        for name, child in getattr(command, "commands", {}).items():
            visit(child, (*words, name))

    visit(root, prefix)
    return found


COMMANDS = _commands(app)


def _mentions(text: str) -> set[tuple[str, ...]]:
    """Return the words after each `affidavit` that is called in a code block or code span."""
    spans = [block["text"] for block in _BLOCK.finditer(text)]
    spans += re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    found = set()
    for span in spans:
        for line in span.splitlines():
            call = re.match(
                r"(?:\s*[A-Z_]+=\S+)*\s*affidavit ([a-z][a-z-]*(?: [a-z][a-z-]*)*)", line
            )
            if call:
                found.add(tuple(call[1].split()))
    return found


@pytest.mark.parametrize(
    "name", [n for n in NAMES if any(block.verb == "run" for block in _blocks(n))]
)
def test_the_examples_of_a_document_run_in_order_in_an_empty_folder(name, tmp_path):
    environment = _environment(tmp_path)
    for block in _blocks(name):
        if block.verb == "file":
            (tmp_path / block.what).write_text(block.text, "utf-8")
        elif block.verb == "run":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == int(block.what or 0), block.text + done.stdout + done.stderr


def test_the_readme_has_examples_that_run():
    verbs = [block.verb for block in _blocks("README.md")]
    assert verbs.count("run") >= 3
    assert verbs.count("file") >= 3


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_a_document_calls_exists(name):
    unknown = {
        words
        for words in _mentions(_text(name))
        if not any(words[:length] in COMMANDS for length in (1, 2))
    }
    groups = {command[0] for command in COMMANDS if len(command) == 2}
    half = {w for w in _mentions(_text(name)) if w[0] in groups and w[:2] not in COMMANDS}
    assert unknown | {w for w in half if len(w) > 1} == set()


def test_every_command_is_described_in_some_document():
    described = {words[:2] for name in NAMES for words in _mentions(_text(name))}
    described |= {words[:1] for words in described}
    assert {command for command in COMMANDS if command} - described == set()


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_the_help_of_every_command_can_be_had(words):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_the_installed_command_prints_its_help():
    done = subprocess.run(
        [BIN / "affidavit", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    for command in COMMANDS:
        assert not command or command[0] in done.stdout


def _anchor(heading: str) -> str:
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_every_link_inside_the_repository_leads_somewhere(name):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(name)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            if anchor not in map(_anchor, headings):
                broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_that_a_document_names_exists(name):
    targets = set(re.findall(r"^([a-z][a-z-]*):", _text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", _text(name), re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_a_decision_record_says_what_was_rejected_and_what_it_costs(path):
    text = path.read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Rejected", "Cost"]
    sections = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    assert all(len(section.split()) > 15 for section in sections)
    assert re.match(rf"# {path.name[:4]}: \S", text)


def test_decision_records_are_numbered_without_gaps_and_listed():
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))
    listed = re.findall(r"\]\((\d{4}-[^)]+\.md)\)", _text("docs/adr/README.md"))
    assert listed == [path.name for path in ADRS]


def _policy_guide():
    return "\n".join(_text(name) for name in NAMES if name.startswith("docs/policies/"))


def test_every_rule_of_the_packs_is_in_the_policy_guide():
    rules = set()
    for path in (ROOT / "policies" / "packs").rglob("*.rego"):
        rules |= set(re.findall(r"^#\s+rule: (\S+)$", path.read_text("utf-8"), re.MULTILINE))
    guide = _policy_guide()
    assert {rule for rule in rules if f"`{rule}`" not in guide} == set()
    named = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", guide, re.MULTILINE))
    assert named - rules - _engine_rules() == set()


def _engine_rules() -> set[str]:
    found = {"policy.undefined", "obligation.unmet"}
    for path in (ROOT / "policies").glob("*.py"):
        found |= set(re.findall(r'"((?:engine|input)\.[a-z_]+)"', path.read_text("utf-8")))
    return found


def test_every_engine_trouble_is_in_the_policy_guide():
    guide = _policy_guide()
    assert {rule for rule in _engine_rules() if f"`{rule}`" not in guide} == set()


def test_every_finding_of_a_verification_is_in_the_operations_guide():
    codes = set()
    for room in ("lineage", "governance"):
        for path in (ROOT / room).glob("*.py"):
            source = path.read_text("utf-8")
            codes |= set(re.findall(r'\.add\(\s*"([a-z]+(?:-[a-z]+)+)"', source))
            codes |= set(re.findall(r'Fault\(\s*"([a-z]+(?:-[a-z]+)+)"', source))
    assert len(codes) > 10
    guide = _text("docs/operations.md")
    assert {code for code in codes if f"`{code}`" not in guide} == set()


def test_every_error_class_is_in_the_operations_guide():
    guide = _text("docs/operations.md")
    assert {name for name in errors.__all__ if f"`{name}`" not in guide} == set()


def test_every_kind_of_statement_and_record_is_in_the_statements_guide():
    guide = _text("docs/statements.md")
    for kind in [*KINDS.values(), "prediction", "decision", "access"]:
        assert re.search(rf"^## .*`{kind}`", guide, re.MULTILINE), kind
    for predicate_type in KINDS:
        assert predicate_type in guide


def test_every_table_is_in_the_architecture():
    text = _text("ARCHITECTURE.md")
    every = (*tables.LEDGER_TABLES, *tables.INDEX_TABLES)
    assert {table.name for table in every if f"`{table.name}`" not in text} == set()


def test_every_module_has_a_line_in_the_architecture():
    text = _text("ARCHITECTURE.md")
    rooms = ("governance", "lineage", "policies", "explain", "ui")
    modules = {path for room in rooms for path in (ROOT / room).glob("*.py")}
    missing = {p.name for p in modules if p.name != "__init__.py" and f"`{p.name}`" not in text}
    assert missing == set()


def test_every_environment_variable_is_in_the_operations_guide():
    names = set()
    for room in ("governance", "lineage", "policies", "explain", "ui"):
        for path in (ROOT / room).rglob("*.py"):
            names |= set(re.findall(r"\bAFFIDAVIT_[A-Z_]+[A-Z]\b", path.read_text("utf-8")))
    guide = _text("docs/operations.md")
    assert {name for name in names if f"`{name}`" not in guide} == set()


def test_every_setting_of_the_file_is_in_the_operations_guide():
    table = "\n".join(re.findall(r"^\|.*$", _text("docs/operations.md"), re.MULTILINE))
    for section in ("affidavit", "policy"):
        known = _SHAPE[section]
        assert known
        rows = "\n".join(re.findall(rf"^.*`\[{section}\] .*$", table, re.MULTILINE))
        assert {key for key in known if not re.search(rf"\b{key}`", rows)} == set()


def test_every_exit_code_of_the_gate_is_in_the_readme():
    codes = {EXIT_ALLOWED, EXIT_DENIED, EXIT_USAGE, EXIT_ENGINE, EXIT_EVIDENCE}
    assert set(map(int, re.findall(r"^\| (\d) \|", _text("README.md"), re.MULTILINE))) == codes


def test_every_picture_in_the_readme_was_taken_and_can_be_taken_again():
    shown = set(re.findall(r"\(docs/screenshots/([^)]+)\)", _text("README.md")))
    assert shown
    assert shown <= {path.name for path in (ROOT / "docs" / "screenshots").glob("*.png")}
    pages = {name.partition("-")[0] for name in shown} - {"report"}
    taken = _text("docs/screenshots.py")
    assert {page for page in pages if page not in taken.lower()} == set()


@pytest.mark.parametrize("name", NAMES)
def test_no_document_promises_fairness_or_compliance(name):
    claims = r"\b(?:is|are|be|being|makes?|ensures?|guarantees?) (?:fair|unbiased|compliant)\b"
    allowed = ("never says that", "never", "no document")
    for line in re.findall(rf"[^\n]*{claims}[^\n]*", _text(name)):
        assert any(word in line for word in allowed), line
