"""A real ledger with real keys for the tests, and a knife to cut into its store."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from postgres import Server

from affidavit.lineage import (
    APPROVAL,
    DATASET,
    PROVENANCE,
    RUN_FIELD,
    Ledger,
    NoteSigner,
    Resource,
    SigningKey,
    Statement,
    TrustedKey,
    TrustRoot,
    VerificationReport,
    record_bytes,
    verify_ledger,
)

ORIGIN = "affidavit.test/log"
TIME = "2026-11-21T08:00:00.000Z"


@dataclass
class Log:
    """A ledger, its keys, and short ways to append to it."""

    path: Path | str
    log: SigningKey
    recorder: SigningKey
    approver: SigningKey
    ledger: Ledger
    server: Server | None = None

    @property
    def signer(self) -> NoteSigner:
        return NoteSigner(ORIGIN, self.log.private)

    def verify(self, exported: bytes | None = None) -> VerificationReport:
        return verify_ledger(self.path, self.signer.verifier, exported=exported)

    def cut(self, sql: str, *values: object) -> int:
        """Change the store behind the ledger's back; returns how many rows it touched."""
        with self.connect() as connection:
            count = connection.execute(self._dialect(sql), values).rowcount
        connection.close()
        return count

    def rows(self, sql: str, *values: object) -> list[tuple]:
        connection = self.connect()
        found = connection.execute(self._dialect(sql), values).fetchall()
        connection.close()
        return found

    def connect(self):
        """Connect to the store as its owner could, without Affidavit."""
        if self.server is None:
            return sqlite3.connect(self.path)
        import psycopg

        return psycopg.connect(str(self.path))

    def _dialect(self, sql: str) -> str:
        if self.server is None:
            return sql
        sql = re.sub(
            r"zeroblob\(((?:[^()]|\([^()]*\))*)\)", r"decode(repeat('00', \1), 'hex')", sql
        )
        return sql.replace("?", "%s")

    def files(self) -> bytes:
        """What is in the store's files; of a server in all but its write-ahead log."""
        if self.server is None:
            folder = Path(self.path).parent
            return b"".join(path.read_bytes() for path in folder.glob("ledger.db*"))
        name = str(self.path).rpartition("/")[2]
        ((oid,),) = self.server.sql("SELECT oid FROM pg_database WHERE datname = %s", name)
        self.server.sql("CHECKPOINT")
        found = []
        for path in self.server.data.rglob("*"):
            place = path.relative_to(self.server.data).parts
            others = place[0] == "base" and place[1:2] != (str(oid),)
            if not others and place[0] != "pg_wal" and path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    found.append(path.read_bytes())
        return b"".join(found)

    def clear(self) -> None:
        """Leave nothing of the store."""
        if isinstance(self.path, Path):
            self.path.unlink()
        else:
            self.cut("DROP SCHEMA public CASCADE")
            self.cut("CREATE SCHEMA public")

    def copy(self, folder: Path) -> Log:
        """Copy a closed log; the copy is closed as well."""
        if self.server is None:
            path: Path | str = Path(shutil.copy(self.path, folder / "ledger.db"))
        else:
            path = self.server.url(self.server.database(str(self.path).rpartition("/")[2]))
        return dataclasses.replace(self, path=path)

    def reopen(self) -> Ledger:
        return Ledger(self.path, self.signer.verifier, signer=self.signer)


def digest(number: int) -> str:
    return f"{number:064x}"


def trust_root(log: SigningKey, recorder: SigningKey, approver: SigningKey) -> TrustRoot:
    root = TrustRoot(ORIGIN)
    for identity, key, role in (
        ("log", log, "log"),
        ("pipeline", recorder, "recorder"),
        ("ada@example.org", approver, "approver"),
    ):
        root = root.with_key(TrustedKey(identity, key.public, frozenset({role})))
    return root


def dataset(number: int) -> Statement:
    return Statement(
        (Resource(f"data-{number}", digest(number), "arrow-table-v1"),),
        DATASET,
        {"name": f"data-{number}", "actor": "pipeline", "time": TIME, "outcome": "read"},
    )


def run(number: int) -> Statement:
    source = Resource(f"data-{number}", digest(number), "arrow-table-v1")
    return Statement(
        (Resource("model.joblib", digest(1000 + number)),),
        PROVENANCE,
        {
            "buildDefinition": {
                "buildType": "urn:affidavit:python-call:v1",
                "externalParameters": {"C": 1.0},
                "resolvedDependencies": [source.to_json()],
            },
            "runDetails": {
                "builder": {"id": "urn:affidavit:hooks"},
                "metadata": {"invocationId": f"run-{number}", "finishedOn": TIME},
            },
            RUN_FIELD: {"name": "credit-risk", "status": "succeeded", "actor": "pipeline"},
        },
    )


def approval(actor: str = "ada@example.org") -> Statement:
    return Statement(
        (Resource("model.joblib", digest(1000)),),
        APPROVAL,
        {"name": "credit-risk", "actor": actor, "time": TIME, "outcome": "approved"},
    )


def record(kind: str, number: int) -> bytes:
    fields = {
        "prediction": {"model": "credit-risk@production", "model_digest": "sha256:" + digest(1000)},
        "decision": decision_fields("serve", "credit-risk", allow=True, actor="pipeline"),
        "access": {"action": "read", "object": "report"},
        "writer": {"writer": "ab" * 16, "event": "opened", "place": "here", "outcome": "closed"},
    }[kind]
    own = {"id": f"{kind}-{number}", "time": TIME, "actor": "pipeline", "outcome": "0.7"}
    if kind == "decision":
        own = {"decision_id": own["id"], "timestamp": TIME}
    return record_bytes(kind, {**own, **fields})


def decision_fields(path: str, resource: str, *, allow: bool, actor: str) -> dict:
    """Return what the index reads of a decision's record, less its id and time."""
    return {
        "path": path,
        "input": {"resource": {"name": resource}},
        "result": {"allow": allow, "deny": [], "warn": [], "obligations": []},
        "requested_by": actor,
    }


def start(folder: Path, server: Server | None = None) -> Log:
    """Make a ledger that holds its trust root, in a folder or in a new database of a server."""
    keys = [SigningKey.generate() for _ in range(3)]
    signer = NoteSigner(ORIGIN, keys[0].private)
    path = server.url(server.database()) if server else folder / "ledger.db"
    log = Log(path, *keys, Ledger(path, signer.verifier, signer=signer, create=True), server)
    root = trust_root(*keys).statement(actor="log", time=TIME, note="initialised")
    log.ledger.append([root.sign(keys[0]).to_bytes()])
    return log


def furnish(log: Log) -> Log:
    """Append what a real log holds: statements of several kinds and batches of records."""
    log.ledger.append([dataset(0).sign(log.recorder).to_bytes()])
    log.ledger.append([run(0).sign(log.recorder).to_bytes()])
    log.ledger.append([approval().sign(log.approver).to_bytes()])
    log.ledger.append([record("prediction", n) for n in range(6)])
    log.ledger.append([record("decision", n) for n in range(4)])
    log.ledger.append([record("access", n) for n in range(2)])
    for number in range(1, 13):
        log.ledger.append([dataset(number).sign(log.recorder).to_bytes()])
    return log
