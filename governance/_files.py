"""Files of the command line: read whole, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from affidavit.errors import ConfigurationError


def read_file(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there; nothing half-written stays.

    Raises:
        ConfigurationError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Name a file in a folder that this user can write.",
        ) from error
