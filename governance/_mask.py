"""What is taken out of a decision before it is logged, in the way of OPA's decision-log masks.

A mask names JSON pointers (RFC 6901) into the event, such as ``/input/client/address``. What one
removes is listed in the event's ``erased``, what one replaces in ``masked`` (OPA documentation,
"Decision Logs", "Masking Sensitive Data"). Unlike there, a replacement creates nothing, and what
was taken out comes back to whoever seals it, so that the decision can be replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from affidavit.errors import ConfigurationError, VerificationError

DEFAULT_REMOVED = ("/input/client/address", "/input/actor/attributes")
"""What is personal in an input by its nature: where a caller sits, and who somebody is."""
HIDDEN = "(masked)"
"""What a message reads that quotes what was taken out."""
_SHORTEST = 4
_GONE = object()


@dataclass(frozen=True, slots=True)
class Mask:
    """Which members of a decision's input and result are not logged.

    Args:
        remove: JSON pointers to what is removed.
        replace: What is put in place of others, by JSON pointer.

    Raises:
        ConfigurationError: A pointer is none, points elsewhere, or stands twice.
    """

    remove: tuple[str, ...] = DEFAULT_REMOVED
    replace: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        named = [*self.remove, *self.replace]
        for pointer in named:
            _check(pointer)
        twice = sorted({pointer for pointer in named if named.count(pointer) > 1})
        if twice:
            raise ConfigurationError(f"The mask names {twice[0]!r} twice.")

    def apply(self, event: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return an event as it is logged, and what was taken out of it by pointer.

        Args:
            event: With ``input`` and ``result``; it is not changed. What it lists as taken out
                before stays listed.
        """
        said = dict(event)
        taken: dict[str, Any] = {}
        erased, masked = list(event.get("erased", ())), list(event.get("masked", ()))
        before = {*erased, *masked}
        for pointer in self.remove:
            if pointer not in before:
                self._take(said, pointer, _GONE, taken, erased)
        for pointer, value in self.replace.items():
            if pointer not in before:
                self._take(said, pointer, value, taken, masked)
        # A reason may quote what the input no longer shows.
        secrets = {text for value in taken.values() for text in _texts(value)}
        for pointer, message in _messages(said):
            if pointer not in before and any(text in message for text in secrets):
                self._take(said, pointer, HIDDEN, taken, masked)
        listed = {"erased": erased, "masked": masked}
        return said | {name: found for name, found in listed.items() if found}, taken

    def _take(
        self, said: dict[str, Any], pointer: str, new: Any, taken: dict[str, Any], listed: list[str]
    ) -> None:
        parts = _parts(pointer)
        if _find(said, parts) is _GONE:
            return
        taken[pointer] = _put(said, parts, new)
        listed.append(pointer)


def restore(event: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as it was before it was masked.

    Args:
        event: As it was logged.
        taken: What was taken out, by pointer.

    Raises:
        VerificationError: What it lists as taken out is not what was kept of it.
    """
    erased, masked = list(event.get("erased", ())), list(event.get("masked", ()))
    if sorted([*erased, *masked]) != sorted(taken):
        raise VerificationError("What the mask took out is not what the record says it took out.")
    found = {key: value for key, value in event.items() if key not in {"erased", "masked"}}
    try:
        for pointer in reversed(masked):
            _put(found, _parts(pointer), taken[pointer])
        for pointer in reversed(erased):
            _put(found, _parts(pointer), taken[pointer], insert=True)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise VerificationError(
            "What the mask took out does not fit where the record says it was."
        ) from error
    return found


def _check(pointer: object) -> None:
    places = ("/input", "/input/", "/result/")
    fits = isinstance(pointer, str) and (pointer == places[0] or pointer.startswith(places[1:]))
    if not fits or str(pointer).endswith("/") or pointer == "/result/allow":
        raise ConfigurationError(
            f"The mask names {pointer!r}.",
            hint="Name what is not logged as a JSON pointer such as /input/client/address; whether "
            "a call was allowed is always logged.",
        )


def _parts(pointer: str) -> list[str]:
    parts = pointer[1:].split("/")
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _at(node: Any, part: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(part, _GONE)
    if isinstance(node, list | tuple) and part.isdecimal() and part.isascii():
        return node[int(part)] if int(part) < len(node) else _GONE
    return _GONE


def _find(node: Any, parts: list[str]) -> Any:
    for part in parts:
        node = _at(node, part)
        if node is _GONE:
            return _GONE
    return node


def _put(root: dict[str, Any], parts: list[str], new: Any, *, insert: bool = False) -> Any:
    """Put a value in its place, or take it away; what is on the way there is copied."""
    node: Any = root
    for part in parts[:-1]:
        key: Any = part if isinstance(node, dict) else int(part)
        inner = node[key]
        node[key] = dict(inner) if isinstance(inner, Mapping) else list(inner)
        node = node[key]
    last: Any = parts[-1] if isinstance(node, dict) else int(parts[-1])
    if insert and isinstance(node, list):
        if last > len(node):
            raise IndexError(last)
        node.insert(last, new)
        return None
    before = node.get(last) if isinstance(node, dict) else node[last]
    if new is _GONE:
        del node[last]
    else:
        node[last] = new
    return before


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= _SHORTEST:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _messages(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for effect in ("deny", "warn"):
        reasons = _find(event, ["result", effect])
        for place, reason in enumerate(reasons if isinstance(reasons, list) else ()):
            message = _at(reason, "message")
            if isinstance(message, str):
                found.append((f"/result/{effect}/{place}/message", message))
    return found
