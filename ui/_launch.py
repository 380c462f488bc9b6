"""Starts the app: on the loopback interface only, without telemetry, with our theme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affidavit.errors import ConfigurationError, MissingDependencyError

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": 1,
    "server.runOnSave": False,
    "server.xsrfCookieSameSite": "Strict",
    "theme.baseRadius": "4px",
    "theme.font": "system-ui, sans-serif",
    "theme.codeFont": "ui-monospace, monospace",
    "theme.headingFont": "system-ui, sans-serif",
    "theme.headingFontSizes": ["1.9rem", "1.3rem", "1.1rem", "1.05rem", "1rem", "1rem"],
    "theme.light.primaryColor": "#00578a",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f2f1ee",
    "theme.light.textColor": "#1c1b1a",
    "theme.dark.primaryColor": "#7cc4f0",
    "theme.dark.backgroundColor": "#171614",
    "theme.dark.secondaryBackgroundColor": "#2a2825",
    "theme.dark.textColor": "#edebe8",
}


def app_path() -> Path:
    """Return the script that Streamlit runs."""
    return Path(__file__).with_name("app.py")


def app_options(
    *, host: str = "127.0.0.1", port: int = 8501, headless: bool = True
) -> dict[str, Any]:
    """Return every Streamlit option that the app is started with.

    Args:
        host: A loopback address: whoever reaches the app reads the evidence.
        port: Where it listens.
        headless: Whether no browser is opened.

    Raises:
        ConfigurationError: The host is not a loopback address.
    """
    if host not in _LOOPBACK:
        raise ConfigurationError(
            f"The app listens on the loopback interface only, not on {host!r}.",
            hint="Leave the host at 127.0.0.1, and put a proxy with sign-in before it to share it.",
        )
    return {
        **_OPTIONS,
        "server.address": host,
        "server.port": port,
        "server.headless": headless,
        "server.allowedHosts": sorted(_LOOPBACK),
    }


def launch(host: str = "127.0.0.1", port: int = 8501, *, headless: bool = False) -> None:
    """Run the app until it is interrupted; the ledger is the one that AFFIDAVIT_HOME names.

    Args:
        host: A loopback address.
        port: Where it listens.
        headless: Whether no browser is opened.

    Raises:
        ConfigurationError: The host is not a loopback address.
        MissingDependencyError: Streamlit is not installed.
    """
    options = app_options(host=host, port=port, headless=headless)
    try:
        from streamlit.web import bootstrap
    except ImportError as error:
        raise MissingDependencyError("streamlit", "ui") from error
    flags = {name.replace(".", "_"): value for name, value in options.items()}
    bootstrap.load_config_options(flags)
    bootstrap.run(str(app_path()), is_hello=False, args=[], flag_options=flags)
