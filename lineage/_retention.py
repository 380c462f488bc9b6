"""Retention: personal data and served records that are old enough go, and an entry says so.

How old an entry is can only be had from what the entries say, and clocks go wrong. An entry counts
as no older than the newest moment that it or any entry before it claims; claims of the future do
not count. So what may go is always a beginning of the log: a clock that was set back removes
nothing early, and one that was ahead delays what comes after it by as much as it was ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from affidavit.errors import VerificationError
from affidavit.lineage._erasure import check_whole, note_hold
from affidavit.lineage._index import statement_facts
from affidavit.lineage._ledger import Ledger, newest_checkpoint
from affidavit.lineage._pruned import Runs, Survey, leaves, stored
from affidavit.lineage._record_kinds import record_id, record_time
from affidavit.lineage._records import parse_entry, timestamp
from affidavit.lineage.tables import ACCESS, DECISION, ENTRY, PAYLOAD, PREDICTION, SUBJECT_KEY

PRUNED_KINDS = ("prediction", "decision", "access")
"""The kinds of records that are pruned; those about writers stay, and so do all statements."""
_LONGEST_LIST = 40_000
# Of a list of runs, in characters of JSON: what one more run or writer adds at most.
_RUN, _WRITER = 44, 40
_PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What may go.

    Args:
        now: The present.
        payloads: Personal data of records from before this moment; None keeps all.
        records: Served records from before this moment; None keeps all.
    """

    now: datetime
    payloads: datetime | None = None
    records: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retained:
    """What goes, or went.

    Args:
        payloads: How many records' personal data.
        keys: How many data subjects' keys, nothing else being left of them.
        records: How many records.
        held: How many records a legal hold keeps, or keeps the personal data of.
        payloads_before: Personal data of records before this log index may go.
        records_before: Records before this log index may go.
        runs: The pruned records as (first log index, count).
        writers: The pruned numbers of each writer, likewise.
        entry: The log index of the statement that says so; None where nothing went.
        more: Whether more may go than one statement can list; do it again.
        gone: Some bytes that were destroyed, to look for in the store's files.
        ids: The records whose personal data goes.
        subjects: The data subjects whose keys go.
    """

    payloads: int = 0
    keys: int = 0
    records: int = 0
    held: int = 0
    payloads_before: int = 0
    records_before: int = 0
    runs: tuple[tuple[int, int], ...] = ()
    writers: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    entry: int | None = None
    more: bool = False
    gone: bytes = b""
    ids: tuple[str, ...] = field(default=(), repr=False)
    subjects: tuple[str, ...] = field(default=(), repr=False)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.payloads or self.records)


def plan_retention(ledger: Ledger, rule: RetentionRule) -> Retained:
    """Return what `apply_retention` would remove now; nothing is changed.

    Raises:
        LedgerCorruptError: The entries are not those that were logged.
        LedgerUnavailableError: The store cannot be read.
    """
    return _plan(ledger, _Seen(rule))[1]


def apply_retention(
    ledger: Ledger, rule: RetentionRule, statement: Callable[[Retained], bytes]
) -> Retained:
    """Remove what is old enough, and log the statement that says so, in one transaction.

    `scrub` the store afterwards. Where nothing is old enough, nothing is logged.

    Args:
        ledger: The log.
        rule: What may go.
        statement: Gives the entry that says what went.

    Raises:
        LedgerCorruptError: The entries are not those that were logged; nothing was changed.
        LedgerError: The statement is no entry; nothing was changed.
        LedgerUnavailableError: Nothing was changed.
    """
    seen = _Seen(rule)
    before, planned = _plan(ledger, seen)
    if planned.nothing:
        return planned
    with ledger.transaction() as log:
        # What came since is read under the write lock: it may be a legal hold.
        seen.disturbed = False
        seen.read(leaves(log.connection, before, log.tree.size))
        check_whole(seen.survey, log.tree.size, log.tree.root(), log.statements)
        sweep = _Sweep(log.connection, seen)
        if seen.disturbed:
            planned = sweep.look()
        if planned.nothing:
            return planned
        ledger.store.begin_erasure(log.connection)
        done = sweep.remove(planned)
        (entry,) = log.add([statement(done)])
    return replace(done, entry=entry)


