"""Decisions by a running OPA server, through opa-python-client, with our own budget and errors."""

from __future__ import annotations

import ipaddress
import json
import os
import queue
import re
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from affidavit.errors import ConfigurationError, MissingDependencyError, PolicyEngineError
from affidavit.policies._canonical import canonical_input, input_digest
from affidavit.policies._contract import parse_result
from affidavit.policies._decision import Decision
from affidavit.policies._engine import CacheProfile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["OpaServerEngine", "is_loopback"]

# The client turns dots into slashes and pastes the path into a URL: only plain names may pass.
_PATH = re.compile(r"[a-z_][a-z0-9_]*(?:/[a-z_][a-z0-9_]*)*", re.ASCII)
_BACKOFF_S = 0.02


class _Trouble(NamedTuple):
    rule: str
    message: str
    again: bool


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine, to which nothing travels over a network."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(url: str, token: str | None) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"The OPA server's URL {url!r} has no usable port.") from error
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra:
        raise ConfigurationError(
            f"The OPA server's URL is {url!r}; expected http(s)://host:port and nothing more.",
            hint="A token is passed as `token`, not in the URL.",
        )
    if token and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"A token would travel unencrypted to {parts.hostname}.", hint="Use an https URL."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host, port or 8181, parts.scheme == "https"


