"""When the sweeper looks at an overdue job, without a write for each look.

The sweeper stores until when it has looked (`Mark`). What is overdue has looks at times that follow
from when it became overdue, so a sweep knows which of them have come since the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# A sweep may not see what was written within this time, because entries of the index lag by a
# second. So the next one makes these looks too.
SETTLED = timedelta(seconds=2)
# After the first look the next ones follow 1, 3, 7 and 15 minutes later, and then every 8 minutes.
_LOOKS = tuple(timedelta(minutes=minutes) for minutes in (0, 1, 3, 7, 15))
_STEP = timedelta(minutes=8)
# Entries of the index younger than this are read by every sweep: a job may have a step that becomes
# overdue later than its `watch_at`.
YOUNG = _LOOKS[-1]
# A mark further ahead than this was written with a wrong clock.
_WRONG = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the index of watched states: the last one that was handled."""

    watch_at: datetime
    job_id: str


@dataclass(frozen=True, slots=True)
class Part:
    """The beginning of a sweep that ran out of time: entries until `place` were handled.

    The sweep handles what is overdue at `until`. `has_failed` says that a look failed.
    """

    until: datetime
    place: Place | None = None
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Until when a shard was swept: all looks until `since` were made. None means never.

    `part` is set if the sweep after that has begun but has not ended.
    """

    since: datetime | None = None
    part: Part | None = None

    def trusted(self, now: datetime) -> Mark:
        """Return the mark without times that are in the future: a clock was wrong."""
        latest = now + _WRONG
        since = None if self.since is not None and self.since > latest else self.since
        part = None if self.part is not None and self.part.until > latest else self.part
        return Mark(since, part)

    def after(self, part: Part, place: Place | None, *, failed: bool) -> Mark:
        """Return the mark after a page of a sweep; `place` is its last entry, None at the end.

        A look that failed is made by the next sweep: then `since` stays.
        """
        failed = failed or part.has_failed
        if place is not None:
            return Mark(self.since, replace(part, place=place, has_failed=failed))
        return Mark(self.since if failed else part.until - SETTLED)


def has_look(first: datetime, since: datetime | None, until: datetime) -> bool:
    """Return whether a look at what is overdue from `first` on lies after `since`, until `until`.

    With `since` None all looks do that are not later than `until`.
    """
    if until < first:
        return False
    return since is None or next_look(first, since) <= until


def next_look(first: datetime, after: datetime) -> datetime:
    """Return the first look strictly after an instant at what is overdue from `first` on."""
    if after < first:
        return first
    passed = after - first
    if passed >= YOUNG:
        return first + YOUNG + ((passed - YOUNG) // _STEP + 1) * _STEP
    return first + next(look for look in _LOOKS if look > passed)


def is_read(watch_at: datetime, since: datetime | None, until: datetime) -> bool:
    """Return whether a sweep reads the state of a job with this `watch_at`.

    Later than YOUNG after it only at its looks: `run_transitions.sweep` has moved `watch_at` if a
    step needs a look in between.
    """
    return until - YOUNG < watch_at <= until or has_look(watch_at, since, until)