def _plan(ledger: Ledger, seen: _Seen) -> tuple[int, Retained]:
    with ledger.store.reading() as connection:
        head = newest_checkpoint(connection, ledger.verifier)
        seen.read(leaves(connection, 0, head.size))
        check_whole(seen.survey, head.size, head.root, head.statements)
        return head.size, _Sweep(connection, seen).look()


class _Seen:
    """What a pass over the log tells: holds in force, and up to where entries are old enough."""

    def __init__(self, rule: RetentionRule) -> None:
        self.survey = Survey()
        self.holds: dict[str, bool] = {}
        self.before: dict[str, int] = {}
        # Whether a statement was read that changes what is there, or what may go.
        self.disturbed = False
        self._now = rule.now
        self._cutoffs = {
            name: moment
            for name, moment in (("payloads", rule.payloads), ("records", rule.records))
            if moment is not None
        }

    def read(self, found: Iterator[tuple[int, bytes | None, bytes]]) -> None:
        for index, body, leaf in found:
            statement = self.survey.take(index, body, leaf)
            if statement is not None:
                self.disturbed |= statement.kind in {"hold", "erasure", "retention"}
                note_hold(statement, self.holds)
                self._claim(index, statement_facts(statement).get("time"))
            elif body is not None and self._cutoffs.keys() - self.before.keys():
                record = _record(body)
                self._claim(index, record_time(record) if record else None)

    def end(self, what: str) -> int:
        """Return the log index before which entries are old enough; 0 where none may go."""
        if what not in self._cutoffs:
            return 0
        return self.before.get(what, self.survey.tree.size)

    def held(self) -> list[str]:
        """Return the data subjects on whom a legal hold is in force."""
        return [subject for subject, held in self.holds.items() if held]

    def _claim(self, index: int, said: object) -> None:
        moment = _moment(said)
        if moment is None or moment > self._now:
            return
        for name, cutoff in self._cutoffs.items():
            if moment >= cutoff:
                self.before.setdefault(name, index)


class _Sweep:
    """Finds and removes what is old enough, within one transaction."""

    def __init__(self, connection: Connection, seen: _Seen) -> None:
        self._connection = connection
        self._ends = (seen.end("payloads"), seen.end("records"))
        self._held = seen.held()
        self._kept = self._kept_ids()

    def look(self) -> Retained:
        """Return what goes."""
        payload_end, record_end = self._ends
        lists, going, waiting = _Lists(), _Going(self._connection), []
        held, reached = 0, record_end
        for index, record in self._records():
            if record_id(record) in self._kept or record.get("object") in self._kept:
                held += 1
                continue
            prune = index < record_end and not lists.full
            if prune:
                lists.add(index, record)
                reached = index + 1 if lists.full else record_end
            if prune or index < payload_end:
                waiting.append(record_id(record))
            if len(waiting) == _PARAMETERS:
                going.find(waiting)
                waiting = []
        going.find(waiting)
        return Retained(
            payloads=len(going.ids),
            keys=len(subjects := going.emptied(self._held)),
            records=lists.count,
            held=held,
            payloads_before=payload_end,
            records_before=reached,
            runs=tuple(lists.runs),
            writers={writer: _apart(runs) for writer, runs in sorted(lists.writers.items())},
            more=reached < record_end,
            ids=tuple(going.ids),
            subjects=subjects,
        )

    def remove(self, planned: Retained) -> Retained:
        """Remove it; gives the same with some bytes that went."""
        connection = self._connection
        gone = self._one(SUBJECT_KEY.c.wrapped, SUBJECT_KEY.c.subject, planned.subjects[:1])
        gone = gone or self._one(PAYLOAD.c.sealed, PAYLOAD.c.id, planned.ids[:1])
        gone = gone or self._one(ENTRY.c.body, ENTRY.c.entry, planned.runs[0][:1])
        for part in _parts(planned.ids):
            connection.execute(delete(PAYLOAD).where(PAYLOAD.c.id.in_(part)))
        for part in _parts(planned.subjects):
            connection.execute(delete(SUBJECT_KEY).where(SUBJECT_KEY.c.subject.in_(part)))
        for first, count in planned.runs:
            for table in (ENTRY, PREDICTION, DECISION, ACCESS):
                within = (table.c.entry >= first) & (table.c.entry < first + count)
                connection.execute(delete(table).where(within))
        return replace(planned, gone=gone)

    def _one(self, column: Any, key: Any, values: Sequence[Any]) -> bytes:
        query = select(column).where(key.in_(values)).limit(1)
        row = self._connection.execute(query).first() if values else None
        return bytes(row[0]) if row else b""

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, body in stored(self._connection, 0, max(self._ends)):
            record = _record(body)
            if record is not None and record["record"] in PRUNED_KINDS:
                yield index, record

    def _kept_ids(self) -> set[str]:
        """Return the records that a hold keeps: those with personal data, and their decisions."""
        kept: set[str] = set()
        for part in _parts(self._held):
            query = select(PAYLOAD.c.id).where(PAYLOAD.c.subject.in_(part))
            kept.update(str(row[0]) for row in self._connection.execute(query))
        if kept:
            kept |= {
                record["decision"]
                for _, record in self._records()
                if record_id(record) in kept and isinstance(record.get("decision"), str)
            }
        return kept


