"""A cache answers only what the rules would answer now."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import ConfigurationError
from affidavit.policies import CachedEngine, CacheProfile, Decision, EmbeddedEngine

ENTRY = "affidavit/data_read"


class Counting:
    """A real engine, counted."""

    def __init__(self, inner):
        self.inner = inner
        self.asked = 0

    @property
    def bundle_digest(self):
        return self.inner.bundle_digest

    def cache_profile(self, entrypoint):
        return self.inner.cache_profile(entrypoint)

    def decide(self, entrypoint, input):  # noqa: A002
        self.asked += 1
        return self.inner.decide(entrypoint, input)


def test_an_equal_request_at_another_time_is_remembered(embedded, request_for):
    engine = Counting(embedded)
    cache = CachedEngine(engine)
    first = cache.decide(ENTRY, request_for())
    second = cache.decide(ENTRY, request_for(time="2026-11-21T23:59:59Z", request_id="r-2"))
    assert (first.cached, second.cached, engine.asked) == (False, True, 1)
    third = cache.decide(ENTRY, request_for(time="2026-11-22T00:00:00Z", request_id="r-3"))
    # Some rules count days.
    assert (third.cached, engine.asked) == (False, 2)
    assert second.allow
    assert second.obligations == first.obligations


def test_everything_else_is_part_of_the_key(embedded, request_for):
    cache = CachedEngine(embedded)
    cache.decide(ENTRY, request_for())
    for changes in (
        {"purpose": "marketing"},
        {"actor": {"id": "bob", "roles": []}},
        {"columns": [{"name": "income", "tags": ["secret"]}]},
        {"environment": "production"},
    ):
        assert not cache.decide(ENTRY, request_for(**changes)).cached
    assert not cache.decide("affidavit/train", request_for()).cached


def test_a_grant_that_expires_is_not_outlived(request_for):
    grants = [{"actor": "ada", "role": "auditor", "expires": "2026-11-21T10:00:10Z"}]
    data = {"access": {"grants": grants, "default_role": None}}
    cache = CachedEngine(EmbeddedEngine(data=data))
    assert cache.decide(ENTRY, request_for(time="2026-11-21T10:00:00Z")).allow
    assert cache.decide(ENTRY, request_for(time="2026-11-21T10:00:09.9Z")).cached
    late = cache.decide(ENTRY, request_for(time="2026-11-21T10:00:10Z"))
    assert not late.allow
    assert not late.cached


@settings(max_examples=8, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    expires=st.integers(0, 20),
    begins=st.integers(0, 20),
)
def test_with_and_without_cache_the_answers_are_the_same(request_for, seconds, expires, begins):
    def at(second):
        return f"2026-11-21T10:00:{second:02d}Z"

    grant = {"actor": "ada", "role": "auditor", "not_before": at(begins), "expires": at(expires)}
    engine = EmbeddedEngine(data={"access": {"grants": [grant], "default_role": None}})
    cache = CachedEngine(engine)
    for second in seconds:
        document = request_for(time=at(second))
        assert cache.decide(ENTRY, document).deny == engine.decide(ENTRY, document).deny


@settings(max_examples=8, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    expires=st.integers(0, 20),
    begins=st.integers(0, 20),
)
def test_a_standing_request_is_answered_as_the_same_request_put_anew(
    request_for, seconds, expires, begins
):
    def at(second):
        return f"2026-11-21T10:00:{second:02d}Z"

    grant = {"actor": "ada", "role": "auditor", "not_before": at(begins), "expires": at(expires)}
    engine = EmbeddedEngine(data={"access": {"grants": [grant], "default_role": None}})
    standing = CachedEngine(engine).standing(ENTRY, request_for())
    for second in seconds:
        anew = engine.decide(ENTRY, request_for(time=at(second)))
        assert standing.decide(at(second), f"r-{second}").deny == anew.deny


def test_a_standing_request_is_remembered_and_forgives_nothing(embedded, request_for):
    engine = Counting(embedded)
    standing = CachedEngine(engine).standing(ENTRY, request_for())
    for number in range(5):
        assert standing.decide(f"2026-11-21T10:00:0{number}Z", f"r-{number}").allow
    assert engine.asked == 1
    assert not standing.decide("2026-11-21T10:00:00Z", "").allow
    assert not standing.decide("soon", "r-1").allow
    assert standing.decide("2026-11-21T10:00:00Z", "r-1").allow


def test_a_standing_request_that_measures_age_goes_to_the_engine(embedded, promotion):
    standing = CachedEngine(embedded).standing("affidavit/promote", promotion)
    assert standing.decide(promotion["time"], "r-1").allow
    assert not standing.decide("2028-01-01T00:00:00Z", "r-2").allow


def test_promotion_measures_age_so_time_stays_in_its_key(embedded, promotion):
    cache = CachedEngine(embedded)
    assert cache.decide("affidavit/promote", promotion).allow
    assert cache.decide("affidavit/promote", {**promotion, "request_id": "r-9"}).cached
    later = cache.decide("affidavit/promote", {**promotion, "time": "2028-01-01T00:00:00Z"})
    assert not later.allow


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "now"},
        {"time": "2026-11-21T10:00:00+00:00"},
        {"time": None},
        {"request_id": ""},
        {"request_id": 1},
    ],
)
def test_malformed_volatile_fields_are_never_forgiven(embedded, request_for, changes):
    cache = CachedEngine(embedded)
    assert cache.decide(ENTRY, request_for()).allow
    decision = cache.decide(ENTRY, request_for(**changes))
    assert not decision.allow
    assert not decision.cached


def test_values_of_different_types_never_meet(embedded, request_for):
    cache = CachedEngine(embedded)
    assert cache.decide(ENTRY, request_for(extra={"1": True})).allow
    assert not cache.decide(ENTRY, request_for(extra={1: True})).allow
    assert not cache.decide(ENTRY, request_for(extra={"1": 1})).cached


def test_trouble_is_never_remembered(request_for):
    class Broken:
        bundle_digest = "sha256:x"

        def cache_profile(self, entrypoint):
            return CacheProfile(frozenset({"time", "request_id"}))

        def decide(self, entrypoint, input):  # noqa: A002
            return Decision.denied(entrypoint, "engine.timeout", "late", bundle_digest="sha256:x")

    cache = CachedEngine(Broken())
    for _ in range(2):
        assert not cache.decide(ENTRY, request_for()).cached
    assert len(cache) == 0


def test_answers_age_and_the_oldest_go_first(embedded, request_for):
    now = [0.0]
    cache = CachedEngine(embedded, ttl=5, size=2, clock=lambda: now[0])
    cache.decide(ENTRY, request_for())
    now[0] = 4.9
    assert cache.decide(ENTRY, request_for()).cached
    now[0] = 5.0
    assert not cache.decide(ENTRY, request_for()).cached
    for purpose in ("a", "b"):
        cache.decide(ENTRY, request_for(purpose=purpose))
    assert len(cache) == 2
    assert not cache.decide(ENTRY, request_for()).cached
    cache.clear()
    assert len(cache) == 0


def test_threads_share_a_cache(embedded, request_for):
    cache = CachedEngine(embedded, size=3)
    wrong = []

    def ask(number):
        for turn in range(40):
            column = f"c{(number + turn) % 5}"
            document = request_for(columns=[{"name": column, "tags": ["secret"]}])
            if [o.columns for o in cache.decide(ENTRY, document).obligations] != [(column,)]:
                wrong.append(column)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) <= 3


@pytest.mark.parametrize("option", [{"size": 0}, {"ttl": 0}, {"volatile": ["actor"]}])
def test_unusable_options_are_refused(embedded, option):
    with pytest.raises(ConfigurationError):
        CachedEngine(embedded, **option)
