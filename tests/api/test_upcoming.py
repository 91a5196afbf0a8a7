"""GET /upcoming, and GET /jobs with `sort=next_run_time`: what comes due, soonest first."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from chalicelib.api.routing import backend
from chalicelib.aws.serialization import dump_state
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import least_job_id
from chalicelib.domain.instant import format_instant
from chalicelib.usecases.due_jobs import MOST_READ
from tests.api.conftest import Api
from tests.api.test_list_jobs import next_path
from tests.cloud import Cloud
from tests.environment import START, Environment, ok, status

SORTED = "&sort=next_run_time"


def add_many(cloud: Cloud) -> list[tuple[str, str]]:
    """Add more jobs than are read whole to the tenant's index, and return their keys."""
    added = []
    for number in range(MOST_READ + 1):
        keys = {"id": f"{least_job_id(START)[:-6]}{number:06d}", "part": "definition"}
        added.append((keys["id"], keys["part"]))
        cloud.tables["jobs"][added[-1]] = {
            name: {"S": value} for name, value in {**keys, "tenant": "local"}.items()
        }
    return added


@dataclass
class Stage:
    """Jobs of every kind: due and not, retrying, not covered, of another tenant.

    `due` has those that are due again, soonest first.
    """

    api: Api
    due: list[dict[str, Any]]

    @contextmanager
    def many(self, *, are: bool = True) -> Iterator[None]:
        """Let the tenant have more jobs than are read whole."""
        added = add_many(self.api.env.cloud) if are else []
        yield
        for key in added:
            del self.api.env.cloud.tables["jobs"][key]


@pytest.fixture
def stage(made: Stage) -> Iterator[Stage]:
    """Serve the stage that the tests here share: they only read it."""
    backend.use(made.api.env.scheduling, stage="local")
    yield made
    backend.use(made.api.env.scheduling, stage="")


@pytest.fixture(scope="module")
def made() -> Stage:
    """Make the stage."""
    env = Environment()
    backend.use(env.scheduling, stage="local")
    api = Api(env)
    for number, cron in enumerate(("*/5 * * * *", "* * * * *", "30 12 * * *", "0 0 1 1 *")):
        api.register(name=f"cron {number}", trigger={"cron": cron}, labels={"n": str(number)})
    hourly = api.register(name="hourly", trigger={"cron": "20 * * * *"})["id"]
    api.register(name="over")
    for hours in (1, 3, 30, 200):
        api.register(name=f"in {hours}", trigger={"delay": hours * 3600}, key=f"in-{hours}")
    api.post(f"/jobs/{api.register(trigger={'cron': '* * * * *'})['id']}/pause")
    retried = {"url": "http://example.com/retried"}
    retries = api.register(name="retries", trigger={"cron": "25 * * * *"}, request=retried)["id"]
    env.create(Cron("* * * * *", "UTC"))
    env.target = lambda sent: (
        status(503, retry_after="900") if sent.request.url.endswith("retried") else ok()
    )
    env.advance(minutes=17)
    env.wakes = False
    env.advance(minutes=5)
    env.wakes = True
    env.advance(minutes=4)
    # These two are watched earlier than their next occurrence.
    assert not env.state(hourly).covered
    assert env.state(retries).runs
    due = [job for job in api.get("/jobs").json if job["next_run_time"]]
    backend.use(env.scheduling, stage="")
    return Stage(api, sorted(due, key=lambda job: (job["next_run_time"], job["id"])))


def pages(api: Api, path: str) -> list[Any]:
    """Return the documents of all pages."""
    found = []
    while path:
        answer = api.get(path)
        found.append(answer.json)
        path = next_path(answer)
    return found


