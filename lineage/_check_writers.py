"""Checks that no record of a writer is missing: each numbers its records without gaps.

A number that is missing is a fault unless a signed gap statement says so before the next one, in
which case it is reported as a gap. A writer that has not ended must still have its spool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from affidavit.lineage._batch import Noted, Run
from affidavit.lineage._findings import Faults, Gap, UnclosedWriter
from affidavit.lineage._predicates import GAP
from affidavit.lineage._pruned import Runs
from affidavit.lineage._statement import Statement

_HEX = frozenset("0123456789abcdef")


@dataclass(slots=True)
class _Writer:
    """A writer between its opening and its end."""

    place: str
    opened: int
    following: int = 0
    # Missing from this number on, as a gap statement that knows no last number says.
    lost: bool = False


@dataclass(slots=True)
class WriterCheck:
    """The state of a check of the writers' numbers; holds the writers that have not ended.

    Args:
        faults: Where faults are noted.
        pruned: The numbers of each writer that retention statements list.
    """

    faults: Faults
    pruned: Mapping[str, Runs] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    unclosed: list[UnclosedWriter] = field(default_factory=list)
    writers: int = 0
    _open: dict[str, _Writer] = field(default_factory=dict)

    def record(self, index: int, record: Mapping[str, Any]) -> None:
        """Check the next record in log order."""
        writer = record.get("writer")
        if writer is None:
            return
        if not _is_id(writer):
            self._fault(index, "writer-malformed", "?", "its writer is not 32 hex digits.")
        elif record["record"] == "writer":
            self._event(index, writer, record)
        else:
            number = record.get("number")
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                self._fault(index, "writer-malformed", writer, "a record of it has no number.")
                return
            self.numbers(index, writer, number, number + 1)

    def noted(self, item: Noted) -> None:
        """Check the next records in log order, where a batch has put together what it read."""
        if not isinstance(item, Run):
            self.record(*item)
            return
        index, writer, number, count = item
        state = self._open.get(writer)
        in_step = state is not None and state.following == number >= 0
        if state is not None and in_step and writer not in self.pruned and _is_id(writer):
            state.following += count
            return
        for ahead in range(count):
            self.record(index + ahead, {"record": "", "writer": writer, "number": number + ahead})

    def numbers(self, index: int, writer: str, first: int, following: int) -> None:
        """Check consecutive numbers of a writer.

        Args:
            index: The log index of the first of the records.
            writer: Whose they are.
            first: The first number.
            following: The number after the last.
        """
        state = self._open.get(writer)
        if state is None:
            self._fault(index, "writer-unknown", writer, "it has a record but is not open here.")
            return
        self._pass_pruned(writer, state)
        if first > state.following:
            self._fault(
                index,
                "record-omitted",
                writer,
                f"{numbers_text(state.following, first - 1)} missing, and no gap was logged.",
            )
        elif first < state.following:
            self._fault(
                index, "record-repeated", writer, f"number {first} stands in the log already."
            )
        state.following = max(state.following, following)

    def statement(self, index: int, statement: Statement) -> None:
        """Take note of the next statement in log order, where it is of a gap."""
        if statement.predicate_type != GAP:
            return
        said = statement.predicate
        reason = said.get("reason")
        message = reason if isinstance(reason, str) else ""
        writer, first, last = said.get("writer"), said.get("first"), said.get("last")
        if writer is None:
            name, entries = said.get("name"), said.get("entries")
            where = name if isinstance(name, str) else "?"
            self.gaps.append(Gap(where, message, entries if _is_number(entries) else None, index))
            return
        state = self._open.get(writer) if isinstance(writer, str) else None
        if state is not None:
            self._pass_pruned(writer, state)
        if (
            state is None
            or not _is_number(first)
            or first != state.following
            or not (last is None or (_is_number(last) and last >= first))
        ):
            self._fault(
                index, "gap-misplaced", str(writer), "its gap statement fits none of its numbers."
            )
            return
        where = f"writer {writer[:8]}: {numbers_text(first, last)}"
        self.gaps.append(Gap(where, message, None if last is None else last + 1 - first, index))
        if last is None:
            state.lost = True
        else:
            state.following = last + 1

    def finish(self, rows: Mapping[str, tuple[str, int]]) -> dict[str, str]:
        """Compare what the log says with the store's list of writers that have not ended.

        Args:
            rows: The place and the next number, by writer.

        Returns:
            The place of each writer that has not ended.
        """
        for writer, state in self._open.items():
            self._pass_pruned(writer, state)
            found = rows.get(writer)
            if found != (state.place, state.following):
                self.faults.add(
                    "writer-changed",
                    f"writer {writer[:8]}",
                    f"the store's list of writers does not say that it is open, with number "
                    f"{state.following} next, as the log does.",
                    state.opened,
                )
            self._note(writer, "open", state.following, state.opened)
        for writer in rows.keys() - self._open.keys():
            self.faults.add(
                "writer-changed",
                f"writer {writer[:8]}",
                "the store's list of writers has it as open, the log does not.",
            )
        return {writer: state.place for writer, state in self._open.items()}

    def _event(self, index: int, writer: str, record: Mapping[str, Any]) -> None:
        event, place = record.get("event"), record.get("place")
        if event == "opened" and isinstance(place, str):
            if writer in self._open:
                self._fault(index, "writer-reopened", writer, "it was opened before.")
                return
            self.writers += 1
            self._open[writer] = _Writer(place, index)
            return
        state = self._open.pop(writer, None)
        if event != "closed" or state is None:
            self._fault(index, "writer-unknown", writer, f"its event {event!r} does not fit.")
            return
        self._pass_pruned(writer, state)
        numbers, outcome = record.get("numbers"), record.get("outcome")
        if numbers != state.following:
            self._fault(
                index,
                "record-omitted",
                writer,
                f"it ended before number {numbers}, the log has it up to {state.following}.",
            )
        if outcome == "lost" and not state.lost:
            self._fault(
                index, "record-omitted", writer, "its spool was lost, and no gap was logged."
            )
        if outcome != "closed":
            self._note(writer, str(outcome), state.following, index)

    def _pass_pruned(self, writer: str, state: _Writer) -> None:
        if writer in self.pruned:
            state.following = self.pruned[writer].end_of(state.following)

    def _note(self, writer: str, outcome: str, numbers: int, index: int) -> None:
        self.unclosed.append(UnclosedWriter(writer, outcome, numbers, index))

    def _fault(self, index: int, code: str, writer: str, message: str) -> None:
        self.faults.add(code, f"entry {index}", f"writer {writer[:8]}: {message}", index)


def numbers_text(first: int, last: int | None) -> str:
    """Return numbers as words."""
    if last is None:
        return f"numbers from {first} on"
    return f"number {first}" if first == last else f"numbers {first} to {last}"


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) == 32 and _HEX.issuperset(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
