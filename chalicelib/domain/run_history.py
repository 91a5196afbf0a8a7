"""Build runs as the API shows them, from the stored records and the job's state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import Attempt, Reason, RunEnd, RunStatus, RunUpdate
from chalicelib.domain.state import State, UnfinishedRun


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `attempts` are those that have ended. Times that have not come yet are None.

    `missed_count` and `last_due_at` are set only for missed runs (see `RunEnd`), `planned_at` only
    for retries, and `waits_for` and `waited` only for runs that a flow has held (see
    `UnfinishedRun`). `is_retried` says whether another run retries this one.
    `calendar` is as in `RunEnd`. `deadline` is set while a callback may end the attempt.
    """

    key: RunKey
    status: RunStatus
    attempts: tuple[Attempt, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = None
    reason: Reason | None = None
    missed_count: int | None = None
    last_due_at: datetime | None = None
    planned_at: datetime | None = None
    waits_for: Wait | None = None
    waited: timedelta = timedelta(0)
    is_retried: bool = False
    calendar: str | None = None
    deadline: datetime | None = None

    @property
    def lateness(self) -> timedelta | None:
        """Return how long after its due time the run started, None if it has not started.

        Of a retry: after the time for which it was planned. The time that its flow held it does not
        count.
        """
        due_at = (self.planned_at or self.key.asked_at) + self.waited
        return self.started_at - due_at if self.started_at is not None else None

    @property
    def may_be_retried(self) -> bool:
        """Return whether the run has failed, was missed, or was cancelled."""
        went_wrong = self.status in (RunStatus.FAILED, RunStatus.MISSED)
        return went_wrong or self.reason is Reason.CANCELLED


def recorded(
    key: RunKey, attempts: tuple[Attempt, ...], end: RunEnd | None, *, is_retried: bool = False
) -> Run:
    """Build a run from its records: its attempts, its end, or both."""
    run = Run(key, RunStatus.RUNNING, attempts, is_retried=is_retried)
    if attempts:
        last = attempts[-1]
        run = _updated(run, last.update, last.finished_at)
        run = replace(
            run, started_at=last.run_started_at, planned_at=last.planned_at, waited=last.waited
        )
    if end is None:
        return run
    return replace(
        run,
        status=end.status,
        started_at=end.started_at,
        finished_at=end.at,
        next_attempt_at=None,
        reason=end.reason,
        missed_count=end.missed_count,
        last_due_at=end.last_due_at,
        calendar=end.calendar,
    )


def _updated(run: Run, update: RunUpdate, at: datetime) -> Run:
    is_over = update.is_end
    return replace(
        run,
        status=update.status,
        finished_at=at if is_over else None,
        next_attempt_at=update.next_attempt_at,
        reason=update.reason,
    )


def unfinished(unfinished_run: UnfinishedRun, on_record: Run | None) -> Run:
    """Build an unfinished run from the state and from its records.

    `on_record` is the run built from its records, None if there are none. The records were read
    after the state, so they win where they are later.
    """
    run = on_record or Run(unfinished_run.key, RunStatus.QUEUED)
    last = run.attempts[-1].number if run.attempts else 0
    if on_record and (run.finished_at is not None or last > unfinished_run.attempt):
        return run
    run = replace(
        run,
        started_at=unfinished_run.started_at,
        planned_at=unfinished_run.planned_at,
        waits_for=unfinished_run.waits_for,
        waited=unfinished_run.waited,
    )
    if unfinished_run.owner is not None:
        if last == unfinished_run.attempt and run.status is not RunStatus.WAITING:
            return run
        # A callback may come as soon as the request was sent, also if the executor has died since.
        until = unfinished_run.awaited.until if unfinished_run.awaited else None
        return replace(run, status=RunStatus.RUNNING, next_attempt_at=None, deadline=until)
    if unfinished_run.awaited is not None:
        until = unfinished_run.awaited.until
        return replace(run, status=RunStatus.WAITING, next_attempt_at=None, deadline=until)
    next_at = unfinished_run.next_attempt_at if unfinished_run.line is None else None
    if unfinished_run.attempt == 0:
        known = next_at if unfinished_run.waits_for else run.planned_at
        return replace(run, status=RunStatus.QUEUED, next_attempt_at=known)
    return replace(run, status=RunStatus.RETRYING, next_attempt_at=next_at)


def merged(state: State, on_record: Iterable[Run], before: RunKey | None, limit: int) -> list[Run]:
    """Merge a job's unfinished and recorded runs; return the newest `limit`, newest first.

    Leave out unfinished runs from `before` on, unless it is None. `on_record` must hold at least
    the newest `limit` recorded runs before it.
    """
    runs = {run.key: run for run in on_record}
    for unfinished_run in state.runs:
        key = unfinished_run.key
        if before is None or key.sort < before.sort:
            runs[key] = unfinished(unfinished_run, runs.get(key))
    newest = sorted(runs.values(), key=lambda run: run.key.sort, reverse=True)[:limit]
    return [with_retry(run, state) for run in newest]


def of_state(state: State, key: RunKey, on_record: Run | None) -> Run | None:
    """Return a run from the state and from its records, which were read after it.

    A run that leaves the state has a record: None if neither has the run.
    """
    unfinished_run = state.find(key)
    if unfinished_run is not None:
        return unfinished(unfinished_run, on_record)
    return with_retry(on_record, state) if on_record else None


def with_retry(run: Run, state: State) -> Run:
    """Return a recorded run as retried if the state has its retry, which may have no record yet."""
    is_retried = run.is_retried or state.find(run.key.retried_by) is not None
    return replace(run, is_retried=is_retried)
