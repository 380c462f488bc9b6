"""Any past decision is evaluated again from the log alone, and what cannot be says why."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter

import jsonschema
import pytest
from decided import MASK, PEOPLE, decide, events, other_bundle, refused, said
from spawned import FORBIDDEN

import affidavit as aff
from affidavit._context import current_actor, current_client
from affidavit._kept_bundles import BundleKeeper, kept_bundle
from affidavit._policy_diff import diff_policy, proposed_engine
from affidavit._replay import PastDecisions, replay, since_moment
from affidavit.errors import (
    ConfigurationError,
    LedgerCorruptError,
    LedgerUnavailableError,
    NotFoundError,
)
from affidavit.lineage import (
    POLICY_BUNDLE,
    PayloadVault,
    Resource,
    Statement,
    new_id,
    parse_entry,
    record_bytes,
    schema_for,
)
from affidavit.policies import Decision, open_bundle


def counts(home, **chosen):
    decisions = PastDecisions(home)
    found = replay(home, decisions, decisions.every(**chosen))
    return dict(Counter(one.status for one in found)), found


@pytest.fixture
def decided(home, configure):
    configure(PEOPLE + MASK)
    decide(40)
    return home


def bundle_of_the_log(home):
    reader = aff.Reader(home)
    (row,) = reader.statements(kind="policy-bundle")
    return reader.statement(int(row["entry"])), int(row["entry"])


def kept_file(home):
    statement, _ = bundle_of_the_log(home)
    digest = statement.predicate["outputs"][0]["digest"]["sha256"]
    return home.folder / "artifacts" / digest[:2] / digest


# Ten thousand decisions


def test_ten_thousand_decisions_are_replayed_alike_and_another_bundle_changes_just_some(
    home, configure, tmp_path, record_property
):
    configure(PEOPLE + MASK)
    decide(10_000, tables=3)
    decisions = PastDecisions(home)
    pasts = decisions.every()
    assert len(pasts) == 10_000
    began = time.perf_counter()
    found = replay(home, decisions, pasts)
    record_property("seconds to replay 10,000", time.perf_counter() - began)
    assert Counter(one.status for one in found) == {"agrees": 10_000}
    facts = [past.facts for past in pasts]
    assert len({one.entrypoint for one in facts}) == 4
    assert min(Counter(one.allow for one in facts).values()) > 900
    assert sum("erased" in past.record for past in pasts) > 2000
    assert sum(bool(one.result["obligations"]) for one in facts) > 150
    assert sum("writer" in past.record for past in pasts) > 8000
    # What another bundle changes is known from the inputs: it prohibits one more purpose.
    archive = tmp_path / "other.tar.gz"
    prohibited = [*open_bundle().data["purpose"]["prohibited"], "research"]
    other_bundle(archive, purpose={"prohibited": prohibited})
    changed = diff_policy(decisions, pasts, proposed_engine(archive))
    about = [past.facts for past in pasts if past.record["input"]["purpose"] == "research"]
    assert {one.past.facts.id for one in changed.changes} == {facts.id for facts in about}
    allowed = sum(facts.allow for facts in about)
    kinds = Counter(one.change for one in changed.changes)
    assert kinds == {"allow to deny": allowed, "other reasons": len(about) - allowed}
    assert ("purpose.prohibited", "allow to deny", allowed) in changed.by_rule()
    assert all("purpose.prohibited" in one.rules for one in changed.changes)
    assert (changed.compared, changed.skipped) == (10_000, ())


# The record


def test_a_record_has_the_names_of_opas_decision_log_and_fits_its_schema(decided):
    check = jsonschema.Draft202012Validator(schema_for("decision"))
    records = events(decided)
    assert {record["path"] for record in records} == {
        "affidavit/data_read", "affidavit/serve", "affidavit/train", "affidavit/promote",
    }  # fmt: skip
    for record in records:
        check.validate(record)
        own = set(record) - {"record", "writer", "number"}
        assert own <= {
            "labels", "decision_id", "bundles", "path", "input", "result", "erased", "masked",
            "requested_by", "timestamp", "metrics", "custom",
        }  # fmt: skip
        assert set(record["result"]) == {"allow", "deny", "warn", "obligations"}
        assert record["labels"]["id"] == decided.verifier.name


def test_a_masked_value_is_in_no_record_and_the_digest_is_of_the_whole_input(decided):
    masked = [record for record in events(decided) if "erased" in record]
    assert masked
    for record in masked:
        roles = record["input"]["actor"]["roles"]
        assert roles == [] or record["erased"] == ["/input/columns/0/tags"]
        assert record["custom"]["sealed"]
    found, replayed = counts(decided)
    assert found == {"agrees": len(replayed)}


def test_addresses_and_attributes_are_sealed_by_default_and_go_with_the_person(
    home, configure, cli
):
    configure('[people]\n"ada" = {roles = ["service"], attributes = {desk = "branch-nineteen"}}\n')
    with aff.run("model") as run:
        run.produce(b"model", "model.pickle")
    serve = aff.serve("model", purpose="research", subject="person")(lambda _: 1)
    addresses = ["203.0.113.7", "203.0.113.8"]
    for actor, address in zip(["ada", "ada"], addresses, strict=True):
        tokens = current_actor.set(actor), current_client.set(address)
        serve({"person": "jane"})
        current_actor.reset(tokens[0])
        current_client.reset(tokens[1])
    records = [record for record in events(home) if record["path"] == "affidavit/serve"]
    assert len(records) == 2
    for record in records:
        assert record["erased"] == ["/input/client/address", "/input/actor/attributes"]
        assert len(record["custom"]["sealed"]) == 2
    decisions = PastDecisions(home)
    pasts = decisions.every(entrypoint="affidavit/serve")
    inputs = [decisions.opened(past)[0] for past in pasts]
    assert [document["client"]["address"] for document in inputs] == addresses
    assert inputs[0]["actor"]["attributes"] == {"desk": "branch-nineteen"}
    assert set(counts(home)[0]) == {"agrees"}
    assert cli("erase", "jane", "--reason", "request 3")[0] == 0
    assert counts(home, entrypoint="affidavit/serve")[0] == {"erased": 2}
    stored = b"".join(path.read_bytes() for path in home.folder.rglob("*") if path.is_file())
    assert not [word for word in (*addresses, "branch-nineteen") if word.encode() in stored]


@pytest.mark.parametrize("mode", ["block", "warn", "spool"])
def test_a_bundle_that_cannot_be_noted_blocks_or_leaves_a_gap(
    home, configure, monkeypatch, mode, recwarn
):
    configure(f'[affidavit]\non_error = "{mode}"\n')
    with aff.run("model") as run:
        run.produce(b"model", "model.pickle")

    def unreadable(*_):
        raise LedgerUnavailableError("the store is away")

    served = aff.serve("model", purpose="research")(lambda _: 5)
    with monkeypatch.context() as patched:
        patched.setattr("affidavit._kept_bundles._outcomes", unreadable)
        if mode == "block":
            with pytest.raises(LedgerUnavailableError, match="away"):
                served({"x": 1})
            return
        assert served({"x": 1}) == 5
    assert any("policy bundle" in str(warning.message) for warning in recwarn)
    with aff.run("later"):
        pass
    assert any("policy bundle" in row["name"] for row in aff.Reader(home).statements(kind="gap"))


def test_each_way_of_recording_gives_the_same_record(home, configure):
    shapes = []
    for durability in ("process", "log"):
        configure(f'[affidavit]\ndurability = "{durability}"\n' + PEOPLE + MASK)
        with aff.run("model") as run:
            run.produce(b"model", "model.pickle")
        for actor in ("ada", "eve"):
            token = current_actor.set(actor)
            aff.serve("model", purpose="research", subject="p")(lambda _: 1)({"p": "jane"})
            current_actor.reset(token)
            record = dict(events(home)[-1])
            shapes.append(
                {
                    key: sorted(value) if isinstance(value, dict) else type(value)
                    for key, value in record.items()
                    if key not in {"writer", "number", "metrics"}
                }
            )
    assert shapes[0] == shapes[2]
    assert shapes[1] == shapes[3]
    assert "erased" in shapes[0]
    assert "erased" not in shapes[1]


def test_an_input_that_no_entry_can_hold_is_kept_beside_and_replayed(home, configure):
    columns = {f"column {number}": ["personal"] for number in range(3000)}

    @aff.data("wide", purpose="research", columns=columns)
    def read():
        raise AssertionError("it is denied or fails after the decision")

    with pytest.raises((AssertionError, aff.PolicyDenied)):
        read()
    (record,) = events(home)[-1:]
    assert "input" not in record
    assert record["custom"]["resource"] == "wide"
    assert aff.Reader(home).decisions(resource="wide")
    assert counts(home)[0] == {"agrees": len(events(home))}
    digest = record["custom"]["input_artifact"].removeprefix("sha256:")
    (home.folder / "artifacts" / digest[:2] / digest).write_bytes(b"{}")
    found, replayed = counts(home)
    assert found["unverifiable"] == 1
    assert "changed on disk" in next(r.reason for r in replayed if r.status == "unverifiable")


# The bundle


def test_the_bundle_is_signed_into_the_log_before_the_first_decision_under_it(decided):
    statement, entry = bundle_of_the_log(decided)
    first = next(
        index
        for index, body in decided.ledger.entries()
        if isinstance(record := parse_entry(body), dict) and record["record"] == "decision"
    )
    assert entry < first
    schema = schema_for(statement.predicate_type)
    jsonschema.Draft202012Validator(schema).validate(json.loads(statement.to_bytes())["predicate"])
    revisions = {record["bundles"]["affidavit"]["revision"] for record in events(decided)}
    assert revisions == {statement.predicate["revision"]}
    assert kept_bundle(decided, statement.predicate["revision"]).digest in revisions


def test_other_data_leave_a_trace_and_each_decision_is_replayed_by_its_own_rules(
    decided, configure, tmp_path
):
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"purpose": {"prohibited": ["research"]}}))
    configure('[policy]\ndata = "data.json"\n' + PEOPLE)
    served = aff.serve("model", purpose="research")(lambda _: 1)
    assert "research" in refused(served, {"x": 1}).casefold()
    assert len(aff.Reader(decided).statements(kind="policy-bundle")) == 2
    found, replayed = counts(decided)
    assert found == {"agrees": len(replayed)}
    assert not replayed[-1].past.facts.allow
    # Today's settings decide nothing about the past.
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')
    assert counts(decided)[0] == found


def test_a_missing_bundle_is_named_and_can_be_supplied(decided, cli, tmp_path):
    path = kept_file(decided)
    archive = tmp_path / "kept.tar.gz"
    archive.write_bytes(path.read_bytes())
    path.unlink()
    found, replayed = counts(decided)
    assert found == {"missing": len(replayed)}
    assert "its file is gone" in replayed[0].reason
    code, out, _ = cli("policy", "replay", "--all", "--json")
    assert code == 4
    assert said(out)["decisions"][0]["reason"]
    code, out, _ = cli("policy", "keep", archive, "--json")
    assert (code, said(out)["ok"]) == (0, True)
    assert counts(decided)[0] == {"agrees": len(replayed)}
    assert cli("policy", "replay", "--all")[0] == 0


def test_a_tampered_archive_is_not_replayed_by(decided):
    path = kept_file(decided)
    path.write_bytes(path.read_bytes() + b"\0")
    found, replayed = counts(decided)
    assert found == {"unverifiable": len(replayed)}
    assert "changed on disk" in replayed[0].reason
    assert not aff.verify_home(decided).ok


def test_another_bundle_under_the_same_digest_is_refused(decided, tmp_path):
    archive = tmp_path / "other.tar.gz"
    other_bundle(archive, purpose={"prohibited": []})
    statement, _ = bundle_of_the_log(decided)
    kept = decided.artifacts.put(archive.read_bytes())
    outputs = [Resource("bundle.tar.gz", kept, annotations={"kept": True}).to_json()]
    lie = Statement(statement.subjects, POLICY_BUNDLE, {**statement.predicate, "outputs": outputs})
    decided.record(lie)
    kept_file_of_first = kept_bundle(decided, statement.predicate["revision"])
    assert kept_file_of_first.digest == statement.predicate["revision"]
    digest = statement.predicate["outputs"][0]["digest"]["sha256"]
    (decided.folder / "artifacts" / digest[:2] / digest).unlink()
    found, replayed = counts(decided)
    assert found == {"unverifiable": len(replayed)}
    assert "has the digest" in replayed[0].reason


def test_a_server_with_a_bundle_of_its_own_is_noted_and_its_decisions_wait_for_it(home):
    decision = Decision(
        allow=True, deny=(), warn=(), obligations=(), entrypoint="affidavit/serve",
        engine="opa-server", engine_version="1.22.0", bundle_digest="release 7",
        input_digest="", duration_ns=1,
    )  # fmt: skip
    keeper = BundleKeeper.of(home)
    (statement,) = keeper.statements(aff.load_settings(), object(), decision)
    assert statement.predicate["outcome"] == "not kept"
    assert "outputs" not in statement.predicate
    home.record(statement)
    assert keeper.statements(aff.load_settings(), object(), decision) == ()
    with pytest.raises(NotFoundError, match="release 7"):
        kept_bundle(home, "release 7")


# What is wrong, each by its name


def test_a_changed_record_stops_the_replay_before_anything_is_evaluated(decided, cli):
    row = aff.Reader(decided).decisions(allow=False, limit=1)[0]
    body = decided.ledger.entry(row["entry"])
    decided.close()
    store = sqlite3.connect(decided.folder / "ledger.db")
    changed = body.replace(b'"allow":false', b'"allow":true')
    store.execute("UPDATE entry SET body = ? WHERE entry = ?", (changed, row["entry"]))
    store.commit()
    store.close()
    with pytest.raises(LedgerCorruptError, match="not those"):
        counts(aff.open_home(decided.folder))
    code, out, _ = cli("policy", "replay", row["id"], "--json")
    assert code != 0
    assert said(out)["error"]["code"] == "ProofError"


def test_an_edited_index_does_not_pass_one_decision_off_as_another(decided, cli):
    first, second = aff.Reader(decided).decisions(limit=2)
    decided.close()
    store = sqlite3.connect(decided.folder / "ledger.db")
    store.execute("UPDATE decision SET id = 'x' WHERE id = ?", (first["id"],))
    store.execute("UPDATE decision SET id = ? WHERE id = ?", (first["id"], second["id"]))
    store.commit()
    store.close()
    code, out, _ = cli("policy", "replay", first["id"], "--json")
    assert code != 0
    assert "index says" in said(out)["error"]["message"]


def test_an_erased_input_is_no_failure_of_agreement(decided, cli):
    jane = next(r for r in events(decided) if r.get("erased") and r["path"] == "affidavit/serve")
    code, _, _ = cli("erase", "person 0", "--reason", "request 12")
    assert code == 0
    found, replayed = counts(decided)
    assert set(found) == {"agrees", "erased"}
    gone = next(one for one in replayed if one.status == "erased")
    assert gone.reason == "It cannot be replayed: its masked input was erased."
    code, out, _ = cli("policy", "replay", gone.past.facts.id, "--json")
    assert (code, said(out)["counts"]) == (4, {"erased": 1})
    assert aff.verify_home(decided).ok
    assert jane["custom"]["sealed"]


def test_a_sealed_input_that_is_gone_without_an_erasure_is_missing(decided):
    decided.close()
    store = sqlite3.connect(decided.folder / "ledger.db")
    store.execute("DELETE FROM payload")
    store.commit()
    store.close()
    found, _ = counts(aff.open_home(decided.folder))
    assert found["missing"] > 0
    assert "erased" not in found


def test_a_sealed_input_of_another_decision_does_not_open(decided):
    masked = [record["decision_id"] for record in events(decided) if record.get("erased")][:2]
    decided.close()
    store = sqlite3.connect(decided.folder / "ledger.db")
    rows = dict(store.execute("SELECT id, sealed FROM payload"))
    store.execute("UPDATE payload SET sealed = ? WHERE id = ?", (rows[masked[1]], masked[0]))
    store.commit()
    store.close()
    found, replayed = counts(aff.open_home(decided.folder))
    assert found["unverifiable"] == 1
    assert "cannot be opened" in next(r.reason for r in replayed if r.status == "unverifiable")


def test_another_master_key_is_not_taken_for_another_input(decided):
    # The digests' key comes from it: with another one, no digest can be the recorded one.
    decided.__dict__["vault"] = PayloadVault(b"x" * 32)
    found, replayed = counts(decided)
    assert found == {"unverifiable": len(replayed)}


def test_a_denial_that_no_rules_gave_is_said_to_be_one(home, configure, cli):
    with aff.run("model") as run:
        run.produce(b"model", "model.pickle")
    configure('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')
    refused(aff.serve("model")(lambda _: 1), {"x": 1})
    found, replayed = counts(home)
    assert found == {"agrees": 1, "undecided": 1}
    assert "engine." in replayed[-1].reason
    assert cli("policy", "replay", "--all")[0] == 0


def test_an_answer_that_the_kept_rules_do_not_give_differs(decided, cli):
    record = next(r for r in events(decided) if not r["result"]["allow"] and "erased" not in r)
    fields = {k: v for k, v in record.items() if k not in {"record", "writer", "number"}}
    forged = {
        **fields,
        "decision_id": new_id(),
        "result": {"allow": True, "deny": [], "warn": [], "obligations": []},
    }
    # The input names the decision: with it, nothing but the answer is otherwise.
    decided.record(record_bytes("decision", forged))
    code, out, _ = cli("policy", "replay", forged["decision_id"], "--json")
    (one,) = said(out)["decisions"]
    assert (code, one["status"]) == (1, "differs")
    assert one["recorded"]["allow"] is True
    assert one["replayed"]["allow"] is False


# The commands


def test_decisions_are_chosen_by_id_moment_and_entry_point(decided, cli):
    records = events(decided)
    middle = records[20]["timestamp"]
    code, out, _ = cli("policy", "replay", "--since", middle, "--json")
    assert code == 0
    assert len(said(out)["decisions"]) == sum(r["timestamp"] >= middle for r in records)
    code, out, _ = cli("policy", "replay", "--entrypoint", "affidavit/train", "--json")
    trained = [r["decision_id"] for r in records if r["path"] == "affidavit/train"]
    assert [one["id"] for one in said(out)["decisions"]] == trained
    code, out, _ = cli("policy", "replay", trained[0])
    assert (code, out.splitlines()[0]) == (0, "1 replayed: agrees 1")
    assert cli("policy", "replay")[0] == 2
    assert cli("policy", "replay", "--all", trained[0])[0] == 2
    assert cli("policy", "replay", "0" * 32)[0] != 0
    with pytest.raises(ConfigurationError, match="no moment"):
        since_moment("yesterday")


def test_the_diff_names_decisions_rules_and_kinds_of_change(decided, cli, tmp_path):
    archive, data = tmp_path / "new.tar.gz", tmp_path / "new.json"
    other_bundle(archive)
    code, out, _ = cli("policy", "diff", "--bundle", archive, "--all", "--json")
    assert (code, said(out)["changed"], said(out)["compared"]) == (0, 0, len(events(decided)))
    data.write_text(json.dumps({"purpose": {"prohibited": []}}))
    code, out, _ = cli("policy", "diff", "--bundle", archive, "--data", data, "--all", "--json")
    found = said(out)
    forbidden = [
        r["decision_id"] for r in events(decided) if r["input"].get("purpose") == FORBIDDEN
    ]
    assert (code, found["counts"]) == (1, {"deny to allow": len(forbidden)})
    assert [one["id"] for one in found["changes"]] == forbidden
    assert found["rules"][0]["rule"] == "purpose.prohibited"
    code, out, _ = cli("policy", "diff", "--bundle", archive, "--data", data, forbidden[0])
    assert code == 1
    assert "1 of 1 decisions would be otherwise" in out
    assert cli("policy", "diff", "--bundle", tmp_path / "none", "--all")[0] != 0
