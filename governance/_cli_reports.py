"""Writes reports and opens the app: the one lazy arrow from the command line to `affidavit.ui`."""

from __future__ import annotations

from pathlib import Path

from affidavit._home import Home
from affidavit._settings import Settings
from affidavit.errors import ConfigurationError


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
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The report cannot be written to {path}: {error.strerror}.",
            hint="Name a file in a folder that this user can write.",
        ) from error
    return len(content)


def open_app(host: str, port: int, *, browser: bool) -> None:
    """Open the auditor's app and stay until it is closed."""
    from affidavit.ui import launch

    launch(host=host, port=port, headless=not browser)
