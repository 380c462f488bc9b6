"""Rates of served calls: no span of time holds more of them, whoever counts and however many do."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import affidavit as aff
from affidavit import _rate_limits
from affidavit._context import current_client
from affidavit._rate_limits import RateLimit, RateLimits, rates_of, sweep
from affidavit.errors import ObligationError, RateLimitError
from affidavit.policies import Obligation, apply_obligations, apply_to_record

SECOND = 1_000_000_000


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, held still; gives a list with its one reading."""
    now = [10**15]
    monkeypatch.setattr(_rate_limits.time, "monotonic_ns", lambda: now[0])
    return now


def permitted(limits: RateLimits, *asked: RateLimit) -> bool:
    try:
        limits.take(asked)
    except RateLimitError:
        return False
    return True


def test_a_limit_admits_its_calls_and_no_more(tmp_path, clock):
    limits, limit = RateLimits(tmp_path), RateLimit(3, 10, "k")
    assert [permitted(limits, limit) for _ in range(5)] == [True, True, True, False, False]
    clock[0] += 10 * SECOND - 1
    assert not permitted(limits, limit)
    clock[0] += 1
    assert [permitted(limits, limit) for _ in range(4)] == [True, True, True, False]


def test_a_used_up_limit_says_when_to_call_again(tmp_path, clock):
    limits, limit = RateLimits(tmp_path), RateLimit(1, 10, "k")
    limits.take([limit])
    clock[0] += 7 * SECOND + 1
    with pytest.raises(RateLimitError, match=r"1 call\(s\) in 10 s is used up.*in 3 s") as refused:
        limits.take([limit])
    assert (refused.value.calls, refused.value.seconds, refused.value.retry_after) == (1, 10, 3)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    calls=st.integers(1, 5),
    seconds=st.integers(1, 4),
    steps=st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=40),
)
def test_no_span_holds_more_calls(tmp_path_factory, clock, calls, seconds, steps):
    limits = RateLimits(tmp_path_factory.mktemp("limits"))
    taken: list[int] = []
    for step in steps:
        clock[0] += step
        now = clock[0]
        recent = [at for at in taken if at > now - seconds * SECOND]
        # It refuses only where it must.
        assert permitted(limits, RateLimit(calls, seconds, "k")) is (len(recent) < calls)
        if len(recent) < calls:
            taken.append(now)


def test_of_several_windows_all_must_admit_a_call_and_a_refused_one_counts_in_none(tmp_path, clock):
    limits = RateLimits(tmp_path)
    short, long = RateLimit(2, 1, "k"), RateLimit(3, 60, "k")
    assert [permitted(limits, short, long) for _ in range(3)] == [True, True, False]
    clock[0] += SECOND
    assert [permitted(limits, short, long) for _ in range(2)] == [True, False]
    clock[0] += SECOND
    assert not permitted(limits, short, long)
    assert [permitted(limits, short) for _ in range(3)] == [True, True, False]


def test_each_caller_and_each_limit_is_counted_apart(tmp_path, clock):
    limits = RateLimits(tmp_path)
    for key in ("a", "b", "a\0b", "\ud800"):
        assert permitted(limits, RateLimit(1, 1, key))
        assert not permitted(limits, RateLimit(1, 1, key))
    assert permitted(limits, RateLimit(2, 1, "a"))


def test_threads_together_get_no_more_than_the_limit(tmp_path):
    limits, limit = RateLimits(tmp_path), RateLimit(50, 3600, "k")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: permitted(limits, limit), range(200)))
    assert sum(found) == 50


def _take_many(folder, gate, tally) -> None:
    limits, limit = RateLimits(folder), RateLimit(50, 3600, "k")
    gate.wait()
    tally.put(sum(permitted(limits, limit) for _ in range(50)))


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_processes_together_get_no_more_than_the_limit(tmp_path, how):
    context = multiprocessing.get_context(how)
    gate, tally = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_take_many, args=(tmp_path, gate, tally)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert sum(tally.get(timeout=60) for _ in workers) == 50
    for worker in workers:
        worker.join(60)


def test_a_forked_child_shares_the_count_and_not_the_locks(tmp_path):
    limits, limit = RateLimits(tmp_path), RateLimit(10, 3600, "k")
    assert permitted(limits, limit)
    with limits._lock:
        # As if another thread were counting at the moment of the fork.
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if sum(permitted(limits, limit) for _ in range(20)) == 9 else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not permitted(limits, limit)


