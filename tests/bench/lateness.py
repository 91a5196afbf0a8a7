"""Measure how late a laptop's jobs are: `python -m tests.bench.lateness`.

Ends with 1 if p99 is a second or more, or one did not come once.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.laptop import Laptop
from tests.acceptance.receivers import Receiver

JOBS = 300
SPREAD_SECONDS = 60
# Registering them all takes a few seconds; the first is due after that.
AHEAD = timedelta(seconds=10)
ALLOWED = timedelta(seconds=1)
SEED = 3


def main() -> int:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        laptop, receiver = Laptop(Path(home)), Receiver()
        try:
            laptop.start()
            jobs = register(laptop, receiver)
            last = max(datetime.fromisoformat(job["next_run_time"]) for job in jobs)
            # What comes late, or twice, comes in these five seconds.
            time.sleep((last - datetime.now(UTC)).total_seconds() + 5)
        finally:
            laptop.close()
            receiver.close()
    due_at = {job["id"]: datetime.fromisoformat(job["next_run_time"]) for job in jobs}
    came = Counter(got.headers["Resona-Job-Id"] for got in receiver.got)
    lateness = sorted(got.at - due_at[got.headers["Resona-Job-Id"]] for got in receiver.got)
    once = sum(came[job] == 1 for job in due_at)
    shown = "  ".join(
        f"{name} {value.total_seconds():.3f} s" for name, value in summary(lateness).items()
    )
    print(f"{JOBS} jobs due over {SPREAD_SECONDS} s: {once} came once; late by  {shown}")
    print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} CPUs")
    return 0 if once == JOBS and summary(lateness)["p99"] < ALLOWED else 1


def register(laptop: Laptop, receiver: Receiver) -> list[Any]:
    """Register the jobs, half with a date and half with a delay, due at random within the spread;
    return them as answered.
    """
    chance = random.Random(SEED)
    start = datetime.now(UTC) + AHEAD
    dues = [
        (start + timedelta(seconds=chance.uniform(0, SPREAD_SECONDS)), number % 2 == 0)
        for number in range(JOBS)
    ]
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(partial(register_one, laptop, f"{receiver.url}/due"), dues))


def register_one(laptop: Laptop, url: str, due: tuple[datetime, bool]) -> Any:
    at, is_date = due
    if is_date:
        return laptop.register(url, {"date": at.replace(microsecond=0).isoformat()})
    return laptop.register(url, {"delay": round((at - datetime.now(UTC)).total_seconds(), 3)})


def summary(lateness: Sequence[timedelta]) -> dict[str, timedelta]:
    """Return quantiles, each a value that was measured, of a sorted row."""
    at = {
        "min": 0,
        "p50": len(lateness) // 2,
        "p95": len(lateness) * 95 // 100,
        "p99": len(lateness) * 99 // 100,
        "max": len(lateness) - 1,
    }
    return {name: lateness[index] for name, index in at.items()}


if __name__ == "__main__":
    sys.exit(main())
