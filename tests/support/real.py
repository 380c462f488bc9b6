"""What a test needs of the machine: the checkout, and the real parts."""

from __future__ import annotations

import os
import shutil
import socket
import time
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


def softhsm_library() -> str:
    """The path of SoftHSM's PKCS#11 library, with the tools beside it that the test needs."""
    places = [Path("/usr/lib/softhsm"), *Path("/usr/lib").glob("*/softhsm")]
    found = [place / "libsofthsm2.so" for place in places if (place / "libsofthsm2.so").exists()]
    tools = all(shutil.which(tool) for tool in ("softhsm2-util", "pkcs11-tool"))
    need(found and tools, "there is no SoftHSM (Debian packages softhsm2 and opensc)")
    return str(found[0])


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, *, seconds: float = 30.0) -> None:
    """Return when somebody listens on a loopback port; fail the test when nobody does in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nobody listened on 127.0.0.1:{port} within {seconds:.0f} s")
