"""What a verification found: a verdict, figures, and each thing that is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from affidavit.errors import VerificationError
from affidavit.lineage._time_stamp import Stamped

MAX_FINDINGS = 100
"""How many findings of one code are kept in full; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not hold.

    Args:
        code: A stable word for it, such as ``entry-changed``.
        where: The part of the ledger, such as ``entry 17`` or ``tile 0/3``.
        message: What was expected and what was found.
        index: The log index concerned, where there is one.
    """

    code: str
    where: str
    message: str
    index: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fault, JSON-safe."""
        return {
            "code": self.code,
            "where": self.where,
            "message": self.message,
            "index": self.index,
        }


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that happened and is not in the log, as a signed statement says.

    Args:
        where: What is missing, such as ``writer 0f3a…: numbers 5 to 7``.
        message: Why.
        entries: How many entries are missing; None where nobody knows.
        index: The log index of the statement.
    """

    where: str
    message: str
    entries: int | None
    index: int

    def to_dict(self) -> dict[str, Any]:
        """Return the gap, JSON-safe."""
        return {
            "where": self.where,
            "message": self.message,
            "entries": self.entries,
            "index": self.index,
        }


@dataclass(frozen=True, slots=True)
class UnclosedWriter:
    """A process that numbered records and has not said that it was the last of them.

    Args:
        writer: Its id.
        outcome: ``open``, ``ended`` where the process is gone, or ``lost`` where its spool is.
        numbers: The number after the last that is in the log.
        index: The log index of its opening, or of what was said of its end.
    """

    writer: str
    outcome: str
    numbers: int
    index: int

    def to_dict(self) -> dict[str, Any]:
        """Return the writer, JSON-safe."""
        return {
            "writer": self.writer,
            "outcome": self.outcome,
            "numbers": self.numbers,
            "index": self.index,
        }


@dataclass(slots=True)
class Faults:
    """Faults as they are found: `MAX_FINDINGS` of each code in full, the rest as a number."""

    found: list[Fault] = field(default_factory=list)
    more: int = 0
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, code: str, where: str, message: str, index: int | None = None) -> None:
        """Note a fault."""
        self._counts[code] += 1
        if self._counts[code] <= MAX_FINDINGS:
            self.found.append(Fault(code, where, message, index))
        else:
            self.more += 1


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """The outcome of a full verification.

    Args:
        origin: The log's origin.
        key: The log's verifier key, which everything was checked against.
        size: The number of entries found.
        root: The root recomputed from them, in hex.
        statements: How many of the entries are signed statements.
        records: How many are records.
        checkpoints: How many checkpoints were checked.
        errors: What is wrong; empty where everything holds.
        more_errors: How many further errors are not listed.
        distrusted: The statements that hold, and are not to be relied on all the same: a trust
            root revokes their key from an earlier entry on.
        more_distrusted: How many further ones are not listed.
        stamped: The verified time stamps, by checkpoint; none where something is wrong.
        writers: How many processes numbered records.
        gaps: What is not in the log although it happened, as signed statements say.
        unclosed: Processes that have not said which record was their last.
        pruned: How many records were pruned, as signed statements say.
    """

    origin: str
    key: str
    size: int
    root: str
    statements: int
    records: int
    checkpoints: int
    errors: tuple[Fault, ...]
    more_errors: int = 0
    distrusted: tuple[Fault, ...] = ()
    more_distrusted: int = 0
    stamped: tuple[Stamped, ...] = ()
    writers: int = 0
    gaps: tuple[Gap, ...] = ()
    unclosed: tuple[UnclosedWriter, ...] = ()
    pruned: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.errors

    def raise_for_errors(self) -> None:
        """Return where everything holds.

        Raises:
            VerificationError: The first thing that is wrong, by log order.
        """
        if self.errors:
            first = self.errors[0]
            raise VerificationError(f"{first.where}: {first.message}", index=first.index)

    def to_dict(self) -> dict[str, Any]:
        """Return the report, JSON-safe."""
        return {
            "ok": self.ok,
            "origin": self.origin,
            "key": self.key,
            "size": self.size,
            "root": self.root,
            "statements": self.statements,
            "records": self.records,
            "checkpoints": self.checkpoints,
            "errors": [fault.to_dict() for fault in self.errors],
            "more_errors": self.more_errors,
            "distrusted": [fault.to_dict() for fault in self.distrusted],
            "more_distrusted": self.more_distrusted,
            "time_stamps": [one.to_dict() for one in self.stamped],
            "writers": self.writers,
            "gaps": [gap.to_dict() for gap in self.gaps],
            "unclosed": [writer.to_dict() for writer in self.unclosed],
            "pruned": self.pruned,
        }
