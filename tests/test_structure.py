"""The rooms, the arrows between them, and what the wheel carries."""

from __future__ import annotations

import ast
import graphlib
import importlib
import importlib.util
import subprocess
import sys
import zipfile

import pytest
from real import ROOT

ROOMS = {
    "governance": "affidavit",
    "lineage": "affidavit.lineage",
    "policies": "affidavit.policies",
    "explain": "affidavit.explain",
    "ui": "affidavit.ui",
}
# What each room may import at module level; affidavit.errors and _lazy are open to all (ADR 0002).
PERMITTED = {
    "governance": {"lineage", "policies", "explain"},
    "lineage": set(),
    "policies": set(),
    "explain": set(),
    "ui": {"governance", "lineage"},
}
LEAVES = {"affidavit.errors", "affidavit._lazy"}
# The one lazy arrow: the CLI opens the app and the reports from inside a function.
LAZY_UI = {"affidavit._cli_reports"}


def _modules() -> dict[str, tuple[str, ast.Module]]:
    found = {}
    for folder, package in ROOMS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(p for p in parts if p != "__init__")])
            found[name] = (folder, ast.parse(path.read_text("utf-8")))
    return found


def _room_of(name: str) -> str:
    for folder, package in ROOMS.items():
        if package != "affidavit" and (name == package or name.startswith(package + ".")):
            return folder
    return "governance"


def _imports(tree: ast.Module, known: set[str]) -> list[tuple[str, bool]]:
    """Return (module, lazy) for each import of ours; type-checking blocks do not count."""
    rows: list[tuple[str, bool]] = []

    def visit(node: ast.AST, *, lazy: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child, lazy=lazy)
            return
        if isinstance(node, ast.Import):
            rows.extend((a.name, lazy) for a in node.names if a.name.split(".")[0] == "affidavit")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "affidavit":
            assert node.level == 0
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                rows.append((whole if whole in known else str(node.module), lazy))
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, lazy=inside)

    visit(tree, lazy=False)
    return rows


def test_rooms_import_only_what_the_architecture_permits():
    modules = _modules()
    wrong = []
    for name, (folder, tree) in modules.items():
        for target, lazy in _imports(tree, set(modules)):
            room = _room_of(target)
            if room == folder or target in LEAVES or room in PERMITTED[folder]:
                continue
            if room == "ui" and lazy and name in LAZY_UI:
                continue
            wrong.append(f"{name} -> {target}")
    assert wrong == []


def test_the_import_graph_has_no_cycle():
    modules = _modules()
    graph = {
        name: {t for t, lazy in _imports(tree, set(modules)) if not lazy and t != name}
        for name, (_, tree) in modules.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_modules_stay_small_enough_to_read():
    long = {}
    for folder in ROOMS:
        for path in (ROOT / folder).rglob("*.py"):
            lines = len(path.read_text("utf-8").splitlines())
            if lines > 400:
                long[str(path.relative_to(ROOT))] = lines
    assert long == {}


@pytest.mark.parametrize("package", sorted(ROOMS.values()))
def test_every_public_name_is_exported_and_exists(package):
    module = importlib.import_module(package)
    exported = list(module.__all__)
    assert len(exported) == len(set(exported))
    for name in exported:
        assert getattr(module, name) is not None
    public = {
        n
        for n in vars(module)
        if not n.startswith("_")
        and n not in {"annotations", "TYPE_CHECKING", "lazy_names"}
        and not isinstance(vars(module)[n], type(sys))
    }
    assert public <= set(exported)


def test_the_wheel_carries_every_source_and_data_file(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, ROOT]
        if importlib.util.find_spec("pip")
        else ["uv", "build", "--wheel", "-q", "-o", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = set()
    for folder, package in ROOMS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT / folder).as_posix()
                expected.add(f"{package.replace('.', '/')}/{relative}")
    # Rego tests are run from a checkout with OPA; they are no use to an installed package.
    expected = {name for name in expected if not name.endswith(("_test.rego", ".md"))}
    missing = expected - inside
    assert missing == set()


def test_no_file_names_a_path_of_the_machine_that_wrote_it():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    marks = ("/" + "work/", "/" + "farm/", "/" + "root/")
    for name in filter(None, listed):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".json", ".rego", ".sh", ""} and path.is_file():
            text = path.read_text("utf-8", errors="replace")
            assert not any(mark in text for mark in marks), name