def test_a_ring_of_an_earlier_boot_is_begun_anew(tmp_path, monkeypatch, clock):
    limit = RateLimit(1, 3600, "k")
    assert permitted(RateLimits(tmp_path), limit)
    assert not permitted(RateLimits(tmp_path), limit)
    monkeypatch.setattr(_rate_limits, "_boot", lambda: b"another boot, 16")
    assert permitted(RateLimits(tmp_path), limit)


@pytest.mark.parametrize("content", [b"x", b"x" * 64, b"x" * 4096])
def test_a_counter_that_is_none_permits_nothing(tmp_path, content):
    limit = RateLimit(1, 3600, "k")
    RateLimits(tmp_path).take([limit])
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(ObligationError, match="cannot be counted"):
        RateLimits(tmp_path).take([limit])


def test_a_folder_that_cannot_be_written_permits_nothing(tmp_path):
    (tmp_path / "limits").write_text("a file where the folder belongs")
    with pytest.raises(ObligationError, match="cannot be counted"):
        RateLimits(tmp_path / "limits").take([RateLimit(1, 1, "k")])


def test_a_counter_that_another_process_holds_for_too_long_permits_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_rate_limits, "_PATIENCE", 0.05)
    limit = RateLimit(5, 3600, "k")
    RateLimits(tmp_path).take([limit])
    (path,) = tmp_path.iterdir()
    with path.open("rb") as holder:
        _rate_limits.fcntl.flock(holder, _rate_limits.fcntl.LOCK_EX)
        with pytest.raises(ObligationError, match="held by another process"):
            RateLimits(tmp_path).take([limit])
    RateLimits(tmp_path).take([limit])


def test_counters_that_are_over_are_swept_and_those_in_force_are_not(tmp_path, clock):
    limits = RateLimits(tmp_path)
    brief, lasting = RateLimit(1, 1, "k"), RateLimit(1, 3600, "k")
    limits.take([brief, lasting])
    (tmp_path / "something else").write_text("no counter")
    assert sweep(tmp_path) == 0
    clock[0] += SECOND
    assert sweep(tmp_path) == 1
    # Whoever has the file open still notices, and both count in the new one.
    assert permitted(limits, brief)
    assert not permitted(RateLimits(tmp_path), brief)
    assert not permitted(limits, lasting)
    assert (tmp_path / "something else").exists()


def test_more_callers_than_files_may_be_open_are_all_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(_rate_limits, "_MOST_OPEN", 4)
    monkeypatch.setattr(_rate_limits, "_SWEEP_EVERY", 3)
    limits = RateLimits(tmp_path)
    every = [RateLimit(1, 3600, str(number)) for number in range(12)]
    assert all(permitted(limits, limit) for limit in every)
    assert not any(permitted(limits, limit) for limit in every)
    assert len(limits._open) <= 4


def rate(per: str, calls: int = 3, seconds: int = 3600) -> Obligation:
    return Obligation("limit_rate", (), {"calls": calls, "seconds": seconds, "per": per})


def keys_of(per: str, **who) -> str:
    whole = {"model": "m", "actor": "a", "client": "10.0.0.1", **who}
    (limit,), _ = rates_of([rate(per)], **whole)
    return limit.key


def test_what_is_counted_together_is_what_the_policy_says():
    assert keys_of("actor") == keys_of("actor", client="10.0.0.2") != keys_of("actor", actor="b")
    assert keys_of("client") == keys_of("client", actor="b") != keys_of("client", client="10.0.0.2")
    assert keys_of("model") == keys_of("model", actor="b", client="") != keys_of("model", model="n")
    assert keys_of("client", client="2001:db8::1") == keys_of("client", client="2001:db8::2")
    assert keys_of("client", client="2001:db8::1") != keys_of("client", client="2001:db8:1::1")


def test_other_obligations_are_left():
    limits, others = rates_of(
        [rate("model"), Obligation("log_full")], model="m", actor="a", client=""
    )
    assert len(limits) == 1
    assert others == (Obligation("log_full"),)


def test_a_limit_of_clients_without_a_client_permits_nothing():
    with pytest.raises(ObligationError, match="client is not known"):
        rates_of([rate("client")], model="m", actor="a", client="")


def test_a_rate_is_never_met_on_data():
    import pandas as pd

    with pytest.raises(ObligationError, match="not about data"):
        apply_obligations(pd.DataFrame({"a": [1]}), [rate("model")], keys={})
    with pytest.raises(ObligationError, match="not about data"):
        apply_to_record({"a": 1}, [rate("model")], keys={})


# Through the hook


