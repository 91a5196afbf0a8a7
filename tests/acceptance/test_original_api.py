"""The original API's examples, unchanged but for the host, get the answers that clients read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.receivers import Receiving
from tests.acceptance.served import Served

# One laptop for all of them.
pytestmark = pytest.mark.xdist_group("test_original_api")

KEYS = {"id", "name", "created_at", "next_run_time", "status", "trigger", "request", "result"}
HEADERS = {"Content-Type": "application/json"}
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


def registration(target: Receiving, trigger: dict[str, Any]) -> dict[str, Any]:
    request = {
        "url": target.address("/endpoint"),
        "method": "POST",
        "headers": {"Authorization": "Bearer token"},
        "body": {"key": "value"},
    }
    return {"name": "My Job", "request": request, "trigger": trigger}


def instant(text: str) -> datetime:
    assert INSTANT.fullmatch(text)
    return datetime.fromisoformat(text)


def created(served: Served, body: dict[str, Any]) -> Any:
    """Register a job, check every key of the answer but its trigger and time, and return it."""
    answer = served.post("/jobs", body, headers=HEADERS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/json")
    job = answer.json()
    assert job.keys() >= KEYS
    assert re.fullmatch(r"job_[0-9A-HJKMNP-TV-Z]{26}", job["id"])
    assert (job["name"], job["status"], job["request"], job["result"]) == (
        "My Job",
        "active",
        body["request"],
        None,
    )
    assert abs(instant(job["created_at"]) - served.now()) < timedelta(seconds=3) + served.slack
    assert answer.headers["Location"].endswith(f"/jobs/{job['id']}")
    return job


def test_a_job_is_registered_with_a_delay(served: Served, target: Receiving) -> None:
    job = created(served, registration(target, {"delay": 5}))
    assert job["trigger"] == {"type": "one-time", "fields": {"date": job["next_run_time"]}}
    due_in = instant(job["next_run_time"]) - served.now()
    assert timedelta(seconds=3) - served.slack < due_in <= timedelta(seconds=6) + served.slack


def test_a_job_is_registered_with_a_date(served: Served, target: Receiving) -> None:
    date = (served.now() + timedelta(days=3)).replace(microsecond=0)
    job = created(served, registration(target, {"date": date.isoformat()}))
    assert job["trigger"] == {
        "type": "one-time",
        "fields": {"date": date.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    assert instant(job["next_run_time"]) == date


def test_a_job_is_registered_with_a_cron(served: Served, target: Receiving) -> None:
    job = created(served, registration(target, {"cron": "0 0 * * *"}))
    assert job["trigger"] == {"type": "cron", "fields": {"cron": "0 0 * * *", "timezone": "UTC"}}
    tomorrow = served.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert instant(job["next_run_time"]) == tomorrow


def test_a_job_is_updated_to_a_cron_shown_listed_paused_resumed_and_deleted(
    served: Served, target: Receiving
) -> None:
    job = created(served, registration(target, {"delay": 600}))
    path = f"/jobs/{job['id']}"
    changed_request = {
        "url": target.address("/updated-endpoint"),
        "method": "PUT",
        "headers": {"Authorization": "Bearer updated_token"},
        "body": {"key": "updated_value"},
    }
    update = {"name": "Updated Job", "request": changed_request, "trigger": {"cron": "0 0 * * *"}}
    answer = served.post(path, update, headers=HEADERS)
    assert answer.status_code == 200
    updated = answer.json()
    assert updated.keys() >= KEYS
    assert (updated["id"], updated["created_at"], updated["name"]) == (
        job["id"],
        job["created_at"],
        "Updated Job",
    )
    assert (updated["request"], updated["status"], updated["result"]) == (
        changed_request,
        "active",
        None,
    )
    assert updated["trigger"] == {
        "type": "cron",
        "fields": {"cron": "0 0 * * *", "timezone": "UTC"},
    }
    assert instant(updated["next_run_time"]).strftime("%H:%M:%S") == "00:00:00"
    assert served.get(path) == updated
    # A list may lag by a second.
    served.wait_for("/jobs", lambda jobs: updated in jobs, 2)
    paused = served.post(f"{path}/pause")
    assert (paused.status_code, paused.json()["status"], paused.json()["next_run_time"]) == (
        200,
        "paused",
        None,
    )
    resumed = served.post(f"{path}/resume")
    assert (resumed.status_code, resumed.json()["status"]) == (200, "active")
    assert resumed.json()["next_run_time"] == updated["next_run_time"]
    deleted = served.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert served.request("GET", path).status_code == 404
    assert served.delete(path).status_code == 404


def test_a_job_is_updated_with_a_delay_and_a_list_shows_every_key_of_it(
    served: Served, target: Receiving
) -> None:
    job = created(served, registration(target, {"cron": "0 0 * * *"}))
    answer = served.post(
        f"/jobs/{job['id']}", registration(target, {"delay": 600}), headers=HEADERS
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    updated = answer.json()
    assert updated["trigger"] == {"type": "one-time", "fields": {"date": updated["next_run_time"]}}
    due_in = instant(updated["next_run_time"]) - served.now()
    assert timedelta(seconds=590) - served.slack < due_in <= timedelta(seconds=601) + served.slack
    served.wait_for("/jobs", lambda jobs: updated in jobs, 2)
    listed = served.request("GET", "/jobs")
    assert (listed.status_code, listed.headers["Content-Type"]) == (200, "application/json")
    assert all(shown.keys() >= KEYS for shown in listed.json())


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, {"data": b"no json", "headers": HEADERS}),
        (400, {"data": b'{"name": "a", "name": "b"}', "headers": HEADERS}),
        (400, {"data": b'{"delay": NaN}', "headers": HEADERS}),
        (400, {"data": b"[" * 40 + b"]" * 40, "headers": HEADERS}),
        (400, {"data": b'"\xff"', "headers": HEADERS}),
        (400, {"data": b"", "headers": HEADERS}),
        (415, {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
        (415, {"data": b"{}"}),
        (413, {"data": b'{"name": "' + b"x" * 300_000 + b'"}', "headers": HEADERS}),
        (422, {"body": []}),
        (422, {"body": {}}),
        (422, {"body": {"name": 1, "request": "x", "trigger": []}}),
        (
            422,
            {
                "body": {
                    "name": "a",
                    "request": {"url": "ftp://example.com/"},
                    "trigger": {"delay": 5},
                }
            },
        ),
        (
            422,
            {
                "body": {
                    "name": "a",
                    "request": {"url": "http://example.com/"},
                    "trigger": {"delay": "5"},
                }
            },
        ),
        (
            422,
            {
                "body": {
                    "name": "a",
                    "request": {"url": "http://example.com/"},
                    "trigger": {"delay": 5},
                    "unknown": 1,
                }
            },
        ),
    ],
)
def test_what_is_wrong_is_refused_with_a_problem(
    served: Served, status: int, sent: dict[str, Any]
) -> None:
    answer = served.post("/jobs", **sent)
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    problem = answer.json()
    assert (problem["status"], bool(problem["title"]), bool(problem["detail"])) == (
        status,
        True,
        True,
    )
    assert ("errors" in problem) == (status == 422)


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
        "/jobs/nonsense",
        "/jobs/key:none",
        "/jobs/%00",
        "/nowhere",
    ],
)
def test_what_is_not_there_is_a_404(served: Served, path: str) -> None:
    answer = served.request("GET", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
