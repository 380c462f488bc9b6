"""The tables of a ledger's store.

``entry``, ``tile``, ``checkpoint``, ``time_stamp``, ``payload``, ``subject_key`` and ``writer`` are
the ledger. The others are the index, which is derived from the entries row by row: verification
derives it again and compares. Every index row carries the entry that it comes from and its ordinal
among that entry's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    Column,
    Connection,
    Insert,
    Integer,
    LargeBinary,
    Table,
    insert,
)
from sqlmodel import Field, SQLModel

from affidavit.lineage._store import store_of

SCHEMA_VERSION = 2

# In SQLite this is the row's own number: one B-tree instead of two, read in log order.
_BIG = BigInteger().with_variant(Integer, "sqlite")


def _table(model: type[SQLModel]) -> Table:
    found: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel adds it to table models
    return found


class EntryRow(SQLModel, table=True):
    """One log entry: the exact bytes that were hashed as a leaf."""

    __tablename__: ClassVar[str] = "entry"
    entry: int = Field(sa_column=Column(_BIG, primary_key=True, autoincrement=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TileRow(SQLModel, table=True):
    """One tile of the tree: up to 256 hashes of 32 bytes (C2SP tlog-tiles)."""

    __tablename__: ClassVar[str] = "tile"
    level: int = Field(primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hashes: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class CheckpointRow(SQLModel, table=True):
    """One signed head of the log, as the exact bytes of its note."""

    __tablename__: ClassVar[str] = "checkpoint"
    size: int = Field(sa_column=Column(_BIG, primary_key=True, autoincrement=False))
    note: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TimeStampRow(SQLModel, table=True):
    """An authority's time stamp (RFC 3161) on the checkpoint of one size, as its exact bytes."""

    __tablename__: ClassVar[str] = "time_stamp"
    size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    digest: str = Field(primary_key=True)
    response: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class PayloadRow(SQLModel, table=True):
    """Personal data of one record, encrypted under its data subject's key; erasable."""

    __tablename__: ClassVar[str] = "payload"
    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class SubjectKeyRow(SQLModel, table=True):
    """The key of one data subject, wrapped by the master key; destroyable."""

    __tablename__: ClassVar[str] = "subject_key"
    subject: str = Field(primary_key=True)
    wrapped: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class WriterRow(SQLModel, table=True):
    """How far a process's spool is in the log; moved on in one transaction with the entries."""

    __tablename__: ClassVar[str] = "writer"
    id: str = Field(primary_key=True)
    place: str
    segment: int
    at: int = Field(sa_type=BigInteger)
    following: int = Field(sa_type=BigInteger)
    closed: int = Field(index=True)


class IndexRow(SQLModel):
    """What every index row has."""

    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}
    entry: int = Field(sa_type=BigInteger, primary_key=True)
    ordinal: int = Field(primary_key=True)


class StatementRow(IndexRow, table=True):
    """A signed statement."""

    __tablename__: ClassVar[str] = "statement"
    id: str = Field(index=True)
    kind: str = Field(index=True)
    predicate_type: str
    name: str = Field(index=True)
    outcome: str
    actor: str
    time: str
    keyid: str


class ArtifactRow(IndexRow, table=True):
    """An artifact that a statement names, and the part it plays there."""

    __tablename__: ClassVar[str] = "artifact"
    digest: str = Field(index=True)
    name: str = Field(index=True)
    recipe: str
    role: str


class EdgeRow(IndexRow, table=True):
    """An arrow of the lineage graph: the target was made from the source by a statement."""

    __tablename__: ClassVar[str] = "edge"
    source: str = Field(index=True)
    target: str = Field(index=True)
    via: str


class ApprovalRow(IndexRow, table=True):
    """A person's signed approval of an artifact."""

    __tablename__: ClassVar[str] = "approval"
    digest: str = Field(index=True)
    name: str
    approver: str
    keyid: str
    time: str


class PredictionRow(IndexRow, table=True):
    """A served prediction."""

    __tablename__: ClassVar[str] = "prediction"
    id: str = Field(index=True)
    model: str = Field(index=True)
    model_digest: str
    actor: str
    outcome: str
    time: str


class DecisionRow(IndexRow, table=True):
    """A policy decision."""

    __tablename__: ClassVar[str] = "decision"
    id: str = Field(index=True)
    entrypoint: str
    resource: str = Field(index=True)
    actor: str
    allow: bool
    time: str


class AccessRow(IndexRow, table=True):
    """A read or export of evidence or personal data by a person."""

    __tablename__: ClassVar[str] = "access"
    actor: str
    action: str
    object: str
    time: str


ENTRY = _table(EntryRow)
TILE = _table(TileRow)
CHECKPOINT = _table(CheckpointRow)
TIME_STAMP = _table(TimeStampRow)
PAYLOAD = _table(PayloadRow)
SUBJECT_KEY = _table(SubjectKeyRow)
WRITER = _table(WriterRow)
STATEMENT = _table(StatementRow)
ARTIFACT = _table(ArtifactRow)
EDGE = _table(EdgeRow)
APPROVAL = _table(ApprovalRow)
PREDICTION = _table(PredictionRow)
DECISION = _table(DecisionRow)
ACCESS = _table(AccessRow)

_COMPILED: dict[tuple[str, ClauseElement], str] = {}
_INSERTS: dict[str, Insert] = {}


def compiled(connection: Connection, statement: ClauseElement) -> str:
    """Return a statement as the database's own SQL, compiled once for each dialect.

    Args:
        connection: A transaction.
        statement: A constant of a module; its parameters are given in the order of their mention.
    """
    key = (connection.dialect.name, statement)
    if key not in _COMPILED:
        _COMPILED[key] = str(statement.compile(dialect=connection.dialect))
    return _COMPILED[key]


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows with statements that are compiled once for each table and dialect.

    Args:
        connection: A writing transaction.
        table: One of the tables.
        rows: The cells of each row in the order of the table's columns.
    """
    if table.name not in _INSERTS:
        _INSERTS[table.name] = insert(table)
    statement = compiled(connection, _INSERTS[table.name])
    store_of(connection).insert(connection, table, statement, rows)


LEDGER_TABLES = (ENTRY, TILE, CHECKPOINT, TIME_STAMP, PAYLOAD, SUBJECT_KEY, WRITER)
INDEX_TABLES = (STATEMENT, ARTIFACT, EDGE, APPROVAL, PREDICTION, DECISION, ACCESS)
