"""GET /runs/hours: how many runs ended in each hour, and how late they started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.ended_runs_index import index_keys
from chalicelib.aws.hour_store import SETTLED
from chalicelib.domain.ids import RunKey, least_job_id
from chalicelib.domain.instant import format_instant
from chalicelib.domain.run import RunStatus
from chalicelib.usecases.run_hours import RunHours, run_hours
from tests.api.conftest import Api
from tests.environment import START, ok, status

SUCCEEDED, FAILED = RunStatus.SUCCEEDED, RunStatus.FAILED
EMPTY = {"succeeded": 0, "failed": 0, "missed": 0, "skipped": 0, "lateness_ms": None}
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


def end(
    api: Api,
    at: datetime,
    status: RunStatus = SUCCEEDED,
    late: int | None = 40,
    number: int = 0,
    tenant: str = "local",
) -> None:
    """Leave the entry of a run that ended at a time, as its record has it."""
    job_id = f"{least_job_id(START)[:-6]}{number:06d}"
    lateness = timedelta(milliseconds=late) if late is not None else None
    keys = index_keys(tenant, job_id, RunKey(at.replace(microsecond=0), 1), status, at, lateness)
    item = {"job_id": job_id, "sort": f"{at.isoformat()}#01", **keys}
    api.env.cloud.tables["runs"][item["job_id"], item["sort"]] = {
        name: {"S": value} for name, value in item.items()
    }


def hours(api: Api, query: str = "") -> Any:
    answer = api.get(f"/runs/hours{query}")
    assert answer.status == 200, answer.text
    return answer.json


def counted(page: Any) -> dict[str, dict[str, Any]]:
    """Return the hours in which a run ended, by their starts without the day."""
    found = {each.pop("hour")[11:13]: each for each in page["hours"]}
    return {hour: counts for hour, counts in found.items() if counts != EMPTY}


def test_a_run_counts_in_the_hour_in_which_it_ended_by_its_status(api: Api) -> None:
    api.register(trigger={"cron": "*/10 * * * *"})
    gone = api.register(trigger={"delay": 1200}, request={"url": "http://example.com/gone"})["id"]
    api.env.target = lambda sent: status(404) if "gone" in sent.request.url else ok()
    api.env.advance(hours=1)
    api.delete(f"/jobs/{gone}")
    page = hours(api)
    assert [each["hour"] for each in page["hours"]][::23] == [
        "2026-11-22T12:00:00Z",
        "2026-11-23T11:00:00Z",
    ]
    assert (page["complete"], page["counted_until"]) == (True, "2026-11-23T11:00:00.250Z")
    total = {**EMPTY, "succeeded": 6, "failed": 1, "lateness_ms": {"p50": 0, "p99": 40}}
    assert page["total"]["succeeded"] == total["succeeded"]
    assert page["total"]["failed"] == total["failed"]
    assert {hour: each["succeeded"] for hour, each in counted(page).items()} == {"10": 5, "11": 1}


def test_lateness_is_given_for_each_hour_and_for_all(api: Api) -> None:
    for number in range(200):
        end(api, MIDNIGHT + 8 * HOUR + timedelta(seconds=number), late=number, number=number)
    end(api, MIDNIGHT + 9 * HOUR, late=4_149)
    end(api, MIDNIGHT + 9 * HOUR, FAILED, late=None, number=1)
    page = hours(api)
    found = counted(page)
    assert found["08"]["lateness_ms"] == {"p50": 99, "p99": 200}
    assert found["09"] == {
        **EMPTY,
        "succeeded": 1,
        "failed": 1,
        "lateness_ms": {"p50": 4_100, "p99": 4_100},
    }
    assert page["total"]["lateness_ms"] == {"p50": 100, "p99": 200}


def test_whole_hours_are_counted_however_the_time_is_given(api: Api) -> None:
    for hour in range(4, 10):
        end(api, MIDNIGHT + hour * HOUR + timedelta(minutes=59))
    page = hours(api, "?since=2026-11-23T05:30:00Z&until=2026-11-23T08:30:00%2B01:00")
    assert [each["hour"][11:13] for each in page["hours"]] == ["05", "06", "07"]
    assert page["total"]["succeeded"] == 3
    assert page["counted_until"] == "2026-11-23T08:00:00.000Z"
    assert len(hours(api, "?since=2026-11-16T10:00:00Z&until=2026-11-23T10:00:00Z")["hours"]) == 168
    assert hours(api, "?since=2026-11-24T10:00:00Z&until=2026-11-24T12:00:00Z")["hours"] == []


def test_the_next_call_reads_only_what_may_have_changed_and_says_the_same(api: Api) -> None:
    for minute in range(0, 24 * 60, 7):
        end(api, START - timedelta(minutes=minute), number=minute, late=minute)
    end(api, START - 3 * HOUR, tenant="other")
    first = hours(api)
    api.env.cloud.calls.clear()
    assert hours(api) == first
    # The hour that goes on, of which less than 15 minutes are over, and the one before it.
    assert api.env.cloud.calls.count("PutItem") == 0
    assert api.env.cloud.calls.count("Query") == 1 + 12
    for key in [key for key in api.env.cloud.tables["runs"] if key[0].startswith("job_")]:
        if key[1] < (START - 2 * HOUR).isoformat():
            del api.env.cloud.tables["runs"][key]
    assert hours(api) == first, "what is kept is not read again"


def test_what_is_kept_can_be_read_by_pieces_and_counts_once(api: Api) -> None:
    for minute in range(0, 24 * 60, 7):
        end(api, START - timedelta(minutes=minute), number=minute)
    whole = {each["hour"]: each for each in hours(api)["hours"]}
    table = api.env.cloud.tables["runs"]
    for key in [key for key in table if key[0] == "local#hours"]:
        del table[key]
    for since, until in ((3, 5), (8, 9), (0, 12), (2, 10)):
        page = hours(
            api,
            f"?since={format_instant(MIDNIGHT + since * HOUR)}"
            f"&until={format_instant(MIDNIGHT + until * HOUR)}",
        )
        assert page["hours"] == [whole[each["hour"]] for each in page["hours"]]
        assert len(page["hours"]) == min(until, 11) - since
    assert list(whole.values()) == hours(api)["hours"]


def test_more_runs_than_one_call_counts_are_counted_by_the_next_ones(api: Api) -> None:
    """One hour alone has more than three calls count, in shards of different sizes."""
    hour = MIDNIGHT + 5 * HOUR
    for number in range(700):
        end(api, hour + timedelta(seconds=number), number=number % 3 if number % 7 else number)
    end(api, hour - HOUR)
    env = api.env
    found: list[RunHours] = []
    while not found or not found[-1].is_complete:
        found.append(run_hours(env.scheduling, "local", hour - HOUR, hour + HOUR, most=20))
        assert len(found) < 40
    assert len(found) > 3
    for part in found[:-1]:
        # The hour that is not counted whole is left out, and the one before it is not.
        assert [counts.statuses.total() for counts in part.hours.values()] == [1]
        assert hour <= part.counted_until < hour + HOUR
    assert [counts.statuses.total() for counts in found[-1].hours.values()] == [1, 700]
    assert hours(api)["total"]["succeeded"] == 701


def test_an_hour_is_kept_only_when_nothing_can_come_any_more(api: Api) -> None:
    end(api, MIDNIGHT + 9 * HOUR + timedelta(minutes=50))
    api.env.now = MIDNIGHT + 10 * HOUR + SETTLED - timedelta(seconds=1)
    assert counted(hours(api))["09"]["succeeded"] == 1
    end(api, MIDNIGHT + 9 * HOUR + timedelta(minutes=51), number=1)
    assert counted(hours(api))["09"]["succeeded"] == 2
    api.env.now += timedelta(seconds=1)
    assert counted(hours(api))["09"]["succeeded"] == 2
    end(api, MIDNIGHT + 9 * HOUR + timedelta(minutes=52), number=2)
    assert counted(hours(api))["09"]["succeeded"] == 2


def test_a_run_that_is_found_to_have_ended_much_later_is_counted_when_it_is_found(
    api: Api,
) -> None:
    """Its record says that it is tried again; its job was paused, and nobody came for hours."""
    job_id = api.register(trigger={"cron": "0 * * * *"})["id"]
    api.env.target = lambda sent: status(503)

    def die(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == "runs":
            raise SystemExit

    api.env.cloud.after = die
    with pytest.raises(SystemExit):
        api.env.advance(hours=1)
    api.env.cloud.after = lambda operation, request: None
    api.post(f"/jobs/{job_id}/pause")
    api.env.cloud.messages.clear()
    api.env.sweeps = False
    api.env.advance(hours=3)
    api.env.sweeps = True
    before = hours(api)
    assert before["total"] == EMPTY
    api.env.advance(minutes=2)
    (run,) = api.get(f"/jobs/{job_id}/runs").json
    assert (run["status"], run["reason"]) == ("failed", "superseded")
    # Of the hours before, that of the attempt among them, the counts are kept.
    assert counted(hours(api)) == {"13": {**EMPTY, "failed": 1}}


def test_the_runs_of_another_tenant_are_not_counted(api: Api) -> None:
    end(api, MIDNIGHT + 9 * HOUR, tenant="other")
    end(api, MIDNIGHT + 9 * HOUR, FAILED, tenant="other", number=1)
    assert hours(api)["total"] == EMPTY


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=today", "since"),
        ("until=2026-11-23", "until"),
        ("since=2026-11-23T10:00:00Z&until=2026-11-23T10:00:00Z", "since"),
        ("since=2026-11-16T09:59:59Z&until=2026-11-23T10:00:00Z", "since"),
        ("limit=5", "limit"),
    ],
)
def test_a_wrong_query_is_refused(api: Api, query: str, field: str) -> None:
    assert api.get(f"/runs/hours?{query}").fields == [field]
