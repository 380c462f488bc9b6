"""Keys that come, go and are revoked, by log index: what each statement is worth."""

from __future__ import annotations

import base64
import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from logs import approval, dataset
from trust_logs import EcKey, TrustLog

from affidavit.errors import EnvelopeError
from affidavit.lineage import (
    TRUST_ROOT,
    Envelope,
    PublicKey,
    Revocation,
    SigningKey,
    Statement,
    TrustedKey,
    TrustRoot,
    parse_entry,
    schema_for,
)

ADA = "ada@example.org"


@pytest.fixture
def log(tmp_path):
    made = TrustLog(tmp_path)
    yield made
    made.ledger.close()


def errors(log):
    return {fault.index: fault.code for fault in log.verify().errors}


def distrusted(log):
    return [fault.index for fault in log.verify().distrusted]


@pytest.mark.parametrize("kind", [SigningKey, EcKey])
def test_a_rotated_key_signs_nothing_more_and_what_it_signed_stays(log, kind):
    old, new = kind.generate(), kind.generate()
    log.enrol("pipeline", old)
    before = log.say(dataset(1), old)
    log.put(
        log.root.without_key(old.keyid).with_key(
            TrustedKey("pipeline", new.public, frozenset({"recorder"}))
        )
    )
    after, fresh = log.say(dataset(2), old), log.say(dataset(3), new)
    assert errors(log) == {after: "statement-invalid"}
    assert distrusted(log) == []
    assert [log.accepted(index) for index in (before, after, fresh)] == [True, False, True]


def test_a_revocation_reaches_back_to_the_entry_that_it_names(log):
    key = SigningKey.generate()
    log.enrol("pipeline", key)
    good, bad, worse = (log.say(dataset(n), key) for n in range(3))
    root = log.put(
        log.root.without_key(key.keyid), Revocation(key.keyid, "pipeline", "stolen laptop", bad)
    )
    report = log.verify()
    assert report.ok, "the log itself holds"
    assert [fault.index for fault in report.distrusted] == [bad, worse]
    fault = report.distrusted[0]
    assert fault.code == "statement-revoked"
    assert "stolen laptop" in fault.message
    assert f"entry {root} revokes from entry {bad} on" in fault.message
    assert report.to_dict()["distrusted"][0] == fault.to_dict()
    assert [log.accepted(index) for index in (good, bad, worse)] == [True, False, False]


def test_a_revocation_without_an_index_holds_from_its_own_entry_on(log):
    key = SigningKey.generate()
    log.enrol("pipeline", key)
    before = log.say(dataset(1), key)
    log.put(log.root.without_key(key.keyid), Revocation(key.keyid, "pipeline", "left the team"))
    after = log.say(dataset(2), key)
    assert errors(log) == {after: "statement-invalid"}
    assert distrusted(log) == []
    assert log.accepted(before)


def test_no_later_trust_root_hides_a_revocation(log):
    key = SigningKey.generate()
    log.enrol("pipeline", key)
    bad = log.say(dataset(1), key)
    listed = log.root
    log.put(log.root.without_key(key.keyid), Revocation(key.keyid, "pipeline", "stolen", bad))
    log.put(log.root)  # says nothing about it
    log.put(log.root, Revocation(key.keyid, "pipeline", "never mind", bad + 1))  # says less
    assert distrusted(log) == [bad]
    assert "stolen" in log.verify().distrusted[0].message
    assert not log.accepted(bad)
    again = log.put(listed)  # lists the key once more
    assert errors(log) == {again: "statement-invalid"}
    assert log.say(dataset(2), key) in errors(log), "the trust root before it stays in force"
    assert distrusted(log) == [bad]
    assert not log.accepted()


def test_a_later_trust_root_can_move_a_revocation_back(log):
    key = SigningKey.generate()
    log.enrol("pipeline", key)
    first, second = log.say(dataset(1), key), log.say(dataset(2), key)
    log.put(log.root.without_key(key.keyid), Revocation(key.keyid, "pipeline", "stolen", second))
    assert distrusted(log) == [second]
    log.put(log.root, Revocation(key.keyid, "pipeline", "stolen earlier", first))
    assert distrusted(log) == [first, second]


