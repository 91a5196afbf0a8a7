"""POST /runs/retry: all that failed or was missed, each once."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.state import MAX_UNFINISHED_RUNS
from chalicelib.usecases.retry_failed import FARTHEST, MOST_UNFINISHED, STEP
from tests.api.conftest import Api, job
from tests.api.test_list_jobs import next_path
from tests.cloud import client_error
from tests.environment import ok, status

PATH = "/runs/retry"


def retry_all(api: Api, path: str = PATH) -> list[int]:
    """Follow the Links to the end; return how many runs each page retried."""
    retried = []
    while path:
        answer = api.post(path)
        assert answer.status == 200, answer.text
        retried.append(answer.json["retried"])
        path = next_path(answer)
    return retried


def planned(api: Api) -> list[tuple[datetime, str]]:
    """Return the retries that wait: when each is sent, and its job."""
    states = [
        (job_id, json.loads(item["state"]["S"]))
        for (job_id, part), item in api.env.cloud.tables["jobs"].items()
        if part == "state"
    ]
    return sorted(
        (datetime.fromisoformat(run["planned_at"]), job_id)
        for job_id, state in states
        for run in state.get("runs", [])
        if "planned_at" in run
    )


def fail(api: Api, count: int = 1, **changes: Any) -> list[str]:
    """Have jobs fail, all at once, and return their ids."""
    api.env.target = lambda sent: status(500)
    fields = {"trigger": {"delay": 1}, "retry": {"max_attempts": 1}, **changes}
    made = []
    for start in range(0, count, 100):
        jobs = [job(**fields)] * min(100, count - start)
        made += [
            one["job"]["id"] for one in api.post("/jobs/batch", {"jobs": jobs}).json["results"]
        ]
    api.env.advance(seconds=30)
    api.env.target = lambda sent: ok()
    api.env.sent.clear()
    return made


def test_all_that_failed_is_retried_once_a_hundred_at_a_time_and_ten_a_second(api: Api) -> None:
    made = fail(api, 103)
    begun = api.env.now
    assert retry_all(api) == [100, 3]
    times, jobs = zip(*planned(api), strict=True)
    # One after the other through all pages, the last to fail first.
    assert [at - begun for at in times] == [STEP * number for number in range(103)]
    assert jobs == tuple(run["job_id"] for run in listed(api))
    assert sorted(jobs) == sorted(made)
    assert sum(retry_all(api)) == 0
    api.env.advance(minutes=1)
    assert len(api.env.sent) == 103
    assert sum(retry_all(api)) == 0
    assert all(run["retried_by"] == f"{run['id']}-r1" for run in listed(api))


def listed(api: Api) -> list[dict[str, Any]]:
    runs, path = [], "/runs?limit=100"
    while path:
        answer = api.get(path)
        runs += answer.json
        path = next_path(answer)
    return runs


@pytest.mark.parametrize("follows", [True, False])
def test_a_repeat_retries_none_again_and_sends_no_more_at_a_time(api: Api, follows: bool) -> None:
    """With the Link or without: what the first call queued is sent before."""
    fail(api, 102)
    first = api.post(PATH)
    path = next_path(first) if follows else PATH
    assert [first.json["retried"], *(api.post(path).json["retried"] for _ in "ab")] == [100, 2, 0]
    times = [at for at, _ in planned(api)]
    assert all(after - at == STEP for at, after in itertools.pairwise(times))


def test_a_retry_that_fails_is_retried_by_the_next_call(api: Api) -> None:
    (job_id,) = fail(api)
    for number in range(1, 4):
        api.env.target = lambda sent: status(500)
        assert api.post(PATH).json == {"retried": 1, "left": 0}
        api.env.advance(seconds=2)
        assert len(api.get(f"/jobs/{job_id}/runs").json) == number + 1


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?status=missed", "m"),
        ("?since={2}", "m32"),
        ("?until={2}", "1"),
        ("?until={3}&since={2}&status=failed", "2"),
        ("?label=team:a", "31"),
        ("?label=team:b:c", "2"),
        ("?label=team:a&since={2}", "3"),
        ("?since=2026-11-23T12:00:00Z", ""),
    ],
)
def test_only_what_the_filters_ask_for_is_retried(api: Api, query: str, wanted: str) -> None:
    jobs = {
        name: fail(api, labels={"team": team})[0]
        for name, team in (("1", "a"), ("2", "b:c"), ("3", "a"))
    }
    ends = ["", *(api.get(f"/jobs/{jobs[name]}/runs").json[0]["finished_at"] for name in "123")]
    jobs["m"] = api.register(misfire_grace=1)["id"]
    api.env.cloud.messages.clear()
    api.env.advance(minutes=3)
    assert sum(retry_all(api, PATH + query.format(*ends))) == len(wanted)
    assert [job_id for _, job_id in planned(api)] == [jobs[name] for name in wanted]


def test_what_was_cancelled_or_is_no_more_is_left_out(api: Api) -> None:
    deleted, expired = fail(api), fail(api)
    api.delete(f"/jobs/{deleted[0]}")
    api.env.now += timedelta(days=30, minutes=1)
    api.env.target = lambda sent: status(503)
    cancelled = f"/jobs/{api.register(trigger={'delay': 0})['id']}"
    api.env.advance(seconds=2)
    run = api.get(f"{cancelled}/runs").json[0]["id"]
    assert api.delete(f"{cancelled}/runs/{run}").json["status"] == "failed"
    assert [run["id"] for run in api.get("/runs").json] == [run]
    assert retry_all(api) == [0]
    assert expired


def test_a_job_with_many_failed_runs_keeps_room_for_its_occurrences(api: Api) -> None:
    job_id = api.register(trigger={"cron": "* * * * *"}, retry={"max_attempts": 1})["id"]
    api.env.target = lambda sent: status(500)
    api.env.advance(minutes=20)
    assert MOST_UNFINISHED < MAX_UNFINISHED_RUNS
    first = api.post(PATH)
    assert first.json == {"retried": MOST_UNFINISHED, "left": 20 - MOST_UNFINISHED}
    assert api.post(PATH).json == {"retried": 0, "left": 20 - MOST_UNFINISHED}
    api.env.target = lambda sent: ok()
    api.env.advance(seconds=10)
    assert api.post(PATH).json == {"retried": 20 - MOST_UNFINISHED, "left": 0}
    api.env.advance(seconds=10)
    runs = api.get(f"/jobs/{job_id}/runs?status=succeeded&limit=100").json
    assert [run["cause"] for run in runs] == ["retry"] * 20


def test_a_call_that_runs_out_of_time_leads_on_to_what_it_left(api: Api) -> None:
    fail(api, 30)
    writes: list[int] = []

    def slow(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            writes.append(1)
            api.env.now += timedelta(seconds=1)

    api.env.cloud.before = slow
    first = api.post(PATH)
    assert first.json["retried"] == len(writes) == 11
    assert retry_all(api, next_path(first)) == [11, 8]
    assert len({job_id for _, job_id in planned(api)}) == 30


def test_a_call_that_reads_slowly_leads_on(api: Api) -> None:
    fail(api, 30)

    def slow(operation: str, request: dict[str, Any]) -> None:
        if operation == "Query" and "IndexName" not in request:
            api.env.now += timedelta(seconds=0.5)

    api.env.cloud.before = slow
    pages = retry_all(api)
    assert (sum(pages), max(pages) < 30) == (30, True)


def test_a_call_that_failed_in_part_is_repeated_and_nothing_is_retried_twice(api: Api) -> None:
    fail(api, 10)
    writes: list[int] = []

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            writes.append(1)
            if len(writes) > 4:
                raise client_error("InternalServerError", operation, 500)

    api.env.cloud.before = refuse
    answer = api.post(PATH)
    assert (answer.status, answer.problem["unknown"]) == (503, True)
    api.env.cloud.before = lambda operation, request: None
    assert api.post(PATH).json["retried"] == 6
    assert len(planned(api)) == 10


def test_a_run_that_another_call_retries_meanwhile_is_retried_once(api: Api) -> None:
    (job_id,) = fail(api)

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            api.env.cloud.before = lambda operation, request: None
            assert api.post(PATH).json["retried"] == 1
            api.env.advance(seconds=2)

    api.env.cloud.before = before
    assert api.post(PATH).json["retried"] == 0
    assert len(api.get(f"/jobs/{job_id}/runs").json) == 2


def forged(position: str) -> str:
    """Return a cursor for a position: its digest is no secret."""
    digest = hashlib.sha256(json.dumps(["local", PATH, [], position]).encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(f"{digest}{position}".encode()).decode().rstrip("=")


def test_no_cursor_puts_retries_off_for_more_than_an_hour(api: Api) -> None:
    (job_id,) = fail(api)
    before = f"2027-01-01T00:00:00.000000Z#failed#{job_id}#20270101T000000Z#0000000001~000001"
    answer = api.post(f"{PATH}?cursor={forged(f'9999-01-01T00:00:00.000000Z/{before}')}")
    assert answer.json["retried"] == 1
    assert [at for at, _ in planned(api)] == [api.env.now + FARTHEST]
    # No message can wait for so long: the sweeper arms it.
    api.env.advance_to(api.env.now + FARTHEST + timedelta(seconds=1))
    assert [sent.at for sent in api.env.sent] == [answered(api, job_id)]


def answered(api: Api, job_id: str) -> datetime:
    run = api.get(f"/jobs/{job_id}/runs").json[0]
    assert run["lateness_ms"] < 100
    return datetime.fromisoformat(run["started_at"])


@pytest.mark.parametrize("position", ["x", "x/y", "2026-11-23T10:00:00.000000Z/y", "/"])
def test_a_forged_cursor_is_refused(api: Api, position: str) -> None:
    assert api.post(f"{PATH}?cursor={forged(position)}").status == 400


@pytest.mark.parametrize(
    "query",
    ["status=succeeded", "since=yesterday", "until=2026-11-23T10:00:00", "label=team", "limit=5"],
)
def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    assert api.post(f"{PATH}?{query}").fields == [query.partition("=")[0]]


def test_filters_in_a_body_are_refused_and_nothing_is_retried(api: Api) -> None:
    fail(api)
    before = planned(api)
    answer = api.post(PATH, {"label": "team:billing"})
    assert (answer.status, "in the query" in answer.json["detail"]) == (422, True)
    assert planned(api) == before
    assert api.post(PATH, {}).status == 200
