"""Where a request came from: the peer of the connection, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from affidavit.errors import ConfigurationError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def peer_address(scope: MutableMapping[str, Any]) -> str:
    """The IP address at the other end of a request's connection; empty where the server knows none.

    Args:
        scope: The request's ASGI scope (ASGI specification 3.0, "HTTP & WebSocket", ``client``).
    """
    peer = scope.get("client")
    return _plain(str(peer[0])) if peer else ""


def forwarded_address(
    proxies: Iterable[str], *, header: str = "x-forwarded-for"
) -> Callable[[MutableMapping[str, Any]], str]:
    """A function that gives the address for which trusted proxies forwarded a request.

    A header that anybody can send is believed only as far as trusted proxies wrote it: read from
    its end, the first address that is no proxy's. A request that came past the proxies is one of
    its peer's, whatever its header says.

    Args:
        proxies: The networks of the proxies, such as ``10.0.0.0/8``.
        header: The header to which each proxy appends the address that it was asked from.

    Raises:
        ConfigurationError: A network is none.
    """
    try:
        trusted = tuple(ipaddress.ip_network(network) for network in proxies)
    except ValueError as error:
        raise ConfigurationError(
            f"A proxy's network cannot be read: {error}.",
            hint='Write it as in forwarded_address(["10.0.0.0/8"]).',
        ) from error
    wanted = header.lower().encode("latin-1")

    def address(scope: MutableMapping[str, Any]) -> str:
        found = peer_address(scope)
        lines = [value for name, value in scope.get("headers", ()) if bytes(name).lower() == wanted]
        named = [part.strip() for part in b",".join(lines).decode("latin-1").split(",") if lines]
        while named and _within(found, trusted):
            # What is no address is not skipped: who is behind it is not known.
            found = _plain(named.pop())
        return found

    return address


def _plain(text: str) -> str:
    """An address in its usual form, an IPv4 one out of its IPv6 wrapping; empty for all else."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _within(address: str, networks: tuple[_Network, ...]) -> bool:
    if not address:
        return False
    found = ipaddress.ip_address(address)
    return any(found in network for network in networks if found.version == network.version)
