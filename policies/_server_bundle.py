"""A bundle's archive in a file, for an OPA server to run."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.errors import ConfigurationError
from affidavit.policies._archive import write_bundle
from affidavit.policies._instants import cache_profile
from affidavit.policies._open import open_bundle
from affidavit.policies._signatures import signing_algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from affidavit.policies._engine import CacheProfile
    from affidavit.policies._manifest import Bundle

__all__ = ["ServerBundle", "server_bundle"]


@dataclass(frozen=True, slots=True)
class ServerBundle:
    """An archive that an OPA server can run, and what `OpaServerEngine` should know of it.

    Args:
        path: The archive.
        digest: Its revision; equal to that of an `EmbeddedEngine` with the same packs and data.
        profile: What a cache may leave out of account for each entry point.
        algorithm: What it is signed by, such as ``ES256``; empty where it is not.
        scope: What it is signed for.
    """

    path: Path
    digest: str
    profile: Mapping[str, CacheProfile]
    algorithm: str = ""
    scope: str = ""

    def command(
        self, address: str, *, opa: str = "opa", verification_key: Path | None = None
    ) -> list[str]:
        """The command that starts a server on the bundle.

        Args:
            address: Where to listen, such as ``127.0.0.1:8181``.
            opa: The ``opa`` command.
            verification_key: The file of the public key, where the bundle is signed.

        Returns:
            The words of the command; the server runs until it is ended.
        """
        return [
            opa,
            "run",
            "--server",
            "--addr",
            address,
            "--skip-version-check",
            "--log-level",
            "error",
            *self._verification(verification_key),
            "--bundle",
            str(self.path),
        ]

    def _verification(self, key: Path | None) -> list[str]:
        if key is None:
            return []
        scope = ["--scope", self.scope] if self.scope else []
        return ["--verification-key", str(key), "--signing-alg", self.algorithm, *scope]


def server_bundle(
    path: Path,
    *,
    data: Mapping[str, Any] | None = None,
    bundle: Bundle | Path | bytes | None = None,
    key: bytes | None = None,
    password: bytes | None = None,
    scope: str = "",
) -> ServerBundle:
    """Write the packs and the data in force as an archive that states its digest as its revision.

    The file is exchanged at once, so that whoever watches it reads the old or the new one.

    Args:
        path: The archive to write, such as ``bundle.tar.gz``.
        data: What the organisation sets over the defaults, as for `EmbeddedEngine`.
        bundle: Where to take packs and defaults from, as for `EmbeddedEngine`.
        key: A private key in PEM to sign the archive with; None leaves it unsigned.
        password: The key's passphrase, where it has one.
        scope: What the signature is for.

    Returns:
        The bundle; run its ``command`` and point an `OpaServerEngine` at the address.

    Raises:
        PolicyEngineError: The packs are not those of their manifest.
        ConfigurationError: The data or the key are not usable, or the file cannot be written.
    """
    whole = open_bundle(bundle).with_data(data)
    replace_file(path, write_bundle(whole, key=key, password=password, scope=scope))
    profile = {
        name: cache_profile(volatile, whole.data) for name, volatile in whole.entrypoints.items()
    }
    algorithm = "" if key is None else signing_algorithm(key, password)
    return ServerBundle(path, whole.digest, profile, algorithm, scope)


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
