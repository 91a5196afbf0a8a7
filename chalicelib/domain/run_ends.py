"""Apply the end of a run to its job: the result that is shown, and a one-time job's status."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.run import Reason, RunEnd, RunStatus
from chalicelib.domain.state import LastRun, State, Status, UnfinishedRun
from chalicelib.domain.trigger import OneTime, Trigger


def with_last_run(state: State, last: LastRun) -> State:
    """Return the state with `last` as the run whose result is shown, unless a later one is."""
    is_newer = state.last_run is None or last.place >= state.last_run.place
    return replace(state, last_run=last) if is_newer else state


def with_outcome(state: State, trigger: Trigger, run: UnfinishedRun, status: RunStatus) -> State:
    """Return the state after the end of a run: it decides the status of a one-time job.

    Requested runs and runs of an older generation change no status.
    """
    is_the_only_run = (
        isinstance(trigger, OneTime)
        and not run.key.is_requested
        and run.generation == state.generation
    )
    if not is_the_only_run or state.status is not Status.ACTIVE:
        return state
    succeeded = status is RunStatus.SUCCEEDED
    return replace(state, status=Status.COMPLETED if succeeded else Status.FAILED)


def closed(
    state: State, run: UnfinishedRun, status: RunStatus, reason: Reason, now: datetime
) -> tuple[State, RunEnd]:
    """Return the state without a waiting run, and the record of its end."""
    end = RunEnd(run.key, status, now, reason, started_at=run.started_at)
    rest = state.without_run(run).with_end(status)
    if run.attempt:
        last = LastRun(run.key, run.attempt, closed_at=now, planned_at=run.planned_at)
        rest = with_last_run(rest, last)
    return rest, end
