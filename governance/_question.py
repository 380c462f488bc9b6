"""What a policy is asked, and the input document that says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit._context import acting
from affidavit._settings import Settings


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy is asked.

    Args:
        entrypoint: The policy, such as ``affidavit/data_read``.
        action: What is to be done, such as ``data.read``.
        kind: What it is done to: ``dataset``, ``model`` or ``record``.
        name: Its name.
        digest: Its digest, where it is known.
        purpose: What for.
        tags: The tags of the resource.
        columns: The columns concerned, with their tags.
        attributes: What is declared about it, such as a system's owner.
        extra: Further members of the input, such as evidence.
    """

    entrypoint: str
    action: str
    kind: str
    name: str
    digest: str = ""
    purpose: str = ""
    tags: Sequence[str] = ()
    columns: Mapping[str, Sequence[str]] | None = None
    attributes: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None

    def document(self, settings: Settings, *, time: str, request: str) -> dict[str, Any]:
        """Return the input document."""
        return {
            "action": self.action,
            "actor": {"id": acting(settings), "roles": settings.roles_of(acting(settings))},
            "purpose": self.purpose,
            "resource": {
                "kind": self.kind,
                "name": self.name,
                "digest": self.digest,
                "tags": list(self.tags),
                **({} if self.attributes is None else {"attributes": dict(self.attributes)}),
            },
            "columns": [
                {"name": name, "tags": list(tags)} for name, tags in (self.columns or {}).items()
            ],
            "environment": settings.environment,
            "time": time,
            "request_id": request,
            **(self.extra or {}),
        }


def system_attributes(settings: Settings, name: str) -> dict[str, Any]:
    """Return what the settings declare about a system; a date as its ISO 8601 text."""
    declared = settings.systems.get(name, {})
    return {
        key: value.isoformat() if isinstance(value, dt.date | dt.time) else value
        for key, value in declared.items()
    }


def system_tags(settings: Settings, name: str) -> list[str]:
    """Return a system's tags: its tier, where one is declared."""
    tier = settings.systems.get(name, {}).get("tier", "")
    return [f"tier:{tier}"] if tier else []
