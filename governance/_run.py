"""Runs: what went in, what came out, with which code and environment, as signed provenance.

A run becomes one SLSA provenance v1 statement when it ends, whether it completed or failed.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from affidavit._context import acting, current_run, present
from affidavit._home import Home
from affidavit._models import keep_model
from affidavit._obliged import check_approval, check_none
from affidavit._parameters import is_plain, recorded_value
from affidavit._policy import enforce, unmet
from affidavit._question import Question
from affidavit._recording import keep_artifact, record
from affidavit._settings import Settings
from affidavit.errors import AffidavitError, ConfigurationError, FingerprintError, ObligationError
from affidavit.lineage import (
    MAX_ENTRY,
    PROVENANCE,
    RUN_FIELD,
    FileCache,
    Resource,
    Statement,
    code_facts,
    dump_json,
    environment_facts,
    fingerprint_parts,
    new_id,
    timestamp,
)

BUILD_TYPES = {"train": "urn:affidavit:training:v1", "run": "urn:affidavit:run:v1"}


class Run:
    """One piece of work under way.

    Args:
        home: Where it is recorded.
        settings: The settings in force.
        name: The system's name, such as ``credit-risk``.
        kind: ``train`` or ``run``.
        function: The function whose source is recorded; None for a `with` block.
        purpose: What the work is for.
        sensitive: The sensitive features that later evaluations must cover.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        name: str,
        *,
        kind: str = "run",
        function: Any = None,
        purpose: str = "",
        sensitive: tuple[str, ...] = (),
    ) -> None:
        self.id = new_id()
        self.name = name
        self.kind = kind
        self.decision = ""
        self.obligations: list[dict[str, str]] = []
        self.home = home
        self._settings = settings
        self._function = function
        self._purpose = purpose
        self._sensitive = sensitive
        self._started = timestamp()
        self._actor = acting(settings)
        self._inputs: list[Resource] = []
        self._outputs: list[Resource] = []
        self._parameters: dict[str, Any] = {}
        self._metrics: dict[str, float] = {}
        parent = current_run.get()
        self._parent = parent.id if parent else ""

    def use(self, thing: Any, name: str = "") -> Resource:
        """Record something as an input, by its content.

        Args:
            thing: A data frame, array, estimator, path, bytes or JSON value.
            name: What it is called; the dataset's own name where the ledger knows the content.

        Returns:
            The input as it will stand in the provenance.

        Raises:
            FingerprintError: It has no canonical digest, such as a frame that repeats a column.
        """
        resource = resource_of(
            self.home, self._settings, thing, name, cached=self._settings.file_cache
        )
        if resource.digest not in {item.digest for item in self._inputs}:
            self._inputs.append(resource)
        return resource

    def produce(self, thing: Any, name: str = "") -> Resource:
        """Record something as an output, by its content; a fitted model is kept as well.

        Args:
            thing: As for `use`.
            name: What it is called.
        """
        if hasattr(thing, "predict") and not isinstance(thing, str | bytes | os.PathLike):
            kept = keep_model(self.home, self._settings, thing, name or self.name)
            self._outputs.extend(kept)
            return kept[0]
        resource = resource_of(self.home, self._settings, thing, name, known=False)
        self._outputs.append(resource)
        return resource

    def metric(self, name: str, value: float) -> None:
        """Record a measured figure, such as ``run.metric("auc", 0.87)``.

        Raises:
            ConfigurationError: The value is not a finite number.
        """
        number = float(value)
        if not math.isfinite(number):
            raise ConfigurationError(f"The metric {name!r} is {number}, not a finite number.")
        self._metrics[name] = number

    def parameter(self, name: str, value: Any) -> None:
        """Record a parameter; what looks like a secret by its name or form is not recorded."""
        self._parameters[name] = recorded_value(name, value)

    def end(self, error: BaseException | None = None) -> None:
        """Write the run's provenance.

        Args:
            error: What the work raised, where it failed. Its type and place are recorded; its
                message is not, for it may carry personal data.
        """
        definition: dict[str, Any] = {
            "buildType": BUILD_TYPES[self.kind],
            "externalParameters": {
                "name": self.name,
                "purpose": self._purpose,
                "sensitive": list(self._sensitive),
                "parameters": self._parameters,
            },
            "internalParameters": {
                "code": code_facts(self._function) if self._function is not None else {},
                "environment": environment_facts(),
            },
            "resolvedDependencies": [resource.to_json() for resource in self._inputs],
        }
        ours: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "actor": self._actor,
            "status": "failed" if error else "completed",
            "metrics": self._metrics,
            "decision": self.decision,
            "obligations": self.obligations,
            "parent": self._parent,
        }
        if error is not None:
            ours["error"] = _describe(error)
        details = {
            "builder": {"id": "urn:affidavit:recorder", "version": {"affidavit": _version()}},
            "metadata": {
                "invocationId": self.id,
                "startedOn": self._started,
                "finishedOn": timestamp(),
            },
        }
        subjects = tuple(self._outputs)
        if not subjects:
            invocation = hashlib.sha256(dump_json({**definition, "id": self.id})).hexdigest()
            subjects = (Resource(f"run/{self.id}", invocation, "json-v1"),)
        statement = Statement(
            subjects,
            PROVENANCE,
            {"buildDefinition": definition, "runDetails": details, RUN_FIELD: ours},
        )
        if len(statement.to_bytes()) > MAX_ENTRY // 2:
            # An environment of very many packages stands beside the log, under its digest.
            kept = self.home.artifacts.put(dump_json(definition["internalParameters"]))
            definition["internalParameters"] = {"artifact": f"sha256:{kept}"}
        what = f"run {self.name} {self.id}"
        record(self.home, self._settings, what, statement, happened=error is not None)


