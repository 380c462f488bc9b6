"""Retention by the rules of the settings: what is old enough goes, and a signed entry says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from affidavit._context import acting
from affidavit._home import Home
from affidavit._settings import Settings
from affidavit._spools import spools_of
from affidavit.errors import ConfigurationError
from affidavit.lineage import (
    RETENTION,
    Resource,
    Retained,
    RetentionRule,
    Statement,
    apply_retention,
    plan_retention,
    retention_facts,
    scrub,
    timestamp,
)

RECIPE = "rfc6962-root-v1"
"""The recipe of a digest that is the root of a log's tree."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What a retention removed, or would remove.

    Args:
        payloads: How many records' personal data.
        keys: How many data subjects' keys.
        records: How many served records.
        held: How many records a legal hold keeps.
        payloads_cutoff: Personal data of records from before this moment may go; empty for none.
        records_cutoff: Records from before this moment may go; empty for none.
        ranges: The log indexes of the pruned records, as (first, last).
        entries: The log indexes of the statements that say so; empty where nothing went.
        bytes_searched: How many bytes of the store's files were searched for what went.
    """

    payloads: int
    keys: int
    records: int
    held: int
    payloads_cutoff: str
    records_cutoff: str
    ranges: tuple[tuple[int, int], ...]
    entries: tuple[int, ...] = ()
    bytes_searched: int = 0

    @property
    def nothing(self) -> bool:
        """Whether nothing is old enough."""
        return not (self.payloads or self.records)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome, JSON-safe."""
        return {
            "payloads": self.payloads,
            "keys": self.keys,
            "records": self.records,
            "held": self.held,
            "payloads_cutoff": self.payloads_cutoff,
            "records_cutoff": self.records_cutoff,
            "ranges": [list(pair) for pair in self.ranges],
            "entries": list(self.entries),
            "bytes_searched": self.bytes_searched,
        }


def rule_of(settings: Settings, *, records: bool, now: datetime | None = None) -> RetentionRule:
    """Return what may go by the settings.

    Args:
        settings: The settings in force.
        records: Whether served records may be pruned as well.
        now: The present, by this machine's clock by default.

    Raises:
        ConfigurationError: There is no rule for what is asked.
    """
    if records and settings.record_days is None:
        raise ConfigurationError(
            "The settings say nothing about how long served records are kept.",
            hint='Set records in [retention], such as "P365D".',
        )
    if settings.payload_days is None and not records:
        raise ConfigurationError(
            "The settings say nothing about how long personal data is kept.",
            hint='Set payloads in [retention], such as "P30D".',
        )
    moment = now or datetime.now(UTC)
    return RetentionRule(
        moment,
        _before(moment, settings.payload_days),
        _before(moment, settings.record_days) if records else None,
    )


def plan(home: Home, rule: RetentionRule) -> Retention:
    """Return what `retain` would remove of what is in the log, as far as one statement can list.

    Raises:
        LedgerError: The ledger is not what was logged, or cannot be read.
    """
    return _outcome([plan_retention(home.ledger, rule)], rule)


def retain(
    home: Home,
    settings: Settings,
    rule: RetentionRule,
    progress: Callable[[int, int], None] | None = None,
) -> Retention:
    """Remove what is old enough, log signed statements that say so, and empty the store's files.

    Where an earlier run could not empty them, this one does, even where nothing is left to remove.

    Args:
        home: Whose store.
        settings: The settings in force.
        rule: What may go.
        progress: Told how many records went, and the same number once more.

    Raises:
        LedgerError: The ledger is not what was logged, or the store cannot be written.
    """
    done: list[Retained] = []
    # What spools still hold of the same data goes with it.
    with spools_of(home).emptied():
        while not done or done[-1].more:
            step = apply_retention(
                home.ledger, rule, lambda found: _statement(home, settings, rule, found)
            )
            if step.nothing:
                break
            done.append(step)
            if progress is not None:
                went = sum(one.records + one.payloads for one in done)
                progress(went, went)
    searched = scrub(home.database, done[0].gone if done else b"", entries=True)
    return _outcome(done, rule, searched)


def _statement(home: Home, settings: Settings, rule: RetentionRule, found: Retained) -> bytes:
    head = home.ledger.head()
    predicate = {
        "name": head.origin,
        "actor": acting(settings),
        "time": timestamp(),
        "outcome": "removed",
        "rules": {
            "payloads": _days(settings.payload_days if rule.payloads else None),
            "records": _days(settings.record_days if rule.records else None),
        },
        **retention_facts(found, rule),
    }
    subject = Resource(head.origin, head.root.hex(), RECIPE)
    return Statement((subject,), RETENTION, predicate).sign(home.recorder).to_bytes()


def _outcome(done: list[Retained], rule: RetentionRule, searched: int = 0) -> Retention:
    return Retention(
        payloads=sum(one.payloads for one in done),
        keys=sum(one.keys for one in done),
        records=sum(one.records for one in done),
        held=max((one.held for one in done), default=0),
        payloads_cutoff=timestamp(rule.payloads) if rule.payloads else "",
        records_cutoff=timestamp(rule.records) if rule.records else "",
        ranges=tuple((first, first + count - 1) for one in done for first, count in one.runs),
        entries=tuple(one.entry for one in done if one.entry is not None),
        bytes_searched=searched,
    )


def _before(moment: datetime, days: int | None) -> datetime | None:
    return None if days is None else moment - timedelta(days=days)


def _days(days: int | None) -> str | None:
    return None if days is None else f"P{days}D"