@pytest.fixture
def limited(risk, configure, tmp_path):
    """Limit the calls of the model `risk`; gives a served function and what ran."""

    def make(*rates: dict, main: str = ""):
        (tmp_path / "policy.json").write_text(json.dumps({"serving": {"rates": list(rates)}}))
        configure(f'[affidavit]\n{main}\n[policy]\ndata = "policy.json"\n')
        ran: list = []

        @aff.serve("risk")
        def predict(features: dict) -> int:
            ran.append(features)
            return 1

        return predict, ran

    return make


def served(function) -> bool:
    try:
        function({"income": 1.0, "debt": 2.0})
    except aff.PolicyDenied:
        return False
    return True


RATE = {"calls": 3, "seconds": 3600, "per": "model"}


@pytest.mark.parametrize("durability", ["process", "disk", "log"])
def test_a_call_above_the_limit_never_runs_and_is_recorded(limited, monkeypatch, durability):
    predict, ran = limited(RATE, main=f'durability = "{durability}"')
    assert [served(predict) for _ in range(5)] == [True, True, True, False, False]
    assert len(ran) == 3
    with pytest.raises(aff.PolicyDenied, match="limit of 3 call") as refused:
        predict({"income": 1.0, "debt": 2.0})
    assert isinstance(refused.value.__cause__, RateLimitError)
    # The decision allows, with the limit as its obligation; the refusal is a record of its own.
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    time.sleep(0.02)  # for longer than settings are believed
    kept = aff.disclose_decision(aff.prediction_ids()[-1])
    assert kept.record["outcome"] == "refused"
    assert kept.record["error"] == "affidavit.errors.RateLimitError"
    assert (kept.features, kept.output) == ({}, None)


def test_threads_of_a_service_share_the_limit(limited):
    predict, ran = limited({**RATE, "calls": 10})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: served(predict), range(40)))
    assert sum(found) == len(ran) == 10


def test_services_in_several_processes_share_the_limit(limited):
    predict, _ = limited({**RATE, "calls": 10})
    context = multiprocessing.get_context("fork")
    tally = context.Queue()

    def work():
        tally.put(sum(served(predict) for _ in range(10)))

    workers = [context.Process(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    counts = [tally.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sum(counts) == 10


def test_actors_are_counted_apart(limited, monkeypatch):
    predict, _ = limited({**RATE, "per": "actor"})
    for actor in ("ann", "bob"):
        monkeypatch.setenv("AFFIDAVIT_ACTOR", actor)
        time.sleep(0.02)  # for longer than settings are believed
        assert [served(predict) for _ in range(4)] == [True, True, True, False]


def test_clients_are_counted_apart_and_an_unknown_one_is_denied(limited):
    predict, _ = limited({**RATE, "per": "client"})
    assert not served(predict)
    for client in ("10.0.0.1", "10.0.0.2"):
        token = current_client.set(client)
        assert [served(predict) for _ in range(4)] == [True, True, True, False]
        current_client.reset(token)


def test_an_observed_limit_stops_nothing(risk, configure, tmp_path):
    (tmp_path / "policy.json").write_text(json.dumps({"serving": {"rates": [RATE]}}))
    configure('[policy]\ndata = "policy.json"\nmode = "observe"\n')

    @aff.serve("risk")
    def predict(features: dict) -> int:
        return 1

    assert all(served(predict) for _ in range(5))


def test_a_counter_that_cannot_be_had_denies_the_call(limited, home):
    predict, ran = limited(RATE)
    (home.folder / "limits").write_text("a file where the folder belongs")
    assert not served(predict)
    assert ran == []


def test_nothing_is_counted_where_nothing_is_limited(limited, home):
    predict, _ = limited()
    assert served(predict)
    assert not (home.folder / "limits").exists()


def test_waiting_for_a_counter_does_not_stop_other_limits_for_ever(tmp_path):
    limits = RateLimits(tmp_path)
    done = threading.Event()

    def work():
        for number in range(50):
            limits.take([RateLimit(1000, 60, str(number % 5)), RateLimit(1000, 60, "all")])
        done.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done.is_set()


def test_the_counters_names_cannot_be_guessed_from_whose_calls_they_count(tmp_path):
    limit = RateLimit(3, 10, "m\0client\x00203.0.113.7")
    names = set()
    for number, key in enumerate((b"k" * 32, b"l" * 32)):
        folder = tmp_path / str(number)
        RateLimits(folder, key).take([limit])
        names |= {path.name for path in folder.iterdir()}
    assert len(names) == 2
    bare = f"{limit.calls}/{limit.seconds}/{limit.key}".encode()
    assert hashlib.blake2b(bare, digest_size=32).hexdigest() not in names
