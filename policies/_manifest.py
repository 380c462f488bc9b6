"""A compiled module with what it was built from, and whether that still holds.

```json
{"format": "affidavit-policy-manifest/1",
 "opa_version": "1.22.0",
 "module": {"policy.wasm": "sha256:…"},
 "sources": {"packs/access/access.rego": "sha256:…"},
 "data": {"packs/access/data.json": "sha256:…"},
 "schemas": {"packs/access/schema.json": "sha256:…"},
 "builtins": [],
 "entrypoints": {"affidavit/data_read": {"volatile": ["request_id", "time"]}}}
```

``builtins`` are the functions that the module asks of its host. ``volatile`` are the fields of the
request that cannot change the entry point's decision; ``time`` there means that time matters only
by its place among the instants that data and request hold (`_instants.py`). In the one-file form
of a bundle (`write_bundle`) the same object, less ``data``, stands in OPA's ``.manifest``.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.errors import PolicyEngineError
from affidavit.policies._canonical import canonical_input
from affidavit.policies._data import merge_data

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT",
    "HINT",
    "KEYS",
    "Bundle",
    "bundle_digest",
    "check_manifest",
    "file_digest",
    "load_folder",
    "mount_data",
    "read_object",
    "shipped",
]

FORMAT = "affidavit-policy-manifest/1"
KEYS = frozenset(
    {"format", "opa_version", "module", "sources", "schemas", "builtins", "entrypoints"}
)
HINT = "Rebuild it with `affidavit policy build`, or reinstall the package."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A compiled module with its sources and the data in force, all digests checked.

    Args:
        module: The WebAssembly module.
        manifest: What it was built from, as JSON values; without ``opa_version`` and ``builtins``
            where OPA itself wrote the bundle.
        sources: The Rego files by name.
        data: The data in force.
        schemas: The JSON Schema files by name, such as ``packs/access/schema.json`` for the section
            ``access`` of the data.
    """

    module: bytes
    manifest: Mapping[str, Any]
    sources: Mapping[str, bytes]
    data: Mapping[str, Any]
    schemas: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:…`` of the module, its sources and the data in force."""
        return bundle_digest(self.manifest, self.data)

    @property
    def opa_version(self) -> str:
        """The version of OPA that compiled the module; empty where the bundle does not say."""
        return str(self.manifest.get("opa_version", ""))

    @property
    def entrypoints(self) -> dict[str, frozenset[str]]:
        """Each entry point with the fields that it declares volatile."""
        return {
            name: frozenset(entry["volatile"])
            for name, entry in self.manifest["entrypoints"].items()
        }

    def with_data(self, data: Mapping[str, Any] | None) -> Bundle:
        """The same rules with an organisation's data merged over those in force.

        Args:
            data: What is set over them, as for `EmbeddedEngine`; None changes nothing.

        Raises:
            ConfigurationError: The data are not usable.
        """
        if data is None:
            return self
        schemas = {
            name.split("/")[-2]: read_object(name, content)
            for name, content in self.schemas.items()
        }
        return replace(self, data=merge_data(self.data, data, schemas))


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


def read_object(name: str, content: bytes) -> dict[str, Any]:
    """A JSON object in a bundle; a key that stands twice is refused.

    Raises:
        PolicyEngineError: It is something else.
    """
    try:
        value = json.loads(content, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise PolicyEngineError(f"{name} is not JSON: {error}.", hint=HINT) from error
    if not isinstance(value, dict):
        raise PolicyEngineError(f"{name} is not a JSON object.", hint=HINT)
    return value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyEngineError(
            f"The policy bundle lacks {path.name}: {error.strerror}.", hint=HINT
        ) from error


def check_manifest(manifest: Mapping[str, Any], keys: frozenset[str]) -> None:
    """Hold a manifest against its form.

    Raises:
        PolicyEngineError: It is of another form.
    """
    groups = ("module", "sources", "schemas", "entrypoints")
    well_formed = (
        set(manifest) == keys
        and manifest["format"] == FORMAT
        and isinstance(manifest["opa_version"], str)
        and isinstance(manifest["builtins"], list)
        and all(isinstance(name, str) for name in manifest["builtins"])
        and all(isinstance(manifest[k], dict) for k in groups)
        and len(manifest["module"]) == 1
        and all(re.fullmatch(r"packs/[^/]+/schema\.json", name) for name in manifest["schemas"])
        and len(manifest["entrypoints"]) > 0
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("volatile"), list)
            and all(isinstance(field, str) for field in entry["volatile"])
            for entry in manifest["entrypoints"].values()
        )
    )
    if not well_formed:
        raise PolicyEngineError(
            f"The manifest is not a policy manifest of the format {FORMAT!r}.", hint=HINT
        )


def load_folder(directory: Path) -> Bundle:
    """Read a folder that `build_packs` wrote and hold every file against its manifest.

    Args:
        directory: The folder with ``manifest.json``, ``policy.wasm`` and ``packs/``.

    Returns:
        The bundle, with the default data.

    Raises:
        PolicyEngineError: A file is missing, unreadable, or not the one that the manifest names.
    """
    path = directory / "manifest.json"
    manifest = read_object(path.name, _read(path))
    check_manifest(manifest, KEYS | {"data"})
    if not isinstance(manifest["data"], dict) or not manifest["data"]:
        raise PolicyEngineError("manifest.json names no data.", hint=HINT)
    contents: dict[str, dict[str, bytes]] = {}
    for group in ("module", "sources", "data", "schemas"):
        contents[group] = {}
        for name, expected in manifest[group].items():
            relative = Path(name)
            if relative.is_absolute() or ".." in relative.parts:
                raise PolicyEngineError(f"manifest.json names a file outside: {name!r}.", hint=HINT)
            content = _read(directory / relative)
            found = file_digest(content)
            if found != expected:
                raise PolicyEngineError(
                    f"The policy file {name} is not the one in the manifest: expected {expected}, "
                    f"found {found}.",
                    hint=HINT,
                )
            contents[group][name] = content
    (module,) = contents["module"].values()
    data = {name.partition("/")[2]: content for name, content in contents["data"].items()}
    return Bundle(module, manifest, contents["sources"], mount_data(data), contents["schemas"])


def mount_data(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The data of several ``data.json``, each at the place that its folder names.

    OPA documentation, "Bundles", "Bundle File Format".

    Raises:
        PolicyEngineError: A file is not a JSON object, or two set the same name.
    """
    data: dict[str, Any] = {}
    for path, content in files.items():
        here = data
        for part in path.split("/")[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise PolicyEngineError(f"{path} sets {part!r}, which another file sets too.")
        found = read_object(path, content)
        twice = sorted(set(found) & set(here))
        if twice:
            raise PolicyEngineError(
                f"{path} sets {twice[0]!r}, which another file sets too.", hint=HINT
            )
        here.update(found)
    return data
