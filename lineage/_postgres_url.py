"""The URL of a PostgreSQL store: read once, strictly, so that no message ever holds its password.

libpq reads the URL (PostgreSQL 15 §34.1.1.2), after two of its readings are ruled out: an unescaped
``@``, ``/`` or ``?`` in a password makes it take a part of the password for a host or a port, which
its error then prints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from affidavit.errors import ConfigurationError, MissingDependencyError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:  # the driver, or the libpq that it needs
    raise MissingDependencyError("psycopg", "postgres") from error

_HINT = (
    "Write postgresql://role@host:5432/database, with @ : / ? # and % in names and passwords as "
    "%40 %3A %2F %3F %23 %25; better, keep the password in ~/.pgpass or PGPASSWORD."
)
# What is said where the URL says nothing, so that a dead peer is noticed (§34.1.2).
_DEFAULTS = {
    "application_name": "affidavit",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """Where a PostgreSQL store is.

    Args:
        location: Host, port and database, as messages name them.
        parameters: What libpq is told; it may hold a password.
    """

    location: str
    parameters: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> PostgresUrl:
        """Read a ``postgresql://`` URL.

        Raises:
            ConfigurationError: It is malformed; the message does not repeat it.
        """
        _, _, rest = url.partition("://")
        authority, *more = re.split(r"[/?#]", rest, maxsplit=1)
        hosts = authority.rpartition("@")[2]
        bracketless = re.sub(r"\[[0-9A-Fa-f:.]*\]", "", hosts)
        ports = [port for part in bracketless.split(",") for port in part.split(":")[1:]]
        if authority.count("@") > 1 or any("@" in part for part in more) or "#" in rest:
            raise _malformed("a character in a name or a password stands for itself")
        if not all(port.isascii() and port.isdigit() for port in ports):
            raise _malformed("a port is not a number")
        try:
            given = conninfo_to_dict(url)
        except (psycopg.Error, UnicodeError):
            # What libpq says about it may repeat a part of the password.
            raise _malformed("libpq cannot read it") from None
        parameters = {name: str(value) for name, value in given.items() if value is not None}
        host = parameters.get("host") or parameters.get("hostaddr") or "localhost"
        port = f":{parameters['port']}" if parameters.get("port") else ""
        database = parameters.get("dbname", "")
        return cls(f"postgresql://{host}{port}/{database}", {**_DEFAULTS, **parameters})


def _malformed(what: str) -> ConfigurationError:
    return ConfigurationError(f"The URL of the store is malformed: {what}.", hint=_HINT)
