"""Jobs fire for real: Resona calls a receiver at the due time."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from tests.acceptance.receivers import Receiving, body_of
from tests.acceptance.served import Served
from tests.soak import IS_SOAK

# One laptop for all of them.
pytestmark = pytest.mark.xdist_group("test_firing")


@pytest.fixture(scope="module", autouse=True)
def minutely(served: Served, receiver: Receiving) -> Any:
    """A minutely cron that runs while the other tests do; the last test looks at it."""
    return served.register(receiver.address("/minutely"), {"cron": "* * * * *"})


@pytest.fixture(scope="module", autouse=True)
def three_times(served: Served, receiver: Receiving) -> Any:
    """An interval that ends while the other tests run; the last test but one looks at it."""
    return served.register(receiver.address("/three"), {"every": 10, "max_runs": 3})


@pytest.fixture(scope="module", autouse=True)
def paused_and_skipped(served: Served, receiver: Receiving) -> Any:
    """An interval that is paused for 15 s and then skips one; a later test looks at it."""
    job = served.register(receiver.address("/resumes"), {"every": 10})
    until = (served.now() + timedelta(seconds=15)).replace(microsecond=0)
    asked = {"until": until.isoformat(), "reason": "a test"}
    shown = served.post(f"/jobs/{job['id']}/pause", asked).json()
    assert shown["pause"]["reason"] == "a test"
    assert served.post(f"/jobs/{job['id']}/skip", {"count": 1}).json()["skips"] == 1
    return {**job, "pause": shown["pause"]}


def test_a_delay_fires_in_time_with_what_was_registered(
    served: Served, receiver: Receiving
) -> None:
    sent_at = served.now()
    job = served.register(receiver.address("/delay"), {"delay": 5})
    (got,) = receiver.wait_for([job], 1, 8 + served.slack.total_seconds())
    assert (
        timedelta(seconds=5) - served.slack
        <= got.at - sent_at
        <= timedelta(seconds=6.5) + served.slack
    )
    assert (got.method, body_of(got), got.headers["X-Test"]) == ("POST", {"key": "value"}, "yes")
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"] == "Resona/0.2.0"
    shown = served.wait_for(f"/jobs/{job['id']}", lambda shown: shown["status"] == "completed", 2)
    assert shown["next_run_time"] is None
    result = shown["result"]
    assert (result["status"], result["status_code"], result["body"], result["attempts"]) == (
        "succeeded",
        200,
        got.answer,
        1,
    )
    assert got.answer_headers.items() <= result["headers"].items()
    assert result["run_id"] == got.headers["Resona-Run-Id"] == got.headers["Idempotency-Key"]


def test_a_date_fires_in_time(served: Served, receiver: Receiving) -> None:
    date = (served.now() + timedelta(seconds=4)).replace(microsecond=0)
    job = served.register(receiver.address("/date"), {"date": date.isoformat()})
    (got,) = receiver.wait_for([job], 1, 8 + served.slack.total_seconds())
    assert -served.slack <= got.at - date <= timedelta(seconds=1) + served.slack
    served.wait_for(f"/jobs/{job['id']}", lambda shown: shown["status"] == "completed", 2)


def test_a_failing_receiver_gets_three_attempts(served: Served, receiver: Receiving) -> None:
    job = served.register(
        receiver.address("/flaky", failing=2),
        {"delay": 0},
        retry={"max_attempts": 3, "initial_delay": 1, "max_delay": 60},
    )
    first, second, third = receiver.wait_for([job], 3, 15 + served.slack.total_seconds())
    assert len({got.headers["Idempotency-Key"] for got in (first, second, third)}) == 1
    assert [got.headers["Resona-Attempt"] for got in (first, second, third)] == ["1", "2", "3"]
    assert third.at - second.at > second.at - first.at > timedelta(seconds=1)
    served.wait_for(f"/jobs/{job['id']}", lambda shown: shown["status"] == "completed", 2)
    (run,) = served.get(f"/jobs/{job['id']}/runs")
    assert [attempt["status_code"] for attempt in run["attempts"]] == [
        receiver.failure,
        receiver.failure,
        200,
    ]
    assert run["status"] == "succeeded"


def test_long_work_is_completed_by_callback_without_a_key(
    served: Served, receiver: Receiving
) -> None:
    job = served.register(
        receiver.address("/work"), {"delay": 0}, completion="callback", deadline=60
    )
    (got,) = receiver.wait_for([job], 1, 8 + served.slack.total_seconds())
    runs = f"/jobs/{job['id']}/runs"
    (run,) = served.wait_for(runs, lambda runs: runs[0]["status"] == "waiting", 3)
    url = got.headers["Resona-Complete-Url"]
    assert url.startswith(f"{served.url}/complete/{run['id']}.1.")

    def say(url: str, said: dict[str, Any]) -> int:
        return requests.post(url, json=said, timeout=served.timeout_seconds).status_code

    assert say(f"{url[:-4]}AAAA", {"status": "succeeded"}) == 404
    assert say(url, {"extend": 600}) == 200
    assert say(url, {"status": "succeeded", "body": "done"}) == 204
    assert say(url, {"status": "failed"}) == 410
    (run,) = served.get(runs)
    assert (run["status"], run["attempts"][0]["status_code"]) == ("succeeded", 200)
    shown = served.get(f"/jobs/{job['id']}")
    assert (shown["status"], shown["result"]["body"]) == ("completed", "done")


def test_paused_deleted_and_replaced_jobs_do_not_fire(served: Served, receiver: Receiving) -> None:
    names = ("paused", "deleted", "replaced", "late", "let")
    # Long enough for all that has to be acknowledged before it.
    trigger = {"delay": 3 + served.slack.total_seconds()}
    jobs = [{"name": what, "request": receiver.witness(what), "trigger": trigger} for what in names]
    made = {job["name"]: served.post("/jobs", job).json() for job in jobs}
    served.post(f"/jobs/{made['paused']['id']}/pause")
    assert (
        served.post(f"/jobs/{made['replaced']['id']}", {"trigger": {"delay": 600}}).status_code
        == 200
    )
    assert served.delete(f"/jobs/{made['deleted']['id']}").status_code == 204
    due = datetime.fromisoformat(made["late"]["next_run_time"])
    time.sleep(max(0, (due - timedelta(seconds=1) - served.now()).total_seconds()))
    assert served.post(f"/jobs/{made['late']['id']}/pause").status_code == 200
    time.sleep(4 + served.slack.total_seconds())
    assert [what for what in names if receiver.was_sent(what)] == ["let"]


def test_a_backfill_of_five_days_fires_five_runs_in_order(
    served: Served, receiver: Receiving
) -> None:
    last = served.now().replace(second=0, microsecond=0) - timedelta(hours=1)
    trigger = {"cron": f"{last.minute} {last.hour} * * *"}
    job = served.register(receiver.address("/backfill"), trigger)
    path, days = f"/jobs/{job['id']}", [last - timedelta(days=ago) for ago in (4, 3, 2, 1, 0)]
    past = {"from": days[0].isoformat(), "to": last.isoformat()}
    answer = served.post(f"{path}/backfill", past)
    assert (answer.status_code, answer.json()) == (202, {"runs": 5})
    got = receiver.wait_for([job], 5, 15 + served.slack.total_seconds())
    due = [datetime.fromisoformat(one.headers["Resona-Scheduled-Time"]) for one in got]
    assert due == days
    shown = served.wait_for(path, lambda shown: shown["backfill"] is None, 2)
    assert (shown["status"], shown["next_run_time"]) == ("active", job["next_run_time"])
    runs = served.get(f"{path}/runs")
    assert [run["cause"] for run in runs] == ["backfill"] * 5
    assert [run["id"] for run in runs] == [one.headers["Resona-Run-Id"] for one in reversed(got)]


def test_200_jobs_due_in_the_same_second_all_fire_once(served: Served, receiver: Receiving) -> None:
    date = (served.now() + timedelta(seconds=8) + served.slack).replace(microsecond=0)
    with ThreadPoolExecutor(served.clients) as threads:
        jobs = list(
            threads.map(
                lambda n: served.register(
                    receiver.address("/burst"), {"date": date.isoformat()}, name=f"job {n}"
                ),
                range(200),
            )
        )
    receiver.wait_for(jobs, 200, 25 + served.slack.total_seconds())
    time.sleep(1)
    got = receiver.came_of(jobs)
    assert len(got) == 200
    assert {one.headers["Resona-Job-Id"] for one in got} == {job["id"] for job in jobs}
    assert max(one.at for one in got) - date <= timedelta(seconds=10) + served.slack
    assert min(one.at for one in got) >= date - served.slack


def test_fifty_jobs_that_fail_are_told_in_time_by_one_signed_digest(
    served: Served, receiver: Receiving
) -> None:
    label = {"batch": f"{time.time_ns()}"}
    window = 10
    channel = {
        "url": receiver.address("/told"),
        "label": f"batch:{label['batch']}",
        "digest": window,
    }
    assert served.request("PUT", "/notices/fifty", channel).status_code == 200
    # The stage that serves may be a tenant's own: leave no channel there.
    try:
        begin = (served.now() + timedelta(seconds=4) + served.slack).replace(microsecond=0)
        url = receiver.address("/failing", failing=50)
        jobs = [
            {
                "name": f"failing {number}",
                "request": {"url": url},
                "trigger": {"date": (begin + timedelta(seconds=number % 6)).isoformat()},
                "retry": {"max_attempts": 1},
                "labels": {**served.labels, **label},
            }
            for number in range(50)
        ]
        assert served.post("/jobs/batch", {"jobs": jobs}).status_code == 200
        # The window ends by the clock, and nothing tells of it before.
        time.sleep((begin - served.now()).total_seconds() + window)
        listed = "/jobs?kind=notice&label=channel:fifty"
        (notice,) = served.wait_for(
            listed, lambda found: found and found[0]["status"] == "completed", 25
        )
    finally:
        served.delete("/notices/fifty")
    told = json.loads(notice["request"]["body"])
    assert (told["count"], told["counts"], len(told["examples"])) == (50, {"run.failed": 50}, 20)
    codes = [one["run"]["attempts"][0]["status_code"] for one in told["examples"]]
    assert codes == [receiver.failure] * 20
    first = datetime.fromisoformat(told["since"])
    sent = datetime.fromisoformat(notice["result"]["started_at"])
    assert begin - served.slack <= first <= begin + timedelta(seconds=2) + served.slack
    assert sent - first <= timedelta(seconds=window + 2) + served.slack
    if receiver.shows_requests:
        (got,) = receiver.came_of([notice])
        assert got.body.decode() == notice["request"]["body"]
        Webhook(served.get("/signing-secret")["secret"]).verify(got.body, dict(got.headers))


def test_a_pause_ends_on_its_second_and_one_occurrence_is_skipped(
    served: Served, receiver: Receiving, paused_and_skipped: Any
) -> None:
    job, step = paused_and_skipped, timedelta(seconds=10)
    (got, *_) = receiver.wait_for([job], 1, 35 + served.slack.total_seconds())
    until = datetime.fromisoformat(job["pause"]["until"])
    due_at = datetime.fromisoformat(job["next_run_time"])
    while due_at < until:
        due_at += step
    # The first occurrence after the pause is the one that is skipped.
    sent_at = datetime.fromisoformat(got.headers["Resona-Scheduled-Time"])
    assert sent_at == due_at + step
    assert -served.slack <= got.at - sent_at <= timedelta(seconds=2) + served.slack
    shown = served.get(f"/jobs/{job['id']}")
    assert (shown["status"], shown["pause"], shown["skips"]) == ("active", None, 0)
    runs = [(run["scheduled_time"], run["reason"]) for run in served.get(f"/jobs/{job['id']}/runs")]
    assert runs[-1] == (f"{due_at:%Y-%m-%dT%H:%M:%SZ}", "asked")
    assert served.delete(f"/jobs/{job['id']}").status_code == 204


def test_jobs_that_are_due_at_once_arrive_evenly_by_the_rate_of_their_flow(
    served: Served, receiver: Receiving
) -> None:
    count, rate = (200, 20) if IS_SOAK else (15, 10)
    name = f"even-{time.time_ns()}"
    limit = {"rate": {"requests": rate, "seconds": 1}}
    assert served.request("PUT", f"/flows/{name}", limit).status_code == 200
    try:
        begin = (served.now() + timedelta(seconds=5) + served.slack).replace(microsecond=0)
        jobs = [
            {
                "name": f"even {number}",
                "request": {"url": receiver.address("/even")},
                "trigger": {
                    "date": (begin + timedelta(seconds=0 if number % 2 else 2)).isoformat()
                },
                "flow": name,
                "labels": served.labels,
            }
            for number in range(count)
        ]
        made = [
            result["job"]
            for start in range(0, count, 100)
            for result in served.post("/jobs/batch", {"jobs": jobs[start : start + 100]}).json()[
                "results"
            ]
        ]
        seconds = 8 + count / rate + served.slack.total_seconds()
        got = sorted(receiver.wait_for(made, count, seconds), key=lambda one: one.at)
    finally:
        served.delete(f"/flows/{name}")
    # The tests share two cores with others.
    most = int(rate * 1.1) if IS_SOAK else 2 * rate
    for first, last in zip(got, got[most:], strict=False):
        assert last.at - first.at >= timedelta(seconds=1) - served.slack
    assert got[-1].at - got[0].at >= (count - 1) * timedelta(seconds=1) / rate * 0.95
    due = [one.headers["Resona-Scheduled-Time"] for one in got]
    assert not IS_SOAK or due == sorted(due)
    (run,) = served.get(f"/jobs/{got[-1].headers['Resona-Job-Id']}/runs")
    assert run["waited_ms"] > 0
    assert run["lateness_ms"] < 2000 + served.slack.total_seconds() * 1000


def test_an_interval_fires_every_ten_seconds_without_drift_and_ends(
    served: Served, receiver: Receiving, three_times: Any
) -> None:
    calls = receiver.wait_for([three_times], 3, 35 + served.slack.total_seconds())
    first = datetime.fromisoformat(three_times["next_run_time"])
    times = [first + number * timedelta(seconds=10) for number in range(3)]
    named = [got.headers["Resona-Scheduled-Time"] for got in calls]
    assert [datetime.fromisoformat(name) for name in named] == times
    # The other tests run meanwhile, and one of them sends many requests at once.
    late = sorted(got.at - at for got, at in zip(calls, times, strict=True))
    assert late[0] >= -served.slack
    assert late[1] <= timedelta(seconds=1) + served.slack
    shown = served.wait_for(
        f"/jobs/{three_times['id']}", lambda shown: shown["status"] == "completed", 2
    )
    assert shown["next_run_time"] is None


def test_a_resumed_cron_fires_at_its_next_time_and_a_minutely_one_every_minute(
    served: Served, receiver: Receiving, minutely: Any
) -> None:
    resumed = served.register(receiver.address("/resumed"), {"cron": "* * * * *"})
    served.post(f"/jobs/{resumed['id']}/pause")
    shown = served.post(f"/jobs/{resumed['id']}/resume").json()
    first, second = receiver.wait_for([minutely], 2, 130 + served.slack.total_seconds())[:2]
    due_at = datetime.fromisoformat(minutely["next_run_time"])
    for minutes, got in enumerate((first, second)):
        assert (
            -served.slack
            <= got.at - due_at - timedelta(minutes=minutes)
            <= timedelta(seconds=2) + served.slack
        )
    runs = served.wait_for(
        f"/jobs/{minutely['id']}/runs",
        lambda runs: len([run for run in runs if run["status"] == "succeeded"]) >= 2,
        2,
    )
    assert runs[-1]["scheduled_time"] == minutely["next_run_time"]
    (after_resume, *_) = receiver.wait_for([resumed], 1, 65 + served.slack.total_seconds())
    late = after_resume.at - datetime.fromisoformat(shown["next_run_time"])
    assert -served.slack <= late <= timedelta(seconds=2) + served.slack
