"""Hold backfills against their promises: a part of the observer.

Each occurrence of the range has one run, in order, never two at once; all of them have one, unless
the backfill was ended. After an acknowledged end nothing of it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.domain.backfill import Backfill
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import RunEnd, RunStatus
from chalicelib.domain.state import State, Status, UnfinishedRun
from chalicelib.domain.trigger import Trigger
from tests.simulation.calendars import CalendarHistory
from tests.simulation.virtual_time import VirtualTime

_SECOND = timedelta(seconds=1)


@dataclass
class BackfillHistory:
    """What is known of one backfill. `wanted` are its occurrences, `begun` its runs in order."""

    backfill: Backfill
    wanted: list[datetime]
    has_calendars: bool = False
    """Then some of `wanted` may be passed over."""
    begun: list[RunKey] = field(default_factory=list)
    is_cut: bool = False
    """A user, or a pause, has ended it."""

    @property
    def rest(self) -> list[datetime]:
        """Return the occurrences after the last run that has begun."""
        last = self.begun[-1].due_at if self.begun else None
        return [at for at in self.wanted if last is None or at > last]

    @property
    def is_whole(self) -> bool:
        """Return whether the last run has begun, as far as can be said."""
        return self.has_calendars or not self.rest


def of_backfill(run: UnfinishedRun, backfill: Backfill | None) -> bool:
    """Say whether a run is one of this backfill, and not the retry of one."""
    key = run.key
    return backfill is not None and key.backfill == backfill.token and not key.retry


class BackfillWatch:
    """Raises what `hold` raises."""

    def __init__(
        self, virtual_time: VirtualTime, calendars: CalendarHistory, hold: Callable[..., None]
    ) -> None:
        self.virtual_time = virtual_time
        self.calendars = calendars
        self.hold = hold
        self.histories: dict[tuple[str, str], BackfillHistory] = {}
        """By job and token."""
        self.over: set[tuple[str, str]] = set()
        """Those whose end was acknowledged."""

    def saw(
        self,
        trigger: Trigger,
        old: State | None,
        new: State,
        end_of: Callable[[RunKey], RunStatus | None],
    ) -> None:
        """Take a write of a state in. `trigger` is the job's now."""
        before, after = old.backfill if old else None, new.backfill
        if after is not None and (before is None or before.token != after.token):
            self._begins(trigger, before, after, new)
        if before is not None and (after is None or before.token != after.token):
            assert old is not None
            self._ends(before, old, new)
        if before is not None and after is not None:
            self.hold(old and old.generation == new.generation, "a change ends a backfill", new)
            kept = (before.since, before.until, before.runs)
            self.hold(
                kept == (after.since, after.until, after.runs), "a range stays as it is", after
            )
        known = {run.key for run in old.runs} if old else set()
        for run in new.runs:
            if run.key.backfill is not None and not run.key.retry and run.key not in known:
                self._run_begins(run, new, end_of)
        self._has_its_place(new)

    def _begins(
        self, trigger: Trigger, before: Backfill | None, after: Backfill, new: State
    ) -> None:
        self.hold(before is None, "one backfill at a time", before, after)
        self.hold(self._is_asked("POST"), "a user begins a backfill", after)
        self.hold(new.status is not Status.PAUSED, "no paused job is backfilled", new.job_id)
        wanted = []
        at = trigger.next_after(after.since - _SECOND)
        while at is not None and at <= after.until:
            wanted.append(at)
            at = trigger.next_after(at)
        has_calendars = bool(trigger.limits.exclude)
        is_range = after.runs <= len(wanted) if has_calendars else after.runs == len(wanted)
        self.hold(is_range and after.left == after.runs, "a backfill has its range", after, wanted)
        place = new.job_id, after.token
        self.hold(place not in self.histories, "a backfill begins once", place)
        self.histories[place] = BackfillHistory(after, wanted, has_calendars)

    def _is_asked(self, method: str) -> bool:
        """Say whether a client has asked for this to be done to a backfill."""
        asked = self.virtual_time.current.asked
        return asked.startswith(f"{method} ") and asked.endswith("/backfill")

    def _run_begins(
        self, run: UnfinishedRun, new: State, end_of: Callable[[RunKey], RunStatus | None]
    ) -> None:
        backfill = new.backfill
        self.hold(of_backfill(run, backfill), "a run of a backfill begins within it", run.key)
        assert backfill is not None
        history = self.histories[new.job_id, backfill.token]
        wanted = history.rest if history.has_calendars else history.rest[:1]
        self.hold(run.key.due_at in wanted, "a backfill goes in order", run.key, wanted)
        if history.begun:
            self.hold(
                end_of(history.begun[-1]) is not None,
                "a run follows the end of the one before",
                run.key,
            )
        left = len(history.rest)
        is_counted = history.has_calendars or backfill.left == left
        self.hold(is_counted, "what is left is counted", backfill.left, left)
        history.begun.append(run.key)

    def _ends(self, before: Backfill, old: State, new: State) -> None:
        history = self.histories[new.job_id, before.token]
        last = history.begun[-1]
        is_whole = history.is_whole and new.find(last) is None
        history.is_cut = not is_whole
        is_changed = new.generation != old.generation
        run = new.find(last)
        is_cancelled = is_changed or run is None or run.owner is not None
        self.hold(is_cancelled, "what waits is cancelled with its backfill", new.job_id, last)
        self.hold(
            is_whole or is_changed or self._is_asked("DELETE"),
            "a backfill goes on to its end",
            new.job_id,
            before,
            last,
        )

    def _has_its_place(self, new: State) -> None:
        under_way = [run.key for run in new.runs if of_backfill(run, new.backfill)]
        count = 1 if new.backfill is not None else 0
        self.hold(
            len(under_way) == count, "one run of a backfill is under way", new.job_id, under_way
        )

    def claimed(self, trigger: Trigger, run: UnfinishedRun, old: State) -> None:
        """Hold the claim of an attempt against the state before it."""
        if run.key.backfill is None or run.key.retry:
            return
        self.hold(
            of_backfill(run, old.backfill) and old.status is not Status.PAUSED,
            "nothing of a backfill that is over is sent",
            run.key,
        )
        is_over = (old.job_id, run.key.backfill) in self.over
        self.hold(not is_over, "an acknowledged end holds", run.key)
        is_open = run.attempt > 0 or None in self._verdicts(trigger)
        self.hold(is_open, "no run of a backfill is sent on an excluded day", run.key)

    def _verdicts(self, trigger: Trigger) -> set[str | None]:
        """Return which calendar excluded the day, at each time since the current process began."""
        since = self.virtual_time.current.begun_at
        return self.calendars.verdicts(trigger.limits.exclude, since)

    def excluded(self, trigger: Trigger, run: UnfinishedRun, end: RunEnd) -> None:
        """Hold the end of a run by a calendar against what the calendars said."""
        is_first = run.key.is_backfilled and not run.attempt
        self.hold(is_first, "only what was not sent may be excluded", run.key)
        self.hold(end.status is RunStatus.SKIPPED, "what is excluded is skipped", run.key)
        is_named = end.calendar is not None and end.calendar in self._verdicts(trigger)
        self.hold(is_named, "a skipped run names its calendar", run.key, end.calendar)

    def ended(self, state: State) -> None:
        """Hold the end of a simulation against the promises."""
        self.hold(state.backfill is None, "a backfill comes to its end", state.job_id)
        for (job_id, _), history in self.histories.items():
            if job_id == state.job_id:
                self.hold(
                    history.is_cut or history.is_whole,
                    "every occurrence of a backfill has its run",
                    job_id,
                    history,
                )
