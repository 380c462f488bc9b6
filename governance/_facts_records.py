"""What the records of the log show of a system: counts and newest times, from the index."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, Table, func, select, true

from affidavit._evidence import attributed_statement
from affidavit._read_entries import EntryReader
from affidavit.lineage import open_checkpoint
from affidavit.lineage.tables import ACCESS, DECISION, PREDICTION, STATEMENT

_SHOWN = 5
"""So many log indexes of records are named, the newest first."""
_EVERYTHING = 36_500
"""Days that stand for records of which none was ever pruned."""
_DAYS = re.compile(r"P([0-9]{1,6})D")


class RecordFacts(EntryReader):
    """Counts records of one home's log; the log has been verified, index included."""

    def of_system(self, name: str, until: str = "") -> dict[str, dict[str, Any]]:
        """Return the facts about a system's records, and about the log itself.

        Args:
            name: The system.
            until: Records from after this moment (RFC 3339, UTC) are left out.

        Raises:
            VerificationError: A retention statement does not hold.
        """
        read = select(PREDICTION.c.id).where(PREDICTION.c.model == name)
        asked = {
            "decision": (DECISION, DECISION.c.resource == name),
            "prediction": (PREDICTION, PREDICTION.c.model == name),
            "disclosure": (
                ACCESS,
                (ACCESS.c.action == "disclose") & ACCESS.c.object.in_(read),
            ),
            "export": (ACCESS, (ACCESS.c.action == "export") & (ACCESS.c.object == name)),
        }
        facts = {}
        for kind, (table, condition) in asked.items():
            # Records write their times in one form, which sorts as text.
            timely = table.c.time <= until if until else true()
            found = self._count(table, condition & timely)
            if found["count"]:
                facts[kind] = found
        if "prediction" in facts:
            days = self._days_kept()
            facts["records_kept"] = {**facts["prediction"], "count": days}
        size = open_checkpoint(self._home.ledger.checkpoint(), self._home.verifier).size
        facts["checkpoint"] = {"verified": True, "count": size, "newest": None, "entries": []}
        return facts

    def _count(self, table: Table, condition: ColumnElement[bool]) -> dict[str, Any]:
        number = self._scalar(select(func.count()).select_from(table).where(condition))
        query = select(table.c.entry, table.c.time).where(condition)
        rows = self._rows(query.order_by(table.c.entry.desc()).limit(_SHOWN))
        return {
            "verified": True,
            "count": int(number or 0),
            "newest": max((str(row["time"]) for row in rows), default=None),
            "entries": [int(row["entry"]) for row in rows],
        }

    def _days_kept(self) -> int:
        """Return the fewest days after which served records were pruned, by the signed rules."""
        rows = self._rows(select(STATEMENT.c.entry).where(STATEMENT.c.kind == "retention"))
        fewest = _EVERYTHING
        for row in rows:
            # A rule whose key was revoked since pruned all the same.
            said = attributed_statement(self._home, int(row["entry"]))[0].predicate
            if said.get("records"):
                written = _DAYS.fullmatch(str(said.get("rules", {}).get("records")))
                fewest = min(fewest, int(written[1]) if written else 0)
        return fewest
