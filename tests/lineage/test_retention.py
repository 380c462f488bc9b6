"""What was pruned is gone, everything else proves as before, and nothing else may be missing."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import ORIGIN, TIME, approval, dataset, start

from affidavit.errors import EnvelopeError, LedgerCorruptError, LedgerError, NotFoundError
from affidavit.lineage import (
    ERASURE,
    HOLD,
    RETENTION,
    Checkpoint,
    PayloadVault,
    Resource,
    RetentionRule,
    SigningKey,
    Statement,
    apply_retention,
    build_bundle,
    erase_subject,
    open_checkpoint,
    parse_entry,
    plan_retention,
    prove_entry,
    prove_extension,
    record_bytes,
    record_id,
    record_time,
    reindex,
    retention_facts,
    schema_for,
    scrub,
    timestamp,
    verify_bundle,
)
from affidavit.lineage import _retention as module
from affidavit.lineage._pruned import Retention, Runs

VAULT = PayloadVault(bytes(range(32)))
DAY = timedelta(days=1)
NOW = datetime.fromisoformat(TIME) + 200 * DAY
PEOPLE = [VAULT.pseudonym(name) for name in ("ada", "bob", "cy")]


def rule(payloads=None, records=None):
    """Days after which things go."""
    return RetentionRule(
        NOW,
        None if payloads is None else NOW - payloads * DAY,
        None if records is None else NOW - records * DAY,
    )


def said(log, what, key=None):
    def make(done):
        head = log.ledger.head()
        predicate = {
            "name": ORIGIN,
            "actor": "dpo",
            "time": timestamp(NOW),
            "outcome": "removed",
            "rules": {"payloads": "P1D" if what.payloads else None, "records": None},
            **retention_facts(done, what),
        }
        root = Resource(ORIGIN, head.root.hex(), "rfc6962-root-v1")
        return Statement((root,), RETENTION, predicate).sign(key or log.recorder).to_bytes()

    return make


def retain(log, what, key=None):
    return apply_retention(log.ledger, what, said(log, what, key))


def serve(log, serial, age, subject=None, *, kind="prediction", **more):
    """Log a record of an age in days, with personal data where it is of somebody."""
    named = ("decision_id", "timestamp") if kind == "decision" else ("id", "time")
    said = (f"{kind}-{serial}", timestamp(NOW - age * DAY))
    facts = {**dict(zip(named, said, strict=True)), **more}
    payloads = []
    if subject is not None:
        wrapped = log.ledger.subject_keys([subject]).get(subject)
        payload, digests = VAULT.seal(said[0], subject, {"plain": "x" * 80}, wrapped)
        payloads, facts["fields"] = [payload], digests
    return log.ledger.append([record_bytes(kind, facts)], payloads)[0]


def note(log, number, age):
    """Log a signed statement of an age in days."""
    made = dataset(number)
    facts = {**made.predicate, "time": timestamp(NOW - age * DAY)}
    made = Statement(made.subjects, made.predicate_type, facts)
    return log.ledger.append([made.sign(log.recorder).to_bytes()])[0]


def hold(log, subject, outcome="held"):
    facts = {"name": "s", "actor": "d", "time": timestamp(NOW), "outcome": outcome, "reason": "r"}
    about = Statement((Resource("", subject, "subject-pseudonym-v1"),), HOLD, facts)
    return log.ledger.append([about.sign(log.recorder).to_bytes()])[0]


def codes(report):
    return [fault.code for fault in report.errors]


def files(log):
    return b"".join(path.read_bytes() for path in log.path.parent.glob("ledger.db*"))


@pytest.fixture(scope="module")
def _served(tmp_path_factory):
    """Ages 100 down to 1 day: of each ten entries one is a statement, one an access."""
    log = start(tmp_path_factory.mktemp("retained"))
    for number in range(100):
        age = 100 - number
        if number % 10 == 3:
            note(log, number, age)
        elif number % 10 == 7:
            serve(log, number, age, kind="access", actor="a", action="read", object="o")
        else:
            serve(log, number, age, PEOPLE[number % 3])
    log.ledger.close()
    return log


@pytest.fixture
def served(_served, tmp_path):
    path = tmp_path / "ledger.db"
    shutil.copy(_served.path, path)
    log = dataclasses.replace(_served, path=path)
    log.ledger = log.reopen()
    yield log
    log.ledger.close()


def test_records_that_are_old_enough_go_and_statements_stay(served):
    before = dict(served.ledger.entries())
    done = retain(served, rule(records=50))
    left = dict(served.ledger.entries())
    gone = sorted(set(before) - set(left))
    assert done.records == len(gone) == 45
    assert done.records_before == 51
    assert all(index <= 50 for index in gone)
    assert all(isinstance(parse_entry(before[index]), dict) for index in gone)
    assert {index for index in range(51) if index in left} == {0, 4, 14, 24, 34, 44}
    assert done.entry == 101
    report = served.verify()
    assert report.errors == ()
    assert report.pruned == 45
    assert report.size == 102


def test_every_proof_checkpoint_and_bundle_made_before_still_verifies(served):
    exported = served.ledger.checkpoint()
    verifier = served.signer.verifier
    proofs = {index: (prove_entry(served.ledger, index), served.ledger.entry(index))
              for index in range(0, 101, 7)}  # fmt: skip
    bundle = build_bundle(served.ledger, [0, 2, 4, 12, 60], served.recorder,
                          name="x", actor="a", time=timestamp(NOW))  # fmt: skip
    retain(served, rule(payloads=30, records=50))
    assert served.verify(exported=exported).ok
    for proof, body in proofs.values():
        proof.verify(body, verifier)
    assert verify_bundle(bundle, verifier).to_dict()["entries"] == [0, 2, 4, 12, 60]
    prove_extension(served.ledger, open_checkpoint(exported, verifier))
    for index, body in served.ledger.entries():
        prove_entry(served.ledger, index).verify(body, verifier)
    again = build_bundle(served.ledger, [0, 4, 60], served.recorder,
                         name="x", actor="a", time=timestamp(NOW))  # fmt: skip
    assert verify_bundle(again, verifier)


def test_no_byte_of_what_went_is_in_the_stores_files(served):
    rows = served.rows("SELECT id, sealed FROM payload")
    old = {index: body for index, body in served.ledger.entries(1, 51) if b'"record"' in body}
    done = retain(served, rule(payloads=50, records=50))
    scrub(served.path, done.gone)
    after = files(served)
    left = {row[0] for row in served.rows("SELECT id FROM payload")}
    assert len(left) == len(rows) - done.payloads
    assert done.payloads == 40
    for identifier, sealed in rows:
        assert (sealed[20:60] in after) is (identifier in left)
    for body in old.values():
        assert body not in after
        assert hashlib.sha256(b"\x00" + body).digest() in after
    assert served.verify().ok


def test_personal_data_goes_by_its_own_rule_and_records_stay(served):
    size = len(list(served.ledger.entries()))
    done = retain(served, rule(payloads=20))
    assert (done.records, done.keys) == (0, 0)
    assert done.payloads == 64
    assert len(list(served.ledger.entries())) == size + 1
    assert served.ledger.payload("prediction-0") is None
    assert served.ledger.payload("prediction-99") is not None
    assert served.verify().ok


def test_a_key_goes_with_the_last_that_is_left_of_somebody(served):
    dee = VAULT.pseudonym("dee")
    serve(served, 1000, 0.5, dee)
    done = retain(served, rule(payloads=0.7))
    assert done.keys == 3
    assert set(served.ledger.subject_keys([*PEOPLE, dee])) == {dee}
    assert served.rows("SELECT count(*) FROM payload") == [(1,)]


def test_a_plan_says_what_goes_and_changes_nothing(served):
    before = files(served)
    planned = plan_retention(served.ledger, rule(payloads=20, records=50))
    assert files(served) == before
    done = retain(served, rule(payloads=20, records=50))
    same = dataclasses.replace(done, entry=None, gone=b"")
    assert planned == same


def test_the_same_again_does_nothing(served):
    what = rule(payloads=20, records=50)
    assert not retain(served, what).nothing
    size = served.ledger.head().size
    again = retain(served, what)
    assert again.nothing
    assert again.entry is None
    assert served.ledger.head().size == size
    later = retain(served, rule(payloads=10, records=40))
    assert later.runs[0][0] == 51
    report = served.verify()
    assert report.ok
    assert report.pruned == 45 + later.records


def test_a_hold_keeps_the_records_and_data_of_its_data_subject(served):
    hold(served, PEOPLE[0])
    done = retain(served, rule(payloads=20, records=50))
    assert done.held > 0
    held = {row[0] for row in served.rows("SELECT id FROM payload WHERE subject = ?", PEOPLE[0])}
    kept = {row[0] for row in served.rows("SELECT id FROM prediction")}
    assert {f"prediction-{n}" for n in range(0, 100, 3) if n % 10 not in (3, 7)} == held
    assert held <= kept
    assert served.verify().ok
    hold(served, PEOPLE[0], "released")
    after = retain(served, rule(payloads=20, records=50))
    assert after.held == 0
    assert after.records > 0
    report = served.verify()
    assert report.errors == ()


def test_a_hold_keeps_the_decision_and_the_readings_of_what_it_keeps(served):
    log = served
    person = VAULT.pseudonym("eve")
    serve(log, 1, 90, kind="decision", path="e", result={"allow": True})
    serve(log, 500, 90, person, decision="decision-1")
    serve(log, 2, 90, kind="access", actor="a", action="disclose", object="prediction-500")
    serve(log, 3, 90, kind="decision", path="e", result={"allow": True})
    hold(log, person)
    # Behind entries that are a day old, these count as a day old.
    assert retain(log, rule(records=50)).records == 45
    retain(log, rule(records=0.9))
    ids = {record_id(parse_entry(body)) for _, body in log.ledger.entries() if b'"record"' in body}
    assert ids == {"decision-1", "prediction-500", "access-2"}


def test_a_hold_that_comes_between_reading_and_removing_still_keeps(served, monkeypatch):
    real = module._plan

    def plan(ledger, seen):
        found = real(ledger, seen)
        hold(served, PEOPLE[1])
        return found

    monkeypatch.setattr(module, "_plan", plan)
    retain(served, rule(payloads=20, records=50))
    kept = served.rows("SELECT count(*) FROM payload WHERE subject = ?", PEOPLE[1])
    assert kept == [(26,)]


@pytest.mark.parametrize("way", ["deleted", "edited", "index"])
def test_a_hold_that_was_removed_from_the_store_lets_nothing_through(served, way):
    at = hold(served, PEOPLE[0])
    retain(served, rule(records=80))
    if way == "deleted":
        served.cut("DELETE FROM entry WHERE entry = ?", at)
    elif way == "edited":
        served.cut("UPDATE entry SET body = ? WHERE entry = ?", served.ledger.entry(4), at)
    else:
        served.cut("DELETE FROM statement WHERE entry = ?", at)
        served.cut("DELETE FROM artifact WHERE entry = ?", at)
    if way == "index":
        assert retain(served, rule(payloads=20)).held > 0
        return
    for remove in (
        lambda: retain(served, rule(payloads=20)),
        lambda: erase_subject(served.ledger, PEOPLE[0], lambda *_: b""),
    ):
        with pytest.raises(LedgerCorruptError, match="nothing was erased"):
            remove()


def test_an_erasure_and_a_hold_go_on_in_a_pruned_log(served):
    retain(served, rule(records=50))
    facts = {"name": "s", "actor": "d", "time": timestamp(NOW), "outcome": "erased", "reason": "",
             "payloads": 1, "key": True}  # fmt: skip
    about = Statement((Resource("", PEOPLE[2], "subject-pseudonym-v1"),), ERASURE, facts)
    body = about.sign(served.recorder).to_bytes()
    done = erase_subject(served.ledger, PEOPLE[2], lambda *_: body)
    assert done.payloads > 0
    assert served.verify().ok


def test_a_clock_that_was_set_back_removes_nothing_early(served):
    served_again = serve(served, 700, 900, PEOPLE[0])
    done = retain(served, rule(records=50))
    assert served_again not in Runs((a, a + n) for a, n in done.runs)
    assert served.ledger.entry(served_again)


def test_a_clock_in_the_future_delays_nothing_for_ever(tmp_path):
    log = start(tmp_path)
    serve(log, 1, 100)
    serve(log, 2, -4000)
    serve(log, 3, 99)
    serve(log, 4, 1)
    done = retain(log, rule(records=50))
    assert done.runs == ((1, 3),)
    log.ledger.close()


def test_an_entry_just_at_the_limit_stays(tmp_path):
    log = start(tmp_path)
    serve(log, 1, 50)
    assert plan_retention(log.ledger, rule(records=50)).nothing
    assert plan_retention(log.ledger, rule(records=49)).records == 1
    log.ledger.close()


def test_a_deleted_record_that_no_statement_lists_is_a_finding(served):
    done = retain(served, rule(records=50))
    served.cut("DELETE FROM entry WHERE entry = 60")
    served.cut("DELETE FROM prediction WHERE entry = 60")
    served.cut("DELETE FROM access WHERE entry = 60")
    report = served.verify()
    assert codes(report) == ["entry-missing"]
    assert report.errors[0].index == 60
    assert done.records == 45
    with pytest.raises(LedgerCorruptError, match="as it is"):
        reindex(served.ledger)


def test_a_deleted_statement_among_pruned_records_is_a_finding(served):
    retain(served, rule(records=50))
    for table in ("entry", "statement", "artifact"):
        served.cut(f"DELETE FROM {table} WHERE entry = 14")
    assert codes(served.verify()) == ["entry-missing"]


def test_a_missing_retention_statement_makes_what_it_listed_deleted(served):
    done = retain(served, rule(records=50))
    note(served, 900, 0)
    for table in ("entry", "statement", "artifact"):
        served.cut(f"DELETE FROM {table} WHERE entry = ?", done.entry)
    report = served.verify()
    assert set(codes(report)) == {"entry-missing"}
    assert report.pruned == 0


def test_a_retention_statement_by_a_key_that_nobody_enrolled_is_refused(served):
    done = retain(served, rule(records=50), key=SigningKey.generate())
    report = served.verify()
    assert set(codes(report)) == {"entry-missing", "statement-invalid"}
    assert sum(fault.code == "entry-missing" for fault in report.errors) == len(done.runs)


def test_a_retention_statement_with_one_bit_changed_is_refused(served):
    done = retain(served, rule(records=50))
    body = bytearray(served.ledger.entry(done.entry))
    at = body.index(b'"sig":"') + 20
    body[at] ^= 1
    served.cut("UPDATE entry SET body = ? WHERE entry = ?", bytes(body), done.entry)
    assert "entry-missing" in codes(served.verify())


def forged(log, index, count=0):
    """Prune what nobody may: by the holder of both keys, past the code that forbids it."""
    done = module.Retained(records=1, runs=((index, 1),), records_before=index + 1)
    with log.ledger.transaction() as open_log:
        for table in ("entry", "prediction", "access", "statement", "artifact", "approval"):
            open_log.connection.exec_driver_sql(f"DELETE FROM {table} WHERE entry = {index}")
        open_log.statements += count
        return open_log.add([said(log, rule(records=1))(done)])[0]


def test_a_statement_cannot_be_passed_off_as_a_pruned_record(served):
    (bad,) = served.ledger.append([approval().sign(served.approver).to_bytes()])
    exported = served.ledger.checkpoint()
    forged(served, bad)
    report = served.verify()
    assert codes(report) == ["statement-missing"]
    assert "was a statement" in report.errors[0].message
    with pytest.raises(LedgerCorruptError, match="as it is"):
        reindex(served.ledger)
    assert open_checkpoint(exported, served.signer.verifier).statements == 12


def test_a_kept_checkpoint_shows_a_statement_that_even_the_log_key_removed(served):
    (bad,) = served.ledger.append([approval().sign(served.approver).to_bytes()])
    exported = served.ledger.checkpoint()
    forged(served, bad, count=-1)
    served.cut("DELETE FROM checkpoint WHERE size > ? AND size < ?", bad, bad + 2)
    # The operator holds every key, and has removed what its own store says otherwise.
    assert served.verify().ok
    report = served.verify(exported=exported)
    assert codes(report) == ["statement-missing"]
    assert report.errors[0].where == "exported checkpoint"


def test_a_checkpoint_that_does_not_count_statements_lets_nothing_count_as_pruned(served):
    retain(served, rule(records=50))
    head = served.ledger.head()
    plain = Checkpoint(head.origin, head.size, head.root).signed(served.signer)
    served.cut("UPDATE checkpoint SET note = ? WHERE size = ?", plain, head.size)
    assert set(codes(served.verify())) == {"entry-missing"}


def test_a_log_whose_checkpoints_did_not_count_statements_begins_to(served):
    head = served.ledger.head()
    plain = Checkpoint(head.origin, head.size, head.root).signed(served.signer)
    served.cut("UPDATE checkpoint SET note = ? WHERE size = ?", plain, head.size)
    retain(served, rule(records=50))
    assert served.ledger.head().statements == 12
    assert served.verify().ok


@pytest.mark.parametrize(
    "records",
    [
        {"runs": [[5, 0]], "before": 9, "writers": {}},
        {"runs": [[5, 2], [6, 1]], "before": 9, "writers": {}},
        {"runs": [[5, True]], "before": 9, "writers": {}},
        {"runs": [[5, 9]], "before": 9, "writers": {}},
        {"runs": [[5, 1]], "before": 900, "writers": {}},
        {"runs": [[-1, 3]], "before": 9, "writers": {}},
        {"runs": [[5, 1]], "before": 9, "writers": []},
        {"runs": [[5, 1]], "before": 9, "writers": {"a": [["x", 1]]}},
        {"runs": "all", "before": 9, "writers": {}},
        [],
    ],
)
def test_a_list_that_is_not_in_the_one_form_is_refused(records):
    statement = Statement((Resource("x", "0" * 64),), RETENTION, {"records": records})
    with pytest.raises(EnvelopeError):
        Retention.parse(10, Statement.parse(statement.to_bytes()))


def test_a_malformed_retention_statement_is_a_finding(served):
    facts = {"name": "x", "actor": "a", "time": timestamp(NOW), "records": {"runs": 1}}
    bad = Statement((Resource("x", "0" * 64),), RETENTION, facts)
    served.ledger.append([bad.sign(served.recorder).to_bytes()])
    assert codes(served.verify()) == ["retention-malformed"]


def test_reindex_gives_the_same_rows_after_pruning(served):
    retain(served, rule(records=50))
    before = [served.rows(f"SELECT * FROM {table} ORDER BY entry, ordinal")
              for table in ("prediction", "access", "statement", "artifact")]  # fmt: skip
    done = reindex(served.ledger)
    assert (done.missing, done.changed, done.extra) == (0, 0, 0)
    after = [served.rows(f"SELECT * FROM {table} ORDER BY entry, ordinal")
             for table in ("prediction", "access", "statement", "artifact")]  # fmt: skip
    assert before == after
    served.cut("DELETE FROM statement WHERE kind = 'retention'")
    assert "entry-missing" in codes(served.verify())
    assert reindex(served.ledger).missing == 1
    assert served.verify().ok


def test_an_index_row_that_stayed_of_a_pruned_record_is_a_finding(served):
    row = served.rows("SELECT * FROM prediction WHERE entry = 2")[0]
    retain(served, rule(records=50))
    served.cut(f"INSERT INTO prediction VALUES ({','.join('?' * len(row))})", *row)
    assert codes(served.verify()) == ["index-extra"]


def test_a_pruned_record_says_so_when_it_is_asked_for(served):
    done = retain(served, rule(records=50))
    with pytest.raises(NotFoundError, match=f"pruned.*entry {done.entry}"):
        served.ledger.entry(2)
    with pytest.raises(NotFoundError, match="There is no entry"):
        served.ledger.entry(5000)


def test_a_changed_hash_of_a_pruned_record_is_a_finding(served):
    retain(served, rule(records=50))
    (tile,) = served.rows("SELECT hashes FROM tile WHERE level = 0 AND position = 0")[0]
    changed = tile[: 2 * 32] + bytes(32) + tile[3 * 32 :]
    served.cut("UPDATE tile SET hashes = ? WHERE level = 0 AND position = 0", changed)
    assert "root-mismatch" in codes(served.verify())


def test_rows_and_statement_go_together_or_not_at_all(served):
    before = served.rows("SELECT count(*) FROM entry"), served.rows("SELECT count(*) FROM payload")
    with pytest.raises(LedgerError):
        apply_retention(served.ledger, rule(payloads=20, records=50), lambda _: b"{}")
    assert before == (
        served.rows("SELECT count(*) FROM entry"),
        served.rows("SELECT count(*) FROM payload"),
    )
    assert served.verify().ok


KILLED = """
import os, sys
sys.path[:0] = [{here!r}, *{path!r}]
from logs import *
from pathlib import Path
import test_retention as t
from affidavit.lineage import NoteSigner, Ledger, read_key
log_key, recorder = read_key(Path({folder!r}) / "log.pem"), read_key(Path({folder!r}) / "rec.pem")
signer = NoteSigner(ORIGIN, log_key.private)
ledger = Ledger(Path({store!r}), signer.verifier, signer=signer)
log = Log(ledger.store.path, log_key, recorder, recorder, ledger)
if {inside}:
    log.ledger._write_checkpoint = lambda *_: os._exit(9)
