"""Spread the jobs of one cron over time: each job's occurrences are moved by an offset of its own.

The offset is a function of the job's id: a job has the same one every time, and ten thousand jobs
are spread evenly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from chalicelib.domain import time_zones
from chalicelib.domain.cron import Cron
from chalicelib.domain.cron_days import RULES_FROM
from chalicelib.domain.limits import UNLIMITED

LONGEST_SPREAD_SECONDS = 3_600
_MINUTE, _HOUR, _DAY = 60, timedelta(hours=1), timedelta(days=1)
_MINUTES_A_DAY = 1_440


def offset_of(job_id: str, spread: int) -> int:
    """Return a job's offset in seconds, in [0, `spread`)."""
    share = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8], "big")
    return share * spread >> 64


def placed(cron: Cron, job_id: str) -> Cron:
    """Return the cron of a job: with the job's offset."""
    return replace(cron, offset=offset_of(job_id, cron.spread))


def largest_spread(cron: Cron) -> int:
    """Return the largest spread that a cron may have, in seconds.

    It is the shortest time between two occurrences, an hour at most. Clock changes are those of one
    fixed year, so that the answer never changes.
    """
    bare = replace(cron, starts_at=None, limits=UNLIMITED, spread=0, offset=0)
    fields = bare.fields
    minutes = [hour * 60 + minute for hour in fields.hours for minute in fields.minutes]
    gaps = [later - earlier for earlier, later in pairwise(minutes)]
    overnight = minutes[0] + _MINUTES_A_DAY - minutes[-1]
    if overnight * _MINUTE < LONGEST_SPREAD_SECONDS and _runs_two_days_in_a_row(bare):
        gaps.append(overnight)
    least = min([LONGEST_SPREAD_SECONDS, *(gap * _MINUTE for gap in gaps)])
    return least if least == _MINUTE else min([least, *_gaps_at_clock_changes(bare)])


def _runs_two_days_in_a_row(cron: Cron) -> bool:
    first = datetime(RULES_FROM, 1, 1, tzinfo=UTC).date()
    days = cron.days_from(first)
    for earlier, later in pairwise(days):
        if later - earlier == _DAY:
            return True
        if later.year > RULES_FROM + 1:
            break
    return False


def _gaps_at_clock_changes(cron: Cron) -> Iterator[int]:
    """Yield the seconds between successive occurrences around each clock change of a year."""
    place = time_zones.zone(cron.timezone)
    day = datetime(RULES_FROM, 1, 1, tzinfo=UTC)
    while day.year == RULES_FROM:
        following = day + _DAY
        if day.astimezone(place).utcoffset() != following.astimezone(place).utcoffset():
            yield from _gaps(cron, day - 3 * _HOUR, following + 3 * _HOUR)
        day = following


def _gaps(cron: Cron, after: datetime, until: datetime) -> Iterator[int]:
    earlier = cron.next_after(after)
    while earlier is not None and earlier <= until:
        later = cron.next_after(earlier)
        if later is not None:
            yield int((later - earlier).total_seconds())
        earlier = later
