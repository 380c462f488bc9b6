"""Every page in a real Chromium, by deep link: content, no error, and no other host asked."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.parse import quote, urlsplit

import pytest
from real import chromium_binary

import affidavit as aff
from affidavit.ui import app_options, render_report

pytestmark = pytest.mark.real
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROBES = ("/_stcore/health", "/_stcore/host-config")
READY = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@pytest.fixture(scope="module")
def served_folder(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(built[0], folder)
    return folder


@pytest.fixture(scope="module")
def address(served_folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "AFFIDAVIT_HOME": str(served_folder),
        "AFFIDAVIT_ROLES": "auditor",
        "AFFIDAVIT_ACTOR": "ada@example.com",
    }
    code = f"from affidavit.ui import launch; launch(port={port}, headless=True)"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, "the app ended"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def browser():
    binary = chromium_binary()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=binary, headless=True, args=FLAGS)
        yield found.new_context()  # one context: its tabs share the cached scripts
        found.close()


class _Watched:
    """A tab whose console errors, script errors and requests are noted."""

    def __init__(self, browser) -> None:
        self.page = browser.new_page()
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.on("request", self._asked)
        self.page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).hostname))

    def _said(self, message) -> None:
        # Under a deep link, Streamlit's own client asks for its base path there first.
        probe = urlsplit(message.location["url"]).path.endswith(PROBES)
        if message.type == "error" and not (probe and "404" in message.text):
            self.errors.append(message.text)

    def _asked(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"}:
            self.hosts.add(parts.hostname)

    def open(self, url: str) -> str:
        self.page.goto(url)
        self.page.locator(READY).wait_for()
        self.page.locator(".af-verdict").first.wait_for()
        return self.text

    @property
    def text(self) -> str:
        return " ".join(self.page.locator("body").inner_text().split())


@pytest.fixture
def tab(browser):
    watched = _Watched(browser)
    yield watched
    watched.page.close()
    assert watched.errors == []
    assert watched.hosts <= {"127.0.0.1"}


def _fits(tab: _Watched) -> None:
    """Neither at 1280 nor at 390 pixels is the page wider than the window."""
    for width in (390, 1280):
        tab.page.set_viewport_size({"width": width, "height": 900})
        tab.page.wait_for_timeout(300)
        wide = tab.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, width


def test_the_overview_opens(tab, address):
    text = tab.open(address)
    assert "The log is intact" in text
    assert "What is open" in text
    assert "<script>alert(1)</script>" in text
    assert tab.page.locator(".stHtml img").count() == 0
    _fits(tab)


def test_the_model_opens_by_deep_link(tab, address):
    text = tab.open(f"{address}/model?name=triage")
    tab.page.get_by_text("Predictions served:").wait_for()
    text = tab.text
    for words in ("Verdict of the gate", "four-fifths ratio", "Mean |SHAP|", "dora@example.com"):
        assert words in text
    tab.page.locator('[data-testid="stVegaLiteChart"]').first.wait_for()
    graph = tab.page.locator("img[alt^='Lineage graph']")
    assert graph.evaluate("image => image.complete && image.naturalWidth > 0")
    _fits(tab)


def test_the_hostile_system_opens_by_deep_link_and_is_text(tab, address, hostile):
    text = tab.open(f"{address}/model?name={quote(hostile)}")
    assert "There is no such model" in text
    assert "<script>alert(1)</script>" in text


def test_the_decision_opens_by_deep_link_and_is_disclosed_on_request(tab, address, prediction):
    text = tab.open(f"{address}/decision?id={prediction}")
    assert "covers this record" in text
    assert "mean radius" not in text
    tab.page.get_by_role("button", name="Disclose and explain").click()
    tab.page.get_by_text("Contributions, the strongest first").wait_for()
    assert "mean radius" in tab.text
    _fits(tab)


def test_verify_opens_by_deep_link_to_an_entry(tab, address, served_folder):
    tab.open(f"{address}/verify?entry=1")
    tab.page.get_by_text("Leaf hash").wait_for()
    assert re.search(r"Entry 1 [\w-]+ is covered by the newest checkpoint", tab.text)
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Export this checkpoint").click()
    kept = download.value.path().read_bytes()
    home = aff.Home(served_folder)
    assert aff.verify_home(home, exported=kept).ok
    home.close()
    _fits(tab)


def test_a_link_to_an_entry_leads_to_it(tab, address):
    tab.open(f"{address}/model?name=triage")
    link = tab.page.locator("a.af-entry").first
    number = link.inner_text().split()[-1]
    link.click()
    tab.page.get_by_text("Leaf hash").wait_for()
    assert f"Entry {number}" in tab.text


def test_an_open_page_turns_red_when_the_ledger_is_changed(browser, address, served_folder):
    import sqlite3

    watched = _Watched(browser)
    assert "The log is intact" in watched.open(f"{address}/verify")
    connection = sqlite3.connect(served_folder / "ledger.db")
    (body,) = connection.execute("SELECT body FROM entry WHERE entry = 1").fetchone()
    with connection:
        connection.execute("UPDATE entry SET body = ? WHERE entry = 1", (body.replace(b"e", b"E"),))
    try:
        text = watched.open(address)
        assert "Verification failed at entry 1" in text
        assert "The log is intact" not in text
    finally:
        with connection:
            connection.execute("UPDATE entry SET body = ? WHERE entry = 1", (body,))
        connection.close()
        watched.page.close()
    assert watched.errors == []


def test_the_report_opens_from_a_file_and_asks_nobody(tab, home, settings, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render_report(home, settings, "triage"), "utf-8")
    tab.page.goto(path.as_uri())
    assert "The log is intact" in tab.text
    assert "<script>alert(1)</script>" in tab.text
    _fits(tab)
    assert tab.hosts == set()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1", "http://127.0.0.1", 101),
        ("evil.example", "http://evil.example", 403),
        ("127.0.0.1", "http://evil.example", 403),
    ],
)
def test_a_socket_is_opened_for_the_app_itself_only(address, host, origin, status):
    port = urlsplit(address).port
    same = f":{port}"
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}{same}",
        f"Origin: {origin}{same}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: streamlit",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = connection.recv(200).decode("latin-1")
    assert answer.split()[1] == str(status)


def test_the_app_is_started_on_loopback_only_without_telemetry():
    options = app_options()
    assert options["server.address"] == "127.0.0.1"
    assert options["browser.gatherUsageStats"] is False
    assert options["server.enableXsrfProtection"] is True
    assert options["server.enableCORS"] is True
    with pytest.raises(aff.AffidavitError, match="loopback"):
        app_options(host="0.0.0.0")
