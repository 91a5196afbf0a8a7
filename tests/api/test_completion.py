"""POST /complete/{token}: completion by callback, and the fields of a job that ask for it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.domain.completion import KEPT_BODY
from chalicelib.outbound.send import KEEP_BODY
from tests.api.conftest import Api, job
from tests.api.test_preconditions import stored
from tests.environment import Sent, ok, status

CALLBACK = {"completion": "callback", "deadline": 3600}
WORK = {**CALLBACK, "retry": {"max_attempts": 2, "initial_delay": 60}}


def urls(api: Api) -> list[str]:
    """Return the paths that the targets of all requests were given, in order."""
    return [urlsplit(sent.headers["Resona-Complete-Url"]).path for sent in api.env.sent]


def waiting(api: Api, **changes: Any) -> tuple[str, str]:
    """Register a job whose run waits; return its path, and the path that completes it."""
    api.env.target = lambda sent: ok("queued")
    made = api.register(**{**WORK, **changes})
    api.env.advance(seconds=6)
    (url,) = urls(api)
    return f"/jobs/{made['id']}", url


def run_of(api: Api, path: str) -> Any:
    (run,) = api.get(f"{path}/runs").json
    return api.get(f"{path}/runs/{run['id']}").json


def test_a_run_waits_after_the_answer_and_the_executor_is_free(api: Api) -> None:
    path, url = waiting(api)
    run = run_of(api, path)
    shown = ("status", "finished_at", "next_attempt_at", "deadline")
    assert [run[name] for name in shown] == ["waiting", None, None, "2026-11-23T11:00:06.000Z"]
    (attempt,) = run["attempts"]
    assert (attempt["outcome"], attempt["response"]["body"]) == ("success", "queued")
    assert api.env.sent[0].headers["Resona-Complete-Url"] == f"http://localhost:8000{url}"
    assert [one["id"] for one in api.get(f"{path}/runs?status=waiting").json] == [run["id"]]
    assert api.get("/runs?status=any").json == []
    job = api.get(path).json
    assert (job["status"], job["result"]) == ("active", None)


def test_its_word_ends_the_run_with_what_it_carries(api: Api) -> None:
    path, url = waiting(api)
    api.env.advance(minutes=30)
    said = {"status": "succeeded", "message": "118 sent", "body": {"invoices": 118}}
    answer = api.post(url, said)
    assert (answer.status, answer.text) == (204, "")
    run = run_of(api, path)
    assert (run["status"], run["finished_at"]) == ("succeeded", "2026-11-23T10:30:06.250Z")
    assert "deadline" not in run
    (attempt,) = run["attempts"]
    assert attempt == attempt | {
        "outcome": "success",
        "status_code": 200,
        "response": {"headers": {}, "body": '{"invoices":118}', "truncated": False},
        "error": None,
        "message": "118 sent",
        "duration_ms": 1_800_250,
    }
    job = api.get(path).json
    assert (job["status"], job["result"]["body"]) == ("completed", '{"invoices":118}')
    api.env.advance(hours=2)
    assert (len(api.env.sent), run_of(api, path)) == (1, run)


def test_without_a_body_the_answer_stays_the_response(api: Api) -> None:
    path, url = waiting(api)
    assert api.post(url, {"status": "succeeded"}).status == 204
    (attempt,) = run_of(api, path)["attempts"]
    assert attempt["response"]["body"] == "queued"
    assert "message" not in attempt


def test_a_failure_is_retried_with_another_url(api: Api) -> None:
    path, url = waiting(api)
    assert api.post(url, {"status": "failed", "message": "disk full"}).status == 204
    run = run_of(api, path)
    assert (run["status"], run["attempts"][0]["outcome"]) == ("retrying", "unexpected")
    assert run["attempts"][0]["error"] == "the target reported a failure by callback: disk full"
    assert "deadline" not in run
    api.env.advance(seconds=70)
    first, second = urls(api)
    assert first != second
    older = api.post(first, {"status": "succeeded"})
    assert (older.status, "attempt 1 of this run has ended" in older.problem["detail"]) == (
        410,
        True,
    )
    assert run_of(api, path)["status"] == "waiting"
    assert api.post(second, {"status": "failed"}).status == 204
    run = run_of(api, path)
    assert (run["status"], run["reason"]) == ("failed", "attempts_exhausted")
    assert run["attempts"][1]["error"] == "the target reported a failure by callback"


def test_a_failure_that_is_not_to_be_retried_ends_the_run(api: Api) -> None:
    path, url = waiting(api)
    assert api.post(url, {"status": "failed", "retry": False}).status == 204
    run = run_of(api, path)
    assert (run["status"], run["reason"], len(api.env.sent)) == ("failed", None, 1)
    assert [one["id"] for one in api.get("/runs").json] == [run["id"]]


def test_a_word_that_comes_twice_changes_nothing(api: Api) -> None:
    _path, url = waiting(api)
    assert api.post(url, {"status": "succeeded"}).status == 204
    before = stored(api)
    for said in ({"status": "succeeded"}, {"status": "failed"}, {"extend": 600}):
        again = api.post(url, said)
        assert (again.status, "has ended" in again.problem["detail"]) == (410, True)
    assert stored(api) == before


def test_at_the_deadline_the_attempt_ends_as_timeout_and_is_retried(api: Api) -> None:
    path, url = waiting(api)
    api.env.advance(minutes=59, seconds=57)
    assert run_of(api, path)["status"] == "waiting"
    api.env.advance(seconds=10)
    late = api.post(url, {"status": "succeeded"})
    assert (late.status, "so nothing was changed" in late.problem["detail"]) == (410, True)
    run = run_of(api, path)
    (attempt,) = run["attempts"]
    assert (run["status"], attempt["outcome"], attempt["status_code"]) == (
        "retrying",
        "timeout",
        200,
    )
    assert attempt["error"] == "the target did not call back until 2026-11-23T11:00:06.000Z"
    assert (attempt["duration_ms"], attempt["response"]["body"]) == (3_600_000, "queued")
    api.env.advance(hours=3)
    run = run_of(api, path)
    assert (run["status"], [one["outcome"] for one in run["attempts"]]) == (
        "failed",
        ["timeout", "timeout"],
    )


def test_a_word_in_the_second_of_the_deadline_is_too_late_before_anybody_has_noticed(
    api: Api,
) -> None:
    path, url = waiting(api)
    api.env.now += timedelta(hours=2)
    late = api.post(url, {"status": "succeeded"})
    assert (late.status, "the deadline of attempt 1" in late.problem["detail"]) == (410, True)
    assert run_of(api, path)["status"] == "waiting"


@pytest.mark.parametrize("code", [404, 503])
def test_any_other_answer_ends_the_attempt(api: Api, code: int) -> None:
    api.env.target = lambda sent: status(code)
    path = f"/jobs/{api.register(**WORK)['id']}"
    api.env.advance(seconds=6)
    run = run_of(api, path)
    assert run["status"] == ("failed" if code == 404 else "retrying")
    assert api.post(urls(api)[0], {"status": "succeeded"}).status == 410
    assert run_of(api, path) == run


def test_the_rule_of_success_is_for_the_answer(api: Api) -> None:
    api.env.target = lambda sent: ok("busy")
    path = f"/jobs/{api.register(**WORK, success={'body_contains': 'queued'})['id']}"
    api.env.advance(seconds=6)
    assert run_of(api, path)["attempts"][0]["outcome"] == "unexpected"
    api.env.target = lambda sent: ok("queued")
    api.env.advance(seconds=70)
    assert api.post(urls(api)[1], {"status": "succeeded", "body": "done"}).status == 204
    assert run_of(api, path)["status"] == "succeeded"


@pytest.mark.parametrize("answer", [ok(), status(503)])
def test_a_target_may_call_back_before_its_answer_is_read(api: Api, answer: Any) -> None:
    """It counts whatever the answer is."""
    answers: list[int] = []

    def target(sent: Sent) -> Any:
        path = urlsplit(sent.headers["Resona-Complete-Url"]).path
        answers.append(api.post(path, {"extend": 5000}).status)
        answers.append(api.post(path, {"status": "succeeded", "body": "early"}).status)
        answers.append(api.post(path, {"status": "failed"}).status)
        return answer

    api.env.target = target
    path = f"/jobs/{api.register(**WORK)['id']}"
    api.env.advance(minutes=10)
    assert answers == [200, 204, 410]
    run = run_of(api, path)
    (attempt,) = run["attempts"]
    assert (run["status"], attempt["outcome"], attempt["status_code"]) == (
        "succeeded",
        "success",
        None,
    )
    assert attempt["response"]["body"] == "early"
    assert len(api.env.sent) == 1


def test_an_extension_while_the_request_is_in_flight_holds(api: Api) -> None:
    def target(sent: Sent) -> Any:
        path = urlsplit(sent.headers["Resona-Complete-Url"]).path
        assert api.post(path, {"extend": 7200}).status == 200
        return ok()

    api.env.target = target
    path = f"/jobs/{api.register(**WORK)['id']}"
    api.env.advance(seconds=6)
    assert run_of(api, path)["deadline"] == "2026-11-23T12:00:06.000Z"


def test_a_deadline_is_moved_up_to_24_hours_from_the_start(api: Api) -> None:
    path, url = waiting(api)
    for _ in range(2):
        api.env.advance(minutes=50)
        moved = api.post(url, {"extend": 3600})
        assert (moved.status, moved.json) == (200, {"deadline": run_of(api, path)["deadline"]})
    assert moved.json["deadline"] == "2026-11-23T12:40:06.250Z"
    shorter = api.post(url, {"extend": 5})
    assert (shorter.status, shorter.json) == (200, moved.json)
    beyond = api.post(url, {"extend": 86_400})
    assert beyond.fields == ["extend"]
    assert "at most 80399 seconds are left" in beyond.problem["detail"]
    assert api.post(url, {"extend": 80_399}).status == 200
    api.env.advance(hours=22, minutes=19)
    assert run_of(api, path)["status"] == "waiting"
    api.env.advance(minutes=2)
    assert run_of(api, path)["attempts"][0]["outcome"] == "timeout"


def test_a_waiting_run_can_be_cancelled_and_its_word_is_refused(api: Api) -> None:
    path, url = waiting(api)
    run = run_of(api, path)
    cancelled = api.delete(f"{path}/runs/{run['id']}")
    assert (cancelled.status, cancelled.json["status"], cancelled.json["reason"]) == (
        200,
        "failed",
        "cancelled",
    )
    assert api.post(url, {"status": "succeeded"}).status == 410
    assert run_of(api, path)["reason"] == "cancelled"
    api.env.advance(hours=2)
    assert len(api.env.sent) == 1


def test_a_pause_or_a_change_leaves_the_word_and_forbids_a_retry(api: Api) -> None:
    path, url = waiting(api)
    changed = api.patch(path, {"deadline": 60, "trigger": {"cron": "* * * * *"}})
    assert (changed.status, api.post(f"{path}/pause").status) == (200, 200)
    api.env.advance(minutes=5)
    assert run_of(api, path)["status"] == "waiting"
    assert api.post(url, {"status": "failed"}).status == 204
    run = run_of(api, path)
    assert (run["status"], run["reason"]) == ("failed", "superseded")


def test_a_deleted_job_has_no_url(api: Api) -> None:
    path, url = waiting(api)
    assert api.delete(path).status == 204
    gone = api.post(url, {"status": "succeeded"})
    assert (gone.status, gone.text) == (404, api.post(forged(url), {"extend": 60}).text)


def forged(url: str) -> str:
    return url[:-1] + ("A" if url[-1] != "A" else "B")


def test_a_wrong_token_is_not_there_and_nothing_happens(api: Api) -> None:
    _, url = waiting(api)
    token = url.removeprefix("/complete/")
    run, attempt, secret = token.split(".")
    api.register(**CALLBACK)
    api.env.advance(seconds=6)
    other = urls(api)[1].removeprefix("/complete/").split(".")
    before = stored(api)
    wrong = [
        forged(token),
        f"{run}.{attempt}.{secret[:-1]}",
        f"{run}.{attempt}.",
        f"{run}.2.{secret}",
        f"{run}.0.{secret}",
        f"{run}.01.{secret}",
        f"{run}.1.{secret}.",
        f"{run}-r1.1.{secret}",
        f"{other[0]}.1.{secret}",
        f"{run}.1.{other[2]}",
        secret,
        "x" * 200,
        "run_",
        "%F0%9F%98%80",
        "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-99999999999-99999999T999999Z.1." + secret,
    ]
    answers = {api.post(f"/complete/{one}", {"status": "succeeded"}).text for one in wrong}
    (only,) = answers
    assert (json.loads(only)["status"], stored(api)) == (404, before)


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({}, ["status"]),
        ({"status": "done"}, ["status"]),
        ({"status": None}, ["status"]),
        ({"message": "x" * 10}, ["status"]),
        ({"status": "failed", "retry": "no", "reply": 1}, ["reply", "retry"]),
        ({"status": "failed", "message": 5}, ["message"]),
        ({"extend": 0}, ["extend"]),
        ({"extend": 1.5}, ["extend"]),
        ({"extend": 86_401}, ["extend"]),
        ({"extend": 60, "status": "failed"}, ["status"]),
        (
            {"extend": 0, "status": "done", "retry": "no", "reply": 1},
            ["extend", "reply", "retry", "status"],
        ),
        ([], [""]),
    ],
)
def test_what_cannot_be_a_word_names_its_fields(api: Api, said: Any, fields: list[str]) -> None:
    _, url = waiting(api)
    before = stored(api)
    assert api.post(url, said).fields == fields
    assert stored(api) == before
    assert api.post(url, {"status": "succeeded"}).status == 204


@pytest.mark.parametrize(
    ("message", "shown"),
    [("a\0b\r\nc\x85", "a b  c"), (" ", None), ("\n\0", None), ("é", "é")],
)
def test_a_message_is_one_line(api: Api, message: str, shown: str | None) -> None:
    """It is not refused: the target would lose its callback."""
    path, url = waiting(api)
    assert api.post(url, {"status": "succeeded", "message": message}).status == 204
    (attempt,) = run_of(api, path)["attempts"]
    assert attempt.get("message") == shown


def test_what_is_long_is_cut(api: Api) -> None:
    path, url = waiting(api)
    said = {"status": "failed", "retry": False, "message": "é" * 1500, "body": "ü" * 10_000}
    assert api.post(url, said).status == 204
    (attempt,) = run_of(api, path)["attempts"]
    assert attempt["message"] == "é" * 1000
    assert attempt["error"].endswith("é" * 1000)
    assert attempt["response"] == {
        "headers": {},
        "body": "ü" * (KEPT_BODY // 2),
        "truncated": True,
    }
    assert KEPT_BODY == KEEP_BODY


def test_the_token_is_in_no_record_no_answer_and_no_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    path, url = waiting(api)
    secret = url.rpartition(".")[2]
    assert secret in api.env.sent[0].credentials.hidden
    assert api.post(url, {"extend": 4000}).status == 200
    said = {"status": "failed", "retry": False, "message": url, "body": {"url": url}}
    assert api.post(url, said).status == 204
    assert api.post(url, said).status == 410
    (attempt,) = run_of(api, path)["attempts"]
    assert attempt["message"].endswith(".1.***")
    assert attempt["response"]["body"].endswith('.1.***"}')
    shown = api.get(path).text + repr(run_of(api, path)) + repr(stored(api))
    shown += caplog.text + repr([vars(record) for record in caplog.records])
    assert "run.extended" in shown
    assert secret not in shown


def test_callbacks_are_posted_with_the_word(api: Api) -> None:
    _path, url = waiting(api, callbacks={"failed": {"url": "http://example.com/told"}})
    assert api.post(url, {"status": "failed", "retry": False, "message": "no"}).status == 204
    api.env.advance(seconds=5)
    told = api.env.sent[-1]
    assert told.request.url == "http://example.com/told"
    assert json.loads(str(told.request.body))["run"]["attempts"][0]["message"] == "no"
    assert "Resona-Complete-Url" not in told.headers


def test_a_word_may_pause_the_job(api: Api) -> None:
    api.env.target = lambda sent: ok()
    made = api.register(
        **CALLBACK, trigger={"cron": "0 0-22 * * *"}, pause_after=1, retry={"max_attempts": 1}
    )
    path = f"/jobs/{made['id']}"
    api.env.advance(minutes=61)
    assert len(api.env.cloud.schedules) == 1
    assert api.post(urls(api)[0], {"status": "failed"}).status == 204
    job = api.get(path).json
    assert (job["status"], job["pause"]["reason"]) == ("paused", "failing")
    assert len(api.env.cloud.schedules) == 0


def test_manual_runs_and_retries_of_runs_wait_too(api: Api) -> None:
    path, url = waiting(api)
    assert api.post(url, {"status": "failed", "retry": False}).status == 204
    run = run_of(api, path)["id"]
    api.post(f"{path}/run")
    api.post(f"{path}/runs/{run}/retry")
    api.env.advance(seconds=2)
    shown = {one["cause"]: one["status"] for one in api.get(f"{path}/runs").json}
    assert shown == {"manual": "waiting", "retry": "waiting", "schedule": "failed"}
    for one in urls(api)[1:]:
        assert api.post(one, {"status": "succeeded"}).status == 204
    assert {one["status"] for one in api.get(f"{path}/runs").json} == {"succeeded", "failed"}


def test_an_overlap_is_skipped_while_the_target_works(api: Api) -> None:
    api.env.target = lambda sent: ok()
    path = f"/jobs/{api.register(**CALLBACK, trigger={'every': 60}, overlap='skip')['id']}"
    api.env.advance(seconds=130)
    assert [run["status"] for run in api.get(f"{path}/runs").json] == ["skipped", "waiting"]
    api.patch(path, {"request": {"url": "http://example.com/other"}})
    api.env.advance(seconds=60)
    assert next(run["status"] for run in api.get(f"{path}/runs").json) == "skipped"
    assert len(api.env.sent) == 1


def test_a_job_without_it_reads_as_before(api: Api) -> None:
    for fields in ({}, {"completion": "response"}, {"completion": None, "deadline": None}):
        made = api.register(**fields)
        assert {"completion", "deadline"}.isdisjoint(made)


def test_a_job_is_changed_from_one_to_the_other(api: Api) -> None:
    path = f"/jobs/{api.register()['id']}"
    assert api.patch(path, {"completion": "callback"}).fields == ["deadline"]
    assert api.patch(path, {"deadline": 60}).fields == ["deadline"]
    shown = api.patch(path, CALLBACK).json
    assert {name: shown[name] for name in CALLBACK} == CALLBACK
    assert api.patch(path, {"deadline": 90}).json["deadline"] == 90
    assert api.patch(path, {"completion": "callback"}).json["deadline"] == 90
    assert api.patch(path, {"deadline": None}).fields == ["deadline"]
    same = api.patch(path, api.get(path).json)
    assert (same.status, same.json["deadline"]) == (200, 90)
    assert "deadline" not in api.patch(path, {"completion": "response"}).json


@pytest.mark.parametrize("deadline", [59, 86_401, "60", 60.5, True])
def test_a_deadline_is_a_minute_to_a_day(api: Api, deadline: Any) -> None:
    answer = api.post("/jobs", job(completion="callback", deadline=deadline))
    assert answer.fields == ["deadline"]


def test_other_words_for_completion_are_refused(api: Api) -> None:
    assert api.post("/jobs", job(completion="later", deadline=60)).fields == ["completion"]
    assert api.post("/jobs", job(completion="response", deadline=60)).fields == ["deadline"]


def test_the_url_is_that_of_the_host_and_stage_that_were_called(api: Api) -> None:
    api.env.target = lambda sent: ok()
    api.put("/jobs/key:mine", job(**CALLBACK))
    headers = {"Host": "jobs.example.com", "X-Forwarded-Proto": "https"}
    assert api.put("/jobs/key:mine", job(**CALLBACK), headers=headers).status == 200
    api.post("/jobs/batch", {"jobs": [job(**CALLBACK)]}, headers=headers)
    api.env.advance(seconds=7)
    bases = {sent.headers["Resona-Complete-Url"].split("/complete/")[0] for sent in api.env.sent}
    assert bases == {"https://jobs.example.com"}
    refused = api.post("/jobs", job(**CALLBACK), headers={"Host": "a b"})
    assert refused.fields == ["completion"]
