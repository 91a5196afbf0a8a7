"""`GET /openapi.json` is valid, complete and correct.

That every other answer is as it says, `Api.call` sees to.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.api.openapi.document import described, document
from chalicelib.api.openapi.examples import EXAMPLES
from chalicelib.api.routing import operations
from tests.api.conftest import ROUTES as API_ROUTES
from tests.api.conftest import Api
from tests.api.described import UNDESCRIBED, validator

ROUTES = sorted(operations)
SENT = [(name, example) for name in EXAMPLES if name.endswith("In") for example in EXAMPLES[name]]


def operation(route: tuple[str, str]) -> Any:
    method, path = route
    return document()["paths"][path][method.lower()]


def test_it_is_valid_openapi_3_1(api: Api) -> None:
    answer = api.get("/openapi.json")
    assert answer.status == 200
    assert answer.json["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(answer.json).iter_errors()] == []


def test_it_has_every_route_of_the_app_but_the_console_s_and_no_other() -> None:
    """And says of HEAD, which goes with every GET, once what it is."""
    assert "HEAD" in document()["info"]["description"]
    of_the_app = {
        (method, path)
        for path, methods in API_ROUTES.items()
        for method in methods
        if method not in ("OPTIONS", "HEAD") and path not in UNDESCRIBED
    }
    assert {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
    } == of_the_app


def test_a_tag_says_what_it_is() -> None:
    assert all(tag["description"].endswith(".") for tag in document()["tags"])


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_an_operation_says_what_it_is_who_may_call_it_and_shows_examples(
    route: tuple[str, str],
) -> None:
    described = operation(route)
    assert described["summary"] and described["description"] and len(described["tags"]) == 1
    needed = operations[route].scope
    assert described["security"] == ([] if needed is None else [{"key": [needed]}])
    assert {"401", "403", "503"} <= described["responses"].keys() or needed is None
    for content in bodies(described):
        assert content.get("examples") or "example" in content


def bodies(described: Any) -> Iterator[Any]:
    """Yield the content of what an operation takes and of its answers."""
    yield from described.get("requestBody", {}).get("content", {}).values()
    for answer in described["responses"].values():
        yield from answer.get("content", {}).values()


def test_what_is_sent_is_closed_and_what_is_shown_may_gain_keys() -> None:
    schemas = {
        name: schema
        for name, schema in document()["components"]["schemas"].items()
        if "properties" in schema
    }
    assert {
        name for name, schema in schemas.items() if schema.get("additionalProperties") is False
    } == {name for name in schemas if name.endswith("In")}


@pytest.mark.parametrize(
    "trigger",
    [
        {},
        {"delay": -1},
        {"delay": 5, "date": "2026-12-01T10:00:00Z"},
        {"every": 9},
        {"every": 90, "timezone": "UTC"},
        {"date": "tomorrow"},
        {"date": "2026-12-01T10:00:00Z", "timezone": "UTC"},
        {"cron": "* * * * *", "type": "cron"},
        {"cron": "* * * * *", "dst": {"gap": "both"}},
        {"delay": 5, "dst": {"gap": "next"}},
        {"type": "cron", "fields": {"date": "2026-12-01T10:00:00Z"}},
    ],
)
def test_a_trigger_that_the_api_refuses_is_none_by_its_schema_either(
    api: Api, trigger: dict[str, Any]
) -> None:
    assert api.post("/triggers/preview", {"trigger": trigger}).status == 422
    assert not validator(json.dumps({"$ref": "#/components/schemas/TriggerIn"})).is_valid(trigger)


def test_bounds_are_written_as_json_schema_has_them() -> None:
    """pydantic writes them as `ge` and `le` where they follow a function that reads the value."""
    schemas = json.dumps(document()["components"]["schemas"])
    assert not re.search(r'"(ge|gt|le|lt|min_length|max_length)": \d', schemas)


def test_a_key_that_no_pattern_allows_is_not_described_as_allowed() -> None:
    labels = document()["components"]["schemas"]["JobIn"]["properties"]["labels"]
    assert validator(json.dumps(labels)).is_valid({"team": "billing"})
    for key in ("a:b", "\x07", " "):
        assert not validator(json.dumps(labels)).is_valid({key: "billing"}), key
    for schema in _all_schemas(document()):
        assert "patternProperties" not in schema, "leaves other keys free"


def _all_schemas(part: object) -> Iterator[dict[str, object]]:
    if isinstance(part, dict):
        yield part
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        yield from _all_schemas(inner)


def test_every_field_and_parameter_is_described_by_a_sentence() -> None:
    schemas = document()["components"]["schemas"]
    for name, schema in schemas.items():
        for field, member in schema.get("properties", {}).items():
            of_type = schemas.get(member.get("$ref", "").rpartition("/")[2], {})
            text = member.get("description") or of_type.get("description", "")
            assert text.endswith("."), f"{name}.{field} {text}"
    for route in ROUTES:
        for parameter in operation(route)["parameters"]:
            assert parameter["description"].endswith("."), (route, parameter["name"])


def test_operation_ids_are_unique() -> None:
    ids = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(ids)) == len(ids)


def test_it_names_the_server_it_is_asked_of(api: Api) -> None:
    assert api.get("/openapi.json").json["servers"] == [{"url": "http://localhost:8000"}]
    deployed = {"Host": "abc.execute-api.eu-central-1.amazonaws.com", "X-Forwarded-Proto": "https"}
    assert api.get("/openapi.json", headers=deployed).json["servers"] == [
        {"url": f"https://{deployed['Host']}"}
    ]
    assert api.get("/openapi.json", headers={"Host": "evil.example/\"'<"}).json["servers"] == [
        {"url": "/"}
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_what_its_schema_describes(name: str) -> None:
    for example in EXAMPLES[name].values():
        validator(json.dumps({"$ref": f"#/components/schemas/{name}"})).validate(example)


@pytest.mark.parametrize(
    ("name", "example"), SENT, ids=[f"{name} {example}" for name, example in SENT]
)
def test_every_example_of_a_body_is_taken(api: Api, name: str, example: str) -> None:
    job = api.register(trigger={"cron": "0 9 * * *"}, completion="callback", deadline=3600)
    api.post(f"/jobs/{job['id']}/run")
    api.env.advance(seconds=2)
    url = api.env.sent[0].headers["Resona-Complete-Url"]
    api.put(
        "/jobs/key:report",
        {"name": "Report", "request": {"url": "http://example.com/"}, "trigger": {"delay": 5}},
    )
    takers = [(method, path) for method, path in ROUTES if operations[method, path].body == name]
    assert takers
    for method, path in takers:
        body = EXAMPLES[name][example]
        if "key" in body:
            body = {**body, "key": f"{body['key']}-2"}
        job_id = "key:report" if method == "PUT" else job["id"]
        names = {"name": "token", "token": url.rpartition("/")[2], "flow": "host:example.com"}
        at = path.format(job_id=job_id, **names)
        answer = api.call(method, at, body)
        assert 200 <= answer.status < 300, answer.text


def test_the_example_of_a_job_is_what_registering_it_answers(api: Api) -> None:
    shown = EXAMPLES["Job"]["A job"]
    sent = {name: shown[name] for name in ("name", "request", "trigger", "labels")}
    assert {**api.register(**sent), "id": shown["id"]} == shown


def test_the_example_of_a_preview_is_what_the_preview_answers(api: Api) -> None:
    answers = {
        name: api.post("/triggers/preview", sent).json
        for name, sent in EXAMPLES["PreviewIn"].items()
    }
    assert answers == EXAMPLES["Preview"]


def test_a_description_is_made_only_when_somebody_asks_for_it() -> None:
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", "import app, sys; print(*sys.modules)"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "chalicelib.api.routes.jobs" in loaded
    late = ("chalicelib.api.openapi", "chalicelib.api.models.request_models")
    assert [name for name in loaded if name.startswith(late)] == []
    assert all(importlib.util.find_spec(name) for name in late)


def test_what_is_made_once_is_not_changed_by_who_asks() -> None:
    assert described("http://one.example")["servers"] != described("http://two.example")["servers"]
    assert "servers" not in document()
