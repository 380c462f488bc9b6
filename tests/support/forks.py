"""Writers in processes of their own, forked from the test."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings

from logs import record


def fork_and(work):
    """Run work in a forked child; returns the child's process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def exit_code(child):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "it hung"


def appending(log, batches=1_000_000):
    """Start a process that appends batches and says each index once it has it."""
    ours, theirs = os.pipe()

    def work():
        os.close(ours)
        ledger = log.reopen()
        for number in range(batches):
            indexes = ledger.append([record("access", number)] * (1 + number % 4))
            os.write(theirs, "".join(f"{index}\n" for index in indexes).encode())

    child = fork_and(work)
    os.close(theirs)
    return child, os.fdopen(ours, "r")


def forking_while_writing(log, forks):
    """Fork writers while a thread writes; returns their exit codes and the thread's indexes."""
    stop, written = threading.Event(), []

    def write():
        while not stop.is_set():
            written.extend(log.ledger.append([record("access", len(written))]))

    thread = threading.Thread(target=write)
    thread.start()
    codes = []
    try:
        for number in range(forks):
            child = fork_and(lambda n=number: log.ledger.append([record("decision", n)]))
            codes.append(exit_code(child))
    finally:
        stop.set()
        thread.join()
    return codes, written
