"""GET and DELETE /jobs/{id}; pause, resume, run; runs."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import Attempt, AttemptResult, Response, RunStatus, RunUpdate
from tests.api.conftest import Api
from tests.api.test_list_jobs import next_path
from tests.cloud import client_error
from tests.environment import START, Sent, ok, status


def test_a_job_shows_the_result_of_its_run(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    body = api.get(f"/jobs/{made['id']}").json
    assert (body["status"], body["next_run_time"]) == ("completed", None)
    ulid = made["id"].removeprefix("job_")
    assert body["result"] == {
        "run_id": f"run_{ulid}-1-20261123T100006Z",
        "status": "succeeded",
        "scheduled_time": "2026-11-23T10:00:06Z",
        "started_at": "2026-11-23T10:00:06.000Z",
        "finished_at": "2026-11-23T10:00:06.040Z",
        "attempts": 1,
        "status_code": 200,
        "headers": {"content-type": "text/plain"},
        "body": "ok",
        "truncated": False,
        "error": None,
    }


def test_a_job_is_found_by_its_key(api: Api) -> None:
    made = api.register(key="nightly.report")
    assert api.get("/jobs/key:nightly.report").json == made
    assert api.post("/jobs/key:nightly.report/pause").json["status"] == "paused"
    assert api.delete("/jobs/key:nightly.report").status == 204


def test_deleting_again_is_not_found(api: Api) -> None:
    made = api.register()
    answer = api.delete(f"/jobs/{made['id']}")
    assert (answer.status, answer.text) == (204, "")
    assert api.delete(f"/jobs/{made['id']}").status == 404
    assert api.get(f"/jobs/{made['id']}").status == 404
    assert api.get("/jobs").json == []


def test_runs_disappear_with_their_job(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    run = api.get(f"/jobs/{made['id']}/runs").json[0]
    api.delete(f"/jobs/{made['id']}")
    assert api.get(f"/jobs/{made['id']}/runs").status == 404
    assert api.get(f"/jobs/{made['id']}/runs/{run['id']}").status == 404


def test_pause_and_resume(api: Api) -> None:
    made = api.register(trigger={"date": "2026-12-01T10:00:00Z"})
    paused = api.post(f"/jobs/{made['id']}/pause")
    assert paused.status == 200
    pause = {"since": "2026-11-23T10:00:00Z", "until": None, "reason": None, "by": None}
    assert paused.json == {**made, "status": "paused", "next_run_time": None, "pause": pause}
    assert api.post(f"/jobs/{made['id']}/pause").json == paused.json
    resumed = api.post(f"/jobs/{made['id']}/resume")
    assert resumed.json == made
    assert api.post(f"/jobs/{made['id']}/resume").json == made
    assert len(api.env.cloud.schedules) == 1


def test_a_one_time_job_whose_date_has_passed_is_not_resumed(api: Api) -> None:
    made = api.register()
    api.post(f"/jobs/{made['id']}/pause")
    api.env.advance(seconds=30)
    answer = api.post(f"/jobs/{made['id']}/resume")
    assert answer.status == 409
    assert "new trigger" in answer.problem["detail"]


def test_a_completed_job_is_not_paused(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    assert api.post(f"/jobs/{made['id']}/pause").status == 409
    assert api.post(f"/jobs/{made['id']}/resume").status == 409


def test_a_job_is_run_now(api: Api) -> None:
    made = api.register(trigger={"date": "2026-12-01T10:00:00Z"})
    answer = api.post(f"/jobs/{made['id']}/run")
    assert answer.status == 202
    queued = answer.json
    assert re.fullmatch(rf"run_{made['id'][4:]}-[0-7][0-9A-HJKMNP-TV-Z]{{25}}", queued["id"])
    assert queued == {
        "id": queued["id"],
        "job_id": made["id"],
        "cause": "manual",
        "status": "queued",
        "scheduled_time": "2026-11-23T10:00:00Z",
        "started_at": None,
        "finished_at": None,
        "lateness_ms": None,
        "attempts": [],
        "next_attempt_at": None,
        "reason": None,
    }
    assert api.get(f"/jobs/{made['id']}/runs").json == [queued]
    api.env.advance(seconds=2)
    body = api.get(f"/jobs/{made['id']}").json
    assert (body["status"], body["next_run_time"]) == ("active", "2026-12-01T10:00:00Z")
    assert body["result"]["run_id"] == queued["id"]


def test_a_run_is_run_once_for_one_idempotency_key(api: Api) -> None:
    made = api.register(trigger={"date": "2026-12-01T10:00:00Z"})
    headers = {"Idempotency-Key": "again"}
    first = api.post(f"/jobs/{made['id']}/run", headers=headers)
    second = api.post(f"/jobs/{made['id']}/run", headers=headers)
    assert (second.status, second.text) == (202, first.text)
    assert second.headers["Idempotency-Replayed"] == "true"
    api.env.advance(minutes=1)
    assert len(api.env.sent) == 1


def test_an_idempotency_key_goes_by_the_job_however_its_path_is_spelled(api: Api) -> None:
    made = api.register(key="nightly", trigger={"date": "2026-12-01T10:00:00Z"})
    ulid = made["id"].removeprefix("job_")
    spelled = ("key:nightly", "key%3Anightly", "%6Bey:night%6Cy", made["id"], f"job%5F{ulid}")
    headers = {"Idempotency-Key": "again"}
    first, *others = (api.post(f"/jobs/{name}/run", headers=headers) for name in spelled)
    assert (first.status, "Idempotency-Replayed" in first.headers) == (202, False)
    for other in others:
        assert (other.status, other.text) == (202, first.text)
        assert other.headers["Idempotency-Replayed"] == "true"
    assert len(api.get(f"/jobs/{made['id']}/runs").json) == 1


def test_an_idempotency_key_says_nothing_of_another_job_that_has_the_job_s_key_now(
    api: Api,
) -> None:
    headers = {"Idempotency-Key": "again"}
    runs = []
    for _ in range(2):
        made = api.register(key="nightly", trigger={"date": "2026-12-01T10:00:00Z"})
        answer = api.post("/jobs/key:nightly/run", headers=headers)
        assert (answer.status, answer.json["job_id"]) == (202, made["id"])
        runs.append(answer.json["id"])
        assert api.delete("/jobs/key:nightly").status == 204
        api.env.advance(seconds=1)
    assert len(set(runs)) == 2
    assert api.post("/jobs/key:nightly/run", headers=headers).status == 404


def test_two_jobs_have_each_a_run_of_the_same_idempotency_key(api: Api) -> None:
    headers = {"Idempotency-Key": "again"}
    for _ in range(2):
        made = api.register(trigger={"date": "2026-12-01T10:00:00Z"})
        answer = api.post(f"/jobs/{made['id']}/run", headers=headers)
        assert (answer.status, answer.json["job_id"]) == (202, made["id"])


@pytest.mark.parametrize(("is_deleted", "is_replayed"), [(False, True), (True, False)])
def test_an_answer_that_the_release_before_kept_by_the_path_as_sent_is_found(
    api: Api, is_deleted: bool, is_replayed: bool
) -> None:
    """It is not taken for that of another job, which has the key now."""
    api.register(key="nightly", trigger={"date": "2026-12-01T10:00:00Z"})
    headers = {"Idempotency-Key": "again"}
    first = api.post("/jobs/key:nightly/run", headers=headers)
    table = api.env.cloud.tables["jobs"]
    (kept,) = (place for place in table if place[0].startswith("idempotency#"))
    bound = json.dumps(["local", "POST", "/jobs/key:nightly/run", "again"])
    old = "idempotency#" + hashlib.sha256(bound.encode()).hexdigest()
    table[(old, *kept[1:])] = {**table.pop(kept), "id": {"S": old}}
    if is_deleted:
        api.delete("/jobs/key:nightly")
        api.register(key="nightly", trigger={"date": "2026-12-01T10:00:00Z"})
    answer = api.post("/jobs/key:nightly/run", headers=headers)
    assert (answer.status, answer.text == first.text) == (202, is_replayed)
    assert ("Idempotency-Replayed" in answer.headers) == is_replayed


def test_the_33rd_unfinished_run_is_refused(api: Api) -> None:
    made = api.register(trigger={"date": "2026-12-01T10:00:00Z"})
    for _ in range(32):
        assert api.post(f"/jobs/{made['id']}/run").status == 202
    assert api.post(f"/jobs/{made['id']}/run").status == 409


def test_a_run_shows_its_attempts_with_their_responses(api: Api) -> None:
    def fail_once(sent: Sent) -> AttemptResult:
        return status(500) if sent.headers["Resona-Attempt"] == "1" else ok_body()

    api.env.target = fail_once
    made = api.register()
    api.env.advance(seconds=10)
    (waiting,) = api.get(f"/jobs/{made['id']}/runs").json
    assert (waiting["status"], waiting["finished_at"]) == ("retrying", None)
    assert waiting["next_attempt_at"] > "2026-11-23T10:00:16"
    api.env.advance(seconds=30)
    (listed,) = api.get(f"/jobs/{made['id']}/runs").json
    assert listed["lateness_ms"] == 0
    assert [attempt["outcome"] for attempt in listed["attempts"]] == ["http_error", "success"]
    assert all("response" not in attempt for attempt in listed["attempts"])
    whole = api.get(f"/jobs/{made['id']}/runs/{listed['id']}").json
    assert whole["attempts"][1]["response"] == {
        "headers": {"content-type": "text/plain"},
        "body": "done",
        "truncated": False,
    }
    assert whole["attempts"][0]["status_code"] == 500
    assert {**whole, "attempts": None} == {**listed, "attempts": None}


def ok_body() -> AttemptResult:
    from tests.environment import ok

    return ok("done")


def test_runs_come_in_pages_without_gap_or_repeat(api: Api) -> None:
    made = api.register(trigger={"cron": "* * * * *"})
    api.env.advance(minutes=25, seconds=5)
    everything = [run["id"] for run in api.get(f"/jobs/{made['id']}/runs").json]
    assert len(everything) == 25
    paged: list[str] = []
    path = f"/jobs/{made['id']}/runs?limit=7"
    while path:
        answer = api.get(path)
        paged += [run["id"] for run in answer.json]
        link = re.search(r"<http://localhost:8000(.*)>", answer.headers.get("Link", ""))
        path = link[1] if link else ""
    assert paged == everything


def test_a_cursor_goes_on_however_the_path_is_spelled(api: Api) -> None:
    api.register(trigger={"cron": "* * * * *"}, key="nightly")
    api.env.advance(minutes=3, seconds=5)
    following = next_path(api.get("/jobs/key:nightly/runs?limit=1"))
    (expected,) = api.get(following).json
    spelled = following.replace("key:nightly", "key%3Anightly")
    assert spelled != following
    assert api.get(spelled).json == [expected]


def test_runs_are_filtered_by_status(api: Api) -> None:
    api.env.target = lambda sent: status(404) if sent.at.minute % 2 else ok_body()
    made = api.register(trigger={"cron": "* * * * *"})
    api.env.advance(minutes=10, seconds=5)
    failed = api.get(f"/jobs/{made['id']}/runs?status=failed").json
    assert len(failed) == 5
    assert {run["status"] for run in failed} == {"failed"}


def test_a_list_of_runs_reads_no_answer_that_it_does_not_show(api: Api) -> None:
    """As much as 16 KiB an attempt, 20 attempts a run: they are read for the run that is shown."""
    secret = "an answer " * 1600
    api.env.target = lambda sent: replace(
        status(503), response=Response({}, secret, truncated=True)
    )
    made = api.register(
        trigger={"cron": "0 * * * *"},
        retry={"max_attempts": 20, "initial_delay": 1, "max_delay": 1},
    )
    api.env.advance(hours=3, minutes=10)
    read: list[str] = []
    cloud = api.env.cloud
    answered = cloud.called

    def called(operation: str, request: dict[str, Any], effect: Callable[[], Any]) -> Any:
        answer = answered(operation, request, effect)
        read.append(json.dumps(answer, default=str))
        return answer

    cloud.called = called  # type: ignore[method-assign]
    for path in (f"/jobs/{made['id']}/runs", f"/jobs/{made['id']}/runs?status=skipped", "/runs"):
        read.clear()
        listed = api.get(path).json
        assert len(listed) == (0 if "skipped" in path else 3)
        assert sum(len(run["attempts"]) for run in listed) == len(listed) * 20
        assert secret not in "".join(read)
        assert sum(map(len, read)) < 60 * 1_500
    read.clear()
    (run, *_) = api.get(f"/jobs/{made['id']}/runs").json
    whole = api.get(f"/jobs/{made['id']}/runs/{run['id']}").json
    assert [attempt["response"]["body"] for attempt in whole["attempts"]] == [secret] * 20
    assert api.get(f"/jobs/{made['id']}").json["result"]["body"] == secret


def test_a_filtered_page_ends_early_by_the_attempts_that_it_reads(api: Api) -> None:
    """150 runs of 20 attempts with long answers: every page is bound, and all lead to the end."""
    made = api.register(trigger={"date": "2026-12-01T10:00:00Z"})
    long = Response({}, random.Random(1).randbytes(2_000).hex(), truncated=True)
    for number in range(150):
        key = RunKey(START.replace(microsecond=0) - timedelta(hours=1, seconds=number), 1)
        for attempt in range(1, 21):
            update = RunUpdate(RunStatus.RETRYING if attempt < 20 else RunStatus.FAILED)
            record = Attempt(
                made["id"],
                key,
                attempt,
                "owner",
                key.due_at,
                key.due_at,
                replace(status(503), response=long),
                update,
            )
            assert api.env.runs.record("local", record, 1)
    cloud, taken = api.env.cloud, list[int]()
    pages, path = list[list[Any]](), f"/jobs/{made['id']}/runs?status=succeeded"
    while path:
        cloud.calls.clear()
        answer = api.get(path)
        pages.append(answer.json)
        taken.append(cloud.calls.count("Query"))
        path = next_path(answer)
    assert pages == [[], []]
    # Ten at a time would be three hundred, and a megabyte at a time fifty.
    assert max(taken) <= 6, taken
    failed = [api.get(f"/jobs/{made['id']}/runs?status=failed&limit=100")]
    failed.append(api.get(next_path(failed[0])))
    ids = [run["id"] for answer in failed for run in answer.json]
    assert (len(ids), len(set(ids)), next_path(failed[1])) == (150, 150, "")
    assert ids == sorted(ids, reverse=True)


def test_a_filter_that_finds_little_asks_for_no_more_pages_than_there_are(api: Api) -> None:
    made = api.register(trigger={"cron": "* * * * *"})
    api.env.advance(hours=5)
    api.env.cloud.calls.clear()
    answer = api.get(f"/jobs/{made['id']}/runs?status=failed&limit=1")
    assert (answer.json, "Link" in answer.headers) == ([], False)
    # Three hundred runs, a hundred at a time: the job, its runs, and what may go on below the last
    # of them.
    assert len(api.env.cloud.calls) <= 10


def test_filtered_runs_come_in_pages_without_gap_or_repeat(api: Api) -> None:
    made = api.register(trigger={"cron": "* * * * *"}, retry={"max_attempts": 1})
    answers = itertools.cycle([status(500), ok(), ok()])
    api.env.target = lambda sent: next(answers)
    api.env.advance(hours=4, minutes=1)
    failed = [run["id"] for run in api.get(f"/jobs/{made['id']}/runs?status=failed&limit=100").json]
    assert len(failed) == 81
    for limit in (1, 2, 27, 80, 81):
        found, path = list[str](), f"/jobs/{made['id']}/runs?status=failed&limit={limit}"
        while path:
            answer = api.get(path)
            assert len(answer.json) <= limit
            found += [run["id"] for run in answer.json]
            path = next_path(answer)
        assert found == failed


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "limit=", "status=done", "colour=red", "limit=1&limit=2"],
)
def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    made = api.register()
    assert api.get(f"/jobs/{made['id']}/runs?{query}").status == 422


@pytest.mark.parametrize(
    "run_id", ["nope", "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z", "%00"]
)
def test_an_unknown_run_is_not_found(api: Api, run_id: str) -> None:
    made = api.register()
    answer = api.get(f"/jobs/{made['id']}/runs/{run_id}")
    assert answer.status == 404
    assert answer.problem["detail"] == "there is no such run"


def test_health_needs_nothing(api: Api) -> None:
    answer = api.get("/health")
    assert (answer.status, answer.json) == (200, {"status": "ok", "version": "0.2.0"})
    assert api.env.cloud.calls == []


def test_a_table_that_does_not_answer_is_a_503_that_says_what_to_do(api: Api) -> None:
    made = api.register()

    def refuse(operation: str, request: dict[str, object]) -> None:
        raise client_error("InternalServerError", operation, 500)

    api.env.cloud.before = refuse
    read = api.get(f"/jobs/{made['id']}")
    assert (read.status, read.headers["Retry-After"]) == (503, "1")
    assert "unknown" not in read.problem
    written = api.post(
        "/jobs", {"name": "x", "request": {"url": "https://example.com/"}, "trigger": {"delay": 5}}
    )
    assert (written.status, written.problem["unknown"]) == (503, True)


def test_an_error_of_ours_shows_nothing_of_itself(api: Api) -> None:
    def fail(operation: str, request: dict[str, object]) -> None:
        raise RuntimeError("secret detail")

    api.env.cloud.before = fail
    answer = api.get("/jobs")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert answer.problem["title"] == "Internal Server Error"


def test_another_stage_needs_a_key(api: Api) -> None:
    from chalicelib.api.routing import backend

    backend.use(api.env.scheduling, stage="prod")
    answer = api.get("/jobs")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.get("/health").status == 200


@pytest.mark.parametrize(
    ("method", "action"), [("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")]
)
def test_if_match_refuses_to_delete_pause_or_resume_what_has_changed(
    api: Api, method: str, action: str
) -> None:
    made = api.register()
    path = f"/jobs/{made['id']}"
    read = api.get(path).headers["ETag"]
    changed = api.patch(path, {"name": "Second"})
    refused = api.call(method, path + action, headers={"If-Match": read})
    assert (refused.status, refused.problem["title"]) == (412, "Precondition Failed")
    assert api.get(path).json == changed.json
    assert api.call(
        method, path + action, headers={"If-Match": changed.headers["ETag"]}
    ).status in (200, 204)


@pytest.mark.parametrize("action", ["", "/pause", "/resume", "/run"])
def test_no_route_takes_a_request_over_256_kib(api: Api, action: str) -> None:
    made = api.register()
    answer = api.post(f"/jobs/{made['id']}{action}", raw=b" " * 262_145)
    assert answer.status == 413
    assert answer.problem["title"] == "Content Too Large"
    assert api.get(f"/jobs/{made['id']}").json == made
