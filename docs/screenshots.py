"""Photographs every page of the app and the report, wide and narrow, into docs/screenshots.

Run with AFFIDAVIT_HOME naming a home that holds something to see: ``python docs/screenshots.py``.
"""  # a script

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from affidavit import Home, Reader, load_settings
from affidavit.ui import render_report

HERE = Path(__file__).parent / "screenshots"
WIDTHS = (1280, 390)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def running_app() -> Iterator[str]:
    """Run the app on a free port of the loopback interface and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from affidavit.ui import launch; launch(port={port}, headless=True)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)  # noqa: S603  # our own program
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()  # noqa: S310  # loopback
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def settle(page: Page) -> None:
    """Wait until the page's script has run to its end and its drawings are there."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_timeout(1200)


def shot(page: Page, name: str, height: int) -> None:
    """Photograph a page as high as it is, up to a limit."""
    inner = "document.querySelector('[data-testid=\"stMain\"]')?.scrollHeight"
    wanted = page.evaluate(f"{inner} ?? document.documentElement.scrollHeight")
    width = page.viewport_size["width"] if page.viewport_size else WIDTHS[0]
    page.set_viewport_size({"width": width, "height": max(600, min(int(wanted) + 80, height))})
    page.wait_for_timeout(800)
    path = HERE / f"{name}-{width}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(200, kmeans=2).save(path, optimize=True)


def photograph(browser: Browser, address: str, report: Path, dark: bool) -> None:  # noqa: FBT001  # a flag of the script
    """Photograph every page in one colour scheme."""
    settings = load_settings()
    home = Home(settings.home, settings.store)
    reader = Reader(home)
    system = reader.systems()[0]
    served = reader.predictions(limit=1)
    mark = "-dark" if dark else ""
    for width in WIDTHS[:1] if dark else WIDTHS:
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        for name, path in (
            ("overview", "/"),
            ("model", f"/model?name={system}"),
            ("verify", "/verify?entry=5"),
        ):
            page.goto(address + path)
            settle(page)
            shot(page, name + mark, 16000)
            page.set_viewport_size({"width": width, "height": 900})
        if served:
            page.goto(f"{address}/decision?id={served[0]['id']}")
            settle(page)
            page.get_by_role("button", name="Disclose and explain").click()
            page.get_by_text("Contributions, the strongest first").wait_for()
            settle(page)
            shot(page, "decision" + mark, 4000)
            page.set_viewport_size({"width": width, "height": 900})
        if not dark:
            page.goto(report.as_uri())
            shot(page, "report", 16000)
        page.close()
    home.close()


def main() -> None:
    """Write the report, start the app and a browser, and photograph."""
    HERE.mkdir(exist_ok=True)
    settings = load_settings()
    home = Home(settings.home, settings.store)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, running_app() as address:
        report = Path(folder, "report.html")
        report.write_text(render_report(home, settings, Reader(home).systems()[0]), "utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, headless=True, args=FLAGS
            )
            for dark in (False, True):
                photograph(browser, address, report, dark)
            browser.close()
    home.close()
    print(f"Written to {os.path.relpath(HERE)}.")  # a script


if __name__ == "__main__":
    main()
