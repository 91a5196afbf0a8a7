"""Rules of a tenant's quotas: how many jobs it may have, and register in a minute.

The functions are pure: `now` is an argument. The stored number of jobs is an upper bound: a
registration adds to it and a delete does not subtract, so that a delete needs no extra write and a
lost answer cannot make the number too small. The jobs are counted again when the number reaches the
quota, and once a day. Without a quota of jobs they are never counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.errors import QuotaExceeded

_MINUTE = 60
# Counting reads the tenant's whole index, so it is not done for every refused registration.
_COUNT_AGAIN_AFTER = timedelta(seconds=10)
_COUNT_ANYHOW_AFTER = timedelta(days=1)
_CLOCKS_DIFFER_BY = timedelta(minutes=1)
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Quotas:
    """A tenant's quotas; 0 means no limit."""

    jobs: int
    registrations_per_minute: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has used.

    `registered` jobs were registered in the minute `minute` (counted from 1970), `earlier` in the
    minute before. `jobs` is an upper bound of the number of jobs; `counted_at` is when they were
    last counted.
    """

    minute: int
    registered: int
    earlier: int
    jobs: int
    counted_at: datetime


def minute_of(now: datetime) -> int:
    """Return the number of the minute, counted from 1970."""
    return int(now.timestamp()) // _MINUTE


def renewed(
    usage: Usage | None, quotas: Quotas, now: datetime, count: Callable[[datetime], int]
) -> Usage:
    """Return a newer usage to store, after which the registration is tried again.

    Call it if the stored usage did not allow a registration: it is missing (None) or of another
    minute, or a quota is reached. `count` returns the number of the tenant's jobs created before an
    instant. Raises QuotaExceeded.
    """
    minute = minute_of(now)
    if usage is None:
        return (
            Usage(minute, 0, 0, count(now + timedelta(minutes=1)), now)
            if quotas.jobs
            else Usage(minute, 0, 0, 0, _NEVER)
        )
    # The clock of another process may be ahead: accept the next minute, but not later ones, which
    # would make all others wait.
    if not minute <= usage.minute <= minute + 1:
        usage = _of_minute(minute, usage)
        # Count the jobs if the quota is reached (the index has earlier registrations by now), and
        # once a day.
        is_below = usage.jobs < quotas.jobs and _is_counted_within(_COUNT_ANYHOW_AFTER, usage, now)
        return usage if not quotas.jobs or is_below else _counted(usage, now, count)
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
            raise QuotaExceeded(
                "jobs", quotas.jobs, retry_after=_seconds_until_deletes_count(usage, now)
            )
        return _counted(usage, now, count)
    return usage


def _of_minute(minute: int, usage: Usage) -> Usage:
    """Return the usage at the beginning of another minute, later or earlier than its own."""
    if minute == usage.minute + 1:
        earlier = usage.registered
    elif minute < usage.minute:
        earlier = usage.registered + usage.earlier
    else:
        earlier = 0
    return replace(usage, minute=minute, registered=0, earlier=earlier)


def _seconds_until_deletes_count(usage: Usage, now: datetime) -> int:
    """Return the seconds until the jobs that are already deleted no longer count.

    A deleted job may count until the start of the second minute after its registration. If nothing
    was registered in this minute and the one before, the next count leaves out all deleted jobs.
    """
    if usage.registered or usage.earlier:
        settled = (usage.minute + (2 if usage.registered else 1)) * _MINUTE
        return max(1, math.ceil(settled - now.timestamp()))
    wait = math.ceil((usage.counted_at + _COUNT_AGAIN_AFTER - now).total_seconds())
    return max(1, min(wait, int(_COUNT_AGAIN_AFTER.total_seconds())))


def _is_counted_within(age: timedelta, usage: Usage, now: datetime) -> bool:
    # Ignore a count dated in the future by a clock that is far ahead.
    return -_CLOCKS_DIFFER_BY <= now - usage.counted_at < age


def _counted(usage: Usage, now: datetime, count: Callable[[datetime], int]) -> Usage:
    # The index may not hold registrations of the last two minutes yet: add them to the count.
    settled = datetime.fromtimestamp((usage.minute - 1) * _MINUTE, UTC)
    return replace(usage, jobs=count(settled) + usage.registered + usage.earlier, counted_at=now)
