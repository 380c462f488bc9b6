"""The index, derived from entries: a pure function from one entry to its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from affidavit.errors import VerificationError
from affidavit.lineage import _predicates as types
from affidavit.lineage._batch import Cells, index_text, read_batch, row_of_record
from affidavit.lineage._envelope import Envelope
from affidavit.lineage._records import Parsed, parse_entry, parse_statement
from affidavit.lineage._statement import Resource, Statement, resources, statement_id
from affidavit.lineage.tables import (
    APPROVAL,
    ARTIFACT,
    EDGE,
    INDEX_TABLES,
    STATEMENT,
    insert_rows,
)

Row = tuple[Table, Cells]
"""A table of the index, and one row of it."""
_TABLES = {table.name: table for table in INDEX_TABLES}


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
    if isinstance(parsed, dict):
        row = row_of_record(entry, parsed)
        return [] if row is None else [(_TABLES[row[0]], row[1])]
    counts: dict[str, int] = {}
    rows: list[Row] = []
    for found, values in _of_statement(*parsed):
        ordinal = counts.get(found.name, 0)
        counts[found.name] = ordinal + 1
        rows.append((found, (entry, ordinal, *values)))
    return rows


def rows_of_all(bodies: Sequence[bytes], first: int = 0) -> dict[Table, list[Cells]]:
    """Return the index rows of a run of entries, by table.

    Args:
        bodies: The entries' exact bytes.
        first: The log index of the first.

    Raises:
        EnvelopeError: An entry is neither a signed statement nor a record.
    """
    batch = read_batch(bodies, first)
    rows = {_TABLES[name]: cells for name, cells in batch.rows.items() if cells}
    for index, value in batch.others:
        for table, cells in rows_of(index, parse_statement(value)):
            rows.setdefault(table, []).append(cells)
    return rows


def write_index(connection: Connection, rows: Iterable[Row]) -> None:
    """Write index rows, a table at a time."""
    by_table: dict[Table, list[Cells]] = {}
    for table, cells in rows:
        by_table.setdefault(table, []).append(cells)
    for table, batch in by_table.items():
        insert_rows(connection, table, batch)


def _of_statement(envelope: Envelope, statement: Statement) -> Iterator[Row]:
    facts = statement_facts(statement)
    name, outcome, actor, time = (
        index_text(facts[key]) for key in ("name", "outcome", "actor", "time")
    )
    identifier = index_text(statement_id(statement, envelope.payload))
    keyid = index_text(envelope.signatures[0][0])
    kind = index_text(statement.kind)
    predicate_type = index_text(statement.predicate_type)
    yield (
        STATEMENT,
        (identifier, kind, predicate_type, name, outcome, actor, time, keyid),
    )
    inputs, outputs = _materials(statement)
    for role, group in (
        ("subject", statement.subjects),
        ("input", inputs),
        ("output", outputs),
    ):
        for resource in group:
            named = (resource.digest, resource.name, resource.recipe)
            yield ARTIFACT, (*map(index_text, named), role)
    if kind in {"run", "dataset"}:
        for source in inputs:
            for target in statement.subjects:
                if source.digest != target.digest:
                    arrow = (index_text(source.digest), index_text(target.digest), identifier)
                    yield EDGE, arrow
    if kind == "approval":
        for subject in statement.subjects:
            yield APPROVAL, (index_text(subject.digest), name, actor, keyid, time)


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