t.retain(log, t.rule(payloads=20, records=50))
os._exit(9)
"""


@pytest.mark.parametrize("inside", [True, False])
def test_a_process_that_dies_while_it_prunes_leaves_all_or_nothing(served, tmp_path, inside):
    from affidavit.lineage import write_key

    served.ledger.close()
    write_key(tmp_path / "log.pem", served.log)
    write_key(tmp_path / "rec.pem", served.recorder)
    code = KILLED.format(
        here=str(Path(__file__).parent),
        path=sys.path,
        folder=str(tmp_path),
        store=str(served.path),
        inside=inside,
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == 9, ended.stderr.decode()
    served.ledger = served.reopen()
    report = served.verify()
    assert report.ok
    assert report.pruned == (0 if inside else 45)


def test_more_runs_than_one_statement_holds_are_pruned_in_several(served, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_LIST", 3 * module._RUN)
    what, rounds = rule(records=50), 0
    while True:
        done = retain(served, what)
        if done.nothing:
            break
        rounds += 1
        assert served.verify().ok
        if not done.more:
            break
    assert rounds > 1
    assert served.verify().pruned == 45


def test_the_longest_list_fits_into_one_entry(served):
    lists = module._Lists()
    number = 10**15
    while not lists.full:
        number += 2
        lists.add(number, {"writer": f"{number:032x}", "number": number})
    done = module.Retained(
        records=len(lists.runs),
        records_before=number + 1,
        runs=tuple(lists.runs),
        writers={name: tuple(runs) for name, runs in lists.writers.items()},
    )
    body = said(served, rule(records=1))(done)
    assert 32_000 < len(body) <= 64 * 1024


def test_the_statement_satisfies_its_schema(served):
    done = retain(served, rule(payloads=20, records=50))
    statement = parse_entry(served.ledger.entry(done.entry))[1]
    jsonschema.Draft202012Validator(schema_for(RETENTION)).validate(dict(statement.predicate))
    assert statement.kind == "retention"
    assert not any(person.encode() in statement.to_bytes() for person in PEOPLE)


def test_numbered_records_may_be_pruned_and_a_dropped_one_still_shows(tmp_path):
    log = start(tmp_path)
    writer = "ab" * 16
    serve(log, 0, 90, kind="writer", writer=writer, event="opened", place="p")
    log.cut("INSERT INTO writer VALUES (?, 'p', 0, 0, 12, 0)", writer)
    for number in range(12):
        serve(log, number, 80 - number, kind="access", actor="a", action="r", object="o",
              writer=writer, number=number)  # fmt: skip
    assert log.verify().ok
    done = retain(log, rule(records=75))
    assert done.writers == {writer: ((0, 5),)}
    assert log.verify().errors == ()
    # The next record that follows is number 5; a statement that lists less leaves a gap.
    forged(log, 7)
    assert "record-omitted" in codes(log.verify())
    log.ledger.close()


@settings(max_examples=25, deadline=None)
@given(
    entries=st.lists(
        st.tuples(st.sampled_from("spda"), st.integers(0, 60), st.integers(0, 2)), max_size=40
    ),
    rules=st.lists(
        st.tuples(st.none() | st.integers(1, 50), st.none() | st.integers(1, 50)),
        min_size=1,
        max_size=3,
    ),
    held=st.sets(st.integers(0, 2)),
    extra=st.integers(0, 100),
)
def test_after_any_retention_everything_left_proves_and_anything_else_missing_shows(
    tmp_path_factory, entries, rules, held, extra
):
    log = start(tmp_path_factory.mktemp("any"))
    for number, (kind, age, person) in enumerate(entries):
        if kind == "s":
            note(log, number, age)
        elif kind == "p":
            serve(log, number, age, PEOPLE[person])
        else:
            serve(log, number, age, kind="decision" if kind == "d" else "access", object="o")
    for person in held:
        hold(log, PEOPLE[person])
    exported = log.ledger.checkpoint()
    original = dict(log.ledger.entries())
    wanted = sorted(original)[:: max(1, len(original) // 5)]
    bundle = build_bundle(log.ledger, {0, *wanted}, log.recorder,
                          name="x", actor="a", time=timestamp(NOW))  # fmt: skip
    for payloads, records in rules:
        retain(log, rule(payloads, records))
    verifier = log.signer.verifier
    report = log.verify(exported=exported)
    assert report.errors == ()
    left = dict(log.ledger.entries())
    gone = set(original) - set(left)
    assert len(gone) == report.pruned
    for index, body in left.items():
        assert original.get(index, body) == body
        prove_entry(log.ledger, index).verify(body, verifier)
    newest = min((age for age in (r[1] for r in rules) if age is not None), default=None)
    for index in gone:
        said_of_it = parse_entry(original[index])
        assert isinstance(said_of_it, dict)
        assert newest is not None
        assert datetime.fromisoformat(record_time(said_of_it)) < NOW - newest * DAY
    of_held = {
        row[0]
        for person in held
        for row in log.rows("SELECT id FROM payload WHERE subject = ?", PEOPLE[person])
    }
    served_to = {f"prediction-{n}" for n, (k, _, p) in enumerate(entries) if k == "p" and p in held}
    assert of_held == served_to
    assert verify_bundle(bundle, verifier)
    assert reindex(log.ledger).to_dict()["changed"] == 0
    victim = sorted(left)[extra % len(left)]
    log.cut("DELETE FROM entry WHERE entry = ?", victim)
    assert not log.verify().ok
    log.ledger.close()


def test_a_log_in_postgresql_is_pruned_alike(postgres):
    log = start(None, postgres)
    for number in range(40):
        if number % 10 == 3:
            note(log, number, 100 - number)
        else:
            words = "many words " * (500 if number == 2 else 1)
            serve(log, number, 100 - number, PEOPLE[number % 3], outcome=words)
    exported = log.ledger.checkpoint()
    before, held = dict(log.ledger.entries()), log.files()
    hold(log, PEOPLE[0])
    planned = plan_retention(log.ledger, rule(records=80))
    done = retain(log, rule(records=80))
    assert (done.records, done.payloads, done.held) == (12, 12, 6)
    assert (planned.records, planned.payloads) == (12, 12)
    went = [body for index, body in before.items() if index not in dict(log.ledger.entries())]
    assert len(went) == 12
    assert all(body[:200] in held for body in went)
    assert max(map(len, went)) > 5000
    scrub(log.path, done.gone, entries=True)
    left = log.files()
    assert not any(body[:200] in left for body in went)
    report = log.verify(exported)
    assert report.errors == ()
    assert report.pruned == 12
    assert reindex(log.ledger).missing == 0
    for index, body in log.ledger.entries():
        prove_entry(log.ledger, index).verify(body, log.signer.verifier)
    log.cut("DELETE FROM entry WHERE entry = 30")
    assert "entry-missing" in codes(log.verify())
    log.ledger.close()
