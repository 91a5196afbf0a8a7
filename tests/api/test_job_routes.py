"""GET and DELETE /jobs/{id}; pause, resume, run; runs."""

from __future__ import annotations

import itertools
import re

import pytest

from chalicelib.domain.run import AttemptResult
from tests.api.conftest import Api
from tests.api.test_list_jobs import next_path
from tests.cloud import client_error
from tests.environment import Sent, ok, status


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
    assert paused.json == {**made, "status": "paused", "next_run_time": None}
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


def test_runs_are_filtered_by_status(api: Api) -> None:
    api.env.target = lambda sent: status(404) if sent.at.minute % 2 else ok_body()
    made = api.register(trigger={"cron": "* * * * *"})
    api.env.advance(minutes=10, seconds=5)
    failed = api.get(f"/jobs/{made['id']}/runs?status=failed").json
    assert len(failed) == 5
    assert {run["status"] for run in failed} == {"failed"}


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
    assert (answer.status, answer.json) == (200, {"status": "ok", "version": "0.1.0"})
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
    from chalicelib.api.routing import parts

    parts.use(api.env.scheduling, stage="prod")
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
