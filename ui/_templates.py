"""Templates of sections, which pages and reports share; everything put into them is escaped."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from affidavit.errors import MissingDependencyError
from affidavit.ui import _wording

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_FILTERS = (
    "count",
    "digest",
    "group",
    "interval",
    "moment",
    "number",
    "output_space",
    "p_value",
    "percent",
    "plain",
    "ratio",
    "signed",
    "unit",
)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The one Jinja environment: autoescape always on, a missing field is shown as nothing.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    try:
        from jinja2 import ChainableUndefined, Environment, PackageLoader
    except ImportError as error:
        raise MissingDependencyError("jinja2", "ui") from error
    found = Environment(
        loader=PackageLoader("affidavit.ui"),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update({name: getattr(_wording, name) for name in _FILTERS})
    return found


def section(template: str, /, **values: Any) -> Markup:
    """One section as HTML.

    Args:
        template: Its name without ``.html``.
        values: What the template shows.

    Returns:
        HTML in which every value is escaped; where a statement is not shaped as this program
        writes it, a sentence that says so.
    """
    environment()
    from jinja2 import TemplateError

    values.setdefault("entry_link", "verify?entry=")
    try:
        return trusted(_render(template, values))
    except (TypeError, ValueError, KeyError, AttributeError, TemplateError) as error:
        return trusted(_render("unreadable", {"error": f"{type(error).__name__}: {error}"}))


def trusted(html: str) -> Markup:
    """HTML that this package wrote itself and escaped where it put foreign text in.

    Args:
        html: What a template or a drawing gave, or a file of this package.
    """
    from markupsafe import Markup

    return Markup(html)  # noqa: S704  # the one place: callers give what is escaped already


def _render(template: str, values: dict[str, Any]) -> str:
    return environment().get_template(f"{template}.html").render(**values)


def _finalize(value: Any) -> Any:
    # Exactly str: what a template itself wrote is Markup, and stays as it is.
    return _wording.visible(value) if type(value) is str else value
