"""Checks that what is missing from the entries is what valid retention statements list as pruned.

The statements come after what they list, so those that the index finds are believed until their
turn comes in the log; what then is not confirmed was deleted and not pruned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from affidavit.errors import EnvelopeError
from affidavit.lineage._checkpoint import Checkpoint
from affidavit.lineage._findings import Faults
from affidavit.lineage._pruned import Retention, Run, Runs
from affidavit.lineage._statement import Statement


@dataclass(slots=True)
class PrunedCheck:
    """The state of a check of what was pruned.

    Args:
        faults: Where faults are noted.
        believed: What the statements list that the index finds.
    """

    faults: Faults
    believed: list[Retention]
    entries: int = 0
    _runs: Runs = field(default_factory=Runs)
    _gone: list[Run] = field(default_factory=list)
    _confirmed: list[Retention] = field(default_factory=list)
    _counted: bool = False
    _miscounted: tuple[str, int, int] | None = None

    def __post_init__(self) -> None:
        self._runs = Runs([run for one in self.believed for run in one.runs])

    def writers(self) -> Mapping[str, Runs]:
        """Return the numbers of each writer that are said to be pruned."""
        found: dict[str, list[Run]] = {}
        for one in self.believed:
            for writer, numbers in one.writers.items():
                found.setdefault(writer, []).extend(numbers)
        return {writer: Runs(numbers) for writer, numbers in found.items()}

    def missing(self, first: int, stop: int) -> Runs:
        """Return which of some missing entries no statement lists."""
        left = Runs([(first, stop)]).without(self._runs)
        self._gone.extend(Runs([(first, stop)]).without(left))
        return left

    def statement(self, index: int, statement: Statement) -> None:
        """Take note of the next valid statement in log order."""
        try:
            said = Retention.parse(index, statement)
        except EnvelopeError as error:
            if statement.kind == "retention":
                self.faults.add("retention-malformed", f"entry {index}", error.message, index)
            return
        self._confirmed.append(said)

    def checkpoint(self, where: str, checkpoint: Checkpoint, statements: int) -> None:
        """Compare the statements seen with the number that a checkpoint of this size signs.

        Args:
            where: What the checkpoint is called.
            checkpoint: It; its root holds.
            statements: How many statements were seen.
        """
        said = checkpoint.statements
        self._counted = said is not None
        if said is not None and said != statements and self._miscounted is None:
            self._miscounted = (where, said, statements)

    def finish(self) -> None:
        """Report what turned out to be deleted."""
        gone = Runs(self._gone)
        confirmed = [run for one in self._confirmed for run in one.runs] if self._counted else []
        for first, stop in gone.without(Runs(confirmed)):
            span = f"entry {first}" if stop == first + 1 else f"entries {first} to {stop - 1}"
            message = "missing from the store; no valid statement says that it was pruned."
            self.faults.add("entry-missing", span, message, first)
        self.entries = sum(stop - first for first, stop in gone)
        if self._miscounted and not any(f.code.startswith("entry-") for f in self.faults.found):
            where, said, found = self._miscounted
            self.faults.add(
                "statement-missing",
                where,
                f"it signs that {said} of the entries before it are statements; {found} are "
                "there. What was removed as a record was a statement.",
            )
