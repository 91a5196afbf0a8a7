"""Quotas of a tenant: how many jobs it may have, and how many it may register in a minute. Pure:
`now` is an argument.

The number of jobs is an upper bound. A registration adds to it and a delete does not subtract, so
that a delete costs nothing and a lost answer cannot make it too small. When it reaches the quota,
and once a day, the jobs are counted, and what it was wrong by is gone. Without a quota of jobs they
are never counted: there may be any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.errors import QuotaExceeded

_MINUTE = 60
# Counting reads the whole index of a tenant, so it is not done for every registration that is
# refused.
_COUNT_AGAIN_AFTER = timedelta(seconds=10)
_COUNT_ANYHOW_AFTER = timedelta(days=1)
_CLOCKS_DIFFER_BY = timedelta(minutes=1)
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a tenant may have, and do; 0 is no quota."""

    jobs: int
    registrations_per_minute: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has used: `registered` in the minute `minute` (counted from 1970), `earlier` in
    the one before it.

    `jobs` is at least the number of its jobs; `counted_at` is when they were counted.
    """

    minute: int
    registered: int
    earlier: int
    jobs: int
    counted_at: datetime


def minute_of(now: datetime) -> int:
    """Return the number of a minute."""
    return int(now.timestamp()) // _MINUTE


def renewed(
    usage: Usage | None, quotas: Quotas, now: datetime, count: Callable[[datetime], int]
) -> Usage:
    """Return what a usage that allowed no registration comes to now; the same, if it does allow one
    after all.

    `count` counts the tenant's jobs that were made before an instant. Raises QuotaExceeded.
    """
    minute = minute_of(now)
    if usage is None:
        return (
            Usage(minute, 0, 0, count(now + timedelta(minutes=1)), now)
            if quotas.jobs
            else Usage(minute, 0, 0, 0, _NEVER)
        )
    # Another's clock may be ahead, and its minute then counts for all; but not one that is far
    # ahead, for which all would wait.
    if not minute <= usage.minute <= minute + 1:
        follows = minute == usage.minute + 1
        earlier = (
            usage.registered
            if follows
            else usage.registered + usage.earlier
            if minute < usage.minute
            else 0
        )
        usage = replace(usage, minute=minute, registered=0, earlier=earlier)
        # At the quota the jobs are counted in every minute: registrations of earlier minutes are in
        # the count by then.
        is_far = not quotas.jobs or (
            usage.jobs < quotas.jobs and _is_counted_within(_COUNT_ANYHOW_AFTER, usage, now)
        )
        return usage if is_far else _counted(usage, now, count)
    if quotas.registrations_per_minute and usage.registered >= quotas.registrations_per_minute:
        wait = math.ceil((usage.minute + 1) * _MINUTE - now.timestamp())
        raise QuotaExceeded(
            "registrations",
            quotas.registrations_per_minute,
            retry_after=max(1, wait),
            window=_MINUTE,
        )
    if quotas.jobs and usage.jobs >= quotas.jobs:
        if _is_counted_within(_COUNT_AGAIN_AFTER, usage, now):
            raise QuotaExceeded("jobs", quotas.jobs, retry_after=_deletes_count_in(usage, now))
        return _counted(usage, now, count)
    return usage


def _deletes_count_in(usage: Usage, now: datetime) -> int:
    """Return the seconds until no job that is deleted by now counts any more.

    A deleted job may count until the start of the second minute after its registration. If nothing
    was registered in this minute and the one before, the next count of the jobs leaves out every
    deleted one.
    """
    if usage.registered or usage.earlier:
        settled = (usage.minute + (2 if usage.registered else 1)) * _MINUTE
        return max(1, math.ceil(settled - now.timestamp()))
    wait = math.ceil((usage.counted_at + _COUNT_AGAIN_AFTER - now).total_seconds())
    return max(1, min(wait, int(_COUNT_AGAIN_AFTER.total_seconds())))


def _is_counted_within(age: timedelta, usage: Usage, now: datetime) -> bool:
    # What a clock far ahead has counted would else stand until then.
    return -_CLOCKS_DIFFER_BY <= now - usage.counted_at < age


def _counted(usage: Usage, now: datetime, count: Callable[[datetime], int]) -> Usage:
    # What was registered in these two minutes may still be under way, or not yet in the index.
    settled = datetime.fromtimestamp((usage.minute - 1) * _MINUTE, UTC)
    return replace(usage, jobs=count(settled) + usage.registered + usage.earlier, counted_at=now)
