"""The beginning of a ledger in a database beside the home, once, whoever else tries.

The home is there first, with its keys and with the log's first entry in the file `PENDING`. While
that file stands, and only then, may the ledger be begun: a home whose database has vanished, or
that was pointed at the wrong one, must not begin a second log under the same key.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from affidavit.errors import CheckpointError, LedgerError, LedgerUnavailableError
from affidavit.lineage import Ledger, open_store

if TYPE_CHECKING:
    from affidavit._home import Home

PENDING = "first-entry"
"""The file in a home that holds the first entry of a log that has not begun."""


def check_empty(store: str) -> None:
    """Raise unless a database can be reached and holds nothing, before keys are made for it.

    Raises:
        LedgerError: It holds something.
        LedgerUnavailableError: It cannot be reached or written.
    """
    opened = open_store(store, create=True)
    try:
        with contextlib.suppress(_NothingStays), opened.writing() as connection:
            opened.create_tables(connection)
            raise _NothingStays
    finally:
        opened.close()


def begin_ledger(home: Home) -> bool:
    """Begin the ledger of a home, where that has not happened.

    Returns:
        Whether it began now.

    Raises:
        LedgerError: The database holds something else.
        LedgerUnavailableError: The database cannot be reached, or has lost the ledger.
    """
    pending = home.folder / PENDING
    try:
        first = pending.read_bytes()
    except FileNotFoundError:
        _check_ours(home)
        return False
    began = False
    try:
        signer = home.signer()
        Ledger(home.database, home.verifier, signer=signer, create=True, first=[first]).close()
        began = True
    except LedgerUnavailableError:
        raise
    except LedgerError:
        # There are tables: another process may have been faster.
        _check_ours(home)
    pending.unlink(missing_ok=True)
    return began


def _check_ours(home: Home) -> None:
    ledger = Ledger(home.database, home.verifier)
    try:
        ledger.head()
    except CheckpointError as error:
        raise LedgerError(
            f"The ledger at {home.location} is not the one of {home.folder}.",
            hint="Copy log.pub and keys/ of its home to a new home here, or name another database.",
        ) from error
    finally:
        ledger.close()


class _NothingStays(Exception):  # noqa: N818  # raised to roll back what was tried
    pass
