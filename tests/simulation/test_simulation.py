"""The promises hold under every fault that the simulation has. `make soak` explores further."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from chalicelib.domain.state import MAX_UNFINISHED_RUNS
from tests.simulation.bugs import BUGS, Bug, planted
from tests.simulation.clients import Clients
from tests.simulation.deployment import deployed
from tests.simulation.faults import Fault, FaultRates, Plan
from tests.simulation.scenarios import SCRIPTS, Script, play
from tests.simulation.simulation import simulate
from tests.soak import IS_SOAK

ROOT = Path(__file__).parent.parent.parent
SEEDS, SHARED_SEEDS = (5_000, 5_000) if IS_SOAK else (44, 20)
# Every so manieth fault of a script is played; a soak plays them all.
STEP = 1 if IS_SOAK else 120
SHARDS = 4


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_seed_breaks_a_promise(shard: int) -> None:
    runs = (simulate(seed) for seed in range(shard, SEEDS, SHARDS))
    broken = [
        f"python -m tests.simulation replay {run.seed}: {run.violation}"
        for run in runs
        if run.violation
    ]
    assert broken == []


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_seed_breaks_a_promise_where_executors_are_few_and_shared(shard: int) -> None:
    runs = (simulate(seed, is_shared=True) for seed in range(shard, SHARED_SEEDS, SHARDS))
    broken = [
        f"python -m tests.simulation replay {run.seed} shared: {run.violation}"
        for run in runs
        if run.violation
    ]
    assert broken == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_no_single_fault_breaks_a_promise(script: Script) -> None:
    run, points = play(script, {})
    assert run.violation is None
    assert len(points) > 20
    chosen = points[SCRIPTS.index(script) % STEP :: STEP]
    runs = ((number, fault, play(script, {number: fault})[0].violation) for number, fault in chosen)
    broken = [
        f"python -m tests.simulation replay {script.__name__} {number}={fault.name}: {why}"
        for number, fault, why in runs
        if why
    ]
    assert broken == []


def test_the_same_seed_is_the_same_life_in_every_process() -> None:
    count = 1000 if IS_SOAK else 6
    code = (
        f"from tests.simulation.simulation import simulate\nfor seed in range({count}): "
        "print(simulate(seed).digest)"
    )
    digests = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(done.stdout.split())
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == count


def test_every_fault_is_met() -> None:
    met = {fault for script in SCRIPTS for _, fault in play(script, {})[1]}
    assert met == set(Fault)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_planted_bug_has_a_place_in_the_code(bug: Bug) -> None:
    codes: dict[str, str] = {}
    for name, old, new in bug.patches:
        code = codes.get(name) or (ROOT / "chalicelib" / name).read_text()
        codes[name] = planted(code, old, new)


@pytest.mark.parametrize("seed", range(3))
def test_as_many_messages_as_a_job_has_runs_may_come_at_once(seed: int) -> None:
    """A backlog that is let go: every claim is in the way of every other, and none is given up."""
    with deployed(Plan(), FaultRates(), f"at once {seed}") as deployment:
        clients, virtual_time = Clients(deployment), deployment.virtual_time
        held: list[str] = []
        deployment.arrives = held.append

        def queue() -> None:
            job_id = clients.create(clients.draft({"delay": 1000}))
            assert job_id is not None
            for _ in range(MAX_UNFINISHED_RUNS):
                clients.ask("POST", job_id, "/run")

        deployment.begin("client", queue)
        virtual_time.run_until(30)
        for name in held:
            virtual_time.at(30, partial(deployment.deliver, [name]))
        virtual_time.run_until(36)
        assert len(deployment.observer.sent) == MAX_UNFINISHED_RUNS
        (job_history,) = deployment.observer.job_histories.values()
        assert job_history.states[-1].runs == ()
