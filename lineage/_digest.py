"""Digests that say which recipe made them, and fingerprints: a digest with what it is of.

A digest travels as in an in-toto ResourceDescriptor's ``DigestSet`` (in-toto Attestation Framework
v1, "DigestSet"), with the recipe beside it, because equal values under different recipes mean
different things:

    {"digest": {"sha256": "2cf24dba…"}, "recipe": "file-bytes-v1"}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, cast

from affidavit.errors import FingerprintError, MissingDependencyError

if TYPE_CHECKING:
    from hashlib import _Hash

# Digest sizes in bytes; the names are those of the DigestSet specification.
ALGORITHMS = MappingProxyType({"sha256": 32, "sha384": 48, "sha512": 64, "blake3": 32})
# `file-bytes-v1`; a revision is part of the name, so a changed recipe never passes for the old one.
_RECIPE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*-v[1-9][0-9]*")
_KIND = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_HEX = re.compile(r"[0-9a-f]+")
_SHORT = 12


def _text(value: object) -> str:
    """The value if it is text, else "", which no form below admits."""
    return value if isinstance(value, str) else ""


def _object(value: object, keys: set[str]) -> Mapping[str, Any]:
    """The value if it is a mapping with exactly these keys."""
    if not isinstance(value, Mapping) or set(value) != keys:
        raise FingerprintError(f"Expected an object with exactly {sorted(keys)}; found {value!r}.")
    return value


def new_hash(algorithm: str, *, threads: int = 1) -> _Hash:
    """A fresh hash object of the named algorithm.

    Args:
        algorithm: A name that `ALGORITHMS` knows.
        threads: How many threads one update may use; only blake3 can use more than one.

    Returns:
        An object like hashlib's that nothing was fed to yet.

    Raises:
        FingerprintError: The algorithm is unknown, or this Python cannot compute it.
        MissingDependencyError: It is blake3, and the library of that name is not installed.
    """
    if algorithm == "sha256":
        return hashlib.sha256()  # most of them: looking a name up takes longer than hashing a node
    if algorithm == "blake3":
        try:
            from blake3 import blake3
        except ImportError as error:
            raise MissingDependencyError("blake3", "blake3") from error
        return cast("_Hash", blake3(max_threads=threads))
    if algorithm not in ALGORITHMS or algorithm not in hashlib.algorithms_available:
        known = sorted(set(ALGORITHMS) & (hashlib.algorithms_available | {"blake3"}))
        raise FingerprintError(
            f"Cannot compute the hash algorithm {algorithm!r}.",
            hint=f"Use one of: {', '.join(known)}.",
        )
    return hashlib.new(algorithm)


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash value with its algorithm and the recipe that turned an object into bytes.

    Args:
        algorithm: The hash algorithm, for example ``sha256``.
        value: The hash value in lowercase hexadecimal.
        recipe: The versioned name of the rule that made the bytes, for example ``file-bytes-v1``.

    Raises:
        FingerprintError: The algorithm is unknown, the value is not lowercase hexadecimal of that
            algorithm's length, or the recipe is not a versioned name.
    """

    algorithm: str
    value: str
    recipe: str

    def __post_init__(self) -> None:
        if _text(self.algorithm) not in ALGORITHMS:
            raise FingerprintError(
                f"Unknown digest algorithm {self.algorithm!r}.",
                hint=f"Known are: {', '.join(ALGORITHMS)}.",
            )
        length = 2 * ALGORITHMS[self.algorithm]
        if not _HEX.fullmatch(_text(self.value)) or len(self.value) != length:
            raise FingerprintError(
                f"A {self.algorithm} digest is {length} lowercase hexadecimal digits; found "
                f"{self.value!r}."
            )
        if not _RECIPE.fullmatch(_text(self.recipe)):
            raise FingerprintError(
                f"A recipe is a versioned name such as 'file-bytes-v1'; found {self.recipe!r}."
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"

    @property
    def short(self) -> str:
        """The first digits of the value: for people's eyes, never for comparison."""
        return self.value[:_SHORT]

    @property
    def raw(self) -> bytes:
        """The hash value as bytes."""
        return bytes.fromhex(self.value)

    @classmethod
    def parse(cls, text: str, *, recipe: str) -> Self:
        """The digest that `str` wrote.

        Args:
            text: ``algorithm:hex``, exactly as `str` gives it.
            recipe: The recipe, which the text does not carry.

        Returns:
            The digest; ``str(Digest.parse(text, recipe=r)) == text``.

        Raises:
            FingerprintError: The text has another form.
        """
        algorithm, colon, value = _text(text).partition(":")
        if not colon:
            raise FingerprintError(f"A digest is written 'sha256:<hex>'; found {text!r}.")
        return cls(algorithm, value, recipe)

    @classmethod
    def of(cls, data: bytes, *, recipe: str, algorithm: str = "sha256") -> Self:
        """The digest of bytes that a recipe made.

        Args:
            data: The bytes.
            recipe: The recipe that made them.
            algorithm: The hash algorithm.

        Returns:
            Their digest.
        """
        state = new_hash(algorithm)
        state.update(data)
        return cls(algorithm, state.hexdigest(), recipe)

    def to_dict(self) -> dict[str, Any]:
        """The digest as ``{"digest": {algorithm: hex}, "recipe": name}``."""
        return {"digest": {self.algorithm: self.value}, "recipe": self.recipe}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The digest that `to_dict` wrote.

        Args:
            data: A mapping with exactly the keys ``digest`` and ``recipe``.

        Returns:
            The digest; ``Digest.from_dict(d.to_dict()) == d``.

        Raises:
            FingerprintError: A key is missing or unknown, or there is not exactly one algorithm.
        """
        values = _object(data, {"digest", "recipe"})["digest"]
        if not isinstance(values, Mapping) or len(values) != 1:
            raise FingerprintError(f"Expected one algorithm with its value; found {values!r}.")
        ((algorithm, value),) = values.items()
        return cls(algorithm, value, data["recipe"])


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of an object, what kind of object it is, and what is safe to say about it.

    Two fingerprints are equal if their kinds, digests and details are; the digest alone decides
    whether two objects have the same content.

    Args:
        digest: The object's digest.
        kind: ``file``, ``directory``, ``table``, ``array``, ``estimator``, ``source``, ``bytes``
            or ``json``.
        detail: JSON-safe facts such as a schema and a size. It never holds cell values.

    Raises:
        FingerprintError: The kind is no name, or the detail is not JSON-safe.
    """

    digest: Digest
    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(_text(self.kind)):
            raise FingerprintError(f"A fingerprint's kind is a lowercase name: {self.kind!r}.")
        try:
            text = json.dumps(dict(self.detail), allow_nan=False)
            copy = json.loads(text)
        except (TypeError, ValueError) as error:
            raise FingerprintError(f"A fingerprint's detail must be JSON-safe: {error}.") from error
        # A copy: what the caller does to its own dict afterwards must not alter a recorded fact.
        object.__setattr__(self, "detail", copy)

    def __str__(self) -> str:
        return str(self.digest)

    def to_dict(self) -> dict[str, Any]:
        """The fingerprint as JSON: the digest's two keys, ``kind`` and ``detail``."""
        detail = json.loads(json.dumps(self.detail))
        return {**self.digest.to_dict(), "kind": self.kind, "detail": detail}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The fingerprint that `to_dict` wrote.

        Args:
            data: A mapping with exactly the keys ``digest``, ``recipe``, ``kind``, ``detail``.

        Returns:
            The fingerprint; ``Fingerprint.from_dict(f.to_dict()) == f``.

        Raises:
            FingerprintError: A key is missing or unknown, or a value has the wrong form.
        """
        _object(data, {"digest", "recipe", "kind", "detail"})
        if not isinstance(data["detail"], Mapping):
            raise FingerprintError(f"A fingerprint's detail is an object: {data['detail']!r}.")
        digest = Digest.from_dict({"digest": data["digest"], "recipe": data["recipe"]})
        return cls(digest, data["kind"], data["detail"])