class _Going:
    """The personal data that goes, and of whom."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ids: list[str] = []
        self._subjects: Counter[str] = Counter()

    def find(self, records: list[str]) -> None:
        """Take note of what is kept of some records."""
        query = select(PAYLOAD.c.id, PAYLOAD.c.subject).where(PAYLOAD.c.id.in_(records))
        for identifier, subject in self._connection.execute(query):
            self.ids.append(str(identifier))
            self._subjects[str(subject)] += 1

    def emptied(self, held: Sequence[str]) -> tuple[str, ...]:
        """Return the data subjects of whom nothing stays, unless a hold is in force on them."""
        found: list[str] = []
        for part in _parts(list(self._subjects)):
            query = select(PAYLOAD.c.subject, func.count()).where(PAYLOAD.c.subject.in_(part))
            for subject, count in self._connection.execute(query.group_by(PAYLOAD.c.subject)):
                if count == self._subjects[subject] and subject not in held:
                    found.append(str(subject))
        return tuple(sorted(found))


@dataclass(slots=True)
class _Lists:
    """The runs that a statement lists, up to what fits into one entry."""

    runs: list[tuple[int, int]] = field(default_factory=list)
    writers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    count: int = 0
    _length: int = 0

    @property
    def full(self) -> bool:
        return self._length > _LONGEST_LIST

    def add(self, index: int, record: Mapping[str, Any]) -> None:
        self.count += 1
        self._extend(self.runs, index)
        writer, number = record.get("writer"), record.get("number")
        if isinstance(writer, str) and type(number) is int:
            if writer not in self.writers:
                self._length += _WRITER
            self._extend(self.writers.setdefault(writer, []), number)

    def _extend(self, runs: list[tuple[int, int]], number: int) -> None:
        if runs and sum(runs[-1]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
            self._length += _RUN


def retention_facts(done: Retained, rule: RetentionRule) -> dict[str, Any]:
    """Return what a retention statement says of what went (predicate of ``retention``)."""
    payloads = rule.payloads and {
        "cutoff": timestamp(rule.payloads),
        "before": done.payloads_before,
    }
    records = rule.records and {
        "cutoff": timestamp(rule.records),
        "before": done.records_before,
        "removed": done.records,
        "runs": [list(run) for run in done.runs],
        "writers": {name: [list(run) for run in runs] for name, runs in done.writers.items()},
    }
    removed = {"removed_payloads": done.payloads, "removed_keys": done.keys, "held": done.held}
    return {"payloads": payloads, "records": records, **removed}


def _record(body: object) -> dict[str, Any] | None:
    if not isinstance(body, bytes):
        return None
    try:
        parsed = parse_entry(body)
    except VerificationError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _moment(said: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _apart(runs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found = Runs((first, first + count) for first, count in runs)
    return tuple((first, stop - first) for first, stop in found)


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _PARAMETERS):
        yield items[start : start + _PARAMETERS]
