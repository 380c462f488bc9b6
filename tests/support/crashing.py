"""Kills writers, appenders and drainers of one home again and again, and says what became of it.

    python tests/support/crashing.py HOME KILLS SEED

Each round four processes work on the home: two serve, one appends, one drains. Each writes a line
into a pipe once something is acknowledged, and all are killed at a random moment.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import affidavit as aff
from affidavit import _spools
from affidavit._spools import spools_of
from affidavit.lineage import new_id, parse_entry, record_bytes, timestamp

WORKERS = 4


@aff.serve("model", subject="person")
def predict(features: dict[str, object]) -> int:
    return 1


def serve(pipe: int) -> None:
    number = 0
    while True:
        number += 1
        predict({"n": number, "person": f"person-{number % 7}"})
        os.write(pipe, f"{aff.prediction_ids()[-1]}\n".encode())


def _home() -> aff.Home:
    settings = aff.load_settings()
    return aff.open_home(settings.home, settings.store)


def append(pipe: int) -> None:
    home = _home()
    while True:
        identifier = new_id()
        fields = {"id": identifier, "time": timestamp(), "actor": "a", "action": "read"}
        home.record(record_bytes("access", {**fields, "object": "o"}))
        os.write(pipe, f"{identifier}\n".encode())


def drain(_: int) -> None:
    home = _home()
    while True:
        spools_of(home).settle(force=True)
        time.sleep(0.002)


WORK = (serve, serve, append, drain)


def start(work, pipe: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work(pipe)
    except BaseException as error:  # noqa: BLE001  # a child must not go on as its parent
        os.write(2, f"{work.__name__}: {error!r}\n".encode())
    finally:
        os._exit(1)


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    _spools.DELAY_SECONDS = 3600.0
    chance = random.Random(seed)
    settings = aff.load_settings()
    aff.create_home(folder, actor="crash", store=settings.store)
    with aff.run("model") as run:
        run.produce(b"model", "model.pickle")
    # The engine is compiled once, before the forks.
    predict({"n": 0, "person": "first"})
    spools_of(_home()).close()
    acknowledged: set[str] = set()
    failures = 0
    for _ in range(kills // WORKERS):
        reading, writing = os.pipe()
        workers = [start(work, writing) for work in WORK]
        os.close(writing)
        time.sleep(chance.uniform(0.01, 0.12))
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        for pid in workers:
            status = os.waitpid(pid, 0)[1]
            failures += os.waitstatus_to_exitcode(status) != -signal.SIGKILL
        with os.fdopen(reading) as lines:
            # The last line of a killed process may be cut short.
            acknowledged.update(line.strip() for line in lines if len(line) == 33)
    home = _home()
    spools_of(home).settle(force=True)
    logged: list[str] = []
    for _, body in home.ledger.entries():
        parsed = parse_entry(body)
        if isinstance(parsed, dict) and parsed["record"] in {"prediction", "access"}:
            logged.append(str(parsed["id"]))
    report = aff.verify_home(home)
    print(
        json.dumps(
            {
                "acknowledged": len(acknowledged),
                "logged": len(logged),
                "missing": len(acknowledged - set(logged)),
                "twice": len(logged) - len(set(logged)),
                "failures": failures,
                "ok": report.ok,
                "errors": [fault.message for fault in report.errors][:5],
                "gaps": len(report.gaps),
                "writers": report.writers,
                "open": sum(one.outcome == "open" for one in report.unclosed),
            }
        )
    )


if __name__ == "__main__":
    main()
