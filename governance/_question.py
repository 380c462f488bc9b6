"""What a policy is asked, and the input document that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit._context import acting, current_client
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
    extra: Mapping[str, Any] | None = None

    def document(self, settings: Settings, *, time: str, request: str) -> dict[str, Any]:
        """Return the input document; what is not known or not declared is left out of it."""
        person = acting(settings)
        actor: dict[str, Any] = {"id": person, "roles": settings.roles_of(person)}
        if attributes := settings.attributes_of(person):
            actor["attributes"] = attributes
        resource: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "digest": self.digest,
            "tags": list(self.tags),
        }
        if attributes := settings.declared_attributes(self.kind, self.name):
            resource["attributes"] = attributes
        where: dict[str, Any] = {}
        if settings.region:
            where["place"] = {"region": settings.region}
        if address := current_client.get():
            where["client"] = {"address": address}
        return {
            "action": self.action,
            "actor": actor,
            "purpose": self.purpose,
            "resource": resource,
            "columns": [
                {"name": name, "tags": list(tags)} for name, tags in (self.columns or {}).items()
            ],
            "environment": settings.environment,
            **where,
            "time": time,
            "request_id": request,
            **(self.extra or {}),
        }


def system_tags(settings: Settings, name: str) -> list[str]:
    """Return a system's tags: its tier, where one is declared."""
    tier = settings.systems.get(name, {}).get("tier", "")
    return [f"tier:{tier}"] if tier else []
