"""The files that settings name, and what shows that one of them has changed."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affidavit.errors import ConfigurationError, EnvelopeError

Stamp = tuple[int, int, int]
_POLICY = ("data", "packs", "verification_key", "ca")


def stamp_of(path: str) -> Stamp | None:
    """Return what shows a change of a file; None where there is none.

    Raises:
        ConfigurationError: It cannot be seen whether there is one.
    """
    try:
        seen = os.stat(path)  # noqa: PTH116  # on the path of every served call
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # Settings that cannot be seen may be the ones that forbid what is about to happen.
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def glance_at(path: str) -> Stamp | None:
    """Return what shows a change of a file that is read later, by what needs it."""
    try:
        seen = os.stat(path)  # noqa: PTH116  # on the path of every served call
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def policy_files(policy: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Return the files that the rules come from, as the settings name them."""
    found = [folder / str(policy[name]) for name in _POLICY if policy.get(name)]
    # A built folder is changed when its manifest is, which is written last.
    return tuple(str(path / "manifest.json" if path.is_dir() else path) for path in found)


def file_named(section: Mapping[str, Any], name: str, folder: Path) -> Path | None:
    """Return a file that a setting names, relative to the settings' folder."""
    return folder / str(section[name]) if section.get(name) else None


def policy_data(policy: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the organisation's data for the rules; empty where none are set.

    Raises:
        ConfigurationError: The file is missing, unreadable or no JSON object.
    """
    path = file_named(policy, "data", folder)
    if path is None:
        return {}
    stamp = stamp_of(str(path))
    if stamp is None:
        raise ConfigurationError(f"The policy data {path.name} is not there.")
    return _read_data(path, stamp)


@functools.lru_cache(maxsize=8)
def _read_data(path: Path, _: Stamp) -> Mapping[str, Any]:
    from affidavit.lineage import parse_json

    try:
        value = parse_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"The policy data {path.name} cannot be read: {error.strerror}."
        ) from error
    except EnvelopeError as error:
        raise ConfigurationError(
            f"The policy data {path.name} is not JSON: {error.message}"
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"The policy data {path.name} is not a JSON object.")
    return value
