"""What is written to CloudWatch Logs, counted while the real functions do it: `python -m tests.bench.logged`."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from chalice.config import Config
from chalice.local import LocalGateway

from app import app
from chalicelib import executor
from chalicelib.api.routing import parts
from chalicelib.domain.cron import parse
from chalicelib.domain.trigger import OneTime
from infra.local.clock import Context
from tests.api.conftest import job
from tests.bench.costs import PRICES, SWEEPS_A_DAY
from tests.telemetry.process import InvokedWorld, deliver, lambda_process
from tests.world import START, ok, status

# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html: START, END and REPORT of an invocation, in plain text.
LAMBDAS_OWN = (
    "START RequestId: 0afa315a-f4d4-4a8a-a544-a4512fb8e297 Version: $LATEST\n"
    "END RequestId: 0afa315a-f4d4-4a8a-a544-a4512fb8e297\n"
    "REPORT RequestId: 0afa315a-f4d4-4a8a-a544-a4512fb8e297\tDuration: 1234.56 ms\tBilled Duration: 1235 ms\t"
    "Memory Size: 1024 MB\tMax Memory Used: 128 MB\t\n"
)
BATCH = 10


@dataclass(frozen=True)
class Logged:
    """What some invocations wrote: `lines` of Resona, and bytes of events, of metrics, and of Lambda itself."""

    lines: int
    events: int
    metrics: int
    lambdas: int

    @property
    def total(self) -> int:
        return self.events + self.metrics + self.lambdas

    @property
    def dollars(self) -> float:
        """The price of a million times this."""
        return self.total * 1e6 / 1e9 * float(PRICES["dollars_per_gb"]["logs"]["price"])


@contextlib.contextmanager
def on_lambda() -> Iterator[tuple[InvokedWorld, Callable[[int], Logged]]]:
    """Give a world whose functions write as on Lambda, and what tells what was written since it was last asked, by so many invocations."""
    world, written = InvokedWorld(), io.StringIO()

    def taken(invocations: int) -> Logged:
        lines = written.getvalue().splitlines(keepends=True)
        written.seek(0)
        written.truncate()
        metrics = sum(len(line) for line in lines if "_aws" in json.loads(line))
        events = sum(map(len, lines)) - metrics
        return Logged(len(lines), events, metrics, invocations * len(LAMBDAS_OWN))

    parts.use(world.scheduling, stage="local")
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(written), lambda_process(patch):
            patch.setattr(executor, "firing", lambda: world.firing)
            yield world, taken
    finally:
        parts.use(world.scheduling, stage="")


def create() -> None:
    """Register a job, as API Gateway has it done for a caller with a key."""
    body = json.dumps(job(request={"url": "https://api.example.com/v1/orders/hook", "method": "POST"})).encode()
    event = LocalGateway(app, Config.create()).event_converter.create_lambda_event(
        "POST", "/jobs", {"Content-Type": "application/json"}, body
    )
    caller = {"tenant": "acme", "scopes": "read write", "key_id": "4fTq8sWz1LmN", "principalId": "4fTq8sWz1LmN"}
    event["requestContext"] |= {"requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "authorizer": caller}
    assert app(event, Context("resona-prod", 29))["statusCode"] == 201


def measured() -> dict[str, Logged]:
    """Count what each part of a firing writes."""
    found = {}
    due = OneTime(START.replace(microsecond=0) + timedelta(seconds=6))
    with on_lambda() as (world, taken):
        create()
        found["a job is created"] = taken(1)
    with on_lambda() as (world, taken):
        world.create(due)
        world.advance(seconds=10)
        found["a firing, in a batch of one"] = taken(1)
    with on_lambda() as (world, taken):
        for _ in range(BATCH):
            world.create(due)
        world.now = due.date
        deliver([message.body for message in world.cloud.messages.values()])
        ten = taken(1)
        found[f"a firing, one of a batch of {BATCH}"] = Logged(
            *(round(each / BATCH) for each in (ten.lines, ten.events, ten.metrics, ten.lambdas))
        )
    with on_lambda() as (world, taken):
        world.target = lambda sent: ok() if sent.headers["Resona-Attempt"] == "2" else status(503)
        world.create(due)
        world.advance(seconds=40)
        found["a firing whose first attempt fails"] = taken(2)
    with on_lambda() as (world, taken):
        world.create(parse("0 11 * * *"))
        world.sweeps = False
        world.advance_to(START.replace(minute=59))
        found["the wake of a schedule"] = taken(1)
    with on_lambda() as (world, taken):
        world.sweep()
        found["a sweep that finds nothing"] = taken(1)
    return found


def report() -> Iterable[str]:
    """Print all of it."""
    head = f"{'lines':>5} {'events':>6} {'metrics':>7} {'by Lambda':>9} {'total':>6} {'$ a million':>11}"
    yield f"{'bytes written to CloudWatch Logs':38} {head}"
    found = measured()
    for name, one in found.items():
        yield f"{name:38} {one.lines:5} {one.events:6,} {one.metrics:7,} {one.lambdas:9,} {one.total:6,} {one.dollars:11.2f}"
    day = found["a sweep that finds nothing"].dollars / 1e6 * SWEEPS_A_DAY
    yield f"The sweeper, a day: {day:.4f} dollars. RESONA_LOG_LEVEL=WARNING leaves of a firing that goes well the metrics alone."


if __name__ == "__main__":
    for line in report():
        sys.stdout.write(line + "\n")
