"""The routes, called through Chalice's own test client, on a cloud in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from chalice.test import Client

from app import app
from chalicelib.api.routing import parts
from tests.world import World


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

    def __init__(self, world: World) -> None:
        self.world = world

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None, *, raw: bytes | None = None
    ) -> Answer:
        sent = {"Host": "localhost:8000", **(headers or {})}
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        if raw is not None and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        with Client(app) as client:
            response = client.http.request(method, path, headers=sent, body=raw or b"")
        flat = {name: value[0] if isinstance(value, list) else value for name, value in response.headers.items()}
        return Answer(response.status_code, flat, response.body.decode())

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
def world() -> World:
    return World()


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    parts.use(world.scheduling, stage="local")
    yield Api(world)
    parts.use(world.scheduling, stage="")
