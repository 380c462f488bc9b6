"""Settings: from the environment, then from ``affidavit.toml``, then the defaults.

```toml
[affidavit]
home = ".affidavit"            # AFFIDAVIT_HOME
store = "postgresql://…"       # AFFIDAVIT_STORE; by default the file ledger.db in the home
environment = "production"     # AFFIDAVIT_ENVIRONMENT; development where nothing is said
region = "eu-central-1"        # AFFIDAVIT_REGION; where this runs, in your own words
file_cache = false             # whether inputs' files that have not changed are read again
on_error = "block"             # what a failing ledger does to a call: block, spool, or warn
durability = "process"         # of a served record: process (survives a kill), disk (flushed
                               # before the answer), or log (in the log before the answer)

[policy]
engine = "embedded"            # or "opa", with url = "http://127.0.0.1:8181"; a token goes into
                               # AFFIDAVIT_OPA_TOKEN
bundle = "sha256:…"            # with "opa": the digest of the only bundle that may decide
packs = "built"                # with "embedded": a folder that `affidavit policy build` wrote,
                               # or a bundle's file
data = "policy-data.json"      # merged over the packs' own data
verification_key = "key.pem"   # with "embedded": packs must be a bundle signed by this key,
scope = ""                     # for this scope
ca = "ca.pem"                  # with "opa": the certificate authorities that are trusted
timeout = 1.0                  # seconds that a decision may take
mode = "enforce"               # or "observe": denials are recorded and not enforced

mask = {remove = ["/input/client/address"]}     # what decisions' records lack
decision_log = {url = "https://logs.example.org"}   # where `affidavit policy ship` posts them

[timestamp]
url = "https://tsa.example.org"    # the time-stamping authority (RFC 3161) that is asked
certificate = "tsa.pem"        # its certificates, root included; nothing else is trusted

[retention]
payloads = "P30D"              # personal data older than this is erased by `affidavit retain`
records = "P365D"              # and with --records, served records older than this are pruned

[people]                       # who has which roles; where the table stands, it alone decides
"alice@example.com" = ["auditor"]
"bob@example.com" = {roles = ["engineer"], attributes = {department = "lending"}}

[datasets.applications]
tags = ["finance"]
detect = true                  # columns without tags are looked at, and tags proposed for them
licence = "CC-BY-4.0"          # this and all else but the above and columns is told to the policies
collected = 2026-03-01         # as the dataset's attributes

[datasets.applications.columns]
national_id = ["identifier"]
sex = ["sensitive"]

[systems.credit-risk]
owner = "Retail Lending"
purpose = "credit-scoring"
tier = "high"                  # a system's attributes: all that stands here
```
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from affidavit._attributes import check_person, json_ready
from affidavit._decision_settings import DecisionLog, read_decision_log, read_mask
from affidavit._mask import Mask
from affidavit._setting_files import (
    Stamp,
    file_named,
    glance_at,
    policy_data,
    policy_files,
    stamp_of,
)
from affidavit.errors import ConfigurationError

_SHAPE: dict[str, set[str] | None] = {
    "affidavit": {
        *("home", "store", "environment", "region", "on_error", "durability", "file_cache"),
    },
    "policy": {
        *("engine", "url", "bundle", "packs", "data", "mode"),
        *("verification_key", "scope", "ca", "timeout", "mask", "decision_log"),
    },
    "timestamp": {"url", "certificate"},
    "retention": {"payloads", "records"},
    "people": None,
    "datasets": None,
    "systems": None,
}
_NO_ATTRIBUTES = {"tags", "columns", "detect"}
_DAYS = re.compile(r"P([1-9][0-9]{0,4})D")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set.

    Args:
        home: The folder that holds ledger, keys and artifacts.
        store: The URL of the PostgreSQL database that holds the ledger; empty where it is in the
            home. It may hold a password.
        actor: Who acts, as recorded; `AFFIDAVIT_ACTOR`, else the operating system's user.
        claimed_roles: The roles that `AFFIDAVIT_ROLES` claims, separated by commas; they count
            only where no table of people is declared.
        people: Declared people with their roles, or with ``roles`` and ``attributes``; None where
            there is no such table.
        environment: ``development`` or ``production``, told to the policies.
        region: Where this process runs, told to the policies; empty where nobody said.
        on_error: What happens to a call whose record cannot be written.
        file_cache: Whether digests of unchanged input files may come from the cache of digests.
        durability: When a served record is safe enough for the caller to go on.
        engine: Which policy engine decides.
        opa_url: Where the OPA server is, for the engine ``opa``.
        packs: A folder of compiled packs, or a bundle's file, in place of the shipped ones.
        opa_bundle: The digest of the bundle that it must run; any where empty.
        policy_data: Data merged over the packs' own.
        verification_key: The file of the public key that must have signed the packs.
        bundle_scope: The scope that their signature must name.
        opa_ca: The file of the certificate authorities that the OPA server's certificate may have.
        policy_timeout: Seconds that a decision may take; None leaves the engine its own.
        watched: The state of the files that the rules come from, when these settings were read.
        mode: Whether denials are enforced.
        mask: What is not in the decisions' records.
        decision_log: Where decisions are shipped to.
        tsa_url: The time-stamping authority that is asked.
        tsa_certificate: The file of the certificates that its answers are verified against.
        payload_days: After how many days personal data may be erased; None keeps it.
        record_days: After how many days served records may be pruned; None keeps them.
        datasets: Declared datasets: for each its tags, its ``columns`` with theirs, whether tags
            are proposed for the others (``detect``), and further attributes such as its licence.
        systems: Declared systems: for each its owner, purpose and tier, and further attributes.
    """

    home: Path
    actor: str
    store: str = field(default="", repr=False)
    claimed_roles: tuple[str, ...] = ()
    people: Mapping[str, Any] | None = None
    environment: str = "development"
    region: str = ""
    file_cache: bool = False
    on_error: Literal["block", "spool", "warn"] = "block"
    durability: Literal["process", "disk", "log"] = "process"
    engine: Literal["embedded", "opa"] = "embedded"
    opa_url: str = ""
    opa_bundle: str = ""
    packs: Path | None = None
    policy_data: Mapping[str, Any] = field(default_factory=dict)
    verification_key: Path | None = None
    bundle_scope: str = ""
    opa_ca: Path | None = None
    policy_timeout: float | None = None
    watched: tuple[Stamp | None, ...] = ()
    mode: Literal["enforce", "observe"] = "enforce"
    mask: Mask = field(default_factory=Mask)
    decision_log: DecisionLog = field(default_factory=DecisionLog)
    tsa_url: str = ""
    tsa_certificate: Path | None = None
    payload_days: int | None = None
    record_days: int | None = None
    datasets: Mapping[str, Any] = field(default_factory=dict)
    systems: Mapping[str, Any] = field(default_factory=dict)

    def roles_of(self, person: str) -> list[str]:
        """Return a person's roles; none leaves the policy its default role."""
        if self.people is None:
            return list(self.claimed_roles)
        declared = self.people.get(person, ())
        return list(declared.get("roles", ()) if isinstance(declared, Mapping) else declared)

    def attributes_of(self, person: str) -> dict[str, Any]:
        """Return a person's declared attributes."""
        declared = (self.people or {}).get(person)
        return dict(declared.get("attributes", {})) if isinstance(declared, Mapping) else {}

    def declared_attributes(self, kind: str, name: str) -> dict[str, Any]:
        """Return what is declared of a dataset or model beside tags, columns and detection."""
        declared = {"dataset": self.datasets, "model": self.systems}.get(kind, {}).get(name, {})
        return {key: value for key, value in declared.items() if key not in _NO_ATTRIBUTES}

    def column_tags(self, dataset: str) -> dict[str, list[str]]:
        """Return the declared tags of a dataset's columns."""
        columns = self.datasets.get(dataset, {}).get("columns", {})
        return {str(name): [str(tag) for tag in tags] for name, tags in columns.items()}


