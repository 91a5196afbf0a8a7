"""POST /jobs/{id}/runs/{run_id}/retry: one run again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.state import MAX_UNFINISHED_RUNS
from tests.api.conftest import Api
from tests.api.test_preconditions import stored
from tests.environment import ok, status


def failed(api: Api, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Register a job whose run fails; return its path and the run."""
    api.env.target = lambda sent: status(500)
    path = f"/jobs/{api.register(**{'retry': {'max_attempts': 1}, **changes})['id']}"
    api.env.advance(seconds=10)
    (run,) = api.get(f"{path}/runs").json
    assert run["status"] == "failed"
    return path, run


def test_a_failed_run_is_sent_again_with_today_s_request_and_the_old_due_time(api: Api) -> None:
    path, run = failed(api)
    api.env.target = lambda sent: ok("mended")
    api.env.advance(hours=3)
    answer = api.post(f"{path}/runs/{run['id']}/retry")
    assert answer.status == 202
    retry = answer.json
    assert (retry["id"], retry["cause"], retry["status"], retry["retry_of"]) == (
        f"{run['id']}-r1",
        "retry",
        "queued",
        run["id"],
    )
    api.env.advance(seconds=1)
    sent = api.env.sent[-1]
    assert (len(api.env.sent), sent.headers["Resona-Run-Id"]) == (2, retry["id"])
    assert sent.headers["Resona-Scheduled-Time"] == run["scheduled_time"]
    ended = api.get(f"{path}/runs/{retry['id']}").json
    assert (ended["status"], ended["scheduled_time"]) == ("succeeded", run["scheduled_time"])
    # It is late from the time it was asked for.
    assert ended["lateness_ms"] < 1000
    assert api.get(f"{path}/runs/{run['id']}").json["retried_by"] == retry["id"]
    shown = [(one["id"], one.get("retried_by")) for one in api.get(f"{path}/runs").json]
    assert shown == [(retry["id"], None), (run["id"], retry["id"])]
    (listed,) = api.get("/runs").json
    assert listed["retried_by"] == retry["id"]
    job = api.get(path).json
    assert (job["status"], job["next_run_time"], job["result"]["run_id"]) == (
        "failed",
        None,
        retry["id"],
    )


def test_today_s_request_is_sent(api: Api) -> None:
    path, run = cron_that_failed(api)
    api.patch(path, {"request": {"url": "https://example.com/mended"}})
    api.post(f"{path}/runs/{run['id']}/retry")
    api.env.advance(seconds=1)
    assert api.env.sent[-1].request.url == "https://example.com/mended"
    assert api.get(path).json["result"]["status"] == "succeeded"


def cron_that_failed(api: Api) -> tuple[str, dict[str, Any]]:
    """Register a cron whose first run fails and whose second succeeds; return path and run."""
    path = f"/jobs/{api.register(trigger={'cron': '* * * * *'}, retry={'max_attempts': 1})['id']}"
    api.env.target = lambda sent: status(404)
    api.env.advance(minutes=1)
    api.env.target = lambda sent: ok()
    api.env.advance(minutes=1)
    run = api.get(f"{path}/runs?status=failed").json[0]
    return path, run


def test_the_retry_is_the_result_though_later_occurrences_have_run_before_it(api: Api) -> None:
    path, run = cron_that_failed(api)
    next_run_time = api.get(path).json["next_run_time"]
    retry = api.post(f"{path}/runs/{run['id']}/retry").json
    api.env.advance(seconds=2)
    job = api.get(path).json
    assert (job["result"]["run_id"], job["next_run_time"]) == (retry["id"], next_run_time)
    api.env.advance(minutes=1)
    assert api.get(path).json["result"]["run_id"] != retry["id"]


