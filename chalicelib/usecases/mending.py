"""Retry one run, or cancel it.

The id of a retry is a function of the run it retries. So a retry needs no marker: it exists if it
is in the state or has records, and the compare-and-swap of the state lets one of two requests win.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from chalicelib.aws.job_items import Idempotency
from chalicelib.aws.job_store import StateChanged
from chalicelib.domain import job_transitions
from chalicelib.domain.errors import JobNotFound, NothingToRetry, RunHasEnded, Unavailable
from chalicelib.domain.ids import run_id
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Reason, RunStatus
from chalicelib.domain.run_history import Run
from chalicelib.domain.state import State, Transition
from chalicelib.usecases.checks import Check, any_state, refuse_notice
from chalicelib.usecases.excluding import with_calendars
from chalicelib.usecases.job_runs import resolve_run, run_of
from chalicelib.usecases.scheduling import Scheduling
from chalicelib.usecases.telling import Telling

log = logging.getLogger("resona")


def retry(
    scheduling: Scheduling,
    tenant: str,
    reference: str,
    identifier: str,
    answer: Callable[[str, Run], Idempotency | None] | None = None,
    check: Check = any_state,
) -> tuple[str, Run]:
    """Queue a run that retries another one; return the job's id and the new run.

    A run that was retried before is left alone, and its retry returned. `answer` returns the record
    of the answer that shows the new run, to be written with it. Raises JobNotFound, RunNotFound,
    IsNotice, NothingToRetry, TooManyRuns, AlreadyAnswered, Unavailable, and the errors of `check`.
    """
    job_id, key = resolve_run(scheduling, tenant, reference, identifier)
    at = scheduling.clock()
    for tries in scheduling.tries():
        definition, state = scheduling.jobs.get(tenant, job_id)
        refuse_notice(definition)
        run = run_of(scheduling, state, key, responses=False)
        # On a later try our own write may have made the retry, and a precondition then fails.
        if not (tries and run.is_retried):
            check(state)
        if run.is_retried:
            return job_id, run_of(scheduling, state, key.retried_by)
        if state.find(key) is not None or not run.may_be_retried:
            raise NothingToRetry(RunStatus.RUNNING if state.find(key) else run.status)
        queued = Run(key.retried_by, RunStatus.QUEUED, next_attempt_at=at, planned_at=at)
        step = job_transitions.retry(state, {queued.key: at}, scheduling.clock())
        record = answer(job_id, queued) if answer else None
        try:
            scheduling.jobs.save(step.state, idempotency=record, now=scheduling.clock())
        except StateChanged as changed:
            if changed.current is None:
                raise JobNotFound from changed
            continue
        log.info("run.queued", extra={"job_id": job_id, "run_id": run_id(job_id, queued.key)})
        scheduling.arming.arm(step.state, step.arm)
        return job_id, queued
    raise Unavailable("the job")


def cancel(
    scheduling: Scheduling,
    tenant: str,
    reference: str,
    identifier: str,
    check: Check = any_state,
) -> tuple[str, Run]:
    """End a run that waits for its first or its next attempt; return the job's id and the run.

    A run that was cancelled before is left alone. Raises JobNotFound, RunNotFound, RunHasEnded,
    AttemptInFlight, Unavailable, and the errors of `check`.
    """
    job_id, key = resolve_run(scheduling, tenant, reference, identifier)
    for tries in scheduling.tries():
        definition, state = scheduling.jobs.get(tenant, job_id)
        refuse_notice(definition)
        waiting = state.find(key)
        # On a later try our own write may have ended the run, and a precondition then fails.
        if not (tries and waiting is None):
            check(state)
        if waiting is None:
            run = run_of(scheduling, state, key)
            if run.reason is not Reason.CANCELLED:
                raise RunHasEnded(run.status)
            return job_id, run
        trigger = definition.trigger
        if key.is_backfilled:
            trigger = with_calendars(scheduling.calendars, definition).trigger
        now = scheduling.clock()
        step = job_transitions.cancel(trigger, state, waiting, now)
        if save_ends(scheduling, definition, state, step, now):
            return job_id, run_of(scheduling, step.state, key)
    raise Unavailable("the job")


def save_ends(
    scheduling: Scheduling, definition: Definition, before: State, step: Transition, now: datetime
) -> bool:
    """Write a transition in which users end runs, with what it tells; log it, send its messages.

    `before` is the state from which it was decided. Return False if that has changed: decide again.
    Raises JobNotFound, Unavailable.
    """
    tenant, job_id = before.tenant, before.job_id
    telling = Telling(scheduling.runs, scheduling.channels)
    step, notices = telling.notices(definition, before, step, None, now)
    ends = [scheduling.runs.end_item(tenant, job_id, end) for end in step.ended]
    try:
        scheduling.jobs.save(step.state, [*ends, *notices.writes(scheduling.jobs)], now=now)
    except StateChanged as changed:
        if changed.current is None:
            raise JobNotFound from changed
        return False
    for end in step.ended:
        fields = {"job_id": job_id, "run_id": run_id(job_id, end.key), "reason": end.reason}
        log.info("run.ended", extra={**fields, "status": end.status})
    notices.log(job_id)
    scheduling.arming.arm(step.state, step.arm)
    for notice in notices.made:
        scheduling.arming.arm(notice.state, notice.arm)
    return True
