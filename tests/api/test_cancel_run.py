"""DELETE /jobs/{id}/runs/{run_id}: cancel."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_preconditions import stored
from tests.environment import status


def retrying(api: Api, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Register a job whose run waits for its second attempt; return its path and the run."""
    api.env.target = lambda sent: status(503)
    made = api.register(**{"retry": {"max_attempts": 2, "initial_delay": 60}, **changes})
    path = f"/jobs/{made['id']}"
    api.env.advance(seconds=10)
    (run,) = api.get(f"{path}/runs").json
    assert run["status"] == "retrying"
    return path, run


def test_a_run_that_waits_for_a_retry_has_failed_and_is_not_sent_again(api: Api) -> None:
    path, run = retrying(api)
    answer = api.delete(f"{path}/runs/{run['id']}")
    assert answer.status == 200
    cancelled = answer.json
    assert (cancelled["status"], cancelled["reason"], cancelled["next_attempt_at"]) == (
        "failed",
        "cancelled",
        None,
    )
    assert len(cancelled["attempts"]) == 1
    api.env.advance(minutes=10)
    assert len(api.env.sent) == 1
    assert api.get(f"{path}/runs").json == [cancelled]
    assert [one["id"] for one in api.get("/runs").json] == [run["id"]]
    job = api.get(path).json
    assert (job["status"], job["result"]["run_id"], job["result"]["status"]) == (
        "failed",
        run["id"],
        "failed",
    )
    assert job["result"]["finished_at"] == cancelled["finished_at"]


def test_a_run_that_was_never_sent_is_skipped_and_no_result(api: Api) -> None:
    path = f"/jobs/{api.register(trigger={'cron': '0 0 1 1 *'})['id']}"
    run = api.post(f"{path}/run").json
    cancelled = api.delete(f"{path}/runs/{run['id']}").json
    assert (cancelled["status"], cancelled["reason"], cancelled["attempts"]) == (
        "skipped",
        "cancelled",
        [],
    )
    api.env.advance(minutes=10)
    assert api.env.sent == []
    assert api.get(path).json["result"] is None
    assert api.get("/runs").json == []


def test_a_repeat_answers_the_same(api: Api) -> None:
    path, run = retrying(api)
    first = api.delete(f"{path}/runs/{run['id']}")
    before = stored(api)
    again = api.delete(f"{path}/runs/{run['id']}")
    assert (again.status, again.text) == (200, first.text)
    assert stored(api) == before


def test_what_was_cancelled_may_be_retried(api: Api) -> None:
    path, run = retrying(api)
    api.delete(f"{path}/runs/{run['id']}")
    retry = api.post(f"{path}/runs/{run['id']}/retry").json
    assert api.delete(f"{path}/runs/{retry['id']}").json["status"] == "skipped"
    again = api.post(f"{path}/runs/{retry['id']}/retry")
    assert (again.status, again.json["retry_of"]) == (202, retry["id"])


def test_a_run_in_flight_is_refused_with_what_to_do(api: Api) -> None:
    path = f"/jobs/{api.register()['id']}"
    answers: list[Any] = []

    def target(sent: Any) -> Any:
        answers.append(api.delete(f"{path}/runs/{sent.headers['Resona-Run-Id']}"))
        return status(503)

    api.env.target = target
    api.env.advance(seconds=6)
    (answer,) = answers
    assert answer.status == 409
    assert "attempt 1 of this run is in flight" in answer.problem["detail"]
    assert "cancel the run if it is retrying then" in answer.problem["detail"]


@pytest.mark.parametrize("code", [200, 404])
def test_a_run_that_has_ended_is_refused(api: Api, code: int) -> None:
    path = f"/jobs/{api.register()['id']}"
    api.env.target = lambda sent: status(code)
    api.env.advance(seconds=6)
    (run,) = api.get(f"{path}/runs").json
    answer = api.delete(f"{path}/runs/{run['id']}")
    assert (answer.status, run["status"] in answer.problem["detail"]) == (409, True)


def test_what_is_not_there_is_not_found(api: Api) -> None:
    path, run = retrying(api)
    assert api.delete(f"{path}/runs/{run['id']}-r1").problem["detail"] == "there is no such run"
    api.delete(path)
    assert api.delete(f"{path}/runs/{run['id']}").problem["detail"] == "there is no such job"
