"""Which entries an evidence bundle of a home holds, and the bundle of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit._context import acting
from affidavit._decisions import disclose_decision
from affidavit._home import Home
from affidavit._lineage_graph import lineage_of
from affidavit._read import Reader
from affidavit._read_entries import Entry
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit._time_stamps import stamp_for
from affidavit._witnesses import cosigned_note
from affidavit.errors import ConfigurationError, NotFoundError
from affidavit.lineage import (
    RUN_FIELD,
    VERDICT_FIELD,
    build_bundle,
    check_disclosures,
    new_id,
    newest_stamped,
    open_checkpoint,
    record_bytes,
    timestamp,
)

MAX_ENTRIES = 10_000
_PAGE = 1000


def export_bundle(
    home: Home, settings: Settings, key: str, *, disclose: bool = False, report: bytes | None = None
) -> bytes:
    """Return the evidence bundle of a system, an artifact or an entry; the export is recorded.

    Statements by a key that is revoked from there on are left out.

    Args:
        home: Whose ledger.
        settings: The settings in force.
        key: A system's name, a reference, a digest, an id, or an entry's log index.
        disclose: Open the personal data of the predictions that the key stands for; the policy is
            asked for each, and each is recorded.
        report: An HTML report that goes into it.

    Raises:
        NotFoundError: Nothing is known by the key, or a prediction's personal data was erased.
        PolicyDenied: The policy does not let this person read the personal data.
        ConfigurationError: The key stands for too much, or for nothing that can be disclosed.
        VerificationError: What would be exported does not hold.
    """
    reader = Reader(home)
    asked = sorted(_asked(home, reader, key))
    indexes = {*asked, *_around(reader, asked)}
    if len(asked) > 1:
        # Evidence to be relied on: of a single entry that is not, the error says why.
        indexes -= {index for index in indexes if _is_distrusted(home, reader, index)}
    if len(indexes) > MAX_ENTRIES:
        raise ConfigurationError(
            f"{key!r} stands for {len(indexes)} entries; a bundle holds {MAX_ENTRIES} at most.",
            hint="Ask for a model by its digest, or for one prediction.",
        )
    disclosed = _disclosures(home, reader, asked) if disclose else {}
    now = timestamp()
    export = {
        "id": new_id(),
        "time": now,
        "actor": acting(settings),
        "action": "export",
        "object": key,
    }
    record(home, settings, f"export of {key}", record_bytes("access", export))
    note = _checkpoint(home, max(indexes))
    size = open_checkpoint(note, home.verifier).size
    return build_bundle(
        home.ledger,
        {*indexes, *(n for n in _trust_roots(reader) if n < size)},
        home.recorder,
        name=key,
        actor=acting(settings),
        time=now,
        checkpoint=note,
        disclosed=disclosed,
        report=report,
        stamp=stamp_for(home, settings, note),
    )


def _is_distrusted(home: Home, reader: Reader, index: int) -> bool:
    envelope = reader.entry(index).envelope
    if envelope is None:
        return False
    return home.keyring.history().reached(envelope.signatures[0][0], index) is not None


def _checkpoint(home: Home, last: int) -> bytes:
    """Return the note that covers everything: cosigned, else stamped, else the newest."""
    note = cosigned_note(home)
    if note is not None and open_checkpoint(note, home.verifier).size > last:
        return note
    with contextlib.suppress(NotFoundError):
        return newest_stamped(home.ledger, above=last)
    return home.ledger.checkpoint()


def _asked(home: Home, reader: Reader, key: str) -> Iterator[int]:
    name = key.partition("@")[0]
    if name not in reader.systems():
        yield from reader.find(key)
        return
    if name == key:
        yield from _all_named(reader, name)
    try:
        root, graph = lineage_of(home, key)
    except NotFoundError:
        if name != key:
            raise
        return
    yield from (node.entry for node in graph.nodes if node.entry >= 0)
    yield from _about(reader, root)


def _all_named(reader: Reader, name: str) -> Iterator[int]:
    offset = 0
    while rows := reader.statements(name=name, limit=_PAGE, offset=offset):
        yield from (int(row["entry"]) for row in rows)
        offset += _PAGE


def _about(reader: Reader, digest: str) -> Iterator[int]:
    for kind in ("run", "evaluation", "explanation", "approval", "waiver", "verdict"):
        yield from reader.evidence(digest, kind)


def _around(reader: Reader, asked: list[int]) -> Iterator[int]:
    """Give the entries without which the asked ones cannot be understood."""
    digests: set[str] = set()
    for index in asked:
        entry = reader.entry(index)
        for identifier in _decision_ids(entry):
            with contextlib.suppress(NotFoundError):
                yield reader.decision(identifier).index
        digests.add(str((entry.record or {}).get("model_digest", "")))
    for digest in digests - {""}:
        yield from _about(reader, digest)


def _decision_ids(entry: Entry) -> Iterator[str]:
    facts: Mapping[str, Any] = entry.record or {}
    if entry.statement is not None:
        facts = entry.statement.predicate
    if facts.get("record") == "decision":
        return
    for part in (facts, facts.get(RUN_FIELD), facts.get(VERDICT_FIELD)):
        if isinstance(part, dict) and isinstance(part.get("decision"), str):
            yield part["decision"]


def _trust_roots(reader: Reader) -> Iterator[int]:
    at = reader.newest("trust-root")
    while at is not None:
        yield at
        at = reader.newest("trust-root", before=at)


def _disclosures(home: Home, reader: Reader, asked: list[int]) -> dict[int, list[str]]:
    opened: dict[int, list[str]] = {}
    for index in asked:
        facts = reader.entry(index).record or {}
        if facts.get("record") != "prediction":
            continue
        identifier = str(facts["id"])
        shown = disclose_decision(identifier)
        payload = home.ledger.payload(identifier)
        if payload is None:
            raise NotFoundError(f"The personal data of prediction {identifier} was erased.")
        # A field that the policy lets be seen changed or not at all has no proof to hand out.
        let = {f"features.{name}": value for name, value in shown.features.items()}
        let["output"] = shown.output
        opened[index] = [
            item
            for item in home.vault.open(payload)
            for name, value in check_disclosures([item], facts.get("fields")).items()
            if name in let and let[name] == value
        ]
    if not opened:
        raise ConfigurationError(
            "Nothing that can be disclosed was asked for.",
            hint="--disclose goes with the id of a prediction.",
        )
    return opened
