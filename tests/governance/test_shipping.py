"""Decisions arrive at a decision-log service whatever it does: none is lost, none counts twice."""

from __future__ import annotations

import gzip
import http.server
import json
import random
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from decided import MASK, PEOPLE, decide, events, said
from real import free_port, opa_binary, wait_for_port

import affidavit as aff
from affidavit._decision_settings import DecisionLog
from affidavit._mask import Mask
from affidavit._retain import retain, rule_of
from affidavit._ship import Shipper, shipper_for
from affidavit.errors import ConfigurationError, LedgerCorruptError, LedgerUnavailableError


class Service:
    """Takes uploads as OPA posts them; what it answers is a plan, in the end 200."""

    def __init__(self):
        self.plan = []
        self.uploads = []
        self.requests = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                service.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        step = self.plan.pop(0) if self.plan else 200
        length = int(handler.headers["Content-Length"])
        if step == "cut":
            # It goes in the middle of an upload.
            handler.rfile.read(length // 2)
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        body = handler.rfile.read(length)
        self.requests.append((handler.path, dict(handler.headers), len(body)))
        if step in {200, "taken and silent", "truncated"}:
            assert handler.headers["Content-Encoding"] == "gzip"
            self.uploads.append(json.loads(gzip.decompress(body)))
        if step == "taken and silent":
            # It has the upload, and dies before it says so.
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if step == "truncated":
            handler.wfile.write(b"HTTP/1.1 20")
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(int(step))
        if step == 429:
            handler.send_header("Retry-After", "7")
        if step == 302:
            handler.send_header("Location", self.url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def ids(self):
        return [event["decision_id"] for upload in self.uploads for event in upload]


@pytest.fixture
def service():
    found = Service()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def decided(home, configure):
    configure(PEOPLE + MASK)
    decide(60)
    return home


@pytest.fixture
def shipper(decided, service):
    waits = []
    made = Shipper(
        decided, DecisionLog(service.url, max_bytes=4096), aff.load_settings().mask,
        pause=waits.append,
    )  # fmt: skip
    return made, waits


def ids(home):
    return [record["decision_id"] for record in events(home)]


def test_every_decision_arrives_once_in_log_order_and_then_nothing_is_left(
    decided, service, shipper
):
    done = shipper[0].ship()
    assert service.ids() == ids(decided)
    assert done.decisions == 60
    assert done.uploads == len(service.uploads) > 1
    assert all(size <= 4096 for _, _, size in service.requests)
    assert {path for path, _, _ in service.requests} == {"/logs"}
    assert shipper[0].ship().decisions == 0
    assert len(service.uploads) == done.uploads


def test_only_what_is_new_is_shipped_later(decided, service, shipper):
    shipper[0].ship()
    aff.serve("model", purpose="research")(lambda _: 1)({"x": 1})
    assert shipper[0].ship().decisions == 1
    assert service.ids() == ids(decided)


@pytest.mark.parametrize("trouble", [503, 500, 429, 408, "cut", "taken and silent", "truncated"])
@pytest.mark.parametrize("at", [0, 1])
def test_whatever_fails_once_is_sent_again_and_nothing_is_lost(
    decided, service, shipper, trouble, at
):
    service.plan = [200] * at + [trouble]
    assert shipper[0].ship().decisions == 60
    arrived = service.ids()
    assert list(dict.fromkeys(arrived)) == ids(decided)
    twice = {name for name, count in Counter(arrived).items() if count > 1}
    acknowledged_nothing = trouble in {"taken and silent", "truncated"}
    assert bool(twice) is acknowledged_nothing
    assert len(shipper[1]) == 1
    assert shipper[1][0] >= (7 if trouble == 429 else 0)


def test_a_service_that_stays_down_keeps_its_place_and_the_next_attempt_goes_on(
    decided, service, shipper
):
    service.plan = [200, *[503] * 5]
    with pytest.raises(LedgerUnavailableError, match="it answered 503"):
        shipper[0].ship()
    assert [round(wait) <= 2**n for n, wait in enumerate(shipper[1])] == [True] * 4
    before = service.ids()
    assert before == ids(decided)[: len(before)]
    shipper[0].ship()
    assert service.ids() == ids(decided)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 302])
def test_what_will_not_get_better_is_not_tried_again(decided, service, shipper, status):
    service.plan = [status]
    with pytest.raises(LedgerUnavailableError, match=str(status)):
        shipper[0].ship()
    assert (shipper[1], service.uploads) == ([], [])
    assert shipper[0].ship().decisions == 60


def test_nobody_there_is_an_error_that_says_so(decided):
    target = DecisionLog(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LedgerUnavailableError, match="connection failed"):
        Shipper(decided, target, Mask(), pause=lambda _: None).ship()