def load_settings() -> Settings:
    """Return the settings in force now; the same object while nothing that they come from changes.

    Raises:
        ConfigurationError: The file is malformed, or a value is not one of those permitted.
    """
    # On the path of every served call: a stat or two, and no path is taken apart.
    key = (os.getcwd(), *map(_variables.get, _NAMES))  # noqa: PTH109  # ten times faster
    named = os.environ.get("AFFIDAVIT_CONFIG")
    stamp = stamp_of(named or "affidavit.toml")
    known = _latest[0]
    if known is not None and known[:2] == (key, stamp):
        watched, seen, settings = known[2:]
        if not watched or tuple(map(glance_at, watched)) == seen:
            return settings
    path = Path(named or "affidavit.toml").absolute()
    if stamp is None and named:
        raise ConfigurationError(
            f"AFFIDAVIT_CONFIG names {path}, which is not there.",
            hint="Name the file that holds the settings, or unset AFFIDAVIT_CONFIG.",
        )
    content = _read_toml(path, stamp) if stamp else {}
    watched = policy_files(content.get("policy", {}), path.parent)
    seen = tuple(map(glance_at, watched))
    settings = _settings(content, path.parent, seen)
    _latest[0] = (key, stamp, watched, seen, settings)
    return settings


_VARIABLES = (
    "AFFIDAVIT_CONFIG",
    "AFFIDAVIT_HOME",
    "AFFIDAVIT_ENVIRONMENT",
    "AFFIDAVIT_ACTOR",
    "AFFIDAVIT_ROLES",
    "AFFIDAVIT_STORE",
    "AFFIDAVIT_REGION",
)
_SCHEMES = ("postgresql://", "postgres://")
# What lies behind os.environ in CPython: five look-ups there cost more than all else here.
_variables: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
_NAMES: tuple[Any, ...] = (
    _VARIABLES if _variables is os.environ else tuple(map(os.fsencode, _VARIABLES))
)
_Known = tuple[tuple[Any, ...], Stamp | None, tuple[str, ...], tuple[Stamp | None, ...], Settings]
_latest: list[_Known | None] = [None]


