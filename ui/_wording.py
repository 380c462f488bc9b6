"""How figures and foreign text are written: one place for pages and reports.

Text from the ledger is shown as it is, except that characters which cannot be seen, or which change
the order of what can, are shown by their code point (Unicode Technical Report 36, §2).
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

NONE = "–"  # noqa: RUF001  # an en dash
"""What stands where there is no value."""
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_SPACES = {
    "probability": "probability",
    "margin": "margin (log-odds or decision function)",
    "value": "units of the predicted value",
}
_UNITS = {"probability": "probability", "margin": "margin units", "value": "predicted units"}


def visible(text: str) -> str:
    """Text with each invisible or reordering character replaced by its code point.

    Args:
        text: Any text; line breaks and tabs become spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    for char in text:
        if char in "\n\t\r":
            shown.append(" ")
        elif unicodedata.category(char) in _HIDDEN:
            shown.append(f"⟨U+{ord(char):04X}⟩")
        else:
            shown.append(char)
    return "".join(shown)


def shorten(text: str, length: int) -> str:
    """Text cut to a length, with an ellipsis where something was cut off."""
    shown = visible(text)
    return shown if len(shown) <= length else shown[: max(1, length - 1)] + "…"


def count(value: float) -> str:
    """A count with thousands separated; a sum of weights keeps two digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def number(value: float | None) -> str:
    """A figure to four significant digits."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.3e}"


def signed(value: float) -> str:
    """A contribution with its sign."""
    return f"{'+' if value >= 0 else '−'}{number(abs(value))}"  # noqa: RUF001  # a minus sign


def percent(value: float | None) -> str:
    """A share in per cent, to one digit."""
    return NONE if value is None else f"{100 * value:.1f} %"


def interval(low: float | None, high: float | None, *, share: bool = False) -> str:
    """The two ends of an interval; a share in per cent, anything else to three digits."""
    if low is None or high is None:
        return NONE
    if share:
        return f"{100 * low:.1f} to {100 * high:.1f} %"
    return f"{low:.3f} to {high:.3f}"


def ratio(value: float | None) -> str:
    """A ratio or a difference to three digits."""
    return NONE if value is None else f"{value:.3f}"


def p_value(value: float | None) -> str:
    """A p value; a resampled one is never said to be zero."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def group(names: tuple[str, ...] | None) -> str:
    """The name of a group of one or more sensitive columns."""
    return NONE if names is None else " × ".join(names)  # noqa: RUF001  # a multiplication sign


def digest(value: str) -> str:
    """The first digits of a digest, for a table; the whole one is given elsewhere."""
    return f"{value[:19]}…" if len(value) > 20 else value


def moment(value: str) -> str:
    """A time of the ledger, to the second, in UTC."""
    if len(value) >= 19 and value[10:11] == "T" and value.endswith("Z"):
        return f"{value[:10]} {value[11:19]} UTC"
    return value or NONE


def output_space(value: str) -> str:
    """What the explained output is."""
    return _SPACES.get(value, value)


def unit(value: str) -> str:
    """The unit of a contribution in an output space."""
    return _UNITS.get(value, value)


def plain(value: Any) -> str:
    """A value of a record as text."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return count(value)
    return str(value)