def test_what_masking_took_out_is_not_shipped_and_neither_is_what_it_takes_out_today(
    decided, service
):
    stricter = Mask(("/input/purpose", "/input/actor/id"))
    Shipper(decided, DecisionLog(service.url), stricter).ship()
    shipped = [event for upload in service.uploads for event in upload]
    text = json.dumps(shipped)
    assert '"service"' not in text
    assert '"sealed"' not in text
    for event, record in zip(shipped, events(decided), strict=True):
        assert event["erased"] == [*record.get("erased", ()), "/input/purpose", "/input/actor/id"]
        assert "requested_by" not in event
        assert not {"record", "writer", "number"} & set(event)
        assert decided.ledger.entry(event["custom"]["entry"])


def test_a_log_that_was_changed_is_not_shipped(decided, service, shipper):
    row = aff.Reader(decided).decisions(limit=1)[0]
    decided.close()
    store = sqlite3.connect(decided.folder / "ledger.db")
    store.execute(
        "UPDATE entry SET body = CAST(replace(body, 'model', 'thing') AS BLOB) WHERE entry = ?",
        (row["entry"],),
    )
    store.commit()
    store.close()
    with pytest.raises(LedgerCorruptError, match="not those"):
        Shipper(aff.open_home(decided.folder), DecisionLog(service.url), Mask()).ship()
    assert service.uploads == []


def test_a_place_that_is_not_of_this_log_ships_nothing_and_a_deleted_one_everything(
    decided, service, shipper
):
    shipper[0].ship()
    (place,) = (decided.folder / "shipped").glob("*.json")
    kept = place.read_text()
    content = json.loads(kept)
    content["edge"][0] = "A" * 43 + "="
    place.write_text(json.dumps(content))
    aff.serve("model", purpose="research")(lambda _: 1)({"x": 1})
    with pytest.raises(LedgerCorruptError):
        shipper[0].ship()
    place.write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        shipper[0].ship()
    place.unlink()
    assert shipper[0].ship().decisions == 61
    assert set(service.ids()) == set(ids(decided))


def test_pruned_records_are_passed_over(decided, service, shipper, configure):
    configure(PEOPLE + MASK + '[retention]\nrecords = "P1D"\n')
    settings, later = aff.load_settings(), datetime.now(UTC) + timedelta(days=3)
    assert retain(decided, settings, rule_of(settings, records=True, now=later)).records > 60
    aff.serve("model", purpose="research")(lambda _: 1)({"x": 1})
    assert shipper[0].ship().decisions == 1
    assert service.ids() == ids(decided)


def test_two_do_not_ship_at_once_and_two_services_have_a_place_each(decided, service, shipper):
    with shipper[0]._place(), pytest.raises(LedgerUnavailableError, match="Another process"):
        shipper[0].ship()
    other = Shipper(decided, DecisionLog(service.url, partition="eu/credit"), Mask())
    assert shipper[0].ship().decisions == other.ship().decisions == 60
    assert service.requests[-1][0] == "/logs/eu/credit"


def test_a_decision_that_no_upload_holds_arrives_without_its_input(home, service, configure):
    digits = random.Random(5)  # it must only compress badly
    columns = {digits.randbytes(40).hex(): ["personal"] for _ in range(100)}

    @aff.data("wide", purpose="research", columns=columns)
    def read():
        raise AssertionError("it is asked and nothing more")

    with pytest.raises((AssertionError, aff.PolicyDenied)):
        read()
    Shipper(home, DecisionLog(service.url, max_bytes=4096), Mask()).ship()
    (upload,) = service.uploads
    event = upload[-1]
    assert "input" not in event
    assert event["erased"] == ["/input"]
    assert event["result"].keys() == {"allow", "deny", "warn", "obligations"}


# Over the wire


def test_the_token_goes_along_and_never_over_an_open_connection(
    decided, service, configure, monkeypatch
):
    monkeypatch.setenv("AFFIDAVIT_DECISION_LOG_TOKEN", "s3cret")
    configure(f'[policy.decision_log]\nurl = "{service.url}/api/"\npartition = "p"\n')
    made = shipper_for(decided, aff.load_settings())
    assert "s3cret" not in repr(made)
    made.ship()
    path, headers, _ = service.requests[0]
    assert (path, headers["Authorization"]) == ("/api/logs/p", "Bearer s3cret")
    with pytest.raises(ConfigurationError, match="anybody can read"):
        shipper_for(decided, aff.load_settings(), url="http://logs.example.org").ship()


