"""Merge the occurrences of many jobs in time order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache

from chalicelib.domain.job import Definition
from chalicelib.domain.trigger import Trigger

_SECOND = timedelta(seconds=1)
# The time and the job of an occurrence.
Place = tuple[datetime, str]


def merged(
    jobs: Iterable[tuple[Definition, datetime]], now: datetime, after: Place | None = None
) -> Iterator[tuple[datetime, Definition]]:
    """Yield the occurrences of jobs in time order, those of one time by their jobs' ids.

    With each job comes the time when it is due next, which may have passed: its later occurrences
    come after `now`. `after` is the last occurrence that is left out, None if none is.
    """

    # Many jobs have the same trigger, such as an hourly cron.
    @cache
    def following(trigger: Trigger, at: datetime) -> datetime | None:
        return trigger.next_after(max(at, now))

    heap = []
    for definition, due_at in jobs:
        first: datetime | None = due_at
        if after is not None and (due_at, definition.id) <= after:
            first = following(definition.trigger, max(after[0] - _SECOND, due_at))
            if first is not None and (first, definition.id) <= after:
                first = following(definition.trigger, first)
        if first is not None:
            heap.append((first, definition.id, definition))
    heapq.heapify(heap)
    while heap:
        at, job_id, definition = heap[0]
        yield at, definition
        then = following(definition.trigger, at)
        if then is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (then, job_id, definition))
