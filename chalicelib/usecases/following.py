"""Write a transition with what it tells, and do what follows from it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.digest_store import WindowChanged
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.schedules import Schedules
from chalicelib.aws.table import Condition, Write
from chalicelib.domain import run_transitions
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.job import Definition
from chalicelib.domain.retry import MAX_JITTER
from chalicelib.domain.run import Attempt, FinishedAttempt, Outcome, RunEnd, RunStatus, RunUpdate
from chalicelib.domain.state import NoChange, State, Transition, UnfinishedRun
from chalicelib.runtime.backoff import TRIES
from chalicelib.usecases.arming import Arming, unschedule
from chalicelib.usecases.attempt import run_fields
from chalicelib.usecases.telling import Notices, Telling

log = logging.getLogger("resona")


@dataclass(frozen=True, slots=True)
class Following:
    """Writes transitions of runs, and sends their messages."""

    jobs: JobStore
    schedules: Schedules
    arming: Arming
    telling: Telling

    def write(
        self,
        definition: Definition,
        before: State,
        step: Transition,
        record: Attempt | None,
        now: datetime,
        save: Callable[[Transition, list[Write]], None],
    ) -> tuple[Transition, Notices]:
        """Write a transition with what it tells, by `save`; return both as they were written.

        The arguments are those of `Telling.notices`. Raises Unavailable, and the errors of `save`.
        """
        closed = frozenset[str]()
        for _ in range(TRIES):
            told, notices = self.telling.notices(definition, before, step, record, now, closed)
            try:
                save(told, notices.writes(self.jobs))
            except WindowChanged as changed:
                closed |= changed.closed
                continue
            except Unavailable as error:
                if error.unknown:
                    self.arming.arm_unconfirmed(told, *notices.made)
                raise
            return told, notices
        raise Unavailable("the windows of digests")

    def end_awaited(
        self,
        definition: Definition,
        state: State,
        run: UnfinishedRun,
        attempt: FinishedAttempt,
        unchanged: Condition,
        now: datetime,
    ) -> bool:
        """Record an attempt that awaited a callback, and finish the state, in one transaction: the
        run may be cancelled at any time.

        The arguments are those of `run_transitions.finish`; `unchanged` is the condition of the
        record as it was read. Return False if there is nothing to finish. Raises StateChanged,
        RecordChanged, Unavailable.
        """
        jitter = random.uniform(0, MAX_JITTER)
        step = run_transitions.finish(definition, state, run, attempt, jitter, now)
        if isinstance(step, NoChange) or step.update is None:
            return False
        record = run.record(definition.id, attempt, step.update)

        def save(told: Transition, beside: list[Write]) -> None:
            revision = told.state.revision
            put = self.telling.runs.record_put(state.tenant, record, revision, unchanged, now)
            self.jobs.save(told.state, [put, *beside], now=now)

        step, notices = self.write(definition, state, step, record, now, save)
        log_finish(definition.id, run, attempt, record.update)
        self.after_pause(state, step.state)
        self.arm(step, notices)
        return True

    def arm(self, step: Transition, notices: Notices) -> None:
        """Send the messages of a transition and of the notices that were written with it."""
        self.arming.arm(step.state, step.arm)
        notices.log(step.state.job_id)
        for notice in notices.made:
            self.arming.arm(notice.state, notice.arm)

    def after_pause(self, before: State, after: State) -> None:
        """Log a pause that the end of a run has made, and delete the schedule of the job."""
        if after.pause is not None and before.pause is None:
            log.info("job.paused", extra={"job_id": after.job_id, "reason": after.pause.reason})
            unschedule(self.schedules, after.job_id, before.token)


def log_finish(job_id: str, run: UnfinishedRun, attempt: FinishedAttempt, end: RunUpdate) -> None:
    """Log what is known of an attempt that was not just sent, and what it means for its run."""
    outcome = attempt.result.outcome
    if outcome is Outcome.UNKNOWN:
        log.warning("attempt.unknown", extra={**run_fields(job_id, run), "outcome": outcome})
    elif attempt.is_final:
        log.info("attempt.completed", extra={**run_fields(job_id, run), "outcome": outcome})
    log_end(job_id, run.key, end, attempts=run.attempt)


def log_end(job_id: str, key: RunKey, end: RunEnd | RunUpdate, **numbers: int | None) -> None:
    """Log the end of a run, or that it waits for its next attempt or a callback."""
    fields = {"job_id": job_id, "run_id": run_id(job_id, key), "reason": end.reason, **numbers}
    if end.status is RunStatus.RETRYING:
        log.info("run.retrying", extra=fields)
        return
    if end.status is RunStatus.WAITING:
        log.info("run.waiting", extra=fields)
        return
    # `attempt.ended` with the outcome `success` says it already: $0.16 a million firings.
    level = logging.DEBUG if end.status is RunStatus.SUCCEEDED else logging.INFO
    log.log(level, "run.ended", extra={**fields, "status": end.status})
