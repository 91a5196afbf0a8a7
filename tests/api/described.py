"""Validate every answer against the OpenAPI document, so that neither can change alone."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema_rs

from chalicelib.api.openapi.document import document

# Every answer may have these; the last three are for browsers.
_ALWAYS = {"Content-Type", "Vary", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"}
# A defect of Resona's own, which tests plant; the description promises that there is none.
_DEFECT = 500
# A page and its files, no part of the API.
UNDESCRIBED = {"/console", "/console/{build}/{name}"}


def hold(method: str, path: str, status: int, headers: dict[str, str], text: str) -> None:
    """Fail if OpenAPI does not describe this answer of a route. `path` is as in the app."""
    if status == _DEFECT or method == "OPTIONS" or path in UNDESCRIBED:
        return
    # HEAD is described once for all: as GET, and the server leaves the body out.
    described_as = "get" if method == "HEAD" else method.lower()
    answers = document()["paths"][path][described_as]["responses"]
    assert str(status) in answers, (
        f"{method} {path} does not say that it may answer {status}: {text}"
    )
    described = _resolved(answers[str(status)])
    known = {name: _resolved(header) for name, header in described.get("headers", {}).items()}
    assert headers.keys() - _ALWAYS <= known.keys(), (
        f"{method} {path} {status} has {sorted(headers)}; described: {sorted(known)}"
    )
    for name, header in known.items():
        assert name in headers or not header["required"], f"{method} {path} {status} lacks {name}"
        if name in headers and header["schema"]["type"] == "string":
            jsonschema_rs.validate(header["schema"], headers[name])
    if "content" not in described:
        assert text == ""
        return
    ((content_type, content),) = described["content"].items()
    assert headers["Content-Type"].partition(";")[0] == content_type
    if content_type != "text/html":
        validator(json.dumps(content["schema"])).validate(json.loads(text))


def _resolved(described: Any) -> Any:
    if "$ref" not in described:
        return described
    found: Any = document()
    for name in described["$ref"].split("/")[1:]:
        found = found[name]
    return found


@functools.cache
def validator(schema: str) -> Any:
    """Return what validates by a schema of the description, strictly: a member that is not
    described is an error.
    """
    return jsonschema_rs.Draft202012Validator(
        {**json.loads(schema), "components": {"schemas": _strict()}}, validate_formats=True
    )


@functools.cache
def _strict() -> Any:
    made = json.loads(json.dumps(document()["components"]["schemas"]))
    for schema in made.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return made