def test_jobs_come_in_the_order_in_which_they_are_due(stage: Stage) -> None:
    api, due = stage.api, stage.due
    assert len(due) == 10
    for limit in (1, 3, 10, 100):
        found = pages(api, f"/jobs?limit={limit}{SORTED}")
        assert [job for page in found for job in page] == due
        assert len(found) == -(-len(due) // limit)
    assert api.get("/jobs?sort=next_run_time").json == due


def test_of_many_jobs_each_comes_once_and_early_ones_are_those_that_are_watched_early(
    stage: Stage,
) -> None:
    api, due = stage.api, stage.due
    with stage.many():
        assert api.get("/jobs?sort=next_run_time").json == due
        for limit in (1, 4):
            listed = [job for page in pages(api, f"/jobs?limit={limit}{SORTED}") for job in page]
            assert sorted(listed, key=due.index) == due
            others = [job for job in listed if job["name"] not in ("hourly", "retries")]
            assert others == [job for job in due if job in others]


@pytest.mark.parametrize("many", [False, True])
def test_filters_and_what_is_included_go_with_the_order(stage: Stage, many: bool) -> None:
    api, due = stage.api, stage.due
    with stage.many(are=many):
        assert api.get(f"/jobs?label=n:1{SORTED}").json == [due[0]]
        crons = [job for job in due if job["name"].startswith("cron")]
        assert api.get(f"/jobs?name=cron&status=active{SORTED}").json == crons
        (first, *_) = api.get(f"/jobs?limit=1&include=recent_runs{SORTED}").json
    assert len(first.pop("recent_runs")) == 20
    assert first == due[0]
    assert first["result"]["status"] == "succeeded"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=name", "sort"),
        ("sort=next_run_time&status=paused", "status"),
        ("sort=next_run_time&limit=0", "limit"),
    ],
)
def test_a_wrong_order_is_refused(stage: Stage, query: str, field: str) -> None:
    assert stage.api.get(f"/jobs?{query}").fields == [field]


def test_a_cursor_is_of_one_order_and_ends_when_the_jobs_have_become_many(stage: Stage) -> None:
    api = stage.api
    newest, soonest = (next_path(api.get(f"/jobs?limit=1{order}")) for order in ("", SORTED))
    assert api.get(f"{newest}{SORTED}").status == 400
    with stage.many():
        assert api.get(soonest).status == 400
        of_many = next_path(api.get(f"/jobs?limit=1{SORTED}"))
        assert api.get(of_many).status == 200
    assert api.get(of_many).status == 200
    for forged in ("due#x", "watch#2026-11-23T10:00:00.000000Z#0#x", "~"):
        assert api.get(forged_path("/jobs", [("sort", "next_run_time")], forged)).status == 400


def forged_path(path: str, filters: list[tuple[str, str]], position: str) -> str:
    """Return a page's path with a cursor for a position that Resona has not given out."""
    bound = json.dumps(["local", path, filters, position])
    text = f"{hashlib.sha256(bound.encode()).hexdigest()[:16]}{position}"
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return f"{path}?{urlencode([*filters, ('cursor', cursor)])}"


def occurrences(stage: Stage, due: list[dict[str, Any]], hours: int) -> list[tuple[str, str]]:
    """Return when the jobs are due, by the preview of their triggers."""
    found = []
    now = stage.api.env.now
    until = format_instant(now + timedelta(hours=hours))
    for job in due:
        asked = {"trigger": job["trigger"], "after": now.isoformat(), "count": 100}
        times = stage.api.post("/triggers/preview", asked).json["next_run_times"]
        found += [(at, job["id"]) for at in times if at < until]
    return sorted(found)


def listed(page: Any) -> list[tuple[str, str]]:
    return [(one["scheduled_time"], one["job_id"]) for one in page["occurrences"]]


