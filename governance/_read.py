"""The read model: what the ledger's index answers, for hooks, CLI, reports and the app alike.

The index only finds entries; what is shown of an entry is read from its own bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, Table, bindparam, func, select

from affidavit._model_reference import ModelReference
from affidavit._read_entries import Entry, EntryReader, Row
from affidavit.errors import NotFoundError
from affidavit.lineage import timestamp
from affidavit.lineage.tables import (
    ACCESS,
    APPROVAL,
    ARTIFACT,
    DECISION,
    EDGE,
    ENTRY,
    PREDICTION,
    STATEMENT,
)

_RECORD_ID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
# Asked for every input of every run: made once, so that only its value is new.
_MADE_AS = (
    select(ARTIFACT.c.name)
    .join(STATEMENT, STATEMENT.c.entry == ARTIFACT.c.entry)
    .where(
        ARTIFACT.c.digest == bindparam("digest"),
        ARTIFACT.c.role == "subject",
        STATEMENT.c.kind.in_(("dataset", "run")),
    )
    .order_by(ARTIFACT.c.entry.desc())
    .limit(1)
)


class Reader(EntryReader):
    """Answers questions about one home's ledger.

    Args:
        home: The home.
    """

    def newest(self, kind: str, *, name: str = "", before: int | None = None) -> int | None:
        """Return the log index of the newest statement of a kind.

        Args:
            kind: Such as ``run`` or ``trust-root``.
            name: The system or dataset; any where empty.
            before: Only entries with a lower index.
        """
        query = select(func.max(STATEMENT.c.entry)).where(STATEMENT.c.kind == kind)
        if name:
            query = query.where(STATEMENT.c.name == name)
        if before is not None:
            query = query.where(STATEMENT.c.entry < before)
        found = self._scalar(query)
        return None if found is None else int(found)

    def statements(
        self,
        *,
        kind: str = "",
        name: str = "",
        outcome: str = "",
        limit: int = 100,
        offset: int = 0,
    ) -> list[Row]:
        """Return index rows of statements, newest first."""
        query = select(STATEMENT).order_by(STATEMENT.c.entry.desc()).limit(limit).offset(offset)
        return self._rows(_only(query, kind=kind, name=name, outcome=outcome))

    def count_statements(self, *, kind: str = "", name: str = "", outcome: str = "") -> int:
        """Return how many statements of a kind, name and outcome there are."""
        query = select(func.count()).select_from(STATEMENT)
        return int(self._scalar(_only(query, kind=kind, name=name, outcome=outcome)) or 0)

    def count_predictions(self, model: str) -> int:
        """Return how many predictions a system has served."""
        query = select(func.count()).select_from(PREDICTION).where(PREDICTION.c.model == model)
        return int(self._scalar(query) or 0)

    def makers(self, digest: str) -> list[Row]:
        """Return index rows of the runs and reads that an artifact came out of, in log order."""
        query = (
            select(STATEMENT)
            .join(ARTIFACT, ARTIFACT.c.entry == STATEMENT.c.entry)
            .where(
                ARTIFACT.c.digest == digest,
                ARTIFACT.c.role == "subject",
                STATEMENT.c.kind.in_(("run", "dataset")),
            )
            .distinct()
            .order_by(STATEMENT.c.entry)
        )
        return self._rows(query)

    def parts(self, entry: int, role: str) -> list[Row]:
        """Return the artifacts that play a part in a statement, such as ``input``, in its order."""
        query = select(ARTIFACT).where(ARTIFACT.c.entry == entry, ARTIFACT.c.role == role)
        return self._rows(query.order_by(ARTIFACT.c.ordinal))

    def evidence(self, digest: str, kind: str) -> list[int]:
        """Return the log indexes of the statements of a kind about an artifact, newest first."""
        query = (
            select(STATEMENT.c.entry)
            .join(ARTIFACT, ARTIFACT.c.entry == STATEMENT.c.entry)
            .where(
                ARTIFACT.c.digest == digest,
                ARTIFACT.c.role == "subject",
                STATEMENT.c.kind == kind,
            )
            .distinct()
            .order_by(STATEMENT.c.entry.desc())
        )
        return [int(row["entry"]) for row in self._rows(query)]

    # -- names and artifacts ----------------------------------------------------------------

    def made_as(self, digest: str) -> str:
        """Return the name under which a read or a run last made some content; empty if none did."""
        return str(self._scalar(_MADE_AS, {"digest": digest}) or "")

    def artifacts(self, digest: str) -> list[Row]:
        """Return every mention of an artifact, newest first."""
        query = select(ARTIFACT).where(ARTIFACT.c.digest == digest)
        return self._rows(query.order_by(ARTIFACT.c.entry.desc()))

    def digests(self, prefix: str) -> list[str]:
        """Return the digests of the artifacts that begin in some way, two of them at most."""
        query = select(ARTIFACT.c.digest).where(ARTIFACT.c.digest.startswith(prefix)).distinct()
        return [str(row["digest"]) for row in self._rows(query.limit(2))]

    def model_of_state(self, state: str) -> tuple[str, str] | None:
        """Return the (file digest, file name) of the newest model with an estimator state."""
        entries = select(ARTIFACT.c.entry).where(
            ARTIFACT.c.digest == state, ARTIFACT.c.role == "subject"
        )
        query = (
            select(ARTIFACT.c.digest, ARTIFACT.c.name)
            .join(STATEMENT, STATEMENT.c.entry == ARTIFACT.c.entry)
            .where(
                ARTIFACT.c.entry.in_(entries),
                STATEMENT.c.kind == "run",
                ARTIFACT.c.role == "subject",
                ARTIFACT.c.name.endswith(".pickle"),
            )
            .order_by(ARTIFACT.c.entry.desc())
            .limit(1)
        )
        rows = self._rows(query)
        return (str(rows[0]["digest"]), str(rows[0]["name"])) if rows else None

    def model(self, name: str, version: str = "latest") -> ModelReference:
        """Return the model that a name and version stand for.

        Raises:
            NotFoundError: There is none.
        """
        promoted = self._promoted(name)
        made = {str(row["digest"]): int(row["entry"]) for row in reversed(self._models(name))}
        if version == "production":
            found = next((digest for digest in promoted if digest in made), None)
            missing = f"No model of {name!r} has passed the promotion gate."
            hint = f"Run `affidavit gate {name} --stage promote`, which says what is missing."
        elif version == "latest":
            found = max(made, key=lambda digest: made[digest], default=None)
            missing = f"No completed run has made a model named {name!r}."
            known = ", ".join(self.systems()) or "none yet"
            hint = f"The ledger knows {known}."
        else:
            matches = [digest for digest in made if digest.startswith(version)]
            found = matches[0] if len(matches) == 1 and len(version) >= 15 else None
            missing = f"No model of {name!r} has the digest {version}."
            hint = "Give `sha256:` and at least eight digits of it."
        if found is None:
            raise NotFoundError(missing, hint=hint)
        return ModelReference(name, version, found, made[found], promoted.get(found))

    def _models(self, name: str) -> list[Row]:
        query = (
            select(ARTIFACT.c.digest, ARTIFACT.c.entry)
            .join(STATEMENT, STATEMENT.c.entry == ARTIFACT.c.entry)
            .where(
                STATEMENT.c.kind == "run",
                STATEMENT.c.outcome == "completed",
                ARTIFACT.c.role == "subject",
                ARTIFACT.c.name == f"{name}.pickle",
            )
            .order_by(ARTIFACT.c.entry.desc())
        )
        return self._rows(query)

    def _promoted(self, name: str) -> dict[str, int]:
        query = (
            select(ARTIFACT.c.digest, STATEMENT.c.outcome, STATEMENT.c.entry)
            .join(STATEMENT, STATEMENT.c.entry == ARTIFACT.c.entry)
            .where(
                STATEMENT.c.kind == "verdict",
                STATEMENT.c.name == name,
                ARTIFACT.c.role == "subject",
            )
            .order_by(STATEMENT.c.entry.desc())
        )
        newest: dict[str, Row] = {}
        for row in self._rows(query):
            newest.setdefault(str(row["digest"]), row)
        return {
            digest: int(row["entry"])
            for digest, row in newest.items()
            if row["outcome"] == "PASSED"
        }

    def systems(self) -> list[str]:
        """Return the names of the systems that have runs, in alphabetical order."""
        query = select(STATEMENT.c.name).where(STATEMENT.c.kind == "run").distinct()
        return sorted(str(row["name"]) for row in self._rows(query))

    # -- records ----------------------------------------------------------------------------

    def prediction(self, identifier: str) -> Entry:
        """Return the record of a served prediction.

        Raises:
            NotFoundError: There is no prediction with that id.
        """
        return self._record(PREDICTION, identifier, "prediction")

    def decision(self, identifier: str) -> Entry:
        """Return the record of a policy decision.

        Raises:
            NotFoundError: There is no decision with that id.
        """
        return self._record(DECISION, identifier, "decision")

    def predictions(self, *, model: str = "", limit: int = 100, offset: int = 0) -> list[Row]:
        """Return index rows of served predictions, newest first."""
        query = select(PREDICTION).order_by(PREDICTION.c.entry.desc())
        if model:
            query = query.where(PREDICTION.c.model == model)
        return self._rows(query.limit(limit).offset(offset))

    def decisions(
        self,
        *,
        resource: str = "",
        allow: bool | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Row]:
        """Return index rows of policy decisions, newest first."""
        query = select(DECISION).order_by(DECISION.c.entry.desc())
        if resource:
            query = query.where(DECISION.c.resource == resource)
        if allow is not None:
            query = query.where(DECISION.c.allow == allow)
        return self._rows(query.limit(limit).offset(offset))

    def latest_decision(self) -> str:
        """Return the latest time that any policy decision gives for itself; empty without any."""
        return str(self._scalar(select(func.max(DECISION.c.time))) or "")

    def approvals(self, digest: str) -> list[Row]:
        """Return index rows of the approvals of an artifact, newest first."""
        query = select(APPROVAL).where(APPROVAL.c.digest == digest)
        return self._rows(query.order_by(APPROVAL.c.entry.desc()))

    def accesses(self, *, limit: int = 100, offset: int = 0) -> list[Row]:
        """Return index rows of reads and exports, newest first."""
        query = select(ACCESS).order_by(ACCESS.c.entry.desc())
        return self._rows(query.limit(limit).offset(offset))

    def edges_into(self, digests: set[str]) -> list[Row]:
        """Return the arrows of the lineage graph that end in any of some artifacts."""
        return self._rows(select(EDGE).where(EDGE.c.target.in_(digests)).order_by(EDGE.c.entry))

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind of statement and record."""
        rows = self._rows(
            select(STATEMENT.c.kind, func.count().label("n")).group_by(STATEMENT.c.kind)
        )
        found = {str(row["kind"]): int(row["n"]) for row in rows}
        for name, table in (("prediction", PREDICTION), ("decision", DECISION), ("access", ACCESS)):
            found[name] = int(self._scalar(select(func.count()).select_from(table)) or 0)
        found["denial"] = int(
            self._scalar(
                select(func.count()).select_from(DECISION).where(DECISION.c.allow.is_(False))
            )
            or 0
        )
        return found

    def recent(self, *, limit: int = 50, offset: int = 0) -> list[Entry]:
        """Return the newest entries, newest first."""
        query = select(ENTRY.c.entry).order_by(ENTRY.c.entry.desc()).limit(limit).offset(offset)
        return [self.entry(int(row["entry"])) for row in self._rows(query)]

    # -- looking up -------------------------------------------------------------------------

    def find(self, key: str) -> list[int]:
        """Return the log indexes of the entries that an id, digest, name or index stands for.

        Raises:
            NotFoundError: Nothing is known by that key.
        """
        if key.isdecimal() and len(key) < 16:
            self._home.ledger.entry(int(key))
            return [int(key)]
        digest = key if key.startswith("sha256:") else f"sha256:{key}"
        queries = (
            select(PREDICTION.c.entry).where(PREDICTION.c.id == key),
            select(DECISION.c.entry).where(DECISION.c.id == key),
            select(STATEMENT.c.entry).where(STATEMENT.c.id == key),
            select(ARTIFACT.c.entry).where(ARTIFACT.c.digest == digest).distinct(),
            select(ARTIFACT.c.entry).where(ARTIFACT.c.digest.startswith(digest)).distinct(),
            select(STATEMENT.c.entry).where(STATEMENT.c.name == key),
        )
        for number, query in enumerate(queries):
            if number == 4 and len(key) < 8:
                continue
            found = sorted(int(row["entry"]) for row in self._rows(query.limit(1000)))
            if found:
                return found
        pruned = self.newest("retention")
        if pruned is not None and _RECORD_ID.fullmatch(key):
            moment = timestamp(datetime.fromtimestamp(int(key[:12], 16) / 1000, UTC))
            raise NotFoundError(
                f"No record with the id {key!r} is in the ledger any more, or ever was. An id of "
                f"this form is given at {moment}; records were pruned since.",
                hint=f"`affidavit show {pruned}` prints what the newest retention removed.",
            )
        raise NotFoundError(
            f"Nothing in the ledger is known as {key!r}.",
            hint="Give an entry's index, an id, a digest, or the name of a system or dataset.",
        )

    def _record(self, table: Table, identifier: str, what: str) -> Entry:
        found = self._scalar(select(table.c.entry).where(table.c.id == identifier))
        if found is None:
            raise NotFoundError(
                f"There is no {what} with the id {identifier!r}.",
                hint="`affidavit log` lists the newest entries.",
            )
        return self.entry(int(found))


def _only(query: Select[Any], *, kind: str, name: str, outcome: str) -> Select[Any]:
    for column, wanted in (("kind", kind), ("name", name), ("outcome", outcome)):
        if wanted:
            query = query.where(STATEMENT.c[column] == wanted)
    return query
