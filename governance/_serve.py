"""`@aff.serve`: a prediction function whose every prediction is decided on and recorded."""

from __future__ import annotations

import contextlib
import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from affidavit._call import guarded
from affidavit._context import acting, current_client, note_served, prediction_ids, present
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._models import resolve, verdict_evidence
from affidavit._named_keys import NamedKeys
from affidavit._obliged import check_approval, check_others, features_met, output_met
from affidavit._payload_rows import input_rows, json_safe, output_rows, plain_row, plain_value
from affidavit._policy import Ruling, enforce, unmet
from affidavit._predictions import MOST_FIELDS, Predictions, make_records
from affidavit._question import Question
from affidavit._rate_limits import RateLimit, rate_limits
from affidavit._recording import note_gap, record, spool
from affidavit._serve_plan import ServePlan
from affidavit._settings import Settings
from affidavit.errors import LedgerError, ObligationError, SubjectKeyConflictError
from affidavit.lineage import MESSAGE, new_id, timestamp
from affidavit.policies import Obligation

__all__ = ["RESOLVED_SECONDS", "prediction_ids", "serve"]

P = ParamSpec("P")
R = TypeVar("R")

RESOLVED_SECONDS = 2.0
"""How long a process goes on with a model before it asks the ledger again which one is meant."""
FRESH_SECONDS = 0.01
"""How long a served function goes on with settings before it looks for a change of them."""
_LONGEST_STREAM = 1000
_MOST_CALLERS = 256
_ATTEMPTS = 5
_NOTHING = contextlib.nullcontext()
_MOST_ROWS = 1000


def serve(
    reference: str,
    *,
    purpose: str = "",
    subject: str | Callable[[Mapping[str, Any]], str] = "",
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Govern and record each call of a prediction function.

    The policy is asked, and its answer is in the ledger, before the function runs. Each prediction
    then has an id and a record; its features and output are sealed under the data subject's key,
    and the log holds salted digests of them.

    Args:
        reference: The model that the function serves, such as ``credit-risk@production``.
        purpose: What the predictions are for.
        subject: Who a prediction is about: the name of a feature, or a function of the features.
            Without it each prediction has a key of its own.

    Returns:
        A decorator for a function, method, coroutine or generator whose first argument is the
        features: a mapping, a pydantic model, a data frame, an array or a list of mappings.

    Raises:
        NotFoundError: (from the decorated function) there is no such model.
        PolicyDenied: (likewise) the policy does not allow the call.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        served = _Served(reference, purpose, subject)
        return guarded(function, lambda: _ServeGuard(served))

    return decorate


class _Served:
    """One decorated function."""

    def __init__(
        self, reference: str, purpose: str, subject: str | Callable[[Mapping[str, Any]], str]
    ) -> None:
        self.reference = reference
        self.purpose = purpose
        self._subject = subject
        self._plans: _Plans = ((None, None, None), {})
        self._present: tuple[float, Settings, Home] | None = None

    def present(self) -> tuple[Settings, Home]:
        """Return the settings in force and the home, as they were a moment ago at the most."""
        known, now = self._present, time.monotonic()
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1], known[2]
        settings, home = present()
        self._present = (now, settings, home)
        return settings, home

    def plan(self, home: Home, settings: Settings, resolved: _Resolved, actor: str) -> ServePlan:
        """Return the plan of a call, an earlier one's where nothing has changed."""
        base, plans = self._plans
        if base[0] is not home or base[1] is not settings or base[2] is not resolved:
            plans = {}
            self._plans = ((home, settings, resolved), plans)
        caller = (actor, current_client.get())
        plan = plans.get(caller)
        if plan is not None:
            return plan
        model, evidence = resolved
        question = Question(
            "affidavit/serve",
            "model.serve",
            "model",
            model.name,
            model.digest,
            self.purpose,
            extra={"evidence": evidence},
        )
        fields = {
            "model": model.name,
            "version": model.version,
            "model_digest": model.digest,
            "actor": actor,
            "purpose": self.purpose,
        }
        plan = ServePlan(home, settings, question, actor, fields)
        if len(plans) >= _MOST_CALLERS:
            plans.clear()
        plans[caller] = plan
        return plan

    def subject_of(self, row: Mapping[str, Any]) -> str:
        """Return whom a row is about; nothing where it is a subject of its own."""
        if callable(self._subject):
            return str(self._subject(row))
        value = row.get(self._subject) if self._subject else None
        return "" if value is None else str(value)

    def named_in(self, given: Any) -> str:
        """Return whom a call is about before the policy has allowed to look closer.

        Nothing of the user's is called for it, and features that are no mapping are not read.
        """
        plain = isinstance(given, Mapping) and not callable(self._subject)
        return self.subject_of(given) if plain else ""


