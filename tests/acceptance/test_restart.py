"""Starting, stopping and killing a laptop loses no acknowledged data and leaves nothing running."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.laptop import Laptop
from tests.acceptance.receivers import Receiver

# One laptop for all of them.
pytestmark = [
    pytest.mark.xdist_group("test_restart"),
    pytest.mark.laptop("it starts, stops and kills laptops of its own"),
]


@pytest.fixture
def own_laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("everybody", [True, False])
def test_ctrl_c_leaves_no_process_behind(own_laptop: Laptop, everybody: bool) -> None:
    assert own_laptop.start() < 8
    assert len(own_laptop.members()) >= 2
    assert own_laptop.interrupt(everybody=everybody) == 0
    own_laptop.ended()
    assert "Traceback" not in own_laptop.log()


def test_ctrl_c_does_not_wait_for_a_target_that_never_answers(own_laptop: Laptop) -> None:
    own_laptop.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        own_laptop.register(
            f"http://127.0.0.1:{silent.getsockname()[1]}/", {"delay": 0}, timeout=60
        )
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            assert own_laptop.interrupt(everybody=True) == 0
            assert time.monotonic() - began < 6
    own_laptop.ended()
    assert "Traceback" not in own_laptop.log()


def test_when_its_emulator_dies_it_ends_with_a_sentence_and_starts_again_where_it_was(
    own_laptop: Laptop,
) -> None:
    own_laptop.start()
    job = own_laptop.register("http://localhost:9000/", {"delay": 600})
    own_laptop.kill(api=False)
    assert own_laptop.ended() == 1
    assert "start again to go on" in own_laptop.log().splitlines()[-1]
    assert "Traceback" not in own_laptop.log()
    own_laptop.start()
    assert own_laptop.get(f"/jobs/{job['id']}") == job


def test_killed_with_20_jobs_pending_it_fires_them_all_when_it_is_up_again(
    own_laptop: Laptop, receiver: Receiver
) -> None:
    own_laptop.start()
    jobs = [own_laptop.register(f"{receiver.url}/killed", {"delay": 9}) for _ in range(15)]
    # Some come due while nothing runs.
    jobs += [own_laptop.register(f"{receiver.url}/killed", {"delay": 1.5}) for _ in range(5)]
    runs = {job["id"] for job in jobs}
    own_laptop.kill()
    time.sleep(2)
    own_laptop.start()
    assert {job["id"] for job in own_laptop.get("/jobs")} == runs
    receiver.wait_for(jobs, 20, 25)
    time.sleep(1)
    got = receiver.came_of(jobs)
    assert {one.headers["Resona-Job-Id"] for one in got} == runs
    assert len({one.headers["Resona-Run-Id"] for one in got}) == 20
    for job in jobs[:15]:
        (fired,) = [one for one in got if one.headers["Resona-Job-Id"] == job["id"]]
        assert (
            timedelta(0)
            <= fired.at - datetime.fromisoformat(job["next_run_time"])
            <= timedelta(seconds=5)
        )


def test_runs_and_schedules_survive_a_restart(own_laptop: Laptop, receiver: Receiver) -> None:
    own_laptop.start()
    done = own_laptop.register(f"{receiver.url}/before", {"delay": 0})
    cron = own_laptop.register(f"{receiver.url}/cron", {"cron": "0 0 1 1 *"})
    shown = own_laptop.wait_for(
        f"/jobs/{done['id']}", lambda shown: shown["status"] == "completed", 5
    )
    runs = own_laptop.get(f"/jobs/{done['id']}/runs")
    own_laptop.interrupt(everybody=True)
    own_laptop.start()
    assert own_laptop.get(f"/jobs/{done['id']}") == shown
    assert own_laptop.get(f"/jobs/{done['id']}/runs") == runs
    assert own_laptop.get(f"/jobs/{cron['id']}") == cron
    assert own_laptop.post(f"/jobs/{cron['id']}/pause").status_code == 200


def test_a_second_one_in_the_same_folder_says_what_to_do(
    own_laptop: Laptop, tmp_path: Path
) -> None:
    own_laptop.start()
    second = Laptop(tmp_path)
    with pytest.raises(AssertionError, match="set RESONA_HOME"):
        second.start()
    second.close()