def test_the_findings_are_counted_where_there_are_too_many(log):
    key = SigningKey.generate()
    log.enrol("pipeline", key)
    body = dataset(1).sign(key).to_bytes()
    log.ledger.append([body] * 130)
    log.put(log.root.without_key(key.keyid), Revocation(key.keyid, "pipeline", "stolen", 0))
    report = log.verify()
    assert (len(report.distrusted), report.more_distrusted) == (100, 30)


def bad_roots(log, key):
    """(name, trust root, revocations) of trust roots that must not come in force."""
    root, mine = log.root, Revocation(key.keyid, "pipeline", "stolen")
    without = root.without_key(key.keyid)
    pinned = Revocation(log.log.keyid, "log", "stolen")
    mallory = TrustedKey("mallory", key.public, frozenset({"recorder"}))
    return {
        "lists what it revokes": (root, [mine]),
        "revokes the log's own key": (without, [pinned]),
        "reaches into the future": (without, [dataclasses.replace(mine, since=1000)]),
        "revokes a key twice": (without, [mine, dataclasses.replace(mine, since=0)]),
        "gives the key to another": (root.with_key(mallory), []),
        "takes the log key out": (root.without_key(log.log.keyid), []),
        "is of another log": (TrustRoot("elsewhere.test/log", root.keys), []),
    }


@pytest.mark.parametrize(
    "name",
    [
        "lists what it revokes",
        "revokes the log's own key",
        "reaches into the future",
        "revokes a key twice",
        "gives the key to another",
        "takes the log key out",
        "is of another log",
    ],
)
def test_a_trust_root_that_contradicts_itself_or_the_log_is_refused(log, name):
    key = SigningKey.generate()
    log.enrol("pipeline", key)
    before = log.root
    root, revoked = bad_roots(log, key)[name]
    index = log.put(root, *revoked)
    log.root = before
    signed = log.say(dataset(1), key)
    assert errors(log) == {index: "statement-invalid"}, "and what it says is not in force"
    assert distrusted(log) == []
    assert not log.accepted(signed)


def test_only_the_logs_key_revokes(log):
    key, thief = SigningKey.generate(), SigningKey.generate()
    log.enrol("pipeline", key)
    log.enrol("thief", thief)
    signed = log.say(dataset(1), key)
    gone = Revocation(key.keyid, "pipeline", "a rival", 0)
    index = log.put(log.root.without_key(key.keyid), gone, key=thief)
    assert errors(log) == {index: "statement-invalid"}
    assert distrusted(log) == []
    log.roots.remove(index)
    assert log.accepted(signed)


def forged(log, change):
    """A trust root whose JSON was changed before the log's key signed it."""
    statement = log.root.statement(actor="log", time="2026-11-21T08:00:00.000Z", note="x")
    predicate = json.loads(json.dumps(dict(statement.predicate)))
    change(predicate)
    body = Statement(statement.subjects, TRUST_ROOT, predicate).sign(log.log).to_bytes()
    (index,) = log.ledger.append([body])
    log.roots.append(index)
    return index, predicate


def _ec(predicate):
    return next(key for key in predicate["keys"] if "ecdsa-sha2-nistp256" in key)


def _point(change):
    def apply(predicate):
        key = _ec(predicate)
        raw = change(base64.b64decode(key["ecdsa-sha2-nistp256"]))
        key["ecdsa-sha2-nistp256"] = base64.b64encode(raw).decode()
        key["keyid"] = PublicKey(raw, "ecdsa-sha2-nistp256").keyid

    return apply


def _gone(**more):
    return lambda p: p.update(revoked=[{"keyid": "0" * 64, "identity": "x", "reason": "y", **more}])


