"""The index, derived from entries: a pure function from one entry to its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table

from affidavit.errors import VerificationError
from affidavit.lineage import _predicates as types
from affidavit.lineage._envelope import Envelope
from affidavit.lineage._records import Parsed, parse_entry
from affidavit.lineage._statement import Resource, Statement, resources, statement_id
from affidavit.lineage.tables import (
    ACCESS,
    APPROVAL,
    ARTIFACT,
    DECISION,
    EDGE,
    PREDICTION,
    STATEMENT,
    insert_rows,
)

Row = tuple[Table, dict[str, Any]]
_LONGEST = 600
"""How many characters of a text the index keeps; at most four bytes each."""


def derive_rows(entry: int, body: bytes) -> list[Row]:
    """Return the index rows of one entry; none where the entry is malformed.

    Args:
        entry: Its log index.
        body: Its exact bytes.
    """
    try:
        parsed = parse_entry(body)
    except VerificationError:
        return []
    return rows_of(entry, parsed)


def rows_of(entry: int, parsed: Parsed) -> list[Row]:
    """Return the index rows of one parsed entry.

    Args:
        entry: Its log index.
        parsed: What it says.
    """
    found = _of_record(parsed) if isinstance(parsed, dict) else _of_statement(*parsed)
    counts: dict[str, int] = {}
    rows: list[Row] = []
    for table, values in found:
        ordinal = counts.get(table.name, 0)
        counts[table.name] = ordinal + 1
        rows.append((table, {"entry": entry, "ordinal": ordinal, **values}))
    return rows


def write_index(connection: Connection, rows: list[Row]) -> None:
    """Write index rows, a table at a time."""
    by_table: dict[Table, list[dict[str, Any]]] = {}
    for table, values in rows:
        by_table.setdefault(table, []).append(values)
    for table, batch in by_table.items():
        insert_rows(connection, table, batch)


def _of_record(record: Mapping[str, Any]) -> Iterator[Row]:
    common = {"actor": _text(record.get("actor")), "time": _text(record["time"])}
    if record["record"] == "prediction":
        yield (
            PREDICTION,
            {
                "id": _text(record["id"]),
                "model": _text(record.get("model")),
                "model_digest": _text(record.get("model_digest")),
                "outcome": _text(record.get("outcome")),
                **common,
            },
        )
    elif record["record"] == "decision":
        yield (
            DECISION,
            {
                "id": _text(record["id"]),
                "entrypoint": _text(record.get("entrypoint")),
                "resource": _text(record.get("resource")),
                "allow": record.get("allow") is True,
                **common,
            },
        )
    elif record["record"] == "access":
        yield (
            ACCESS,
            {
                "action": _text(record.get("action")),
                "object": _text(record.get("object")),
                **common,
            },
        )


def _of_statement(envelope: Envelope, statement: Statement) -> Iterator[Row]:
    facts = {key: _text(value) for key, value in statement_facts(statement).items()}
    identifier = _text(statement_id(statement, envelope.payload))
    keyid = _text(envelope.signatures[0][0])
    yield (
        STATEMENT,
        {
            "id": identifier,
            "kind": _text(statement.kind),
            "predicate_type": _text(statement.predicate_type),
            "keyid": keyid,
            **facts,
        },
    )
    inputs, outputs = _materials(statement)
    for role, group in (
        ("subject", statement.subjects),
        ("input", inputs),
        ("output", outputs),
    ):
        for resource in group:
            yield (
                ARTIFACT,
                {
                    "digest": _text(resource.digest),
                    "name": _text(resource.name),
                    "recipe": _text(resource.recipe),
                    "role": role,
                },
            )
    if statement.kind in {"run", "dataset"}:
        for source in inputs:
            for target in statement.subjects:
                if source.digest != target.digest:
                    yield (
                        EDGE,
                        {
                            "source": _text(source.digest),
                            "target": _text(target.digest),
                            "via": identifier,
                        },
                    )
    if statement.kind == "approval":
        for subject in statement.subjects:
            yield (
                APPROVAL,
                {
                    "digest": _text(subject.digest),
                    "name": facts["name"],
                    "approver": facts["actor"],
                    "keyid": keyid,
                    "time": facts["time"],
                },
            )


def statement_facts(statement: Statement) -> dict[str, str]:
    """Return the name, outcome, actor and time that a statement gives for itself."""
    predicate = statement.predicate
    kind = statement.kind
    if kind == "run":
        metadata = _object(_object(predicate.get("runDetails")).get("metadata"))
        ours = _object(predicate.get(types.RUN_FIELD))
        facts = {**ours, "outcome": ours.get("status"), "time": metadata.get("finishedOn")}
    elif kind == "verdict":
        ours = _object(predicate.get(types.VERDICT_FIELD))
        facts = {
            **ours,
            "outcome": predicate.get("verificationResult"),
            "time": predicate.get("timeVerified"),
        }
    elif kind == "evaluation":
        ours = _object(predicate.get(types.EVALUATION_FIELD))
        facts = {**ours, "outcome": predicate.get("result")}
    else:
        facts = dict(predicate)
    return {key: _plain(facts.get(key)) for key in ("name", "outcome", "actor", "time")}


def _materials(statement: Statement) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    predicate = statement.predicate
    if statement.kind == "run":
        definition = _object(predicate.get("buildDefinition"))
        details = _object(predicate.get("runDetails"))
        return (
            _resources(definition.get("resolvedDependencies")),
            _resources(details.get("byproducts")),
        )
    if statement.kind == "evaluation":
        return _resources(predicate.get("configuration")), ()
    return _resources(predicate.get("inputs")), _resources(predicate.get("outputs"))


def _resources(value: object) -> tuple[Resource, ...]:
    try:
        return resources(value) if isinstance(value, list) else ()
    except VerificationError:
        return ()


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(value: object) -> str:
    """Return a text as the index keeps it; whatever is no text is empty.

    PostgreSQL stores no U+0000 and looks up no text of more than 2,700 bytes. An entry may hold
    both, and must not fail because of its index: a long text is cut, and its digest put at the end.
    """
    if not isinstance(value, str):
        return ""
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    if len(value) > _LONGEST:
        digest = hashlib.sha256(value.encode("utf-8")).hexdigest()
        value = f"{value[: _LONGEST - 80]}… sha256:{digest}"
    return value
