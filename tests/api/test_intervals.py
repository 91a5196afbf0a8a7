"""Jobs with a trigger `every`: how they are read, shown, changed and fired."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.run import RunStatus
from tests.api.conftest import Api, job
from tests.environment import status as refused

# The clock of these tests shows 2026-11-23T10:00:00.25Z.
SECOND = timedelta(seconds=1)


def shown(every: int, starts_at: str, **fields: Any) -> dict[str, Any]:
    return {"type": "interval", "fields": {"every": every, "starts_at": starts_at, **fields}}


@pytest.mark.parametrize(
    ("trigger", "starts_at", "first"),
    [
        # From the creation, rounded up to a second, the first one interval later.
        ({}, "2026-11-23T10:01:31Z", "2026-11-23T10:01:31Z"),
        ({"starts_at": None}, "2026-11-23T10:01:31Z", "2026-11-23T10:01:31Z"),
        ({"starts_at": "2026-12-01T10:00:00Z"}, "2026-12-01T10:00:00Z", "2026-12-01T10:00:00Z"),
        (
            {"starts_at": "2026-12-01T10:00:00.1+01:00"},
            "2026-12-01T09:00:01Z",
            "2026-12-01T09:00:01Z",
        ),
        (
            {"starts_at": "2026-12-01T10:00", "timezone": "Europe/Berlin"},
            "2026-12-01T09:00:00Z",
            "2026-12-01T09:00:00Z",
        ),
        ({"starts_at": "2026-12-01 10:00:00"}, "2026-12-01T10:00:00Z", "2026-12-01T10:00:00Z"),
        # The grid of a start that has passed.
        ({"starts_at": "2026-11-23T10:00:00Z"}, "2026-11-23T10:00:00Z", "2026-11-23T10:01:30Z"),
        ({"starts_at": "1970-01-01T00:00:00Z"}, "1970-01-01T00:00:00Z", "2026-11-23T10:01:30Z"),
    ],
)
def test_an_interval_is_shown_with_its_first_occurrence(
    api: Api, trigger: dict[str, Any], starts_at: str, first: str
) -> None:
    job = api.register(trigger={"every": 90, **trigger})
    assert (job["trigger"], job["next_run_time"]) == (shown(90, starts_at), first)
    preview = api.post("/triggers/preview", {"trigger": {"every": 90, **trigger}, "count": 2}).json
    assert preview["trigger"] == job["trigger"]
    assert preview["next_run_times"][0] == first
    for form in (job["trigger"], job["trigger"]["fields"]):
        assert api.register(trigger=form)["trigger"] == job["trigger"]
    assert api.env.cloud.schedules == {}


@pytest.mark.parametrize(
    ("trigger", "fields"),
    [
        *(({"every": every}, ["trigger.every"]) for every in (0, 9, 9.5, 31_536_001, "90", True)),
        ({"every": None}, ["trigger"]),
        ({"every": 10**400}, ["trigger.every"]),
        ({"every": 90, "cron": "* * * * *"}, ["trigger"]),
        ({"every": 90, "timezone": "UTC"}, ["trigger.timezone"]),
        ({"every": 90, "timezone": 5}, ["trigger.timezone"]),
        (
            {"every": 90, "timezone": "UTC", "starts_at": "2026-12-01T10:00:00Z"},
            ["trigger.timezone"],
        ),
        ({"every": 9, "starts_at": "soon"}, ["trigger.every", "trigger.starts_at"]),
        ({"every": 90, "starts_at": 5}, ["trigger.starts_at"]),
        ({"every": 90, "starts_at": "2026-02-30T10:00:00Z"}, ["trigger.starts_at"]),
        ({"every": 90, "starts_at": "1969-12-31T10:00:00Z"}, ["trigger.starts_at"]),
        ({"every": 90, "starts_at": "2036-11-24T10:00:00Z"}, ["trigger.starts_at"]),
        (
            {"every": 90, "starts_at": "2027-03-28T02:30", "timezone": "Europe/Berlin"},
            ["trigger.starts_at"],
        ),
        ({"every": 90, "starts_at": "2026-12-01T10:00", "timezone": "Mars"}, ["trigger.timezone"]),
        ({"delay": 5, "starts_at": "2026-12-01T10:00:00Z"}, ["trigger.starts_at"]),
        ({"each": 90}, ["trigger.each"]),
        ({"type": "interval", "fields": {"cron": "* * * * *"}}, ["trigger.fields"]),
        ({"type": "interval", "fields": {"every": 90, "at": 5}}, ["trigger.fields.at"]),
    ],
)
def test_every_wrong_field_of_an_interval_is_named(
    api: Api, trigger: dict[str, Any], fields: list[str]
) -> None:
    assert api.post("/triggers/preview", {"trigger": trigger}).fields == fields


def test_an_error_says_what_to_write_instead(api: Api) -> None:
    def said(trigger: dict[str, Any]) -> str:
        return str(api.post("/triggers/preview", {"trigger": trigger}).problem["detail"])

    assert "a whole number of seconds from 10 to 31536000" in said({"every": "5m"})
    assert "leave it out, or give starts_at or ends_at without an offset" in said(
        {"every": 90, "timezone": "Europe/Berlin"}
    )
    assert "goes with cron or every, not with date" in said(
        {"date": "2026-12-01T10:00:00Z", "starts_at": "2026-12-01T10:00:00Z"}
    )
    assert "give exactly one of delay, date, cron, every" in said({})
    assert "did you mean every?" in said({"evry": 90})


def sent_at(api: Api) -> list[datetime]:
    return [sent.at for sent in api.env.sent]


@pytest.mark.parametrize("seconds", [10, 900, 1000])
def test_an_interval_fires_on_its_seconds_without_a_schedule(api: Api, seconds: int) -> None:
    """Also if it is longer than a message can wait: then the sweeper arms each occurrence."""
    every = seconds * SECOND
    job = api.register(trigger={"every": seconds})
    first = datetime.fromisoformat(job["next_run_time"])
    # A message may come a second early.
    api.env.advance_to(first + 5 * every - 2 * SECOND)
    times = sent_at(api)
    assert len(times) == 5
    for number, at in enumerate(times):
        assert first + number * every <= at < first + number * every + SECOND
    named = [sent.headers["Resona-Scheduled-Time"] for sent in api.env.sent]
    upcoming = api.get("/upcoming?hours=1").json["occurrences"]
    following = first + 5 * every
    assert upcoming[0]["scheduled_time"] == f"{following:%Y-%m-%dT%H:%M:%SZ}"
    assert named == [f"{first + number * every:%Y-%m-%dT%H:%M:%SZ}" for number in range(5)]
    assert api.env.cloud.schedules == {}


def test_a_lost_message_is_a_row_of_missed_occurrences_and_the_interval_goes_on(api: Api) -> None:
    job = api.register(trigger={"every": 10})
    first = datetime.fromisoformat(job["next_run_time"])
    api.env.advance_to(first + 11 * SECOND)
    api.env.cloud.messages.clear()
    api.env.advance_to(first + 200 * SECOND)
    runs = api.get(f"/jobs/{job['id']}/runs?limit=100").json
    missed = [run for run in runs if run["status"] == RunStatus.MISSED]
    assert len(missed) == 1
    assert missed[0]["scheduled_time"] == "2026-11-23T10:00:31Z"
    # Found 30 to 90 s after it was due; then one run for each occurrence again.
    assert 3 <= missed[0]["missed_count"] <= 9
    assert len(runs) - 1 + missed[0]["missed_count"] == 21


def test_the_same_interval_sent_again_goes_on_as_it_was(api: Api) -> None:
    """So a deployment may register its jobs again and again."""
    body = {"name": "n", "request": {"url": "https://example.com/"}, "trigger": {"every": 3600}}
    made = api.put("/jobs/key:report", body).json
    api.env.advance(seconds=100)
    assert api.put("/jobs/key:report", body).json["next_run_time"] == made["next_run_time"]
    offset = {"every": 3600.0, "starts_at": "2026-11-23T12:00:01+01:00"}
    again = api.patch(f"/jobs/{made['id']}", {"trigger": offset}).json
    assert (again["trigger"], again["next_run_time"]) == (made["trigger"], "2026-11-23T11:00:01Z")
    other = api.patch(f"/jobs/{made['id']}", {"trigger": {"every": 60}}).json
    assert other["trigger"] == shown(60, "2026-11-23T10:02:41Z")
    assert other["next_run_time"] == "2026-11-23T10:02:41Z"


def test_a_resumed_interval_keeps_its_seconds(api: Api) -> None:
    job = api.register(trigger={"every": 60})
    api.post(f"/jobs/{job['id']}/pause")
    api.env.advance(seconds=150)
    resumed = api.post(f"/jobs/{job['id']}/resume").json
    assert resumed["next_run_time"] == "2026-11-23T10:03:01Z"


BOUNDS = {"ends_at": "2026-11-23T10:00:40Z", "max_runs": 5}


def test_bounds_are_shown_only_where_they_were_given(api: Api) -> None:
    cron = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}
    sent = {**cron, "starts_at": "2027-01-01T00:00", "ends_at": "2027-03-31T09:00:00.9+02:00"}
    job = api.register(trigger={**sent, "max_runs": 3.0})
    fields = {
        **cron,
        "starts_at": "2026-12-31T23:00:00Z",
        "ends_at": "2027-03-31T07:00:00Z",
        "max_runs": 3,
    }
    assert job["trigger"] == {"type": "cron", "fields": fields}
    assert job["next_run_time"] == "2027-01-01T08:00:00Z"
    preview = api.post("/triggers/preview", {"trigger": sent, "count": 100}).json
    assert preview["next_run_times"][-1] == "2027-03-31T07:00:00Z"
    none = dict.fromkeys(("starts_at", "ends_at", "max_runs"))
    assert api.register(trigger={**cron, **none})["trigger"]["fields"] == cron


@pytest.mark.parametrize(
    ("trigger", "field", "words"),
    [
        ({"max_runs": 0}, "max_runs", "from 1 to 1000000"),
        ({"max_runs": 1_000_001}, "max_runs", "from 1 to 1000000"),
        ({"max_runs": "3"}, "max_runs", "from 1 to 1000000"),
        ({"max_runs": True}, "max_runs", "from 1 to 1000000"),
        ({"ends_at": 5}, "ends_at", "an ISO 8601 date and time"),
        ({"ends_at": "soon"}, "ends_at", "a date and time as"),
        ({"ends_at": "2026-11-23T10:00:00Z"}, "ends_at", "has passed"),
        (
            {"ends_at": "2026-12-01T10:00:00Z", "starts_at": "2026-12-02T10:00:00Z"},
            "ends_at",
            "the first occurrence, 2026-12-02T10:00:00Z; give that or a later one",
        ),
        # The time of the first occurrence, not that of `starts_at`.
        (
            {
                "starts_at": "2026-11-23T10:00:30Z",
                "ends_at": "2026-11-23T10:00:29Z",
                "exclude": [],
            },
            "ends_at",
            "the first occurrence, 2026-11-23T10:0",
        ),
        (
            {"ends_at": "2026-11-23T10:00:30Z"},
            "ends_at",
            "is before the first occurrence, 2026-11-23T10:01:0",
        ),
    ],
)
@pytest.mark.parametrize("kind", [{"cron": "* * * * *"}, {"every": 60}])
def test_bounds_without_an_occurrence_are_refused(
    api: Api, kind: dict[str, Any], trigger: dict[str, Any], field: str, words: str
) -> None:
    for answer in (
        api.post("/triggers/preview", {"trigger": {**kind, **trigger}}),
        api.post("/jobs", job(trigger={**kind, **trigger})),
    ):
        assert answer.fields == [f"trigger.{field}"]
        assert words in answer.problem["detail"]


@pytest.mark.parametrize("kind", [{"delay": 5}, {"date": "2026-12-01T10:00:00Z"}])
def test_what_is_due_once_has_no_bounds(api: Api, kind: dict[str, Any]) -> None:
    answer = api.post("/triggers/preview", {"trigger": {**kind, **BOUNDS}})
    assert answer.fields == ["trigger.ends_at", "trigger.max_runs"]


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED])
def test_a_job_is_over_when_its_last_run_is(api: Api, status: RunStatus) -> None:
    """Three times within the bound: 10:00:11, 10:00:21 and 10:00:31."""
    if status is RunStatus.FAILED:
        api.env.target = lambda sent: refused(404)
    job = api.register(trigger={"every": 10, **BOUNDS})
    path = f"/jobs/{job['id']}"
    api.env.advance(seconds=35)
    shown = api.get(path).json
    wanted = "completed" if status is RunStatus.SUCCEEDED else "failed"
    assert (shown["status"], shown["next_run_time"]) == (wanted, None)
    assert [run["status"] for run in api.get(f"{path}/runs").json] == [status] * 3
    assert api.get("/upcoming").json["occurrences"] == []
    assert api.post(f"{path}/run").status == 202
    assert api.post(f"{path}/pause").status == api.post(f"{path}/resume").status == 409
    changed = api.patch(path, {"request": {"url": "https://example.com/2"}})
    assert changed.status == 409
    assert "new trigger" in changed.problem["detail"]
    # The same trigger in another form is no new one.
    same = {"every": 10, "ends_at": "2026-11-23T11:00:40+01:00", "max_runs": 5}
    assert api.patch(path, {"trigger": same}).json["status"] == wanted
    again = api.patch(path, {"trigger": {"every": 10, "max_runs": 1}}).json
    assert (again["status"], again["next_run_time"]) == ("active", "2026-11-23T10:00:46Z")
    api.env.advance(seconds=30)
    assert len(api.get(f"{path}/runs").json) == 5
    assert api.get(path).json["next_run_time"] is None


def test_upcoming_counts_from_page_to_page(api: Api) -> None:
    api.register(trigger={"every": 10, "max_runs": 5})
    api.env.advance(seconds=15)
    page = api.get("/upcoming?limit=3")
    times = [one["scheduled_time"] for one in page.json["occurrences"]]
    cursor = page.headers["Link"].split("cursor=")[1].split(">")[0]
    rest = api.get(f"/upcoming?limit=3&cursor={cursor}").json["occurrences"]
    times += [one["scheduled_time"] for one in rest]
    assert times == [f"2026-11-23T10:00:{second}Z" for second in (21, 31, 41, 51)]


def test_the_schedule_of_a_cron_that_has_ended_is_deleted(api: Api) -> None:
    job = api.register(trigger={"cron": "0-40/5 0-22 * * *", "max_runs": 2})
    assert len(api.env.cloud.schedules) == 1
    api.env.advance(minutes=20)
    assert len(api.env.sent) == 2
    assert api.get(f"/jobs/{job['id']}").json["status"] == "completed"
    # It is young, so it may belong to a job that is just being written.
    api.env.advance(minutes=10)
    assert api.env.cloud.schedules == {}


def early(api: Api, seconds: float) -> list[float]:
    """Let time pass, and return how many seconds before its time each message came."""
    ahead, deliver = [], api.env.deliver

    def watched(name: str) -> None:
        at = datetime.fromisoformat(json.loads(api.env.cloud.messages[name].body)["at"])
        ahead.append((at - api.env.now).total_seconds())
        deliver(name)

    api.env.deliver = watched  # type: ignore[method-assign]  # the environment calls it by its name
    api.env.advance(seconds=seconds)
    return ahead


def test_messages_come_just_before_their_time_so_that_nobody_is_paid_for_waiting(api: Api) -> None:
    api.register(trigger={"every": 20})
    api.env.advance(seconds=45)
    ahead = early(api, 200)
    assert len(ahead) == 10
    assert all(0.35 <= seconds <= 0.45 for seconds in ahead)


def test_a_repeated_message_begets_no_others(api: Api) -> None:
    api.register(trigger={"every": 20})
    for _ in range(3):
        api.env.advance(seconds=30)
        (name,) = api.env.cloud.messages
        api.env.cloud.messages["again"] = replace(api.env.cloud.messages[name])
    api.env.advance(seconds=200)
    assert len(api.env.cloud.messages) == 1
    times = sent_at(api)
    assert len(times) == len(set(times)) == 14
