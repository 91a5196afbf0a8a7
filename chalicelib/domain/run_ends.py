"""Apply the end of a run to its job: the result that is shown, and the status after the last."""

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


def with_outcome(state: State, run: UnfinishedRun, status: RunStatus) -> State:
    """Return the state after the end of a run, without that run.

    The run of the last occurrence decides the job's status. Requested runs and runs of an older
    generation do not, nor earlier ones that end after it.
    """
    is_present = not run.key.is_requested and run.generation == state.generation
    is_last = state.next_due_at is None and not any(
        not other.key.is_requested
        and other.generation == state.generation
        and other.key.due_at > run.key.due_at
        for other in state.runs
    )
    if not (is_present and is_last) or state.status is not Status.ACTIVE:
        return state
    succeeded = status is RunStatus.SUCCEEDED
    return replace(state, status=Status.COMPLETED if succeeded else Status.FAILED)


def status_at_the_end(trigger: Trigger, state: State, ends: tuple[RunEnd, ...]) -> Status:
    """Return the status of a job whose last occurrence was missed, skipped or passed over.

    If it was passed over, the last run before it decides, now or when it ends.
    """
    if ends:
        is_asked = ends[-1].reason is Reason.ASKED or not isinstance(trigger, OneTime)
        is_done = ends[-1].status is RunStatus.SKIPPED and is_asked
    elif any(not run.key.is_requested and not state.supersedes(run) for run in state.runs):
        return Status.ACTIVE
    else:
        is_done = state.failing is None or not state.failing.count
    return Status.COMPLETED if is_done else Status.FAILED


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
