"""What a reference to a model was resolved to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model that a reference was resolved to.

    Args:
        name: The system's name.
        version: ``production``, ``latest`` or a digest.
        digest: The model file's digest, ``sha256:…``.
        entry: The log index of the run that made it.
        verdict: The log index of the verdict that promoted it; None where none did.
    """

    name: str
    version: str
    digest: str
    entry: int
    verdict: int | None
