"""The artifact store: files kept under the digest of their bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from affidavit.errors import LedgerUnavailableError, NotFoundError, VerificationError


class ArtifactStore:
    """Files by SHA-256, written once and checked whenever they are read.

    Args:
        folder: Where the files are, as ``ab/abcdef…``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep some bytes.

        Returns:
            Their SHA-256 in hex.

        Raises:
            LedgerUnavailableError: They cannot be written; nothing half-written stays.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        if path.is_file():
            return digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise LedgerUnavailableError(
                f"An artifact of {len(content)} bytes cannot be kept: {error.strerror}.",
                hint="Free some space or make the home writable, then try again.",
            ) from error
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest, checked against it.

        Args:
            digest: ``sha256:…`` or the hex alone.

        Raises:
            NotFoundError: They are not kept here.
            VerificationError: The file was changed.
        """
        value = digest.removeprefix("sha256:")
        try:
            content = self._path(value).read_bytes()
        except OSError as error:
            raise NotFoundError(
                f"The artifact sha256:{value} is not kept here.",
                hint="Restore the artifacts folder from the backup of the same day.",
            ) from error
        if hashlib.sha256(content).hexdigest() != value:
            raise VerificationError(f"The artifact sha256:{value} was changed on disk.")
        return content

    def __contains__(self, digest: str) -> bool:
        return self._path(digest.removeprefix("sha256:")).is_file()

    def changed(self) -> Iterator[str]:
        """Give the digests of kept files whose bytes are no longer theirs."""
        for path in sorted(self._folder.glob("??/*")):
            if path.name.startswith(".new-"):
                continue
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != path.name:
                yield path.name

    def _path(self, value: str) -> Path:
        if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise NotFoundError(f"{value!r} is not a SHA-256 digest.")
        return self._folder / value[:2] / value
