"""Write a transition with what it tells, and do what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.digest_store import WindowChanged
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.schedules import Schedules
from chalicelib.aws.table import Write
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Attempt, FinishedAttempt, Outcome, RunEnd, RunStatus, RunUpdate
from chalicelib.domain.state import State, Transition, UnfinishedRun
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
