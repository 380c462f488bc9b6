"""What a test needs of the machine: the checkout, and the real parts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def need(available: object, reason: str) -> None:
    """Skip the test where a real part is missing; fail it under AFFIDAVIT_REQUIRE_REAL=1."""
    if available:
        return
    if os.environ.get("AFFIDAVIT_REQUIRE_REAL") == "1":
        pytest.fail(f"AFFIDAVIT_REQUIRE_REAL=1, and {reason}")
    pytest.skip(reason)


def opa_binary() -> str:
    """The path of a real `opa`, which the test needs."""
    found = shutil.which("opa")
    need(found, "there is no `opa` on PATH (go install github.com/open-policy-agent/opa@v1.22.0)")
    return str(found)


def chromium_binary() -> str:
    """The path of a real Chromium, which the test needs."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    need(found, "there is no `chromium` on PATH (Debian package chromium)")
    return str(found)
