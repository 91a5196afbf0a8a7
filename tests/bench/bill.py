"""What a month costs on AWS, as docs/costs.md shows it: `python -m tests.bench.bill`.

Calls, units, bytes of tables and of logs are counted while the real code runs. How long it runs on
Lambda cannot be counted without AWS, nor what API Gateway logs: that is `ASSUMED`.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from typing import Any

import pytest

from chalicelib.telemetry.invocation import invocation
from chalicelib.usecases.bulk import LANES, MOST_JOBS
from infra.deploy.finish import QUIET
from infra.template import load
from tests.bench.costs import (
    DAY_SECONDS,
    LONGEST_POLL_SECONDS,
    MONTH_DAYS,
    POLLERS,
    PRICES,
    SWEEPS_A_DAY,
)
from tests.bench.meter import Usage, entries, size
from tests.bench.operations import EVERY_HOUR, FAR, KB, MARK, Bench, CrowdedCloud, bench, swept
from tests.invocations import Context
from tests.telemetry.process import lambda_process

ROOT = Path(__file__).parent.parent.parent
MEMORIES = (128, 256, 352, 512, 768, 1024)
VOLUMES = (1_000, 1_000_000, 100_000_000)
GB, MILLION = 1024**3, 1_000_000
FIRINGS_OF_AN_HOURLY_CRON = MONTH_DAYS * 24
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html:
# stored beside each item.
ITEM_OVERHEAD = 100
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html:
# counted beside each line.
LINE_OVERHEAD = 26
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html: what Lambda writes of
# an invocation of the API, in plain text.
LAMBDAS_OWN = (
    "START RequestId: 0afa315a-f4d4-4a8a-a544-a4512fb8e297 Version: $LATEST",
    "END RequestId: 0afa315a-f4d4-4a8a-a544-a4512fb8e297",
    "REPORT RequestId: 0afa315a-f4d4-4a8a-a544-a4512fb8e297\tDuration: 1234.56 ms\tBilled "
    "Duration: 1235 ms\t"
    "Memory Size: 1024 MB\tMax Memory Used: 128 MB\t",
)


@dataclass(frozen=True)
class Assumed:
    """What cannot be counted without AWS: times in milliseconds, sizes in bytes."""

    target: int = 200
    aws_call: int = 5
    waiting: int = 110
    """A message comes 0.15 s early, and `deliver` waits for the rest. 20 ms of it pass before it
    begins, and 20 ms with what is counted as calls and CPU.
    """
    waiting_ahead: int = 330
    """The same for a message that was sent before a claim: 0.38 s (tests/aws/test_due_queue.py),
    and one call more.
    """
    wake_waiting: int = 450
    """`wake` and `sweep` wait for the fraction of a second before they send: SQS waits in whole
    seconds.
    """
    access_line: int = 400
    init: int = 650
    """Of a cold start, which Lambda bills. It has a whole CPU, whatever the memory."""
    cold: float = 0.01
    """How many invocations are cold starts."""


ASSUMED = Assumed()
FIRING = ASSUMED.target + ASSUMED.waiting
# Measured by tests.bench.cpu: milliseconds of a whole CPU for one invocation.
CPU = {"api_handler": 6.5, "wake": 2.6, "deliver": 9.0, "sweep": 20.5}
# The same for one call of AWS more, and for a call that registers a hundred jobs.
CALL = 1.3
BATCH_CPU = 550
# The same for a job that the sweeper arms: three calls as if for it alone, its state read twice.
SWEEP_CPU = 5
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_OF_A_CPU = 1769
# https://docs.aws.amazon.com/kms/latest/developerguide/services-dynamodb.html: DynamoDB asks KMS
# for a table's key every five minutes, for each role that uses the table.
KEY_CACHED_SECONDS = 300
# The tables that each function uses in a firing.
TABLES = {"api_handler": 2, "wake": 1, "deliver": 3, "sweep": 1}


@dataclass(frozen=True)
class Step:
    """One invocation of a function: what it uses, how many calls of AWS it makes, how many bytes it
    adds to tables and logs.
    """

    function: str
    usage: Usage
    calls: int
    kept: int = 0
    logged: int = 0
    metrics: frozenset[str] = frozenset()
    waits: float = 0
    indexed: int = 0
    work: float | None = None
    """CPU milliseconds; None for those of `CPU`."""
    lanes: int = 1
    """How many calls are made at once."""
    most: float = inf
    """How often it happens in a month at most: a sweep may arm many jobs."""

    @property
    def seconds(self) -> float:
        """Return how long it runs."""
        return self.seconds_at(memory(self.function))

    def seconds_at(self, megabytes: int) -> float:
        """Return how long it runs with so much memory: its share of a CPU goes by that."""
        work = CPU[self.function] if self.work is None else self.work
        calls = self.calls * ASSUMED.aws_call / self.lanes
        return (work * max(1, MEGABYTES_OF_A_CPU / megabytes) + calls + self.waits) / 1000

    @property
    def gb_seconds(self) -> float:
        """Return what Lambda bills for its duration, and its share of a cold start."""
        return self.gb_seconds_at(memory(self.function))

    def gb_seconds_at(self, megabytes: int) -> float:
        """Return what Lambda would bill with so much memory."""
        init = ASSUMED.cold * ASSUMED.init / 1000 * self.usage.lambdas
        return (self.seconds_at(megabytes) + init) * megabytes / 1024


def memory(function: str) -> int:
    """Return a function's memory in MB."""
    config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    return int(config["lambda_functions"][function]["lambda_memory_size"])


