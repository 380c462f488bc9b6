"""A bundle's archive in a file, for an OPA server to run."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.errors import ConfigurationError
from affidavit.policies._archive import write_bundle
from affidavit.policies._data import grant_instants
from affidavit.policies._engine import CacheProfile
from affidavit.policies._open import open_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from affidavit.policies._manifest import Bundle

__all__ = ["ServerBundle", "server_bundle"]


@dataclass(frozen=True, slots=True)
class ServerBundle:
    """An archive that an OPA server can run, and what `OpaServerEngine` should know of it.

    Args:
        path: The archive.
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
    path: Path,
    *,
    data: Mapping[str, Any] | None = None,
    bundle: Bundle | Path | bytes | None = None,
) -> ServerBundle:
    """Write the packs and the data in force as an archive that states its digest as its revision.

    The file is exchanged at once, so that whoever watches it reads the old or the new one.

    Args:
        path: The archive to write, such as ``bundle.tar.gz``.
        data: What the organisation sets over the defaults, as for `EmbeddedEngine`.
        bundle: Where to take packs and defaults from, as for `EmbeddedEngine`.

    Returns:
        The bundle; run its ``command`` and point an `OpaServerEngine` at the address.

    Raises:
        PolicyEngineError: The packs are not those of their manifest.
        ConfigurationError: The data are not usable, or the file cannot be written.
    """
    whole = open_bundle(bundle).with_data(data)
    replace_file(path, write_bundle(whole))
    instants = grant_instants(whole.data)
    profile = {
        name: CacheProfile(volatile, instants) for name, volatile in whole.entrypoints.items()
    }
    return ServerBundle(path, whole.digest, profile)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there in one step.

    Raises:
        ConfigurationError: It cannot be written.
    """
    scratch = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            scratch = file.name
            file.write(content)
            # A temporary file is for its owner alone; a bundle is for whoever may read the folder.
            os.fchmod(file.fileno(), 0o644)
        os.replace(scratch, path)  # noqa: PTH105  # the scratch file's name is text
        scratch = ""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        if scratch:
            os.unlink(scratch)  # noqa: PTH108  # as above