class OpaServerEngine:
    """Decisions by an OPA server that runs the same packs.

    No call takes longer than ``timeout``, retries included, whatever the server does. Redirects
    are not followed; proxies and ``.netrc`` of the environment are not used.

    Args:
        url: ``http://host:port`` or ``https://host:port``.
        token: Bearer token; refused over plain HTTP except to this machine.
        timeout: Total time for one decision, in seconds.
        retries: How often a failed connection or a 5xx is tried again within that time.
        bundle_digest: The digest that the server's bundle must have, as `server_bundle` gives it;
            an answer from another bundle denies. None takes what the server says.
        profile: What a cache may leave out of account for each entry point, as `server_bundle`
            gives it; None lets it leave out nothing.
        ca: A file of certificate authorities to trust instead of the default ones.
        max_in_flight: Requests that may be open at once, stalled ones included; more are denied.
        digest_key: Key for the digest of the input (HMAC-SHA256); None gives a bare SHA-256.

    Raises:
        ConfigurationError: The URL or a number is not usable.
    """

    name = "opa-server"

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 1.0,
        retries: int = 1,
        bundle_digest: str | None = None,
        profile: Mapping[str, CacheProfile] | None = None,
        ca: Path | None = None,
        max_in_flight: int = 64,
        digest_key: bytes | None = None,
    ) -> None:
        self._host, self._port, self._tls = _address(url, token)
        if timeout <= 0 or retries < 0 or max_in_flight < 1:
            raise ConfigurationError(
                f"The OPA server engine needs timeout > 0, retries ≥ 0 and max_in_flight ≥ 1; "
                f"found {timeout}, {retries} and {max_in_flight}."
            )
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._retries = retries
        self._expected = bundle_digest
        self._seen = bundle_digest or ""
        self._version = ""
        self._profile = dict(profile or {})
        self._ca = ca
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._digest_key = digest_key
        self._clients: dict[int, Any] = {}
        self._lock = threading.Lock()

    @property
    def bundle_digest(self) -> str:
        """The digest that the server's bundle must have, or that it last stated; else empty."""
        return self._seen

    @property
    def version(self) -> str:
        """The version that the server last stated."""
        return self._version

    def cache_profile(self, entrypoint: str) -> CacheProfile:
        """What a cache may leave out of account for an entry point: nothing, unless told."""
        return self._profile.get(entrypoint, CacheProfile())

    def _client(self) -> Any:
        # Sockets must not be shared with a forked child.
        pid = os.getpid()
        client = self._clients.get(pid)
        if client is not None:
            return client
        try:
            from opa_client.opa import OpaClient
        except ImportError as error:
            raise MissingDependencyError("opa_client", "opa") from error
        client = OpaClient(
            host=self._host,
            port=self._port,
            ssl=self._tls,
            token=self._token,
            retries=0,
            timeout=self._timeout,
        )
        session = client._session  # noqa: SLF001  # the client has no option for these three
        session.trust_env = False
        session.max_redirects = 0
        if self._ca is not None:
            session.verify = str(self._ca)
        with self._lock:
            return self._clients.setdefault(pid, client)

    def _ask(self, entrypoint: str, document: Any) -> dict[str, Any] | _Trouble:
        """One request; every way in which it can go wrong has a name."""
        try:
            answer = self._client().query_rule(document, entrypoint, None, {"provenance": "true"})
        except Exception as error:  # noqa: BLE001  # whatever the client raises must deny
            return self._trouble(error)
        if not isinstance(answer, dict):
            return _Trouble(
                "engine.malformed", "The OPA server's answer is no object.", again=False
            )
        return answer

    def _trouble(self, error: Exception) -> _Trouble:
        from requests import exceptions

        at = f"The OPA server at {self._url}"
        # JSONDecodeError is a RequestException too, so the order matters.
        if isinstance(error, exceptions.JSONDecodeError):
            return _Trouble("engine.malformed", f"{at} answered with no JSON.", again=False)
        if isinstance(error, exceptions.HTTPError) and error.response is not None:
            status = error.response.status_code
            broken = status >= 500
            rule = "engine.unreachable" if broken else "engine.refused"
            return _Trouble(rule, f"{at} answered {status}.", again=broken)
        if isinstance(error, exceptions.TooManyRedirects):
            return _Trouble("engine.refused", f"{at} redirects.", again=False)
        if isinstance(error, exceptions.Timeout):
            return _Trouble("engine.timeout", f"{at} did not answer in time.", again=False)
        kind = type(error).__name__
        if isinstance(error, exceptions.RequestException):
            return _Trouble("engine.unreachable", f"{at} fails ({kind}).", again=True)
        return _Trouble("engine.failed", f"The OPA client failed ({kind}): {error}", again=False)

    def _within(self, budget: float, entrypoint: str, document: Any) -> dict[str, Any] | _Trouble:
        """`_ask` on a thread of its own: a socket's time-out starts anew with every byte."""
        if not self._slots.acquire(blocking=False):
            return _Trouble("engine.overloaded", "Too many requests to OPA are open.", again=False)
        answers: queue.SimpleQueue[dict[str, Any] | _Trouble] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put(self._ask(entrypoint, document))
            finally:
                self._slots.release()

        threading.Thread(target=work, name="affidavit-opa", daemon=True).start()
        try:
            return answers.get(timeout=budget)
        except queue.Empty:
            return _Trouble(
                "engine.timeout", f"No decision from OPA within {self._timeout} s.", again=False
            )

    def decide(self, entrypoint: str, input: Mapping[str, Any]) -> Decision:  # noqa: A002  # the contract's word
        """Decide one request; trouble is a denial with a rule ``engine.…`` or ``input.…``.

        Args:
            entrypoint: The rule to ask, such as ``affidavit/data_read``.
            input: The request, as in ``policies/schemas/input.schema.json``.

        Returns:
            The decision; it allows only where the rules plainly do.
        """
        start = time.perf_counter_ns()
        meta: dict[str, Any] = {
            "engine": self.name,
            "engine_version": self._version,
            "bundle_digest": self._seen,
        }

        def denied(rule: str, message: str) -> Decision:
            spent = time.perf_counter_ns() - start
            return Decision.denied(entrypoint, rule, message, duration_ns=spent, **meta)

        try:
            canonical = canonical_input(input)
        except PolicyEngineError as error:
            return denied("input.unserialisable", str(error))
        meta["input_digest"] = input_digest(canonical, self._digest_key)
        if not _PATH.fullmatch(entrypoint):
            return denied("engine.entrypoint_unknown", f"{entrypoint!r} is no entry point.")
        try:
            # The first call loads the client's libraries, which is no part of the budget.
            self._client()
        except MissingDependencyError as error:
            return denied("engine.unloadable", str(error))
        # What is digested is what is sent, whatever other threads do to the mapping meanwhile.
        document = json.loads(canonical)
        end = time.monotonic() + self._timeout
        answer = self._within(self._timeout, entrypoint, document)
        for attempt in range(self._retries):
            left = end - time.monotonic() - _BACKOFF_S * 2**attempt
            if not isinstance(answer, _Trouble) or not answer.again or left <= 0:
                break
            time.sleep(_BACKOFF_S * 2**attempt)
            answer = self._within(left, entrypoint, document)
        if isinstance(answer, _Trouble):
            return denied(answer.rule, answer.message)
        meta["engine_version"], meta["bundle_digest"] = _provenance(answer)
        trouble = self._note(meta["engine_version"], meta["bundle_digest"])
        if trouble is None and "result" not in answer:
            trouble = _Trouble("engine.undefined", "The rules gave no result.", again=False)
        if trouble is not None:
            return denied(trouble.rule, trouble.message)
        spent = time.perf_counter_ns() - start
        return parse_result(entrypoint, answer["result"], duration_ns=spent, **meta)

    def _note(self, version: str, digest: str) -> _Trouble | None:
        """Remember what the server says of itself; say what is wrong with it."""
        self._version = version
        if self._expected is not None and digest != self._expected:
            return _Trouble(
                "engine.bundle_mismatch",
                f"The OPA server runs the bundle {digest or '(none)'}, expected {self._expected}.",
                again=False,
            )
        self._seen = digest
        return None


def _provenance(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The server's version and its bundle's revision, each empty where it is not stated."""
    provenance = answer.get("provenance")
    if not isinstance(provenance, dict):
        return "", ""
    version = provenance.get("version")
    bundles = provenance.get("bundles")
    revisions = sorted(
        str(bundle.get("revision", ""))
        for bundle in (bundles.values() if isinstance(bundles, dict) else ())
        if isinstance(bundle, dict)
    )
    # Several bundles may each override the other: only one is a bundle that can be named.
    digest = revisions[0] if len(revisions) == 1 else ""
    return version if isinstance(version, str) else "", digest
