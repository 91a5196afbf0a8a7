"""POST /jobs/batch."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.runtime.concurrency import in_threads
from tests.api.conftest import Answer, Api, job
from tests.cloud import client_error


def batch(api: Api, *jobs: Any) -> list[Any]:
    answer = api.post("/jobs/batch", {"jobs": list(jobs)})
    assert answer.status == 200, answer.text
    results: list[Any] = answer.json["results"]
    return results


def statuses(results: list[Any]) -> list[int]:
    return [result["status"] for result in results]


def test_each_job_is_registered_and_answered_in_order(api: Api) -> None:
    results = batch(api, *(job(name=f"job {number}") for number in range(100)))
    assert statuses(results) == [201] * 100
    assert [result["job"]["name"] for result in results] == [
        f"job {number}" for number in range(100)
    ]
    assert [api.get(f"/jobs/{result['job']['id']}").json for result in results[::33]] == [
        result["job"] for result in results[::33]
    ]
    api.env.advance(seconds=10)
    assert len(api.env.sent) == 100


def test_each_job_has_its_own_answer(api: Api) -> None:
    api.register(key="taken")
    large = {"url": "https://example.com/", "body": "x" * 70_000}
    results = batch(
        api, job(), job(name=""), job(key="taken"), job(request=large), 5, job(key="free")
    )
    assert statuses(results) == [201, 422, 409, 413, 422, 201]
    assert results[1]["problem"] == api.post("/jobs", job(name="")).json
    assert results[2]["problem"] == api.post("/jobs", job(key="taken")).json
    assert "problem" not in results[0]
    assert len(api.get("/jobs").json) == 3


def test_a_key_that_comes_twice_in_a_batch_is_taken_once(api: Api) -> None:
    assert sorted(statuses(batch(api, job(key="one"), job(key="one")))) == [201, 409]


def test_an_empty_batch_has_no_results(api: Api) -> None:
    assert batch(api) == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], [""]),
        ({}, ["jobs"]),
        ({"jobs": {}}, ["jobs"]),
        ({"jobs": None}, ["jobs"]),
        ({"jobs": [{}] * 101}, ["jobs"]),
        ({"jobs": [], "job": 1}, ["job"]),
    ],
)
def test_what_is_no_batch_is_refused(api: Api, body: Any, fields: list[str]) -> None:
    assert api.post("/jobs/batch", body).fields == fields


def test_a_batch_takes_no_idempotency_key_and_says_so(api: Api) -> None:
    answer = api.post("/jobs/batch", {"jobs": [job()]}, headers={"Idempotency-Key": "x"})
    assert answer.fields == ["Idempotency-Key"]
    assert api.get("/jobs").json == []


def test_a_batch_larger_than_256_kib_is_refused(api: Api) -> None:
    large = {"url": "https://example.com/", "body": "x" * 60_000}
    assert api.post("/jobs/batch", {"jobs": [job(request=large)] * 5}).status == 413
    assert statuses(batch(api, *[job(request=large)] * 4)) == [201] * 4


def test_what_cannot_be_written_is_a_503_of_its_own(api: Api) -> None:
    made = iter(range(100))

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems" and next(made) == 1:
            raise client_error("InternalServerError", operation, 500)

    api.env.cloud.before = before
    results = batch(api, job(), job(), job())
    assert statuses(results) == [201, 503, 201]
    assert results[1]["problem"]["unknown"] is True


def test_a_failure_of_ours_hides_no_job_that_was_registered(api: Api) -> None:
    made = iter(range(100))

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems" and next(made) == 1:
            raise ZeroDivisionError

    api.env.cloud.before = before
    results = batch(api, job(), job(), job())
    assert statuses(results) == [201, 500, 201]
    assert "ZeroDivision" not in str(results)


def test_a_batch_begins_nothing_when_its_time_is_over(api: Api) -> None:
    """The gateway cuts at 29 s: what has no answer until then would have none at all."""

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            api.env.now += timedelta(seconds=4)

    api.env.cloud.before = before
    results = batch(api, *[job(trigger={"cron": "* * * * *"})] * 5)
    assert statuses(results) == [201, 201, 201, 503, 503]
    assert "unknown" not in results[4]["problem"]
    assert len(api.get("/jobs").json) == 3


def test_jobs_of_a_batch_are_registered_side_by_side(api: Api) -> None:
    api.env.scheduling.run_all = in_threads
    results = batch(
        api,
        *(job(name=f"job {number}", key="one" if number % 2 else None) for number in range(100)),
    )
    assert [result["job"]["name"] for result in results[::2]] == [
        f"job {number}" for number in range(0, 100, 2)
    ]
    assert sorted(statuses(results[1::2])) == [201, *[409] * 49]
    assert len(api.get("/jobs").json) == 51


def test_a_batch_and_a_job_are_told_apart(api: Api) -> None:
    assert api.post("/jobs/batch/run").status == 404
    refused: Answer = api.post("/jobs/batch", job())
    assert refused.fields == ["jobs", "name", "request", "trigger"]
