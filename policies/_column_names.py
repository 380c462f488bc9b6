"""What a column's name says: words, in several languages, that speak for a tag."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from importlib.resources import files
from typing import Any, NamedTuple

__all__ = ["NameEvidence", "name_evidence", "vocabulary"]

_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_QUALIFIED = 0.4
_WHOLE_ONLY = 0.6
_LONGEST = 4


class NameEvidence(NamedTuple):
    """A phrase in a column's name.

    Args:
        tag: The tag that it speaks for.
        strength: How strongly, from 0 to 1.
        phrase: The words.
    """

    tag: str
    strength: float
    phrase: str


@functools.cache
def vocabulary() -> dict[str, Any]:
    """The words and closed lists of values in ``column-names.json``."""
    content: dict[str, Any] = json.loads(
        files("affidavit.policies").joinpath("column-names.json").read_text("utf-8")
    )
    return content


@functools.cache
def _phrases() -> dict[tuple[str, ...], tuple[str, float]]:
    found: dict[tuple[str, ...], tuple[str, float]] = {
        tuple(phrase.split()): ("", 0.0) for phrase in vocabulary()["neutral"]
    }
    for tag, strengths in vocabulary()["names"].items():
        for strength, phrases in strengths.items():
            found.update({tuple(phrase.split()): (tag, float(strength)) for phrase in phrases})
    return found


def _words(name: str) -> list[str]:
    text = name.replace("ß", "ss")
    for umlaut, plain in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        text = text.replace(umlaut, plain).replace(umlaut.upper(), plain.capitalize())
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return [part.lower() for part in _PARTS.findall(plain)]


def name_evidence(name: str) -> list[NameEvidence]:
    """What the words of a column's name speak for, the longest phrases first.

    A word counts once: ``ip_address`` speaks for an identifier and not for an address as well. A
    word such as ``count`` or ``has`` beside it says that the column holds something about the
    thing, and weakens it.

    Args:
        name: The column's name, in any of the usual spellings.
    """
    words = _words(name)
    if len(words) > 1 and words[-1].isdigit():
        words.pop()
    taken = [False] * len(words)
    found = []
    for length in range(min(_LONGEST, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            phrase = tuple(words[start : start + length])
            if any(taken[start : start + length]) or phrase not in _phrases():
                continue
            taken[start : start + length] = [True] * length
            tag, strength = _phrases()[phrase]
            # A weak word says what the column is about, where another says what is in it.
            if tag and (strength > _WHOLE_ONLY or length == len(words)):
                found.append(NameEvidence(tag, strength, " ".join(phrase)))
    rest = {word for word, used in zip(words, taken, strict=True) if not used}
    if rest & set(vocabulary()["qualifiers"]):
        found = [item._replace(strength=item.strength * _QUALIFIED) for item in found]
    return found
