"""The use case of the sweeper: arm overdue jobs."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from chalicelib.aws.job_items import WATCH_SHARDS
from chalicelib.aws.job_store import JobStore, StateChanged
from chalicelib.domain import run_transitions
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.state import NoChange
from chalicelib.runtime.concurrency import RunAll
from chalicelib.usecases.arming import Arming

log = logging.getLogger("resona")

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Arms overdue jobs. `clock` returns aware UTC."""

    jobs: JobStore
    arming: Arming
    clock: Callable[[], datetime]
    run_all: RunAll

    def sweep(self, until: datetime) -> int:
        """Arm overdue jobs, all shards concurrently, until `until`; return how many were overdue.

        If a job could not be read or written, arm the others first, then raise Unavailable.
        """
        failures: list[Unavailable] = []
        swept = sum(
            self.run_all(
                [
                    partial(self._sweep_shard, shard, until, failures)
                    for shard in range(WATCH_SHARDS)
                ]
            )
        )
        log.debug("sweep.ended", extra={"armed": swept})
        if failures:
            raise failures[0]
        return swept

    def _sweep_shard(self, shard: int, until: datetime, failures: list[Unavailable]) -> int:
        swept, place = 0, None
        while self.clock() < until:
            overdue, place = self.jobs.overdue(shard, self.clock(), _PAGE, place)
            # A job can take seconds when DynamoDB is slow, so the time is checked before each.
            in_time = itertools.takewhile(lambda _: self.clock() < until, overdue)
            armed = [self._sweep_job(job_id, failures) for job_id in in_time]
            swept += armed.count(True)
            # Stop after a page without an armed job: the index lags, or the queue is down.
            if place is None or not any(one is not False for one in armed):
                break
        return swept

    def _sweep_job(self, job_id: str, failures: list[Unavailable]) -> bool | None:
        """Arm one job; return whether it was overdue, None if it could not be read or written.

        An error is added to `failures` or logged, so that the jobs after it are armed too.
        """
        try:
            return self._arm_overdue(job_id)
        except Unavailable as error:
            log.warning("sweep.failed", extra={"job_id": job_id}, exc_info=True)
            failures.append(error)
            return None
        except Exception:
            # A defect that concerns one job must not keep the others from being armed.
            log.exception("sweep.failed", extra={"job_id": job_id})
            return None

    def _arm_overdue(self, job_id: str) -> bool:
        state = self.jobs.state(job_id)
        now = self.clock()
        decision = (
            run_transitions.sweep(state, now) if state is not None else NoChange("the job is gone")
        )
        if isinstance(decision, NoChange):
            return False
        try:
            self.jobs.save(decision.state, now=now)
        except StateChanged:
            return False
        fields = {"job_id": job_id, "messages": len(decision.arm)}
        if any(due.at <= now for due in decision.arm):
            log.warning("job.overdue", extra=fields)
        else:
            # Not overdue, but no message covers it: for example, a retry that is further away than
            # SQS can delay.
            log.debug("job.armed", extra=fields)
        return self.arming.arm(decision.state, decision.arm)
