"""Drawings as SVG: bars with values, intervals, and the lineage graph.

They are built as XML trees, so that text is escaped by construction; they refer to nothing outside
themselves, and colours come from the colour-blind-safe palette of Okabe and Ito (2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from affidavit.ui._wording import shorten, visible

if TYPE_CHECKING:
    from affidavit._read_lineage import Lineage, LineageNode

BLUE, ORANGE, PURPLE, GREY = "#0072b2", "#d55e00", "#a0568c", "#767676"
_FONT = "system-ui, sans-serif"
_ROW, _LABEL, _PLOT, _VALUE = 26, 190, 320, 90
_BOX, _HIGH, _GAP, _DROP = 168, 46, 18, 40
_KINDS = {
    "run": ("run", ORANGE),
    "dataset": ("governed read", BLUE),
    "evaluation": ("evaluation", PURPLE),
    "explanation": ("explanation", PURPLE),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of a drawing.

    Args:
        label: What it is.
        value: Where its bar or point ends; None draws nothing.
        text: The value in words, with its unit.
        low: The lower end of an interval.
        high: The upper end.
    """

    label: str
    value: float | None
    text: str
    low: float | None = None
    high: float | None = None


def bar_chart(marks: Sequence[Mark], *, title: str) -> str:
    """Horizontal bars from zero.

    Args:
        marks: Rows, in the order in which they are drawn.
        title: What is shown, in which unit, over how many rows; the drawing's text alternative.
    """
    top = max((abs(m.value) for m in marks if m.value is not None), default=0.0) or 1.0
    root = _canvas(len(marks), title)
    for number, mark in enumerate(marks):
        y = number * _ROW + 4
        _label(root, mark, y)
        if mark.value is None:
            continue
        width = _PLOT * abs(mark.value) / top
        colour = BLUE if mark.value >= 0 else ORANGE
        shape = {"x": _n(_LABEL), "y": _n(y + 3), "width": _n(max(width, 0.5)), "height": "14"}
        ET.SubElement(root, "rect", {**shape, "fill": colour})
        _text(root, mark.text, _LABEL + width + 6, y + 14)
    return ET.tostring(root, encoding="unicode")


def interval_chart(
    marks: Sequence[Mark], *, title: str, reference: float | None = None, top: float = 1.0
) -> str:
    """Points with intervals on one scale from zero.

    Args:
        marks: Rows, in the order in which they are drawn.
        title: What is shown; the drawing's text alternative.
        reference: Where a dashed line is drawn, such as at four fifths of the highest rate.
        top: The end of the scale.
    """
    root = _canvas(len(marks), title)

    def at(value: float) -> float:
        return _LABEL + _PLOT * min(max(value / (top or 1.0), 0.0), 1.0)

    high = len(marks) * _ROW + 4
    _line(root, (at(0), 0), (at(0), high), GREY)
    if reference is not None:
        _line(root, (at(reference), 0), (at(reference), high), GREY, dashed=True)
    for number, mark in enumerate(marks):
        y = number * _ROW + 4
        _label(root, mark, y)
        if mark.low is not None and mark.high is not None:
            _line(root, (at(mark.low), y + 10), (at(mark.high), y + 10), BLUE, width=2)
            for end in (mark.low, mark.high):
                _line(root, (at(end), y + 5), (at(end), y + 15), BLUE, width=2)
        if mark.value is not None:
            dot = {"cx": _n(at(mark.value)), "cy": _n(y + 10), "r": "4.5", "fill": BLUE}
            ET.SubElement(root, "circle", dot)
        _text(root, mark.text, _LABEL + _PLOT + 8, y + 14)
    return ET.tostring(root, encoding="unicode")


def lineage_chart(lineage: Lineage) -> str:
    """The lineage graph, origins on top; statements are coloured, artifacts are not.

    Args:
        lineage: The graph.
    """
    layers: dict[int, list[LineageNode]] = {}
    for node in lineage.nodes:
        layers.setdefault(node.layer, []).append(node)
    widest = max((len(row) for row in layers.values()), default=1)
    width = widest * (_BOX + _GAP) + _GAP
    height = (max(layers, default=0) + 1) * (_HIGH + _DROP) - _DROP + 2 * _GAP
    root = _root(width, height, f"Lineage graph of {len(lineage.nodes)} nodes; a table follows.")
    head = {"id": "a", "orient": "auto", "markerWidth": "8", "markerHeight": "8"}
    marker = ET.SubElement(
        ET.SubElement(root, "defs"), "marker", {**head, "refX": "7", "refY": "4"}
    )
    ET.SubElement(marker, "path", {"d": "M0,0 L8,4 L0,8 z", "fill": GREY})
    places: dict[str, tuple[float, float]] = {}
    for layer, row in layers.items():
        left = (width - len(row) * (_BOX + _GAP) + _GAP) / 2
        for number, node in enumerate(row):
            places[node.key] = (left + number * (_BOX + _GAP), _GAP + layer * (_HIGH + _DROP))
    for source, target in lineage.edges:
        (x1, y1), (x2, y2) = places[source], places[target]
        start, end = (x1 + _BOX / 2, y1 + _HIGH), (x2 + _BOX / 2, y2 - 1)
        bend = (start[1] + end[1]) / 2
        curve = (
            f"M{_n(start[0])},{_n(start[1])} C{_n(start[0])},{_n(bend)} "
            f"{_n(end[0])},{_n(bend)} {_n(end[0])},{_n(end[1])}"
        )
        stroke = {"d": curve, "fill": "none", "stroke": GREY, "stroke-width": "1.5"}
        ET.SubElement(root, "path", {**stroke, "marker-end": "url(#a)"})
    for node in lineage.nodes:
        _node(root, node, *places[node.key])
    return ET.tostring(root, encoding="unicode")


