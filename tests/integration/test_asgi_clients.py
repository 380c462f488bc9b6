"""Where a request came from, as the middleware tells it to the policies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

import affidavit as aff
from affidavit.asgi import AffidavitMiddleware, forwarded_address, peer_address
from affidavit.errors import ConfigurationError

BODY = {"income": 1.0, "debt": 2.0}


class Model:
    def predict(self, rows):
        return [1 for _ in rows]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "service")
    aff.create_home(Path(aff.load_settings().home), actor="service")
    found = aff.open_home(aff.load_settings().home)

    @aff.train("risk")
    def fit() -> Model:
        return Model()

    fit()
    yield found
    found.close()


@pytest.fixture
def ran():
    return []


@pytest.fixture
def ask(home, tmp_path, ran):
    """Put one request after the other to a service with certain serving data."""

    def put(serving: dict, requests: list[dict], **options) -> list[httpx.Response]:
        (tmp_path / "policy.json").write_text(json.dumps({"serving": serving}))
        (tmp_path / "affidavit.toml").write_text('[policy]\ndata = "policy.json"\n')
        app = FastAPI()

        @aff.serve("risk")
        def score(features: dict) -> int:
            ran.append(features)
            return 1

        @app.post("/")
        def endpoint(features: dict) -> int:
            return score(features)

        wrapped = AffidavitMiddleware(app, **options)

        async def main():
            found = []
            for request in requests:
                peer = (request.pop("peer", "10.0.0.1"), 1234)
                transport = httpx.ASGITransport(wrapped, client=peer)
                async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
                    found.append(await client.post("/", json=BODY, **request))
            return found

        return asyncio.run(main())

    return put


def statuses(answers) -> list[int]:
    return [answer.status_code for answer in answers]


LIMITED = {"networks": {"risk": ["10.0.0.0/8", "2001:db8::/32"]}}


def test_a_client_outside_the_networks_is_refused_and_nothing_runs(ask, ran):
    peers = [{"peer": peer} for peer in ("11.0.0.1", "::1", "testclient")]
    assert statuses(ask(LIMITED, peers, client=peer_address)) == [403, 403, 403]
    assert ran == []


def test_a_client_inside_the_networks_is_served(ask, ran):
    peers = [{"peer": peer} for peer in ("10.9.9.9", "2001:db8::9", "::ffff:10.0.0.1")]
    assert statuses(ask(LIMITED, peers, client=peer_address)) == [200, 200, 200]
    assert len(ran) == 3


def test_without_a_client_a_limited_model_is_served_to_nobody(ask, ran):
    assert statuses(ask(LIMITED, [{}])) == [403]
    assert ran == []


def test_a_header_is_not_believed_unless_a_trusted_proxy_wrote_it(ask, ran):
    forged = {"headers": {"x-forwarded-for": "10.0.0.7"}, "peer": "11.0.0.1"}
    assert statuses(ask(LIMITED, [dict(forged)], client=peer_address)) == [403]
    behind = forwarded_address(["192.168.0.0/16"])
    assert statuses(ask(LIMITED, [dict(forged)], client=behind)) == [403]
    assert ran == []


def test_behind_a_trusted_proxy_the_last_foreign_address_counts(ask):
    requests = [
        {"headers": {"x-forwarded-for": said}, "peer": "192.168.0.1"}
        for said in (
            "10.0.0.7",
            "10.0.0.7, 192.168.0.2",
            "10.0.0.7, 11.0.0.1",
            "10.0.0.7, unknown",
            "11.0.0.1, 10.0.0.7",
        )
    ]
    answers = ask(LIMITED, requests, client=forwarded_address(["192.168.0.0/16"]))
    assert statuses(answers) == [200, 200, 403, 403, 200]


@pytest.mark.parametrize(
    ("headers", "peer", "found"),
    [
        ([], ("192.168.0.1", 1), "192.168.0.1"),
        ([(b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8")], None, ""),
        (
            [(b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8")],
            ("192.168.0.1", 1),
            "5.6.7.8",
        ),
        ([(b"x-forwarded-for", b"")], ("192.168.0.1", 1), ""),
        ([(b"x-forwarded-for", b"\xff\xfe")], ("192.168.0.1", 1), ""),
        ([(b"x-forwarded-for", b"2001:DB8:0::1")], ("192.168.0.1", 1), "2001:db8::1"),
    ],
)
def test_an_address_is_read_strictly(headers, peer, found):
    scope = {"type": "http", "headers": headers, "client": peer}
    assert forwarded_address(["192.168.0.0/16"])(scope) == found


def test_a_network_of_proxies_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="cannot be read"):
        forwarded_address(["proxies"])


def test_a_client_above_its_rate_is_told_when_to_come_again(ask, ran):
    rates = {"rates": [{"calls": 2, "seconds": 3600, "per": "client"}]}
    peers = [{"peer": peer} for peer in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2")]
    answers = ask(rates, peers, client=peer_address)
    assert statuses(answers) == [200, 200, 429, 200]
    refused = answers[2]
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["title"] == "Too Many Requests"
    assert len(ran) == 3


def test_the_address_of_one_request_is_not_the_next_ones(ask):
    rates = {"rates": [{"calls": 1, "seconds": 3600, "per": "client"}]}
    assert statuses(
        ask(rates, [{"peer": "10.0.0.1"}, {"peer": "unknown"}], client=peer_address)
    ) == [
        200,
        403,
    ]
