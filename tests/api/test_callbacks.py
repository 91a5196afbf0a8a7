"""Callbacks, `pause_after`, and the list of notices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.environment import status

URL = "https://example.com/told"


def test_callbacks_are_shown_as_they_were_sent(api: Api) -> None:
    sent = {"succeeded": None, "failed": {"url": f"{URL}?at=night"}}
    job = api.register(callbacks=sent, pause_after=5.0)
    assert (job["callbacks"], job["pause_after"], job["pause"]) == (sent, 5, None)
    path = f"/jobs/{job['id']}"
    assert api.patch(path, {**job, "name": "Renamed"}).json["callbacks"] == sent
    assert api.patch(path, {"callbacks": {}}).json["callbacks"] is None
    changed = api.patch(path, {"callbacks": sent, "pause_after": None}).json
    assert (changed["callbacks"], changed["pause_after"]) == (sent, None)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"callbacks": URL}, ["callbacks"]),
        ({"callbacks": {"missed": {"url": URL}}}, ["callbacks.missed"]),
        ({"callbacks": {"failed": URL}}, ["callbacks.failed"]),
        ({"callbacks": {"failed": {}}}, ["callbacks.failed.url"]),
        ({"callbacks": {"failed": {"url": 5}}}, ["callbacks.failed.url"]),
        ({"callbacks": {"failed": {"url": URL, "method": "PUT"}}}, ["callbacks.failed.method"]),
        ({"callbacks": {"failed": {"url": "ftp://example.com"}}}, ["callbacks.failed.url"]),
        (
            {"callbacks": {"failed": {"url": f"{URL}?a={{{{secret:a.b}}}}"}}},
            ["callbacks.failed.url"],
        ),
        (
            {"callbacks": {"failed": {"url": f"{URL}?a={{{{secret:no}}}}"}}},
            ["callbacks.failed.url"],
        ),
        (
            {
                "request": {"url": f"{URL}?a={{{{secret:no}}}}"},
                "callbacks": {
                    "succeeded": {"url": f"{URL}?a={{{{secret:no}}}}"},
                    "failed": {"url": f"{URL}?a={{{{secret:neither}}}}"},
                },
            },
            ["callbacks.failed.url", "callbacks.succeeded.url", "request.url"],
        ),
        ({"pause_after": 0}, ["pause_after"]),
        ({"pause_after": 101}, ["pause_after"]),
        ({"pause_after": "3"}, ["pause_after"]),
        ({"pause": None}, ["pause"]),
        ({"kind": "notice"}, ["kind"]),
    ],
)
def test_a_wrong_value_is_named(api: Api, fields: dict[str, Any], wrong: list[str]) -> None:
    job = {"name": "a", "request": {"url": URL}, "trigger": {"delay": 5}}
    assert api.post("/jobs", {**job, **fields}).fields == wrong
    path = f"/jobs/{api.register()['id']}"
    if "pause" not in fields:
        assert api.patch(path, fields).fields == wrong


def test_only_the_list_of_notices_has_notices(api: Api) -> None:
    job = api.register(trigger={"delay": 1}, callbacks={"succeeded": {"url": URL}})
    api.register(trigger={"delay": 1}, callbacks={"failed": {"url": URL}})
    api.env.advance(seconds=10)
    assert len(api.get("/jobs").json) == 2
    assert len(api.get("/jobs?kind=job").json) == 2
    (notice,) = api.get("/jobs?kind=notice").json
    assert notice["labels"]["job"] == job["id"]
    assert notice["status"] == "completed"
    assert api.get(f"/jobs?kind=notice&label=job:{job['id']}").json == [notice]
    assert api.get("/jobs?kind=notice&label=event:run.failed").json == []
    assert api.get(f"/jobs/{notice['id']}/runs").json[0]["status"] == "succeeded"
    assert api.get("/jobs?kind=alarm").fields == ["kind"]
    for change in ("/pause", "/resume", "/run"):
        assert api.post(f"/jobs/{notice['id']}{change}").status == 409
    assert notice["kind"] == api.get(f"/jobs/{notice['id']}").json["kind"] == "notice"
    assert "kind" not in job
    assert api.patch(f"/jobs/{notice['id']}", {"name": "b"}).status == 409
    assert api.delete(f"/jobs/{notice['id']}").status == 204


def test_a_job_shows_how_often_it_has_failed_in_a_row(api: Api) -> None:
    succeeding, api.env.target = api.env.target, lambda sent: status(404)
    path = f"/jobs/{api.register(trigger={'cron': '* * * * *'})['id']}"
    assert "failures" not in api.get(path).json
    api.env.advance(minutes=3)
    shown = api.get(path).json
    assert shown["failures"] == 3
    # What was read can be sent back.
    shown = api.patch(path, {**shown, "labels": {"a": "b"}}).json
    assert shown["failures"] == 3
    assert api.patch(path, {**shown, "failures": 2}).fields == ["failures"]
    assert api.patch(path, {**shown, "kind": "job"}).fields == ["kind"]
    api.env.target = succeeding
    api.env.advance(minutes=1)
    assert "failures" not in api.get(path).json


def test_a_failing_job_shows_why_it_is_paused(api: Api) -> None:
    api.env.target = lambda sent: status(404)
    path = f"/jobs/{api.register(trigger={'cron': '* * * * *'}, pause_after=1)['id']}"
    api.env.advance(minutes=3)
    job = api.get(path).json
    assert job["status"] == "paused"
    assert job["pause"] == {
        "since": "2026-11-23T10:01:00Z",
        "until": None,
        "reason": "failing",
        "by": "resona",
    }
    assert api.patch(path, {**job, "name": "b"}).json["pause"] == job["pause"]
    assert api.post(f"{path}/resume").json["pause"] is None