def step(made: Bench, function: str, act: Callable[[], object], waits: float = 0) -> Step:
    """Do something that makes one invocation, and count."""
    calls, kept, indexed = len(made.env.cloud.calls), _kept(made), _indexed(made)
    with on_lambda(function) as written:
        usage = made.used(act)
    assert usage.lambdas == 1, f"{function} was invoked {usage.lambdas} times"
    lines = written.getvalue().splitlines()
    return Step(
        function,
        usage,
        calls=len(made.env.cloud.calls) - calls,
        kept=_kept(made) - kept,
        indexed=_indexed(made) - indexed,
        logged=sum(len(line) + LINE_OVERHEAD for line in [*lines, *_of_lambda(function)]),
        metrics=frozenset(name for line in lines for name in _metrics_of(json.loads(line))),
        waits=waits,
    )


def _of_lambda(function: str) -> tuple[str, ...]:
    return () if function in QUIET else LAMBDAS_OWN


@contextmanager
def on_lambda(function: str) -> Iterator[io.StringIO]:
    """Be a process of a function, and in it one invocation; give what it writes into its log."""
    written = io.StringIO()
    # The API's app says by itself when it is invoked.
    invoked = nullcontext() if function == "api_handler" else invocation(function, Context())
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(written),
        lambda_process(patch),
        invoked,
    ):
        yield written


def _metrics_of(document: dict[str, Any]) -> Iterator[str]:
    """Yield a name for each metric that CloudWatch makes of a line, if it is one of metrics: by the
    values of its dimensions.
    """
    for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
        for metric in directive["Metrics"]:
            for dimensions in directive["Dimensions"]:
                yield " ".join([metric["Name"], *(document[dimension] for dimension in dimensions)])


def _kept(made: Bench) -> int:
    return sum(
        size(item) + ITEM_OVERHEAD
        for table in made.env.cloud.tables.values()
        for item in table.values()
    )


def _indexed(made: Bench) -> int:
    """Return the bytes of all indexes: their entries are stored, and not backed up."""
    return sum(
        size(entry) + ITEM_OVERHEAD
        for name, table in made.env.cloud.tables.items()
        for item in table.values()
        for entry in entries(name, item)
    )


def one_time() -> list[Step]:
    """Count a one-time job: its registration, its wake and its firing."""
    with bench(KB) as made:
        return [
            step(made, "api_handler", lambda: made.create(FAR)),
            step(made, "wake", lambda: made.advance(minutes=59), ASSUMED.wake_waiting),
            step(made, "deliver", lambda: made.advance(minutes=2), FIRING),
        ]


def batch() -> Step:
    """Count the registration of a hundred one-time jobs in one call."""
    with bench(KB) as made:
        job = {"name": "nightly order export", "request": made.request(), "trigger": FAR}
        registered = step(
            made,
            "api_handler",
            lambda: made.call("POST", "/jobs/batch", {"jobs": [job] * MOST_JOBS}),
        )
        return replace(registered, work=BATCH_CPU, lanes=LANES)


def batched(jobs: int) -> Bill:
    """Return what so many one-time jobs cost that are registered by the hundred."""
    _, *fired = one_time()
    registered = batch()
    return bill([registered], jobs / MOST_JOBS) + bill(fired, jobs) + by_month([registered, *fired])


