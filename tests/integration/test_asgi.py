"""The middleware under FastAPI and uvicorn on a real loopback socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression

import affidavit as aff
from affidavit.asgi import AffidavitMiddleware

HEADER = "x-affidavit-prediction"


class Application(BaseModel):
    income: float
    debt: float


def build_app(model, ran: list) -> FastAPI:
    app = FastAPI()
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(_):
        events.append("startup")
        yield
        events.append("shutdown")

    app.router.lifespan_context = lifespan

    @aff.serve("risk", purpose="credit-scoring")
    def score(application: Application) -> float:
        frame = pd.DataFrame([application.model_dump()])
        return float(model.predict_proba(frame)[0, 1])

    @aff.serve("risk", purpose="credit-scoring")
    async def score_later(application: Application) -> float:
        await asyncio.sleep(0.01)
        frame = pd.DataFrame([application.model_dump()])
        return float(model.predict_proba(frame)[0, 1])

    @aff.serve("risk", purpose="social-scoring")
    def forbidden(application: Application) -> float:
        ran.append(application)
        return 0.0

    @app.post("/sync")
    def sync(application: Application):
        return {"score": score(application), "ids": aff.prediction_ids()}

    @app.post("/async")
    async def later(application: Application):
        return {"score": await score_later(application), "ids": aff.prediction_ids()}

    @app.post("/twice")
    async def twice(application: Application):
        both = await asyncio.gather(score_later(application), score_later(application))
        return {"score": both, "ids": aff.prediction_ids()}

    @app.post("/forbidden")
    def denied(application: Application):
        return forbidden(application)

    @app.get("/unrecorded")
    def unrecorded():
        raise aff.errors.LedgerUnavailableError("the disk /var/lib/secret is full")

    @app.get("/broken")
    def broken():
        raise RuntimeError("a bug at /var/lib/secret")

    @app.get("/late")
    def late():
        def body():
            yield b"begun"
            raise aff.PolicyDenied("too late")

        return StreamingResponse(body())

    @app.get("/ids")
    def ids(request: Request):
        return {"ids": aff.prediction_ids()}

    app.state.events = events
    return app


@contextlib.contextmanager
def serving(app):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            for _ in range(200):
                if server.started:
                    break
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture
def loans():
    income = [20 + (n * 7) % 60 for n in range(60)]
    return pd.DataFrame(
        {
            "income": [float(value) for value in income],
            "debt": [float((n * 13) % 30) for n in range(60)],
            "granted": [int(value > 50) for value in income],
        }
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "service")
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor, engineer")
    settings = aff.load_settings()
    aff.create_home(Path(settings.home), actor="service")
    found = aff.open_home(settings.home)
    yield found
    found.close()


@pytest.fixture
def model(home, loans):
    @aff.train("risk")
    def fit(frame: pd.DataFrame) -> LogisticRegression:
        return LogisticRegression().fit(frame[["income", "debt"]], frame["granted"])

    trained = fit(loans)
    aff.explain_model("risk", trained, loans[["income", "debt"]])
    return trained


def test_concurrent_requests_have_their_own_ids_and_each_is_explained_afterwards(home, model):
    app = build_app(model, [])
    app.add_middleware(AffidavitMiddleware, actor=lambda scope: scope["headers_actor"])
    app = _with_actor(app)
    bodies = [{"income": 20.0 + n, "debt": float(n)} for n in range(20)]

    async def main(url: str):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            posts = [
                client.post("/sync" if n % 2 else "/async", json=body)
                for n, body in enumerate(bodies)
            ]
            return await asyncio.gather(*posts)

    with serving(app) as url:
        answers = asyncio.run(main(url))
    assert [answer.status_code for answer in answers] == [200] * 20
    ids = [answer.headers[HEADER] for answer in answers]
    assert len(set(ids)) == 20
    reader = aff.Reader(home)
    for identifier, answer, body in zip(ids, answers, bodies, strict=True):
        assert answer.json()["ids"] == [identifier]
        record = reader.prediction(identifier).record
        assert record["actor"] == "caller@example.org"
        found = aff.explain_decision(identifier)
        assert found.decision.features == body
        assert found.decision.output == answer.json()["score"]
        if found.output_space == "probability":
            assert found.output == pytest.approx(answer.json()["score"], abs=1e-9)
        total = found.base_value + sum(reason["contribution"] for reason in found.reasons)
        assert total == pytest.approx(found.output, abs=1e-6)
    assert aff.verify_home(home).ok


def _with_actor(app):
    async def outer(scope, receive, send):
        if scope["type"] == "http":
            scope = {**scope, "headers_actor": "caller@example.org"}
        await app(scope, receive, send)

    outer.state = app.state
    return outer


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_denials_and_failures_are_problems_that_say_nothing_of_the_inside(home, model, place):
    ran: list = []
    inner = build_app(model, ran)
    app = inner
    if place == "inside":
        inner.add_middleware(AffidavitMiddleware)
    else:
        app = AffidavitMiddleware(inner)
    # uvicorn closes a connection on which an application raised.
    limits = httpx.Limits(max_keepalive_connections=0)
    with serving(app) as url, httpx.Client(base_url=url, timeout=60, limits=limits) as client:
        denied = client.post("/forbidden", json={"income": 1, "debt": 1})
        unrecorded = client.get("/unrecorded")
        broken = client.get("/broken")
        twice = client.post("/twice", json={"income": 1, "debt": 1})
        wrong = client.post("/sync", json={"income": "many"})
        after = client.get("/ids")
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/late")
    assert ran == []
    assert denied.status_code == 403
    assert denied.headers["content-type"] == "application/problem+json"
    assert denied.json() == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "The policy does not allow this request.",
    }
    assert "social" not in denied.text
    assert HEADER not in denied.headers
    assert unrecorded.status_code == 503
    assert unrecorded.json()["title"] == "Service Unavailable"
    assert "secret" not in unrecorded.text
    assert broken.status_code == 500
    assert "secret" not in broken.text
    assert twice.headers[HEADER].split(",") == twice.json()["ids"]
    assert len(twice.json()["ids"]) == 2
    assert wrong.status_code == 422
    assert after.json() == {"ids": []}
    assert HEADER not in after.headers
    assert inner.state.events == ["startup", "shutdown"]
    assert aff.Reader(home).counts()["denial"] == 1


def test_websockets_lifespan_and_unknown_scopes_pass_through(home):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            seen.append(aff.prediction_ids())
            return
        await send({"type": f"{scope['type']}.complete"})

    sent = []

    async def send(message):
        sent.append(message["type"])

    async def receive():
        return {}

    async def main():
        for kind in ("lifespan", "websocket", "other"):
            await AffidavitMiddleware(app)({"type": kind}, receive, send)

    asyncio.run(main())
    assert seen == ["lifespan", "websocket", [], "other"]
    assert sent == ["lifespan.complete", "websocket.accept", "other.complete"]


def test_the_header_replaces_one_that_the_application_or_a_client_made_up(home):
    from affidavit._context import note_served

    async def app(scope, receive, send):
        note_served(["1" * 32])
        headers = [(b"X-Affidavit-Prediction", b"forged"), (b"x-other", b"kept")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(AffidavitMiddleware(app)({"type": "http"}, None, send))
    assert sent[0]["headers"] == [(b"x-other", b"kept"), (HEADER.encode(), b"1" * 32)]
