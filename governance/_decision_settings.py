"""What the settings say of decisions' records: ``[policy.mask]`` and ``[policy.decision_log]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from affidavit._mask import Mask
from affidavit.errors import ConfigurationError

MAX_BYTES = 32768
"""The largest upload, compressed, where nothing else is said; the same as OPA's."""
LEAST_BYTES = 4096
_KINDS = {"url": str, "partition": str, "certificate": str, "max_bytes": int}


@dataclass(frozen=True, slots=True)
class DecisionLog:
    """Where decisions are shipped to.

    Args:
        url: The service's address; ``/logs`` is put after it.
        partition: A further part of the path.
        certificate: The authorities that TLS trusts there; the system's by default.
        max_bytes: The largest upload, compressed.

    Raises:
        ConfigurationError: The address is none, or the size too small.
    """

    url: str = ""
    partition: str = ""
    certificate: Path | None = None
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            plain = not (parts.username or parts.password or parts.query or parts.fragment)
            fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and plain
            fits = fits and parts.port != 0
        except ValueError:
            fits = False
        if self.url and not fits:
            # Not repeated: it may hold a password.
            raise ConfigurationError(
                "The decision log's url is no address of a service.",
                hint="Write https://host[:port][/path]; a token goes into "
                "AFFIDAVIT_DECISION_LOG_TOKEN.",
            )
        if self.max_bytes < LEAST_BYTES:
            raise ConfigurationError(
                f"The decision log's max_bytes is {self.max_bytes}.",
                hint=f"It is at least {LEAST_BYTES}, or a single decision may not fit.",
            )


def read_mask(said: object) -> Mask:
    """Return the mask that ``[policy.mask]`` describes.

    Raises:
        ConfigurationError: It is malformed.
    """
    table = _table("policy.mask", said, {"remove", "replace"})
    remove, replace = table.get("remove"), table.get("replace", {})
    if not isinstance(remove, list | None) or not isinstance(replace, dict):
        raise ConfigurationError(
            f"The setting policy.mask is {dict(table)!r}.",
            hint='Write remove = ["/input/…"] and replace = { "/input/…" = "…" }.',
        )
    return Mask(replace=replace) if remove is None else Mask(tuple(remove), replace)


def read_decision_log(said: object, folder: Path) -> DecisionLog:
    """Return what ``[policy.decision_log]`` says.

    Args:
        said: The section.
        folder: What the certificate's path starts from.

    Raises:
        ConfigurationError: It is malformed.
    """
    table = dict(_table("policy.decision_log", said, set(_KINDS)))
    for name, kind in _KINDS.items():
        if name in table and type(table[name]) is not kind:
            raise ConfigurationError(
                f"The setting policy.decision_log.{name} is {table[name]!r}.",
                hint=f"It is {'a number' if kind is int else 'text'}.",
            )
    certificate = table.pop("certificate", "")
    return DecisionLog(**table, certificate=folder / certificate if certificate else None)


def _table(setting: str, value: object, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) - known:
        raise ConfigurationError(
            f"The setting {setting} is {value!r}.",
            hint=f"It is a table with {', '.join(sorted(known))}.",
        )
    return value
