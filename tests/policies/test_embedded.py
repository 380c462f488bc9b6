"""The embedded engine: loading, deadlines, memory, threads, processes."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import os
import pickle
import shutil
import signal
import threading
import time
import uuid
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opapywasm.abi import OpaAbi
from real import opa_binary

from affidavit.errors import ConfigurationError, PolicyEngineError
from affidavit.policies import EmbeddedEngine, _evaluation, build_packs
from affidavit.policies._canonical import canonical_input
from affidavit.policies._manifest import file_digest, load_folder, shipped


class Text(str):
    """No text that JSON writers agree about."""

    __slots__ = ()


class Colour(enum.Enum):
    RED = "red"


@pytest.fixture
def copied(tmp_path):
    """A copy of the shipped bundle that a test may spoil."""
    for name in ("policy.wasm", "manifest.json"):
        shutil.copyfile(shipped() / name, tmp_path / name)
    for name in ("sources", "data", "schemas"):
        for file in load_folder(shipped()).manifest[name]:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped() / file, tmp_path / file)
    return tmp_path


def test_somebody_who_configured_nothing_may_read_train_and_serve(embedded, request_for):
    model = {"kind": "model", "name": "credit-risk", "digest": "", "tags": []}
    for entrypoint, changes in {
        "affidavit/data_read": {},
        "affidavit/train": {"action": "model.train", "resource": model, "purpose": ""},
        "affidavit/serve": {"action": "model.serve", "resource": model, "purpose": ""},
        "affidavit/load": {"action": "model.load", "resource": model, "purpose": ""},
    }.items():
        assert embedded.decide(entrypoint, request_for(**changes)).allow, entrypoint
    promoting = request_for(action="model.promote", resource=model)
    assert not embedded.decide("affidavit/promote", promoting).allow


@pytest.mark.parametrize(
    "name", ["policy.wasm", "manifest.json", "packs/access/data.json", "packs/access/access.rego"]
)
def test_a_changed_byte_in_any_file_is_refused(copied, name):
    content = bytearray((copied / name).read_bytes())
    at = content.index(b"sha256:") + 10 if name == "manifest.json" else len(content) // 2
    content[at] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(PolicyEngineError):
        EmbeddedEngine(bundle=copied)


@pytest.mark.parametrize("name", ["policy.wasm", "manifest.json", "packs/access/data.json"])
def test_a_missing_file_is_refused(copied, name):
    (copied / name).unlink()
    with pytest.raises(PolicyEngineError, match="lacks"):
        EmbeddedEngine(bundle=copied)


def edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "affidavit-policy-manifest/2"},
        {"surplus": 1},
        {"entrypoints": {}},
        {"module": {"../policy.wasm": "sha256:0"}},
    ],
)
def test_a_manifest_of_another_form_is_refused(copied, changes):
    edit_manifest(copied, **changes)
    with pytest.raises(PolicyEngineError):
        EmbeddedEngine(bundle=copied)


@pytest.mark.parametrize(
    "changes",
    [{"builtins": ["time.now_ns"]}, {"entrypoints": {"affidavit/other": {"volatile": []}}}],
)
def test_a_module_that_is_not_what_the_manifest_says_is_never_asked(copied, request_for, changes):
    edit_manifest(copied, **changes)
    engine = EmbeddedEngine(bundle=copied)
    with pytest.raises(PolicyEngineError):
        engine.load()
    entrypoint = engine.entrypoints[0]
    decision = engine.decide(entrypoint, request_for())
    assert [finding.rule for finding in decision.deny] == ["engine.unloadable"]


def test_a_module_that_is_no_module_denies(copied, request_for):
    (copied / "policy.wasm").write_bytes(b"\0asm junk")
    edit_manifest(copied, module={"policy.wasm": file_digest(b"\0asm junk")})
    decision = EmbeddedEngine(bundle=copied).decide("affidavit/data_read", request_for())
    assert [finding.rule for finding in decision.deny] == ["engine.unloadable"]


SLOW = """package affidavit

# METADATA
# entrypoint: true
slow := {"allow": true, "deny": [], "warn": [], "obligations": []} if {
	some a in numbers.range(1, 3000)
	some b in numbers.range(1, 3000)
	a * b == -1
}

