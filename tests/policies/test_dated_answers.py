"""No cached answer outlives anything that is dated, in the data or in the request."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.policies import CachedEngine, EmbeddedEngine
from affidavit.policies._instants import cache_profile, epoch_seconds, request_instants

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
VOLATILE = frozenset({"time", "request_id"})


def at(seconds: float) -> str:
    moment = NOON + dt.timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def days_ago(days: int, seconds: float) -> str:
    return at(seconds - days * 86_400)


def grant(**more):
    return {
        "access": {"default_role": None, "grants": [{"actor": "ada", "role": "engineer", **more}]}
    }


def consent(**more):
    declared = {"column": "income", "values": ["yes"], **more}
    whole = {"purposes": ["credit-scoring"], "basis": "consent", "consent": declared}
    return {"purpose": {"datasets": {"applications": whole}}}


def having(request_for, **attributes):
    resource = {"kind": "dataset", "name": "applications", "digest": "", "tags": []}
    return request_for(resource={**resource, "attributes": attributes})


HOURS = {"from": "11:59", "until": "12:01"}
PERMIT = {"id": "p", "actions": ["*"], "tags": ["*"]}
NOBODY = {"access": {"roles": {"engineer": {"permissions": []}}}}
# What is dated, by the data and the attributes that date it: something happens at NOON.
DATED = {
    "a grant begins": (grant(not_before=at(0)), {}),
    "a grant expires": (grant(expires=at(0)), {}),
    "a grant's hours end": (grant(hours={"from": "08:00", "until": "12:00"}), {}),
    "emergency access ends": (
        grant(break_glass=True, reason="r", not_before=at(-3600), expires=at(0)),
        {},
    ),
    "a permit begins": (
        {"access": {**NOBODY["access"], "permits": [{**PERMIT, "not_before": at(0)}]}},
        {},
    ),
    "a permit's hours begin": (
        {
            "access": {
                **NOBODY["access"],
                "permits": [{**PERMIT, "hours": {"from": "12:00", "until": "13:00"}}],
            }
        },
        {},
    ),
    "a prohibition begins": ({"access": {"prohibits": [{"id": "x", "not_before": at(0)}]}}, {}),
    "a prohibition lapses": ({"access": {"prohibits": [{"id": "x", "expires": at(0)}]}}, {}),
    "a consent expires": (consent(expires=at(0)), {}),
    "a consent is withdrawn": (consent(withdrawn=at(0)), {}),
    "a declared consent expires": (
        {},
        {
            "lawful_basis": "consent",
            "consent": {"column": "income", "values": ["yes"], "expires": at(0)},
        },
    ),
    "a dataset is too old": (
        {"retention": {"datasets": {"applications": 10}, "warn_days": 3}},
        {"collected": days_ago(10, 0)},
    ),
    "a dataset will soon be too old": (
        {"retention": {"max_age_days": 10, "warn_days": 3}},
        {"collected": days_ago(7, 0)},
    ),
    "a dataset's own days are over": ({}, {"collected": days_ago(5, 0), "retention_days": 5}),
    "a dataset's own days will soon be over": (
        {"retention": {"warn_days": 2}},
        {"collected": days_ago(3, 0), "retention_days": 5},
    ),
    "a dataset's stated end comes": ({}, {"expires": at(0)}),
    "a dataset's stated end comes near": (
        {"retention": {"warn_days": 4}},
        {"expires": days_ago(-4, 0)},
    ),
    "a collection lies in the future no longer": (
        {"retention": {"max_age_days": 10}},
        {"collected": at(0)},
    ),
}


def told(decision) -> str:
    fields = decision.to_dict()
    return json.dumps({key: fields[key] for key in ("allow", "deny", "warn", "obligations")})


@pytest.mark.parametrize("name", DATED)
def test_the_answer_changes_at_its_instant_and_the_cache_with_it(request_for, name):
    data, attributes = DATED[name]
    engine = EmbeddedEngine(data=data or None)
    document = having(request_for, **attributes) if attributes else request_for()
    cache = CachedEngine(engine)
    standing = cache.standing("affidavit/data_read", document)
    changes = set()
    # Forwards, backwards, and with every hit that is to be had in between.
    for second in (-2, -1, 0, 1, 0, -1, -2, -1, 0):
        request = {**document, "time": at(second), "request_id": f"r{second}"}
        anew = told(engine.decide("affidavit/data_read", request))
        assert told(cache.decide("affidavit/data_read", request)) == anew
        assert told(standing.decide(at(second), f"r{second}")) == anew
        changes.add((second >= 0, anew))
    assert len(changes) == 2, "nothing happened at the instant, or before or after it"
    assert cache.decide("affidavit/data_read", {**document, "time": at(0)}).cached


@settings(max_examples=15, deadline=None)
@given(
    names=st.sets(st.sampled_from(sorted(DATED)), min_size=2, max_size=4),
    seconds=st.lists(st.integers(-200, 200) | st.integers(-5, 5), min_size=3, max_size=12),
)
def test_many_dated_things_at_once_are_none_of_them_outlived(request_for, names, seconds):
    data: dict = {}
    attributes: dict = {}
    for name in sorted(names):
        for section, content in DATED[name][0].items():
            data[section] = {**data.get(section, {}), **content}
        attributes |= DATED[name][1]
    engine = EmbeddedEngine(data=data or None)
    cache = CachedEngine(engine)
    document = having(request_for, **attributes)
    for second in seconds:
        request = {**document, "time": at(second)}
        anew = told(engine.decide("affidavit/data_read", request))
        assert told(cache.decide("affidavit/data_read", request)) == anew


@pytest.mark.parametrize(
    "data",
    [
        {"pack": {"deep": [{"from": at(0)}, [at(1)]]}},
        {"one": at(0), "two": {"three": at(1)}, "four": ["2026", 7, None, True]},
    ],
)
def test_every_timestamp_anywhere_in_the_data_is_an_instant(data):
    found = cache_profile(VOLATILE, data).instants
    assert found == (epoch_seconds(at(0)), epoch_seconds(at(1)))


def test_hours_anywhere_in_the_data_divide_time_into_minutes():
    assert cache_profile(VOLATILE, {"a": [{"b": {"hours": HOURS}}]}).step == 60
    # A whole day otherwise, for some rules count days.
    assert cache_profile(VOLATILE, {"a": [{"b": "hours"}]}).step == 86400


def test_a_request_without_attributes_adds_no_instant(request_for):
    assert request_instants(request_for(), (1, 2)) == ()
    for odd in (None, "x", [], {"attributes": None}, {"attributes": 7}):
        assert request_instants(request_for(resource=odd), (1, 2)) == ()


def test_an_answer_within_quiet_hours_is_remembered(request_for):
    data, attributes = DATED["a dataset is too old"]
    cache = CachedEngine(EmbeddedEngine(data=data))
    document = having(request_for, **attributes)
    shuffled = random.Random(7).sample(range(60, 3600), 20)
    answers = [
        cache.decide("affidavit/data_read", {**document, "time": at(second)}) for second in shuffled
    ]
    assert [answer.cached for answer in answers] == [False, *itertools.repeat(True, 19)]
