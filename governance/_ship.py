"""Decisions posted to a service that takes OPA's decision logs.

As OPA does it (OPA documentation, "Decision Log Service API"): ``POST /logs[/PARTITION]``, a
gzip-compressed JSON array of events, a bearer token. What is posted is read from the log, only
where its newest checkpoint covers it; how far is kept in the home, and moved on after an answer
in the two hundreds and not before. A part that was posted and not acknowledged is posted again:
whoever receives it tells events by ``decision_id``.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affidavit._decision_settings import DecisionLog
from affidavit._home import Home
from affidavit._mask import Mask
from affidavit._post import Posted, post
from affidavit._settings import Settings
from affidavit._spools import settle
from affidavit.errors import ConfigurationError, EnvelopeError, LedgerUnavailableError
from affidavit.lineage import CompactRange, VerifiedEntries, parse_entry, parse_json

POLL_SECONDS = 10.0
"""How long `affidavit policy ship --follow` waits when there is nothing to ship."""
LONGEST_PAUSE = 300.0
"""How long it waits at most while the service fails."""
_FIRST_PAUSE = 0.5
_ENOUGH = 200
"""How many decisions an upload begins with."""
_OURS = {"record", "writer", "number"}


@dataclass(frozen=True, slots=True)
class Shipped:
    """What was shipped.

    Args:
        decisions: How many decisions were acknowledged.
        uploads: In how many uploads.
        next: The log index before which everything is shipped.
    """

    decisions: int
    uploads: int
    next: int


@dataclass(slots=True)
class Shipper:
    """Ships the decisions of one log to one service.

    Args:
        home: Whose log.
        target: Where to, with the size of an upload.
        mask: What is taken out today, over what records lack already.
        token: The bearer token; none where empty.
        attempts: How often an upload is tried before it is given up.
        pause: Waits; given for tests.

    Raises:
        ConfigurationError: There is no address, or a token would go over a plain connection.
    """

    home: Home
    target: DecisionLog
    mask: Mask
    token: str = field(default="", repr=False)
    attempts: int = 5
    pause: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not self.target.url:
            raise ConfigurationError(
                "No decision log is named.",
                hint="Give --url, or set url in [policy.decision_log] of affidavit.toml.",
            )

    @property
    def url(self) -> str:
        """Where uploads go."""
        base = self.target.url.rstrip("/") + "/logs"
        return f"{base}/{self.target.partition}" if self.target.partition else base

    def ship(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Shipped:
        """Ship what is in the log and was not shipped yet.

        Args:
            progress: Told how far it is, in entries.

        Raises:
            LedgerUnavailableError: The service does not take it, or another process ships to it.
            LedgerCorruptError: The entries are not those that were logged; nothing was shipped.
        """
        settle(self.home)
        with self._place() as place:
            entries = VerifiedEntries(self.home.ledger, _read_place(place))
            done, uploads = 0, 0
            for events, following in self._uploads(entries):
                if events is not None:
                    content, count = events
                    self._post(content)
                    done, uploads = done + count, uploads + 1
                _write_place(place, entries.edge_at(following))
                progress(following - entries.first, len(entries))
            return Shipped(done, uploads, entries.checkpoint.size)

    def follow(
        self,
        *,
        every: float = POLL_SECONDS,
        told: Callable[[Shipped | Exception], None] = lambda _: None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Ship again and again until somebody ends it; a failing service is waited for.

        Args:
            every: How many seconds to wait when there is nothing to ship.
            told: Told of each round that shipped something or failed.
            ended: Asked before each round.
        """
        wait = every
        while not ended():
            try:
                done = self.ship()
            except LedgerUnavailableError as error:
                told(error)
                wait = min(max(wait, every) * 2, LONGEST_PAUSE)
            else:
                if done.decisions:
                    told(done)
                wait = every
            # Many that were started together do not all come at once.
            self.pause(wait * random.uniform(0.8, 1.2))  # noqa: S311  # no secret

    def _uploads(self, entries: VerifiedEntries) -> Iterator[tuple[tuple[bytes, int] | None, int]]:
        """Give each upload with its number of decisions, and the log index that follows it."""
        waiting: list[tuple[int, dict[str, Any]]] = []
        size = _ENOUGH
        for index, body in entries:
            if b'"record":"decision"' in body:
                parsed = parse_entry(body)
                if isinstance(parsed, dict) and parsed["record"] == "decision":
                    waiting.append((index, self.event(index, parsed)))
            while len(waiting) >= size:
                content, size = self._packed(waiting, size)
                yield (content, size), waiting[size - 1][0] + 1
                del waiting[:size]
                # What fits now may fit twice; what does not is found out at once.
                size = min(size * 2, 10_000)
        while waiting:
            content, size = self._packed(waiting, min(size, len(waiting)))
            last = len(waiting) == size
            yield (content, size), entries.checkpoint.size if last else waiting[size - 1][0] + 1
            del waiting[:size]
        if entries.checkpoint.size > entries.first:
            yield None, entries.checkpoint.size

    def _packed(self, waiting: list[tuple[int, dict[str, Any]]], size: int) -> tuple[bytes, int]:
        """Return as many of the next events as an upload takes, and how many these are."""
        while True:
            content = _pack([event for _, event in waiting[:size]])
            if len(content) <= self.target.max_bytes:
                return content, size
            if size == 1:
                return _pack([_without_input(waiting[0][1])]), 1
            size = max(size // 2, 1)

    def event(self, index: int, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a decision's record as an event of OPA's decision log.

        Args:
            index: Its log index.
            record: The record.
        """
        event = {key: value for key, value in record.items() if key not in _OURS}
        custom = {key: value for key, value in event["custom"].items() if key != "sealed"}
        event["custom"] = {**custom, "entry": index}
        masked, taken = self.mask.apply(event)
        if any(pointer.startswith("/input/actor") or pointer == "/input" for pointer in taken):
            masked.pop("requested_by", None)
        return masked

    def _post(self, content: bytes) -> None:
        wait = _FIRST_PAUSE
        for attempt in range(self.attempts):
            answer = post(self.url, content, token=self.token, trust=self.target.certificate)
            if answer.taken:
                return
            if not answer.again or attempt == self.attempts - 1:
                raise _refused(answer)
            self.pause(max(wait * random.uniform(0.5, 1.0), answer.after))  # noqa: S311  # no secret
            wait = min(wait * 2, LONGEST_PAUSE)

    @contextlib.contextmanager
    def _place(self) -> Iterator[Path]:
        """Hold what says how far is shipped to this service."""
        name = hashlib.sha256(self.url.encode()).hexdigest()[:32]
        folder = self.home.folder / "shipped"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LedgerUnavailableError(
                f"How far decisions were shipped cannot be kept in {folder}: {error.strerror}.",
                hint="Let this user write the folder.",
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LedgerUnavailableError(
                    f"Another process ships decisions to {self.url}.",
                    hint="One at a time does; end the other, or let it.",
                ) from error
            yield folder / f"{name}.json"
        finally:
            os.close(lock)


def shipper_for(home: Home, settings: Settings, *, url: str = "", partition: str = "") -> Shipper:
    """Return what ships a home's decisions as the settings say.

    Args:
        home: Whose log.
        settings: The settings in force.
        url: Where to, in place of the setting.
        partition: Likewise.

    Raises:
        ConfigurationError: There is no address, or it is none.
    """
    said = settings.decision_log
    target = DecisionLog(
        url or said.url, partition or said.partition, said.certificate, said.max_bytes
    )
    token = os.environ.get("AFFIDAVIT_DECISION_LOG_TOKEN", "")
    return Shipper(home, target, settings.mask, token)


def _refused(answer: Posted) -> LedgerUnavailableError:
    return LedgerUnavailableError(
        f"The decision log did not take an upload: {answer.reason}. What it acknowledged before "
        "stays shipped; the rest waits.",
        hint="Look at the service, its address and AFFIDAVIT_DECISION_LOG_TOKEN, and ship again.",
    )


def _pack(events: list[dict[str, Any]]) -> bytes:
    text = json.dumps(events, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=6, mtime=0)


def _without_input(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event that is too large for an upload of its own: its decision still arrives."""
    rest = {key: value for key, value in event.items() if key != "input"}
    return {**rest, "erased": [*event.get("erased", ()), "/input"]}


def _read_place(path: Path) -> CompactRange:
    try:
        said = parse_json(path.read_bytes())
        hashes = [base64.b64decode(text, validate=True) for text in said["edge"]]
        edge: CompactRange | None = CompactRange(int(said["next"]), hashes)
    except FileNotFoundError:
        return CompactRange()
    except (OSError, EnvelopeError, ValueError, TypeError, KeyError):
        edge = None
    # An edge of other hashes shows when the entries after it have not the signed root.
    if edge is None or edge.size < 0 or edge.size.bit_count() != len(edge.hashes):
        raise ConfigurationError(
            f"How far decisions were shipped cannot be read in {path}.",
            hint="Delete the file: everything is shipped again, and told apart by decision_id.",
        )
    return edge


def _write_place(path: Path, edge: CompactRange) -> None:
    said = {"next": edge.size, "edge": [base64.b64encode(one).decode() for one in edge.hashes]}
    part = path.with_suffix(".part")
    try:
        with part.open("w", encoding="ascii") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise LedgerUnavailableError(
            f"How far decisions were shipped cannot be kept in {path}: {error.strerror}.",
            hint="Free some space; what was posted since is posted again.",
        ) from error
