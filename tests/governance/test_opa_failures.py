"""OPA fails in mid-run, in every way: always denied, always recorded, in time, and then serving."""

from __future__ import annotations

import asyncio
import time

import pandas as pd
import pytest
from opa import Front, Opa

import affidavit as aff

BUDGET_S = 0.6
ALLOW = b'{"result": {"allow": true, "deny": [], "warn": [], "obligations": []}}'


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    opa = Opa(tmp_path_factory.mktemp("opa") / "bundle.tar.gz").start()
    found = Front(opa)
    yield found
    found.close()
    opa.kill()


def _settings(port, more=""):
    return (
        f'[policy]\nengine = "opa"\nurl = "http://127.0.0.1:{port}"\ntimeout = {BUDGET_S}\n{more}'
    )


def _answering(status, kind, content, length=None):
    def begin(front):
        front.answer = (status, kind, content, length)

    def end(front):
        front.answer = None

    return begin, end


TROUBLES = {
    "killed": (lambda front: front.opa.kill(), lambda front: front.opa.start()),
    "stalled": (lambda front: front.opa.stall(), lambda front: front.opa.go_on()),
    "undefined": (
        lambda front: front.opa.forget_the_rules(),
        lambda front: front.opa.recall_the_rules(),
    ),
    "500": _answering(500, "application/json", ALLOW),
    "503": _answering(503, "text/plain", b"busy"),
    "HTML with 200": _answering(200, "text/html", b"<html><body>Welcome</body></html>"),
    "truncated JSON": _answering(200, "application/json", ALLOW[:40]),
    "cut off": _answering(200, "application/json", ALLOW[:40], len(ALLOW)),
    "allow as text": _answering(200, "application/json", ALLOW.replace(b"true", b'"true"')),
    "no deny": _answering(200, "application/json", b'{"result": {"allow": true}}'),
    "empty result": _answering(200, "application/json", b'{"result": {}}'),
}
RULES = {
    "killed": {"engine.unreachable"},
    "stalled": {"engine.timeout"},
    "undefined": {"engine.undefined"},
    "500": {"engine.unreachable"},
    "503": {"engine.unreachable"},
    "HTML with 200": {"engine.malformed"},
    "truncated JSON": {"engine.malformed"},
    "cut off": {"engine.malformed", "engine.unreachable"},
    "allow as text": {"engine.malformed"},
    "no deny": {"engine.malformed"},
    "empty result": {"engine.malformed"},
}
# A front that passes on would answer for a dead OPA itself: these are asked directly.
DIRECT = {"killed", "stalled", "undefined"}


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(TROUBLES))
def test_every_call_is_denied_recorded_and_in_time_until_opa_is_well_again(
    home, risk, configure, front, name
):
    configure(_settings(front.opa.port if name in DIRECT else front.port))
    begin, end = TROUBLES[name]
    ran = []

    @aff.data("people", purpose="research")
    def read():
        ran.append("read")
        return pd.DataFrame({"age": [36, 85]})

    @aff.serve("risk")
    def predict(features):
        ran.append("predict")
        return 1

    @aff.serve("risk")
    async def predict_later(features):
        ran.append("predict_later")
        return 1

    calls = {
        "read": (read, "affidavit/data_read"),
        "predict": (lambda: predict({"income": 5}), "affidavit/serve"),
        "predict_later": (lambda: asyncio.run(predict_later({"income": 5})), "affidavit/serve"),
    }
    for call, _ in calls.values():
        call()
    assert ran == list(calls)
    reader = aff.Reader(home)
    before = {row["id"] for row in reader.decisions(limit=100)}
    begin(front)
    try:
        for call, _ in calls.values():
            began = time.monotonic()
            with pytest.raises(aff.PolicyDenied) as denied:
                call()
            # What is beyond the budget is the record's writing on a busy machine.
            assert time.monotonic() - began < BUDGET_S + 1.0
            assert denied.value.decision.deny[0].rule in RULES[name]
    finally:
        end(front)
    assert ran == list(calls)
    recorded = [row for row in reader.decisions(limit=100) if row["id"] not in before]
    assert sorted(row["entrypoint"] for row in recorded) == sorted(e for _, e in calls.values())
    for row in recorded:
        decision = reader.decision(row["id"]).record["decision"]
        assert decision["allow"] is False
        assert {finding["rule"] for finding in decision["deny"]} <= RULES[name]
    for call, _ in calls.values():
        call()
    assert ran == [*calls, *calls]
    assert aff.verify_home(home).ok


@pytest.mark.real
def test_a_bundle_that_changes_on_the_server_is_followed_or_with_a_pin_refused(
    home, configure, tmp_path
):
    opa = Opa(tmp_path / "opa" / "bundle.tar.gz").start()
    try:
        reader = aff.Reader(home)

        @aff.data("people", purpose="research")
        def read():
            return pd.DataFrame({"age": [36]})

        def digest():
            newest = reader.decisions(limit=1)[0]["id"]
            return reader.decision(newest).record["decision"]["bundle_digest"]

        first = opa.bundle.digest
        configure(_settings(opa.port))
        read()
        assert digest() == first
        strict = {"purpose": {"datasets": {"people": {"purposes": ["audit"]}}}}
        second = opa.exchange(data=strict).digest
        with pytest.raises(aff.PolicyDenied, match=r"purpose\.not_permitted"):
            read()
        assert digest() == second != first
        configure(_settings(opa.port, f'bundle = "{first}"\n'))
        with pytest.raises(aff.PolicyDenied, match=r"engine\.bundle_mismatch"):
            read()
        assert digest() == second
        opa.exchange()
        read()
        assert digest() == first
    finally:
        opa.kill()
