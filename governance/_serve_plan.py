"""What stays the same from one served call to the next: the question, and how its answer is told.

The parts of a decision's record that do not change are encoded once, so that a call costs little
more than its own features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affidavit._context import current_client
from affidavit._engines import engine_for
from affidavit._home import Home
from affidavit._policy import Ruling, decision_fields, denied, digest_key, rule
from affidavit._predictions import PredictionTemplate
from affidavit._question import Question
from affidavit._rate_limits import RateLimit, rates_of
from affidavit._recording import spool
from affidavit._settings import Settings
from affidavit.errors import FingerprintError
from affidavit.lineage import (
    MAX_ENTRY,
    RECORDS,
    Hole,
    RecordTemplate,
    new_id,
    pack_records,
    timestamp,
)
from affidavit.policies import CachedEngine, Decision, Obligation

_Rates = tuple[tuple[RateLimit, ...], tuple[Obligation, ...]]
_HOLES = ("id", "time", "writer", "number")


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
        self._engine = engine_for(settings, digest_key(home, settings, question))
        self._standing = (
            self._engine.standing(question.entrypoint, self._document)
            if isinstance(self._engine, CachedEngine)
            else None
        )
        self._client = current_client.get()
        self._rates: tuple[Decision | None, _Rates] = (None, ((), ()))
        self._told: tuple[Decision | None, RecordTemplate | None] = (None, None)
        self._what = f"decision {question.entrypoint}"

    def enforce(self) -> Ruling:
        """Put the question, spool the answer, and raise where it is no.

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
        template = self._template(decision)
        if template is None:
            # What no entry can hold as it is takes the way that keeps it beside the log.
            ruling = rule(self._home, self._settings, self.question)
        else:
            said, at = b'"%b"' % identifier.encode(), b'"%b"' % now.encode()

            def body(writer: str, number: int) -> bytes:
                whose = b'"%b"' % writer.encode()
                filled = template.fill(id=said, time=at, writer=whose, number=b"%d" % number)
                return pack_records([filled])

            spool(self._home, self._settings, self._what, RECORDS, 1, body)
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

    def _template(self, decision: Decision) -> RecordTemplate | None:
        known, template = self._told
        if known is decision:
            return template
        holes: dict[str, Any] = {name: Hole(name) for name in _HOLES}
        document = {**self._document, "time": holes["time"], "request_id": holes["id"]}
        fields = decision_fields(
            self._settings, self.question, decision, document, identifier="", time=""
        )
        try:
            template = RecordTemplate("decision", {**fields, "input": document, **holes})
        except FingerprintError:
            template = None
        if template is not None and template.size > MAX_ENTRY - 200:
            template = None
        self._told = (decision, template)
        return template
