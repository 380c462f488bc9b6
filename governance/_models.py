"""Models kept in the artifact store, found by reference, and loaded only when everything holds.

A reference is ``name@production`` (the newest model that passed the promotion gate),
``name@latest`` or ``name`` (the newest completed run's), or ``name@sha256:…``.
"""

from __future__ import annotations

import pickle
import warnings
from typing import Any

from affidavit._context import acting, present
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._obliged import check_approval, check_none
from affidavit._policy import enforce, unmet
from affidavit._question import Question
from affidavit._recording import keep_artifact
from affidavit._settings import Settings
from affidavit._waivers import has_passed
from affidavit.errors import FingerprintError, NotFoundError, ObligationError, VerificationError
from affidavit.lineage import RUN_FIELD, VERDICT_FIELD, Resource, fingerprint, timestamp

MODEL_RECIPE = "file-bytes-v1"


def keep_model(home: Home, settings: Settings, model: Any, name: str) -> tuple[Resource, ...]:
    """Keep a fitted model and return it as subjects: its file, and the state of the estimator.

    A model that cannot be pickled is recorded by its state alone, with a warning: the work that
    made it is not lost, but it cannot be served from here.

    Raises:
        FingerprintError: It can neither be pickled nor digested.
        LedgerUnavailableError: It cannot be kept, and ``on_error`` is not ``warn``.
    """
    found: list[Resource] = []
    problem: Exception | None = None
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    try:
        content = pickle.dumps(model, protocol=5)
    except Exception as error:  # noqa: BLE001  # a class may raise anything from its own pickling
        problem = error
    else:
        digest = keep_artifact(home, settings, f"model file of {name}", content)
        note = {"class": kind, "bytes": len(content), "kept": True}
        found.append(Resource(f"{name}.pickle", digest, MODEL_RECIPE, note))
    try:
        state = fingerprint(model).digest
        found.append(Resource(name, state.value, state.recipe, {"class": kind}))
    except FingerprintError as error:
        problem = problem or error
    if not found:
        raise FingerprintError(
            f"A {kind} can neither be pickled nor digested: {problem}.",
            hint="Save it to a file and record that with run.produce(Path(…)).",
        )
    if problem is not None and len(found) == 1:
        warnings.warn(f"Recorded in part: {kind}: {problem}", stacklevel=4)
    return tuple(found)


def resolve(home: Home, reference: str) -> ModelReference:
    """Return the model that a reference names.

    Raises:
        NotFoundError: There is no such model.
    """
    from affidavit._read import Reader

    name, _, version = reference.partition("@")
    return Reader(home, settled=False).model(name, version or "latest")


def load(reference: str, *, purpose: str = "") -> Any:
    """Load a recorded model, after its provenance, digest and policy were checked.

    Args:
        reference: ``name@production``, ``name@latest``, ``name`` or ``name@sha256:…``.
        purpose: What it is loaded for, told to the policy.

    Returns:
        The model.

    Raises:
        NotFoundError: There is no such model.
        VerificationError: Its provenance or its bytes do not hold.
        PolicyDenied: The policy does not allow it.
    """
    settings, home = present()
    return load_resolved(home, settings, resolve(home, reference), purpose)


def load_resolved(home: Home, settings: Settings, found: ModelReference, purpose: str) -> Any:
    """Load a model that was resolved; see `load`."""
    from affidavit._evidence import verified_statement

    statement = verified_statement(home, found.entry)
    made = {(subject.name, subject.digest) for subject in statement.subjects}
    ours = statement.predicate.get(RUN_FIELD, {})
    complete = statement.kind == "run" and ours.get("status") == "completed"
    if not complete or (f"{found.name}.pickle", found.digest) not in made:
        raise VerificationError(
            f"The run at entry {found.entry} did not make {found.digest} as {found.name!r}.",
            hint="Run `affidavit verify`: the index may have been edited.",
            index=found.entry,
        )
    home.artifacts.get(found.digest)
    evidence = {**verdict_evidence(home, found), "artifact": {"verified": True}}
    question = Question(
        "affidavit/load",
        "model.load",
        "model",
        found.name,
        found.digest,
        purpose,
        extra={"evidence": evidence},
    )
    ruling = enforce(home, settings, question)
    try:
        check_approval(home, found.digest, ruling.decision.obligations)
        check_none("a model that is loaded", ruling.decision.obligations)
    except ObligationError as error:
        if settings.mode == "enforce":
            raise unmet(question, ruling, error, acting(settings)) from error
    return unpickle(home, found.digest)


def verdict_evidence(home: Home, found: ModelReference) -> dict[str, Any]:
    """Return what a policy is told of a model's promotion; nothing where no verdict verifies.

    Raises:
        VerificationError: A verdict is in the index, but does not hold or is of another model.
    """
    from affidavit._evidence import verified_statement

    if found.verdict is None:
        return {}
    statement = verified_statement(home, found.verdict)
    passed = statement.predicate.get("verificationResult") == "PASSED"
    named = statement.predicate.get(VERDICT_FIELD, {}).get("name") == found.name
    if (
        statement.kind != "verdict"
        or not passed
        or not named
        or found.digest not in {subject.digest for subject in statement.subjects}
    ):
        raise VerificationError(
            f"The verdict at entry {found.verdict} does not promote {found.digest}.",
            hint="Run `affidavit verify`: the index may have been edited.",
            index=found.verdict,
        )
    expires = statement.predicate[VERDICT_FIELD].get("expires")
    if expires is not None and has_passed(str(expires), timestamp()):
        # A promotion that a waiver made possible lasts as long as the waiver.
        return {"verdict": {"verified": True, "allowed": False, "lapsed": str(expires)}}
    return {"verdict": {"verified": True, "allowed": True}}


def unpickle(home: Home, digest: str) -> Any:
    """Return the model in a kept file whose digest was just checked.

    Raises:
        NotFoundError: The file is not kept here.
        VerificationError: It was changed.
    """
    content = home.artifacts.get(digest)
    try:
        return pickle.loads(content)  # noqa: S301  # the bytes are the ones that the log names
    except Exception as error:
        raise NotFoundError(
            f"The model {digest} cannot be loaded here: {error}.",
            hint="Install the library versions that its run recorded: `affidavit show DIGEST`.",
        ) from error
