"""Make things come due: what scheduling and firing share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.job_store import JobStore, StateChanged
from chalicelib.aws.schedules import Schedules
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.state import DueMessage, State, uncovered
from chalicelib.domain.trigger import Trigger

log = logging.getLogger("resona")


class Arming:
    """Make things come due.

    Nothing here raises: what cannot be armed is left, uncovered, to the sweeper.
    """

    def __init__(self, jobs: JobStore, queue: DueQueue, clock: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._queue = queue
        self._clock = clock

    def arm(self, state: State, dues: Sequence[DueMessage]) -> bool:
        """Send a message for each, after `state` was committed. False if that failed."""
        if not dues:
            return True
        now = self._clock()
        try:
            self._queue.send(dues, now)
        except Unavailable:
            log.warning("message.send_failed", extra={"job_id": state.job_id}, exc_info=True)
            self._uncover(state, dues, now)
            return False
        return True

    def _uncover(self, state: State, dues: Sequence[DueMessage], now: datetime) -> None:
        """Take back that messages stand for these, so that the sweeper arms them in its next minute
        and not after a grace.
        """
        try:
            self._jobs.save(uncovered(state, dues), now=now)
        except (StateChanged, Unavailable):
            log.warning("message.mark_failed", extra={"job_id": state.job_id})


def schedule(schedules: Schedules, job_id: str, token: str, trigger: Trigger) -> bool:
    """Create a job's schedule; False if that failed, and then the sweeper arms the job."""
    try:
        schedules.create(job_id, token, trigger)
    except Unavailable:
        log.warning("schedule.create_failed", extra={"job_id": job_id}, exc_info=True)
        return False
    return True


def unschedule(schedules: Schedules, job_id: str, token: str | None) -> None:
    """Delete a schedule if it can be deleted now; one that stays deletes itself when it fires."""
    if token is None:
        return
    try:
        schedules.delete(job_id, token)
    except Unavailable:
        log.warning("schedule.delete_failed", extra={"job_id": job_id})
