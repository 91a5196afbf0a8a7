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
from chalicelib.domain.request import as_address, malformed_host
from chalicelib.domain.run import AttemptResult, Outcome

# One query of a firing reads them all.
MOST_FLOWS = 50
# Attempts a second. A place is at most two writes of one item, which takes 1,000 a second.
FASTEST = 500
LONGEST_SECONDS = 3600
# Exchanges of a flow that may be out; an attempt reads who has them.
MOST_OUT = 100
# A place that has passed by more is lost: places that an outage let pass would be used all at once.
LATEST = timedelta(seconds=2)
OF_HOST = "host:"
_DOWN = {Outcome.TIMEOUT, Outcome.CONNECTION_FAILED, Outcome.DNS_FAILED, Outcome.TLS_FAILED}
_SHOWS_NOTHING = {Outcome.BLOCKED, Outcome.UNKNOWN}
FLOW_NAME = re.compile(
    rf"(?!\.{{1,2}}$)[A-Za-z0-9._-]{{1,64}}|{OF_HOST}"
    r"(?:[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,126}|[0-9a-f:]{2,39})",
    re.ASCII,
)

NAME_RULE = (
    f"must be 1 to 64 of A-Z a-z 0-9 . _ - (not . or .. alone), or {OF_HOST} and a host in lower "
    "case, without a port; an IPv6 address in its shortest form, without brackets"
)


class Wait(StrEnum):
    """What a run waits for that is due and not sent."""

    RATE = "rate"
    CONCURRENCY = "concurrency"
    PAUSE = "pause"
    BREAKER = "breaker"
    SHARE = "share"


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
class Breaker:
    """After so many `failures` in a row a flow is open: its attempts wait. Every `probe` one is
    sent, until one finds that the target works.
    """

    failures: int
    probe: timedelta


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as the user wrote it. With `rate` None its attempts are not spaced, with `concurrency`
    None any number of exchanges may be out. Nothing is sent while it is `paused`.

    `series` names the places that it gives; a change of the rate begins a new one. `opened_at` is
    when its breaker opened it, None while it is closed.
    """

    tenant: str
    name: str
    created_at: datetime
    updated_at: datetime
    rate: Rate | None = None
    series: str = ""
    concurrency: int | None = None
    paused: bool = False
    breaker: Breaker | None = None
    opened_at: datetime | None = None

    @property
    def is_gated(self) -> bool:
        """Return whether attempts may have to wait in line."""
        return self.paused or self.concurrency is not None or self.opened_at is not None

    @property
    def probed_from(self) -> datetime | None:
        """Return when the first attempt after the flow was opened may be sent; None if closed."""
        if self.breaker is None or self.opened_at is None:
            return None
        return self.opened_at + self.breaker.probe

    def most_out(self, now: datetime) -> int | None:
        """Return how many exchanges may be out; None for any number. A pause does not count."""
        if self.probed_from is None:
            return self.concurrency
        return 1 if now >= self.probed_from else 0


def is_down(result: AttemptResult) -> bool | None:
    """Return whether an attempt shows that its target does not work; None if it shows nothing.

    An answer that the job counts as a success shows that it works, whatever its status.
    """
    if result.outcome in _SHOWS_NOTHING:
        return None
    is_error = result.outcome is not Outcome.SUCCESS and (result.status_code or 0) >= 500
    return result.outcome in _DOWN or is_error


def flow_of(definition: Definition) -> str | None:
    """Return the name of a job's flow. A notice belongs to none."""
    if definition.kind is Kind.NOTICE:
        return None
    if definition.flow is not None:
        return definition.flow
    try:
        host = urlsplit(definition.request.url).hostname
    except ValueError:
        return None
    return f"{OF_HOST}{_written(host)}" if host else None


def is_name(name: str) -> bool:
    """Return whether this is a name of a flow: that of a host is as `flow_of` writes it."""
    if not FLOW_NAME.fullmatch(name):
        return False
    host = name.removeprefix(OF_HOST)
    if host == name:
        return True
    return malformed_host(f"[{host}]" if ":" in host else host) is None and _written(host) == host


def _written(host: str) -> str:
    """Return a host without brackets as flows write it: an IPv6 address in its shortest form."""
    address = as_address(f"[{host}]") if ":" in host else None
    return str(address) if address else host


def places(rate: Rate, before: datetime, arrival: datetime, count: int) -> Sequence[datetime]:
    """Return the next places of attempts that may be sent from `arrival` on, the earliest first.

    `before` is the theoretical arrival time, or `arrival` if that is later; it moves on by `count`
    steps.
    """
    return [max(arrival, before + rate.step * n - rate.tolerance) for n in range(count)]


def begun(rate: Rate, before: Rate | None, arrival: datetime | None, now: datetime) -> datetime:
    """Return the theoretical arrival time with which a rate begins.

    `before` is the rate that it replaces, with its theoretical arrival time, None without one. Its
    places that are still to come are given back, as their runs ask again. Those that have come
    count as so many steps of the new rate.
    """
    if before is None or arrival is None:
        return now
    ahead = min(arrival - now, before.step + before.tolerance)
    return now + min(max(ahead / before.step, 0), rate.burst) * rate.step


def is_kept(series: str | None, at: datetime, flow: Flow, now: datetime) -> bool:
    """Return whether a place of this series is to be kept: the flow's rate is still the one that
    gave it, and it has not passed too long ago.
    """
    return series == flow.series and now <= at + LATEST


def waiting(rate: Rate, arrival_time: datetime, now: datetime) -> int:
    """Return how many places are still to come, given the theoretical arrival time."""
    last = arrival_time - rate.step - rate.tolerance
    return max(0, -((now - last) // rate.step))
