"""What a run ran on: Python, platform and the exact versions of what is installed.

No host name, no user name and no path is recorded.
"""

from __future__ import annotations

import functools
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from affidavit.lineage._digest import Digest
from affidavit.lineage._files import file_digest

RECIPE = "installed-packages-v1"
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "constraints.txt")


def environment_facts(directory: Path | None = None) -> dict[str, Any]:
    """The environment of this process, JSON-safe.

    Args:
        directory: Where lock files are looked for; the working directory if None.

    Returns:
        ``python`` (version and implementation), ``platform`` (system, release, machine), the
        sorted ``packages`` as ``name==version`` with normalised names, their ``digest`` with
        ``recipe`` (SHA-256 over the lines joined by newlines), and ``locks``: the file digest of
        each lock or requirements file in the directory, by file name. Packages are listed once
        per process and search path; lock files are read each time.

    Raises:
        FingerprintError: A lock file cannot be read.
    """
    facts: dict[str, Any] = orjson.loads(_fixed_facts(tuple(sys.path)))
    facts["locks"] = {
        path.name: file_digest(path).to_dict() for path in _lock_files(directory or Path())
    }
    return facts


def _lock_files(directory: Path) -> list[Path]:
    found = [directory / name for name in _LOCKS]
    found += sorted(directory.glob("requirements*.txt"))
    return [path for path in found if path.is_file()]


@functools.lru_cache(maxsize=4)
def _fixed_facts(search_path: tuple[str, ...]) -> bytes:
    """The facts that a process keeps, as JSON so that no caller can alter the cached copy."""
    packages = _packages(search_path)
    digest = Digest.of("\n".join(packages).encode(), recipe=RECIPE)
    facts = {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
        "packages": packages,
        **digest.to_dict(),
    }
    return orjson.dumps(facts)


def _packages(search_path: tuple[str, ...]) -> list[str]:
    """The installed distributions as ``name==version``; the first on the search path counts."""
    versions: dict[str, str] = {}
    for found in metadata.distributions(path=list(search_path)):
        name = found.metadata["Name"] if found.metadata else None
        if name:  # a half-removed distribution has none
            # PyPA "Name normalization" (PEP 503).
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), found.version or "unknown")
    return sorted(f"{name}=={version}" for name, version in versions.items())
