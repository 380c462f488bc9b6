"""Records that differ in a few members only, written without being encoded anew each time."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from affidavit.lineage._records import record_bytes

_TEXT = re.compile(r"[ !#-\[\]-~]*")


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
        pieces = re.split("|".join(f'"{mark}"' for mark in marks), body.decode())
        found = re.findall("|".join(marks), body.decode())
        self._pieces = [piece.encode() for piece in pieces]
        self._names = [marks[mark] for mark in found]
        self.size = len(body)

    def fill(self, **values: str | int) -> bytes:
        """Return the record with its holes filled.

        Args:
            values: Plain ASCII texts without quotes and backslashes, or integers, by hole.

        Raises:
            ValueError: A text would need an escape.
        """
        parts = [self._pieces[0]]
        for name, piece in zip(self._names, self._pieces[1:], strict=True):
            value = values[name]
            if value.__class__ is int:
                parts.append(b"%d" % value)
            else:
                if not _TEXT.fullmatch(str(value)):
                    raise ValueError(f"{value!r} cannot be filled in as it is.")
                parts.append(f'"{value}"'.encode())
            parts.append(piece)
        return b"".join(parts)


class Hole(str):
    """A place in a template, by name."""

    __slots__ = ()


def _marked(value: Any, marks: dict[str, str]) -> Any:
    if isinstance(value, Hole):
        mark = secrets.token_hex(16)
        marks[mark] = str(value)
        return mark
    if isinstance(value, Mapping):
        return {key: _marked(item, marks) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(item, marks) for item in value]
    return value
