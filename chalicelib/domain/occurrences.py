"""Merge the occurrences of many jobs in time order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from chalicelib.domain.exclusion import next_open
from chalicelib.domain.job import Definition
from chalicelib.domain.trigger import Trigger

_SECOND = timedelta(seconds=1)
# The time and the job of an occurrence.
Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Due:
    """A job, when it is due next, and how many occurrences it has left; None for no limit.

    The next `skips` of its occurrences are to be skipped, and do not count as left.
    """

    definition: Definition
    due_at: datetime
    left: int | None = None
    skips: int = 0


def merged(jobs: Iterable[Due], now: datetime, after: Place | None = None) -> Iterator[Due]:
    """Yield jobs as they are at each of their occurrences, in time order, then by their ids.

    The time when a job is due next may have passed: its later occurrences come after `now`. `after`
    is the last occurrence that is left out, None if none is.
    """

    # Many jobs have the same trigger, such as an hourly cron.
    @cache
    def following(trigger: Trigger, at: datetime) -> datetime | None:
        return next_open(trigger, max(at, now))

    def then(due: Due) -> Due | None:
        """Return the job as it is after this occurrence, None if it was the last."""
        left = due.left if due.left is None or due.skips else due.left - 1
        at = following(due.definition.trigger, due.due_at) if left != 0 else None
        return Due(due.definition, at, left, max(0, due.skips - 1)) if at is not None else None

    def behind(due: Due, place: Place) -> Due | None:
        """Return the job as it is at its first occurrence behind a place."""
        found: Due | None = due
        while found is not None and (found.due_at, found.definition.id) <= place:
            if found.left is None and not found.skips and found.due_at < place[0]:
                # Its occurrences need not be counted: the first is looked for from here on.
                at = following(due.definition.trigger, max(place[0] - _SECOND, found.due_at))
                found = Due(due.definition, at) if at is not None else None
            else:
                found = then(found)
        return found

    placed = (due if after is None else behind(due, after) for due in jobs)
    heap = [(due.due_at, due.definition.id, due) for due in placed if due is not None]
    heapq.heapify(heap)
    while heap:
        _, job_id, due = heap[0]
        yield due
        later = then(due)
        if later is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (later.due_at, job_id, later))
