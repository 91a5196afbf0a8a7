"""Query parameters: one answer names everything that is wrong with them."""

from __future__ import annotations

import pytest

from chalicelib.api.routing import operations
from tests.api.conftest import Api

LATER, EARLIER = "2026-11-23T10:00:00Z", "2026-11-22T10:00:00Z"
WITH_CURSOR = sorted(key for key, one in operations.items() if "cursor" in one.query)


@pytest.mark.parametrize(("method", "path"), WITH_CURSOR)
def test_a_cursor_that_cannot_be_read_is_told_beside_other_wrong_parameters(
    api: Api, method: str, path: str
) -> None:
    called = path.replace("{job_id}", api.register()["id"])
    label = "label=a:b&" if operations[method, path].query.get("label") else ""
    assert api.call(method, f"{called}?{label}cursor=AAAA&nonsense=1").fields == [
        "cursor",
        "nonsense",
    ]
    assert api.call(method, f"{called}?{label}cursor=AAAA").status == 400


def test_a_cursor_of_another_list_is_not_told_beside_a_wrong_filter(api: Api) -> None:
    """Its list may be this one, with the filter that is meant."""
    for _ in range(2):
        api.register()
    link = api.get("/jobs?limit=1&status=active").headers["Link"]
    cursor = link.partition("cursor=")[2].partition(">")[0]
    assert api.get(f"/jobs?status=activ&cursor={cursor}").fields == ["status"]


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("GET", f"/runs?since={LATER}&until={EARLIER}&limit=0", ["limit", "since"]),
        ("GET", f"/runs?since={LATER}&until={EARLIER}&cursor=A", ["cursor", "since"]),
        ("POST", f"/runs/retry?since={LATER}&until={EARLIER}&label=x", ["label", "since"]),
        (
            "GET",
            "/jobs?sort=next_run_time&status=paused&kind=notice&limit=x",
            ["kind", "limit", "status"],
        ),
        ("POST", "/jobs/pause?cursor=A", ["cursor", "label"]),
        ("POST", "/jobs/delete?lable=a:b", ["label", "lable"]),
    ],
)
def test_parameters_that_do_not_go_together_are_told_beside_wrong_ones(
    api: Api, method: str, path: str, fields: list[str]
) -> None:
    assert api.call(method, path).fields == fields


def test_a_body_that_is_not_wanted_is_told_beside_wrong_parameters(api: Api) -> None:
    answer = api.post("/jobs/resume", {"label": "a:b"})
    assert [(one["field"], one["message"]) for one in answer.problem["errors"]] == [
        ("label", "is required, such as team:billing"),
        ("label", "unknown field; this call takes no body; give label in the query"),
    ]


@pytest.mark.parametrize("path", ["/jobs", "/jobs/key:a/run", "/jobs/key:a/backfill"])
def test_a_wrong_idempotency_key_is_told_beside_wrong_parameters(api: Api, path: str) -> None:
    headers = {"Idempotency-Key": "a b"}
    answer = api.post(f"{path}?nonsense=1", headers=headers)
    assert answer.fields == ["Idempotency-Key", "nonsense"]


def test_a_key_of_a_batch_is_told_beside_what_is_wrong_with_its_body(api: Api) -> None:
    answer = api.post("/jobs/batch", {"job": []}, headers={"Idempotency-Key": "a"})
    assert answer.fields == ["Idempotency-Key", "job", "jobs"]
