"""Compiling packs with OPA, and holding the committed module against its sources."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from affidavit.errors import ConfigurationError, NotFoundError, PolicyEngineError
from affidavit.policies._manifest import FORMAT, file_digest, load_folder, shipped
from affidavit.policies._server_bundle import replace_file

__all__ = ["build_packs", "check_packs", "opa_version", "run_opa"]

_MODULE = "policy.wasm"
_TIMEOUT_S = 300


def run_opa(arguments: list[str], *, opa: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the ``opa`` command in a folder and return what it printed, whatever its exit code.

    Raises:
        NotFoundError: There is no such command.
        PolicyEngineError: It did not end in time.
    """
    found = shutil.which(opa)
    if found is None:
        raise NotFoundError(
            f"The command {opa!r} is not on the PATH.",
            hint="Install it with: go install github.com/open-policy-agent/opa@latest.",
        )
    try:
        return subprocess.run(  # noqa: S603  # the arguments are ours, and no shell reads them
            [found, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PolicyEngineError(f"`opa {arguments[0]}` did not end in {_TIMEOUT_S} s.") from error


def _must(result: subprocess.CompletedProcess[str], what: str) -> str:
    if result.returncode != 0:
        raise PolicyEngineError(f"{what} failed: {(result.stderr or result.stdout).strip()}")
    return result.stdout


def opa_version(opa: str = "opa") -> str:
    """The version of the installed ``opa``, such as ``1.22.0``."""
    text = _must(run_opa(["version"], opa=opa, cwd=Path.cwd()), "`opa version`")
    for line in text.splitlines():
        if line.startswith("Version:"):
            return line.partition(":")[2].strip()
    raise PolicyEngineError("`opa version` printed no version.")


def _sources(directory: Path) -> list[Path]:
    found = sorted(p for p in directory.rglob("*.rego") if not p.name.endswith("_test.rego"))
    if not found or not _data_files(directory):
        raise ConfigurationError(
            f"{directory} holds no packs: expected .rego files and data.json in it or in folders."
        )
    return found


def _data_files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("data.json"))


def _schema_files(directory: Path) -> list[Path]:
    # The schema of a section stands in the pack's own folder, which names the section.
    return sorted(directory.glob("*/schema.json"))


def _names(paths: list[Path], directory: Path) -> list[str]:
    return [path.relative_to(directory).as_posix() for path in paths]


def _entrypoints(sources: list[Path], directory: Path, opa: str) -> dict[str, dict[str, Any]]:
    """The rules annotated as entry points, with the fields that they declare volatile."""
    found: dict[str, dict[str, Any]] = {}
    for name in _names(sources, directory):
        arguments = ["inspect", "--annotations", "--format", "json", name]
        text = _must(run_opa(arguments, opa=opa, cwd=directory), f"`opa inspect {name}`")
        for item in json.loads(text).get("annotations") or []:
            annotations = item.get("annotations", {})
            if annotations.get("entrypoint") is True:
                path = "/".join(part["value"] for part in item["path"][1:])
                volatile = annotations.get("custom", {}).get("volatile", [])
                found[path] = {"volatile": sorted(volatile)}
    if not found:
        raise ConfigurationError(
            f"No rule in {directory} is annotated as an entry point.",
            hint="Write `# METADATA` and `# entrypoint: true` above it.",
        )
    return found


def _compile(sources: list[Path], entrypoints: list[str], directory: Path, opa: str) -> bytes:
    """The module alone: the archive around it carries nothing that is not a digest away."""
    flags = [word for name in sorted(entrypoints) for word in ("-e", name)]
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "bundle.tar.gz"
        names = _names(sources, directory)
        arguments = ["build", "--target", "wasm", *flags, "--output", str(archive), *names]
        _must(run_opa(arguments, opa=opa, cwd=directory), "`opa build`")
        with tarfile.open(archive) as bundle:
            member = bundle.extractfile("/" + _MODULE)
            if member is None:
                raise PolicyEngineError("`opa build` wrote no module.")
            return member.read()


def _needed_builtins(module: bytes) -> list[str]:
    from affidavit.policies._host import host_policy

    policy = host_policy(module)
    try:
        return sorted(policy.builtins)
    finally:
        policy.close()


def build_packs(directory: Path, output: Path, *, opa: str = "opa") -> dict[str, Any]:
    """Compile packs to WebAssembly; the same sources and OPA give the same bytes.

    Args:
        directory: The folder with the ``.rego`` files and the ``data.json`` files, in it or in
            folders; the data of ``access/data.json`` are ``data.access``, as in OPA's bundles, and
            ``access/schema.json`` is the JSON Schema that they fit.
        output: Where ``policy.wasm``, ``manifest.json`` and the sources (in ``packs/``) go.
        opa: The command to compile with.

    Returns:
        The manifest that was written.

    Raises:
        ConfigurationError: The folder holds no packs, or none has an entry point.
        NotFoundError: ``opa`` is not installed.
        PolicyEngineError: OPA refused the sources.
    """
    sources = _sources(directory)
    entrypoints = _entrypoints(sources, directory, opa)
    module = _compile(sources, list(entrypoints), directory, opa)
    packs = output / "packs"
    if directory.resolve() != packs.resolve():
        for path in [*sources, *_data_files(directory), *_schema_files(directory)]:
            copy = packs / path.relative_to(directory)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    manifest = {
        "format": FORMAT,
        "opa_version": opa_version(opa),
        "module": {_MODULE: file_digest(module)},
        "sources": _digests(sources, directory),
        "data": _digests(_data_files(directory), directory),
        "schemas": _digests(_schema_files(directory), directory),
        "builtins": _needed_builtins(module),
        "entrypoints": entrypoints,
    }
    # The manifest comes last and at once: whoever watches it finds the rest in place.
    replace_file(output / _MODULE, module)
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    replace_file(output / "manifest.json", text.encode())
    return manifest


def _digests(paths: list[Path], directory: Path) -> dict[str, str]:
    return {
        f"packs/{path.relative_to(directory).as_posix()}": file_digest(path.read_bytes())
        for path in paths
    }


def check_packs(directory: Path | None = None, *, opa: str = "opa") -> list[str]:
    """Hold a compiled module against its sources, by digest and, where OPA is, by rebuilding.

    Args:
        directory: The folder with ``manifest.json``; None is the one that comes with Affidavit.
        opa: The command to rebuild with; where it is not installed only digests are compared.

    Returns:
        What is wrong, one sentence each; empty where everything agrees. A rebuild by another
        version of OPA than the manifest names is not compared.
    """
    root = directory or shipped()
    try:
        bundle = load_folder(root)
    except PolicyEngineError as error:
        return [str(error)]
    problems: list[str] = []
    sources = _sources(root / "packs")
    listed = {name for kind in ("sources", "data", "schemas") for name in bundle.manifest[kind]}
    found = [*sources, *_data_files(root / "packs"), *_schema_files(root / "packs")]
    problems.extend(
        f"packs/{name} is not in the manifest."
        for name in sorted(_names(found, root / "packs"))
        if f"packs/{name}" not in listed
    )
    if shutil.which(opa) and opa_version(opa) == bundle.opa_version:
        entrypoints = _entrypoints(sources, root / "packs", opa)
        if entrypoints != bundle.manifest["entrypoints"]:
            problems.append("The entry points in the sources are not those of the manifest.")
        rebuilt = file_digest(_compile(sources, list(entrypoints), root / "packs", opa))
        if rebuilt != bundle.manifest["module"][_MODULE]:
            problems.append(f"A rebuild gives {rebuilt}, the manifest names another module.")
    return problems
