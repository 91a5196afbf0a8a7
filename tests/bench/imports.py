"""What a cold start imports: `python -m tests.bench.imports`. CPU time, in fresh processes, against
what cannot be done without.

Ends with 1 if a ratio is more than is allowed. Compiled modules are in the cache on both sides.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROUNDS = 21
ROOT = Path(__file__).parent.parent.parent
SETTINGS = (
    "STAGE JOBS_TABLE RUNS_TABLE SECRETS_TABLE SECRETS_KEY DUE_QUEUE_URL SCHEDULE_GROUP "
    "WAKE_FUNCTION_ARN SCHEDULER_ROLE_ARN"
)

# `import pydantic` alone loads next to nothing: its names are loaded when they are asked for.
PROGRAMS = {
    "boto3.client('dynamodb'), requests": "import boto3, requests; boto3.client('dynamodb')",
    "the executor": "import chalicelib.handlers.executor",
    "the executor, and its clients": (
        "import chalicelib.handlers.executor; chalicelib.handlers.executor.firing.get()"
    ),
    "boto3.client('dynamodb'), pydantic, chalice": (
        "import boto3, chalice; boto3.client('dynamodb'); from pydantic import BaseModel"
    ),
    "import boto3, pydantic, chalice": "import boto3, pydantic, chalice",
    "the API": "import app",
    "the authorizer": "import chalicelib.handlers.authorizer",
}


@dataclass(frozen=True)
class Ratio:
    """How often the CPU time of one program another may take."""

    ours: str
    base: str
    allowed: float

    def of(self, seconds: Mapping[str, float]) -> float:
        return seconds[self.ours] / seconds[self.base]


RATIOS = (
    Ratio("the executor", "boto3.client('dynamodb'), requests", 1.15),
    Ratio("the API", "boto3.client('dynamodb'), pydantic, chalice", 1.25),
)


def measured(rounds: int, names: tuple[str, ...] = tuple(PROGRAMS)) -> dict[str, float]:
    """Return the median CPU seconds of each program's imports; the programs take turns, so that a
    busy machine is so for all.
    """
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        seconds(PROGRAMS[name])
    for _ in range(rounds):
        for name in names:
            taken[name].append(seconds(PROGRAMS[name]))
    return {name: median(times) for name, times in taken.items()}


def seconds(program: str) -> float:
    """Return the CPU seconds of a program in a process of its own, without those of Python's start,
    as a Lambda function would run it.
    """
    code = (
        f"import time; began = time.process_time()\n{program}\nprint(time.process_time() - began)"
    )
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RESONA_", "AWS_", "COV_"))
        },
        **{f"RESONA_{name}": "x" for name in SETTINGS.split()},
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "resona-x",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def main() -> int:
    found = measured(ROUNDS)
    print(f"CPU time of imports, median of {ROUNDS} fresh processes each, taking turns")
    for name, time in found.items():
        print(f"{time * 1000:7.1f} ms  {name}")
    wrong = 0
    for ratio in RATIOS:
        times = ratio.of(found)
        print(f"{ratio.ours}: {times:.2f} times {ratio.base} (allowed: {ratio.allowed})")
        wrong += times > ratio.allowed
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