@pytest.mark.parametrize("many", [False, True])
def test_what_comes_due_comes_in_time_order(stage: Stage, many: bool) -> None:
    expected = occurrences(stage, stage.due, 1)
    assert len(expected) == 59 + 12 + 3
    for limit in (37, 100):
        with stage.many(are=many):
            found = pages(stage.api, f"/upcoming?hours=1&limit={limit}")
        assert [one for page in found for one in listed(page)] == expected
        assert len(found) == -(-len(expected) // limit)
        for page in found[:-1]:
            assert page["complete_until"] == page["occurrences"][-1]["scheduled_time"]
        assert {page["until"] for page in found} == {"2026-11-23T11:26:00Z"}
        assert found[-1]["complete_until"] == "2026-11-23T11:26:00Z"


def test_an_occurrence_says_of_which_job_it_is(stage: Stage) -> None:
    job = stage.api.get("/jobs/key:in-3").json
    (only,) = [
        one
        for page in pages(stage.api, "/upcoming?hours=4&limit=100")
        for one in page["occurrences"]
        if one["key"] == "in-3"
    ]
    assert only == {
        "job_id": job["id"],
        "key": "in-3",
        "name": "in 3",
        "labels": {},
        "scheduled_time": job["next_run_time"],
        "skipped": False,
    }


@pytest.mark.parametrize("many", [False, True])
def test_a_label_leaves_the_occurrences_of_its_jobs(stage: Stage, many: bool) -> None:
    of_label = [job for job in stage.due if job["labels"] == {"n": "2"}]
    with stage.many(are=many):
        page = stage.api.get("/upcoming?label=n:2").json
    assert listed(page) == occurrences(stage, of_label, 24) != []
    assert page["complete_until"] == page["until"] == "2026-11-24T10:26:00Z"


def test_an_overdue_job_is_listed_with_the_occurrence_that_it_owes_and_its_later_ones(
    api: Api,
) -> None:
    job_id = api.register(trigger={"cron": "*/10 * * * *"})["id"]
    api.env.advance(minutes=1)
    api.env.wakes = api.env.sweeps = False
    api.env.cloud.messages.clear()
    api.env.advance(minutes=33)
    expected = ["10:10", "10:40", "10:50", "11:00", "11:10", "11:20", "11:30"]
    assert listed(api.get("/upcoming?hours=1").json) == [
        (f"2026-11-23T{at}:00Z", job_id) for at in expected
    ]


def test_of_more_jobs_than_one_call_reads_those_due_first_are_listed_and_the_answer_says_so(
    stage: Stage,
) -> None:
    """The sweeper's index has the jobs of another tenant, too."""
    table, due = stage.api.env.cloud.tables["jobs"], stage.due
    state = dump_state(replace(stage.api.env.state(due[0]["id"]), tenant="other"))
    others = [f"{least_job_id(START)[:-6]}{number + 900_000}" for number in range(MOST_READ)]
    for number, name in enumerate(others):
        item = {"id": name, "part": "state", "watch_shard": str(number % 16), "state": state}
        table[name, "state"] = {key: {"S": value} for key, value in item.items()}
        table[name, "state"] |= {
            "watch_at": {"S": "2026-11-23T10:42:30.000000Z"},
            "revision": {"N": "1"},
        }
    known = [one for one in occurrences(stage, due, 1) if one[0] <= "2026-11-23T10:42:00Z"]
    with stage.many():
        found = pages(stage.api, "/upcoming?hours=1&limit=15")
        first = stage.api.get("/jobs?sort=next_run_time")
        rest = stage.api.get(next_path(first))
    for name in others:
        del table[name, "state"]
    assert [one for page in found for one in listed(page)] == known
    assert (found[-1]["complete_until"], found[-1]["until"]) == (
        "2026-11-23T10:42:00Z",
        "2026-11-23T11:26:00Z",
    )
    assert sorted(first.json + rest.json, key=due.index) == due
    assert len(rest.json) > 3


@pytest.mark.parametrize(
    "query", ["hours=0", "hours=169", "hours=1.5", "label=x", "limit=101", "job=x"]
)
def test_a_wrong_query_is_refused(stage: Stage, query: str) -> None:
    assert stage.api.get(f"/upcoming?{query}").fields == [query.partition("=")[0]]


def test_nothing_comes_due_without_jobs(api: Api) -> None:
    page = api.get("/upcoming?hours=168").json
    assert page["occurrences"] == []
    assert page["complete_until"] == page["until"]
    for position in ("~", "2026-11-23T10:00:00Z#job_1#2026-11-23T10:00:00Z"):
        assert api.get(forged_path("/upcoming", [], position)).status == 400
