"""Past decisions evaluated again, offline, from their records and the bundles that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from affidavit._decision_record import RESULT, DecisionFacts, decision_facts
from affidavit._evidence import included_entry
from affidavit._home import Home
from affidavit._kept_bundles import kept_bundle
from affidavit._mask import restore
from affidavit._read import Reader
from affidavit._spools import settle
from affidavit.errors import (
    AffidavitError,
    ConfigurationError,
    LedgerError,
    NotFoundError,
    PolicyEngineError,
    VerificationError,
)
from affidavit.lineage import VerifiedEntries, check_disclosures, parse_entry, parse_json
from affidavit.policies import EmbeddedEngine, Engine, canonical_input, input_digest

Status = Literal["agrees", "differs", "erased", "missing", "unverifiable", "undecided"]
STATUSES: tuple[Status, ...] = (
    "agrees",
    "differs",
    "erased",
    "missing",
    "unverifiable",
    "undecided",
)
"""What a replay finds: the same answer, another one, an input that was erased, evidence that is
not there, evidence that does not hold, and a denial that no rules gave."""
_LACKING: tuple[Status, ...] = ("erased", "missing", "unverifiable")
_SEAL = "What the mask took out of it"


@dataclass(frozen=True, slots=True)
class Past:
    """A decision of the log, to be evaluated again.

    Args:
        entry: Its log index.
        record: Its record.
    """

    entry: int
    record: Mapping[str, Any]

    @property
    def facts(self) -> DecisionFacts:
        """What the record says."""
        return decision_facts(self.record)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay of one decision found.

    Args:
        past: The decision.
        status: One of `STATUSES`.
        reason: What is missing or does not hold; empty where it agrees.
        answer: What the rules answer now; None where they could not be asked.
    """

    past: Past
    status: Status
    reason: str = ""
    answer: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it, JSON-safe."""
        facts = self.past.facts
        found = {
            "id": facts.id,
            "entry": self.past.entry,
            "entrypoint": facts.entrypoint,
            "bundle": facts.bundle,
            "status": self.status,
            "reason": self.reason,
        }
        if self.status == "differs":
            found |= {"recorded": dict(facts.result), "replayed": dict(self.answer or {})}
        return found


class InputError(Exception):
    """A decision's input cannot be had.

    Args:
        status: What a replay says of it.
        reason: Why.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


class PastDecisions:
    """The decisions of a log, read only where its newest checkpoint covers them.

    Args:
        home: Whose log.

    Raises:
        LedgerError: The log cannot be read, or is not what was logged.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        settle(home)

    @cached_property
    def key(self) -> bytes:
        """The key of the inputs' digests."""
        return self._home.vault.named_key("policy input")

    def trust(self) -> dict[str, Any]:
        """Return what covers the records: the newest checkpoint, signed by the pinned key."""
        head = self._home.ledger.head()
        return {"origin": head.origin, "size": head.size, "root": head.root.hex()}

    def named(self, identifiers: Sequence[str]) -> Iterator[Past]:
        """Give the decisions of some ids, each proved to be in the log.

        Raises:
            NotFoundError: There is none of an id.
            ProofError: A record is not the one that was logged.
        """
        for identifier in identifiers:
            index = Reader(self._home, settled=False).decision(identifier).index
            body, _, _ = included_entry(self._home, index)
            parsed = parse_entry(body)
            if not isinstance(parsed, dict) or decision_facts(parsed).id != identifier:
                raise VerificationError(
                    f"The index says that entry {index} is the decision {identifier}; it is not.",
                    hint="Run `affidavit verify`, then `affidavit reindex`.",
                    index=index,
                )
            yield Past(index, parsed)

    def every(self, *, since: datetime | None = None, entrypoint: str = "") -> list[Past]:
        """Return the decisions of the whole log, whose entries together have its signed root.

        Args:
            since: Only those made from then on.
            entrypoint: Only those of this entry point.

        Raises:
            LedgerCorruptError: The entries are not those that were logged.
        """
        found = []
        for index, body in VerifiedEntries(self._home.ledger):
            if b'"record":"decision"' not in body:
                continue
            parsed = parse_entry(body)
            if not isinstance(parsed, dict) or parsed["record"] != "decision":
                continue
            past = Past(index, parsed)
            if entrypoint and past.facts.entrypoint != entrypoint:
                continue
            if since is None or _moment(past.facts.time) >= since:
                found.append(past)
        return found

    def opened(self, past: Past) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return a decision's whole input, held against its keyed digest, and its whole result.

        Raises:
            InputError: Either was erased, is missing, or is not what was decided on.
        """
        record = self._whole(past)
        result = record.get("result")
        if not isinstance(result, dict):
            raise InputError("unverifiable", "The record holds no answer.")
        document = record.get("input")
        if not isinstance(document, dict):
            raise InputError("unverifiable", "The record holds no input.")
        said = past.record["custom"].get("input_digest")
        try:
            found = input_digest(canonical_input(document), self.key)
        except PolicyEngineError as error:
            raise InputError("unverifiable", error.message) from error
        except LedgerError as error:
            reason = f"The key of the inputs' digests cannot be read: {error.message}"
            raise InputError("missing", reason) from error
        if found != said:
            reason = f"The input has the digest {found}, the record says {said or 'none'}."
            raise InputError("unverifiable", reason)
        return document, result

    def _whole(self, past: Past) -> Mapping[str, Any]:
        """Return a decision's record as it was before it was masked."""
        record = dict(past.record)
        custom = record.get("custom")
        if not isinstance(custom, dict):
            raise InputError("unverifiable", "The record is not in the form of a decision.")
        kept = custom.get("input_artifact")
        try:
            if isinstance(kept, str):
                record["input"] = parse_json(self._home.artifacts.get(kept))
            if not record.get("erased") and not record.get("masked"):
                return record
            return restore(record, self._opened(past, custom))
        except NotFoundError as error:
            raise InputError("missing", error.message) from error
        except VerificationError as error:
            raise InputError("unverifiable", error.message) from error

    def _opened(self, past: Past, custom: Mapping[str, Any]) -> dict[str, Any]:
        payload = self._home.ledger.payload(past.facts.id)
        if payload is None:
            reader = Reader(self._home, settled=False)
            if any(reader.newest(kind) is not None for kind in ("erasure", "retention")):
                raise InputError("erased", "It cannot be replayed: its masked input was erased.")
            reason = f"{_SEAL} is gone, and no erasure or retention is in the log."
            raise InputError("missing", reason)
        try:
            disclosures = self._home.vault.open(payload)
        except LedgerError as error:
            raise InputError("missing", f"{_SEAL} cannot be opened: {error.message}") from error
        return check_disclosures(disclosures, custom.get("sealed"))


