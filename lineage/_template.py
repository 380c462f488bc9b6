"""Records that differ in a few members only, written without being encoded anew each time."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from affidavit.lineage._records import record_bytes

# Nobody who gives a value can know it. One for all: to compile a pattern costs more than the rest.
_MARK = secrets.token_hex(16)
_MARKS = re.compile(f'"{_MARK}[0-9a-f]{{4}}"')


class RecordTemplate:
    """A record in which some members are filled in later.

    What it gives is what `record_bytes` gives for the same members.

    Args:
        kind: The record's kind.
        fields: The other members; a `Hole` anywhere among them is filled in later.
    """

    def __init__(self, kind: str, fields: Mapping[str, Any]) -> None:
        marks: dict[str, str] = {}
        body = record_bytes(kind, {k: _marked(value, marks) for k, value in fields.items()})
        pieces = _MARKS.split(body.decode())
        found = [mark[1:-1] for mark in _MARKS.findall(body.decode())]
        self._parts = [b""] * (2 * len(pieces) - 1)
        self._parts[::2] = [piece.encode() for piece in pieces]
        self._holes = [(2 * n + 1, marks[mark]) for n, mark in enumerate(found)]
        self.size = len(body)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """Return the record with its holes filled.

        Args:
            values: The JSON of each hole's value, in the form of `dump_json`.
        """
        parts = self._parts.copy()
        for place, name in self._holes:
            parts[place] = values[name]
        return b"".join(parts)


class Hole(str):
    """A place in a template, by name."""

    __slots__ = ()


def _marked(value: Any, marks: dict[str, str]) -> Any:
    if isinstance(value, Hole):
        mark = f"{_MARK}{len(marks):04x}"
        marks[mark] = str(value)
        return mark
    if isinstance(value, Mapping):
        return {key: _marked(item, marks) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(item, marks) for item in value]
    return value
