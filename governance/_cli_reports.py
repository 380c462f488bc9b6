"""Writes reports and opens the app: the one lazy arrow from the command line to `affidavit.ui`."""

from __future__ import annotations

from pathlib import Path

from affidavit._files import write_file
from affidavit._home import Home
from affidavit._settings import Settings


def write_report(home: Home, settings: Settings, name: str, path: Path) -> int:
    """Write a system's audit report; nothing half-written stays.

    Args:
        home: Whose ledger is reported on.
        settings: The settings in force.
        name: The system.
        path: The HTML file.

    Returns:
        The file's size in bytes.

    Raises:
        NotFoundError: There is no such system.
        ConfigurationError: The file cannot be written.
    """
    from affidavit.ui import render_report

    content = render_report(home, settings, name).encode()
    write_file(path, content)
    return len(content)


def open_app(host: str, port: int, *, browser: bool) -> None:
    """Open the auditor's app and stay until it is closed."""
    from affidavit.ui import launch

    launch(host=host, port=port, headless=not browser)