# METADATA
# entrypoint: true
large := {"allow": count(all) > 0, "deny": [], "warn": [], "obligations": []} if {
	all := numbers.range(1, 5000000)
}

# METADATA
# entrypoint: true
nothing := {"allow": true, "deny": [], "warn": [], "obligations": []} if input.never

# METADATA
# entrypoint: true
text := {"allow": "true", "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
unknown := {
	"allow": true, "deny": [], "warn": [],
	"obligations": [{"kind": "pray", "columns": [], "parameters": {}}],
}
"""


@pytest.mark.real
def test_rules_that_misbehave_deny_with_their_reason(tmp_path, request_for):
    packs = tmp_path / "source"
    packs.mkdir()
    (packs / "odd.rego").write_text(SLOW)
    (packs / "data.json").write_text("{}")
    build_packs(packs, tmp_path / "out", opa=opa_binary())
    roomy = EmbeddedEngine(bundle=tmp_path / "out", deadline_ms=150)
    engine = EmbeddedEngine(bundle=tmp_path / "out", memory_pages=64)
    expected = {
        "slow": "engine.timeout",
        "large": "engine.failed",
        "nothing": "engine.undefined",
        "text": "engine.malformed",
        "unknown": "engine.obligation_unknown",
        "absent": "engine.entrypoint_unknown",
    }
    for name, rule in expected.items():
        asked = roomy if name == "slow" else engine
        decision = asked.decide(f"affidavit/{name}", request_for())
        assert [finding.rule for finding in decision.deny] == [rule], name
        assert decision.duration_ns < 5e9
    # The same engine still decides after an evaluation was cut off.
    for asked in (roomy, engine):
        again = asked.decide("affidavit/text", request_for())
        assert [finding.rule for finding in again.deny] == ["engine.malformed"]


def test_threads_share_an_engine_and_get_their_own_answers(embedded, request_for):
    wrong = []

    def ask(number):
        for turn in range(15):
            column = f"c{number}-{turn}"
            tagged = [{"name": column, "tags": ["secret"]}]
            decision = embedded.decide("affidavit/data_read", request_for(columns=tagged))
            if [o.columns for o in decision.obligations] != [(column,)]:
                wrong.append((column, decision))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_decides_within_its_deadline(embedded, request_for):
    assert embedded.decide("affidavit/data_read", request_for()).allow
    child = os.fork()
    if child == 0:
        allowed = embedded.decide("affidavit/data_read", request_for()).allow
        os._exit(0 if allowed else 1)
    end = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert embedded.decide("affidavit/data_read", request_for()).allow


def test_an_engine_is_not_pickled(embedded):
    with pytest.raises(TypeError, match="each process"):
        pickle.dumps(embedded)


def test_data_of_the_organisation_change_decision_and_digest(embedded, request_for):
    tuned = EmbeddedEngine(
        data={"purpose": {"datasets": {"applications": {"purposes": ["audit"]}}}}
    )
    decision = tuned.decide("affidavit/data_read", request_for())
    assert [finding.rule for finding in decision.deny] == ["purpose.not_permitted"]
    assert decision.bundle_digest != embedded.bundle_digest
    assert EmbeddedEngine(data={}).bundle_digest == embedded.bundle_digest


def test_one_more_role_keeps_the_shipped_ones():
    added = {"permissions": [{"actions": ["data.read"], "tags": []}]}
    engine = EmbeddedEngine(data={"access": {"roles": {"guest": added}}})
    assert {"guest", "engineer", "auditor"} <= set(engine.data["access"]["roles"])


@pytest.mark.parametrize(
    "data",
    [
        {"acess": {}},
        {"access": {"defualt_role": "x"}},
        {"access": []},
        {"access": {"roles": []}},
        {"access": {"grants": [{"actor": "a"}]}},
        {"access": {"grants": [{"actor": "a", "role": "b", "expires": "tomorrow"}]}},
        {"access": {"grants": ["a"]}},
        {"promotion": {"max_age_days": "90"}},
        {"promotion": {"max_age_days": True}},
        {"promotion": {"max_age_days": float("nan")}},
        {"purpose": {"require_declared": "no"}},
        [],
    ],
)
def test_data_that_would_be_misread_are_refused(data):
    with pytest.raises(ConfigurationError):
        EmbeddedEngine(data=data)


@pytest.mark.parametrize("option", [{"deadline_ms": 0}, {"memory_pages": 1}, {"concurrency": 0}])
def test_unusable_limits_are_refused(option):
    with pytest.raises(ConfigurationError):
        EmbeddedEngine(**option)


def test_a_digest_key_hides_the_input(request_for):
    keyed = EmbeddedEngine(digest_key=b"k" * 32).decide("affidavit/data_read", request_for())
    other = EmbeddedEngine(digest_key=b"l" * 32).decide("affidavit/data_read", request_for())
    assert keyed.input_digest.startswith("hmac-sha256:")
    assert keyed.input_digest != other.input_digest


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
odd_values = st.sampled_from(
    [
        *(float("nan"), float("inf"), 2**53 + 1, -(2**60), "\ud800", b"a", {1}, (1, 2), {1: 2}),
        *(1.5, 1e16, uuid.UUID(int=1), Colour.RED, dt.date(2026, 1, 1), Text("a")),
    ]
)


@settings(max_examples=300, deadline=None)
@given(document=st.dictionaries(st.text(), plain_json | odd_values, max_size=4))
def test_there_is_one_canonical_form_whatever_writes_it(document):
    """What is written is what the standard library writes, or is refused."""
    try:
        written = canonical_input(document)
    except PolicyEngineError:
        assert any(not _unquestionable(value) for value in document.values())
        return
    separators = (",", ":")
    slow = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=separators)
    assert written == slow.encode()


def _unquestionable(value):
    if type(value) in {list, tuple}:
        return all(map(_unquestionable, value))
    if type(value) is dict:
        return all(type(k) is str and _unquestionable(v) for k, v in value.items())
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return abs(value) <= 2**53
    return type(value) in {str, bool, type(None)} and value != "\ud800"


@pytest.mark.parametrize("depth", [31, 32, 33])
def test_the_limit_of_depth_is_the_same_for_every_way_of_writing(depth):
    for leaf in ("a", 1.5):
        deep = leaf
        for _ in range(depth):
            deep = [deep]
        if depth < 32:
            assert canonical_input({"a": deep})
        else:
            with pytest.raises(PolicyEngineError):
                canonical_input({"a": deep})


def test_an_evaluation_leaves_nothing_to_the_next_however_large_it_was(embedded, request_for):
    fresh = EmbeddedEngine(concurrency=1, deadline_ms=60_000)
    small = request_for()
    expected = fresh.decide("affidavit/data_read", small)
    for size in (0, 10, 5000, 1, 8000, 0):
        columns = [{"name": f"c{n}", "tags": ["secret"]} for n in range(size)]
        wide = fresh.decide("affidavit/data_read", request_for(columns=columns))
        assert wide.allow
        assert sum(len(o.columns) for o in wide.obligations) == size
        again = fresh.decide("affidavit/data_read", small)
        assert (again.allow, again.obligations) == (expected.allow, expected.obligations)


def test_a_module_that_cannot_be_loaded_is_not_compiled_for_every_question(copied, request_for):
    edit_manifest(copied, builtins=["time.now_ns"])
    engine = EmbeddedEngine(bundle=copied)
    first = engine.decide("affidavit/data_read", request_for())
    begin = time.monotonic()
    for _ in range(100):
        again = engine.decide("affidavit/data_read", request_for())
        assert [f.rule for f in again.deny] == ["engine.unloadable"]
        assert again.deny[0].message == first.deny[0].message
    assert time.monotonic() - begin < 4


def test_the_deadline_includes_the_wait_for_other_evaluations(monkeypatch, request_for):
    engine = EmbeddedEngine(deadline_ms=1000, concurrency=1)
    engine.load()
    assert engine.decide("affidavit/data_read", request_for()).allow
    given = []

    def noted(self, ticks, _set=OpaAbi.set_epoch_deadline):
        given.append(ticks)
        return _set(self, ticks)

    monkeypatch.setattr(OpaAbi, "set_epoch_deadline", noted)
    for waited in (0.0, 0.75, 5.0):
        moments = iter([100.0, 100.0 + waited])
        clock = SimpleNamespace(monotonic=lambda moments=moments: next(moments))
        monkeypatch.setattr(_evaluation, "time", clock)
        engine.decide("affidavit/data_read", request_for())
    whole, quarter, least = given
    assert quarter == whole // 4
    assert least == 1
