"""Which quotas are met at how many firings a second, as docs/limits.md shows it: `python -m
tests.bench.limits`.

What a firing needs of each is counted while the real code runs; how long it runs is assumed, as in
`bill`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.aws.ended_runs_index import OK_SHARDS
from chalicelib.aws.job_items import WATCH_SHARDS
from chalicelib.config import read_concurrency
from chalicelib.handlers.executor import _BATCH as BATCH
from infra.deploy.finish import RATE
from tests.bench.bill import one_time
from tests.bench.meter import Write
from tests.bench.operations import FAR, KB, bench

RATES = (10, 1_000, 100_000)
CONCURRENCY = read_concurrency({})
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html: a
# partition; a read unit is one item.
PARTITION_WRITES, PARTITION_READS = 1_000, 3_000
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html: a
# new table; ServiceQuotas.html: any.
NEW_TABLE_WRITES, TABLE_WRITES = 4_000, 40_000
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
EXECUTIONS = 1_000
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html
WAKES = 1_000
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
IN_FLIGHT = 120_000
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
API_CALLS = 10_000


@dataclass(frozen=True)
class Limit:
    """A quota, how much of it a firing a second needs, and what can be done about it.

    `most` is the most, if `each` is the least.
    """

    what: str
    each: float
    quota: float
    then: str
    most: float | None = None

    def at(self, rate: int) -> str:
        """Return what so many firings a second need, in bold if that is all there is, or more."""
        least, most = self.each * rate, (self.most or self.each) * rate
        shown = _number(least) if self.most is None else f"{_number(least)} to {_number(most)}"
        return f"**{shown}**" if most >= self.quota else shown


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1g}"


def written() -> Counter[str]:
    """Return what a firing writes in each table and index: a cron's, or that of a one-time job with
    its registration if that is more.
    """
    with bench(KB) as made:
        made.env.cloud.writes.clear()
        made.create(FAR)
        made.advance(minutes=61)
        once = _units(made.env.cloud.writes)
    with bench(KB) as made:
        made.settled()
        made.env.cloud.writes.clear()
        made.advance(hours=1)
        return once | _units(made.env.cloud.writes)


def _units(writes: list[Write]) -> Counter[str]:
    total: Counter[str] = Counter()
    for write in writes:
        total["runs" if write.what == "record" else "jobs"] += write.units
        index = {"definition": "by_tenant", "record": "by_wrong"}.get(write.what, "by_watch")
        total[index] += write.index_units
    return total


def limits() -> Iterator[Limit]:
    """Yield every quota that a firing draws on."""
    units, steps = written(), {step.function: step for step in one_time()}
    deliver, wake = steps["deliver"], steps["wake"]
    fixed = "is what one DynamoDB partition takes: more tenants, or more stages"
    yield Limit(
        "DynamoDB, table `jobs`, write units",
        units["jobs"],
        NEW_TABLE_WRITES,
        (
            "grows with use, to double within half an hour, or beforehand by its warm throughput; "
            f"ask for more than {TABLE_WRITES:,}"
        ),
    )
    yield Limit("DynamoDB, table `runs`, write units", units["runs"], NEW_TABLE_WRITES, "the same")
    yield Limit(
        "DynamoDB, index `by_watch`, write units",
        units["by_watch"],
        WATCH_SHARDS * PARTITION_WRITES,
        (
            f"is {WATCH_SHARDS} partitions: raise `WATCH_SHARDS` in `chalicelib/aws/job_items.py`; "
            "the sweeper reads each once a minute"
        ),
    )
    yield Limit(
        "DynamoDB, index `by_wrong`, write units of one tenant",
        units["by_wrong"],
        OK_SHARDS * PARTITION_WRITES,
        (
            f"is {OK_SHARDS} partitions for runs that succeed: raise `OK_SHARDS` in "
            "`chalicelib/aws/ended_runs_index.py`"
        ),
    )
    yield Limit(
        "DynamoDB, index `by_tenant`, write units of one tenant",
        units["by_tenant"],
        PARTITION_WRITES,
        fixed,
    )
    yield Limit("DynamoDB, table `secrets`, read units of one tenant", 1, PARTITION_READS, fixed)
    yield Limit(
        "Lambda, `deliver` at once, in full batches or message by message",
        deliver.seconds / BATCH,
        CONCURRENCY,
        (
            f"is ours, of the account's {EXECUTIONS:,}: ask for more, raise the setting "
            "`RESONA_CONCURRENCY`, at most to 1,000"
        ),
        most=deliver.seconds,
    )
    yield Limit(
        "Lambda, `wake` at once",
        wake.seconds,
        EXECUTIONS - CONCURRENCY,
        "is what is left of the account's, for the API too",
    )
    yield Limit(
        "EventBridge Scheduler, invocations",
        1,
        WAKES,
        "ask for more; what it wakes too late for, the sweeper arms",
    )
    yield Limit("SQS, messages in flight", deliver.seconds, IN_FLIGHT, "ask for more")
    yield Limit(
        "API Gateway, calls, if each registers one job",
        1,
        RATE,
        (
            f"is ours, of the account's {API_CALLS:,}: `POST /jobs/batch` registers 100, or raise "
            "`RATE` in `infra/deploy/finish.py`"
        ),
    )


def table() -> Iterator[str]:
    """Yield the lines of the table in docs/limits.md."""
    yield f"| firings a second | {' | '.join(f'{rate:,}' for rate in RATES)} | quota | |"
    yield "|---|---|---|---|---|---|"
    for limit in limits():
        yield (
            f"| {limit.what} | {' | '.join(limit.at(rate) for rate in RATES)} | "
            f"{_number(limit.quota)} | {limit.then} |"
        )


if __name__ == "__main__":
    for line in table():
        sys.stdout.write(line + "\n")
