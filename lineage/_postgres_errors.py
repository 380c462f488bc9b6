"""What PostgreSQL's errors mean for a ledger, by SQLSTATE (PostgreSQL 15, appendix A)."""

from __future__ import annotations

import psycopg

from affidavit.errors import LedgerCorruptError, LedgerError, LedgerUnavailableError
from affidavit.lineage import _store

# A query of ours fails like this only where a table is not what we made it, or a row contradicts
# another: no such table, column, function or type; integrity; data and index corrupted.
_DAMAGED = ("42P", "42703", "42804", "42883", "42846", "22P", "22003", "23", "XX001", "XX002")
_RETRY = "Try again."
_LIMITS = (
    ("53100", "the server's disk is full", "Free some space there and try again."),
    ("533", "it takes no more connections", "Raise max_connections, or run fewer processes."),
    ("53", "the server lacks memory or another resource", "Look at the server's log."),
    ("25006", "it is read-only", "Connect to the primary server, as a role that may write."),
    ("42501", "the role has no permission", "Grant it what it needs, or name another role."),
    ("57014", "a statement took too long", "Look at the server's load and locks, then try again."),
    ("25P03", "this process did nothing in its transaction for too long", _RETRY),
    ("57P", "the server is stopping, starting or has ended the session", _RETRY),
    ("58", "the server cannot read or write its files", "Look at the server's log and disk."),
    ("40", "another transaction came between", _RETRY),
    ("3D000", "there is no such database", "Make it with createdb, or correct the URL."),
    ("28", "the server does not let this role in", "Check role, password and pg_hba.conf."),
)
# The driver does not say the SQLSTATE of a refused connection; servers may speak other languages.
_REFUSED = (
    ("does not exist", "Make the database or the role, or correct the URL."),
    ("password", "Correct the password, in ~/.pgpass, PGPASSWORD or the URL."),
    ("no pg_hba.conf entry", "Let this host and role in, in the server's pg_hba.conf."),
    ("too many", "Raise max_connections, or run fewer processes."),
)


def what_it_means(error: BaseException | None, location: str) -> LedgerError:
    """Return the error of ours that a database error means.

    Args:
        error: What the driver raised.
        location: Where the store is, without a password.
    """
    state = getattr(error, "sqlstate", None) or ""
    # Not the details: they repeat the values of rows.
    diagnosis = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    said = (diagnosis or str(error)).strip()
    if isinstance(error, psycopg.DataError) and ("NUL" in said or state == "22021"):
        return LedgerError(
            "A text holds the character U+0000, which PostgreSQL does not store.",
            hint="Name things without it; nothing was written.",
        )
    if state == "54000":
        return LedgerError(
            "A name or an id is longer than the 2,700 bytes that PostgreSQL can look up.",
            hint="Use a shorter one; nothing was written.",
        )
    if state.startswith(_DAMAGED):
        return LedgerCorruptError(
            f"The ledger {location} is damaged: {said}.",
            hint="Keep the database as it is, restore it from a back-up under another name, and "
            "run `affidavit verify` on that.",
        )
    if state == "55P03":
        what = f"another process held it for more than {_store.BUSY_SECONDS:.0f} s"
        hint = "Look in pg_stat_activity for a session that hangs, then try again."
    elif state:
        known = (row[1:] for row in _LIMITS if state.startswith(row[0]))
        what, hint = next(known, (said, "Look at the server's log, then try again."))
        what = what if what == said else f"{what} ({said})"
    else:
        what = f"the server cannot be reached, or cut the connection ({' '.join(said.split())})"
        found = (hint for mark, hint in _REFUSED if mark in said)
        hint = next(found, "Check that it runs and that host and port are right, then try again.")
    return LedgerUnavailableError(
        f"The ledger {location} is not available: {what}; nothing was written.", hint=hint
    )