def lineage_arrows(lineage: Lineage) -> list[tuple[str, str, int]]:
    """The graph's arrows in words, with the entry that asserts each: its text alternative."""
    known = {node.key: node for node in lineage.nodes}

    def named(node: LineageNode) -> str:
        if node.kind != "artifact":
            return f"{_KINDS.get(node.kind, (node.kind, GREY))[0]} {node.label}".strip()
        return f"{node.label} ({node.key[:19]}…)"

    found = []
    for source, target in lineage.edges:
        first, second = known[source], known[target]
        statement = first if first.kind != "artifact" else second
        found.append((named(first), named(second), statement.entry))
    return sorted(found, key=lambda arrow: (arrow[2], arrow))


def standalone(svg: str, style: Mapping[str, str] | None = None) -> str:
    """A drawing as a file of its own, whose text follows the reader's light or dark setting.

    Args:
        svg: What one of the functions above gave.
        style: Text colours by scheme, ``light`` and ``dark``.
    """
    colours = {"light": "#1c1b1a", "dark": "#edebe8", **(style or {})}
    css = (
        f":root{{color:{colours['light']}}}"
        f"@media (prefers-color-scheme:dark){{:root{{color:{colours['dark']}}}}}"
    )
    end = svg.index(">") + 1
    return f"{svg[:end]}<style>{css}</style>{svg[end:]}"


def _canvas(rows: int, title: str) -> ET.Element:
    width = _LABEL + _PLOT + _VALUE
    return _root(width, max(rows, 1) * _ROW + 8, title)


def _root(width: float, height: float, title: str) -> ET.Element:
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {_n(width)} {_n(height)}",
        "width": _n(width),
        "height": _n(height),
        "role": "img",
        "font-family": _FONT,
        "font-size": "12",
        "fill": "currentColor",
    }
    root = ET.Element("svg", attributes)
    ET.SubElement(root, "title").text = visible(title)
    return root


def _label(root: ET.Element, mark: Mark, y: float) -> None:
    text = _text(root, shorten(mark.label, 30), _LABEL - 8, y + 14, anchor="end")
    ET.SubElement(text, "title").text = visible(mark.label)


def _node(root: ET.Element, node: LineageNode, x: float, y: float) -> None:
    statement = node.kind != "artifact"
    word, colour = _KINDS.get(node.kind, ("artifact", GREY))
    box = {"x": _n(x), "y": _n(y), "width": _n(_BOX), "height": _n(_HIGH)}
    shape = {**box, "rx": "14" if statement else "3", "fill": "none", "stroke": colour}
    ET.SubElement(root, "rect", {**shape, "stroke-width": "2" if statement else "1"})
    first = f"{word} {node.label}".strip() if statement else node.label
    top = _text(root, shorten(first, 24), x + _BOX / 2, y + 20, anchor="middle")
    ET.SubElement(top, "title").text = visible(f"{first} {node.key}")
    second = node.key if statement else f"{node.key[:19]}…"
    _text(root, shorten(second, 24), x + _BOX / 2, y + 36, anchor="middle", size="10.5")


def _text(
    root: ET.Element, text: str, x: float, y: float, *, anchor: str = "start", size: str = ""
) -> ET.Element:
    place = {"x": _n(x), "y": _n(y), "text-anchor": anchor}
    found = ET.SubElement(root, "text", {**place, **({"font-size": size} if size else {})})
    found.text = visible(text)
    return found


def _line(
    root: ET.Element,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    *,
    width: float = 1,
    dashed: bool = False,
) -> None:
    ends = {"x1": _n(start[0]), "y1": _n(start[1]), "x2": _n(end[0]), "y2": _n(end[1])}
    look = {"stroke": colour, "stroke-width": _n(width)}
    dashes = {"stroke-dasharray": "4 3"} if dashed else {}
    ET.SubElement(root, "line", {**ends, **look, **dashes})


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
