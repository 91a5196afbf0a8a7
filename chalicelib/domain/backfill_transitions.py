"""Rules of a backfill: begin it, go on with the run that follows, end it.

The functions are pure. A pause and a change of the job end its backfill too, in
`domain.job_transitions`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.backfill import Backfill, planned
from chalicelib.domain.errors import BackfillUnderWay, JobIsPaused, OccursOnce, TooManyRuns
from chalicelib.domain.exclusion import excluded_by
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import Reason, RunStatus
from chalicelib.domain.run_ends import closed
from chalicelib.domain.state import (
    MAX_UNFINISHED_RUNS,
    DueMessage,
    State,
    Status,
    Transition,
    UnfinishedRun,
    run_due,
    written,
)
from chalicelib.domain.trigger import OneTime, Trigger


def begin(
    trigger: Trigger, state: State, token: str, since: datetime, until: datetime, now: datetime
) -> Transition:
    """Return the transition that begins a backfill from `since` to `until`, both in whole seconds.

    It queues the first run. Raises OccursOnce, JobIsPaused, BackfillUnderWay, InvalidInput,
    TooManyRuns.
    """
    if isinstance(trigger, OneTime):
        raise OccursOnce
    if state.status is Status.PAUSED:
        raise JobIsPaused
    if state.backfill is not None:
        raise BackfillUnderWay(state.backfill.since, state.backfill.until, state.backfill.left)
    backfill, first = planned(trigger, token, since, until)
    if len(state.runs) >= MAX_UNFINISHED_RUNS:
        raise TooManyRuns(MAX_UNFINISHED_RUNS)
    queued, arm = _queued(state, backfill, first, now)
    return Transition(written(queued, now), arm=arm)


def _queued(
    state: State, backfill: Backfill, key: RunKey, now: datetime
) -> tuple[State, tuple[DueMessage, ...]]:
    run = UnfinishedRun(key, state.generation, attempt=0, next_attempt_at=now, planned_at=now)
    return replace(state.with_run(run), backfill=backfill), (run_due(state, run, now),)


def goes_on(
    trigger: Trigger, state: State, ended: RunKey, now: datetime
) -> tuple[State, tuple[DueMessage, ...]]:
    """Return the state after the end of a run, and the message of the run that follows it.

    `state` has the ended run no more. Only the run of a backfill under way is followed by another,
    and its last one by none: then the backfill is over.
    """
    backfill = state.backfill
    if backfill is None or not backfill.has(ended):
        return state, ()
    key = backfill.following(trigger, ended)
    if key is None:
        return replace(state, backfill=None), ()
    return _queued(state, replace(backfill, left=max(1, backfill.left - 1)), key, now)


def asks_calendars(run: UnfinishedRun) -> bool:
    """Return whether a run is one of a backfill and was not sent yet: calendars may exclude it."""
    return run.key.is_backfilled and not run.attempt


def pass_over(
    trigger: Trigger, state: State, run: UnfinishedRun, now: datetime
) -> Transition | None:
    """Return the transition that skips a run of a backfill which a calendar excludes, None for any
    other run.

    The calendar was changed since the run was queued. The next one is queued.
    """
    calendar = excluded_by(trigger, run.key.due_at) if asks_calendars(run) else None
    if calendar is None:
        return None
    rest, record = closed(state, run, RunStatus.SKIPPED, Reason.CALENDAR, now)
    rest, arm = goes_on(trigger, rest, run.key, now)
    return Transition(written(rest, now), ended=(replace(record, calendar=calendar),), arm=arm)


def end(state: State, now: datetime) -> Transition | None:
    """Return the transition that ends a backfill, None if none is under way.

    Its run that waits is cancelled; one that is in flight gets no further attempt.
    """
    backfill = state.backfill
    if backfill is None:
        return None
    run = next(run for run in state.runs if backfill.has(run.key))
    rest = replace(state, backfill=None)
    if run.owner is not None:
        return Transition(written(rest, now))
    status = RunStatus.FAILED if run.attempt else RunStatus.SKIPPED
    rest, record = closed(rest, run, status, Reason.CANCELLED, now)
    return Transition(written(rest, now), ended=(record,))