def test_no_log_line_calls_a_retry_a_late_occurrence(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    path, run = failed(api)
    api.env.advance(hours=3)
    caplog.set_level(logging.INFO, "resona")
    api.post(f"{path}/runs/{run['id']}/retry")
    api.env.advance(seconds=1)
    (line,) = [vars(record) for record in caplog.records if record.msg == "attempt.ended"]
    assert (line["manual"], line["run_id"]) == (True, f"{run['id']}-r1")
    assert line["lateness_ms"] < 1000


def test_a_missed_run_is_retried_as_one_run(api: Api) -> None:
    path = f"/jobs/{api.register(misfire_grace=1)['id']}"
    api.env.cloud.messages.clear()
    api.env.advance(minutes=3)
    (run,) = api.get(f"{path}/runs").json
    assert run["status"] == "missed"
    assert api.post(f"{path}/runs/{run['id']}/retry").status == 202
    api.env.advance(seconds=1)
    (sent,) = api.env.sent
    assert sent.headers["Resona-Scheduled-Time"] == run["scheduled_time"]


def test_a_repeat_finds_the_retry_that_there_is_whatever_came_of_it(api: Api) -> None:
    path, run = failed(api)
    first = api.post(f"{path}/runs/{run['id']}/retry")
    again = api.post(f"{path}/runs/{run['id']}/retry")
    assert (again.status, again.json) == (202, first.json)
    api.env.advance(seconds=1)
    later = api.post(f"{path}/runs/{run['id']}/retry")
    assert (later.status, later.json["id"], later.json["status"]) == (
        202,
        first.json["id"],
        "failed",
    )
    assert len(api.env.sent) == 2


def test_a_retry_that_failed_is_retried_itself(api: Api) -> None:
    path, run = failed(api)
    identifier = run["id"]
    for number in range(1, 4):
        retry = api.post(f"{path}/runs/{identifier}/retry").json
        assert (retry["id"], retry["retry_of"]) == (f"{run['id']}-r{number}", identifier)
        api.env.advance(seconds=1)
        identifier = retry["id"]
    runs = api.get(f"{path}/runs").json
    assert [one["id"] for one in runs] == [f"{run['id']}-r{n}" for n in (3, 2, 1)] + [run["id"]]
    paged, following = [], f"{path}/runs?limit=1"
    while following:
        page = api.get(following)
        paged += page.json
        link = page.headers.get("Link", "")
        following = link.partition(">")[0].partition("localhost:8000")[2]
    assert paged == runs


def test_a_retry_retries_by_the_policy_of_the_job_and_a_pause_does_not_end_it(api: Api) -> None:
    path, run = failed(api, retry={"max_attempts": 2, "initial_delay": 1})
    api.post(f"{path}/runs/{run['id']}/retry")
    api.env.advance(seconds=5)
    retry = api.get(f"{path}/runs/{run['id']}-r1").json
    assert (retry["status"], len(retry["attempts"])) == ("failed", 2)


def test_a_paused_job_s_run_is_retried(api: Api) -> None:
    path, run = cron_that_failed(api)
    api.post(f"{path}/pause")
    assert api.post(f"{path}/runs/{run['id']}/retry").status == 202
    api.env.advance(seconds=1)
    assert api.get(f"{path}/runs/{run['id']}-r1").json["status"] == "succeeded"
    assert api.get(path).json["status"] == "paused"


def test_an_idempotency_key_gets_the_first_answer_again(api: Api) -> None:
    path, run = failed(api)
    key = {"Idempotency-Key": "once"}
    first = api.post(f"{path}/runs/{run['id']}/retry", headers=key)
    api.env.advance(seconds=1)
    again = api.post(f"{path}/runs/{run['id']}/retry", headers=key)
    assert (again.status, again.text) == (202, first.text)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers


@pytest.mark.parametrize("kind", ["succeeded", "skipped", "queued", "retrying"])
def test_a_run_that_has_not_failed_is_refused_with_what_to_do(api: Api, kind: str) -> None:
    made = api.register(
        trigger={"cron": "* * * * *"},
        overlap="skip",
        retry={"max_attempts": 2, "initial_delay": 300},
    )
    path = f"/jobs/{made['id']}"
    api.env.target = lambda sent: status(503) if kind in ("skipped", "retrying") else ok()
    api.env.advance(minutes=2)
    if kind == "queued":
        api.post(f"{path}/run")
    run = api.get(f"{path}/runs?status={kind}").json[0]
    before = stored(api)
    answer = api.post(f"{path}/runs/{run['id']}/retry")
    assert answer.status == 409
    advice = "POST /jobs/{id}/run" if kind in ("succeeded", "skipped") else "wait for its end"
    assert advice in answer.problem["detail"]
    assert stored(api) == before


def test_a_33rd_unfinished_run_is_refused(api: Api) -> None:
    path, run = failed(api)
    for _ in range(MAX_UNFINISHED_RUNS):
        api.post(f"{path}/run")
    answer = api.post(f"{path}/runs/{run['id']}/retry")
    assert (answer.status, "32 runs" in answer.problem["detail"]) == (409, True)


def test_what_is_not_there_is_not_found(api: Api) -> None:
    path, run = failed(api)
    assert api.post(f"{path}/runs/{run['id']}-r1/retry").problem["detail"] == "there is no such run"
    assert api.post(f"{path}/runs/x/retry").status == 404
    api.delete(path)
    assert api.post(f"{path}/runs/{run['id']}/retry").problem["detail"] == "there is no such job"


def test_a_run_that_has_expired_is_not_found(api: Api) -> None:
    path, run = failed(api)
    api.env.now += timedelta(days=30, minutes=1)
    assert api.post(f"{path}/runs/{run['id']}/retry").status == 404


def test_of_two_retries_at_once_there_is_one_run(api: Api) -> None:
    """The second one reads the state before the first writes it, and finds its run then."""
    path, run = failed(api)
    others: list[Any] = []

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            api.env.cloud.before = lambda operation, request: None
            others.append(api.post(f"{path}/runs/{run['id']}/retry"))

    api.env.cloud.before = before
    answer = api.post(f"{path}/runs/{run['id']}/retry")
    assert (answer.status, answer.json) == (others[0].status, others[0].json) == (202, answer.json)
    assert len(api.get(f"{path}/runs").json) == 2