def hourly() -> list[Step]:
    """Count one firing of an hourly cron, which the sweeper arms: what it adds to two sweeps, and
    what a sweep uses more that finds something, at most once a minute.
    """
    (empty,) = sweep()
    with bench(KB) as made:
        made.env.sweeps = True
        made.create(EVERY_HOUR)
        made.advance(minutes=117)
        used = swept(made) + (empty.usage + MARK) * -2
        fired = step(made, "deliver", lambda: made.advance(minutes=3), FIRING)
    most = SWEEPS_A_DAY * MONTH_DAYS
    return [
        Step("sweep", MARK, calls=2, waits=ASSUMED.wake_waiting, work=0, most=most),
        Step("sweep", used, calls=3, work=SWEEP_CPU),
        fired,
    ]


def cron() -> list[Step]:
    """Count one firing of a cron that has a schedule."""
    with bench(KB) as made:
        made.settled()
        return [
            step(made, "wake", lambda: made.advance(minutes=29), ASSUMED.wake_waiting),
            step(made, "deliver", lambda: made.advance(minutes=2), FIRING),
        ]


def often() -> list[Step]:
    """Count one firing of a cron that arms itself, as those of up to 15 minutes do."""
    with bench(KB) as made:
        made.create({"cron": "*/5 * * * *"})
        made.advance(minutes=32)
        waits = ASSUMED.target + ASSUMED.waiting_ahead
        fired = step(made, "deliver", lambda: made.advance(minutes=5), waits)
        return [replace(fired, work=CPU["deliver"] + CALL)]


def sweep() -> list[Step]:
    """Count one run of the sweeper that finds nothing to do."""
    with bench(KB, CrowdedCloud) as made:
        made.env.sweeps = True
        return [step(made, "sweep", made.env.sweep)]


class Bill(dict[str, float]):
    """Dollars by service."""

    def __missing__(self, service: str) -> float:
        return 0.0

    def __add__(self, other: Bill) -> Bill:
        return Bill({service: self[service] + other[service] for service in {**self, **other}})

    def total(self) -> float:
        return sum(self.values())


def bill(steps: Iterable[Step], times: float = 1) -> Bill:
    """Return what so many of these cost in a month, by service. What is kept is kept for one."""
    total = Bill()
    for each in steps:
        often = min(times, each.most)
        total += Bill({service: dollars * often for service, dollars in _bill(each).items()})
    return total


def _bill(one: Step) -> Bill:
    million, kept = PRICES["dollars_per_million"], PRICES["dollars_per_gb_month"]
    total, used = Bill(), one.usage
    total["DynamoDB"] += (
        used.writes * _price(million, "write_units") + used.reads * _price(million, "read_units")
    ) / MILLION
    total["DynamoDB, kept for a month, with backups"] += one.kept / GB * (
        _price(kept, "tables") + _price(kept, "backups")
    ) + one.indexed / GB * _price(kept, "tables")
    total["Lambda"] += used.lambdas * _price(million, "lambda_requests") / MILLION
    total["Lambda"] += one.gb_seconds * _price(million, "lambda_gb_seconds") / MILLION
    total["SQS"] += used.sqs * _price(million, "sqs_requests") / MILLION
    total["EventBridge Scheduler"] += (
        used.schedules_woken * _price(million, "scheduler_invocations") / MILLION
    )
    total["CloudWatch, logs"] += one.logged / GB * _price(PRICES["dollars_per_gb"], "logs")
    if one.function == "api_handler":
        total["API Gateway"] += _price(million, "api_requests") / MILLION
        total["CloudWatch, logs"] += (
            ASSUMED.access_line / GB * _price(PRICES["dollars_per_gb"], "logs")
        )
    return total


def _price(group: dict[str, Any], name: str) -> float:
    return float(group[name]["price"])


def at_rest() -> Bill:
    """Return what a month without a firing costs."""
    month = PRICES["dollars_a_month"]
    kinds = Counter(resource["Type"] for resource in load()["Resources"].values())
    swept = sweep()
    total = bill(swept, SWEEPS_A_DAY * MONTH_DAYS)
    receives = POLLERS * DAY_SECONDS / LONGEST_POLL_SECONDS * MONTH_DAYS
    total["SQS"] += receives * _price(PRICES["dollars_per_million"], "sqs_requests") / MILLION
    total["KMS, the key of secrets"] += kinds["AWS::KMS::Key"] * _price(month, "key")
    total["CloudWatch, alarms"] += kinds["AWS::CloudWatch::Alarm"] * _price(month, "alarm")
    return total + by_month(swept)


