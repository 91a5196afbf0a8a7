"""The routes, called with the events of Chalice's own local gateway, on a cloud in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from chalice.config import Config
from chalice.local import LocalGateway

from app import app
from chalicelib.api.routing import backend
from tests.api.described import hold
from tests.environment import Environment

ROUTES = app.routes


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> Any:
        """The problem document, after looking that it is one."""
        document = self.json
        assert self.headers["Content-Type"] == "application/problem+json"
        assert {"type", "title", "status", "detail"} <= document.keys()
        assert document["status"] == self.status
        return document

    @property
    def fields(self) -> list[str]:
        """The fields that a 422 names."""
        assert self.status == 422, self.text
        return sorted(error["field"] for error in self.problem["errors"])


class Api:
    """Calls routes as a client of the local stage does."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self._gateway = LocalGateway(app, Config.create())

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        raw: bytes | None = None,
    ) -> Answer:
        sent = {"Host": "localhost:8000", **(headers or {})}
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        if raw is not None and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        # Without the authorizer: no key is asked for on an open stage.
        event = self._gateway.event_converter.create_lambda_event(method, path, sent, raw or b"")
        answer = app(event, None)
        flat = {
            name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()
        } | answer["headers"]
        hold(
            method,
            event["requestContext"]["resourcePath"],
            answer["statusCode"],
            flat,
            answer["body"],
        )
        return Answer(answer["statusCode"], flat, answer["body"])

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> Answer:
        return self.call("POST", path, body, **options)

    def patch(self, path: str, body: object = None, **options: Any) -> Answer:
        return self.call("PATCH", path, body, **options)

    def put(self, path: str, body: object = None, **options: Any) -> Answer:
        return self.call("PUT", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.call("DELETE", path, **options)

    def register(self, **changes: Any) -> Any:
        """Register a job and return it."""
        answer = self.post("/jobs", job(**changes))
        assert answer.status == 201, answer.text
        return answer.json


def job(**changes: Any) -> dict[str, Any]:
    """A valid body, with changes; a value of None leaves the field out."""
    body = {
        "name": "My Job",
        "request": {
            "url": "http://example.com/endpoint",
            "method": "POST",
            "headers": {"Authorization": "Bearer token"},
            "body": {"key": "value"},
        },
        "trigger": {"delay": 5},
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


@pytest.fixture
def env() -> Environment:
    return Environment()


@pytest.fixture
def api(env: Environment) -> Iterator[Api]:
    backend.use(env.scheduling, stage="local")
    yield Api(env)
    backend.use(env.scheduling, stage="")
