"""429: over the tenant's quota."""

from __future__ import annotations

import pytest

from tests.api.conftest import Api, job
from tests.parts import quota_store


def limit(api: Api, jobs: int = 0, registrations: int = 0) -> None:
    api.env.scheduling.quotas = quota_store(api.env.cloud, jobs, registrations)


def test_registrations_over_the_quota_are_refused_until_the_next_minute(api: Api) -> None:
    limit(api, registrations=2)
    api.register()
    api.register()
    answer = api.post("/jobs", job())
    assert (answer.status, answer.problem["title"]) == (429, "Too Many Requests")
    assert answer.headers["Retry-After"] == "60"
    assert answer.headers["RateLimit-Policy"] == '"registrations";q=2;w=60'
    assert answer.headers["RateLimit"] == '"registrations";r=0;t=60'
    assert "2 jobs may be registered in 60 seconds" in answer.problem["detail"]
    api.env.advance(seconds=int(answer.headers["Retry-After"]))
    api.register()


def test_jobs_over_the_quota_are_refused_until_some_are_deleted(api: Api) -> None:
    limit(api, jobs=2)
    first = api.register()
    api.register()
    answer = api.post("/jobs", job())
    assert answer.status == 429
    assert answer.headers["RateLimit-Policy"] == '"jobs";q=2'
    # They were registered in this minute: until the one after the next begins, a job counts though
    # it is deleted.
    assert answer.headers["Retry-After"] == "120"
    api.delete(f"/jobs/{first['id']}")
    api.env.advance(seconds=119)
    assert api.post("/jobs", job()).status == 429
    api.env.advance(seconds=1)
    api.register()
    assert api.post("/jobs", job()).status == 429
    assert len(api.get("/jobs").json) == 2


def test_who_registered_in_the_minute_before_is_heard_when_the_next_minute_begins(api: Api) -> None:
    limit(api, jobs=2)
    first = api.register()
    api.register()
    api.env.advance(seconds=90)
    answer = api.post("/jobs", job())
    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
    assert "a deleted job may count for another 30 s" in answer.problem["detail"]
    api.delete(f"/jobs/{first['id']}")
    api.env.advance(seconds=29)
    assert api.post("/jobs", job()).status == 429
    api.env.advance(seconds=1)
    api.register()


def test_who_has_registered_nothing_for_two_minutes_is_heard_after_the_next_count(api: Api) -> None:
    limit(api, jobs=2)
    first = api.register()
    api.register()
    api.env.advance(minutes=5)
    assert api.post("/jobs", job()).headers["Retry-After"] == "10"
    api.delete(f"/jobs/{first['id']}")
    api.env.advance(seconds=10)
    api.register()


def test_what_is_refused_leaves_nothing_behind(api: Api) -> None:
    limit(api, registrations=1)
    api.register(trigger={"cron": "* * * * *"})
    schedules = dict(api.env.cloud.schedules)
    assert (
        api.post(
            "/jobs", job(trigger={"cron": "* * * * *"}), headers={"Idempotency-Key": "x"}
        ).status
        == 429
    )
    assert api.env.cloud.schedules == schedules
    api.env.advance(minutes=1)
    answer = api.post("/jobs", job(trigger={"cron": "* * * * *"}), headers={"Idempotency-Key": "x"})
    assert (answer.status, "Idempotency-Replayed" in answer.headers) == (201, False)


def test_a_replay_does_not_count(api: Api) -> None:
    limit(api, registrations=2)
    for _ in range(5):
        assert api.post("/jobs", job(), headers={"Idempotency-Key": "x"}).status == 201
    api.register()
    assert api.post("/jobs", job(), headers={"Idempotency-Key": "x"}).status == 201
    assert api.post("/jobs", job()).status == 429


def test_what_is_not_valid_does_not_count(api: Api) -> None:
    limit(api, registrations=1)
    for _ in range(3):
        assert api.post("/jobs", job(name="")).status == 422
    api.register()


def test_a_batch_counts_each_of_its_jobs(api: Api) -> None:
    limit(api, registrations=3)
    results = api.post("/jobs/batch", {"jobs": [job()] * 5}).json["results"]
    assert [result["status"] for result in results] == [201, 201, 201, 429, 429]
    assert results[4]["problem"] == api.post("/jobs", job()).json


def test_what_a_repeated_batch_has_registered_before_does_not_count(api: Api) -> None:
    limit(api, jobs=3, registrations=3)
    batch = {"jobs": [job(key=key) for key in ("a", "b", "c")]}
    assert api.post("/jobs/batch", {"jobs": batch["jobs"][:2]}).status == 200
    for _ in range(2):
        assert api.post("/jobs", job(key="a")).status == 409
    assert [result["status"] for result in api.post("/jobs/batch", batch).json["results"]] == [
        409,
        409,
        201,
    ]
    assert [result["status"] for result in api.post("/jobs/batch", batch).json["results"]] == [
        409,
        409,
        409,
    ]


def test_a_put_counts_when_it_creates_and_not_when_it_changes(api: Api) -> None:
    limit(api, registrations=1)
    assert api.put("/jobs/key:a", job()).status == 201
    for number in range(3):
        assert api.put("/jobs/key:a", job(name=f"{number}")).status == 200
    assert api.put("/jobs/key:b", job()).status == 429


@pytest.mark.parametrize("path", ["", "/pause", "/resume", "/run"])
def test_only_registrations_count(api: Api, path: str) -> None:
    made = api.register()
    limit(api, jobs=1, registrations=1)
    for _ in range(3):
        assert (
            api.post(f"/jobs/{made['id']}{path}", {"name": "x"} if not path else None).status < 300
        )
