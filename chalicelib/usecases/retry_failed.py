"""Retry the failed and missed runs of all jobs of a tenant, a hundred at a time."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from chalicelib.aws.ended_runs_index import EndedRunEntry
from chalicelib.aws.job_store import StateChanged
from chalicelib.aws.serialization import sortable
from chalicelib.domain import job_transitions
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.run import Reason
from chalicelib.domain.state import MAX_UNFINISHED_RUNS, State
from chalicelib.usecases.bulk import run_in_time
from chalicelib.usecases.ended_runs import Wanted, pages, run_of, states_of
from chalicelib.usecases.scheduling import Scheduling

log = logging.getLogger("resona")

MOST_RETRIED = 100
# Send ten retries in a second, and begin at most an hour ahead.
STEP = timedelta(milliseconds=100)
FARTHEST = timedelta(hours=1)
# Leave half of its unfinished runs to a job's occurrences: with 32 of them these are skipped.
MOST_UNFINISHED = MAX_UNFINISHED_RUNS // 2
# Read no further entries after this time, so that the retries can be written within the call.
_READ_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after the entry at `before`, and with a retry that is sent at `sent_at`.

    None is the latest end, and now.
    """

    before: str | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """How many runs a page retried and left, and where the next one begins, None at the end.

    A run is left if its job has too many unfinished ones: a call that begins anew finds it again.
    """

    retried: int
    left: int
    following: Place | None


@dataclass(frozen=True, slots=True)
class _Found:
    """A run to retry, and the position of the entry before its own."""

    job_id: str
    key: RunKey
    before: str | None


def retry_failed(scheduling: Scheduling, tenant: str, wanted: Wanted, place: Place) -> Retried:
    """Retry up to 100 runs that have not been retried, latest end first, each at its own time.

    Cancelled runs are left out. Reads at most 1,000 entries of the index, and begins nothing after
    15 s. However often it is called, each run is retried once. Raises Unavailable; other runs may
    have been retried before.
    """
    page = _Page(scheduling, tenant, wanted)
    following = page.read(place.before)
    now = scheduling.clock()
    begin = min(max(now, place.sent_at or now, *page.planned_times()), now + FARTHEST)
    plans: dict[str, dict[RunKey, datetime]] = {}
    for number, found in enumerate(page.found):
        plans.setdefault(found.job_id, {})[found.key] = begin + number * STEP
    acts = [
        partial(_retry, scheduling, page.states[job_id], plan) for job_id, plan in plans.items()
    ]
    try:
        done = dict(zip(plans, run_in_time(scheduling, acts), strict=True))
    except Unavailable as error:
        raise Unavailable(error.part, unknown=True) from error
    # The next page begins with the first run whose job was not reached in time.
    late = next((found for found in page.found if done[found.job_id] is None), None)
    before = late.before if late else following
    counts = [counted for counted in done.values() if counted is not None]
    return Retried(
        sum(retried for retried, _ in counts),
        sum(left for _, left in counts),
        Place(before, begin + len(page.found) * STEP) if before else None,
    )


class _Page:
    """Finds the runs that one call retries.

    `states` has the jobs that were met, exist and have the label. Each is read once, before the
    records of its runs: a retry that these do not show yet changes the state, and the
    compare-and-swap on it fails.
    """

    def __init__(self, scheduling: Scheduling, tenant: str, wanted: Wanted) -> None:
        self._scheduling = scheduling
        self._tenant = tenant
        self._wanted = wanted
        self._met: set[str] = set()
        self.states: dict[str, State] = {}
        self.found: list[_Found] = []

    def read(self, before: str | None) -> str | None:
        """Find up to 100 runs; return the position after which the next page begins.

        None at the end.
        """
        scheduling, wanted = self._scheduling, self._wanted
        if wanted.until is not None:
            # Positions begin with the time of the end.
            before = min(before or "~", sortable(wanted.until))
        until, has_more = scheduling.clock() + _READ_WITHIN, False
        read_pages = pages(scheduling, self._tenant, wanted, before, MOST_RETRIED)
        for read, has_more in read_pages:  # noqa: B007  read below
            entries = [one for one in read if wanted.since is None or one.at >= wanted.since]
            self._read_states(entries)
            judge = [partial(self._is_wanted, one) for one in entries]
            judged = run_in_time(scheduling, judge, until - scheduling.clock())
            for entry, is_wanted in zip(entries, judged, strict=True):
                if is_wanted is None or len(self.found) == MOST_RETRIED:
                    return before
                if is_wanted:
                    self.found.append(_Found(entry.job_id, entry.key, before))
                before = entry.position
            if len(entries) < len(read):
                return None
            if scheduling.clock() > until:
                break
        return before if has_more else None

    def planned_times(self) -> list[datetime]:
        """Return the times after those for which the jobs that were met have retries already."""
        runs = [run for state in self.states.values() for run in state.runs]
        return [run.planned_at + STEP for run in runs if run.planned_at is not None]

    def _read_states(self, entries: Collection[EndedRunEntry]) -> None:
        statuses = self._wanted.statuses
        new = [one for one in entries if one.status in statuses and one.job_id not in self._met]
        self._met |= {one.job_id for one in new}
        self.states |= states_of(self._scheduling, new, self._wanted)

    def _is_wanted(self, entry: EndedRunEntry) -> bool:
        state = self.states.get(entry.job_id)
        if state is None or entry.status not in self._wanted.statuses:
            return False
        run = run_of(self._scheduling, entry, state)
        return run is not None and not run.is_retried and run.reason is not Reason.CANCELLED


def _retry(scheduling: Scheduling, state: State, plan: dict[RunKey, datetime]) -> tuple[int, int]:
    """Retry runs of one job; return how many were retried, and how many were left.

    `state` was read before the records of these runs, and `plan` says when each is sent.
    """
    for tries in scheduling.tries():
        if tries:
            current = scheduling.jobs.state(state.job_id)
            if current is None:
                return 0, 0
            state = current
            plan = {key: at for key, at in plan.items() if _is_open(scheduling, state, key)}
        # A run whose end is recorded is unfinished until the state is written.
        ended = [key for key in plan if state.find(key) is None]
        room = max(0, MOST_UNFINISHED - len(state.runs))
        chosen = {key.retried_by: plan[key] for key in itertools.islice(ended, room)}
        if not chosen:
            return 0, len(plan)
        now = scheduling.clock()
        step = job_transitions.retry(state, chosen, now)
        try:
            scheduling.jobs.save(step.state, now=now)
        except StateChanged:
            continue
        for key in chosen:
            fields = {"job_id": state.job_id, "run_id": run_id(state.job_id, key)}
            log.info("run.queued", extra=fields)
        scheduling.arming.arm(step.state, step.arm)
        return len(chosen), len(plan) - len(chosen)
    raise Unavailable("the job")


def _is_open(scheduling: Scheduling, state: State, key: RunKey) -> bool:
    """Return whether a run is still on record and has not been retried meanwhile."""
    found = scheduling.runs.run(state.job_id, key, scheduling.clock(), responses=False)
    return found is not None and not found.is_retried and state.find(key.retried_by) is None
