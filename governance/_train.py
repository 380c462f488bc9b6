"""`@aff.train`: a training function whose every call is a run."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from affidavit._call import guarded
from affidavit._context import acting, current_run, present
from affidavit._excluded import check_excluded, note_exclusions
from affidavit._frame_columns import column_names
from affidavit._named_keys import NamedKeys
from affidavit._obliged import check_approval, training_met
from affidavit._policy import enforce, unmet
from affidavit._question import Question
from affidavit._run import Run, take_argument
from affidavit.errors import AffidavitError, ObligationError

P = ParamSpec("P")
R = TypeVar("R")


def train(
    name: str, *, sensitive: Sequence[str] = (), purpose: str = ""
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each call of a training function as a run.

    The policy is asked first. Arguments become parameters (plain values) or inputs (frames, arrays,
    paths, estimators), what is returned becomes an output, and a fitted model is kept. Code,
    environment, parameters and metrics are signed as SLSA provenance, for failed calls too.

    Args:
        name: The system's name, such as ``credit-risk``.
        sensitive: The sensitive features that the promotion gate wants fairness evidence for.
        purpose: What the model is for.

    Returns:
        A decorator for a function, method, coroutine or generator. A model is whatever has
        ``predict``, alone or in a tuple or dict, whose
        numbers are metrics; of a generator it is what it returns, or yields last.

    Raises:
        PolicyDenied: (from the decorated function) the policy does not allow the training.
    """
    features = tuple(sensitive)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return guarded(function, lambda: _TrainGuard(name, features, purpose, function))

    return decorate


class _TrainGuard:
    """One training run."""

    def __init__(self, name: str, sensitive: tuple[str, ...], purpose: str, function: Any) -> None:
        self._name = name
        self._sensitive = sensitive
        self._purpose = purpose
        self._function = function
        self._run: Run
        self._last: Any = None
        self._frames: list[Any] = []

    def begin(self, bound: inspect.BoundArguments) -> None:
        settings, home = present()
        self._run = Run(
            home,
            settings,
            self._name,
            kind="train",
            function=self._function,
            purpose=self._purpose,
            sensitive=self._sensitive,
        )
        question = Question(
            "affidavit/train",
            "model.train",
            "model",
            self._name,
            purpose=self._purpose,
            extra={"declared": {"sensitive": list(self._sensitive)}},
        )
        ruling = enforce(home, settings, question, run=self._run.id)
        self._run.decision = ruling.id
        obligations = ruling.decision.obligations
        if obligations:
            try:
                check_approval(home, "", obligations)
                excluded = training_met(bound, obligations, NamedKeys(home))
                note_exclusions(home, self._name, excluded)
            except ObligationError as error:
                if settings.mode == "enforce":
                    raise unmet(question, ruling, error, acting(settings)) from error
        for name, value in _arguments(bound):
            if name not in {"self", "cls"}:
                take_argument(self._run, name, value)
                if column_names(value) is not None:
                    self._frames.append(value)

    @contextlib.contextmanager
    def _in_run(self) -> Iterator[None]:
        before = current_run.get()
        current_run.set(self._run)
        try:
            yield
        finally:
            current_run.set(before)

    def active(self) -> AbstractContextManager[object]:
        return self._in_run()

    def item(self, value: Any) -> Any:
        self._last = value
        return value

    def done(self, result: Any) -> Any:
        outcome = self._last if result is None else result
        violated: ObligationError | None = None
        try:
            things = list(_things(outcome))
            violated = self._check_excluded(things)
            for name, thing in () if violated else things:
                self._take(name, thing)
            self._run.end(violated)
        except AffidavitError as error:
            # Hours of training are not thrown away because a disk is full.
            error.result = outcome  # type: ignore[attr-defined]  # an attribute for whoever catches it
            error.add_note("What the training function returned is the `result` of this error.")
            with contextlib.suppress(AffidavitError):
                self._run.end(error)
            raise
        if violated is not None:
            raise violated
        return result

    def failed(self, error: BaseException) -> None:
        self._run.end(error)

    def _check_excluded(self, things: list[tuple[str, Any]]) -> ObligationError | None:
        found = [
            item
            for _, thing in things
            if hasattr(thing, "predict")
            for item in check_excluded(self._run.home, thing, self._frames)
        ]
        self._run.obligations = [item.to_dict() for item in found]
        used = [item for item in found if item.outcome == "violated"]
        if not used:
            return None
        return ObligationError(
            f"The model {self._name!r} learns from {used[0].column!r}, which the policy lets be "
            f"read from {used[0].dataset!r} but not be used as a feature.",
            hint="Train without the column; it may stay in the frame for measuring fairness.",
        )

    def _take(self, name: str, thing: Any) -> None:
        if hasattr(thing, "predict"):
            self._run.produce(thing, self._name)
        elif isinstance(thing, os.PathLike):
            self._run.produce(thing)
        elif name:
            value = thing.item() if getattr(thing, "ndim", None) == 0 else thing
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._run.metric(name, value)


def _arguments(bound: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """Give each argument by name, those that came as further keywords one by one."""
    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items()
        else:
            yield name, value


def _things(outcome: Any) -> Iterator[tuple[str, Any]]:
    """Give what a training function returned, piece by piece, the items of a dict by name."""
    for thing in outcome if isinstance(outcome, tuple | list) else (outcome,):
        if isinstance(thing, dict):
            yield from ((str(name), value) for name, value in thing.items())
        else:
            yield "", thing
