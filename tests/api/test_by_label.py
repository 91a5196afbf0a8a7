"""POST /jobs/pause, /jobs/resume and /jobs/delete, by label."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.runtime.concurrency import in_threads
from tests.api.conftest import Answer, Api
from tests.api.test_list_jobs import next_path
from tests.cloud import client_error

CRON = {"cron": "0-40 0-22 * * *"}


def register(api: Api, count: int, **labels: str) -> list[str]:
    made = []
    for _ in range(count):
        made.append(api.register(trigger=CRON, labels=labels)["id"])
        api.env.now += timedelta(milliseconds=2)
    return made


def statuses(api: Api) -> list[str]:
    return [job["status"] for job in reversed(api.get("/jobs").json)]


def through(api: Api, path: str) -> list[int]:
    """Follow the links to the end, and return what each answer says was changed."""
    changed = []
    while path:
        answer = api.post(path)
        assert answer.status == 200, answer.text
        assert answer.json.keys() == {"changed"}
        changed.append(answer.json["changed"])
        path = next_path(answer)
    return changed


def before_the_first(api: Api, operation: str, act: Callable[[], Any]) -> None:
    """Have something happen once, before the next call of an operation."""

    def before(called: str, request: dict[str, Any]) -> None:
        if called == operation:
            api.env.cloud.before = lambda operation, request: None
            act()

    api.env.cloud.before = before


def test_jobs_with_the_label_are_paused_and_resumed_and_no_others(api: Api) -> None:
    for team in ("a", "b", "a"):
        register(api, 1, team=team)
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 2}
    assert statuses(api) == ["paused", "active", "paused"]
    api.env.advance(minutes=1)
    assert len(api.env.sent) == 1
    assert api.post("/jobs/resume?label=team:a").json == {"changed": 2}
    assert statuses(api) == ["active"] * 3
    assert len(api.env.cloud.schedules) == 3


def test_jobs_with_the_label_are_deleted_and_no_others(api: Api) -> None:
    register(api, 2, team="a")
    (left,) = register(api, 1, team="b")
    assert api.post("/jobs/delete?label=team:a").json == {"changed": 2}
    assert [job["id"] for job in api.get("/jobs").json] == [left]
    assert len(api.env.cloud.schedules) == 1


def test_what_is_so_already_is_not_counted(api: Api) -> None:
    first, _ = register(api, 2, team="a")
    api.post(f"/jobs/{first}/pause")
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 1}
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 0}
    assert api.post("/jobs/pause?label=team:none").json == {"changed": 0}


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_what_is_so_already_is_not_read_again(api: Api, act: str) -> None:
    register(api, 2, team="a")
    api.post("/jobs/pause?label=team:a")
    api.post(f"/jobs/{act}?label=team:a")
    api.env.cloud.calls.clear()
    assert api.post(f"/jobs/{act}?label=team:a").json == {"changed": 0}
    # The list.
    assert api.env.cloud.calls == ["Query", "BatchGetItem"]


def test_what_cannot_be_is_neither_counted_nor_an_error(api: Api) -> None:
    api.register(labels={"team": "a"})
    late = api.register(labels={"team": "a"}, trigger={"delay": 60})["id"]
    register(api, 1, team="a")
    api.env.advance(seconds=30)
    api.post(f"/jobs/{late}/pause")
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 1}
    assert statuses(api) == ["completed", "paused", "paused"]
    api.env.advance(minutes=2)
    assert api.post("/jobs/resume?label=team:a").json == {"changed": 1}
    assert statuses(api) == ["completed", "paused", "active"]


def test_a_hundred_jobs_are_changed_at_a_time_and_a_link_leads_to_the_rest(api: Api) -> None:
    register(api, 205, team="a")
    assert through(api, "/jobs/pause?label=team:a") == [100, 100, 5]
    assert through(api, "/jobs/resume?label=team:a") == [100, 100, 5]
    assert through(api, "/jobs/delete?label=team:a") == [100, 100, 5]
    assert api.get("/jobs").json == []


def test_exactly_a_hundred_jobs_need_no_second_call(api: Api) -> None:
    register(api, 100, team="a")
    assert through(api, "/jobs/pause?label=team:a") == [100]


def test_a_page_that_finds_little_ends_early_and_leads_on(api: Api) -> None:
    (oldest,) = register(api, 1, team="a")
    definition = ("job_" + "7" * 26, "definition")
    jobs = api.env.cloud.tables["jobs"]
    for number in range(1000):
        item = {**jobs[oldest, "definition"], "id": {"S": f"{definition[0][:-4]}{number:04d}"}}
        jobs[item["id"]["S"], "definition"] = item
    assert through(api, "/jobs/pause?label=team:a") == [0, 1]


def test_side_by_side_is_no_different(api: Api) -> None:
    api.env.scheduling.run_all = in_threads
    register(api, 120, team="a")
    assert through(api, "/jobs/pause?label=team:a") == [100, 20]
    assert set(statuses(api)) == {"paused"}


def test_a_job_that_is_deleted_meanwhile_is_not_counted(api: Api) -> None:
    first, second = register(api, 2, team="a")
    before_the_first(
        api, "PutItem", lambda: [api.delete(f"/jobs/{job_id}") for job_id in (first, second)]
    )
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 0}
    register(api, 2, team="a")
    before_the_first(api, "TransactWriteItems", lambda: through(api, "/jobs/delete?label=team:a"))
    # The delete that was under way cannot tell whether it was its own first try that took effect.
    assert api.post("/jobs/delete?label=team:a").json == {"changed": 1}


def test_a_job_that_changes_meanwhile_is_changed_all_the_same(api: Api) -> None:
    (job_id,) = register(api, 1, team="a")
    before_the_first(api, "PutItem", lambda: api.patch(f"/jobs/{job_id}", {"name": "Renamed"}))
    assert api.post("/jobs/pause?label=team:a").json == {"changed": 1}
    assert (api.get(f"/jobs/{job_id}").json["name"], statuses(api)) == ("Renamed", ["paused"])


@pytest.mark.parametrize(
    ("action", "write"),
    [("pause", "PutItem"), ("resume", "PutItem"), ("delete", "TransactWriteItems")],
)
def test_a_job_that_loses_the_label_meanwhile_is_left_alone(
    api: Api, action: str, write: str
) -> None:
    (job_id,) = register(api, 1, team="a")
    if action == "resume":
        api.post(f"/jobs/{job_id}/pause")
    before_the_first(api, write, lambda: api.patch(f"/jobs/{job_id}", {"labels": {"team": "b"}}))
    assert api.post(f"/jobs/{action}?label=team:a").json == {"changed": 0}
    assert statuses(api) == ["paused" if action == "resume" else "active"]
    assert api.post(f"/jobs/{action}?label=team:b").json == {"changed": 1}


def test_when_its_time_is_over_a_link_leads_to_what_was_not_reached(api: Api) -> None:
    register(api, 7, team="a")

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            api.env.now += timedelta(seconds=4)

    api.env.cloud.before = before
    assert through(api, "/jobs/pause?label=team:a") == [3, 3, 1]


def test_a_table_that_does_not_answer_is_a_503_after_which_nobody_knows(api: Api) -> None:
    register(api, 3, team="a")

    def fail() -> None:
        raise client_error("InternalServerError", "PutItem", 500)

    before_the_first(api, "PutItem", fail)
    answer = api.post("/jobs/pause?label=team:a")
    assert (answer.status, answer.problem["unknown"]) == (503, True)
    assert sum(through(api, "/jobs/pause?label=team:a")) == 3


@pytest.mark.parametrize("action", ["pause", "resume", "delete"])
def test_a_label_is_required(api: Api, action: str) -> None:
    register(api, 1)
    assert api.post(f"/jobs/{action}").fields == ["label"]
    assert api.post(f"/jobs/{action}?label=team").fields == ["label"]
    assert api.post(f"/jobs/{action}?label=team:a&status=active").fields == ["status"]
    assert statuses(api) == ["active"]


def test_a_cursor_of_another_action_is_refused(api: Api) -> None:
    register(api, 101, team="a")
    answer: Answer = api.post("/jobs/pause?label=team:a")
    path = next_path(answer)
    assert api.post(path.replace("/jobs/pause", "/jobs/delete")).status == 400
    assert api.post(path.replace("team%3Aa", "team%3Ab")).status == 400
    assert len(api.get("/jobs").json) == 101
