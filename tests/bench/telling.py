"""What it costs to tell of failures, beside the failed firings themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.bench.meter import Usage
from tests.bench.operations import ANSWERED, HOURLY, KB, REFUSED, bench
from tests.environment import Sent

NOTICES = "https://example.com/notices"
MANY = 50


def failed(jobs: int, channel: dict[str, Any] | None = None) -> Usage:
    """Count so many crons that fail at once, and what a channel is told of it."""
    with bench(KB) as made:
        if channel is not None:
            made.call("PUT", "/notices/ops", {"url": NOTICES, **channel})

        def target(sent: Sent) -> Any:
            return ANSWERED if sent.request.url == NOTICES else REFUSED

        made.env.target = target
        job = {"name": "nightly order export", "request": made.request(), "trigger": HOURLY}
        for _ in range(jobs):
            made.call("POST", "/jobs", {**job, "retry": {"max_attempts": 1}})
        return made.used(partial(made.advance, minutes=90))


def told(jobs: int, channel: dict[str, Any]) -> Usage:
    """Count what it costs to tell a channel of so many failures."""
    return failed(jobs, channel) + failed(jobs) * -1


def table() -> Iterator[str]:
    """Yield the lines of docs/costs.md."""
    digest = {"digest": 600}
    one, two, many = (told(jobs, digest) for jobs in (1, 2, MANY))
    rows = {
        "a notice of one failure": told(1, {}),
        "a digest of one failure": one,
        "a digest of two": two,
        f"a digest of {MANY}": many,
        f"{MANY} notices": told(MANY, {}),
    }
    yield "| told | write units | read units | SQS requests | invocations |"
    yield "|---|---|---|---|---|"
    for name, used in rows.items():
        numbers = (used.writes, used.reads, used.sqs, used.lambdas)
        yield f"| {name} | {' | '.join(f'{number:,g}' for number in numbers)} |"
