"""Threads, processes, forks and kills: no entry is lost and every number is given once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from forks import appending, exit_code, fork_and, forking_while_writing
from logs import record, start


def check(log, indexes):
    report = log.verify()
    assert report.ok, report.errors
    assert sorted(indexes) == list(range(1, report.size))


def test_four_threads_append_without_a_gap(tmp_path):
    log = start(tmp_path)

    def work(worker):
        found = []
        for number in range(25):
            found += log.ledger.append([record("decision", worker * 100 + number)] * 2)
        return found

    with ThreadPoolExecutor(4) as pool:
        indexes = [index for found in pool.map(work, range(4)) for index in found]
    assert len(indexes) == 200
    check(log, indexes)


def test_four_processes_append_without_a_gap(tmp_path):
    log = start(tmp_path)
    writers = [appending(log, batches=15) for _ in range(4)]
    found = []
    for child, reader in writers:
        found += [int(line) for line in reader.read().split()]
        reader.close()
        assert exit_code(child) == 0
    check(log, found)


def test_a_forked_child_and_its_parent_append_to_one_ledger_object(tmp_path):
    log = start(tmp_path)
    log.ledger.append([record("access", 0)])

    def work():
        for number in range(20):
            log.ledger.append([record("access", 100 + number)])

    child = fork_and(work)
    for number in range(20):
        log.ledger.append([record("access", 200 + number)])
    assert exit_code(child) == 0
    report = log.verify()
    assert (report.ok, report.size) == (True, 42)


def test_a_child_forked_while_another_thread_writes_neither_hangs_nor_harms(tmp_path):
    log = start(tmp_path)
    codes, written = forking_while_writing(log, 8)
    assert codes == [0] * 8
    report = log.verify()
    assert report.ok, report.errors
    assert report.size == 1 + len(written) + 8


def test_a_fork_inside_a_read_leaves_the_read_and_the_child_working(tmp_path):
    log = start(tmp_path)
    log.ledger.append([record("access", n) for n in range(3000)])
    entries = log.ledger.entries()
    first = [next(entries) for _ in range(10)]
    child = fork_and(lambda: log.ledger.append([record("access", 9999)]))
    assert exit_code(child) == 0
    assert len(first) + sum(1 for _ in entries) == 3001
    assert log.verify().size == 3002


def test_every_acknowledged_entry_outlives_a_kill_at_any_moment(tmp_path):
    log = start(tmp_path)
    chance = random.Random(20261121)
    acknowledged = []
    for _ in range(15):
        child, reader = appending(log)
        acknowledged.append(int(reader.readline()))
        time.sleep(chance.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        acknowledged += [int(line) for line in reader.read().split("\n")[:-1]]
        reader.close()
        report = log.verify()
        assert report.ok, report.errors
        assert set(acknowledged) <= set(range(report.size))
    assert len(acknowledged) == len(set(acknowledged)) > 15
    assert log.ledger.append([record("access", 1)]) == [report.size]


def test_a_log_is_verified_while_another_process_writes_to_it(tmp_path):
    log = start(tmp_path)
    child, reader = appending(log)
    sizes = []
    for _ in range(6):
        reader.readline()
        report = log.verify()
        assert report.ok, report.errors
        sizes.append(report.size)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    reader.close()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_two_processes_that_initialise_at_once_leave_one_good_ledger(tmp_path):
    outcomes = []

    def create(folder):
        try:
            outcomes.append(start(folder))
        except Exception as error:  # noqa: BLE001  # what is raised is what is tested
            outcomes.append(error)

    threads = [threading.Thread(target=create, args=[tmp_path]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [found for found in outcomes if not isinstance(found, Exception)]
    assert len(made) == 1, outcomes
    assert all("already" in str(e) for e in outcomes if isinstance(e, Exception)), outcomes
    assert made[0].verify().ok


@pytest.mark.parametrize("threads", [20])
def test_more_readers_than_connections_wait_for_their_turn(tmp_path, threads):
    log = start(tmp_path)
    log.ledger.append([record("access", n) for n in range(50)])
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda n: log.ledger.entry(n % 51), range(200)))
    assert len(found) == 200
