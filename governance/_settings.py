"""Settings: from the environment, then from ``affidavit.toml``, then the defaults.

```toml
[affidavit]
home = ".affidavit"            # AFFIDAVIT_HOME
environment = "production"     # AFFIDAVIT_ENVIRONMENT; development where nothing is said
on_error = "block"             # what a failing ledger does to a call: block, or warn

[policy]
engine = "embedded"            # or "opa", with url = "http://127.0.0.1:8181"; a token goes into
                               # AFFIDAVIT_OPA_TOKEN
bundle = "sha256:…"            # with "opa": the digest of the only bundle that may decide
data = "policy-data.json"      # merged over the packs' own data
mode = "enforce"               # or "observe": denials are recorded and not enforced

[people]                       # who has which roles; where the table stands, it alone decides
"alice@example.com" = ["auditor"]

[datasets.applications.columns]
national_id = ["direct-identifier"]
sex = ["sensitive"]

[systems.credit-risk]
owner = "Retail Lending"
purpose = "credit-scoring"
tier = "high"
```
"""

from __future__ import annotations

import functools
import getpass
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from affidavit.errors import ConfigurationError

_SHAPE: dict[str, set[str] | None] = {
    "affidavit": {"home", "environment", "on_error"},
    "policy": {"engine", "url", "bundle", "data", "mode"},
    "people": None,
    "datasets": None,
    "systems": None,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set.

    Args:
        home: The folder that holds ledger, keys and artifacts.
        actor: Who acts, as recorded; `AFFIDAVIT_ACTOR`, else the operating system's user.
        claimed_roles: The roles that `AFFIDAVIT_ROLES` claims, separated by commas; they count
            only where no table of people is declared.
        people: Declared people with their roles; None where there is no such table.
        environment: ``development`` or ``production``, told to the policies.
        on_error: What happens to a call whose record cannot be written.
        engine: Which policy engine decides.
        opa_url: Where the OPA server is, for the engine ``opa``.
        opa_bundle: The digest of the bundle that it must run; any where empty.
        policy_data: Data merged over the packs' own.
        mode: Whether denials are enforced.
        datasets: Declared datasets: for each its ``columns`` with their tags.
        systems: Declared systems: for each its owner, purpose and tier.
    """

    home: Path
    actor: str
    claimed_roles: tuple[str, ...] = ()
    people: Mapping[str, Any] | None = None
    environment: str = "development"
    on_error: Literal["block", "warn"] = "block"
    engine: Literal["embedded", "opa"] = "embedded"
    opa_url: str = ""
    opa_bundle: str = ""
    policy_data: Mapping[str, Any] = field(default_factory=dict)
    mode: Literal["enforce", "observe"] = "enforce"
    datasets: Mapping[str, Any] = field(default_factory=dict)
    systems: Mapping[str, Any] = field(default_factory=dict)

    def roles_of(self, person: str) -> list[str]:
        """Return a person's roles; none leaves the policy its default role."""
        if self.people is None:
            return list(self.claimed_roles)
        return [str(role) for role in self.people.get(person, [])]

    def column_tags(self, dataset: str) -> dict[str, list[str]]:
        """Return the declared tags of a dataset's columns."""
        columns = self.datasets.get(dataset, {}).get("columns", {})
        return {str(name): [str(tag) for tag in tags] for name, tags in columns.items()}


def load_settings() -> Settings:
    """Return the settings in force now.

    Raises:
        ConfigurationError: The file is malformed, or a value is not one of those permitted.
    """
    path = Path(os.environ.get("AFFIDAVIT_CONFIG") or "affidavit.toml")
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        if os.environ.get("AFFIDAVIT_CONFIG"):
            raise ConfigurationError(
                f"AFFIDAVIT_CONFIG names {path}, which cannot be read: {error.strerror}."
            ) from error
        stamp = 0
    content = _read_toml(path.resolve(), stamp) if stamp else {}
    main, policy = content.get("affidavit", {}), content.get("policy", {})
    home = os.environ.get("AFFIDAVIT_HOME") or main.get("home") or ".affidavit"
    environment = os.environ.get("AFFIDAVIT_ENVIRONMENT") or main.get("environment")
    return Settings(
        home=Path(home).expanduser().absolute(),
        actor=os.environ.get("AFFIDAVIT_ACTOR") or _user(),
        claimed_roles=tuple(filter(None, os.environ.get("AFFIDAVIT_ROLES", "").split(","))),
        people=content.get("people"),
        environment=_one_of(
            "environment", environment or "development", "development", "production"
        ),
        on_error=_one_of("on_error", main.get("on_error", "block"), "block", "warn"),
        engine=_one_of("policy.engine", policy.get("engine", "embedded"), "embedded", "opa"),
        opa_url=str(policy.get("url", "")),
        opa_bundle=str(policy.get("bundle", "")),
        policy_data=_policy_data(path, policy.get("data")),
        mode=_one_of("policy.mode", policy.get("mode", "enforce"), "enforce", "observe"),
        datasets=content.get("datasets", {}),
        systems=content.get("systems", {}),
    )


@functools.lru_cache(maxsize=8)
def _read_toml(path: Path, _stamp: int) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error}.") from error
    for section, keys in content.items():
        if section not in _SHAPE:
            raise ConfigurationError(
                f"{path.name} has a section [{section}] that is unknown.",
                hint=f"There are {', '.join(sorted(_SHAPE))}.",
            )
        known = _SHAPE[section]
        unknown = sorted(set(keys) - known) if known is not None else []
        if unknown:
            raise ConfigurationError(
                f"{path.name} has the unknown setting {unknown[0]!r} in [{section}].",
                hint=f"There are {', '.join(sorted(known or ()))}.",
            )
    return content


def _policy_data(config: Path, name: str | None) -> Mapping[str, Any]:
    if not name:
        return {}
    from affidavit.lineage import parse_json

    path = config.resolve().parent / name
    try:
        value = parse_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"The policy data {path.name} cannot be read: {error.strerror}."
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"The policy data {path.name} is not a JSON object.")
    return value


def _one_of(setting: str, value: Any, *permitted: str) -> Any:
    if value not in permitted:
        raise ConfigurationError(
            f"The setting {setting} is {value!r}.", hint=f"It can be {' or '.join(permitted)}."
        )
    return value


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
