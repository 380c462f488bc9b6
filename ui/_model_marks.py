"""The rows of the charts of a model, which the app and the report both draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from affidavit.ui._svg import Mark
from affidavit.ui._wording import count, group, interval, number, percent, signed

if TYPE_CHECKING:
    from affidavit._read_model_pages import Evidence
    from affidavit._read_model_system import FeatureFigures

_DRAWN = 15
"""How many columns a drawing holds; the table beneath holds them all."""


def ranked(item: Evidence) -> list[tuple[str, float]]:
    """The columns of an explanation with their mean |attribution|, largest first."""
    listed = item.body.get("mean_absolute")
    listed = listed if isinstance(listed, Mapping) else {}
    figures = [(str(k), float(v)) for k, v in listed.items() if isinstance(v, int | float)]
    return sorted(figures, key=lambda pair: (-pair[1], pair[0]))


def explanation_marks(item: Evidence) -> list[Mark]:
    """The strongest columns of an explanation."""
    return [Mark(name, value, number(value)) for name, value in ranked(item)[:_DRAWN]]


def fairness_marks(figures: FeatureFigures) -> list[Mark]:
    """The selection rate of each group that may be shown, with its interval and n."""
    marks = []
    for found in figures.groups:
        rate = found.rates.get("selection_rate")
        if found.suppressed or rate is None or rate.value is None:
            marks.append(Mark(group(found.group), None, "not shown"))
            continue
        text = f"{percent(rate.value)} ({interval(rate.low, rate.high, share=True)})"
        text = f"{text}, n = {count(found.n)}"
        marks.append(Mark(group(found.group), rate.value, text, rate.low, rate.high))
    return marks


def short_marks(marks: Sequence[Mark]) -> list[Mark]:
    """The same rows with the value alone as their text, for a narrow drawing."""
    return [
        Mark(m.label, m.value, percent(m.value) if m.value is not None else m.text, m.low, m.high)
        for m in marks
    ]


def four_fifths(marks: Sequence[Mark]) -> float | None:
    """Four fifths of the highest selection rate: where a lower one begins to be remarkable."""
    rates = [mark.value for mark in marks if mark.value is not None]
    return 0.8 * max(rates) if rates else None


def waterfall_marks(base: float, reasons: Sequence[Mapping[str, Any]], output: float) -> list[Mark]:
    """The steps from the base value to the output, the strongest first, the rest as one.

    Args:
        base: The average output over the background.
        reasons: Feature, value and contribution, the strongest first.
        output: The model's output.
    """
    marks, at = [Mark("base value", 0.0, number(base), base, base)], base
    for reason in reasons[:_DRAWN]:
        step = float(reason["contribution"])
        label = f"{reason['feature']} = {reason['value']}"
        marks.append(Mark(label, step, signed(step), at, at + step))
        at += step
    rest = sum(float(reason["contribution"]) for reason in reasons[_DRAWN:])
    if len(reasons) > _DRAWN:
        label = f"{len(reasons) - _DRAWN} further columns"
        marks.append(Mark(label, rest, signed(rest), at, at + rest))
    marks.append(Mark("output", 0.0, number(output), output, output))
    return marks
