"""Calls that take no body: one with fields is refused instead of ignored."""

from __future__ import annotations

import pytest

from chalicelib.api.routing import operations
from tests.api.conftest import Api

BODILESS = sorted(
    (method, path)
    for (method, path), operation in operations.items()
    if operation.body is None and method != "GET"
)


def filled(method: str, path: str) -> str:
    query = operations[method, path].query
    label = "?label=team:a" if "label" in query and query["label"].is_required else ""
    return path.format(job_id="key:a", run_id="run_a", name="a", flow="a") + label


def test_there_are_such_calls() -> None:
    assert ("POST", "/jobs/{job_id}/resume") in BODILESS
    assert ("DELETE", "/jobs/{job_id}") in BODILESS
    assert ("POST", "/runs/retry") in BODILESS


@pytest.mark.parametrize(("method", "path"), BODILESS)
def test_a_field_is_refused_and_an_empty_body_is_not(api: Api, method: str, path: str) -> None:
    answer = api.call(method, filled(method, path), {"reason": "holidays", "until": None})
    assert answer.fields == ["reason", "until"]
    assert "this call takes no body" in answer.problem["detail"]
    for raw in (b"reason=holidays", b"[]", b'""', b"0", b"{"):
        answer = api.call(method, filled(method, path), raw=raw)
        assert answer.status == 422
        assert answer.problem["detail"].startswith("this call takes no body")
    for raw in (b"", b" ", b"{}", b"{ }\n", b"null"):
        answer = api.call(method, filled(method, path), raw=raw)
        assert "this call takes no body" not in answer.text


def test_what_goes_into_the_query_is_said(api: Api) -> None:
    answer = api.post("/jobs/pause?label=team:a", {"label": "team:a"})
    assert answer.problem["errors"] == [
        {
            "field": "label",
            "message": "unknown field; this call takes no body; give label in the query",
        }
    ]
