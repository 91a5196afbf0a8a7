"""Begin and end the backfill of a job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from chalicelib.aws.job_items import Idempotency
from chalicelib.aws.job_store import StateChanged
from chalicelib.domain import backfill_transitions
from chalicelib.domain.errors import BackfillNotFound, JobNotFound, Unavailable
from chalicelib.domain.ids import RunKey, new_backfill_token
from chalicelib.domain.state import State
from chalicelib.usecases.checks import Check, any_state, refuse_notice
from chalicelib.usecases.excluding import with_calendars
from chalicelib.usecases.mending import save_ends
from chalicelib.usecases.scheduling import Scheduling

log = logging.getLogger("resona")


def begin(
    scheduling: Scheduling,
    tenant: str,
    reference: str,
    since: datetime,
    until: datetime,
    answer: Callable[[int], Idempotency | None] | None = None,
    check: Check = any_state,
) -> int:
    """Begin a backfill from `since` to `until`, both in whole seconds; return its number of runs.

    `answer` returns the record of the answer that shows this number, to be written with it. Raises
    JobNotFound, Refused, InvalidInput, AlreadyAnswered, Unavailable, and the errors of `check`.
    """
    job_id, token = scheduling.resolve(tenant, reference), new_backfill_token(scheduling.clock())
    tried: tuple[RunKey, int] | None = None
    for _ in scheduling.tries():
        definition, state = scheduling.jobs.get(tenant, job_id)
        refuse_notice(definition)
        if tried is not None and _has_begun(scheduling, state, tried[0]):
            # Written by our own call, whose response was lost; the state was changed since.
            return tried[1]
        check(state)
        trigger = with_calendars(scheduling.calendars, definition).trigger
        now = scheduling.clock()
        step = backfill_transitions.begin(trigger, state, token, since, until, now)
        assert step.state.backfill  # noqa: S101  it begins
        runs = step.state.backfill.runs
        tried = (step.arm[0].key, runs)
        try:
            record = answer(runs) if answer else None
            scheduling.jobs.save(step.state, idempotency=record, now=now)
        except StateChanged as changed:
            if changed.current is None:
                raise JobNotFound from changed
            continue
        log.info("backfill.begun", extra={"job_id": job_id, "runs": runs})
        scheduling.arming.arm(step.state, step.arm)
        return runs
    raise Unavailable("the job")


def _has_begun(scheduling: Scheduling, state: State, first: RunKey) -> bool:
    """Return whether a backfill has begun with this run, from a state that was just read.

    The run is in the state, or it has a record.
    """
    if state.find(first) is not None:
        return True
    now = scheduling.clock()
    return scheduling.runs.run(state.job_id, first, now, responses=False) is not None


def end(scheduling: Scheduling, tenant: str, reference: str, check: Check = any_state) -> None:
    """End the backfill of a job.

    Its run that waits is cancelled; one that is in flight gets no further attempt. Raises
    JobNotFound, BackfillNotFound, IsNotice, Unavailable, and the errors of `check`.
    """
    job_id, tried = scheduling.resolve(tenant, reference), None
    for _ in scheduling.tries():
        definition, state = scheduling.jobs.get(tenant, job_id)
        refuse_notice(definition)
        backfill = state.backfill
        if tried is not None and (backfill is None or backfill.token != tried):
            # Our own call, whose response was lost, or another one has ended it.
            return
        check(state)
        now = scheduling.clock()
        step = backfill_transitions.end(state, now)
        if step is None or backfill is None:
            raise BackfillNotFound
        tried = backfill.token
        if save_ends(scheduling, definition, state, step, now):
            log.info("backfill.ended", extra={"job_id": job_id, "left": backfill.left})
            return
    raise Unavailable("the job")
