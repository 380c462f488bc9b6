"""The walk of a verification through entries and checkpoints in log order.

Entries are taken a block at a time where nothing in the block differs from what it should be: the
hashes are those of the tiles, each entry can be read, and the index rows are the right ones. Where
anything differs, the block is gone through again entry by entry, which says what and where.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from affidavit.errors import CheckpointError, VerificationError
from affidavit.lineage import _scan
from affidavit.lineage._batch import RECORD_TABLES, Cells, Noted, read_batch
from affidavit.lineage._check_index import IndexCheck
from affidavit.lineage._check_pruned import PrunedCheck
from affidavit.lineage._check_statements import StatementCheck
from affidavit.lineage._check_tree import TreeCheck
from affidavit.lineage._check_writers import WriterCheck
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._envelope import Envelope
from affidavit.lineage._findings import Faults
from affidavit.lineage._index import rows_of
from affidavit.lineage._merkle import leaf_hashes
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._pruned import retentions
from affidavit.lineage._ranges import RangeFacts
from affidavit.lineage._records import parse_entry, parse_statement
from affidavit.lineage._statement import Statement
from affidavit.lineage.tables import INDEX_TABLES

OnStatement = Callable[[int, Statement], None]
"""(log index, statement), called for each statement in log order."""
_Row = tuple[int | None, bytes | None]
_Statements = list[tuple[int, Envelope, Statement]]

BLOCK = 1024
"""How many entries are taken at once."""
_LONGEST_GAP = 1_000_000
"""A hole of more entries than this is reported, and not walked through."""
_STATEMENT_TABLES = tuple(table for table in INDEX_TABLES if table.name not in RECORD_TABLES)


class Walk:
    """Goes through entries and checkpoints in log order and hands them to the checks.

    Args:
        connection: A reading transaction.
        verifier: The log's public key.
        faults: Where faults are noted.
        outside: A checkpoint that the log must extend.
        on_statement: Given each statement.
    """

    def __init__(
        self,
        connection: Connection,
        verifier: NoteVerifier,
        faults: Faults,
        outside: Checkpoint | None,
        on_statement: OnStatement | None = None,
    ) -> None:
        self.tree = TreeCheck(verifier, lambda *at: _scan.tile(connection, *at), faults)
        self.statements = StatementCheck(verifier, faults)
        self.pruned = PrunedCheck(faults, retentions(connection))
        self.writers = WriterCheck(faults, pruned=self.pruned.writers())
        self.newest: Checkpoint | None = None
        self.outside = outside
        self.progress: Callable[[int], None] | None = None
        self._connection = connection
        self._claimed = claimed_size(connection, verifier)
        self._faults = faults
        self._on_statement = on_statement
        self._notes = _scan.notes(connection)
        self._pending = next(self._notes, None)
        self._at_checkpoint()

    def read(self, span: _scan.Span) -> None:
        """Read the entries of a span and their index rows."""
        index = IndexCheck(self._connection, self._faults, span)
        rows = iter(_scan.entries(self._connection, span))
        # Blocks end where tiles end.
        while block := list(islice(rows, BLOCK - self.tree.size % BLOCK)):
            if not self._take(block, index):
                for number, body in block:
                    self._entry(number, body, index)
            self._tell()
        index.finish()

    def take_range(self, start: int, facts: RangeFacts) -> bool:
        """Take the next entries as somebody read them who found nothing to report.

        Args:
            start: Where they begin: at the present size.
            facts: What holds.

        Returns:
            False where something is left to report; then nothing was taken, and they are to be
            read.
        """
        last = start + len(facts.nodes) * 256 - 1
        try:
            statements = _statements(facts.others)
        except VerificationError:
            return False
        unheard = Faults()
        span = (start, last + 1)
        index = IndexCheck(self._connection, unheard, span, _STATEMENT_TABLES)
        if not index.take(_statement_rows(statements), last):
            return False
        content = self._content(facts.records, statements, facts.noted)

        def at_size() -> None:
            content(self.tree.size)
            self._at_checkpoint()

        self.tree.extend_by_range(facts.edges, facts.nodes, at_size)
        at_size()
        self._tell()
        return True

    def finish(self) -> None:
        """Report what is missing at the end and the checkpoints whose turn never came."""
        if self._claimed > self.tree.size:
            self._skip_to(self._claimed)
        while self._pending is not None:
            self.tree.checkpoints += 1
            self.tree.read_checkpoint(*self._pending)
            self._pending = next(self._notes, None)
        self.tree.finish()
        self.pruned.finish()
        self.statements.finish()

    # -- a block at once --------------------------------------------------------------------

    def _take(self, block: list[_Row], index: IndexCheck) -> bool:
        """Take the next entries, where the careful way would report nothing of them.

        What only the whole log can tell is reported here as it is there: the statements against
        the keys in force, the writers' numbers, the checkpoints.
        """
        first = self.tree.size
        bodies = [body for _, body in block if body is not None]
        in_order = [number for number, _ in block] == list(range(first, first + len(block)))
        if not in_order or len(bodies) != len(block):
            return False
        leaves = leaf_hashes(bodies)
        if not self.tree.tiles_hold(leaves):
            return False
        try:
            batch = read_batch(bodies, first)
            statements = _statements(batch.others)
        except VerificationError:
            return False
        expected = _statement_rows(statements)
        expected.update(batch.rows)
        if not index.take(expected, first + len(block) - 1):
            return False
        self._leaves(leaves, self._content(batch.records, statements, batch.noted))
        return True

    def _leaves(self, leaves: list[bytes], content: Callable[[int], None]) -> None:
        """Add hashes that are those of the tiles, stopping wherever a root is to be compared."""
        start, done = self.tree.size, 0
        while done < len(leaves):
            stops = [len(leaves)]
            pending = self._pending[0] if self._pending is not None else None
            for size in (pending, self.outside.size if self.outside is not None else None):
                if size is not None and done < size - start < stops[0]:
                    stops[0] = size - start
            self.tree.extend(leaves[done : stops[0]])
            done = stops[0]
            content(self.tree.size)
            self._at_checkpoint()

    def _content(
        self, records: int, statements: _Statements, noted: Sequence[Noted]
    ) -> Callable[[int], None]:
        """Return what checks, in log order, what was read of some entries up to a log index."""
        self.statements.records += records
        # A checkpoint counts the statements before it, so each has its turn before it.
        waiting = deque(statements)
        items = deque(noted)

        def up_to(size: int) -> None:
            while waiting and waiting[0][0] < size:
                number, envelope, statement = waiting.popleft()
                while items and items[0][0] < number:
                    self.writers.noted(items.popleft())
                self._statement(number, envelope, statement)
            while items and items[0][0] < size:
                self.writers.noted(items.popleft())

        return up_to

    def _statement(self, number: int, envelope: Envelope, statement: Statement) -> None:
        valid = self.statements.entry(number, (envelope, statement))
        self.writers.statement(number, statement)
        if valid:
            self.pruned.statement(number, statement)
        if self._on_statement is not None:
            self._on_statement(number, statement)

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.tree.size)

    # -- entry by entry ---------------------------------------------------------------------

    def _entry(self, number: int | None, body: bytes | None, index: IndexCheck) -> None:
        """Check the next row of the entry table."""
        if number is None or not self._reach(number):
            where = "entries" if number is None else f"entry {number}"
            self._faults.add("entry-extra", where, "its number does not follow the one before.")
            return
        self.tree.entry(body)
        if body is None:
            self._faults.add(
                "entry-changed", f"entry {number}", "its body is not stored as bytes.", number
            )
        else:
            self._read_entry(number, body, index)
        self._at_checkpoint()

    def _read_entry(self, number: int, body: bytes, index: IndexCheck) -> None:
        try:
            parsed = parse_entry(body)
        except VerificationError as error:
            self._faults.add("entry-malformed", f"entry {number}", error.message, number)
            index.entry(number, [])
            return
        if isinstance(parsed, dict):
            self.statements.entry(number, parsed)
            self.writers.record(number, parsed)
        else:
            self._statement(number, *parsed)
        index.entry(number, rows_of(number, parsed))

    def _reach(self, number: int) -> bool:
        """Report the entries that are missing before a number; False where it is no such place."""
        if number <= self.tree.size:
            return number == self.tree.size
        if self._claimed and number >= self._claimed:
            # No valid checkpoint vouches for a log as long as that: the row is the stray one.
            return self._skip_to(self._claimed) and number == self.tree.size
        return self._skip_to(number)

    def _skip_to(self, number: int) -> bool:
        first = self.tree.size
        if number <= first:
            return True
        longest = 0
        for begin, stop in self.pruned.missing(first, number):
            span = f"entry {begin}" if stop == begin + 1 else f"entries {begin} to {stop - 1}"
            self._faults.add("entry-missing", span, "missing from the store.", begin)
            longest = max(longest, stop - begin)
        if longest > _LONGEST_GAP:
            return False
        while self.tree.size < number:
            self.tree.entry(None)
            self._at_checkpoint()
        return True

    def _at_checkpoint(self) -> None:
        tree, outside = self.tree, self.outside
        while self._pending is not None:
            size, note = self._pending
            if size is not None and size > tree.size:
                break
            if size is None:
                tree.read_checkpoint(size, note)
            else:
                found = tree.checkpoint(size, note)
                if found is not None:
                    self.newest = found
                    self.pruned.checkpoint(f"checkpoint {size}", found, self.statements.statements)
            self._pending = next(self._notes, None)
        if outside is not None and outside.size == tree.size and not tree.has_root(outside.root):
            self._faults.add(
                "history-rewritten",
                f"checkpoint {outside.size}",
                f"the exported checkpoint signs the root {outside.root.hex()[:16]}…, the log now "
                f"has {tree.root().hex()[:16]}… at that size.",
            )
        elif outside is not None and outside.size == tree.size and outside.statements is not None:
            self.pruned.checkpoint("exported checkpoint", outside, self.statements.statements)


def claimed_size(connection: Connection, verifier: NoteVerifier) -> int:
    """Return the size of the newest checkpoint that the log's key has signed for its row."""
    for size, note in _scan.newest_notes(connection):
        try:
            checkpoint = open_checkpoint(note or b"", verifier)
        except CheckpointError:
            continue
        if checkpoint.size == size:
            return size
    return 0


def _statements(others: Sequence[tuple[int, Any]]) -> _Statements:
    return [(number, *parse_statement(value)) for number, value in others]


def _statement_rows(statements: _Statements) -> dict[str, list[Cells]]:
    expected: dict[str, list[Cells]] = {}
    for number, envelope, statement in statements:
        for table, cells in rows_of(number, (envelope, statement)):
            expected.setdefault(table.name, []).append(cells)
    return expected
