"""Whatever a policy server does wrong denies, names its reason, and ends within the budget."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager

import opa_client.opa  # noqa: F401  # its loading is no part of what is timed
import pytest

from affidavit.errors import ConfigurationError
from affidavit.policies import CachedEngine, OpaServerEngine

ALLOW = {"allow": True, "deny": [], "warn": [], "obligations": []}


def answer(status, body, kind="application/json", extra=""):
    content = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{extra}"
    )
    return head.encode() + b"Connection: close\r\n\r\n" + content


@contextmanager
def listening(behave):
    """A real server on the loopback interface that treats every connection as told."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        workers = []

        def one(connection):
            with connection:
                connection.settimeout(5)
                try:
                    received = b""
                    while b"\r\n\r\n" not in received:
                        received += connection.recv(65536)
                    behave(connection, stop)
                except OSError:
                    pass  # the client gave up, as it should

        def accept():
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                workers.append(threading.Thread(target=one, args=(connection,)))
                workers[-1].start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
            for worker in workers:
                worker.join()


def sending(content):
    return lambda connection, _stop: connection.sendall(content)


def stalling(_connection, stop):
    stop.wait(5)


def dripping(connection, stop):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.wait(0.05):
        connection.sendall(b"X-A: b\r\n")


def dripping_body(connection, stop):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    while not stop.wait(0.05):
        connection.sendall(b" ")


BAD = {
    "500": (sending(answer(500, "{}")), "engine.unreachable"),
    "503": (sending(answer(503, "busy", "text/plain")), "engine.unreachable"),
    "401": (sending(answer(401, "{}")), "engine.refused"),
    "redirect": (
        sending(answer(307, "", extra="Location: http://127.0.0.1:9/\r\n")),
        "engine.refused",
    ),
    "html with 200": (sending(answer(200, "<html>ok</html>", "text/html")), "engine.malformed"),
    "truncated": (sending(answer(200, '{"result": {"allow": tr')), "engine.malformed"),
    "no object": (sending(answer(200, "[true]")), "engine.malformed"),
    "undefined": (sending(answer(200, "{}")), "engine.undefined"),
    "true": (sending(answer(200, '{"result": true}')), "engine.malformed"),
    "text": (
        sending(answer(200, json.dumps({"result": {**ALLOW, "allow": "true"}}))),
        "engine.malformed",
    ),
    "empty": (sending(answer(200, '{"result": {}}')), "engine.malformed"),
    "not UTF-8": (sending(answer(200, b'{"result": "\xff"}')), "engine.malformed"),
    "closes": (lambda _connection, _stop: None, "engine.unreachable"),
    "garbage": (sending(b"\x00\x01\x02\r\n\r\n"), "engine.unreachable"),
    "stalls": (stalling, "engine.timeout"),
    "drips headers": (dripping, "engine.timeout"),
    "drips the body": (dripping_body, "engine.timeout"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_answer_denies_with_its_reason_within_the_budget(request_for, name):
    behave, rule = BAD[name]
    with listening(behave) as url:
        engine = OpaServerEngine(url, timeout=0.6, retries=1)
        start = time.monotonic()
        decision = engine.decide("affidavit/data_read", request_for())
        spent = time.monotonic() - start
    assert not decision.allow
    assert [finding.rule for finding in decision.deny] == [rule]
    assert spent < 0.6 + 0.4


def test_a_server_error_is_tried_again_within_the_budget(request_for):
    answers = [answer(500, "{}"), answer(200, json.dumps({"result": ALLOW}))]
    with listening(lambda connection, _stop: connection.sendall(answers.pop(0))) as url:
        decision = OpaServerEngine(url, timeout=5, retries=1).decide(
            "affidavit/data_read", request_for()
        )
    assert decision.allow
    assert answers == []


def test_an_answer_from_another_bundle_denies(request_for):
    whole = {"result": ALLOW, "provenance": {"bundles": {"x": {"revision": "sha256:other"}}}}
    with listening(sending(answer(200, json.dumps(whole)))) as url:
        engine = OpaServerEngine(url, bundle_digest="sha256:mine", timeout=5)
        decision = engine.decide("affidavit/data_read", request_for())
    assert [finding.rule for finding in decision.deny] == ["engine.bundle_mismatch"]


def test_too_many_open_requests_deny_at_once(request_for):
    with listening(stalling) as url:
        engine = OpaServerEngine(url, timeout=0.3, retries=0, max_in_flight=1)
        first = engine.decide("affidavit/data_read", request_for())
        second = OpaServerEngine.decide(engine, "affidavit/data_read", request_for())
    assert {f.rule for f in (*first.deny, *second.deny)} <= {"engine.timeout", "engine.overloaded"}


@pytest.mark.real
def test_a_killed_server_denies_and_a_restarted_one_decides_again(bundle, start_opa, request_for):
    server = start_opa(bundle)
    engine = OpaServerEngine(server.url, bundle_digest=bundle.digest, timeout=2)
    cached = CachedEngine(engine)
    assert engine.decide("affidavit/data_read", request_for()).allow
    server.kill()
    for asked in (engine, cached):
        decision = asked.decide("affidavit/data_read", request_for())
        assert [finding.rule for finding in decision.deny] == ["engine.unreachable"]
    server.start()
    assert engine.decide("affidavit/data_read", request_for()).allow
    decision = cached.decide("affidavit/data_read", request_for())
    assert decision.allow
    assert not decision.cached
    assert decision.bundle_digest == bundle.digest
    assert decision.engine_version == "1.22.0" or decision.engine_version


@pytest.mark.parametrize(
    "entrypoint", ["affidavit.data_read", "../v1/policies", "affidavit/data_read?explain=full", ""]
)
def test_only_plain_entry_points_reach_the_server(request_for, entrypoint):
    engine = OpaServerEngine("http://127.0.0.1:9")
    decision = engine.decide(entrypoint, request_for())
    assert [finding.rule for finding in decision.deny] == ["engine.entrypoint_unknown"]


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8181", "ftp://h:1", "http://u:p@h:1", "http://h:1/v1", "http://h:99999", "http://"],
)
def test_an_unusable_url_is_refused(url):
    with pytest.raises(ConfigurationError):
        OpaServerEngine(url)


def test_a_token_never_travels_unencrypted():
    with pytest.raises(ConfigurationError, match="unencrypted"):
        OpaServerEngine("http://opa.example.org:8181", token="secret")
    OpaServerEngine("https://opa.example.org:8181", token="secret")
    OpaServerEngine("http://127.0.0.1:8181", token="secret")
