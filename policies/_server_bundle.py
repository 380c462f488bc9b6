"""The shipped packs as a bundle for an OPA server, with the data in force."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.policies._canonical import canonical_input
from affidavit.policies._data import grant_instants, merge_data
from affidavit.policies._engine import CacheProfile
from affidavit.policies._manifest import bundle_digest, load_bundle, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServerBundle", "server_bundle"]


@dataclass(frozen=True, slots=True)
class ServerBundle:
    """A folder that an OPA server can run, and what `OpaServerEngine` should know of it.

    Args:
        path: The folder, in OPA's bundle format.
        digest: Its revision; equal to that of an `EmbeddedEngine` with the same packs and data.
        profile: What a cache may leave out of account for each entry point.
    """

    path: Path
    digest: str
    profile: Mapping[str, CacheProfile]

    def command(self, address: str, *, opa: str = "opa") -> list[str]:
        """The command that starts a server on the bundle.

        Args:
            address: Where to listen, such as ``127.0.0.1:8181``.
            opa: The ``opa`` command.

        Returns:
            The words of the command; the server runs until it is ended.
        """
        return [
            opa,
            "run",
            "--server",
            "--addr",
            address,
            "--disable-telemetry",
            "--log-level",
            "error",
            "--bundle",
            str(self.path),
        ]


def server_bundle(
    directory: Path, *, data: Mapping[str, Any] | None = None, bundle: Path | None = None
) -> ServerBundle:
    """Write the packs and the data in force as a bundle that states its digest as its revision.

    Args:
        directory: Where to write; it is created, and what is in it is overwritten.
        data: What the organisation sets over the defaults, as for `EmbeddedEngine`.
        bundle: The folder to take packs and defaults from; None is the one that comes with
            Affidavit.

    Returns:
        The bundle; run its ``command`` and point an `OpaServerEngine` at the address.

    Raises:
        PolicyEngineError: The packs are not those of their manifest.
        ConfigurationError: The data are not usable.
    """
    root = bundle or shipped()
    loaded = load_bundle(root)
    effective = merge_data(loaded.data, data)
    digest = bundle_digest(loaded.manifest, effective)
    directory.mkdir(parents=True, exist_ok=True)
    for name in loaded.manifest["sources"]:
        copy = directory / Path(name).relative_to("packs")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, copy)
    (directory / "data.json").write_bytes(canonical_input(effective))
    manifest = {"revision": digest, "roots": ["affidavit", *sorted(effective)], "rego_version": 1}
    (directory / ".manifest").write_text(json.dumps(manifest), encoding="utf-8")
    instants = grant_instants(effective)
    profile = {
        name: CacheProfile(volatile, instants) for name, volatile in loaded.entrypoints.items()
    }
    return ServerBundle(directory, digest, profile)