MALFORMED = {
    "a compressed point": _point(lambda raw: bytes([2 + raw[64] % 2]) + raw[1:33]),
    "a hybrid point": _point(lambda raw: bytes([6 + raw[64] % 2]) + raw[1:]),
    "a point off the curve": _point(lambda raw: raw[:64] + bytes([raw[64] ^ 1])),
    "the point at infinity": _point(lambda raw: b"\x00"),
    "a point with a tail": _point(lambda raw: raw + b"\x00"),
    "another scheme": lambda p: _ec(p).update(rsa=_ec(p).pop("ecdsa-sha2-nistp256")),
    "two schemes": lambda p: _ec(p).update(ed25519=base64.b64encode(bytes(32)).decode()),
    "no scheme": lambda p: _ec(p).pop("ecdsa-sha2-nistp256"),
    "an EC key for the log": lambda p: _ec(p).update(roles=["log"]),
    "an EC key for a witness": lambda p: _ec(p).update(roles=["witness"]),
    "an unknown role": lambda p: _ec(p).update(roles=["king"]),
    "a wrong key id": lambda p: _ec(p).update(keyid="0" * 64),
    "a small Ed25519 key": lambda p: p["keys"].append(
        {
            "identity": "x",
            "keyid": PublicKey(bytes(32)).keyid,
            "ed25519": base64.b64encode(bytes(32)).decode(),
            "roles": ["recorder"],
        }
    ),
    "no identity": lambda p: _ec(p).update(identity=""),
    "an empty list of revocations": lambda p: p.update(revoked=[]),
    "a revocation without a reason": _gone(reason=""),
    "a revocation of a half key id": _gone(keyid="00"),
    "a revocation from a text on": _gone(since="1"),
    "a revocation from a truth value on": _gone(since=True),
    "a revocation from before the log": _gone(since=-1),
    "a revocation that says more": _gone(until=9),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_trust_root_is_refused_by_both_verifiers_and_the_schema(log, name):
    log.enrol("token", EcKey.generate())
    index, predicate = forged(log, MALFORMED[name])
    assert errors(log) == {index: "statement-invalid"}
    assert not log.accepted()
    # The schema knows no curves and no sums.
    if name not in {"a point off the curve", "a wrong key id", "a small Ed25519 key"}:
        validator = Draft202012Validator(schema_for(TRUST_ROOT))
        assert list(validator.iter_errors(predicate)), "the schema lets it through"


def test_the_schema_describes_what_is_written(log):
    key = SigningKey.generate()
    log.enrol("token", EcKey.generate())
    log.enrol("pipeline", key)
    log.put(log.root.without_key(key.keyid), Revocation(key.keyid, "pipeline", "stolen", 1))
    log.put(log.root, Revocation("1" * 64, "pipeline", "stolen"))
    validator = Draft202012Validator(schema_for(TRUST_ROOT))
    for index in log.roots:
        _, statement = parse_entry(log.ledger.entry(index))
        validator.validate(dict(statement.predicate))
        assert (
            TrustRoot.parse(statement).statement(
                actor="log", time="2026-11-21T08:00:00.000Z", note="changed"
            )
            == statement
        )


def test_the_scheme_comes_from_the_trust_root_and_not_from_the_envelope(log):
    token = EcKey.generate()
    log.enrol("token", token)
    good = log.say(dataset(1), token)
    statement = dataset(2).sign(token)
    # An Ed25519 signature under the EC key's id, and the EC signature under an Ed25519 key's.
    crossed = [
        dataclasses.replace(statement, signatures=((token.keyid, log.scribe.sign(b"x")),)),
        dataclasses.replace(
            statement, signatures=((log.scribe.keyid, statement.signatures[0][1]),)
        ),
    ]
    bad = log.ledger.append([envelope.to_bytes() for envelope in crossed])
    value = json.loads(statement.to_bytes())
    value["signatures"][0]["scheme"] = "ed25519"
    with pytest.raises(EnvelopeError, match="keyid and sig, no more"):
        Envelope.parse(json.dumps(value).encode())
    assert errors(log) == dict.fromkeys(bad, "statement-invalid")
    assert log.accepted(good)
    assert not any(log.accepted(index) for index in bad)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 71 * 8 - 1))
