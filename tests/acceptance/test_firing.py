"""Jobs fire for real: a laptop's Resona calls a receiver at the time it was told."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.acceptance.laptop import Laptop, Receiver, body_of

# One laptop for all of them.
pytestmark = pytest.mark.xdist_group("test_firing")


@pytest.fixture(scope="module", autouse=True)
def minutely(laptop: Laptop, receiver: Receiver) -> Any:
    """A minutely cron that runs while the other tests do; the last test looks at it."""
    return laptop.register(f"{receiver.url}/minutely", {"cron": "* * * * *"})


def test_a_delay_fires_in_time_with_what_was_registered(laptop: Laptop, receiver: Receiver) -> None:
    sent_at = datetime.now(UTC)
    job = laptop.register(f"{receiver.url}/delay", {"delay": 5})
    (got,) = receiver.wait_for("/delay", 1, 8)
    assert timedelta(seconds=5) <= got.at - sent_at <= timedelta(seconds=6.5)
    assert (got.method, body_of(got), got.headers["X-Test"]) == ("POST", {"key": "value"}, "yes")
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"] == "Resona/0.1.0"
    shown = laptop.wait_for(f"/jobs/{job['id']}", lambda shown: shown["status"] == "completed", 2)
    assert shown["next_run_time"] is None
    result = shown["result"]
    assert (result["status"], result["status_code"], result["body"], result["attempts"]) == ("succeeded", 200, "hello", 1)
    assert result["headers"]["x-answer"] == "yes"
    assert result["run_id"] == got.headers["Resona-Run-Id"] == got.headers["Idempotency-Key"]


def test_a_date_fires_in_time(laptop: Laptop, receiver: Receiver) -> None:
    date = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    job = laptop.register(f"{receiver.url}/date", {"date": date.isoformat()})
    (got,) = receiver.wait_for("/date", 1, 8)
    assert timedelta(0) <= got.at - date <= timedelta(seconds=1)
    laptop.wait_for(f"/jobs/{job['id']}", lambda shown: shown["status"] == "completed", 2)


def test_a_failing_receiver_gets_three_attempts(laptop: Laptop, receiver: Receiver) -> None:
    receiver.answers["/flaky"] = [500, 500, 200]
    job = laptop.register(f"{receiver.url}/flaky", {"delay": 0}, retry={"max_attempts": 3, "initial_delay": 1, "max_delay": 60})
    first, second, third = receiver.wait_for("/flaky", 3, 15)
    assert len({got.headers["Idempotency-Key"] for got in (first, second, third)}) == 1
    assert [got.headers["Resona-Attempt"] for got in (first, second, third)] == ["1", "2", "3"]
    assert third.at - second.at > second.at - first.at > timedelta(seconds=1)
    laptop.wait_for(f"/jobs/{job['id']}", lambda shown: shown["status"] == "completed", 2)
    (run,) = laptop.get(f"/jobs/{job['id']}/runs")
    assert [attempt["status_code"] for attempt in run["attempts"]] == [500, 500, 200]
    assert run["status"] == "succeeded"


def test_paused_deleted_and_replaced_jobs_do_not_fire(laptop: Laptop, receiver: Receiver) -> None:
    made = {what: laptop.register(f"{receiver.url}/{what}", {"delay": 3}) for what in ("paused", "deleted", "replaced", "late")}
    laptop.post(f"/jobs/{made['paused']['id']}/pause")
    assert laptop.post(f"/jobs/{made['replaced']['id']}", {"trigger": {"delay": 600}}).status_code == 200
    assert requests.delete(f"{laptop.url}/jobs/{made['deleted']['id']}", timeout=5).status_code == 204
    due = datetime.fromisoformat(made["late"]["next_run_time"])
    time.sleep(max(0, (due - timedelta(seconds=1) - datetime.now(UTC)).total_seconds()))
    assert laptop.post(f"/jobs/{made['late']['id']}/pause").status_code == 200
    time.sleep(4)
    assert [got.path for got in receiver.got if got.path in ("/paused", "/deleted", "/replaced", "/late")] == []


def test_200_jobs_due_in_the_same_second_all_fire_once(laptop: Laptop, receiver: Receiver) -> None:
    date = (datetime.now(UTC) + timedelta(seconds=8)).replace(microsecond=0)
    with ThreadPoolExecutor(40) as threads:
        jobs = list(
            threads.map(lambda n: laptop.register(f"{receiver.url}/burst", {"date": date.isoformat()}, name=f"job {n}"), range(200))
        )
    got = receiver.wait_for("/burst", 200, 25)
    time.sleep(1)
    got = receiver.to("/burst")
    assert len(got) == 200
    assert {one.headers["Resona-Job-Id"] for one in got} == {job["id"] for job in jobs}
    assert max(one.at for one in got) - date <= timedelta(seconds=10)
    assert min(one.at for one in got) >= date


def test_a_resumed_cron_fires_at_its_next_time_and_a_minutely_one_every_minute(laptop: Laptop, receiver: Receiver, minutely: Any) -> None:
    resumed = laptop.register(f"{receiver.url}/resumed", {"cron": "* * * * *"})
    laptop.post(f"/jobs/{resumed['id']}/pause")
    shown = laptop.post(f"/jobs/{resumed['id']}/resume").json()
    first, second = receiver.wait_for("/minutely", 2, 130)[:2]
    assert datetime.fromisoformat(minutely["next_run_time"]) == first.at.replace(second=0, microsecond=0)
    assert second.at.replace(second=0, microsecond=0) - first.at.replace(second=0, microsecond=0) == timedelta(minutes=1)
    for got in (first, second):
        assert got.at.second + got.at.microsecond / 1e6 <= 2
    runs = laptop.wait_for(f"/jobs/{minutely['id']}/runs", lambda runs: len([run for run in runs if run["status"] == "succeeded"]) >= 2, 2)
    assert runs[-1]["scheduled_time"] == minutely["next_run_time"]
    (after_resume, *_) = receiver.wait_for("/resumed", 1, 65)
    assert timedelta(0) <= after_resume.at - datetime.fromisoformat(shown["next_run_time"]) <= timedelta(seconds=2)
