"""The keyed digest of a request that is put again and again, with another time and id each time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from affidavit.policies._canonical import canonical_input

__all__ = ["StandingDigest"]

_BLOCK = 64
_HOLES = ("request_id", "time")
_MARKS = {"request_id": "\x00request_id\x00", "time": "\x00time\x00"}


class StandingDigest:
    """Gives what `input_digest` gives for a request, and hashes only what is new in it.

    HMAC (RFC 2104) is two hashes, each of which begins with the key; in canonical form a request's
    id and time come late. So all that stays the same up to the id is hashed once.

    Args:
        document: The request, without its ``time`` and ``request_id``.
        key: The key of the digests.

    Raises:
        PolicyEngineError: The request has no canonical form.
    """

    def __init__(self, document: Mapping[str, Any], key: bytes) -> None:
        canonical = canonical_input({**document, **_MARKS})
        # A mark is found where it was put: a NUL stands escaped in no other way.
        before, _, rest = canonical.partition(b'"request_id":"\\u0000request_id\\u0000"')
        between, found, after = rest.partition(b'"time":"\\u0000time\\u0000"')
        self.sound = bool(found) and canonical.count(b"\\u0000") == 2 * len(_HOLES)
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + before)
        self._inner.update(b'"request_id":"')
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self._between = b'"' + between + b'"time":"'
        self._after = b'"' + after

    def digest(self, request_id: bytes, time: bytes) -> bytes:
        """Return the digest in hexadecimal.

        Args:
            request_id: The request's id, of characters that JSON does not escape.
            time: Its time, likewise.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(request_id + self._between + time + self._after)
        outer.update(inner.digest())
        return outer.hexdigest().encode()
