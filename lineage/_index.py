"""The index, derived from entries: a pure function from one entry to its rows."""

from __future__ import annotations

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
    common = {"actor": _text(record.get("actor")), "time": record["time"]}
    if record["record"] == "prediction":
        yield (
            PREDICTION,
            {
                "id": record["id"],
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
                "id": record["id"],
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
    facts = statement_facts(statement)
    identifier = statement_id(statement, envelope.payload)
    keyid = envelope.signatures[0][0]
    yield (
        STATEMENT,
        {
            "id": identifier,
            "kind": statement.kind,
            "predicate_type": statement.predicate_type,
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
                    "digest": resource.digest,
                    "name": resource.name,
                    "recipe": resource.recipe,
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
                            "source": source.digest,
                            "target": target.digest,
                            "via": identifier,
                        },
                    )
    if statement.kind == "approval":
        for subject in statement.subjects:
            yield (
                APPROVAL,
                {
                    "digest": subject.digest,
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
    return {key: _text(facts.get(key)) for key in ("name", "outcome", "actor", "time")}


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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
