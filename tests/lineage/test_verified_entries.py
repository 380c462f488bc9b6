"""Entries from a place on are given only where the newest checkpoint covers all of them."""

from __future__ import annotations

import pytest
from logs import furnish, record, start

from affidavit.errors import LedgerCorruptError
from affidavit.lineage import CompactRange, VerifiedEntries, leaf_hash


@pytest.fixture
def log(tmp_path):
    found = furnish(start(tmp_path))
    yield found
    found.ledger.close()


def edge(log, size):
    tree = CompactRange()
    for _, body in log.ledger.entries(0, size):
        tree.append(leaf_hash(body))
    return tree


@pytest.mark.parametrize("first", [0, 1, 7, 16, 28])
def test_all_entries_from_a_place_on_are_given_and_the_edge_moves_along(log, first):
    found = VerifiedEntries(log.ledger, edge(log, first))
    head = log.ledger.head()
    assert list(found) == list(log.ledger.entries(first))
    assert len(found) == head.size - first
    for size in range(first, head.size + 1, 3):
        moved = found.edge_at(size)
        assert (moved.size, moved.root()) == (size, edge(log, size).root())
    assert found.edge_at(head.size).root() == head.root


def test_later_entries_are_found_from_the_edge_that_was_reached(log):
    reached = VerifiedEntries(log.ledger).edge_at(log.ledger.head().size)
    log.ledger.append([record("access", 70), record("access", 71)])
    assert [index for index, _ in VerifiedEntries(log.ledger, reached)] == [28, 29]


def test_an_edge_of_another_log_or_of_a_longer_one_is_refused(log, tmp_path):
    wrong = edge(log, 9)
    wrong.hashes[0] = bytes(32)
    with pytest.raises(LedgerCorruptError, match="from 9 on"):
        VerifiedEntries(log.ledger, wrong)
    longer = edge(log, 28)
    longer.append(bytes(32))
    with pytest.raises(LedgerCorruptError, match="from 29 on"):
        VerifiedEntries(log.ledger, longer)


@pytest.mark.parametrize("index", [0, 5, 27])
def test_a_changed_entry_is_never_given(log, index):
    log.cut("UPDATE entry SET body = CAST(body || ' ' AS BLOB) WHERE entry = ?", index)
    with pytest.raises(LedgerCorruptError, match="not those"):
        VerifiedEntries(log.ledger)


def test_an_entry_that_is_changed_between_the_two_readings_is_never_given(log):
    found = VerifiedEntries(log.ledger)
    log.cut("UPDATE entry SET body = CAST(body || ' ' AS BLOB) WHERE entry = 6")
    given = []
    with pytest.raises(LedgerCorruptError, match="Entry 6 was changed"):
        given.extend(index for index, _ in found)
    assert 6 not in given


def test_an_entry_that_is_gone_without_a_statement_is_named(log):
    log.cut("DELETE FROM entry WHERE entry = 6")
    with pytest.raises(LedgerCorruptError, match="Entry 6 is gone"):
        VerifiedEntries(log.ledger)
