"""A real PostgreSQL server for the tests: Debian's binaries, a data directory of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real import free_port, need


def binaries() -> Path | None:
    """The folder with the newest `initdb`, if any."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdecimal() else 0,
    )
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


@dataclass
class Server:
    """A running server on loopback, which its superuser `postgres` enters without a password."""

    bin: Path
    folder: Path
    port: int
    options: str = ""
    _count: int = field(default=0, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str, *, role: str = "postgres", more: str = "") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}{more}"

    def run(self, *command: object) -> None:
        """Run one of PostgreSQL's programs, which refuse to be run by root."""
        as_whom = {"user": "postgres", "group": "postgres", "extra_groups": []}
        done = subprocess.run(
            [str(self.bin / str(command[0])), *map(str, command[1:])],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            **(as_whom if os.geteuid() == 0 else {}),
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off "
            f"-c max_connections=150 -c shared_buffers=32MB {self.options}"
        )
        # Into a file: what a server inherits stays open as long as it runs.
        self.run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def sql(self, statement: str, *values: object, database: str = "postgres") -> list[tuple]:
        """Run one statement as the superuser; gives its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def database(self, template: str = "template0") -> str:
        """Make a database; gives its name."""
        self._count += 1
        name = f"db{self._count}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' STRATEGY file_copy")
        return name


@contextlib.contextmanager
def running(options: str = "") -> Iterator[Server]:
    """Run a server with a new data directory, or skip the test where there are no binaries."""
    found = binaries()
    need(found, "there is no PostgreSQL server (Debian package postgresql)")
    assert found is not None
    folder = Path(tempfile.mkdtemp(prefix="affidavit-postgres-"))
    if os.geteuid() == 0:
        # A server refuses to be run by root.
        user: Any = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
    server = Server(found, folder, free_port(), options)
    try:
        server.run(
            "initdb", "-D", server.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync",
            "--locale=C.UTF-8",
        )  # fmt: skip
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
