"""Count the ended runs of all jobs of a tenant by hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from chalicelib.aws.hour_store import SETTLED, CountedHour, count
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.run_counts import RunCounts
from chalicelib.usecases.scheduling import Scheduling

HOUR = timedelta(hours=1)
# One call reads about this many entries of the index, and this many stretches of hours.
MOST_READ = 100_000
_STRETCHES = 8
# A part of an hour is kept if it has this part of what one call may read.
_WORTH_KEEPING = 0.01
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class RunHours:
    """The counts of hours, by their starts, in order; everything until then is counted."""

    hours: Mapping[datetime, RunCounts]
    counted_until: datetime
    is_complete: bool


def run_hours(
    scheduling: Scheduling, tenant: str, first: datetime, end: datetime, most: int = MOST_READ
) -> RunHours:
    """Count the runs that ended from `first`, a whole hour, until `end`, or until now.

    It stops when it has read `most` entries of the index, or a page of a query more. Counts that do
    not change any more are kept, so the next call goes on where this one stopped. Runs of deleted
    jobs are counted, too.
    """
    now, store = scheduling.clock(), scheduling.runs.hours
    hours = list(_hours(first, min(end, now)))
    kept = store.load(tenant, hours[0], hours[-1]) if hours else {}
    found: dict[datetime, RunCounts] = {hour: one.counts for hour, one in kept.items()}
    counted_until, left = hours[-1] + HOUR if hours else now, most
    for number, (since, until) in enumerate(_stretches(hours, kept)):
        if left <= 0 or number == _STRETCHES:
            counted_until = since
            break
        ends, reached = store.ends(tenant, since, until, left, scheduling.run_all)
        left -= len(ends)
        for hour, counts in count(ends, reached).items():
            found[hour] = found.get(hour, RunCounts()) + counts
        settled = min(reached, now - SETTLED)
        _keep(scheduling, tenant, _lasting(kept, since, settled, ends, most * _WORTH_KEEPING))
        if reached < until:
            counted_until = reached
            break
    is_complete = not hours or counted_until == hours[-1] + HOUR
    shown = [hour for hour in hours if hour + HOUR <= counted_until]
    return RunHours(
        {hour: found.get(hour, RunCounts()) for hour in shown},
        min(counted_until, now),
        is_complete,
    )


def _hours(since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the starts of the hours from the one that `since` is in until `until`."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    while hour < until:
        yield hour
        hour += HOUR


def _stretches(
    hours: Sequence[datetime], kept: Mapping[datetime, CountedHour]
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the stretches of these hours that are not counted yet, each as long as can be."""
    since = None
    for hour in hours:
        counted_until = kept[hour].until if hour in kept else hour
        if since is not None and counted_until > hour:
            yield since, hour
            since = None
        if counted_until < hour + HOUR:
            since = since or counted_until
    if since is not None:
        yield since, hours[-1] + HOUR


def _lasting(
    kept: Mapping[datetime, CountedHour],
    since: datetime,
    settled: datetime,
    ends: Sequence[str],
    worth: float,
) -> dict[datetime, CountedHour]:
    """Return the counts to keep of these ends: of whole hours, and of an hour's part until
    `settled` if that has so many runs.
    """
    counts, lasting = count(ends, settled), {}
    for hour in _hours(since, settled):
        until, more = min(hour + HOUR, settled), counts.get(hour, RunCounts())
        is_worth_it = until == hour + HOUR or more.statuses.total() >= worth
        if until > since and is_worth_it:
            old = kept[hour].counts if hour in kept else RunCounts()
            lasting[hour] = CountedHour(until, old + more)
    return lasting


def _keep(scheduling: Scheduling, tenant: str, lasting: Mapping[datetime, CountedHour]) -> None:
    save = scheduling.runs.hours.save
    saves = [partial(save, tenant, hour, counts) for hour, counts in lasting.items()]
    # Hours that are not kept are counted again.
    with suppress(Unavailable):
        for first in range(0, len(saves), _AT_ONCE):
            scheduling.run_all(saves[first : first + _AT_ONCE])
