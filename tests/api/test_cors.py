"""Pages of configured origins may call from a browser and read the answers; others may not."""

from __future__ import annotations

import functools
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chalice.config import Config
from chalice.deploy.swagger import CFNSwaggerGenerator

from app import app
from chalicelib.api.routing import backend
from infra.local.gateway import Handler, Server
from tests.api.conftest import ROUTES, Answer, Api, job
from tests.environment import Environment

APP, ADMIN, EVIL = "https://app.example.com", "http://localhost:3000", "https://evil.example"
READ = (
    "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate"
)
ALLOWED = {
    "Vary": "Origin",
    "Access-Control-Allow-Origin": APP,
    "Access-Control-Expose-Headers": READ,
}


@pytest.fixture
def shared_api(env: Environment) -> Iterator[Api]:
    backend.use(env.scheduling, stage="local", origins=frozenset({APP, ADMIN}))
    yield Api(env)
    backend.use(env.scheduling, stage="")


def for_browsers(headers: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name == "Vary" or name.startswith("Access-Control-")
    }


def preflight(api: Api, path: str, origin: str) -> Answer:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return api.call("OPTIONS", path, headers=asked)


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_a_preflight_of_an_allowed_origin_is_told_what_its_pages_may_send(
    shared_api: Api, path: str
) -> None:
    names = {"name": "token", "build": "1", "flow": "a", "token": "t"}
    answer = preflight(shared_api, path.format(job_id="key:mine", run_id="run_1", **names), APP)
    methods = ", ".join(sorted(app.routes[path]))
    assert (answer.status, answer.text, answer.headers["Allow"]) == (204, "", methods)
    assert for_browsers(answer.headers) == ALLOWED | {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": (
            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
        ),
        "Access-Control-Max-Age": "600",
    }


@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        "null",
        f"{APP}.evil.example",
        "http://app.example.com",
        APP.upper(),
        "*",
        f"{APP},{ADMIN}",
        "",
    ],
)
def test_another_origin_is_allowed_nothing(shared_api: Api, origin: str) -> None:
    assert for_browsers(preflight(shared_api, "/jobs", origin).headers) == {"Vary": "Origin"}
    assert for_browsers(shared_api.get("/jobs", headers={"Origin": origin}).headers) == {
        "Vary": "Origin"
    }


def test_every_answer_is_readable_for_the_page_that_asked_errors_too(shared_api: Api) -> None:
    made = shared_api.post("/jobs", job(), headers={"Origin": APP})
    assert (made.status, for_browsers(made.headers)) == (201, ALLOWED)
    assert for_browsers(shared_api.get("/jobs", headers={"Origin": ADMIN}).headers) == ALLOWED | {
        "Access-Control-Allow-Origin": ADMIN
    }
    refused = [
        shared_api.post("/jobs", {}, headers={"Origin": APP}),
        shared_api.get("/jobs/nothing", headers={"Origin": APP}),
        shared_api.get("/health?x=1", headers={"Origin": APP}),
    ]
    assert [(answer.status, for_browsers(answer.headers)) for answer in refused] == [
        (422, ALLOWED),
        (404, ALLOWED),
        (422, ALLOWED),
    ]
    backend.use(shared_api.env.scheduling, stage="prod", origins=frozenset({APP}))
    unknown = shared_api.get("/jobs", headers={"Origin": APP})
    assert (unknown.status, for_browsers(unknown.headers)) == (401, ALLOWED)


def test_an_answer_to_who_is_no_page_says_only_that_it_depends_on_that(shared_api: Api) -> None:
    assert for_browsers(shared_api.get("/jobs").headers) == {"Vary": "Origin"}


def test_where_no_origin_is_configured_nothing_is_said(api: Api) -> None:
    answer = preflight(api, "/jobs", APP)
    assert (answer.status, answer.headers["Allow"], for_browsers(answer.headers)) == (
        204,
        "GET, HEAD, OPTIONS, POST",
        {},
    )
    assert for_browsers(api.get("/jobs", headers={"Origin": APP}).headers) == {}


def test_a_setting_that_cannot_be_read_is_told_before_anything_is_done(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RESONA_CORS_ORIGINS", "app.example.com")
    backend.use(api.env.scheduling, stage="local", origins=None)
    assert api.post("/jobs", job()).status == 500
    assert (
        "RESONA_CORS_ORIGINS must hold origins, such as https://app.example.com, not "
        "'app.example.com'"
    ) in caplog.text
    backend.use(api.env.scheduling, stage="local")
    assert api.get("/jobs").json == []


def test_what_is_deployed_sends_preflights_to_the_api_and_asks_for_no_key() -> None:
    deployed: Any = CFNSwaggerGenerator().generate_swagger(app, None)
    for path in ROUTES:
        served = deployed["paths"][path]["options"]
        assert "security" not in served
        # Not a mock of API Gateway's, which would know one origin.
        assert served["x-amazon-apigateway-integration"]["type"] == "aws_proxy", path


def test_what_the_laptop_s_server_refuses_itself_is_readable_too(shared_api: Api) -> None:
    server = Server(
        ("127.0.0.1", 0), functools.partial(Handler, app_object=app, config=Config.create())
    )
    backend.use(shared_api.env.scheduling, stage="local", needs_keys=True, origins=frozenset({APP}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    try:
        for method, path, status in [
            ("GET", "/jobs", 401),
            ("PUT", "/jobs", 405),
            ("GET", "/nowhere", 404),
            ("OPTIONS", "/jobs", 204),
        ]:
            connection.request(method, path, headers={"Origin": APP})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == status
            assert not text or json.loads(text)["status"] == status
            assert ALLOWED.items() <= dict(answer.getheaders()).items()
    finally:
        connection.close()
        server.shutdown()
        thread.join()
        server.server_close()
