"""POST /jobs/{id}/pause with an end and a reason, and POST /jobs/{id}/skip."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api

HOURLY = {"cron": "0 0-22 * * *"}
NOON = "2026-11-23T12:00:00Z"


def runs(api: Api, path: str) -> list[tuple[str, str, str | None]]:
    """Return the runs of a job by due time, with status and reason."""
    listed = api.get(f"{path}/runs").json
    return [(run["scheduled_time"][11:16], run["status"], run["reason"]) for run in listed][::-1]


def hourly(api: Api, **fields: Any) -> str:
    return f"/jobs/{api.register(trigger=HOURLY, **fields)['id']}"


def test_a_pause_shows_its_end_its_reason_and_who_asked(api: Api) -> None:
    path = hourly(api)
    answer = api.post(f"{path}/pause", {"until": "2026-11-23T13:00:00+01:00", "reason": "holidays"})
    assert answer.status == 200
    assert answer.json["pause"] == {
        "since": "2026-11-23T10:00:00Z",
        "until": NOON,
        "reason": "holidays",
        "by": None,
    }
    assert (answer.json["status"], answer.json["next_run_time"]) == ("paused", None)
    assert api.get(path).json == answer.json
    assert api.get(path).headers["ETag"] == answer.headers["ETag"]


def test_a_job_resumes_at_the_end_of_its_pause_and_fires_what_is_due_then(api: Api) -> None:
    path = hourly(api)
    api.post(f"{path}/pause", {"until": NOON})
    api.env.advance(hours=2, seconds=1)
    job = api.get(path).json
    assert (job["status"], job["pause"]) == ("active", None)
    assert job["next_run_time"] == "2026-11-23T13:00:00Z"
    (sent,) = api.env.sent
    assert 0 <= (sent.at.minute * 60 + sent.at.second) < 1
    assert runs(api, path) == [("12:00", "succeeded", None)]
    api.env.advance(hours=1)
    assert len(api.env.cloud.schedules) == 1, "it has its schedule still"
    assert runs(api, path)[1:] == [("13:00", "succeeded", None)]


def test_a_second_pause_with_a_body_replaces_the_first_and_one_without_does_not(api: Api) -> None:
    path = f"{hourly(api)}/pause"
    first = api.post(path, {"until": NOON, "reason": "holidays"})
    for body in ({"until": NOON, "reason": "holidays"}, {}, None):
        assert api.post(path, body).headers["ETag"] == first.headers["ETag"]
    assert api.post(path, raw=b"{}", headers={"Content-Type": "text/plain"}).status == 200
    api.env.advance(seconds=60)
    later = api.post(path, {"until": "2026-11-23T14:00:00Z"}).json
    assert later["pause"] == {
        "since": "2026-11-23T10:00:00Z",
        "until": "2026-11-23T14:00:00Z",
        "reason": None,
        "by": None,
    }
    endless = api.post(path, {"until": None, "reason": "for good"}).json["pause"]
    assert (endless["until"], endless["reason"]) == (None, "for good")
    api.env.advance(hours=9)
    assert api.env.sent == []


def test_a_job_may_be_resumed_before_the_end_of_its_pause(api: Api) -> None:
    path = hourly(api)
    api.post(f"{path}/pause", {"until": NOON})
    resumed = api.post(f"{path}/resume").json
    assert (resumed["pause"], resumed["next_run_time"]) == (None, "2026-11-23T11:00:00Z")
    api.env.advance(hours=2, seconds=1)
    assert [run[:2] for run in runs(api, path)] == [("11:00", "succeeded"), ("12:00", "succeeded")]


def test_a_date_that_passes_within_a_pause_is_missed_at_its_end(api: Api) -> None:
    path = f"/jobs/{api.register(trigger={'date': '2026-11-23T11:00:00Z'})['id']}"
    api.post(f"{path}/pause", {"until": NOON})
    api.env.advance(hours=1, minutes=30)
    assert runs(api, path) == []
    api.env.advance(hours=1)
    job = api.get(path).json
    assert (job["status"], job["next_run_time"], job["pause"]) == ("failed", None, None)
    assert runs(api, path) == [("11:00", "missed", "paused")]
    run = api.get(f"{path}/runs").json[0]
    assert api.post(f"{path}/runs/{run['id']}/retry").status == 202


def test_a_date_at_the_end_of_a_pause_is_sent(api: Api) -> None:
    path = f"/jobs/{api.register(trigger={'date': NOON})['id']}"
    api.post(f"{path}/pause", {"until": NOON})
    api.env.advance(hours=3)
    assert runs(api, path) == [("12:00", "succeeded", None)]


def test_a_cron_that_ends_within_a_pause_is_completed_at_its_end(api: Api) -> None:
    path = f"/jobs/{api.register(trigger={**HOURLY, 'ends_at': '2026-11-23T11:30:00Z'})['id']}"
    api.post(f"{path}/pause", {"until": NOON})
    api.env.advance(hours=3)
    assert (api.get(path).json["status"], runs(api, path)) == ("completed", [])


def test_a_job_is_not_paused_until_a_date_when_nothing_is_due_any_more(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    assert api.post(f"/jobs/{made['id']}/pause", {"until": NOON}).status == 409


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"until": "2026-11-23T10:00:00Z"}, ["until"]),
        ({"until": "2026-11-23T09:00:00"}, ["until"]),
        ({"until": "2036-11-24T10:00:00Z"}, ["until"]),
        ({"until": "2026-02-30T10:00:00Z"}, ["until"]),
        ({"until": "Monday"}, ["until"]),
        ({"until": 1764500000}, ["until"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": "r" * 201}, ["reason"]),
        ({"reason": 1, "until": "tomorrow", "for": "3d"}, ["for", "reason", "until"]),
        ([], [""]),
    ],
)
def test_a_wrong_pause_is_refused(api: Api, body: object, fields: list[str]) -> None:
    path = hourly(api)
    assert api.post(f"{path}/pause", body).fields == fields
    assert api.get(path).json["status"] == "active"


def test_a_pause_with_a_body_of_another_kind_is_refused(api: Api) -> None:
    path = f"{hourly(api)}/pause"
    headers = {"Content-Type": "text/plain"}
    assert api.post(path, {"until": NOON}, headers=headers).status == 415
    assert api.post(path, raw=b"until=noon").status == 400


def test_a_bulk_pause_leaves_the_end_of_a_pause(api: Api) -> None:
    path = hourly(api, labels={"team": "a"})
    api.post(f"{path}/pause", {"until": NOON})
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 0}
    assert api.get(path).json["pause"]["until"] == NOON
    assert api.post("/jobs/resume?label=team:a").json == {"changed": 1}


def test_the_next_occurrences_are_skipped_and_recorded(api: Api) -> None:
    path = hourly(api)
    answer = api.post(f"{path}/skip", {"count": 2})
    assert (answer.status, answer.json["skips"]) == (200, 2)
    assert answer.json["next_run_time"] == "2026-11-23T11:00:00Z"
    assert api.post(f"{path}/skip", {"count": 2.0}).headers["ETag"] == answer.headers["ETag"]
    listed = api.get("/upcoming?hours=4").json["occurrences"]
    assert [one["skipped"] for one in listed] == [True, True, False]
    api.env.advance(hours=1, seconds=1)
    assert api.get(path).json["skips"] == 1
    api.env.advance(hours=2)
    assert runs(api, path) == [
        ("11:00", "skipped", "asked"),
        ("12:00", "skipped", "asked"),
        ("13:00", "succeeded", None),
    ]
    job = api.get(path).json
    assert (job["skips"], len(api.env.sent)) == (0, 1)
    assert api.patch(path, {**job, "name": "sent back"}).status == 200
    assert api.patch(path, {"skips": 1}).fields == ["skips"]


def test_a_skip_is_taken_back(api: Api) -> None:
    path = hourly(api)
    api.post(f"{path}/skip", {"count": 3})
    assert api.post(f"{path}/skip", {"count": 0}).json["skips"] == 0
    api.env.advance(hours=1, seconds=1)
    assert [run[:2] for run in runs(api, path)] == [("11:00", "succeeded")]


def test_a_one_time_job_that_is_skipped_is_completed(api: Api) -> None:
    path = f"/jobs/{api.register()['id']}"
    assert api.post(f"{path}/skip", {"count": 5}).json["skips"] == 5
    api.env.advance(seconds=30)
    job = api.get(path).json
    assert (job["status"], job["skips"], job["result"]) == ("completed", 0, None)
    assert [run[1:] for run in runs(api, path)] == [("skipped", "asked")]
    refused = api.post(f"{path}/skip", {"count": 1})
    assert (refused.status, "new trigger" in refused.problem["detail"]) == (409, True)
    assert api.post(f"{path}/skip", {"count": 0}).status == 200
    assert api.patch(path, {"trigger": {"delay": 5}}).json["skips"] == 0


def test_skips_are_kept_during_a_pause_and_dropped_by_a_new_trigger(api: Api) -> None:
    path = hourly(api)
    api.post(f"{path}/skip", {"count": 1})
    api.post(f"{path}/pause", {"until": NOON})
    assert api.patch(path, {"name": "renamed"}).json["skips"] == 1
    api.env.advance(hours=3, seconds=1)
    assert [run[1] for run in runs(api, path)] == ["skipped", "succeeded"]
    api.post(f"{path}/skip", {"count": 1})
    assert api.patch(path, {"trigger": {"cron": "30 * * * *"}}).json["skips"] == 0


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"count": -1}, ["count"]),
        ({"count": 101}, ["count"]),
        ({"count": "1"}, ["count"]),
        ({"count": 1.5}, ["count"]),
        ({}, ["count"]),
        ({"count": 1, "until": NOON}, ["until"]),
        ([1], [""]),
    ],
)
def test_a_wrong_skip_is_refused(api: Api, body: object, fields: list[str]) -> None:
    path = hourly(api)
    assert api.post(f"{path}/skip", body).fields == fields
    assert api.get(path).json["skips"] == 0


def test_a_notice_is_neither_paused_nor_skipped(api: Api) -> None:
    api.put("/notices/a", {"url": "https://example.com/told"})
    api.post("/notices/a/test")
    notice = api.get("/jobs?kind=notice").json[0]["id"]
    assert api.post(f"/jobs/{notice}/pause", {"until": NOON}).status == 409
    assert api.post(f"/jobs/{notice}/skip", {"count": 1}).status == 409
