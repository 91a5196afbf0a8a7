"""The long exploration: seeds by the million, and every pair of faults in every script. It can be
stopped and goes on where it was.

`python -m tests.simulation soak [seconds] [seeds]` goes on for at most so long; what it has done
stands in `soak.json` beside this file, together with the digest of the code it was done with: other
code begins anew.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import TypeVar

from tests.simulation.faults import Fault
from tests.simulation.scenarios import SCRIPTS, play
from tests.simulation.simulation import SimulationRun, simulate

ROOT = Path(__file__).parent.parent.parent
RECORD = Path(__file__).parent / "soak.json"
SEEDS = 1_000_000
CHUNK = 250
Where = TypeVar("Where")
# Modules that start runs and take no part in them.
LOOKERS_ON = {"__main__.py", "bugs.py", "soak.py", "test_simulation.py"}


@dataclass
class Done:
    """What has been simulated.

    `next_seed` and `next_pair` say where to go on; a pair is [script, index].
    """

    code: str
    commit: str
    next_seed: int = 0
    next_pair: list[int] = field(default_factory=lambda: [0, 0])
    seeds: int = 0
    pairs: int = 0
    calls: int = 0
    faults: int = 0
    kills: int = 0
    sent: int = 0
    seconds: float = 0.0
    is_complete: bool = False
    violations: list[str] = field(default_factory=list)


@dataclass
class Chunk:
    """The totals of a chunk of simulation runs."""

    calls: int = 0
    faults: int = 0
    kills: int = 0
    sent: int = 0
    runs: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, run: SimulationRun, replay: str) -> None:
        self.calls += run.calls
        self.faults += run.faults
        self.kills += run.kills
        self.sent += run.sent
        self.runs += 1
        if run.violation:
            self.violations.append(f"python -m tests.simulation replay {replay}: {run.violation}")


def code_digest() -> str:
    """Return a digest of everything that a run depends on: the code, what it is permitted, and
    what plays the clients and the cloud.
    """
    files = [
        ROOT / name
        for name in (
            "app.py",
            "requirements.txt",
            "tests/cloud.py",
            "tests/parts.py",
            "tests/permissions.py",
        )
    ]
    files += [ROOT / "infra" / "local" / name for name in ("clock.py", "eventbridge.py")]
    files += sorted((ROOT / ".chalice" / "dev").glob("*.json")) + sorted(
        (ROOT / "chalicelib").rglob("*.py")
    )
    files += [
        file for file in sorted(Path(__file__).parent.glob("*.py")) if file.name not in LOOKERS_ON
    ]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def seeds_from(first: int) -> Chunk:
    """Simulate a chunk of seeds."""
    chunk = Chunk()
    for seed in range(first, first + CHUNK):
        chunk.add(simulate(seed), str(seed))
    return chunk


def pairs_of(script: int) -> list[tuple[tuple[int, Fault], tuple[int, Fault]]]:
    """Return every pair of faults at two calls that a script makes without faults."""
    _, points = play(SCRIPTS[script], {})
    return [(one, other) for one in points for other in points if one[0] < other[0]]


def pairs_from(where: tuple[int, int]) -> Chunk:
    """Simulate a chunk of pairs."""
    script, first = where
    chunk = Chunk()
    for one, other in pairs_of(script)[first : first + CHUNK]:
        run, _ = play(SCRIPTS[script], dict((one, other)))
        chunk.add(
            run, f"{SCRIPTS[script].__name__} {one[0]}={one[1].name} {other[0]}={other[1].name}"
        )
    return chunk


def _pair_chunks(done: Done) -> Iterator[tuple[int, int]]:
    for script in range(done.next_pair[0], len(SCRIPTS)):
        begin = done.next_pair[1] if script == done.next_pair[0] else 0
        for first in range(begin, len(pairs_of(script)), CHUNK):
            yield script, first


def load() -> Done:
    """Return what was done with this code, or a beginning."""
    code = code_digest()
    if RECORD.exists():
        done = Done(**json.loads(RECORD.read_text()))
        if done.code == code:
            return done
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(code, commit.stdout.strip())


def soak(seconds: float, seeds: int = SEEDS) -> Done:
    """Go on for at most so many seconds, on every processor."""
    done, began = load(), time.monotonic()
    before = done.seconds
    # New processes now and then, since what runs leave behind adds up.
    with multiprocessing.Pool(os.cpu_count(), maxtasksperchild=40) as pool:

        def note(chunk: Chunk) -> bool:
            for name in ("calls", "faults", "kills", "sent"):
                setattr(done, name, getattr(done, name) + getattr(chunk, name))
            done.violations += chunk.violations
            done.seconds = round(before + time.monotonic() - began, 1)
            RECORD.write_text(json.dumps(asdict(done), indent=2) + "\n")
            return time.monotonic() - began < seconds

        for where, chunk in _results(pool, pairs_from, _pair_chunks(done)):
            done.pairs += chunk.runs
            done.next_pair = [where[0], where[1] + CHUNK]
            if not note(chunk):
                return done
        done.next_pair = [len(SCRIPTS), 0]
        for first, chunk in _results(pool, seeds_from, iter(range(done.next_seed, seeds, CHUNK))):
            done.seeds += chunk.runs
            done.next_seed = first + CHUNK
            if not note(chunk):
                return done
        done.is_complete = done.seeds >= SEEDS
        note(Chunk())
    return done


def _results(
    pool: Pool, work: Callable[[Where], Chunk], chunks: Iterator[Where]
) -> Iterator[tuple[Where, Chunk]]:
    """Yield each chunk with its result, in order, with only a few begun ahead: what is begun and
    not noted is done again.
    """
    waiting: list[tuple[Where, AsyncResult[Chunk]]] = []
    for chunk in chunks:
        waiting.append((chunk, pool.apply_async(work, (chunk,))))
        if len(waiting) > 2 * (os.cpu_count() or 1):
            first, result = waiting.pop(0)
            yield first, result.get()
    for first, result in waiting:
        yield first, result.get()
