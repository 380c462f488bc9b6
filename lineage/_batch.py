"""Entries read in bulk: records to their index rows, statements set aside for closer reading.

Nothing here needs a database, so that a process that only reads ranges of a log starts quickly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from affidavit.lineage._record_kinds import check_record
from affidavit.lineage._strict_json import parse_json

Cells = tuple[Any, ...]
"""One row of an index table, in the order of the table's columns."""
_LONGEST = 600
"""How many characters of a text the index keeps; at most four bytes each."""
RECORD_TABLES = ("prediction", "decision", "access")
"""The index tables whose rows come from records alone; a record has at most one row."""


class Run(NamedTuple):
    """Records of one writer that follow each other in the log and in the writer's numbers.

    Args:
        first: The log index of the first.
        writer: The writer's id.
        number: The number of the first.
        length: How many they are.
    """

    first: int
    writer: str
    number: int
    length: int


Noted = Run | tuple[int, Mapping[str, Any]]
"""What checks in log order need to see of records: runs, and (log index, record) of any other."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run of entries says.

    Args:
        rows: The index rows of the records in log order, by table.
        records: How many of the entries are records.
        others: (log index, value) of each entry that is no record; the value is its JSON.
        noted: The records that name a writer, in log order.
    """

    rows: Mapping[str, list[Cells]]
    records: int
    others: list[tuple[int, Any]]
    noted: list[Noted]


def read_batch(bodies: Iterable[bytes], first: int = 0) -> Batch:
    """Return what a run of entries says.

    Args:
        bodies: The entries' exact bytes.
        first: The log index of the first.

    Raises:
        EnvelopeError: An entry is not strict JSON, or a record is malformed.
    """
    rows: dict[str, list[Cells]] = {name: [] for name in RECORD_TABLES}
    add = {name: found.append for name, found in rows.items()}
    others: list[tuple[int, Any]] = []
    noted: list[Noted] = []
    index = first - 1
    # Each parsed record is let go at once: thousands alive keep the garbage collector busy.
    for index, body in enumerate(bodies, first):
        value = parse_json(body)
        if type(value) is dict and "record" in value:
            row = row_of_record(index, value)
            if row is not None:
                add[row[0]](row[1])
            # A further check of records in log order notes here what it needs to see of them.
            if "writer" in value:
                _note(noted, index, value)
        else:
            others.append((index, value))
    return Batch(rows, index + 1 - first - len(others), others, noted)


def _note(noted: list[Noted], index: int, record: Mapping[str, Any]) -> None:
    writer, number = record["writer"], record.get("number")
    if record["record"] == "writer" or type(writer) is not str or type(number) is not int:
        noted.append((index, record))
        return
    last = noted[-1] if noted else None
    if (
        isinstance(last, Run)
        and last.writer == writer
        and last.first + last.length == index
        and last.number + last.length == number
    ):
        noted[-1] = Run(last.first, writer, last.number, last.length + 1)
    else:
        noted.append(Run(index, writer, number, 1))


def row_of_record(index: int, record: Mapping[str, Any]) -> tuple[str, Cells] | None:
    """Return the index row of a record, as its table and the cells; None where it has none.

    Args:
        index: Its log index.
        record: What it says.

    Raises:
        EnvelopeError: Its kind is unknown, or it lacks an id or a time.
    """
    find = record.get
    kind = find("record")
    if kind == "decision":
        return "decision", (index, 0, *_decision_cells(record))
    identifier, time = find("id"), find("time")
    if type(identifier) is not str or type(time) is not str:
        check_record(record)
    # Concatenated: to unpack a tuple into another takes three times as long.
    if kind == "prediction":
        model, digest = find("model"), find("model_digest")
        texts = _texts((identifier, model, digest, find("actor"), find("outcome"), time))
        return "prediction", (index, 0) + texts  # noqa: RUF005  # as said
    check_record(record)
    if kind == "writer":
        return None
    texts = _texts((find("actor"), find("action"), find("object"), time))
    return "access", (index, 0) + texts  # noqa: RUF005  # as said


def _decision_cells(record: Mapping[str, Any]) -> Cells:
    """Return what the index has of a decision, from the names of OPA's decision log."""
    find = record.get
    identifier, time = find("decision_id"), find("timestamp")
    if type(identifier) is not str or type(time) is not str:
        check_record(record)
    resource = _member(record, "input", "resource")
    name = resource.get("name") if type(resource) is dict else _member(record, "custom", "resource")
    allow = _member(record, "result", "allow") is True
    texts = _texts((identifier, find("path"), name, find("requested_by"), time))
    return (*texts[:4], allow, texts[4])


def _member(record: Mapping[str, Any], outer: str, inner: str) -> Any:
    found = record.get(outer)
    return found.get(inner) if type(found) is dict else None


def _texts(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Return each value as `index_text` does; most need no change, which is seen at once."""
    try:
        together = "".join(values)
    except TypeError:
        return tuple(map(index_text, values))
    if len(together) <= _LONGEST and "\0" not in together:
        return values
    return tuple(map(index_text, values))


def index_text(value: object) -> str:
    """Return a text as the index keeps it; whatever is no text is empty.

    PostgreSQL stores no U+0000 and looks up no text of more than 2,700 bytes. An entry may hold
    both, and must not fail because of its index: a long text is cut, and its digest put at the end.
    """
    if not isinstance(value, str):
        return ""
    if len(value) <= _LONGEST and "\0" not in value:
        return value
    if len(value) > _LONGEST:
        digest = hashlib.sha256(value.encode("utf-8")).hexdigest()
        value = f"{value[: _LONGEST - 80]}… sha256:{digest}"
    return value.replace("\0", "\ufffd")
