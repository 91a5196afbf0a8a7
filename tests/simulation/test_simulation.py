"""The promises, under every fault we can make. `make soak` goes on where these end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.faults import Fault
from tests.simulation.scenarios import SCRIPTS, Script, play
from tests.simulation.simulation import live

ROOT = Path(__file__).parent.parent.parent
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


def test_the_same_seed_is_the_same_life_in_every_process() -> None:
    count = 1000 if os.environ.get("RESONA_SOAK") else 40
    code = f"from tests.simulation.simulation import live\nfor seed in range({count}): print(live(seed).digest)"
    digests = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        digests.append(done.stdout.split())
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == count


def test_every_fault_is_met() -> None:
    met = {fault for script in SCRIPTS for _, fault in play(script, {})[1]}
    assert met == set(Fault)
