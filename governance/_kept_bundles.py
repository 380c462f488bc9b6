"""The policy bundles that decisions name: kept beside the log, each with a signed entry."""

from __future__ import annotations

import contextlib
import hashlib
import re
import weakref
from typing import TYPE_CHECKING, Any

from affidavit._context import acting
from affidavit._evidence import verified_statement
from affidavit._read import Reader
from affidavit._recording import keep_artifact, note_gap
from affidavit.errors import (
    AffidavitError,
    ConfigurationError,
    LedgerError,
    NotFoundError,
    PolicyError,
    VerificationError,
)
from affidavit.lineage import POLICY_BUNDLE, Resource, Statement, resources, timestamp
from affidavit.policies import Bundle, Decision, Engine, open_bundle, read_bundle, write_bundle

if TYPE_CHECKING:
    from affidavit._home import Home
    from affidavit._settings import Settings

RECIPE = "policy-bundle-v1"
"""The recipe of a digest of module, sources and data in force, by which decisions name them."""
REVISION_RECIPE = "policy-revision-v1"
"""The recipe of a digest of a revision that an OPA server gives and that is no such digest."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_KIND = "policy-bundle"
_NAME = "policy bundle"


class BundleKeeper:
    """Knows which policy bundles a home has, and keeps what is new.

    Args:
        home: The home.
    """

    def __init__(self, home: Home) -> None:
        self._home = weakref.proxy(home)
        self._known: set[str] = set()

    @classmethod
    def of(cls, home: Home) -> BundleKeeper:
        """Return the keeper of a home, the same for the same open home."""
        found = home.__dict__.get("bundles")
        if found is None:
            found = home.__dict__.setdefault("bundles", cls(home))
        return found  # type: ignore[no-any-return]  # an instance's dict holds anything

    def knows(self, revision: str) -> bool:
        """Return whether a bundle is known to be in the log; none is needed where none is named."""
        return not revision or revision in self._known

    def statements(
        self, settings: Settings, engine: Engine, decision: Decision
    ) -> tuple[Statement, ...]:
        """Return what has to be logged before a decision: its bundle, where the log lacks it.

        The bundle's archive is kept by then.

        Args:
            settings: Where the packs come from, where the engine does not hold its bundle.
            engine: Who decided.
            decision: What was decided.

        Raises:
            LedgerError: The log cannot be read, or the archive not be kept, and ``on_error`` is
                ``block``.
        """
        if self.knows(decision.bundle_digest):
            return ()
        try:
            return self._missing(settings, engine, decision)
        except LedgerError as error:
            if settings.on_error == "block":
                raise
            note_gap(self._home, settings, f"{_NAME} {decision.bundle_digest}", error)
            return ()

    def _missing(
        self, settings: Settings, engine: Engine, decision: Decision
    ) -> tuple[Statement, ...]:
        revision = decision.bundle_digest
        outcomes = _outcomes(self._home, revision)
        if outcomes - {"not kept"}:
            self._known.add(revision)
            return ()
        archive = _in_force(settings, engine, revision)
        if archive is None and outcomes:
            self._known.add(revision)
            return ()
        facts = {
            "outcome": "not kept" if archive is None else "in force",
            "engine": decision.engine,
            "version": decision.engine_version,
        }
        return (_statement(self._home, settings, revision, facts, archive),)


def keep_bundle(
    home: Home, settings: Settings, content: bytes, *, key: bytes | None = None, scope: str = ""
) -> tuple[str, int | None]:
    """Keep a bundle that past decisions name and the home lacks.

    Args:
        home: The home.
        settings: Who acts.
        content: The bundle's archive.
        key: The public key in PEM that must have signed the archive; none where it is unsigned.
        scope: What the signature must be for.

    Returns:
        Its revision, and the log index of the statement; None where the home had it.

    Raises:
        PolicyEngineError: It is no bundle, or not the one that its revision names.
        LedgerError: It cannot be kept.
    """
    bundle = read_bundle(content, key=key, scope=scope)
    revision = bundle.digest
    with contextlib.suppress(NotFoundError, VerificationError):
        kept_bundle(home, revision)
        return revision, None
    facts = {"outcome": "supplied", "version": bundle.opa_version}
    # Its revision stands in the log, which says more of it than a signature inside.
    archive = write_bundle(bundle)
    return revision, home.record(_statement(home, settings, revision, facts, archive))


def kept_bundle(home: Home, revision: str) -> Bundle:
    """Return a kept bundle, held against its signed statement and its own digest.

    Args:
        home: The home.
        revision: By what decisions name it.

    Raises:
        NotFoundError: The home lacks it.
        VerificationError: No statement about it holds, or what is kept is not that bundle.
    """
    reader = Reader(home, settled=False)
    trouble: AffidavitError | None = None
    for index in reader.evidence(f"sha256:{_subject(revision).sha256}", _KIND):
        try:
            found = _read_kept(home, index, revision)
        except AffidavitError as error:
            trouble = trouble if isinstance(trouble, VerificationError) else error
            continue
        if found is not None:
            return found
    if isinstance(trouble, NotFoundError):
        raise NotFoundError(
            f"The policy bundle {revision} was kept, and its file is gone: {trouble.message}",
            hint="Supply its archive: affidavit policy keep FILE.",
        )
    if trouble is not None:
        raise VerificationError(
            f"The policy bundle {revision} is kept, and does not hold: {trouble.message}",
            hint="Supply it anew: affidavit policy keep FILE.",
        ) from trouble
    raise NotFoundError(
        f"The policy bundle {revision} is not kept here.",
        hint="Supply its archive: affidavit policy keep FILE.",
    )


def _read_kept(home: Home, index: int, revision: str) -> Bundle | None:
    statement = verified_statement(home, index)
    if statement.predicate.get("revision") != revision:
        raise VerificationError(f"Entry {index} is about another bundle.", index=index)
    outputs = statement.predicate.get("outputs")
    if statement.kind != _KIND or not isinstance(outputs, list) or not outputs:
        return None
    bundle = read_bundle(home.artifacts.get(resources(outputs)[0].digest))
    if bundle.digest != revision:
        raise VerificationError(
            f"What entry {index} keeps as {revision} has the digest {bundle.digest}.", index=index
        )
    return bundle


def _outcomes(home: Home, revision: str) -> set[str]:
    reader = Reader(home, settled=False)
    found: set[str] = set()
    for index in reader.evidence(f"sha256:{_subject(revision).sha256}", _KIND):
        # What the index names and is no statement is as good as missing: another one is made.
        with contextlib.suppress(NotFoundError, VerificationError):
            found.add(str(reader.statement(index).predicate.get("outcome")))
    return found


def _in_force(settings: Settings, engine: Engine, revision: str) -> bytes | None:
    """Return the archive of an engine's bundle: its own, or what the settings give a server."""
    held = getattr(engine, "bundle", None)
    with contextlib.suppress(PolicyError, ConfigurationError):
        if isinstance(held, Bundle) and held.digest == revision:
            return write_bundle(held)
        bundle = open_bundle(settings.packs).with_data(settings.policy_data or None)
        if bundle.digest == revision:
            return write_bundle(bundle)
    return None


def _subject(revision: str) -> Resource:
    found = _DIGEST.fullmatch(revision)
    if found is not None:
        return Resource(_NAME, found[1], RECIPE)
    return Resource(_NAME, hashlib.sha256(revision.encode()).hexdigest(), REVISION_RECIPE)


def _statement(
    home: Home, settings: Settings, revision: str, facts: dict[str, Any], archive: bytes | None
) -> Statement:
    predicate: dict[str, Any] = {
        "name": _NAME,
        "actor": acting(settings),
        "time": timestamp(),
        "revision": revision,
        **facts,
    }
    if archive is not None:
        digest = keep_artifact(home, settings, _NAME, archive)
        kept = Resource("bundle.tar.gz", digest, annotations={"bytes": len(archive), "kept": True})
        predicate["outputs"] = [kept.to_json()]
    return Statement((_subject(revision),), POLICY_BUNDLE, predicate)