class Replayer:
    """Evaluates past decisions again, each by the bundle that it names.

    Args:
        home: Whose log.
        decisions: The decisions in it.
    """

    def __init__(self, home: Home, decisions: PastDecisions) -> None:
        self._home = home
        self._decisions = decisions
        self._engines: dict[str, Engine | InputError] = {}

    def replay(self, past: Past) -> Replayed:
        """Evaluate one decision again; nothing but its record and its bundle is looked at."""
        trouble = undecided(past)
        if trouble:
            return Replayed(past, "undecided", trouble)
        try:
            document, recorded = self._decisions.opened(past)
            engine = self._engine(past.facts.bundle)
        except InputError as error:
            return Replayed(past, error.status, error.reason)
        answer = answer_of(engine, past.facts.entrypoint, document)
        if canonical_input(answer) == canonical_input(recorded):
            return Replayed(past, "agrees", answer=answer)
        return Replayed(past, "differs", "The kept bundle decides otherwise.", answer)

    def _engine(self, revision: str) -> Engine:
        if revision not in self._engines:
            self._engines[revision] = self._open(revision)
        found = self._engines[revision]
        if isinstance(found, InputError):
            raise InputError(found.status, found.reason)
        return found

    def _open(self, revision: str) -> Engine | InputError:
        try:
            return EmbeddedEngine(bundle=kept_bundle(self._home, revision))
        except NotFoundError as error:
            return InputError("missing", error.message)
        except AffidavitError as error:
            return InputError("unverifiable", error.message)


def replay(
    home: Home,
    decisions: PastDecisions,
    pasts: Sequence[Past],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Replayed]:
    """Evaluate decisions again.

    Args:
        home: Whose log.
        decisions: Reads it.
        pasts: Which.
        progress: Told how far it is.
    """
    replayer, found = Replayer(home, decisions), []
    for number, past in enumerate(pasts, 1):
        found.append(replayer.replay(past))
        if number % 50 == 0 or number == len(pasts):
            progress(number, len(pasts))
    return found


def exit_code(counts: Mapping[Status, int]) -> int:
    """Return how a command ends: 1 where an answer differs, 4 where evidence lacks, else 0."""
    if counts.get("differs"):
        return 1
    return 4 if any(counts.get(name) for name in _LACKING) else 0


def answer_of(engine: Engine, entrypoint: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an engine answers, in the form of a decision's result."""
    decided = engine.decide(entrypoint, document).to_dict()
    return {key: decided[key] for key in RESULT}


def undecided(past: Past) -> str:
    """Return why no rules gave a denial, as where no engine answered; empty where rules did."""
    deny = past.facts.result.get("deny")
    for reason in deny if isinstance(deny, list) else ():
        rule = reason.get("rule") if isinstance(reason, dict) else None
        if isinstance(rule, str) and rule.startswith(("engine.", "input.")):
            return f"No rules decided: {rule}."
    return ""


def since_moment(text: str) -> datetime:
    """Return a moment that somebody gave as a date or as RFC 3339.

    Raises:
        ConfigurationError: It is neither.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no moment.", hint="Give 2026-11-21 or 2026-11-21T08:00:00Z."
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        # What cannot be read is not left out.
        return datetime.max.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
