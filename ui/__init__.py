"""Presentation: the auditor's app and printable reports over one read model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.ui._launch import app_options, app_path, launch
    from affidavit.ui._report import render_report

_SOURCES = {
    "app_options": "affidavit.ui._launch",
    "app_path": "affidavit.ui._launch",
    "launch": "affidavit.ui._launch",
    "render_report": "affidavit.ui._report",
}

# The extra that brings each library behind these names.
_EXTRAS = dict.fromkeys(("altair", "jinja2", "markupsafe", "pandas", "streamlit"), "ui")

__all__ = ["app_options", "app_path", "launch", "render_report"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES, _EXTRAS)
