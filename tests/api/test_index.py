"""`GET /`: a browser goes to the console, a program learns where to begin."""

from __future__ import annotations

from typing import Any

import pytest

from app import app
from chalicelib.api.routing import backend
from tests.api.conftest import Api
from tests.environment import Environment

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def test_a_program_gets_the_urls_where_to_begin_and_each_is_there(api: Api) -> None:
    answer = api.get("/")
    assert answer.status == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    index = answer.json
    assert (index.pop("name"), index.pop("version")) == (
        "Resona",
        api.get("/health").json["version"],
    )
    assert index.keys() == {"console", "docs", "openapi", "health", "jobs"}
    for url in index.values():
        assert api.get(url.removeprefix("http://localhost:8000")).status == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (CHROMIUM, 303),
        ("text/html", 303),
        ("Text/HTML;Q=0.9, */*;q=0.1", 303),
        ("text/*", 303),
        (None, 200),
        ("", 200),
        ("*/*", 200),
        ("application/json", 200),
        ("application/json, text/html", 200),
        ("application/json;q=0.9, text/html;q=0.5", 200),
        ("text/html;q=0", 200),
        ("text/html;q=much", 200),
        ("image/png", 200),
        (";;,q=,", 200),
    ],
)
def test_a_client_that_prefers_html_is_led_to_the_console(
    api: Api, accept: str | None, status: int
) -> None:
    answer = api.get("/", headers={} if accept is None else {"Accept": accept})
    assert (answer.status, answer.headers["Vary"]) == (status, "Accept")
    assert answer.headers.get("Location") == ("/console" if status == 303 else None)


def test_on_a_stage_every_url_is_below_the_stage_s_path(env: Environment) -> None:
    """API Gateway calls the root of the stage `api` with the path /api/."""
    backend.use(env.scheduling, stage="local")

    def called(accept: str) -> Any:
        headers = {"Host": "a.example", "X-Forwarded-Proto": "https", "Accept": accept}
        context = {"httpMethod": "GET", "resourcePath": "/", "path": "/api/", "identity": {}}
        event = {
            "requestContext": context,
            "headers": headers,
            "multiValueQueryStringParameters": None,
            "pathParameters": None,
            "stageVariables": None,
            "body": None,
            "isBase64Encoded": False,
        }
        return app(event, None)

    assert called("text/html")["headers"]["Location"] == "/api/console"
    assert '"jobs":"https://a.example/api/jobs"' in called("*/*")["body"]
    backend.use(env.scheduling, stage="")


def test_a_page_of_an_allowed_origin_may_read_it(env: Environment) -> None:
    backend.use(env.scheduling, stage="local", origins=frozenset({"https://a.example"}))
    answer = Api(env).get("/", headers={"Origin": "https://a.example"})
    assert answer.headers["Vary"] == "Accept, Origin"
    backend.use(env.scheduling, stage="")
