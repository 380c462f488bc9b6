"""The manifest beside a compiled module: what it was built from, and whether that still holds.

```json
{"format": "affidavit-policy-manifest/1",
 "opa_version": "1.22.0",
 "module": {"policy.wasm": "sha256:…"},
 "sources": {"packs/access/access.rego": "sha256:…"},
 "data": {"packs/access/data.json": "sha256:…"},
 "builtins": [],
 "entrypoints": {"affidavit/data_read": {"volatile": ["request_id", "time"]}}}
```

``builtins`` are the functions that the module asks of its host. ``volatile`` are the fields of the
request that cannot change the entry point's decision; ``time`` there means that time matters only
by its place among the instants of ``data.access.grants``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.errors import PolicyEngineError
from affidavit.policies._canonical import canonical_input

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORMAT", "Bundle", "bundle_digest", "file_digest", "load_bundle", "shipped"]

FORMAT = "affidavit-policy-manifest/1"
_KEYS = {"format", "opa_version", "module", "sources", "data", "builtins", "entrypoints"}
_HINT = "Rebuild it with `affidavit policy build`, or reinstall the package."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A compiled module with its manifest and default data, all digests checked.

    Args:
        module: The WebAssembly module.
        manifest: The manifest as JSON values.
        data: The default data.
    """

    module: bytes
    manifest: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def opa_version(self) -> str:
        """The version of OPA that compiled the module."""
        return str(self.manifest["opa_version"])

    @property
    def entrypoints(self) -> dict[str, frozenset[str]]:
        """Each entry point with the fields that it declares volatile."""
        return {
            name: frozenset(entry["volatile"])
            for name, entry in self.manifest["entrypoints"].items()
        }


def shipped() -> Path:
    """The folder of the packs that come with Affidavit."""
    return Path(__file__).resolve().parent


def file_digest(content: bytes) -> str:
    """``sha256:`` and the lower-case hexadecimal digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def bundle_digest(manifest: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The digest of the rules and of the data in force, by which a decision names both."""
    covered = {
        "module": manifest["module"],
        "sources": manifest["sources"],
        "data": file_digest(canonical_input(data)),
    }
    return file_digest(canonical_input(covered))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _read_json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content, object_pairs_hook=_distinct)
    except ValueError as error:
        raise PolicyEngineError(f"{path.name} is not JSON: {error}.", hint=_HINT) from error
    if not isinstance(value, dict):
        raise PolicyEngineError(f"{path.name} is not a JSON object.", hint=_HINT)
    return value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyEngineError(
            f"The policy bundle lacks {path.name}: {error.strerror}.", hint=_HINT
        ) from error


def _check_shape(manifest: Mapping[str, Any]) -> None:
    well_formed = (
        set(manifest) == _KEYS
        and manifest["format"] == FORMAT
        and isinstance(manifest["opa_version"], str)
        and isinstance(manifest["builtins"], list)
        and all(isinstance(manifest[k], dict) for k in ("module", "sources", "data", "entrypoints"))
        and len(manifest["module"]) == 1
        and len(manifest["data"]) > 0
        and len(manifest["entrypoints"]) > 0
        and all(
            isinstance(entry, dict) and isinstance(entry.get("volatile"), list)
            for entry in manifest["entrypoints"].values()
        )
    )
    if not well_formed:
        raise PolicyEngineError(
            f"manifest.json is not a policy manifest of the format {FORMAT!r}.", hint=_HINT
        )


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle and hold every file against the digest in its manifest.

    Args:
        directory: The folder with ``manifest.json``, ``policy.wasm`` and ``packs/``.

    Returns:
        The bundle.

    Raises:
        PolicyEngineError: A file is missing, unreadable, or not the one that the manifest names.
    """
    path = directory / "manifest.json"
    manifest = _read_json(path, _read(path))
    _check_shape(manifest)
    contents: dict[str, dict[Path, bytes]] = {"module": {}, "sources": {}, "data": {}}
    for group in ("module", "sources", "data"):
        for name, expected in manifest[group].items():
            relative = Path(name)
            if relative.is_absolute() or ".." in relative.parts:
                raise PolicyEngineError(
                    f"manifest.json names a file outside: {name!r}.", hint=_HINT
                )
            content = _read(directory / relative)
            found = file_digest(content)
            if found != expected:
                raise PolicyEngineError(
                    f"The policy file {name} is not the one in the manifest: expected {expected}, "
                    f"found {found}.",
                    hint=_HINT,
                )
            contents[group][relative] = content
    (module,) = contents["module"].values()
    return Bundle(module, manifest, _joined(contents["data"]))


def _joined(files: Mapping[Path, bytes]) -> dict[str, Any]:
    """The data of several files, each at the place that its folder names (OPA, bundle format)."""
    data: dict[str, Any] = {}
    for path, content in files.items():
        here = data
        for part in path.parts[1:-1]:
            here = here.setdefault(part, {})
        found = _read_json(path, content)
        twice = sorted(set(found) & set(here))
        if twice:
            raise PolicyEngineError(
                f"{path.as_posix()} sets {twice[0]!r}, which another file sets too.", hint=_HINT
            )
        here.update(found)
    return data
