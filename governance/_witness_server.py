"""A witness as a small HTTP server (C2SP tlog-witness), with its key and state in one folder.

```
witness/
├── witness.pem     its private key, mode 0600
├── witness.pub     its verifier key: for whoever relies on its cosignatures
└── state.json      the newest checkpoint cosigned of each log
```
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from affidavit.errors import AffidavitError, ConfigurationError, KeyFileError
from affidavit.lineage import (
    Answer,
    Cosigner,
    NoteVerifier,
    SigningKey,
    Witness,
    WitnessVerifier,
    read_key,
    write_key,
)

MAX_BODY = 64 * 1024
SOCKET_SECONDS = 10.0
_MAX_THREADS = 32


def open_witness(
    folder: Path, logs: Sequence[NoteVerifier], *, name: str = ""
) -> tuple[Witness, WitnessVerifier]:
    """Return the witness in a folder, made there where the folder is empty.

    Args:
        folder: Where its key and state are.
        logs: The keys of the logs that it witnesses.
        name: What a new witness is called; a random name by default.

    Raises:
        ConfigurationError: The folder cannot be made.
        KeyFileError: The key is there without a state or cannot be read, or the name differs.
    """
    key, public, state = (folder / n for n in ("witness.pem", "witness.pub", "state.json"))
    passphrase = os.environ.get("AFFIDAVIT_KEY_PASSPHRASE")
    if not key.exists() and not state.exists():
        verifier_name = name or f"affidavit.local/witness-{secrets.token_hex(8)}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = SigningKey.generate()
            made = Cosigner(verifier_name, fresh.private).verifier
            Witness.create(state)
            public.write_text(f"{made}\n", "utf-8")
            write_key(key, fresh, passphrase=passphrase)
        except OSError as error:
            raise ConfigurationError(
                f"A witness cannot be made at {folder}: {error.strerror}.",
                hint="Name a folder that this user can write.",
            ) from error
    try:
        verifier = WitnessVerifier.parse(public.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"The witness's public key {public} cannot be read.") from error
    cosigner = Cosigner(verifier.name, read_key(key, passphrase=passphrase).private)
    if cosigner.verifier != verifier or (name and name != verifier.name):
        raise KeyFileError(
            f"The witness in {folder} is {verifier}, which is not what was asked for.",
            hint="Name another folder for another witness.",
        )
    by_origin: dict[str, list[NoteVerifier]] = {}
    for log in logs:
        by_origin.setdefault(log.name, []).append(log)
    return Witness(state, cosigner, by_origin), verifier


class WitnessServer(ThreadingHTTPServer):
    """Serves ``POST /add-checkpoint``.

    Args:
        address: Host and port; port 0 takes a free one.
        witness: Whose answers it gives.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        self.witness = witness
        self.slots = threading.BoundedSemaphore(_MAX_THREADS)
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host if isinstance(host, str) else host.decode()}:{port}"


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS

    def handle(self) -> None:
        with self.server.slots:
            super().handle()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(411, "A request has a Content-Length.")
        elif len(length) > 9 or int(length) > MAX_BODY:
            self._refuse(413, f"A request has at most {MAX_BODY} bytes.")
        else:
            body = self.rfile.read(int(length))
            if self.path != "/add-checkpoint":
                self._send(Answer(404, b"There is only /add-checkpoint.\n"))
            elif len(body) != int(length):
                self._refuse(400, "The request was cut off.")
            else:
                self._send(self._answer(body))

    def _answer(self, body: bytes) -> Answer:
        try:
            return self.server.witness.add_checkpoint(body, int(time.time()))
        except AffidavitError as error:
            return Answer(500, f"{error.message}\n".encode())

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True
        self._send(Answer(status, f"{message}\n".encode()), {"Connection": "close"})

    def _send(self, answer: Answer, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def version_string(self) -> str:
        return "affidavit-witness"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing: what was cosigned is in the state."""
