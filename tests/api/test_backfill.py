"""POST and DELETE /jobs/{id}/backfill: runs for past occurrences."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.aws.serialization import load_due
from chalicelib.domain.run import AttemptResult
from chalicelib.domain.state import MAX_UNFINISHED_RUNS
from tests.api.conftest import Api
from tests.api.test_preconditions import stored
from tests.cloud import client_error
from tests.environment import Sent, ok, status

DAILY = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}
FIVE_DAYS = {"from": "2026-11-16T00:00:00Z", "to": "2026-11-20T23:59:59.5Z"}
DUE = [f"2026-11-{day}T08:00:00Z" for day in range(16, 21)]


def registered(api: Api, **changes: Any) -> str:
    """Register a job, a daily cron without changes; return its path."""
    return f"/jobs/{api.register(**{'trigger': DAILY, **changes})['id']}"


def due_times(api: Api) -> list[str]:
    """Return the scheduled times of the requests that were sent, in order."""
    return [sent.headers["Resona-Scheduled-Time"] for sent in api.env.sent]


def test_past_occurrences_are_sent_in_order_each_with_its_own_time(api: Api) -> None:
    path = registered(api)
    before = api.get(path).json
    answer = api.post(f"{path}/backfill", FIVE_DAYS)
    assert (answer.status, answer.json) == (202, {"runs": 5})
    shown = {"from": FIVE_DAYS["from"], "to": "2026-11-20T23:59:59Z", "runs": 5, "left": 5}
    assert api.get(path).json["backfill"] == shown
    api.env.advance(seconds=10)
    assert due_times(api) == DUE
    runs = api.get(f"{path}/runs").json
    assert [(run["scheduled_time"], run["cause"], run["status"]) for run in runs] == [
        (at, "backfill", "succeeded") for at in reversed(DUE)
    ]
    # Each is late from the end of the one before, not from its occurrence.
    assert all(run["lateness_ms"] < 1000 for run in runs)
    assert [sent.headers["Resona-Run-Id"] for sent in api.env.sent] == [
        run["id"] for run in reversed(runs)
    ]
    after = api.get(path).json
    assert after["result"]["run_id"] == runs[0]["id"]
    assert after == {**before, "result": after["result"]}
    assert after["backfill"] is None


def test_an_interval_is_backfilled_from_its_start(api: Api) -> None:
    start = "2026-11-23T09:00:10Z"
    path = registered(api, trigger={"every": 90, "starts_at": start, "max_runs": 2})
    answer = api.post(f"{path}/backfill", {"from": "2000-01-01T00:00:00Z", "to": at(9, 4, 40)})
    assert (answer.status, answer.json) == (202, {"runs": 4})
    api.env.advance(seconds=5)
    assert due_times(api) == [start, at(9, 1, 40), at(9, 3, 10), at(9, 4, 40)]


def at(hour: int, minute: int, second: int) -> str:
    return f"2026-11-23T{hour:02}:{minute:02}:{second:02}Z"


def test_bounds_and_the_daylight_saving_rule_hold_and_max_runs_does_not(api: Api) -> None:
    """In Berlin the clocks went back at 01:00Z on 25 October, and from 02:30 to 02:30."""
    night = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst": {"fold": "both"}}
    path = registered(api, trigger={**night, "starts_at": "2026-10-24T12:00:00Z", "max_runs": 1})
    answer = api.post(
        f"{path}/backfill", {"from": "2026-10-20T00:00:00+02:00", "to": "2026-10-26T23:00:00Z"}
    )
    assert answer.json == {"runs": 3}
    api.env.advance(seconds=5)
    days = ("25T00", "25T01", "26T01")
    assert due_times(api) == [f"2026-10-{day}:30:00Z" for day in days]
    assert api.get(path).json["status"] == "active"
    api.env.advance(hours=16)
    assert (len(api.env.sent), api.get(path).json["status"]) == (4, "completed")


def test_a_job_that_has_ended_is_backfilled_and_stays_as_it_ended(api: Api) -> None:
    path = registered(api, trigger={"cron": "* * * * *", "ends_at": "2026-11-23T10:02:00Z"})
    api.env.advance(minutes=3)
    assert api.get(path).json["status"] == "completed"
    api.env.target = lambda sent: status(404)
    answer = api.post(f"{path}/backfill", {"from": at(10, 0, 0), "to": at(10, 3, 0)})
    assert answer.json == {"runs": 3}
    api.env.advance(seconds=5)
    assert len(api.env.sent) == 5
    assert api.get(path).json["status"] == "completed"


def test_a_run_that_fails_is_retried_and_then_the_next_one_follows(api: Api) -> None:
    path = registered(api, retry={"max_attempts": 2, "initial_delay": 30})
    api.env.target = lambda sent: (
        status(503) if sent.headers["Resona-Scheduled-Time"] == DUE[1] else ok()
    )
    api.post(f"{path}/backfill", FIVE_DAYS)
    api.env.advance(seconds=20)
    assert due_times(api) == DUE[:2]
    job = api.get(path).json
    assert (job["backfill"]["left"], job["result"]["scheduled_time"]) == (4, DUE[0])
    api.env.advance(seconds=20)
    assert due_times(api) == [DUE[0], DUE[1], *DUE[1:]]
    runs = api.get(f"{path}/runs").json
    assert [run["status"] for run in runs] == ["succeeded"] * 3 + ["failed", "succeeded"]
    retry = api.post(f"{path}/runs/{runs[3]['id']}/retry").json
    assert (retry["cause"], retry["retry_of"]) == ("retry", runs[3]["id"])
    api.env.advance(seconds=2)
    assert due_times(api)[-1] == DUE[1]


def test_an_occurrence_that_has_its_run_already_gets_another_one(api: Api) -> None:
    path = registered(api, trigger={"cron": "* * * * *"})
    api.env.advance(minutes=1)
    (scheduled,) = api.get(f"{path}/runs").json
    for _ in range(2):
        api.post(f"{path}/backfill", {"from": at(10, 1, 0), "to": at(10, 1, 0)})
        api.env.advance(seconds=2)
    runs = api.get(f"{path}/runs").json
    assert {run["scheduled_time"] for run in runs} == {at(10, 1, 0)}
    assert [run["cause"] for run in runs] == ["backfill", "backfill", "schedule"]
    assert len({run["id"] for run in runs} | {scheduled["id"]}) == 3
    assert {run["id"] for run in api.get("/runs?status=any").json} == {run["id"] for run in runs}


def test_occurrences_come_due_as_usual_meanwhile(api: Api) -> None:
    """A run of the backfill that waits neither overlaps with them nor delays them."""
    path = registered(
        api, trigger={"cron": "* * * * *"}, overlap="skip", retry={"initial_delay": 300}
    )
    api.env.target = lambda sent: (
        status(503) if sent.headers["Resona-Scheduled-Time"] == at(9, 0, 0) else ok()
    )
    api.post(f"{path}/backfill", {"from": at(9, 0, 0), "to": at(9, 1, 0)})
    api.env.advance(minutes=3)
    assert due_times(api) == [at(9, 0, 0), at(10, 1, 0), at(10, 2, 0), at(10, 3, 0)]
    assert api.get(path).json["backfill"]["left"] == 2


def test_a_repeated_message_makes_no_second_run(api: Api) -> None:
    path = registered(api)
    api.post(f"{path}/backfill", FIVE_DAYS)
    (first,) = api.env.cloud.messages.values()
    api.env.advance(seconds=10)
    api.env.firing.fire(load_due(first.body))
    assert due_times(api) == DUE


def test_a_lost_message_is_found_by_the_sweeper(api: Api) -> None:
    path = registered(api)
    api.post(f"{path}/backfill", FIVE_DAYS)
    for _ in DUE:
        api.env.cloud.messages.clear()
        api.env.advance(minutes=2)
    assert due_times(api) == DUE


def delayed(api: Api) -> tuple[str, dict[str, Any]]:
    """Begin a backfill whose second run waits for its next attempt; return path and run."""
    path = registered(api, retry={"initial_delay": 30})
    api.env.target = lambda sent: (
        status(503) if sent.headers["Resona-Scheduled-Time"] == DUE[1] else ok()
    )
    api.post(f"{path}/backfill", FIVE_DAYS)
    api.env.advance(seconds=5)
    (run,) = api.get(f"{path}/runs?status=retrying").json
    return path, run


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("DELETE", "cancelled"),
        ("pause", "superseded"),
        ("request", "superseded"),
        ("trigger", "superseded"),
    ],
)
def test_a_delete_a_pause_and_a_change_end_it(api: Api, act: str, reason: str) -> None:
    path, run = delayed(api)
    if act == "DELETE":
        assert api.delete(f"{path}/backfill").status == 204
    elif act == "pause":
        assert api.post(f"{path}/pause").json["backfill"] is None
    else:
        new = {"request": {"url": "https://example.com/new"}, "trigger": {"cron": "0 7 * * *"}}
        assert api.patch(path, {act: new[act]}).json["backfill"] is None
    assert api.get(path).json["backfill"] is None
    api.env.advance(minutes=5)
    assert due_times(api) == DUE[:2]
    ended = api.get(f"{path}/runs/{run['id']}").json
    assert (ended["status"], ended["reason"]) == ("failed", reason)
    assert api.delete(f"{path}/backfill").problem["detail"] == (
        "no backfill of this job is under way"
    )


def test_a_run_that_was_not_sent_yet_is_skipped(api: Api) -> None:
    path = registered(api)
    api.post(f"{path}/backfill", FIVE_DAYS)
    assert api.delete(f"{path}/backfill").status == 204
    api.env.advance(minutes=2)
    (run,) = api.get(f"{path}/runs").json
    assert (run["status"], run["reason"], run["attempts"]) == ("skipped", "cancelled", [])
    assert api.env.sent == []
    # Another one begins anew.
    assert api.post(f"{path}/backfill", FIVE_DAYS).status == 202
    api.env.advance(seconds=10)
    assert due_times(api) == DUE


@pytest.mark.parametrize(("code", "reason"), [(200, None), (503, "superseded")])
def test_an_attempt_in_flight_is_the_last_one(api: Api, code: int, reason: str | None) -> None:
    path = registered(api)

    def target(sent: Sent) -> AttemptResult:
        assert api.delete(f"{path}/backfill").status == 204
        return ok() if code == 200 else status(code)

    api.env.target = target
    api.post(f"{path}/backfill", FIVE_DAYS)
    api.env.advance(minutes=2)
    (run,) = api.get(f"{path}/runs").json
    wanted = "succeeded" if code == 200 else "failed"
    assert (run["status"], run["reason"], len(run["attempts"])) == (wanted, reason, 1)


def test_a_deleted_job_s_backfill_is_over(api: Api) -> None:
    path, _ = delayed(api)
    api.delete(path)
    api.env.advance(minutes=5)
    assert due_times(api) == DUE[:2]
    assert api.delete(f"{path}/backfill").problem["detail"] == "there is no such job"


def test_another_name_does_not_end_it(api: Api) -> None:
    path, _ = delayed(api)
    assert api.patch(path, {"name": "Another"}).json["backfill"]["left"] == 4
    api.env.target = lambda sent: ok()
    api.env.advance(minutes=1)
    assert due_times(api) == [DUE[0], DUE[1], *DUE[1:]]


def test_a_run_that_is_cancelled_is_followed_by_the_next_one(api: Api) -> None:
    path, run = delayed(api)
    assert api.delete(f"{path}/runs/{run['id']}").json["reason"] == "cancelled"
    api.env.advance(seconds=10)
    assert due_times(api) == DUE
    assert api.get(path).json["backfill"] is None


def test_failures_do_not_count_and_tell_no_channel(api: Api) -> None:
    """Nor does a success end a row of failures."""
    path = registered(api, trigger={"cron": "* * * * *"}, retry={"max_attempts": 1}, pause_after=2)
    api.put("/notices/ops", {"url": "https://example.com/ops"})
    hook = "http://example.com/endpoint"
    api.env.target = lambda sent: status(404) if sent.request.url == hook else ok()
    past = {"from": at(9, 0, 0), "to": at(9, 4, 0)}
    api.post(f"{path}/backfill", past)
    api.env.advance(seconds=10)
    assert [sent.request.url for sent in api.env.sent] == [hook] * 5
    api.env.advance(minutes=1)
    api.env.target = lambda sent: ok()
    api.post(f"{path}/backfill", past)
    api.env.advance(seconds=10)
    state = api.env.state(path.removeprefix("/jobs/"))
    assert (state.status, state.failing.count) == ("active", 1)
    told = [job["labels"]["event"] for job in api.get("/jobs?kind=notice").json]
    assert told == ["run.failed"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["from", "to"]),
        ({"from": FIVE_DAYS["from"]}, ["to"]),
        ({**FIVE_DAYS, "count": 3}, ["count"]),
        ({**FIVE_DAYS, "from": "2026-11-16"}, ["from"]),
        ({**FIVE_DAYS, "to": None}, ["to"]),
        ({**FIVE_DAYS, "to": "2026-11-23T10:00:01Z"}, ["to"]),
        ({**FIVE_DAYS, "from": "2026-11-20T23:59:59.7Z"}, ["to"]),
        ({**FIVE_DAYS, "from": "1969-12-31T23:59:59Z"}, ["from"]),
        ([], [""]),
    ],
)
def test_a_wrong_range_is_refused(api: Api, body: Any, fields: list[str]) -> None:
    path = registered(api)
    before = stored(api)
    assert api.post(f"{path}/backfill", body).fields == fields
    assert stored(api) == before


def test_a_range_without_an_occurrence_is_refused(api: Api) -> None:
    path = registered(api)
    answer = api.post(f"{path}/backfill", {"from": at(8, 0, 1), "to": at(9, 0, 0)})
    assert answer.fields == ["from"]
    assert "no occurrence" in answer.problem["detail"]


def test_more_than_a_thousand_occurrences_are_refused_with_a_range_that_would_do(api: Api) -> None:
    path = registered(api, trigger={"cron": "* * * * *"})
    past = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-23T10:00:00Z"}
    answer = api.post(f"{path}/backfill", past)
    assert answer.fields == ["to"]
    assert "give 2026-11-20T16:39:00Z or earlier" in answer.problem["detail"]
    answer = api.post(f"{path}/backfill", {**past, "to": "2026-11-20T16:39:00Z"})
    assert answer.json == {"runs": 1000}


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("one-time", "POST /jobs/{id}/run "),
        ("paused", "/resume first"),
        ("under way", "DELETE /jobs/{id}/backfill first"),
        ("32 runs", "wait until one has ended"),
        ("notice", "is a notice"),
    ],
)
def test_a_job_that_takes_no_backfill_is_refused_with_what_to_do(
    api: Api, kind: str, advice: str
) -> None:
    path = registered(api, trigger={"delay": 500} if kind == "one-time" else DAILY)
    if kind == "paused":
        api.post(f"{path}/pause")
    elif kind == "under way":
        api.post(f"{path}/backfill", FIVE_DAYS)
    elif kind == "32 runs":
        for _ in range(MAX_UNFINISHED_RUNS):
            api.post(f"{path}/run")
    elif kind == "notice":
        api.put("/notices/ops", {"url": "https://example.com/ops"})
        path = f"/jobs/{api.post('/notices/ops/test').json['id']}"
    before = stored(api)
    answer = api.post(f"{path}/backfill", FIVE_DAYS)
    assert (answer.status, advice in answer.problem["detail"]) == (409, True)
    if kind == "notice":
        assert api.delete(f"{path}/backfill").status == 409
    assert stored(api) == before


def test_an_idempotency_key_gets_the_first_answer_again(api: Api) -> None:
    path = registered(api, key="report")
    key = {"Idempotency-Key": "once"}
    first = api.post(f"{path}/backfill", FIVE_DAYS, headers=key)
    again = api.post("/jobs/key:report/backfill", FIVE_DAYS, headers=key)
    assert (again.status, again.json) == (202, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    other = {**FIVE_DAYS, "from": DUE[0]}
    assert api.post(f"{path}/backfill", other, headers=key).fields == ["Idempotency-Key"]
    api.env.advance(seconds=10)
    assert api.post(f"{path}/backfill", FIVE_DAYS, headers=key).json == first.json
    assert due_times(api) == DUE


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_precondition_that_fails_changes_nothing(api: Api, method: str) -> None:
    path, _ = delayed(api)
    tag = api.get(path).headers["ETag"]
    api.patch(path, {"name": "Another"})
    before = stored(api)
    body = FIVE_DAYS if method == "POST" else None
    assert api.call(method, f"{path}/backfill", body, {"If-Match": tag}).status == 412
    assert stored(api) == before
    tag = api.get(path).headers["ETag"]
    assert api.delete(f"{path}/backfill", headers={"If-Match": tag}).status == 204


def test_a_job_that_was_read_can_be_sent_back(api: Api) -> None:
    path, _ = delayed(api)
    job = api.get(path).json
    assert api.patch(path, {**job, "backfill": None}).fields == ["backfill"]
    assert api.patch(path, {**job, "name": "Another"}).status == 200


def test_a_backfill_whose_answer_was_lost_is_found_though_it_is_over_by_then(api: Api) -> None:
    path = registered(api)
    lost: list[str] = []

    def lose(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and not lost:
            lost.append(operation)
            api.env.advance(minutes=2)
            # The SDK has asked again, and meets the state that the last run's end wrote.
            state = api.env.cloud.tables["jobs"][path.removeprefix("/jobs/"), "state"]
            raise client_error("ConditionalCheckFailedException", operation, Item=state)

    api.env.cloud.after = lose
    assert api.post(f"{path}/backfill", FIVE_DAYS).json == {"runs": 5}
    assert due_times(api) == DUE
    api.env.advance(minutes=2)
    assert due_times(api) == DUE


@pytest.mark.parametrize(("method", "first", "second"), [("POST", 202, 409), ("DELETE", 204, 204)])
def test_of_two_at_once_one_is_done(api: Api, method: str, first: int, second: int) -> None:
    """The second one reads the state before the first writes it."""
    path = registered(api)
    if method == "DELETE":
        api.post(f"{path}/backfill", FIVE_DAYS)
    statuses: list[int] = []

    def ask() -> int:
        return api.call(method, f"{path}/backfill", FIVE_DAYS if method == "POST" else None).status

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation in ("PutItem", "TransactWriteItems"):
            api.env.cloud.before = lambda operation, request: None
            statuses.append(ask())

    api.env.cloud.before = before
    assert (ask(), statuses) == (second, [first])
    api.env.advance(seconds=10)
    assert due_times(api) == (DUE if method == "POST" else [])


def test_days_that_calendars_exclude_are_passed_over(api: Api) -> None:
    api.put("/calendars/off", {"days": ["2026-11-17", "2026-11-20"]})
    path = registered(api, trigger={**DAILY, "exclude": ["off"]})
    assert api.post(f"{path}/backfill", FIVE_DAYS).json == {"runs": 3}
    api.env.advance(seconds=10)
    assert due_times(api) == [DUE[0], DUE[2], DUE[3]]
    assert [run["status"] for run in api.get(f"{path}/runs").json] == ["succeeded"] * 3


def test_a_calendar_that_changes_meanwhile_holds_for_the_runs_that_follow(api: Api) -> None:
    """A day that is excluded when its run ends the one before is passed over; one whose run is
    queued by then is skipped.
    """
    api.put("/calendars/off", {"days": []})
    path = registered(api, trigger={**DAILY, "exclude": ["off"]}, retry={"max_attempts": 1})
    assert api.post(f"{path}/backfill", FIVE_DAYS).json == {"runs": 5}
    api.put("/calendars/off", {"days": ["2026-11-16"]})

    def target(sent: Sent) -> AttemptResult:
        api.put("/calendars/off", {"days": ["2026-11-18/2026-11-19"]})
        return status(404)

    api.env.target = target
    api.env.advance(seconds=10)
    assert due_times(api) == [DUE[1], DUE[4]]
    runs = [(run["scheduled_time"], run["reason"]) for run in api.get(f"{path}/runs").json]
    assert runs == [(DUE[4], None), (DUE[1], None), (DUE[0], "calendar:off")]
    assert api.get(path).json["backfill"] is None


def test_a_calendar_that_cannot_be_read_sends_nothing(api: Api) -> None:
    api.put("/calendars/off", {"days": ["2026-11-17"]})
    path = registered(api, trigger={**DAILY, "exclude": ["off"]})
    calls: list[str] = []

    def fail(operation: str, request: dict[str, Any]) -> None:
        if len(api.env.sent) == 1 and "calendars" in str(request) and len(calls) < 200:
            calls.append(operation)
            raise client_error("InternalServerError", operation, 500)

    api.post(f"{path}/backfill", FIVE_DAYS)
    api.env.cloud.before = fail
    api.env.advance(seconds=5)
    assert calls
    assert due_times(api) == DUE[:1]
    calls += [""] * 200
    api.env.advance(minutes=30)
    assert due_times(api) == [DUE[0], *DUE[2:]]
    runs = [run["reason"] for run in api.get(f"{path}/runs").json]
    assert runs == [None, None, None, "calendar:off", None]
