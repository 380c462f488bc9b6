"""`@aff.data`: a governed read. Policy first, then the read, then its obligations on the frame."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from affidavit._call import gives_stream, guarded
from affidavit._context import acting, current_run, present, run_id
from affidavit._excluded import note_exclusions
from affidavit._frame_columns import check_tagged, column_names, how_to_collect, row_count
from affidavit._home import Home
from affidavit._named_keys import NamedKeys
from affidavit._obliged import check_approval
from affidavit._policy import Ruling, enforce, unmet
from affidavit._question import Question
from affidavit._recording import record
from affidavit._run import keep_parts, resource_of
from affidavit._settings import Settings
from affidavit._untagged import proposals_for
from affidavit.errors import FingerprintError, ObligationError
from affidavit.lineage import DATASET, Resource, Statement, code_facts, fingerprint_parts, timestamp
from affidavit.policies import AppliedObligation, apply_obligations, tags_in_metadata

P = ParamSpec("P")
R = TypeVar("R")
_Met = tuple[Any, tuple[AppliedObligation, ...], dict[str, Any]]


def data(
    name: str,
    *,
    purpose: str = "",
    columns: Mapping[str, list[str]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Govern the reading of a dataset.

    The policy is asked before the function runs and again, about the columns that came back,
    before the caller sees them; its obligations are applied to the frame and checked on it. Source
    and result are fingerprinted and signed into the ledger.

    Args:
        name: The dataset's name.
        purpose: What it is read for.
        columns: Tags of sensitive columns, such as ``{"sex": ["sensitive"]}``; added to those
            declared in ``affidavit.toml``.

    Returns:
        A decorator for a function, method, coroutine or generator that returns or yields data
        frames.

    Raises:
        PolicyDenied: (from the decorated function) the policy does not allow the read.
        ObligationError: (likewise) an obligation could not be met.
    """
    declared = {column: list(tags) for column, tags in (columns or {}).items()}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return guarded(function, lambda: _DataGuard(name, purpose, declared, function))

    return decorate


