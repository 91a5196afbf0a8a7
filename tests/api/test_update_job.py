"""POST and PATCH /jobs/{id}."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, job


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_present_is_replaced_and_what_is_absent_stays(api: Api, method: str) -> None:
    made = api.register(labels={"a": "1", "b": "2"}, timeout=60)
    answer = api.call(method, f"/jobs/{made['id']}", {"name": "Renamed", "labels": {"c": "3"}})
    assert answer.status == 200
    assert answer.json == {**made, "name": "Renamed", "labels": {"c": "3"}}


def test_an_update_to_a_cron(api: Api) -> None:
    made = api.register()
    updated = {
        "name": "Updated Job",
        "request": {
            "url": "http://example.com/updated",
            "method": "PUT",
            "headers": {},
            "body": {"key": "updated"},
        },
        "trigger": {"cron": "0 0 * * *"},
    }
    body = api.post(f"/jobs/{made['id']}", updated).json
    assert body["trigger"] == {"type": "cron", "fields": {"cron": "0 0 * * *", "timezone": "UTC"}}
    assert body["next_run_time"] == "2026-11-24T00:00:00Z"
    assert body["request"] == updated["request"]
    assert body["id"] == made["id"]
    api.env.advance(minutes=10)
    assert api.env.sent == []


def test_what_was_read_can_be_changed_and_sent_back(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    read = api.get(f"/jobs/{made['id']}").json
    assert read["status"] == "completed"
    answer = api.patch(f"/jobs/{made['id']}", {**read, "name": "Renamed"})
    assert answer.status == 200
    assert answer.json["name"] == "Renamed"
    assert answer.json["status"] == "completed"


@pytest.mark.parametrize(
    "field", ["id", "created_at", "updated_at", "status", "result", "next_run_time"]
)
def test_a_read_only_field_with_another_value_is_refused(api: Api, field: str) -> None:
    made = api.register()
    assert api.patch(f"/jobs/{made['id']}", {field: "other"}).fields == [field]


def test_a_key_cannot_be_changed(api: Api) -> None:
    made = api.register(key="nightly")
    assert api.patch(f"/jobs/{made['id']}", {"key": "other"}).fields == ["key"]
    assert api.patch(f"/jobs/{made['id']}", {"key": "nightly"}).status == 200


def test_a_new_trigger_makes_a_completed_job_active_again(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    body = api.post(f"/jobs/{made['id']}", {"trigger": {"delay": 5}}).json
    assert (body["status"], body["next_run_time"]) == ("active", "2026-11-23T10:00:36Z")
    assert body["result"]["status"] == "succeeded"
    api.env.advance(seconds=30)
    assert len(api.env.sent) == 2


def test_a_delay_of_zero_fires_again_in_the_same_second(api: Api) -> None:
    made = api.register(trigger={"delay": 0})
    api.env.advance(seconds=0.8)
    assert len(api.env.sent) == 1
    api.post(f"/jobs/{made['id']}", {"trigger": {"date": made["next_run_time"]}})
    api.env.advance(seconds=10)
    assert len(api.env.sent) == 1
    api.env.now = api.env.now.replace(microsecond=0)
    api.post(f"/jobs/{made['id']}", {"trigger": {"delay": 0}})
    api.env.advance(seconds=10)
    assert len(api.env.sent) == 2


def test_a_paused_job_stays_paused_with_its_new_trigger(api: Api) -> None:
    made = api.register()
    api.post(f"/jobs/{made['id']}/pause")
    body = api.post(f"/jobs/{made['id']}", {"trigger": {"cron": "* * * * *"}}).json
    assert (body["status"], body["next_run_time"]) == ("paused", None)
    api.env.advance(minutes=5)
    assert api.env.sent == []
    assert api.post(f"/jobs/{made['id']}/resume").json["next_run_time"] == "2026-11-23T10:06:00Z"


def test_a_job_that_has_run_takes_a_new_request_only_with_a_new_trigger(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    for change in (
        {"request": {"url": "https://example.com/2"}},
        {"timeout": 5},
        {"retry": {"max_attempts": 1}},
        {"overlap": "skip"},
    ):
        answer = api.patch(f"/jobs/{made['id']}", change)
        assert answer.status == 409
        assert "new trigger" in answer.problem["detail"]
    assert (
        api.patch(
            f"/jobs/{made['id']}",
            {"request": {"url": "https://example.com/2"}, "trigger": {"delay": 1}},
        ).status
        == 200
    )


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": None}, ["name"]),
        ({"request": {"method": "GET"}}, ["request.url"]),
        ({"trigger": {"delay": -1}}, ["trigger.delay"]),
        ({"trigger": None}, ["trigger"]),
        ({"colour": "red"}, ["colour"]),
        ({"timeout": None}, ["timeout"]),
    ],
)
def test_a_wrong_update_is_refused_and_changes_nothing(
    api: Api, body: Any, fields: list[str]
) -> None:
    made = api.register()
    assert api.patch(f"/jobs/{made['id']}", body).fields == fields
    assert api.get(f"/jobs/{made['id']}").json == made


def test_an_empty_update_changes_nothing(api: Api) -> None:
    made = api.register()
    assert api.patch(f"/jobs/{made['id']}", {}).json == made


def test_if_match_refuses_an_update_of_what_has_changed(api: Api) -> None:
    made = api.register()
    read = api.get(f"/jobs/{made['id']}")
    tag = {"If-Match": read.headers["ETag"]}
    assert api.patch(f"/jobs/{made['id']}", {"name": "First"}, headers=tag).status == 200
    refused = api.patch(f"/jobs/{made['id']}", {"name": "Second"}, headers=tag)
    assert refused.status == 412
    assert refused.problem["title"] == "Precondition Failed"
    assert api.get(f"/jobs/{made['id']}").json["name"] == "First"
    assert (
        api.patch(f"/jobs/{made['id']}", {"name": "Third"}, headers={"If-Match": "*"}).status == 200
    )


@pytest.mark.parametrize(
    "job_id",
    ["job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K", "nope", "job_01jd9v8m0q4q6t5w0h9c1y3b7k", "key:none"],
)
def test_an_unknown_job_is_not_found(api: Api, job_id: str) -> None:
    calls = [
        ("GET", ""),
        ("POST", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/run"),
        ("GET", "/runs"),
    ]
    for method, path in calls:
        answer = api.call(
            method,
            f"/jobs/{job_id}{path}",
            job() if method in ("POST", "PATCH") and not path else None,
        )
        assert answer.status == 404, (method, path)
        assert answer.problem["detail"] == "there is no such job"
