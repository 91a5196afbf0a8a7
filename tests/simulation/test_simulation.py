"""The promises, under every fault we can make. `make soak` goes on where these end."""

from __future__ import annotations

import pytest

from tests.simulation.faults import Fault
from tests.simulation.scenarios import SCRIPTS, Script, play
from tests.simulation.simulation import live

SEEDS = 5_000
SHARDS = 10


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_seed_breaks_a_promise(shard: int) -> None:
    lives = (live(seed) for seed in range(shard, SEEDS, SHARDS))
    broken = [f"python -m tests.simulation replay {life.seed}: {life.violation}" for life in lives if life.violation]
    assert broken == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_no_single_fault_breaks_a_promise(script: Script) -> None:
    life, points = play(script, {})
    assert life.violation is None
    assert len(points) > 20
    lives = ((number, fault, play(script, {number: fault})[0].violation) for number, fault in points)
    broken = [f"python -m tests.simulation replay {script.__name__} {number}={fault.name}: {why}" for number, fault, why in lives if why]
    assert broken == []


def test_the_same_seed_is_the_same_life() -> None:
    for seed in range(25):
        assert live(seed).digest == live(seed).digest


def test_every_fault_is_met() -> None:
    met = {fault for script in SCRIPTS for _, fault in play(script, {})[1]}
    assert met == set(Fault)
