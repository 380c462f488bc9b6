"""Asks witnesses to cosign the log's newest checkpoint, and keeps the note that they signed."""

from __future__ import annotations

import http.client
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from affidavit._home import Home
from affidavit.errors import (
    AffidavitError,
    CheckpointError,
    ConfigurationError,
    LedgerUnavailableError,
    ProofError,
)
from affidavit.lineage import (
    AddCheckpoint,
    Checkpoint,
    Cosignature,
    WitnessVerifier,
    check_quorum,
    consistency_path,
    cosignatures,
    open_checkpoint,
)

TIMEOUT_SECONDS = 10.0
MAX_RESPONSE = 64 * 1024
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness and where it is asked.

    Args:
        url: Its submission prefix, ``http`` or ``https``.
        verifier: Its key.
    """

    url: str
    verifier: WitnessVerifier


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that enough witnesses cosigned.

    Args:
        checkpoint: What it says.
        note: The note with the cosignatures.
        cosignatures: The verified cosignatures.
        refusals: What the other witnesses answered, by name.
    """

    checkpoint: Checkpoint
    note: bytes
    cosignatures: tuple[Cosignature, ...]
    refusals: dict[str, str]


def note_path(home: Home) -> Path:
    """Return where the newest cosigned note is kept."""
    return home.folder / "witness" / "latest.note"


def cosigned_note(home: Home) -> bytes | None:
    """Return the newest note that witnesses cosigned, or None where there is none.

    Raises:
        CheckpointError: It is not a checkpoint of this log.
    """
    try:
        note = note_path(home).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerUnavailableError(
            f"The cosigned note {note_path(home)} cannot be read: {error.strerror}."
        ) from error
    open_checkpoint(note, home.verifier)
    return note


def cosign(home: Home, witnesses: Sequence[WitnessAddress], quorum: int) -> Cosigned:
    """Ask witnesses to cosign the newest checkpoint, and keep the note once enough did.

    Args:
        home: Whose log.
        witnesses: Who is asked, each once.
        quorum: How many of them must cosign.

    Raises:
        CheckpointError: Too few cosigned, or one answered with a signature that does not hold.
        KeyFileError: A witness stands twice, or the quorum cannot be met.
    """
    keys = [witness.verifier for witness in witnesses]
    note = home.ledger.checkpoint()
    head = open_checkpoint(note, home.verifier)
    last = cosigned_note(home)
    known = {one.witness: open_checkpoint(last, home.verifier).size
             for one in cosignatures(last, keys)} if last else {}  # fmt: skip
    refusals: dict[str, str] = {}
    lines: list[bytes] = []
    for witness in witnesses:
        try:
            lines.append(_ask(home, witness, note, head, known.get(witness.verifier, 0)))
        except AffidavitError as error:
            refusals[witness.verifier.name] = error.message
    signed = note + b"".join(lines)
    try:
        found = check_quorum(signed, keys, quorum, now=int(time.time()))
    except CheckpointError as error:
        said = "; ".join(f"{name}: {why}" for name, why in refusals.items())
        raise CheckpointError(
            f"{len(lines)} of {len(witnesses)} witnesses cosigned; {quorum} are needed. {said}",
            hint="Ask again once the witnesses can be reached. A witness that says that the log "
            "does not extend what it saw is evidence: keep its answer.",
        ) from error
    if last is None or open_checkpoint(last, home.verifier).size <= head.size:
        _keep(note_path(home), signed)
    return Cosigned(head, signed, found, refusals)


def _ask(home: Home, witness: WitnessAddress, note: bytes, head: Checkpoint, old: int) -> bytes:
    status, body = _submit(home, witness, note, head, min(old, head.size))
    if status == http.client.CONFLICT and _SIZE.fullmatch(body):
        seen = int(body)
        if seen > head.size:
            raise ProofError(
                f"it has seen {seen} entries, the log has {head.size}: entries were cut off."
            )
        if seen != old or seen != head.size:
            status, body = _submit(home, witness, note, head, seen)
    if status == http.client.CONFLICT:
        raise ProofError("it has seen another tree of this size: the log was rewritten.")
    if status != http.client.OK:
        text = body[:200].decode("utf-8", "replace").strip()
        raise ProofError(f"it answered {status}: {text}")
    return _own_lines(note, body, witness.verifier)


def _submit(
    home: Home, witness: WitnessAddress, note: bytes, head: Checkpoint, old: int
) -> tuple[int, bytes]:
    path = tuple(consistency_path(home.ledger, old, head.size))
    return _post(witness.url, AddCheckpoint(old, path, note).to_bytes())


def _own_lines(note: bytes, answer: bytes, verifier: WitnessVerifier) -> bytes:
    """Return the witness's own line of an answer; lines of unknown keys are passed over."""
    for line in answer.splitlines(keepends=True):
        try:
            if cosignatures(note + line, [verifier]):
                return line
        except CheckpointError as error:
            raise ProofError(f"its answer does not hold: {error.message}") from error
    raise ProofError("its answer holds no cosignature of the key that you gave.")


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{url!r} is not the address of a witness.")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        try:
            path = parts.path.rstrip("/") + "/add-checkpoint"
            connection.request("POST", path, body, {"Content-Type": "text/plain; charset=utf-8"})
            response = connection.getresponse()
            content = response.read(MAX_RESPONSE + 1)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LedgerUnavailableError(f"it cannot be reached: {error}.") from error
    if len(content) > MAX_RESPONSE:
        raise ProofError("its answer is too long.")
    return response.status, content


def _keep(path: Path, note: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with part.open("wb") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise LedgerUnavailableError(
            f"The cosigned note cannot be kept at {path}: {error.strerror}."
        ) from error
