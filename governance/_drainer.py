"""A process that drains the spools of one home, started by whoever spools and gone when idle.

python -m affidavit._drainer HOME

Where the ledger is in a database, its URL is in AFFIDAVIT_STORE: everybody could read an argument.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from affidavit._home import Home
from affidavit._spools import spools_of
from affidavit.errors import AffidavitError
from affidavit.lineage import drain_lock, timestamp

IDLE_SECONDS = 10.0
_BUSY_PAUSE = 0.003
_QUIET_PAUSE = 0.1
_TROUBLE_PAUSE = 2.0
_MOST_TROUBLE = 30


def drain_until_idle(home: Home, *, idle: float = IDLE_SECONDS) -> int:
    """Drain a home's spools until nothing has come for a while.

    Args:
        home: The home.
        idle: How many seconds.

    Returns:
        How many records were taken in.

    Raises:
        LedgerError: The log could not be written for about a minute.
    """
    spools = spools_of(home)
    total, trouble, last = 0, 0, time.monotonic()
    with drain_lock(spools.folder / "drainer", wait=0) as only:
        while only and not home.moved() and time.monotonic() - last < idle:
            try:
                # Let go between the rounds: a reader may want to drain, too.
                with drain_lock(spools.folder, wait=1) as held:
                    done = spools.drain().records if held else 0
                trouble = 0
            except AffidavitError as error:
                trouble += 1
                print(timestamp(), error, file=sys.stderr, flush=True)  # noqa: T201  # its log
                if trouble > _MOST_TROUBLE:
                    raise
                time.sleep(_TROUBLE_PAUSE)
                last = time.monotonic()
                continue
            total += done
            if done:
                last = time.monotonic()
            time.sleep(_BUSY_PAUSE if done else _QUIET_PAUSE)
    return total


if __name__ == "__main__":
    drain_until_idle(Home(Path(sys.argv[1]), os.environ.get("AFFIDAVIT_STORE", "")))
