"""Lists that change while a client pages through them show every unchanged item exactly once."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.api.conftest import Api
from tests.api.test_list_jobs import next_path
from tests.environment import status
from tests.soak import IS_SOAK


def change(api: Api, chance: random.Random, jobs: list[str]) -> None:
    """Register some jobs, delete some."""
    for _ in range(chance.randrange(4)):
        api.env.now += timedelta(milliseconds=chance.choice((0, 1, 50)))
        jobs.append(
            api.register(trigger={"cron": "0 3 * * *"}, labels={"team": chance.choice("ab")})["id"]
        )
    for _ in range(chance.randrange(4)):
        if jobs:
            assert api.delete(f"/jobs/{jobs.pop(chance.randrange(len(jobs)))}").status == 204


@pytest.mark.parametrize("query", ["", "&label=team:a", "&status=active"])
@pytest.mark.parametrize("seed", range(30 if IS_SOAK else 2))
def test_jobs_that_are_there_all_along_are_shown_once_each_while_others_come_and_go(
    api: Api, seed: int, query: str
) -> None:
    chance, jobs = random.Random(seed), list[str]()
    while len(jobs) < 14:
        change(api, chance, jobs)
    before = {job["id"]: job["labels"]["team"] for job in api.get("/jobs").json}
    shown: list[str] = []
    path = f"/jobs?limit={chance.choice((1, 2, 5, 9))}{query}"
    while path:
        answer = api.get(path)
        shown += [job["id"] for job in answer.json]
        path = next_path(answer)
        change(api, chance, jobs)
    assert shown == sorted(set(shown), reverse=True)
    there = set(jobs) & before.keys()
    assert {job_id for job_id in there if "label" not in query or before[job_id] == "a"} <= set(
        shown
    )


@pytest.mark.parametrize("seed", range(30 if IS_SOAK else 2))
def test_runs_that_went_wrong_before_are_shown_once_each_while_others_go_wrong(
    api: Api, seed: int
) -> None:
    chance, jobs = random.Random(seed), list[str]()
    api.env.target = lambda sent: status(404)

    def fail() -> None:
        for _ in range(chance.randrange(3)):
            jobs.append(api.register(trigger={"delay": 0})["id"])
            api.env.advance(seconds=chance.choice((1, 2)))

    while len(jobs) < 12:
        fail()
    api.env.advance(seconds=10)
    before = set(jobs)
    shown: list[str] = []
    path = f"/runs?limit={chance.choice((1, 2, 5))}"
    while path:
        answer = api.get(path)
        shown += [run["job_id"] for run in answer.json]
        path = next_path(answer)
        fail()
        if chance.random() < 0.3:
            gone = jobs.pop(chance.randrange(len(jobs)))
            before.discard(gone)
            api.delete(f"/jobs/{gone}")
    assert len(shown) == len(set(shown))
    assert before <= set(shown)