def _settings(
    content: Mapping[str, Any], folder: Path, watched: tuple[Stamp | None, ...]
) -> Settings:
    main, policy = content.get("affidavit", {}), content.get("policy", {})
    stamping, retention = content.get("timestamp", {}), content.get("retention", {})
    home, environment, actor, roles, store, region = (
        os.environ.get(name, "") for name in _VARIABLES[1:]
    )
    return Settings(
        home=Path(home or main.get("home") or ".affidavit").expanduser().absolute(),
        store=_store_url(store or main.get("store", "")),
        actor=actor or _user(),
        claimed_roles=tuple(filter(None, map(str.strip, roles.split(",")))),
        people=content.get("people"),
        environment=_one_of(
            "environment",
            environment or main.get("environment", "development"),
            "development",
            "production",
        ),
        region=_region(region or main.get("region", "")),
        file_cache=_one_of("file_cache", main.get("file_cache", False), False, True),
        on_error=_one_of("on_error", main.get("on_error", "block"), "block", "spool", "warn"),
        durability=_one_of(
            "durability", main.get("durability", "process"), "process", "disk", "log"
        ),
        engine=_one_of("policy.engine", policy.get("engine", "embedded"), "embedded", "opa"),
        opa_url=str(policy.get("url", "")),
        opa_bundle=str(policy.get("bundle", "")),
        packs=file_named(policy, "packs", folder),
        policy_data=policy_data(policy, folder),
        verification_key=file_named(policy, "verification_key", folder),
        bundle_scope=str(policy.get("scope", "")),
        opa_ca=file_named(policy, "ca", folder),
        policy_timeout=_seconds("policy.timeout", policy.get("timeout")),
        watched=watched,
        mode=_one_of("policy.mode", policy.get("mode", "enforce"), "enforce", "observe"),
        mask=read_mask(policy.get("mask", {})),
        decision_log=read_decision_log(policy.get("decision_log", {}), folder),
        tsa_url=str(stamping.get("url", "")),
        tsa_certificate=file_named(stamping, "certificate", folder),
        payload_days=_days("retention.payloads", retention.get("payloads")),
        record_days=_days("retention.records", retention.get("records")),
        datasets=content.get("datasets", {}),
        systems=content.get("systems", {}),
    )


