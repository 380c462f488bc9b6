"""Asks a time-stamping authority over HTTP for a stamp on the newest checkpoint, and keeps it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from affidavit._files import read_file
from affidavit._home import Home
from affidavit._settings import Settings
from affidavit.errors import ConfigurationError, LedgerUnavailableError, VerificationError
from affidavit.lineage import (
    Stamped,
    TimeStampAuthority,
    keep_stamp,
    open_checkpoint,
    request_stamp,
    stamps_of,
    verify_stamp,
)

TIMEOUT_SECONDS = 20.0
"""How long the authority may take for its whole answer."""
MAX_RESPONSE = 64 * 1024
_QUERY = "application/timestamp-query"
_REPLY = "application/timestamp-reply"


def authorities(settings: Settings, files: list[Path] | None = None) -> list[TimeStampAuthority]:
    """Return whose time stamps count: those of the files, else the one that the settings name.

    Raises:
        ConfigurationError: A file cannot be read.
        KeyFileError: A file is no chain of certificates.
    """
    paths = files or ([settings.tsa_certificate] if settings.tsa_certificate else [])
    return [TimeStampAuthority.parse(read_file(path)) for path in paths]


def stamp_checkpoint(home: Home, url: str, authority: TimeStampAuthority) -> tuple[Stamped, bool]:
    """Have the newest checkpoint stamped, and keep the stamp; once for each checkpoint.

    Args:
        home: Whose log.
        url: The authority's address, ``http`` or ``https``.
        authority: The certificates that it is verified against.

    Returns:
        The verified stamp, and whether it was asked for now; one that is kept already is earlier.

    Raises:
        LedgerUnavailableError: The authority cannot be reached, or does not answer in time.
        VerificationError: What it answered does not hold; nothing was kept.
        ConfigurationError: The address is none.
    """
    note = home.ledger.checkpoint()
    size = open_checkpoint(note, home.verifier).size
    for kept in stamps_of(home.ledger, size):
        with contextlib.suppress(VerificationError):
            return Stamped(size, authority.verify(kept, note), kept), False
    query, nonce = request_stamp(note)
    response = _ask(url, query)
    stamp = authority.verify(response, note, nonce=nonce)
    keep_stamp(home.ledger, note, response, authority)
    return Stamped(size, stamp, response), True


def stamp_for(home: Home, settings: Settings, note: bytes) -> bytes | None:
    """Return the kept stamp of a checkpoint: one that holds, where the settings say whose counts.

    Args:
        home: Whose log.
        settings: Name the authority's certificates.
        note: The checkpoint's signed note, cosigned or not.

    Raises:
        ConfigurationError: The certificates cannot be read.
    """
    kept = stamps_of(home.ledger, open_checkpoint(note, home.verifier).size)
    for authority in authorities(settings) if kept else ():
        for response in kept:
            with contextlib.suppress(VerificationError):
                verify_stamp(authority, response, note)
                return response
    return kept[0] if kept else None


def _ask(url: str, query: bytes) -> bytes:
    status, kind, content = _post(url, query)
    if status != http.client.OK or kind != _REPLY:
        # What stands in the body may be a page of a proxy: its first words tell which.
        said = content[:120].decode("utf-8", "replace").strip()
        raise VerificationError(
            f"The authority answered {status} with {kind or 'no content type'}, not 200 with "
            f"{_REPLY}: {said!r}",
            hint="Check the address; a proxy may answer in the authority's place.",
        )
    if len(content) > MAX_RESPONSE:
        raise VerificationError(f"The authority's answer has more than {MAX_RESPONSE} bytes.")
    return content


def _post(url: str, query: bytes) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{url!r} is not the address of a time-stamping authority.")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    late = threading.Event()
    try:
        connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        # The socket's own limit is for each read: an answer in drops would never run into it.
        watch = threading.Timer(TIMEOUT_SECONDS, _cut, [connection, late])
        watch.daemon = True
        watch.start()
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, query, {"Content-Type": _QUERY, "Accept": _REPLY})
            response = connection.getresponse()
            content = response.read(MAX_RESPONSE + 1)
        finally:
            watch.cancel()
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        slow = late.is_set() or isinstance(error, TimeoutError)
        why = f"no whole answer within {TIMEOUT_SECONDS:.0f} s" if slow else f"{error}"
        raise LedgerUnavailableError(
            f"The time-stamping authority {url} cannot be reached: {why}; nothing was kept.",
            hint="Ask again later, or ask another one.",
        ) from error
    if late.is_set():
        raise LedgerUnavailableError(
            f"The time-stamping authority {url} gave no whole answer within "
            f"{TIMEOUT_SECONDS:.0f} s; nothing was kept.",
            hint="Ask again later, or ask another one.",
        )
    kind_said = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    return response.status, kind_said, content


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    # While a connection is being made there is no socket yet; its own time limit ends that.
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