class _DataGuard:
    """One governed read."""

    def __init__(
        self, name: str, purpose: str, declared: Mapping[str, list[str]], function: Any
    ) -> None:
        self._name = name
        self._purpose = purpose
        self._declared = declared
        self._function = function
        self._settings: Settings
        self._home: Home

    def begin(self, bound: inspect.BoundArguments) -> None:
        del bound
        self._settings, self._home = present()
        question = self._question(self._tags())
        ruling = enforce(self._home, self._settings, question, run=run_id())
        try:
            check_approval(self._home, "", ruling.decision.obligations)
        except ObligationError as error:
            if self._settings.mode == "enforce":
                self._record_none("refused", error)
                raise unmet(question, ruling, error, acting(self._settings)) from error

    def active(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def item(self, value: Any) -> Any:
        return self._govern(value)

    def done(self, result: Any) -> Any:
        # A generator may end without a value; one that it does return is data as well.
        if result is None and gives_stream(self._function):
            return None
        return self._govern(result)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):
            return
        self._record_none("failed", error)

    def _record_none(self, outcome: str, error: BaseException) -> None:
        work = {"outcome": outcome, "error": type(error).__qualname__}
        statement = self._statement(Resource(f"dataset/{self._name}", _EMPTY, "empty-v1"), (), work)
        what = f"{outcome} read of {self._name}"
        record(self._home, self._settings, what, statement, happened=True)

    def _tags(self) -> dict[str, list[str]]:
        found = self._settings.column_tags(self._name)
        for column, tags in self._declared.items():
            found[column] = sorted({*found.get(column, []), *tags})
        return found

    def _question(
        self,
        columns: Mapping[str, list[str]],
        digest: str = "",
        measures: Mapping[str, int] | None = None,
    ) -> Question:
        declared = self._settings.datasets.get(self._name, {})
        return Question(
            "affidavit/data_read",
            "data.read",
            "dataset",
            self._name,
            digest,
            self._purpose,
            tags=[str(tag) for tag in declared.get("tags", [])],
            columns=columns,
            extra={"measures": measures} if measures else None,
        )

    def _columns_of(self, frame: Any) -> list[str]:
        """Return the names of a frame's columns, where it is one that has rows."""
        collect = how_to_collect(frame)
        names = None if collect else column_names(frame)
        if names is not None:
            return names
        kind = type(frame)
        refused = FingerprintError(
            f"The reader of {self._name!r} gave a {kind.__module__}.{kind.__qualname__}, not a "
            f"data frame with rows.",
            hint=f"Return {collect}: obligations are met on rows, not on a query."
            if collect
            else "Return a pandas, Polars or Arrow frame, yield parts of one, or record other "
            "things with aff.run.",
        )
        self._record_none("refused", refused)
        raise refused

    def _met(self, frame: Any, names: list[str], question: Question, ruling: Ruling) -> _Met:
        """Return the frame with the obligations met on it, and what the record says of that."""
        obligations = ruling.decision.obligations
        try:
            check_approval(self._home, "", obligations)
            check_tagged(frame, names, self._tags_of(frame))
            governed, applied = apply_obligations(frame, obligations, keys=NamedKeys(self._home))
        except ObligationError as error:
            if self._settings.mode == "observe":
                return frame, (), {"unmet": error.message}
            self._record_none("refused", error)
            raise unmet(question, ruling, error, acting(self._settings)) from error
        return governed, applied, {}

    def _tags_of(self, frame: Any) -> dict[str, list[str]]:
        """Return the declared tags, and those that the frame's own metadata add."""
        found = self._tags()
        for column, tags in tags_in_metadata(frame).items():
            found[column] = sorted({*found.get(column, []), *tags})
        return found

    def _govern(self, frame: Any) -> Any:
        names = self._columns_of(frame)
        try:
            source, parts = fingerprint_parts(frame)
        except FingerprintError as error:
            self._record_none("refused", error)
            raise
        origin = Resource(f"{self._name} (source)", source.digest.value, source.digest.recipe)
        tags = self._tags_of(frame)
        columns = {column: tags.get(column, []) for column in names}
        question = self._question(columns, origin.digest, {"rows": row_count(frame)})
        ruling = enforce(self._home, self._settings, question, run=run_id())
        governed, applied, more = self._met(frame, names, question, ruling)
        proposed = proposals_for(self._settings, self._name, frame, tags)
        if proposed is not None:
            more["proposals"] = proposed
        for item in applied:
            if item.kind == "exclude_as_feature":
                note_exclusions(self._home, self._name, item.columns)
        result = resource_of(self._home, self._settings, governed, self._name, known=False)
        work = {
            "outcome": "read",
            "decision": ruling.id,
            "obligations": [item.to_dict() for item in applied],
            **more,
        }
        # The untouched source is named only where it differs: its digest would be a second name
        # for the same content.
        inputs: tuple[Resource, ...] = ()
        if origin.digest != result.digest:
            # With its parts, so that what the obligations changed can be told column by column.
            if parts is not None:
                kept = keep_parts(self._home, self._settings, origin.name, parts)
                origin = replace(origin, annotations={"parts": kept})
            inputs = (origin,)
        record(
            self._home,
            self._settings,
            f"read of {self._name}",
            self._statement(result, inputs, work),
        )
        work_run = current_run.get()
        if work_run is not None:
            work_run.use(governed, self._name)
        return governed

    def _statement(
        self, subject: Resource, inputs: tuple[Resource, ...], work: Mapping[str, Any]
    ) -> Statement:
        predicate = {
            "name": self._name,
            "actor": acting(self._settings),
            "time": timestamp(),
            "purpose": self._purpose,
            "code": code_facts(self._function),
            "run": run_id(),
            "inputs": [item.to_json() for item in inputs],
            **work,
        }
        return Statement((subject,), DATASET, predicate)


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: the subject of a read that gave nothing."""
