"""ASGI middleware: each request's predictions have ids in its response, and a denial is a 403.

```python
app = FastAPI()
app.add_middleware(AffidavitMiddleware, actor=lambda scope: scope["user"].name)
```

A call above the limit of its rate is a 429 with ``Retry-After``. Errors are answered as problem
details (RFC 9457) that say nothing of what stands in the ledger, in the policy or on the disk; that
goes to the logger ``affidavit``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from affidavit._client_address import forwarded_address, peer_address
from affidavit._context import current_actor, current_client, served
from affidavit.errors import LedgerError, PolicyDenied, RateLimitError

__all__ = ["AffidavitMiddleware", "forwarded_address", "peer_address"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger("affidavit")
_MOST_IDS = 100
_DETAILS = {
    403: "The policy does not allow this request.",
    429: "The policy does not allow so many requests.",
    503: "The request cannot be recorded at present, so it is not served.",
}


class AffidavitMiddleware:
    """Wraps an ASGI 3 application.

    Within one HTTP request or WebSocket connection, ``aff.prediction_ids()`` gives the ids of what
    it served, in every task and thread that belongs to it, and of nothing else.

    Args:
        app: The application.
        actor: Gives who makes a request, from its scope, as policies and ledger know them; by
            default the process's own user. It must not take a header on trust that a client sets.
        client: Gives the address that a request came from, from its scope: `peer_address`, or what
            `forwarded_address` makes for a service behind proxies. By default none is told to the
            policies, and none is recorded: it is personal data. Policies that limit networks, or
            the calls of each client, need it.
        header: The response header that lists the ids of the request's predictions that were
            served before the response began, separated by commas.
    """

    def __init__(
        self,
        app: App,
        *,
        actor: Callable[[Scope], str] | None = None,
        client: Callable[[Scope], str] | None = None,
        header: str = "x-affidavit-prediction",
    ) -> None:
        self._app = app
        self._actor = actor
        self._client = client
        self._header = header.lower().encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        collected: list[str] = []
        served_before, actor_before = served.get(), current_actor.get()
        client_before = current_client.get()
        served.set(collected)
        try:
            if scope["type"] == "http":
                await self._http(scope, receive, send, collected)
            else:
                await self._as_actor(scope, receive, send)
        finally:
            # Not by token: a server may close the connection in another context.
            served.set(served_before)
            current_actor.set(actor_before)
            current_client.set(client_before)

    async def _as_actor(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._actor is not None:
            current_actor.set(self._actor(scope))
        # An address of an earlier request in this context is not this one's.
        current_client.set(self._client(scope) if self._client is not None else "")
        await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send, collected: list[str]) -> None:
        response = _Response(send, self._header, collected)
        try:
            await self._as_actor(scope, receive, response.send)
        except (PolicyDenied, LedgerError) as error:
            cause = error.__cause__
            wait = cause.retry_after if isinstance(cause, RateLimitError) else 0
            status = 429 if wait else 403 if isinstance(error, PolicyDenied) else 503
            _LOG.warning("A request was answered with %d: %s", status, error)
            if response.begun:
                raise
            await _problem(send, status, wait)
        except BaseException:
            await response.release()
            raise
        else:
            await response.release()


class _Response:
    """One response on its way out: the ids are added, and a 500 is held back until it stands.

    A framework inside answers an error with 500 before it lets the error go on.
    """

    def __init__(self, send: Send, header: bytes, collected: list[str]) -> None:
        self._send = send
        self._header = header
        self._collected = collected
        self._held: list[Message] = []
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._with_ids(message)
            if message["status"] == 500:
                self._held.append(message)
                return
        elif self._held:
            self._held.append(message)
            if message.get("more_body", False):
                await self.release()
            return
        self.begun = True
        await self._send(message)

    async def release(self) -> None:
        """Send what was held back."""
        while self._held:
            self.begun = True
            await self._send(self._held.pop(0))

    def _with_ids(self, message: Message) -> Message:
        kept = [
            (name, value)
            for name, value in message.get("headers", ())
            if bytes(name).lower() != self._header
        ]
        # Servers limit the size of headers; a batch has more ids than fit in one.
        if 0 < len(self._collected) <= _MOST_IDS:
            kept.append((self._header, ",".join(self._collected).encode("ascii")))
        return {**message, "headers": kept}


async def _problem(send: Send, status: int, wait: int) -> None:
    # RFC 9457 §4.2.1: with about:blank the title is the status's own phrase.
    title, detail = HTTPStatus(status).phrase, _DETAILS[status]
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    if wait:
        headers.append((b"retry-after", str(wait).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
