"""What each operation costs on AWS, counted while the real code does it: `python -m
tests.bench.costs`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.meter import Usage
from tests.bench.operations import KB, SIZES, Costs, bench, operations, sweep

SWEEPS_A_DAY = 24 * 60
CROWDS = (0, 1_000, 1_000_000)
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html: five pollers, or as few as
# two without a maximum concurrency.
POLLERS, LONGEST_POLL_SECONDS, DAY_SECONDS, MONTH_DAYS = 5, 20, 86_400, 30
PRICES = json.loads((Path(__file__).parent / "prices.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Dollars:
    """What a usage costs at list prices, a million times over."""

    dynamodb: float
    sqs: float
    scheduler: float
    functions: float

    @property
    def total(self) -> float:
        return self.dynamodb + self.sqs + self.scheduler + self.functions


def dollars(used: Usage) -> Dollars:
    """Return the price of a million of these."""
    price = {name: entry["price"] for name, entry in PRICES["dollars_per_million"].items()}
    return Dollars(
        used.writes * price["write_units"] + used.reads * price["read_units"],
        used.sqs * price["sqs_requests"],
        used.schedules_woken * price["scheduler_invocations"],
        used.lambdas * price["lambda_requests"],
    )


# What makes a firing, from the beginning to the end.
FIRINGS = {
    "one-time, due soon: create, firing": (
        "create one-time, due soon",
        "one-time firing, due soon",
    ),
    "one-time, due later: create, wake, firing": (
        "create one-time, due later",
        "one-time: its wake",
        "one-time firing, due later",
    ),
    "cron: wake, firing": ("cron: its wake", "cron firing"),
    "cron of every hour: sweeps, firing": (
        "cron of every hour: its sweeps",
        "cron of every hour: firing",
    ),
    "cron, first attempt fails: wake, both attempts": (
        "cron: its wake",
        "cron firing whose attempt fails",
        "its retry, which succeeds",
    ),
}


def report() -> Iterable[str]:
    """Print all of it."""
    counted = {size: operations(size) for size in SIZES}
    yield from _units(counted)
    yield from _parts()
    yield from _at_rest()
    yield from _prices(counted)


def _units(counted: dict[int, Costs]) -> Iterator[str]:
    small, large = counted.values()
    yield (
        f"{'':47} {'write units':>13} {'read units':>15} {'SQS':>5}  "
        f"{'EventBridge Scheduler':^21} {'Lambda':>6}"
    )
    yield (
        f"{'body of the request':47} {'1 KB':>6} {'64 KB':>6} {'1 KB':>7} {'64 KB':>7} {'':5}  "
        f"{'made':>6} {'deleted':>7} {'woke':>6}"
    )
    for name, used in small.items():
        other = large[name]
        row = (
            f"{name:47} {used.writes:6g} {other.writes:6g} {used.reads:7g} {other.reads:7g} "
            f"{used.sqs:5}"
        )
        calls = "/".join(str(number) for number in dict.fromkeys((used.lambdas, other.lambdas)))
        yield (
            f"{row}  {used.schedules_made:6} {used.schedules_deleted:7} "
            f"{used.schedules_woken:6} {calls:>6}"
        )
    yield (
        "Answers of 1 KB. A message is counted alone; up to 10 in a batch share the receive, "
        "the delete and the invocation."
    )


def _parts() -> Iterator[str]:
    """Show of which writes a cron firing consists, and how far each is from the next unit."""
    with bench(KB) as made:
        made.settled()
        made.env.cloud.writes.clear()
        made.advance(hours=1)
        written = list(made.env.cloud.writes)
    yield ""
    yield (
        f"{'the writes of a cron firing, in order':47} {'bytes':>6} {'units':>6} "
        f"{'in the indexes':>15}"
    )
    for write in written:
        yield f"{write.what:47} {write.bytes:6,} {write.units:6g} {write.index_units:15}"
    yield (
        "An item takes one more unit for every 1,024 bytes: a record when the answer is "
        "longer, a state when more runs are unfinished."
    )


def _at_rest() -> Iterator[str]:
    yield ""
    head = "at rest, a day (one sweep counted, 1,440 times)"
    yield f"{head} {'write units':>11} {'read units':>11} {'SQS':>6} {'Lambda':>7} {'dollars':>8}"
    for jobs in CROWDS:
        day = sweep(jobs) * SWEEPS_A_DAY
        price = dollars(day).total / 1e6
        yield (
            f"{f'{jobs:,} jobs':>47} {day.writes:11g} {day.reads:11,g} {day.sqs:6g} "
            f"{day.lambdas:7,g} {price:8.4f}"
        )
    receives = POLLERS * DAY_SECONDS // LONGEST_POLL_SECONDS
    price = dollars(Usage(sqs=receives)).total / 1e6
    yield (
        f"Not Resona's calls, but on its bill: Lambda's {POLLERS} pollers of an empty queue, "
        f"{receives:,} receives a day, "
        f"{price:.4f} dollars ({price * MONTH_DAYS:.2f} a month)."
    )


def _prices(counted: dict[int, Costs]) -> Iterator[str]:
    yield ""
    head = f"dollars a million, {PRICES['region']}, {PRICES['checked']}"
    yield (
        f"{head:50} {'body':>5} {'DynamoDB':>9} {'SQS':>6} {'Scheduler':>9} {'Lambda':>7} "
        f"{'total':>8}"
    )
    for name, steps in FIRINGS.items():
        for size, costs in counted.items():
            price = dollars(sum((costs[step] for step in steps), Usage()))
            yield (
                f"{name:50} {f'{size // KB} KB':>5} {price.dynamodb:9.2f} {price.sqs:6.2f} "
                f"{price.scheduler:9.2f} "
                f"{price.functions:7.2f} {price.total:8.2f}"
            )
    yield (
        "Left out: Lambda's duration (nearly all of it the target's time, and up to a second "
        "of waiting for the due time), API Gateway, "
        "logs, storage and its backups, alarms, the key of KMS: tests.bench.bill has them; "
        "data transfer; all free tiers."
    )


if __name__ == "__main__":
    for line in report():
        sys.stdout.write(line + "\n")
