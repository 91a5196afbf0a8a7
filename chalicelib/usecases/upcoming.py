"""List what comes due: the occurrences of all active jobs of a tenant, in time order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from chalicelib.domain.counting import left
from chalicelib.domain.occurrences import Due, Place, merged
from chalicelib.domain.state import GRACE, State
from chalicelib.usecases import due_jobs
from chalicelib.usecases.excluding import all_with_calendars
from chalicelib.usecases.scheduling import Scheduling

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which occurrences to list: after the place `after`, before `until`, up to `limit`.

    `after` None begins with the first. `label` is (key, value) of a label of their jobs, None for
    all jobs.
    """

    after: Place | None
    until: datetime
    label: tuple[str, str] | None
    limit: int


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A page of occurrences.

    What is due before `complete_until` is on this page or on those before it. `has_more` says
    whether another page follows.
    """

    occurrences: tuple[Due, ...]
    complete_until: datetime
    has_more: bool


def upcoming(scheduling: Scheduling, tenant: str, wanted: Wanted) -> Upcoming:
    """Return a page of occurrences.

    If the tenant has more than MOST_READ jobs, those that are due later than the first MOST_READ in
    the index on `watch_at` are not known, and `complete_until` may be earlier than `until`. A job
    that is overdue may be missing.
    """
    now = scheduling.clock()
    states = due_jobs.all_due(scheduling, tenant)
    known_until = wanted.until
    if states is None:
        states, known_until = _soonest(scheduling, tenant, wanted)
    jobs = _jobs(scheduling, states, wanted)
    occurrences = merged(jobs, now, wanted.after)
    page = list(islice(occurrences, wanted.limit + 1))
    # Known, but not complete: there may be more at `known_until` itself.
    listed = [one for one in page if one.due_at < wanted.until and one.due_at <= known_until]
    has_more = len(listed) > wanted.limit
    listed = listed[: wanted.limit]
    return Upcoming(tuple(listed), listed[-1].due_at if has_more else known_until, has_more)


def _soonest(scheduling: Scheduling, tenant: str, wanted: Wanted) -> tuple[list[State], datetime]:
    """Return the states that the index has first, and until when no other job is due."""
    found: list[State] = []
    known_until, read = wanted.until, 0
    for group in due_jobs.watched(scheduling, tenant, None, _PAGE):
        found += [state for _, state in group if state is not None]
        found.sort(key=due_jobs.place)
        read += len(group)
        known_until = datetime.fromisoformat(group[-1][0].watch_at) - GRACE
        if known_until >= wanted.until:
            return found, wanted.until
        if wanted.label is None and _fill_a_page(found, known_until, wanted):
            return found, known_until
    return found, known_until if read >= due_jobs.MOST_READ else wanted.until


def _fill_a_page(states: Sequence[State], known_until: datetime, wanted: Wanted) -> bool:
    """Return whether more jobs than a page shows are due after the last one, until a time."""
    following = states[_count_before(states, wanted) :][: wanted.limit + 1]
    is_known = bool(following) and (following[-1].shown_run_time or known_until) <= known_until
    return is_known and len(following) > wanted.limit


def _count_before(states: Sequence[State], wanted: Wanted) -> int:
    """Return how many of these sorted states are due at the place `after` or before it."""
    if wanted.after is None:
        return 0
    at, job_id = wanted.after
    return bisect_right(states, (at.isoformat(), job_id), key=due_jobs.place)


def _jobs(scheduling: Scheduling, states: Sequence[State], wanted: Wanted) -> list[Due]:
    """Return the jobs whose occurrences can be on the page."""
    if wanted.label is None:
        # Jobs that are due later than a whole page of others are not on it.
        states = states[: _count_before(states, wanted) + wanted.limit + 1]
    pairs = due_jobs.with_definitions(scheduling, states)
    bound = all_with_calendars(scheduling.calendars, [definition for definition, _ in pairs])
    return [
        Due(definition, state.shown_run_time, left(state, definition.trigger), state.skips)
        for definition, (_, state) in zip(bound, pairs, strict=True)
        if state.shown_run_time is not None
        and state.shown_run_time < wanted.until
        and (wanted.label is None or wanted.label in definition.labels.items())
    ]
