"""One upload over HTTP: what a service answered, and whether to try again."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from affidavit.errors import ConfigurationError
from affidavit.policies import is_loopback

TIMEOUT_SECONDS = 30.0
"""How long a service may keep silent."""
_MOST_ANSWER = 64 * 1024
_LONGEST_WAIT = 300.0
_AGAIN = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of an upload.

    Args:
        taken: Whether the service acknowledged it.
        again: Whether it may be tried again.
        reason: What went wrong.
        after: How many seconds the service asks to wait.
    """

    taken: bool
    again: bool = False
    reason: str = ""
    after: float = 0.0


def post(url: str, content: bytes, *, token: str = "", trust: Path | None = None) -> Posted:
    """Post a gzip-compressed JSON document.

    A redirection is not followed: it would carry the token elsewhere.

    Args:
        url: Where to.
        content: The compressed document.
        token: The bearer token; none where empty.
        trust: The authorities that TLS trusts; the system's by default.

    Raises:
        ConfigurationError: A token would go over a plain connection to another machine, or the
            authorities cannot be read.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if token and parts.scheme != "https" and not is_loopback(host):
        raise ConfigurationError(
            "The token of the decision log would go over a connection that anybody can read.",
            hint="Use an https:// address, or unset AFFIDAVIT_DECISION_LOG_TOKEN.",
        )
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = _connection(parts.scheme, host, parts.port, trust)
    try:
        connection.request("POST", quote(parts.path, safe="/%"), content, headers)
        response = connection.getresponse()
        response.read(_MOST_ANSWER)
        return _judge(response)
    except ssl.SSLCertVerificationError as error:
        return Posted(taken=False, reason=f"its certificate does not hold ({error.verify_message})")
    except (OSError, http.client.HTTPException) as error:
        # Whether it arrived is not known; it is posted again, and told by decision_id.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Posted(taken=False, again=True, reason=f"the connection failed ({reason})")
    finally:
        connection.close()


def _judge(response: http.client.HTTPResponse) -> Posted:
    status = response.status
    if 200 <= status < 300:
        return Posted(taken=True)
    again = status >= 500 or status in _AGAIN
    said = response.headers.get("Retry-After", "")
    after = min(float(said), _LONGEST_WAIT) if said.isascii() and said.isdecimal() else 0.0
    return Posted(taken=False, again=again, reason=f"it answered {status}", after=after)


def _connection(
    scheme: str, host: str, port: int | None, trust: Path | None
) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        context = ssl.create_default_context(cafile=str(trust) if trust else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The authorities in {trust} cannot be read: {error}.",
            hint="Name a file of certificates in PEM.",
        ) from error
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
