"""A witness: it cosigns a log's checkpoint only if the log grew to it by appending.

The protocol is C2SP tlog-witness, its ``add-checkpoint`` call:

```
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5…
```

`answer` is a pure function of the request, the last state and the clock; `Witness` keeps the state.
"""

from __future__ import annotations

import base64
import fcntl
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from affidavit.errors import (
    CheckpointError,
    LedgerCorruptError,
    LedgerUnavailableError,
    ProofError,
    VerificationError,
)
from affidavit.lineage._checkpoint import Checkpoint
from affidavit.lineage._cosignature import Cosigner
from affidavit.lineage._merkle import EMPTY_ROOT, HASH_SIZE, verify_consistency
from affidavit.lineage._note import Note, NoteVerifier
from affidavit.lineage._strict_json import dump_json, parse_json
from affidavit.lineage._tlog_proof import MAX_PATH, decode_base64

MAX_REQUEST = 64 * 1024
"""The largest request that is read, in bytes."""
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint of a log that a witness has cosigned.

    Args:
        size: Its tree size.
        root: Its root.
    """

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answers.

    Args:
        status: The HTTP status.
        body: The body.
        content_type: What the body is.
    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign.

    Args:
        old: The tree size from which the proof leads.
        path: The consistency proof.
        note: The new checkpoint's signed note.
    """

    old: int
    path: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """Return the request's body."""
        lines = [f"old {self.old}", *(base64.b64encode(step).decode() for step in self.path)]
        return ("\n".join(lines) + "\n\n").encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> AddCheckpoint:
        """Return the request in a body.

        Raises:
            ProofError: The body is not in the canonical form.
        """
        head, blank, note = data.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise ProofError("The lines before the checkpoint are ASCII.") from error
        if not blank or not first.startswith("old ") or not _SIZE.fullmatch(first[4:]):
            raise ProofError("A request is `old` and a size, a proof, an empty line, a checkpoint.")
        if len(lines) > MAX_PATH:
            raise ProofError(f"A consistency proof has at most {MAX_PATH} lines.")
        path = tuple(decode_base64(line, "A hash of the proof") for line in lines)
        if any(len(step) != HASH_SIZE for step in path):
            raise ProofError(f"A hash of the proof has {HASH_SIZE} bytes.")
        return cls(int(first[4:]), path, note)


def answer(  # noqa: PLR0911  # one for each status of the protocol
    request: bytes,
    logs: Mapping[str, Sequence[NoteVerifier]],
    seen: Mapping[str, Seen],
    cosigner: Cosigner,
    now: int,
) -> tuple[Answer, tuple[str, Seen] | None]:
    """Return the answer to an ``add-checkpoint`` request, and what is seen after it.

    Args:
        request: The request's body.
        logs: The keys of each log that is witnessed, by origin.
        seen: The newest checkpoint cosigned of each log.
        cosigner: The witness's key.
        now: Seconds since the epoch.

    Returns:
        The answer, and (origin, new state) which must be kept before it is sent; None where
        nothing changes.
    """
    try:
        asked = AddCheckpoint.parse(request)
        note = Note.parse(asked.note)
        new = Checkpoint.parse(note.text)
    except VerificationError as error:
        return _refusal(400, error.message), None
    if new.origin not in logs:
        return _refusal(404, "This log is not witnessed here."), None
    if not _is_signed(note, logs[new.origin]):
        return _refusal(403, "No signature is by a key of this log."), None
    if asked.old > new.size:
        return _refusal(400, "The old size is above the checkpoint's."), None
    last = seen.get(new.origin, Seen())
    if asked.old != last.size or (asked.old == new.size and new.root != last.root):
        return Answer(409, b"%d\n" % last.size, "text/x.tlog.size"), None
    try:
        verify_consistency(last.size, new.size, last.root, new.root, asked.path)
        line = cosigner.signature_line(note.text, now)
    except VerificationError as error:
        return _refusal(422, error.message), None
    return Answer(200, line.encode()), (new.origin, Seen(new.size, new.root))


