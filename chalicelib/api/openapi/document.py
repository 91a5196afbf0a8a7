"""The OpenAPI 3.1 document, made from the routes and from the request and response models.

It is made once, on the first request for it: other calls do not load these modules.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import TypeAdapter

from chalicelib.api.models import (
    answer_models,
    backfill_models,
    calendar_models,
    channel_models,
    completion_models,
    flow_models,
    job_requests,
    overview_models,
    pause_requests,
    request_models,
    response_models,
)
from chalicelib.api.models.validation import READ_ONLY
from chalicelib.api.openapi.descriptions import (
    ANSWER_HEADERS,
    BY_KEY,
    NAMES,
    NOT_ALWAYS,
    REFUSAL_HEADERS,
    REFUSALS,
    REQUEST_HEADERS,
    TEXTS,
)
from chalicelib.api.openapi.examples import EXAMPLES
from chalicelib.api.openapi.problem_examples import PROBLEMS
from chalicelib.api.routing import Operation, operations
from chalicelib.version import VERSION

_AT = "#/components/schemas/"
_WITHOUT_BODY = {
    204: "Done.",
    303: "To a client that prefers HTML, such as a browser: the console is at Location.",
    304: "It still has the ETag in If-None-Match.",
}
# Bodies that may be left out.
_NOT_REQUIRED = ("PauseIn",)
_ABOUT = """
Register a job: a request, and when to send it. Resona sends it when it is due, records the
response, and retries if necessary.

Every answer is JSON, every error a problem document (RFC 9457). Times are RFC 3339, in UTC. An
unknown field is an error.

Every GET route also serves HEAD, with the same status and headers and no body. A conditional header
(RFC 9110) that an operation does not list is refused with 422, unless it only saves a transfer.
""".strip()


@functools.cache
def document() -> Mapping[str, Any]:
    """Return the document without `servers`."""
    listed = sorted(operations.values(), key=lambda operation: _order(operation.path))
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Resona",
            "version": VERSION,
            "summary": "Sends HTTP requests when they are due.",
            "description": _ABOUT,
        },
        "tags": [
            {"name": name, "description": text} for name, text in dict(map(_tag, listed)).items()
        ],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {_name(status): _refusal(status) for status in REFUSALS},
            "headers": {
                name: {**header, "required": name not in NOT_ALWAYS}
                for name, header in ANSWER_HEADERS.items()
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key begins with `rsn_`. A laptop asks for none, unless it is "
                    "started with `AUTH=required`.",
                }
            },
        },
    }


def described(server: str) -> dict[str, Any]:
    """Return the document of the API that is served at a URL."""
    made = document()
    return {"openapi": made["openapi"], "info": made["info"], "servers": [{"url": server}], **made}


def _order(path: str) -> tuple[bool, str]:
    # Jobs come first.
    return not path.startswith("/jobs"), path


def _tag(operation: Operation) -> tuple[str, str]:
    module = sys.modules[operation.view.__module__]
    return module.__name__.rpartition(".")[2], (module.__doc__ or "").partition("\n")[0]


def _operation(operation: Operation) -> dict[str, Any]:
    summary, _, rest = (inspect.getdoc(operation.view) or "").partition("\n")
    made: dict[str, Any] = {
        "operationId": operation.view.__name__,
        "tags": [_tag(operation)[0]],
        "summary": summary.rstrip("."),
        "description": " ".join(rest.split()) or summary,
        "security": [{"key": [operation.scope.value]}] if operation.scope else [],
        "parameters": list(_parameters(operation)),
        "responses": {
            str(status): answer for status, answer in sorted(_answers(operation).items())
        },
    }
    if operation.body:
        made["requestBody"] = {
            "required": operation.body not in _NOT_REQUIRED,
            "content": {"application/json": _content(operation.body)},
        }
    if operation.text_body:
        example = {"schema": {"type": "string"}, "example": TEXTS[operation.text_body]}
        made["requestBody"]["content"][operation.text_body] = example
    return made


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        # PUT may create the job, so its path has a key and no id.
        known = BY_KEY if (operation.method, name) == ("PUT", "job_id") else NAMES[name]
        yield {"name": name, "in": "path", "required": True, **known}
    for name, rule in operation.query.items():
        schema = {word: value for word, value in rule.schema.items() if word != "description"}
        yield {
            "name": name,
            "in": "query",
            "required": rule.is_required,
            "description": rule.schema["description"],
            "schema": schema,
        }
    for name in operation.takes:
        yield {"name": name, "in": "header", "required": False, **REQUEST_HEADERS[name]}


def _answers(operation: Operation) -> dict[int, dict[str, Any]]:
    gives = (*operation.gives, *(("Link",) if "cursor" in operation.query else ()))
    answers: dict[int, dict[str, Any]] = {}
    for status, model in operation.answers.items():
        answers[status] = {"description": _about(model) if model else _WITHOUT_BODY[status]}
        if gives:
            answers[status]["headers"] = {
                name: {"$ref": f"#/components/headers/{name}"} for name in gives
            }
        if model == "Page":
            answers[status]["content"] = {
                "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>"}
            }
        elif model:
            answers[status]["content"] = {"application/json": _content(model)}
    return answers | {
        status: {"$ref": f"#/components/responses/{_name(status)}"}
        for status in _refused(operation)
    }


def _about(model: str) -> str:
    return "A page to read." if model == "Page" else str(_schemas()[model]["description"])


def _refused(operation: Operation) -> set[int]:
    """Return a route's error statuses: those it lists, and those that follow from its arguments."""
    follows = {
        400: operation.body or "cursor" in operation.query,
        401: operation.scope,
        403: operation.scope,
        404: "{" in operation.path,
        409: "Idempotency-Key" in operation.takes,
        412: "If-Match" in operation.takes,
        413: True,
        415: operation.body,
        422: True,
        503: operation.scope,
    }
    return {*operation.refuses, *(status for status, does in follows.items() if does)}


