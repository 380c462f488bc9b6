"""`@aff.serve`: a prediction function whose every prediction is decided on and recorded."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from affidavit._call import guarded
from affidavit._context import acting, note_served, prediction_ids, present
from affidavit._frame_columns import column_names
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._models import resolve, verdict_evidence
from affidavit._named_keys import NamedKeys
from affidavit._payload_rows import input_rows, json_safe, output_rows
from affidavit._policy import Question, Ruling, enforce, unmet
from affidavit._recording import note_gap, record
from affidavit._settings import Settings
from affidavit.errors import LedgerError, ObligationError, SubjectKeyConflictError
from affidavit.lineage import SealedPayload, new_id, record_bytes, timestamp
from affidavit.policies import Obligation, apply_obligations, apply_to_record

__all__ = ["RESOLVED_SECONDS", "prediction_ids", "serve"]

P = ParamSpec("P")
R = TypeVar("R")

RESOLVED_SECONDS = 2.0
"""How long a process goes on with a model before it asks the ledger again which one is meant."""
_LONGEST_STREAM = 1000
_ATTEMPTS = 5


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
        return guarded(function, lambda: _ServeGuard(reference, purpose, subject))

    return decorate


class _ServeGuard:
    """One served call."""

    def __init__(
        self, reference: str, purpose: str, subject: str | Callable[[Mapping[str, Any]], str]
    ) -> None:
        self._reference = reference
        self._purpose = purpose
        self._subject = subject
        self._settings: Settings
        self._home: Home
        self._model: ModelReference
        self._ruling: Ruling
        self._rows: list[dict[str, Any]] = []
        self._streamed: list[Any] = []

    def begin(self, bound: inspect.BoundArguments) -> None:
        self._settings, self._home = present()
        self._model, evidence = _resolve(self._home, self._reference)
        question = Question(
            "affidavit/serve",
            "model.serve",
            "model",
            self._model.name,
            self._model.digest,
            self._purpose,
            extra={"evidence": evidence},
        )
        self._ruling = enforce(self._home, self._settings, question)
        names = [name for name in bound.arguments if name not in {"self", "cls"}]
        given = bound.arguments[names[0]] if names else {}
        if self._ruling.decision.obligations:
            given = self._govern(question, given)
            if names:
                bound.arguments[names[0]] = given
        self._rows = input_rows(given)

    def _govern(self, question: Question, given: Any) -> Any:
        try:
            return _met(given, self._ruling.decision.obligations, NamedKeys(self._home))
        except ObligationError as error:
            raise unmet(question, self._ruling, error, acting(self._settings)) from error

    def active(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def item(self, value: Any) -> Any:
        if len(self._streamed) < _LONGEST_STREAM:
            self._streamed.append(json_safe(value))
        return value

    def done(self, result: Any) -> Any:
        output = self._streamed or result
        self._record("served", output_rows(output, len(self._rows)))
        return result

    def failed(self, error: BaseException) -> None:
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
            "time": timestamp(),
            "model": self._model.name,
            "version": self._model.version,
            "model_digest": self._model.digest,
            "actor": acting(self._settings),
            "purpose": self._purpose,
            "decision": self._ruling.id,
            "outcome": outcome,
            **more,
        }
        what = f"{len(identifiers)} prediction(s) of {self._model.name}"
        for attempt in range(_ATTEMPTS):
            try:
                sealed = self._seal_all(identifiers, outputs)
            except LedgerError as error:
                if self._settings.on_error == "block" and outcome == "served":
                    raise
                note_gap(self._home, self._settings, what, error, entries=len(identifiers))
                return
            bodies = [
                record_bytes("prediction", {**fields, "id": payload.id, "fields": digests})
                for payload, digests in sealed
            ]
            try:
                record(
                    self._home,
                    self._settings,
                    what,
                    *bodies,
                    payloads=[payload for payload, _ in sealed],
                    happened=outcome != "served",
                )
                break
            except SubjectKeyConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
        note_served(identifiers)

    def _seal_all(
        self, identifiers: list[str], outputs: list[Any]
    ) -> list[tuple[SealedPayload, list[str]]]:
        keys: dict[str, bytes] = {}
        return [
            self._seal(identifier, row, output, keys)
            for identifier, row, output in zip(identifiers, self._rows, outputs, strict=True)
        ]

    def _seal(
        self, identifier: str, row: dict[str, Any], output: Any, keys: dict[str, bytes]
    ) -> tuple[SealedPayload, list[str]]:
        vault = self._home.vault
        subject = vault.pseudonym(self._subject_of(row) or identifier)
        wrapped = keys.get(subject)
        if wrapped is None and self._subject:
            wrapped = self._home.ledger.subject_keys([subject]).get(subject)
        fields = {f"features.{name}": value for name, value in row.items()}
        payload, digests = vault.seal(identifier, subject, {**fields, "output": output}, wrapped)
        keys[subject] = payload.wrapped_key
        return payload, digests

    def _subject_of(self, row: Mapping[str, Any]) -> str:
        if callable(self._subject):
            return str(self._subject(row))
        value = row.get(self._subject) if self._subject else None
        return "" if value is None else str(value)


def _met(given: Any, obligations: Sequence[Obligation], keys: Mapping[str, bytes]) -> Any:
    """Return what a function is given in place of its features, with the obligations met."""
    if isinstance(given, Mapping):
        return apply_to_record(given, obligations, keys=keys)[0]
    if isinstance(given, list) and all(isinstance(row, Mapping) for row in given):
        return [apply_to_record(row, obligations, keys=keys)[0] for row in given]
    if column_names(given) is not None:
        return apply_obligations(given, obligations, keys=keys)[0]
    kinds = {item.kind for item in obligations} - {"exclude_as_feature", "log_full"}
    if not kinds:
        return given
    raise ObligationError(
        f"The obligation {min(kinds)!r} cannot be met on a {type(given).__name__}.",
        hint="Take the features as a mapping, a list of mappings or a data frame.",
    )


_Resolved = tuple[ModelReference, dict[str, Any]]
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