def _is_signed(note: Note, verifiers: Sequence[NoteVerifier]) -> bool:
    for verifier in verifiers:
        try:
            note.verify(verifier)
        except CheckpointError:
            continue
        return True
    return False


def _refusal(status: int, message: str) -> Answer:
    return Answer(status, f"{message}\n".encode())


class Witness:
    """A witness with its state in a file.

    Checking and keeping are one step under a lock that other processes respect too: otherwise two
    requests at once could roll a log back.

    Args:
        path: The state's file; `Witness.create` makes it.
        cosigner: The witness's key.
        logs: The keys of each log that is witnessed, by origin.

    Raises:
        LedgerUnavailableError: The state cannot be read.
        LedgerCorruptError: The state is damaged; a witness that forgets would cosign a fork.
    """

    def __init__(
        self, path: Path, cosigner: Cosigner, logs: Mapping[str, Sequence[NoteVerifier]]
    ) -> None:
        self._path = path
        self._cosigner = cosigner
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._lock = threading.Lock()
        self._read()

    @staticmethod
    def create(path: Path) -> None:
        """Make the state of a witness that has seen nothing.

        Raises:
            LedgerUnavailableError: It cannot be written, or is there already.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise LedgerUnavailableError(
                f"A witness's state cannot be made at {path}: {error.strerror}."
            ) from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(_dump({}))
            file.flush()
            os.fsync(file.fileno())

    def add_checkpoint(self, request: bytes, now: int) -> Answer:
        """Return the answer to a request, its effect kept on disk.

        Args:
            request: The request's body.
            now: Seconds since the epoch.

        Raises:
            LedgerUnavailableError: The state cannot be kept, so nothing is cosigned.
            LedgerCorruptError: The state was damaged meanwhile.
        """
        if len(request) > MAX_REQUEST:
            return _refusal(413, f"A request has at most {MAX_REQUEST} bytes.")
        with self._locked():
            seen = self._read()
            given, moved = answer(request, self._logs, seen, self._cosigner, now)
            if moved is not None and seen.get(moved[0]) != moved[1]:
                self._write({**seen, moved[0]: moved[1]})
        return given

    def seen(self) -> dict[str, Seen]:
        """Return the newest checkpoint cosigned of each log."""
        return self._read()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            try:
                lock = self._path.with_name(self._path.name + ".lock").open("wb")
            except OSError as error:
                raise self._unavailable(error) from error
            with lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def _read(self) -> dict[str, Seen]:
        try:
            return _load(self._path.read_bytes())
        except OSError as error:
            raise self._unavailable(error) from error
        except VerificationError as error:
            raise LedgerCorruptError(
                f"The witness's state {self._path} is damaged: {error.message}",
                hint="Restore it from a backup; without it this witness must sign nothing more.",
            ) from error

    def _write(self, seen: Mapping[str, Seen]) -> None:
        part = self._path.with_name(self._path.name + ".part")
        try:
            with part.open("wb") as file:
                file.write(_dump(seen))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"The witness's state {self._path} is not available: {error.strerror}.",
            hint="Check the folder and the disk; nothing was cosigned.",
        )


def _dump(seen: Mapping[str, Seen]) -> bytes:
    logs = {
        origin: {"size": one.size, "root": base64.b64encode(one.root).decode()}
        for origin, one in seen.items()
    }
    return dump_json({"version": _VERSION, "logs": logs}) + b"\n"


def _load(data: bytes) -> dict[str, Seen]:
    value = parse_json(data)
    logs = value.get("logs") if isinstance(value, dict) else None
    if not isinstance(logs, dict) or value != {"version": _VERSION, "logs": logs}:
        raise ProofError(f"A witness's state has version {_VERSION} and logs.")
    seen: dict[str, Seen] = {}
    for origin, one in logs.items():
        if not isinstance(one, dict) or set(one) != {"size", "root"}:
            raise ProofError(f"The state of {origin!r} has a size and a root.")
        size, root = one["size"], decode_base64(str(one["root"]), "A root")
        if type(size) is not int or not 0 <= size < 2**63 or len(root) != HASH_SIZE:
            raise ProofError(f"The state of {origin!r} has a size and a root.")
        seen[origin] = Seen(size, root)
    return seen
