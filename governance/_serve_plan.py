"""What stays the same from one served call to the next: the question, and how its answer is told.

The parts of a decision's record that do not change are encoded once, so that a call costs little
more than its own features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from affidavit._context import current_client
from affidavit._decision_record import decision_event
from affidavit._engines import engine_for
from affidavit._home import Home
from affidavit._kept_bundles import BundleKeeper
from affidavit._policy import Ruling, denied, digest_key, rule
from affidavit._predictions import PredictionTemplate
from affidavit._question import Question
from affidavit._rate_limits import RateLimit, rates_of
from affidavit._recording import record, spool
from affidavit._sealed_decisions import message_of
from affidavit._settings import Settings
from affidavit.errors import FingerprintError, PolicyEngineError
from affidavit.lineage import (
    MAX_ENTRY,
    MESSAGE,
    RECORDS,
    Hole,
    RecordTemplate,
    dump_json,
    new_id,
    pack_record,
    timestamp,
)
from affidavit.policies import CachedEngine, Decision, Obligation, StandingDigest

_Rates = tuple[tuple[RateLimit, ...], tuple[Obligation, ...]]
_ROOM = 400
"""How much longer than its template a record may get."""


class _Told(NamedTuple):
    """How a decision is told.

    Args:
        decision: The decision.
        template: Its record, less what differs from call to call; None where it cannot be told so.
        taken: What the mask takes out of it, as JSON; empty where it takes nothing out.
    """

    decision: Decision | None
    template: RecordTemplate | None
    taken: bytes


class ServePlan:
    """The question that a served function puts, for one model, actor and state of the settings.

    Args:
        home: Where the answers are recorded.
        settings: Which engine decides, on which data.
        question: What is asked each time.
        actor: Who asks.
        fields: What the records of its predictions have in common.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        question: Question,
        actor: str,
        fields: Mapping[str, Any],
    ) -> None:
        self.question = question
        self.fields = fields
        self.prediction = PredictionTemplate(fields)
        self.what = f"1 prediction(s) of {question.name}"
        self._home = home
        self._settings = settings
        self._actor = actor
        self._document = question.document(settings, time="", request="")
        key = digest_key(home, settings, question)
        self._engine = engine_for(settings, key)
        self._standing = (
            self._engine.standing(question.entrypoint, self._document)
            if isinstance(self._engine, CachedEngine)
            else None
        )
        self._digest = _standing_digest(self._document, key)
        self._told = _Told(None, None, b"")
        self._writer = ("", b"")
        self._client = current_client.get()
        self._rates: tuple[Decision | None, _Rates] = (None, ((), ()))
        self._what = f"decision {question.entrypoint}"
        self.masks = bool(settings.mask.apply({"input": self._document})[1])
        """Whether the mask takes something out of the input."""

    def enforce(self, subject: str = "") -> Ruling:
        """Put the question, spool the answer, and raise where it is no.

        Args:
            subject: Whose data the mask takes out of the record; the actor's where empty.

        Raises:
            PolicyDenied: The answer is no, and denials are enforced.
            LedgerError: The answer cannot be recorded.
        """
        identifier, now = new_id(), timestamp()
        if self._standing is not None:
            decision = self._standing.decide(now, identifier)
        else:
            document = {**self._document, "time": now, "request_id": identifier}
            decision = self._engine.decide(self.question.entrypoint, document)
        told = self._told
        if told.decision is not decision:
            told = self._tell(decision)
        template, standing = told.template, self._digest
        if template is None or standing is None:
            # What no entry can hold as it is takes the way that keeps it beside the log.
            ruling = rule(self._home, self._settings, self.question, subject=subject)
        else:
            said, at = identifier.encode(), now.encode()
            digest = b'"hmac-sha256:' + standing.digest(said, at) + b'"'
            facts = {"id": b'"' + said + b'"', "time": b'"' + at + b'"', "digest": digest}
            self._spool(template, facts, told.taken, subject)
            ruling = Ruling(identifier, decision)
        if not ruling.decision.allow and self._settings.mode == "enforce":
            raise denied(self.question, ruling, self._actor)
        return ruling

    def rates(self, decision: Decision) -> _Rates:
        """Return the rates to which a decision limits the caller, and what else it asks.

        Raises:
            ObligationError: A rate is one of clients, and the client is not known.
        """
        known, found = self._rates
        if known is not decision:
            found = rates_of(
                decision.obligations,
                model=self.question.name,
                actor=self._actor,
                client=self._client,
            )
            self._rates = (decision, found)
        return found

    def _spool(
        self, template: RecordTemplate, facts: dict[str, bytes], taken: bytes, subject: str
    ) -> None:
        if taken:
            filled = template.fill(facts)
            content = message_of(filled, subject or self._actor, taken)
            spool(self._home, self._settings, self._what, MESSAGE, 1, lambda *_: content)
            return

        def body(writer: str, number: int) -> bytes:
            known, whose = self._writer
            if known != writer:
                whose = b'"%b"' % writer.encode()
                self._writer = (writer, whose)
            facts["writer"], facts["number"] = whose, b"%d" % number
            return pack_record(template.fill(facts))

        spool(self._home, self._settings, self._what, RECORDS, 1, body)

    def _tell(self, decision: Decision) -> _Told:
        identifier, now, digest = Hole("id"), Hole("time"), Hole("digest")
        document = {**self._document, "time": now, "request_id": identifier}
        origin = self._home.verifier.name
        event, taken = decision_event(self._settings, origin, decision, document, digest)
        holes: dict[str, Any] = {"decision_id": identifier, "timestamp": now}
        if not taken:
            holes |= {"writer": Hole("writer"), "number": Hole("number")}
        template, kept = None, b""
        # A mask may take out even what differs from call to call.
        if not _has_hole(taken):
            try:
                template = RecordTemplate("decision", {**event, **holes})
                kept = dump_json(taken) if taken else b""
            except FingerprintError:
                template = None
        if template is not None and template.size + len(kept) > MAX_ENTRY - _ROOM:
            template = None
        if template is not None:
            self._keep_bundle(decision)
        self._told = told = _Told(decision, template, kept)
        return told

    def _keep_bundle(self, decision: Decision) -> None:
        keeper = BundleKeeper.of(self._home)
        for statement in keeper.statements(self._settings, self._engine, decision):
            record(self._home, self._settings, f"policy bundle {decision.bundle_digest}", statement)


def _has_hole(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_hole(item) for item in value.values())
    return isinstance(value, Hole)


def _standing_digest(document: Mapping[str, Any], key: bytes) -> StandingDigest | None:
    try:
        found = StandingDigest(document, key)
    except PolicyEngineError:
        return None
    return found if found.sound else None