def test_tls_trusts_the_named_authority_and_no_other(decided, service, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    service.server.socket = context.wrap_socket(service.server.socket, server_side=True)
    url = f"https://localhost:{service.server.server_port}"
    with pytest.raises(LedgerUnavailableError, match="certificate does not hold"):
        Shipper(decided, DecisionLog(url), Mask(), pause=lambda _: None).ship()
    target = DecisionLog(url, certificate=certificate)
    assert Shipper(decided, target, Mask(), token="t").ship().decisions == 60


@pytest.mark.parametrize(
    "section",
    [
        'url = "ftp://x"',
        'url = "https://user:pass@x"',
        'url = "https://x?token=1"',
        'url = "https://"',
        'url = "https://x:99999"',
        "url = 5",
        'max_bytes = "1"',
        "max_bytes = 10",
        'other = "1"',
    ],
)
def test_settings_that_are_wrong_are_refused(configure, section):
    configure(f"[policy.decision_log]\n{section}\n")
    with pytest.raises(ConfigurationError, match=r"decision.log"):
        aff.load_settings()


def test_the_command_ships_once_or_goes_on(decided, service, cli):
    code, _, err = cli("policy", "ship")
    assert code == 2
    assert "No decision log is named" in err
    code, out, _ = cli("policy", "ship", "--url", service.url, "--json")
    assert (code, said(out)["decisions"]) == (0, 60)
    code, out, _ = cli("policy", "ship", "--url", service.url)
    assert (code, out) == (0, "0 decisions shipped in 0 uploads.\n")


def test_following_ships_what_comes_and_waits_longer_while_the_service_fails(
    decided, service, shipper
):
    told, waits = [], []
    service.plan = [404, 404]

    def pause(wait):
        waits.append(wait)
        if len(waits) == 4:
            aff.serve("model", purpose="research")(lambda _: 1)({"x": 1})

    shipper[0].pause = pause
    shipper[0].follow(every=10, told=told.append, ended=lambda: len(waits) == 6)
    kinds = [type(one).__name__ for one in told]
    assert kinds == ["LedgerUnavailableError"] * 2 + ["Shipped"] * 2
    assert told[-1].decisions == 1
    assert service.ids() == ids(decided)
    nominal = [20, 40, 10, 10, 10, 10]
    for wait, middle in zip(waits, nominal, strict=True):
        assert 0.79 * middle < wait < 1.21 * middle


# Against OPA itself


@pytest.mark.real
def test_an_event_has_the_members_and_types_that_opa_posts_itself(
    decided, service, tmp_path, shipper
):
    opa = Service()
    policy = tmp_path / "policy.rego"
    policy.write_text(
        'package affidavit\n\nserve := {"allow": true, "deny": [], "warn": [], "obligations": []}\n'
    )
    mask = tmp_path / "mask.rego"
    mask.write_text('package system.log\n\nmask contains "/input/actor/roles/0"\n')
    config = tmp_path / "opa.yaml"
    config.write_text(
        f"services: {{log: {{url: '{opa.url}'}}}}\n"
        "labels: {app: test}\n"
        "decision_logs: {service: log, reporting: {min_delay_seconds: 1, max_delay_seconds: 1}}\n"
    )
    port = free_port()
    process = subprocess.Popen(
        [opa_binary(), "run", "--server", "--addr", f"127.0.0.1:{port}", "--disable-telemetry",
         "--config-file", config, "--log-level", "error", policy, mask],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_port(port)
        served = [record for record in events(decided) if record["path"] == "affidavit/serve"]
        whole = next(record for record in served if record.get("erased"))
        document = {**whole["input"], "actor": {"id": "ada", "roles": ["service"]}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/data/affidavit/serve",
            json.dumps({"input": document}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).read()
        end = time.monotonic() + 30
        while not opa.uploads and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    (theirs,) = opa.uploads[0]
    shipper[0].ship()
    ours = {event["decision_id"]: event for upload in service.uploads for event in upload}[
        whole["decision_id"]
    ]
    # Members of OPA's events that this one has no cause to fill: no bundle, and nobody asked it as
    # somebody. `custom` is where OPA lets others put what it has no name for.
    assert set(ours) - set(theirs) <= {"custom", "bundles", "requested_by"}
    assert set(theirs) - set(ours) <= {"req_id", "metrics"}
    for name in set(ours) & set(theirs):
        assert type(ours[name]) is type(theirs[name]), name
    assert {"id", "version"} <= set(ours["labels"]) & set(theirs["labels"])
    assert ours["labels"]["version"] == theirs["labels"]["version"]
    assert ours["erased"] == theirs["erased"]
    assert ours["input"] == theirs["input"]
    assert ours["path"] == theirs["path"]
    assert opa.requests[0][0] == service.requests[0][0] == "/logs"
    for header in ("Content-Type", "Content-Encoding"):
        assert opa.requests[0][1][header] == service.requests[0][1][header]
    opa.server.shutdown()
    opa.server.server_close()
