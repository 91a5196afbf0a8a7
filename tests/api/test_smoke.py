"""`/smoke`: not there, to the byte, unless the environment holds the token that the caller names;
then it echoes.
"""

from __future__ import annotations

import base64
import functools
import http.client
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from chalice.config import Config

from app import app
from chalicelib.api import smoke
from chalicelib.api.routing import operations, parts
from infra.local.gateway import Handler, Server
from tests.environment import Environment

TOKEN = "a-token/that is+long"
APP = "https://app.example.com"


@dataclass
class Smoke:
    """Calls a server of the app."""

    port: int

    def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        headers, text = dict(answer.getheaders()), answer.read()
        connection.close()
        headers.pop("Date")
        return answer.status, headers, text

    def echo(
        self, method: str, query: str = "", body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        status, _, text = self.call(method, f"/smoke?token={quote(TOKEN)}{query}", body, **headers)
        return status, json.loads(text)


@pytest.fixture
def served(env: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Smoke]:
    monkeypatch.delenv("RESONA_SMOKE", raising=False)
    server = Server(
        ("127.0.0.1", 0), functools.partial(Handler, app_object=app, config=Config.create())
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    parts.use(env.scheduling, stage="dev", needs_keys=True, origins=frozenset({APP}))
    yield Smoke(server.server_address[1])
    parts.use(env.scheduling, stage="")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, served: Smoke) -> Smoke:
    monkeypatch.setenv("RESONA_SMOKE", TOKEN)
    return served


@pytest.mark.parametrize("method", smoke.METHODS)
@pytest.mark.parametrize("origin", [APP, "https://evil.example"])
def test_switched_off_it_is_a_path_that_is_not_there_to_the_byte(
    served: Smoke, method: str, origin: str
) -> None:
    unknown = served.call(method, "/nowhere", Origin=origin)
    assert unknown[0] == 404
    for query in ("", "?token=", f"?token={quote(TOKEN)}", "?token=None&fail=1"):
        assert served.call(method, f"/smoke{query}", Origin=origin) == unknown


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?token=",
        "?token=wrong",
        f"?token={quote(TOKEN[:-1])}",
        f"?token={quote(TOKEN)}x",
        "?token=%C3%A9",
        "?Token=x",
    ],
)
def test_switched_on_it_is_not_there_for_whoever_does_not_name_the_token(
    on: Smoke, query: str
) -> None:
    unknown = on.call("POST", "/nowhere", b"{}", Content_Type="application/json")
    assert on.call("POST", f"/smoke{query}", b"{}", Content_Type="application/json") == unknown


@pytest.mark.parametrize("token", ["", "1", "true", "fifteen-letters"])
def test_a_token_that_could_be_guessed_does_not_switch_it_on(
    served: Smoke, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("RESONA_SMOKE", token)
    assert served.call("GET", f"/smoke?token={token}")[0] == 404


@pytest.mark.parametrize("method", [method for method in smoke.METHODS if method != "HEAD"])
def test_it_echoes_what_it_was_sent_and_needs_no_key(on: Smoke, method: str) -> None:
    status, echo = on.echo(method, "", b'{"a": "\xc3\xa9"}', Content_Type="text/odd", X_Mine="1")
    assert (status, echo["method"], echo["body"]) == (200, method, '{"a": "é"}')
    assert (echo["headers"]["content-type"], echo["headers"]["x-mine"]) == ("text/odd", "1")
    assert all(name == name.lower() for name in echo["headers"])
    # What a run keeps of it must not hold the token.
    assert TOKEN not in json.dumps(echo)


def test_a_body_that_is_no_text_is_echoed_as_base64(on: Smoke) -> None:
    _, echo = on.echo("POST", "", b"\xff\x00")
    assert (echo["encoding"], base64.b64decode(echo["body"])) == ("base64", b"\xff\x00")


@pytest.mark.parametrize(
    ("query", "attempt", "expected"),
    [
        ("", None, 200),
        ("&fail=0", "1", 200),
        ("&fail=1", None, 500),
        ("&fail=1", "1", 500),
        ("&fail=1", "2", 200),
        ("&fail=2&status=429", "2", 429),
        ("&fail=2&status=429", "3", 200),
        ("&status=503", "1", 200),
        ("&fail=1", "x", 500),
        ("&fail=x", "1", 422),
        ("&fail=-1", "1", 422),
        ("&fail=%C2%B2", "1", 422),
        ("&fail=1&status=199", "1", 422),
        ("&fail=1&status=600", "1", 422),
    ],
)
def test_it_fails_as_often_as_it_is_told_by_the_attempt_s_number(
    on: Smoke, query: str, attempt: str | None, expected: int
) -> None:
    status, _ = on.echo("POST", query, b"{}", **({"Resona_Attempt": attempt} if attempt else {}))
    assert status == expected


def test_a_body_over_64_kib_is_refused(on: Smoke) -> None:
    assert on.echo("POST", "", b"x" * 65_536)[0] == 200
    assert on.echo("POST", "", b"x" * 65_537)[0] == 413


def test_it_is_no_part_of_the_api(
    on: Smoke, env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    assert not [path for _, path in operations if path == smoke.PATH]
    assert "smoke" not in on.call("GET", "/openapi.json")[2].decode()
    assert on.call("OPTIONS", "/smoke")[0] == 405
    # For no tenant: it reads and writes nothing.
    before = list(env.cloud.calls)
    caplog.set_level(logging.DEBUG)
    on.echo("POST", "&fail=1", b"canary", X_Canary="canary")
    assert env.cloud.calls == before
    assert "canary" not in caplog.text
    assert TOKEN not in caplog.text


def test_a_setting_that_cannot_be_read_is_no_answer_with_a_stack_trace(
    on: Smoke, env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONA_CORS_ORIGINS", "app.example.com")
    parts.use(env.scheduling, stage="dev", needs_keys=True, origins=None)
    event = {
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": "/smoke",
            "path": "/smoke",
            "identity": {},
        },
        "headers": {},
        "multiValueQueryStringParameters": {"token": [TOKEN]},
        "pathParameters": {},
        "stageVariables": {},
        "body": None,
        "isBase64Encoded": False,
    }
    assert app(event, None)["statusCode"] == 500