@contextlib.contextmanager
def _running(name: str, purpose: str) -> Iterator[Run]:
    settings, home = present()
    work = Run(home, settings, name, purpose=purpose)
    question = Question("affidavit/train", "model.train", "model", name, purpose=purpose)
    ruling = enforce(home, settings, question, run=work.id)
    work.decision = ruling.id
    try:
        check_approval(home, "", ruling.decision.obligations)
        check_none("a block of code, whose data no hook sees", ruling.decision.obligations)
    except ObligationError as error:
        if settings.mode == "enforce":
            raise unmet(question, ruling, error, acting(settings)) from error
    before = current_run.get()
    current_run.set(work)
    try:
        yield work
    except BaseException as error:
        # The user's exception goes on whatever becomes of its record.
        try:
            work.end(error)
        except AffidavitError as trouble:
            error.add_note(f"This failure could not be recorded: {trouble}")
        raise
    else:
        work.end()
    finally:
        # Not by token: an asynchronous generator may end in another context than it began in.
        current_run.set(before)


def run(name: str, *, purpose: str = "") -> AbstractContextManager[Run]:
    """Record a `with` block as a run; the policy is asked before it begins.

    ```python
    with aff.run("retrain") as run:
        run.use(df, name="applications")
        run.metric("auc", 0.87)
        run.produce(Path("model.onnx"))
    ```

    Args:
        name: The system's name.
        purpose: What the work is for.

    Returns:
        A context manager over the `Run`; an exception passes through and is recorded as a failed
        run.

    Raises:
        NotInitialisedError: There is no Affidavit home.
        PolicyDenied: The policy does not allow the training; the block does not run.
    """
    return _running(name, purpose)


def resource_of(
    home: Home,
    settings: Settings,
    thing: Any,
    name: str = "",
    *,
    known: bool = True,
    cached: bool = False,
) -> Resource:
    """Return something as a resource, under the name that the ledger knows its content by.

    The digests of its parts, where it is a table or a directory, are kept beside the ledger, so
    that what differs between two of them can be told later.

    Args:
        home: Whose ledger is asked.
        settings: Says what follows if the parts cannot be kept.
        thing: A data frame, array, estimator, path, bytes or JSON value.
        name: Its name where the ledger knows none.
        known: Whether the ledger is asked at all.
        cached: Whether a file's digest may come from the cache of digests; the resource says so.

    Raises:
        FingerprintError: It has no canonical digest.
        LedgerUnavailableError: Its parts cannot be kept, and ``on_error`` is not ``warn``.
    """
    from affidavit._read import Reader

    hits = 0
    if cached and isinstance(thing, os.PathLike):
        with FileCache(home.folder / "cache" / "files.db") as cache:
            found, parts = fingerprint_parts(thing, cache=cache)
            hits = cache.hits
    else:
        found, parts = fingerprint_parts(thing)
    digest = found.digest
    if known:
        name = Reader(home, settled=False).made_as(str(digest)) or name
    if not name and isinstance(thing, os.PathLike):
        name = Path(thing).name
    detail = {key: value for key, value in found.detail.items() if _small(value)}
    if parts is not None:
        detail["parts"] = keep_parts(home, settings, name, parts)
    if hits:
        detail["from_cache"] = hits
    return Resource(name or found.kind, digest.value, digest.recipe, detail)


def keep_parts(home: Home, settings: Settings, name: str, parts: bytes) -> str:
    """Keep the digests of something's parts and return what names them, ``sha256:…``.

    Raises:
        LedgerUnavailableError: They cannot be written, and ``on_error`` is not ``warn``.
    """
    return f"sha256:{keep_artifact(home, settings, f'parts of {name}', parts)}"


def take_argument(work: Run, name: str, value: Any) -> None:
    """Record a function's argument: a plain value as a parameter, anything else as an input."""
    if is_plain(value):
        work.parameter(name, value)
        return
    try:
        work.use(value, name)
    except FingerprintError:
        if hasattr(value, "columns") or hasattr(value, "dtype"):
            raise
        work.parameter(name, value)


def _small(value: Any) -> bool:
    return not isinstance(value, list | tuple | Mapping) or len(value) <= 200


def _describe(error: BaseException) -> dict[str, str]:
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return {"type": f"{type(error).__module__}.{type(error).__qualname__}", "place": place}


def _version() -> str:
    from affidavit import __version__

    return __version__