def by_month(steps: Iterable[Step]) -> Bill:
    """Return what a month costs in which these happen all the time, however often."""
    functions = {each.function for each in steps if each.usage.lambdas}
    names = {name for each in steps for name in each.metrics}
    asked = MONTH_DAYS * DAY_SECONDS / KEY_CACHED_SECONDS * sum(TABLES[name] for name in functions)
    return Bill(
        {
            "CloudWatch, metrics": len(names) * _price(PRICES["dollars_a_month"], "metric"),
            "KMS, the key of the tables": asked
            * _price(PRICES["dollars_per_million"], "kms_requests")
            / MILLION,
        }
    )


def month(steps: list[Step], firings: int) -> float:
    """Return what a month with so many firings costs, rest included."""
    return (at_rest() + by_month(steps) + bill(steps, firings)).total()


def others(firings: int) -> list[float]:
    """Return what others ask for as many, by their list prices."""
    asked = PRICES["others"]
    by_hand = Step("wake", Usage(schedules_woken=1, lambdas=1), calls=0, waits=ASSUMED.target)
    return [
        firings * _price(asked, "qstash") / MILLION,
        # A call that makes a task is an operation, and so is each attempt to deliver it.
        firings * 2 * _price(asked, "cloud_tasks") / MILLION,
        ceil(firings / FIRINGS_OF_AN_HOURLY_CRON) * _price(asked, "cloud_scheduler"),
        bill([by_hand], firings).total(),
    ]


def slower() -> float:
    """Return what a million firings cost more for each second that the target takes longer."""
    return memory("deliver") / 1024 * _price(PRICES["dollars_per_million"], "lambda_gb_seconds")


def months() -> Iterator[str]:
    """Yield the table of months."""
    counted = one_time(), hourly(), often()
    yield (
        "| firings a month | Resona, one-time | Resona, hourly crons | Resona, crons of up to 15 "
        "minutes | QStash | Cloud Tasks | Cloud Scheduler | EventBridge Scheduler |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for firings in VOLUMES:
        asked = [*(month(steps, firings) for steps in counted), *others(firings)]
        yield f"| {firings:,} | {' | '.join(map(_dollars, asked))} |"


def services() -> Iterator[str]:
    """Yield the table of services."""
    once, rarely, again, soon = one_time(), cron(), hourly(), often()
    columns = [
        bill(once, MILLION) + by_month(once),
        batched(MILLION),
        bill(rarely, MILLION) + by_month(rarely),
        bill(again, MILLION) + by_month(again),
        bill(soon, MILLION) + by_month(soon),
        at_rest(),
    ]
    yield (
        "| | a million one-time jobs | … registered by the batch | a million firings of daily "
        "crons | … of hourly crons | … of crons of up to 15 minutes | a month at rest |"
    )
    yield "|---|---|---|---|---|---|---|"
    for service in sorted({name for column in columns for name in column}):
        dollars = [_dollars(column[service]) if column[service] else "" for column in columns]
        yield f"| {service} | {' | '.join(dollars)} |"
    yield f"| **together** | {' | '.join(_dollars(column.total()) for column in columns)} |"


def _dollars(value: float) -> str:
    if value < 0.005:
        return "< $0.01"
    return f"${value:,.2f}" if value < 100 else f"${value:,.0f}"


def memories() -> Iterator[str]:
    """Yield what a million firings of a cron cost in Lambda, by the memory of `deliver`."""
    (deliver,) = [each for each in cron() if each.function == "deliver"]
    price = _price(PRICES["dollars_per_million"], "lambda_gb_seconds")
    yield "| memory of `deliver` | its time in a firing | dollars a million |"
    yield "|---|---|---|"
    for megabytes in MEMORIES:
        seconds = deliver.seconds_at(megabytes)
        dollars = _dollars(deliver.gb_seconds_at(megabytes) * price)
        yield f"| {megabytes} MB | {seconds:.2f} s | {dollars} |"


def tables() -> Iterator[list[str]]:
    """Yield the tables of docs/costs.md."""
    yield list(months())
    yield list(services())
    yield list(memories())


if __name__ == "__main__":
    sys.stdout.write("\n\n".join("\n".join(lines) for lines in tables()) + "\n")
