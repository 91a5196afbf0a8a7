"""Flows: limits on how the jobs of a tenant, all together, call a target.

A job names a flow, or belongs to that of its host. A rate is kept by GCRA, the generic cell rate
algorithm, as ITU-T I.371 defines it: the flow stores one time, its theoretical arrival time, and
each attempt gets a place in time by moving it on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from chalicelib.domain.job import Definition, Kind

# One query of a firing reads them all.
MOST_FLOWS = 50
# Attempts a second. A place is at most two writes of one item, which takes 1,000 a second.
FASTEST = 500
LONGEST_SECONDS = 3600
OF_HOST = "host:"
FLOW_NAME = re.compile(
    rf"(?!\.{{1,2}}$)[A-Za-z0-9._-]{{1,64}}|{OF_HOST}[a-z0-9._:-]{{1,253}}", re.ASCII
)

NAME_RULE = (
    f"must be 1 to 64 of A-Z a-z 0-9 . _ - (not . or .. alone), or {OF_HOST} and a host in lower "
    "case"
)


class Wait(StrEnum):
    """What a run waits for that is due and not sent."""

    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` attempts in `seconds` on average, evenly spaced.

    After a quiet time up to `burst` of them may go at once.
    """

    requests: int
    seconds: int
    burst: int = 1

    @property
    def step(self) -> timedelta:
        """Return the time from one place to the next, in whole microseconds, rounded up."""
        return timedelta(microseconds=-(-self.seconds * 1_000_000 // self.requests))

    @property
    def tolerance(self) -> timedelta:
        """Return how much earlier than the theoretical arrival time a place may be."""
        return self.step * (self.burst - 1)


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as the user wrote it. With `rate` None its attempts are not spaced."""

    tenant: str
    name: str
    created_at: datetime
    updated_at: datetime
    rate: Rate | None = None


def flow_of(definition: Definition) -> str | None:
    """Return the name of a job's flow. A notice belongs to none."""
    if definition.kind is Kind.NOTICE:
        return None
    if definition.flow is not None:
        return definition.flow
    try:
        return f"{OF_HOST}{urlsplit(definition.request.url).hostname}"
    except ValueError:
        return None


def places(rate: Rate, before: datetime, arrival: datetime, count: int) -> Sequence[datetime]:
    """Return the next places of attempts that may be sent from `arrival` on, the earliest first.

    `before` is the theoretical arrival time, or `arrival` if that is later; it moves on by `count`
    steps.
    """
    return [max(arrival, before + rate.step * n - rate.tolerance) for n in range(count)]


def waiting(rate: Rate, arrival_time: datetime, now: datetime) -> int:
    """Return how many places are still to come, given the theoretical arrival time."""
    last = arrival_time - rate.step - rate.tolerance
    return max(0, -((now - last) // rate.step))