@functools.lru_cache(maxsize=8)
def _read_toml(path: Path, _: Stamp) -> dict[str, Any]:
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
        if not isinstance(keys, dict):
            raise ConfigurationError(f"{path.name} has {section!r} as a value, not as a section.")
        known = _SHAPE[section]
        unknown = sorted(set(keys) - known) if known is not None else []
        if unknown:
            raise ConfigurationError(
                f"{path.name} has the unknown setting {unknown[0]!r} in [{section}].",
                hint=f"There are {', '.join(sorted(known or ()))}.",
            )
    for kind in ("people", "datasets", "systems"):
        if kind in content:
            content[kind] = json_ready(kind, content[kind])
    for place, words in _word_lists(content):
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ConfigurationError(
                f"{path.name} has {place} = {words!r}, which is not a list of words.",
                hint=f'Write {place} = ["…"].',
            )
    return content


def _word_lists(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give every place where a list of words stands, such as a person's roles."""
    for name, person in content.get("people", {}).items():
        if isinstance(person, dict):
            check_person(f"people.{name}", person)
            yield f"people.{name}.roles", person.get("roles", [])
        else:
            yield f"people.{name}", person
    for kind in ("datasets", "systems"):
        for name, declared in content.get(kind, {}).items():
            if not isinstance(declared, dict):
                raise ConfigurationError(f"{kind}.{name} is {declared!r}, not a section.")
    for kind in ("datasets", "systems"):
        for name, declared in content.get(kind, {}).items():
            yield f"{kind}.{name}.frameworks", declared.get("frameworks", [])
    for name, dataset in content.get("datasets", {}).items():
        columns = dataset.get("columns", {})
        if not isinstance(columns, dict):
            raise ConfigurationError(f"datasets.{name}.columns is {columns!r}, not a section.")
        _one_of(f"datasets.{name}.detect", dataset.get("detect", False), False, True)
        yield f"datasets.{name}.tags", dataset.get("tags", [])
        yield from ((f"datasets.{name}.columns.{key}", tags) for key, tags in columns.items())


def _one_of(setting: str, value: Any, *permitted: str | bool) -> Any:
    if value not in permitted or type(value) is not type(permitted[0]):
        raise ConfigurationError(
            f"The setting {setting} is {value!r}.",
            hint=f"It can be {' or '.join(map(str, permitted))}.",
        )
    return value


def _region(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"The setting region is {value!r}, expected text.")
    return value.strip()


def _store_url(value: object) -> str:
    if value == "" or (isinstance(value, str) and value.startswith(_SCHEMES)):
        return str(value)
    # Not repeated: it may hold a password.
    raise ConfigurationError(
        "The setting store is not the URL of a PostgreSQL database.",
        hint="Write postgresql://role@host:5432/database, or leave it out for a file in the home.",
    )


def _days(setting: str, value: Any) -> int | None:
    if value is None:
        return None
    found = _DAYS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(
            f"The setting {setting} is {value!r}.",
            hint='Write whole days as an ISO 8601 duration, such as "P30D".',
        )
    return int(found[1])


def _seconds(setting: str, value: Any) -> float | None:
    if value is None:
        return None
    if type(value) in {int, float} and 0 < value <= 60:
        return float(value)
    raise ConfigurationError(
        f"The setting {setting} is {value!r}.",
        hint="Write seconds, more than 0 and at most 60, such as 1.0.",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
