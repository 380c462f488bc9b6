"""`affidavit retain` on a real home: shown first, done once, and told wherever one looks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

import affidavit as aff
from affidavit._erase import hold
from affidavit._retain import plan, retain, rule_of
from affidavit._spools import settle
from affidavit.errors import ConfigurationError
from affidavit.lineage import record_bytes, timestamp
from affidavit.lineage.tables import PREDICTION

RULES = '[retention]\npayloads = "P30D"\nrecords = "P90D"\n'


@pytest.fixture
def served(home, risk, configure):
    """A home that served three people two predictions each."""
    configure(RULES)

    @aff.serve("risk@latest", subject="person")
    def predict(features):
        return 0.5

    for number in range(6):
        predict({"person": f"person-{number % 3}", "income": 7000 + number})
    settle(home)
    with home.ledger.store.reading() as connection:
        query = select(PREDICTION.c.id).order_by(PREDICTION.c.entry)
        ids = [row[0] for row in connection.execute(query)]
    return home, ids


def later(days):
    return datetime.now(UTC) + timedelta(days=days)


def rule(days, *, records=True):
    return rule_of(aff.load_settings(), records=records, now=later(days))


def files(home):
    return b"".join(path.read_bytes() for path in home.folder.glob("ledger.db*"))


def test_what_is_old_goes_and_the_home_verifies(served):
    home, ids = served
    before = files(home)
    sealed = home.ledger.payload(ids[0]).sealed
    assert sealed[20:60] in before
    exported = home.ledger.checkpoint()
    done = retain(home, aff.load_settings(), rule(100))
    assert (done.payloads, done.keys) == (6, 3)
    # Six predictions, the decision before each, and the one before the training.
    assert done.records == 13
    assert len(done.entries) == 1
    assert sealed[20:60] not in files(home)
    assert ids[0].encode() not in files(home)
    report = aff.verify_home(home, exported=exported)
    assert report.errors == ()
    assert report.pruned == 13
    assert retain(home, aff.load_settings(), rule(100)).nothing


def test_the_personal_data_goes_first_and_the_record_stays(served):
    home, ids = served
    done = retain(home, aff.load_settings(), rule(40, records=False))
    assert (done.payloads, done.records) == (6, 0)
    assert home.ledger.payload(ids[0]) is None
    assert aff.Reader(home).find(ids[0])
    assert aff.verify_home(home).ok


def test_a_plan_is_what_then_happens(served):
    home, _ = served
    what = rule(100)
    planned = plan(home, what)
    done = retain(home, aff.load_settings(), what)
    assert planned.ranges == done.ranges
    assert (planned.payloads, planned.keys, planned.records) == (6, 3, 13)


def test_a_hold_by_name_keeps_what_is_of_that_person(served):
    home, ids = served
    hold(home, aff.load_settings(), "person-0", "case 9")
    done = retain(home, aff.load_settings(), rule(100))
    # Two predictions of that person, and the decisions behind them.
    assert done.held == 4
    assert [home.ledger.payload(one) is not None for one in ids] == [True, False, False] * 2
    assert aff.verify_home(home).ok


def test_a_pruned_record_says_so_by_index_and_by_id(served, cli):
    home, ids = served
    (index,) = aff.Reader(home).find(ids[0])
    done = retain(home, aff.load_settings(), rule(100))
    code, _, err = cli("show", index)
    assert code == 2
    assert f"pruned, as the retention statement in entry {done.entries[0]} says" in err
    code, _, err = cli("show", ids[0])
    assert code == 2
    assert "any more, or ever was" in err
    assert f"affidavit show {done.entries[0]}" in err
    code, out, _ = cli("show", done.entries[0])
    assert code == 0
    assert "retention" in out


def old_home(home):
    facts = {"time": timestamp(later(-200)), "actor": "a", "action": "read", "object": "o"}
    return home.record(record_bytes("access", {"id": "old", **facts}))


def test_the_command_line_shows_asks_and_does(home, configure, cli, monkeypatch, tmp_path):
    # A log whose first entries are old: the trust root's time is the one that counts.
    from affidavit import _home as module
    from affidavit._home import create_home

    monkeypatch.setattr(module, "timestamp", lambda: timestamp(later(-300)))
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "old"))
    made, _ = create_home(tmp_path / "old", actor="a")
    old_home(made)
    configure(RULES)
    code, out, _ = cli("retain", "--records", "--dry-run", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["dry_run"] is True
    assert (said["records"], said["ranges"], said["entries"]) == (1, [[1, 1]], [])
    assert made.ledger.entry(1)
    code, _, err = cli("retain", "--records", "--json")
    assert code == 2
    assert "--yes" in err or "--yes" in _
    monkeypatch.setattr("typer.confirm", _refuse)
    assert cli("retain", "--records")[0] == 1
    assert made.ledger.entry(1)
    code, out, _ = cli("retain", "--records", "--yes", "--json")
    assert code == 0
    assert json.loads(out)["entries"] == [2]
    code, out, _ = cli("verify")
    assert code == 0
    assert "1 records" in out
    code, out, _ = cli("retain", "--records", "--yes")
    assert "Nothing is old enough" in out
    made.close()


def _refuse(*_, abort):
    import typer

    assert abort
    raise typer.Abort


@pytest.mark.parametrize(
    "text", ["payloads = 30", 'payloads = "30"', 'records = "P0D"', 'x = "P1D"']
)
def test_a_rule_in_another_form_is_an_error(home, cli, configure, text):
    configure(f"[retention]\n{text}\n")
    assert cli("retain", "--dry-run")[0] == 2


def test_without_a_rule_nothing_is_removed(home):
    for records in (True, False):
        with pytest.raises(ConfigurationError, match="say nothing"):
            rule_of(aff.load_settings(), records=records)
