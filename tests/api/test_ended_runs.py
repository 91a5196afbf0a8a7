"""GET /runs: failed and missed runs of all jobs, or those with another status."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws.ended_runs_index import OK_SHARDS, WRONG_SHARDS
from tests.api.conftest import Api
from tests.api.test_list_jobs import next_path
from tests.bench.meter import Usage
from tests.bench.operations import KB, bench
from tests.environment import ok, status


def failing(api: Api, *codes: int) -> list[str]:
    """Register jobs that fail, each a second after the one before it, and return their ids in the
    order of their ends.
    """
    made = []
    for number, code in enumerate(codes):
        url = f"http://example.com/{code}/{number}"
        made.append(
            api.register(
                trigger={"delay": number + 1}, request={"url": url}, retry={"max_attempts": 1}
            )["id"]
        )
    api.env.target = lambda sent: (
        ok() if "/200/" in sent.request.url else status(int(sent.request.url.split("/")[3]))
    )
    api.env.advance(seconds=len(codes) + 10)
    return made


def unnamed(runs: list[Any]) -> list[Any]:
    """Return runs as their jobs' lists show them, after looking that each has its job's name."""
    assert {run["job_name"] for run in runs} <= {"My Job"}
    return [{name: run[name] for name in run if name != "job_name"} for run in runs]


def jobs_of(api: Api, path: str = "/runs") -> list[str]:
    answer = api.get(path)
    assert answer.status == 200, answer.text
    return [run["job_id"] for run in answer.json]


def test_runs_that_failed_come_last_first_and_those_that_succeeded_do_not(api: Api) -> None:
    made = failing(api, 404, 200, 500, 404)
    assert jobs_of(api) == [made[3], made[2], made[0]]


def test_a_run_is_shown_as_in_the_list_of_its_job(api: Api) -> None:
    (job_id,) = failing(api, 404)
    assert unnamed(api.get("/runs").json) == api.get(f"/jobs/{job_id}/runs").json


def test_a_run_that_is_tried_again_is_shown_once_with_its_attempts_when_it_has_failed(
    api: Api,
) -> None:
    job_id = api.register(retry={"max_attempts": 3, "initial_delay": 10})["id"]
    api.env.target = lambda sent: status(503)
    api.env.advance(seconds=10)
    assert jobs_of(api) == []
    api.env.advance(minutes=2)
    (run,) = api.get("/runs").json
    assert (run["job_id"], run["status"], len(run["attempts"])) == (job_id, "failed", 3)
    assert "response" not in run["attempts"][0]


def test_a_retry_that_succeeds_leaves_nothing_behind(api: Api) -> None:
    api.register()
    api.env.target = lambda sent: status(503) if sent.headers["Resona-Attempt"] == "1" else ok()
    api.env.advance(minutes=2)
    assert len(api.env.sent) == 2
    assert jobs_of(api) == []


def test_a_superseded_run_counts_as_failed(api: Api) -> None:
    job_id = api.register(
        trigger={"cron": "* * * * *"}, retry={"max_attempts": 3, "initial_delay": 600}
    )["id"]
    api.env.target = lambda sent: status(503)
    api.env.advance(minutes=1)
    api.post(f"/jobs/{job_id}/pause")
    api.env.advance(seconds=10)
    (run,) = api.get("/runs").json
    assert (run["status"], run["reason"], len(run["attempts"])) == ("failed", "superseded", 1)


def missed_and_failed(api: Api) -> tuple[str, str]:
    missed = api.register(misfire_grace=1, trigger={"delay": 5})["id"]
    api.env.cloud.messages.clear()
    (failed,) = failing(api, 404)
    api.env.advance(minutes=3)
    return missed, failed


def test_missed_runs_are_among_them_and_skipped_ones_are_not(api: Api) -> None:
    missed, failed = missed_and_failed(api)
    assert jobs_of(api) == [missed, failed]
    assert jobs_of(api, "/runs?status=missed") == [missed]
    assert jobs_of(api, "/runs?status=failed") == [failed]
    (run,) = unnamed(api.get("/runs?status=missed").json)
    assert (run["missed_count"], run["reason"]) == (1, "misfire")
    assert api.get(f"/jobs/{missed}/runs").json == [run]
    assert api.get(f"/jobs/{missed}/runs/{run['id']}").json == run


def test_since_is_the_earliest_end_that_is_shown(api: Api) -> None:
    made = failing(api, 404, 404, 404)
    second = api.get(f"/jobs/{made[1]}/runs").json[0]["finished_at"]
    assert jobs_of(api, f"/runs?since={second}") == [made[2], made[1]]
    assert jobs_of(api, "/runs?since=2026-11-23T12:00:00Z") == []
    assert jobs_of(api, "/runs?since=2026-11-23T10:00:00%2B01:00") == list(reversed(made))


def test_pages_follow_each_other_without_gap_or_repeat(api: Api) -> None:
    made = failing(api, *[404] * 23)
    for limit, pages in ((1, 23), (5, 5), (23, 1), (100, 1)):
        paged: list[str] = []
        path, count = f"/runs?limit={limit}&status=failed", 0
        while path:
            answer = api.get(path)
            paged += [run["job_id"] for run in answer.json]
            path, count = next_path(answer), count + 1
        assert paged == list(reversed(made))
        assert count == pages


def test_the_runs_of_a_deleted_job_disappear_with_it(api: Api) -> None:
    made = failing(api, 404, 404, 404)
    api.delete(f"/jobs/{made[1]}")
    assert jobs_of(api) == [made[2], made[0]]
    assert jobs_of(api, "/runs?limit=1") == [made[2]]
    assert jobs_of(api, next_path(api.get("/runs?limit=1"))) == [made[0]]


def test_runs_that_have_expired_are_not_shown(api: Api) -> None:
    failing(api, 404)
    # Nothing is due in between, and a month of sweeps would take half a minute.
    api.env.now += timedelta(days=30, minutes=1)
    assert jobs_of(api) == []


def test_the_runs_of_another_tenant_are_not_shown(api: Api) -> None:
    made = failing(api, 404, 200)
    for item in api.env.cloud.tables["runs"].values():
        item["wrong_shard"] = {"S": item["wrong_shard"]["S"].replace("local", "other")}
    assert jobs_of(api) == jobs_of(api, "/runs?status=any") == []
    assert api.get(f"/jobs/{made[0]}/runs").json


def test_a_page_reads_each_shard_once(api: Api) -> None:
    failing(api, 404, 404, 404)
    api.env.cloud.calls.clear()
    answer = api.get("/runs?limit=2")
    assert (len(answer.json), "Link" in answer.headers) == (2, True)
    # And each run that is shown.
    assert api.env.cloud.calls.count("Query") == WRONG_SHARDS + 2
    api.env.cloud.calls.clear()
    api.get("/runs?limit=2&status=any")
    assert api.env.cloud.calls.count("Query") == WRONG_SHARDS + OK_SHARDS + 2


def test_a_page_that_finds_little_ends_early_and_leads_on(api: Api) -> None:
    made = failing(api, *[404] * 8)
    for job_id in made[1:]:
        api.delete(f"/jobs/{job_id}")
    records = api.env.cloud.tables["runs"]
    for (job_id, sort), item in list(records.items()):
        for number in range(200 if job_id != made[0] else 0):
            at = item["wrong_at"]["S"]
            copied = f"{sort[:-2]}{number:04d}"
            records[job_id, copied] = {
                **item,
                "sort": {"S": copied},
                "wrong_at": {"S": f"{at}{number:04d}"},
            }
    first = api.get("/runs")
    assert first.json == []
    assert jobs_of(api, next_path(first)) == [made[0]]


def test_no_runs_are_an_empty_list(api: Api) -> None:
    answer = api.get("/runs")
    assert (answer.status, answer.text, "Link" in answer.headers) == (200, "[]", False)


@pytest.mark.parametrize(
    "query",
    [
        "status=running",
        "status=",
        "limit=0",
        "since=yesterday",
        "since=2026-11-23T10:00:00",
        "until=today",
        "label=team",
        "job=x",
    ],
)
def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    assert api.get(f"/runs?{query}").fields == [query.partition("=")[0]]


def test_a_cursor_that_is_not_of_this_list_is_refused(api: Api) -> None:
    failing(api, 404, 404)
    path = next_path(api.get("/runs?limit=1"))
    assert api.get(f"{path}x").status == 400
    assert api.get(path.replace("/runs?", "/runs?status=failed&")).status == 400
    assert api.get("/runs?cursor=AAAA").status == 400


def test_a_forged_cursor_is_refused_before_it_is_asked_for(api: Api) -> None:
    """The mark of a cursor is no secret: whoever makes one for a position of his own is refused by
    the position.
    """
    for position in ("x" * 1025, "~", "2026-11-23T10:00:00.000000Z#failed#job_1#x"):
        mark = hashlib.sha256(json.dumps(["local", "/runs", [], position]).encode()).hexdigest()[
            :16
        ]
        cursor = base64.urlsafe_b64encode(f"{mark}{position}".encode()).decode().rstrip("=")
        assert api.get(f"/runs?cursor={cursor}").status == 400


def test_every_ended_run_costs_one_write_for_it() -> None:
    def fired(code: int) -> tuple[Usage, int]:
        with bench(KB) as made:
            made.settled()
            made.env.target = lambda sent: status(code) if code != 200 else ok()
            made.advance(minutes=29)
            made.env.cloud.writes.clear()
            used = made.fired(seconds=65)
            return used, sum(
                write.index_units for write in made.env.cloud.writes if write.what == "record"
            )

    assert fired(200)[1] == fired(404)[1] == 1
    # It is tried again: the run has not ended.
    assert fired(503)[1] == 0


def ends_of_every_kind(api: Api) -> list[dict[str, Any]]:
    """Let runs end with every status, and return those that have ended, the last to end first."""
    missed_and_failed(api)
    api.env.target = lambda sent: status(503) if "retried" in sent.request.url else ok()
    retried = {"url": "http://example.com/retried"}
    for request, labels in ((retried, {"team": "a"}), (None, {"team": "b", "a": "b:c"})):
        made = {"request": request} if request else {}
        api.register(
            trigger={"cron": "* * * * *"},
            overlap="skip",
            retry={"max_attempts": 2, "initial_delay": 90},
            labels=labels,
            **made,
        )
    api.env.advance(minutes=4)
    runs = [run for job in api.get("/jobs").json for run in api.get(f"/jobs/{job['id']}/runs").json]
    ended = [run for run in runs if run["finished_at"]]
    assert len(ended) < len(runs), "one is still to be tried again"
    return sorted(ended, key=lambda run: str(run["finished_at"]), reverse=True)


def test_runs_of_every_status_can_be_asked_for(api: Api) -> None:
    ended = ends_of_every_kind(api)
    assert unnamed(api.get("/runs?status=any").json) == ended
    for one in ("succeeded", "failed", "missed", "skipped"):
        with_it = [run for run in ended if run["status"] == one]
        assert with_it
        assert unnamed(api.get(f"/runs?status={one}").json) == with_it
    paged: list[Any] = []
    path = "/runs?status=any&limit=3"
    while path:
        answer = api.get(path)
        paged += answer.json
        path = next_path(answer)
    assert unnamed(paged) == ended


def test_until_is_the_first_end_that_is_not_shown(api: Api) -> None:
    ended = ends_of_every_kind(api)
    # Positions have microseconds, of which the API shows milliseconds.
    until = f"until={ended[2]['finished_at']}"
    assert unnamed(api.get(f"/runs?status=any&{until}").json) == ended[3:]
    since = f"since={ended[5]['finished_at']}"
    assert unnamed(api.get(f"/runs?status=any&{since}&{until}").json) == ended[3:6]
    first = api.get(f"/runs?status=any&{since}&{until}&limit=2")
    assert unnamed(first.json) == ended[3:5]
    assert unnamed(api.get(next_path(first)).json) == ended[5:6]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/runs"), ("POST", "/runs/retry"), ("GET", "/runs/hours")]
)
def test_a_span_that_ends_before_it_begins_is_refused(api: Api, method: str, path: str) -> None:
    late, early = "since=2026-11-23T10:00:01Z", "until=2026-11-23T11:00:00%2B01:00"
    assert api.call(method, f"{path}?{late}&{early}").fields == ["since"]


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/runs"), ("POST", "/runs/retry"), ("GET", "/runs/hours")]
)
def test_an_offset_whose_plus_became_a_space_is_told_how_to_write_it(
    api: Api, method: str, path: str, name: str
) -> None:
    answer = api.call(method, f"{path}?{name}=2026-11-23T10:00:00+01:00")
    assert answer.fields == [name]
    assert "write %2B, or the time in UTC with Z" in answer.problem["detail"]


def test_a_label_leaves_the_runs_of_the_jobs_that_have_it_now(api: Api) -> None:
    ended = ends_of_every_kind(api)
    team_a, team_b = (api.get(f"/jobs?label=team:{team}").json[0]["id"] for team in "ab")
    for label, job_id in (("team:a", team_a), ("team:b", team_b), ("a:b:c", team_b)):
        shown = unnamed(api.get(f"/runs?status=any&label={label}").json)
        assert shown == [run for run in ended if run["job_id"] == job_id]
    api.patch(f"/jobs/{team_b}", {"labels": {"team": "a"}})
    with_a = [run for run in ended if run["job_id"] in (team_a, team_b)]
    assert unnamed(api.get("/runs?status=any&label=team:a").json) == with_a
    assert api.get("/runs?status=any&label=team:b").json == []