def _name(status: int) -> str:
    return str(PROBLEMS[status]["title"]).replace(" ", "")


def _refusal(status: int) -> dict[str, Any]:
    content = {"schema": {"$ref": f"{_AT}Problem"}, "example": PROBLEMS[status]}
    made: dict[str, Any] = {
        "description": REFUSALS[status],
        "content": {"application/problem+json": content},
    }
    if status in REFUSAL_HEADERS:
        made["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in REFUSAL_HEADERS[status]
        }
    return made


def _content(model: str) -> dict[str, Any]:
    shown = {
        name.lower().replace(" ", "-"): {"summary": name, "value": value}
        for name, value in EXAMPLES[model].items()
    }
    return {"schema": {"$ref": f"{_AT}{model}"}, "examples": shown}


def _type(name: str) -> Any:
    """Return the request model (its name ends in `In`) or response model with this name."""
    if name == "JobReplacementIn":
        return job_requests.JobIn
    requests = (job_requests, request_models)
    responses = (response_models, answer_models, overview_models, backfill_models)
    others = (calendar_models, channel_models, completion_models, flow_models, pause_requests)
    modules = (*others, *(requests if name.endswith("In") else responses))
    return next(vars(module)[name] for module in modules if name in vars(module))


@functools.cache
def _schemas() -> dict[str, Any]:
    """Return the schema of each model that an operation uses, and of the models within those."""
    used = {"Problem"}
    for operation in operations.values():
        used |= {name for name in (operation.body, *operation.answers.values()) if name}
    adapters: list[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
        (name, "validation" if name.endswith("In") else "serialization", TypeAdapter(_type(name)))
        for name in used - {"Page"}
    ]
    by_key, made = TypeAdapter.json_schemas(adapters, ref_template=_AT + "{model}")
    lists = {name: schema for (name, _), schema in by_key.items() if "$ref" not in schema}
    found = {name: _plain(schema) for name, schema in {**made["$defs"], **lists}.items()}
    for name in ("JobIn", "JobUpdateIn"):
        found[name]["properties"]["trigger"] = {"$ref": f"{_AT}TriggerIn"}
    # Clients may send back the job object that they read.
    shown = {name: {**found["Job"]["properties"][name], "readOnly": True} for name in READ_ONLY}
    found["JobReplacementIn"] = {
        **found["JobIn"],
        "properties": {**found["JobIn"]["properties"], **shown},
    }
    update = found["JobUpdateIn"]["properties"]
    found["JobUpdateIn"]["properties"] = {
        **{name: _without(schema, "default") for name, schema in update.items()},
        **shown,
    }
    return dict(sorted(found.items()))


def _plain(schema: Any) -> Any:
    """Return a schema without pydantic's titles and with patterns as ECMA-262 has them."""
    if isinstance(schema, list):
        return [_plain(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for word, value in _without(schema, "title").items():
        if word == "properties":
            made[word] = {name: _plain(member) for name, member in value.items()}
        elif word == "description":
            made[word] = " ".join(value.split())
        elif word == "pattern":
            made[word] = value.replace(r"\A", "^").replace(r"\z", "$")
        else:
            made[word] = _plain(value)
    return made


def _without(schema: dict[str, Any], *words: str) -> dict[str, Any]:
    return {word: value for word, value in schema.items() if word not in words}