def test_any_bit_of_an_ec_signature_counts(bit):
    token = EcKey.generate()
    statement = dataset(1).sign(token)
    raw = bytearray(statement.signatures[0][1])
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    changed = dataclasses.replace(statement, signatures=((token.keyid, bytes(raw)),))
    with pytest.raises(EnvelopeError, match="does not verify"):
        changed.verify({token.keyid: token.public}.get)


# -- any history -----------------------------------------------------------------------------

PEOPLE = ["ada@example.org", "bob@example.org", "pipeline"]
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("enrol"),
            st.sampled_from(PEOPLE),
            st.sampled_from(["recorder", "approver"]),
            st.booleans(),
        ),
        st.tuples(st.just("rotate"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("retire"), st.integers(0, 9)),
        st.tuples(st.just("restore"), st.integers(0, 9)),
        st.tuples(st.just("revoke"), st.integers(0, 9), st.one_of(st.none(), st.integers(0, 30))),
        st.tuples(st.just("dataset"), st.integers(0, 9)),
        st.tuples(st.just("approval"), st.integers(0, 9), st.sampled_from([None, *PEOPLE])),
    ),
    min_size=1,
    max_size=14,
)


class Model:
    """What each statement is worth, said as simply as it can be."""

    def __init__(self):
        self.keys = []  # (key, identity, role)
        self.force = set()  # numbers of keys
        self.revoked = {}  # number -> first entry
        self.invalid = set()
        self.signed = []  # (entry, number) of valid statements

    def pick(self, number):
        return number % len(self.keys) if self.keys else None

    def distrusted(self):
        return {at for at, n in self.signed if n in self.revoked and at >= self.revoked[n]}

    def root(self, log):
        found = TrustRoot(log.root.origin)
        for key in (log.log, log.scribe):
            found = found.with_key(log.root.keys[key.keyid])
        for n in self.force:
            key, identity, role = self.keys[n]
            found = found.with_key(TrustedKey(identity, key.public, frozenset({role})))
        return found


def play(log, model, step):
    what, *rest = step
    if what == "enrol":
        identity, role, hardware = rest
        model.keys.append(((EcKey if hardware else SigningKey).generate(), identity, role))
        model.force.add(len(model.keys) - 1)
        log.put(model.root(log))
        return
    n = model.pick(rest[0])
    if n is None:
        return
    key, identity, role = model.keys[n]
    if what == "rotate":
        model.keys.append(((EcKey if rest[1] else SigningKey).generate(), identity, role))
        model.force = (model.force - {n}) | {len(model.keys) - 1}
        log.put(model.root(log))
    elif what == "retire":
        model.force -= {n}
        log.put(model.root(log))
    elif what == "restore" and n not in model.revoked:
        model.force |= {n}
        log.put(model.root(log))
    elif what == "revoke":
        model.force -= {n}
        size = log.ledger.head().size
        since = None if rest[1] is None else min(rest[1], size)
        log.put(model.root(log), Revocation(key.keyid, identity, "stolen", since))
        at = size if since is None else since
        model.revoked[n] = min(at, model.revoked.get(n, at))
    elif what in {"dataset", "approval"}:
        said = dataset(n) if what == "dataset" else approval(rest[1] or identity)
        entry = log.say(said, key)
        allowed = n in model.force and role == ("recorder" if what == "dataset" else "approver")
        if allowed and (what == "dataset" or said.predicate["actor"] == identity):
            model.signed.append((entry, n))
        else:
            model.invalid.add(entry)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_whatever_happened_to_the_keys_both_verifiers_say_what_a_simple_model_says(script):
    with tempfile.TemporaryDirectory() as folder:
        log, model = TrustLog(Path(folder)), Model()
        for step in script:
            play(log, model, step)
        report = log.verify()
        assert {fault.index for fault in report.errors} == model.invalid
        assert {fault.index for fault in report.distrusted} == model.distrusted()
        for entry, _ in model.signed:
            assert log.accepted(entry) == (entry not in model.distrusted())
        for entry in model.invalid:
            assert not log.accepted(entry)
        log.ledger.close()
