"""Charts of the app. Each stands above a table with the same figures, its text alternative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from affidavit.errors import MissingDependencyError
from affidavit.ui._svg import GREY, ORANGE, Mark
from affidavit.ui._wording import shorten

if TYPE_CHECKING:
    import altair as alt

_ROW, _AXIS = 26, 64
BLUE = "#2486c2"
"""Lighter than on paper: it has 3:1 against the light and the dark background alike."""


def bars(marks: Sequence[Mark], *, axis: str, title: str) -> alt.LayerChart:
    """Horizontal bars from zero; negative ones in a second colour.

    Args:
        marks: Rows, in the order in which they are drawn.
        axis: The unit.
        title: What is shown, and over how many rows.
    """
    alt = _altair()
    base = alt.Chart(alt.Data(values=_rows(marks))).encode(
        y=_labels(alt),
        x=alt.X("value:Q", title=axis, axis=alt.Axis(tickCount=5), stack=None),
        tooltip=_tooltip(alt),
    )
    colour = alt.condition("datum.value < 0", alt.value(ORANGE), alt.value(BLUE))
    drawn = base.mark_bar(height=14).encode(color=colour)
    return _sized(alt.layer(drawn), marks, title)


def intervals(
    marks: Sequence[Mark], *, axis: str, title: str, reference: float | None = None
) -> alt.LayerChart:
    """Points with their intervals.

    Args:
        marks: Rows, in the order in which they are drawn.
        axis: What is measured, and in which unit.
        title: What is shown, and over how many rows.
        reference: Where a dashed line is drawn.
    """
    alt = _altair()
    base = alt.Chart(alt.Data(values=_rows(marks))).encode(y=_labels(alt), tooltip=_tooltip(alt))
    scale = alt.X("value:Q", title=axis, axis=alt.Axis(format="%", tickCount=5))
    points = base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(x=scale)
    ends = base.mark_errorbar(ticks=True, color=BLUE, opacity=1).encode(
        x=alt.X("low:Q", title=axis), x2=alt.X2("high:Q")
    )
    layers = [ends, points]
    if reference is not None:
        line = alt.Chart(alt.Data(values=[{"at": reference}])).mark_rule(
            strokeDash=[4, 3], color=GREY
        )
        layers.append(line.encode(x=alt.X("at:Q", title=axis)))
    return _sized(alt.layer(*layers), marks, title)


def waterfall(marks: Sequence[Mark], *, axis: str, title: str) -> alt.LayerChart:
    """Contributions on top of each other, from the base value to the output.

    Args:
        marks: Rows, in the order in which they are drawn; `low` is where each begins and `high`
            where it ends.
        axis: The unit.
        title: What is shown.
    """
    alt = _altair()
    base = alt.Chart(alt.Data(values=_rows(marks))).encode(y=_labels(alt), tooltip=_tooltip(alt))
    scale = alt.X("low:Q", title=axis, axis=alt.Axis(tickCount=5), scale=alt.Scale(zero=False))
    colour = alt.condition("datum.value < 0", alt.value(ORANGE), alt.value(BLUE))
    drawn = base.mark_bar(height=14).encode(x=scale, x2=alt.X2("high:Q"), color=colour)
    # A tick at each end, so that the base value and the output, which have no length, are seen.
    ends = base.mark_tick(thickness=2, size=18, color=GREY).encode(x=alt.X("high:Q", title=axis))
    return _sized(alt.layer(drawn, ends), marks, title)


def _rows(marks: Sequence[Mark]) -> list[dict[str, Any]]:
    names: dict[str, int] = {}
    rows = []
    for mark in marks:
        label = shorten(mark.label, 28)
        # Two labels that are cut to the same text must stay two rows.
        names[label] = names.get(label, 0) + 1
        if names[label] > 1:
            label = f"{label} ({names[label]})"
        rows.append(
            {
                "label": label,
                "value": mark.value,
                "low": mark.low,
                "high": mark.high,
                "text": mark.text,
            }
        )
    return rows


def _labels(alt: Any) -> Any:
    axis = alt.Axis(labelLimit=160, labelOverlap=False)
    return alt.Y("label:N", sort=None, title=None, axis=axis)


def _tooltip(alt: Any) -> list[Any]:
    return [alt.Tooltip("label:N", title="what"), alt.Tooltip("text:N", title="value")]


def _sized(chart: Any, marks: Sequence[Mark], title: str) -> Any:
    return chart.properties(
        height=max(1, len(marks)) * _ROW + _AXIS, description=title, width="container"
    )


def _altair() -> Any:
    try:
        import altair as alt
    except ImportError as error:
        raise MissingDependencyError("altair", "ui") from error
    return alt
