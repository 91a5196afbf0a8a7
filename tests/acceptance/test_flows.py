"""Flows on a laptop, by the clock: how many exchanges are out, also after `kill -9`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.laptop import Laptop
from tests.acceptance.receivers import Got, Receiver

# One laptop for all of them.
pytestmark = [
    pytest.mark.xdist_group("test_flows"),
    pytest.mark.laptop("it kills a laptop of its own"),
]

COUNT, OUT = 10, 3
ANSWERS_AFTER = 0.5


@pytest.fixture
def own_laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    made.close()


@pytest.fixture
def slow() -> Iterator[Receiver]:
    made = Receiver(answers_after=ANSWERS_AFTER)
    yield made
    made.close()


def due_at_once(laptop: Laptop, receiver: Receiver, seconds: int) -> list[Any]:
    """Register jobs that are due at once in so many seconds."""
    date = (laptop.now() + timedelta(seconds=seconds)).replace(microsecond=0).isoformat()
    return [
        laptop.register(receiver.address("/slow"), {"date": date}, flow="narrow", timeout=2)
        for _ in range(COUNT)
    ]


def is_within(got: list[Got], most: int) -> bool:
    """Return whether no more than so many exchanges were out at once, by when they began."""
    times = sorted(one.at for one in got)
    length = timedelta(seconds=ANSWERS_AFTER)
    return all(last - first >= length for first, last in zip(times, times[most:], strict=False))


def test_never_more_are_out_than_the_concurrency_also_after_a_kill(
    own_laptop: Laptop, slow: Receiver
) -> None:
    own_laptop.start()
    own_laptop.request("PUT", "/flows/narrow", {"concurrency": OUT})
    jobs = due_at_once(own_laptop, slow, 4)
    slow.wait_for(jobs, OUT + 1, 15)
    own_laptop.kill()
    own_laptop.start()
    # The slots of the dead end 37 s after they were taken, then the sweeper looks within a minute.
    until = time.monotonic() + 150
    while len({one.headers["Resona-Run-Id"] for one in slow.came_of(jobs)}) < COUNT:
        assert time.monotonic() < until, len(slow.came_of(jobs))
        # Between two looks.
        time.sleep(0.2)
    assert is_within(slow.came_of(jobs), OUT)


def test_a_paused_flow_holds_all_and_loses_none(own_laptop: Laptop, slow: Receiver) -> None:
    own_laptop.start()
    own_laptop.request("PUT", "/flows/narrow", {"paused": True})
    jobs = due_at_once(own_laptop, slow, 2)
    # All come due, and none is sent: there is nothing to wait for.
    time.sleep(4)
    own_laptop.kill()
    own_laptop.start()
    # Longer than what was sent too soon would take to arrive.
    time.sleep(1)
    flow = own_laptop.get("/flows/narrow")
    assert (flow["state"], flow["waiting"], slow.came_of(jobs)) == ("paused", COUNT, [])
    own_laptop.request("PUT", "/flows/narrow", {"concurrency": OUT})
    got = slow.wait_for(jobs, COUNT, 30)
    assert is_within(got, OUT)
    # One that is sent twice would have come by then.
    time.sleep(1)
    assert len(slow.came_of(jobs)) == COUNT
    (run,) = own_laptop.get(f"/jobs/{jobs[0]['id']}/runs")
    assert run["status"] == "succeeded"
    assert run["waited_ms"] > 2000


def test_a_dead_target_is_left_alone_and_gets_the_rest_when_it_is_back(
    own_laptop: Laptop, slow: Receiver
) -> None:
    slow.answers["/slow"] = [503] * 4
    own_laptop.start()
    own_laptop.request("PUT", "/flows/narrow", {"breaker": {"failures": 3, "probe_seconds": 3}})
    # One after the other: the first three open the flow, and those of the fourth time are not
    # prepared before it is open.
    jobs = []
    for seconds in (3, 5, 7, 12, 12, 12, 12, 12):
        date = (own_laptop.now() + timedelta(seconds=seconds)).replace(microsecond=0).isoformat()
        jobs.append(
            own_laptop.register(
                slow.address("/slow"),
                {"date": date},
                flow="narrow",
                timeout=2,
                retry={"max_attempts": 1},
            )
        )
    got = slow.wait_for(jobs[:3], 3, 20)
    opened_at = max(one.at for one in got) + timedelta(seconds=ANSWERS_AFTER)
    got = sorted(slow.wait_for(jobs, 8, 40), key=lambda one: one.at)
    first, second = got[3].at - opened_at, got[4].at - got[3].at
    assert timedelta(seconds=2.9) < first < timedelta(seconds=6)
    assert timedelta(seconds=2.9) < second < timedelta(seconds=6)
    assert got[7].at - got[4].at < timedelta(seconds=4)
    # The last attempts have been answered and recorded by then.
    time.sleep(2)
    assert own_laptop.get("/flows/narrow")["state"] == "closed"
    runs = [own_laptop.get(f"/jobs/{job['id']}/runs")[0] for job in jobs]
    assert [run["status"] for run in runs].count("succeeded") == 4
    assert all(len(run["attempts"]) == 1 for run in runs)