class _ServeGuard:
    """One served call."""

    # What most calls leave as it is, and so does not cost them anything.
    _obligations: Sequence[Obligation] = ()
    _pseudonyms: frozenset[str] = frozenset()
    _observed: Mapping[str, str] = MappingProxyType({})
    _refused = False

    def __init__(self, served: _Served) -> None:
        self._served = served
        self._settings: Settings
        self._home: Home
        self._actor: str
        self._model: ModelReference
        self._ruling: Ruling
        self._plan: ServePlan
        self._subject = ""
        self._plain: bytes | None = None
        self._rows: list[dict[str, Any]] = []
        self._streamed: list[Any] = []

    def begin(self, bound: inspect.BoundArguments) -> None:
        self._settings, self._home = self._served.present()
        resolved = _resolve(self._home, self._served.reference)
        self._model = resolved[0]
        self._actor = acting(self._settings)
        self._plan = plan = self._served.plan(self._home, self._settings, resolved, self._actor)
        question = plan.question
        names = [name for name in bound.arguments if name not in {"self", "cls"}]
        given = bound.arguments[names[0]] if names else {}
        whose = self._served.named_in(given) if plan.masks else ""
        if self._settings.durability == "log":
            self._ruling = enforce(self._home, self._settings, question, subject=whose)
        else:
            self._ruling = plan.enforce(whose)
        if self._ruling.decision.obligations:
            self._count(plan)
            if self._obligations:
                given = self._govern(bound, names)
        if self._settings.durability != "log" and not self._observed:
            self._plain = plain_row(given)
        if self._plain is not None and len(given) <= MOST_FIELDS:
            self._subject = self._served.subject_of(given)
            # It is decoded only where more than the plain case comes of it.
            return
        self._plain = None
        self._rows = input_rows(given)

    def _count(self, plan: ServePlan) -> None:
        """Count the call against the limits of its rate; what else is asked of it is left."""
        limits: Sequence[RateLimit] = ()
        try:
            limits, self._obligations = plan.rates(self._ruling.decision)
            if limits:
                key = self._home.vault.named_key("rate limits")
                rate_limits(self._home.folder, key).take(limits)
        except ObligationError as error:
            self._unmet(error, [{}])

    def _govern(self, bound: inspect.BoundArguments, names: list[str]) -> Any:
        """Meet the obligations on what the function is given."""
        given = bound.arguments[names[0]] if names else {}
        obligations = self._obligations
        keys = NamedKeys(self._home)
        try:
            check_approval(self._home, self._model.digest, obligations)
            check_others({name: bound.arguments[name] for name in names[1:]}, obligations)
            given, self._pseudonyms = features_met(given, obligations, keys)
        except ObligationError as error:
            # Features that the policy keeps from the function are not kept in its record either.
            self._unmet(error, [{}])
        if names:
            bound.arguments[names[0]] = given
        return given

    def _unmet(self, error: ObligationError, rows: list[dict[str, Any]]) -> None:
        """Refuse the call, and record that; where denials are only observed, note it and go on."""
        if self._settings.mode == "observe":
            self._observed = {"unmet": error.message}
            return
        self._rows, self._plain, self._refused = rows, None, True
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        self._record("refused", [None] * len(rows), error=name)
        raise unmet(self._plan.question, self._ruling, error, self._actor) from error

    def _given_back(self, value: Any) -> Any:
        """Meet the obligations on what the function gives back."""
        try:
            keys = NamedKeys(self._home)
            return output_met(value, self._obligations, keys, self._pseudonyms)
        except ObligationError as error:
            self._decode()
            self._unmet(error, self._rows)
            return value

    def active(self) -> AbstractContextManager[object]:
        return _NOTHING

    def item(self, value: Any) -> Any:
        if self._obligations:
            value = self._given_back(value)
        if len(self._streamed) < _LONGEST_STREAM:
            self._streamed.append(json_safe(value))
        return value

    def done(self, result: Any) -> Any:
        if self._obligations and result is not None:
            result = self._given_back(result)
        if self._plain is not None and not self._streamed and not self._observed:
            plain = plain_value(result)
            if plain is not None:
                self._keep_plain(self._plain, plain)
                return result
        self._decode()
        output = self._streamed or result
        self._record("served", output_rows(output, len(self._rows)))
        return result

    def _decode(self) -> None:
        if self._plain is not None:
            self._rows = input_rows(json.loads(self._plain))

    def _keep_plain(self, features: bytes, output: bytes) -> None:
        identifier = new_id()
        content = self._plan.prediction.fill(
            time=timestamp(),
            decision=self._ruling.id,
            identifier=identifier,
            subject=self._subject,
            features=features,
            output=output,
        )
        what = self._plan.what
        spool(self._home, self._settings, what, MESSAGE, 1, lambda *_: content)
        note_served([identifier])

    def failed(self, error: BaseException) -> None:
        if self._refused:  # a stream that was refused in the middle
            return
        self._decode()
        if isinstance(error, GeneratorExit):
            self._record("closed", [self._streamed] * len(self._rows))
            return
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        self._record("failed", [None] * len(self._rows), error=name)

    def _record(self, outcome: str, outputs: list[Any], **more: str) -> None:
        if not self._rows:
            return
        identifiers = [new_id() for _ in self._rows]
        fields = {
            **self._plan.fields,
            "time": timestamp(),
            "decision": self._ruling.id,
            "outcome": outcome,
            **self._observed,
            **more,
        }
        subject_of = self._served.subject_of
        rows = [
            (identifier, subject_of(row), row, output)
            for identifier, row, output in zip(identifiers, self._rows, outputs, strict=True)
        ]
        happened = outcome != "served"
        for start in range(0, len(rows), _MOST_ROWS):
            self._keep(Predictions(fields, rows[start : start + _MOST_ROWS]), happened=happened)
        note_served(identifiers)

    def _keep(self, said: Predictions, *, happened: bool) -> None:
        what = f"{len(said.rows)} prediction(s) of {self._model.name}"
        widest = max(len(features) for _, _, features, _ in said.rows)
        if self._settings.durability == "log" or widest > MOST_FIELDS:
            self._log(what, said, happened=happened)
            return
        content = said.to_bytes()
        spool(
            self._home,
            self._settings,
            what,
            MESSAGE,
            len(said.rows),
            lambda *_: content,
            happened=happened,
        )

    def _log(self, what: str, said: Predictions, *, happened: bool) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                (made,) = make_records(self._home, [(said, {})])
            except LedgerError as error:
                if self._settings.on_error == "block" and not happened:
                    raise
                note_gap(self._home, self._settings, what, error, entries=len(said.rows))
                return
            try:
                record(
                    self._home,
                    self._settings,
                    what,
                    *made.bodies,
                    payloads=made.payloads,
                    happened=happened,
                )
                return
            except SubjectKeyConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise


_Resolved = tuple[ModelReference, dict[str, Any]]
_Plans = tuple[tuple[object, object, object], dict[tuple[str, str], ServePlan]]
_resolved: dict[tuple[str, str], tuple[float, _Resolved]] = {}
_resolved_lock = threading.Lock()


def _resolve(home: Home, reference: str) -> _Resolved:
    key = (str(home.folder), reference)
    now = time.monotonic()
    found = _resolved.get(key)
    if found is not None and now - found[0] < RESOLVED_SECONDS:
        return found[1]
    model = resolve(home, reference)
    answer = (model, verdict_evidence(home, model))
    with _resolved_lock:
        _resolved[key] = (now, answer)
    return answer
