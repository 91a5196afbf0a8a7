"""Arm due runs: send messages, create and delete schedules."""

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
    """Sends the messages of due runs. Never raises: the sweeper arms runs that this failed to."""

    def __init__(self, jobs: JobStore, queue: DueQueue, clock: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._queue = queue
        self._clock = clock

    def arm(self, state: State, dues: Sequence[DueMessage]) -> bool:
        """Queue `dues`, the messages of `state`, which was just written.

        Return False if some may not be queued: their steps are then left to the sweeper, by
        another write of the state.
        """
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
        """Mark these as not covered by a message, so that the sweeper arms them within a minute."""
        try:
            self._jobs.save(uncovered(state, dues), now=now)
        except (StateChanged, Unavailable):
            log.warning("message.mark_failed", extra={"job_id": state.job_id})


def schedule(schedules: Schedules, job_id: str, token: str, trigger: Trigger) -> bool:
    """Create a job's schedule. False if that failed; the sweeper then arms the job."""
    try:
        schedules.create(job_id, token, trigger)
    except Unavailable:
        log.warning("schedule.create_failed", extra={"job_id": job_id}, exc_info=True)
        return False
    return True


def unschedule(schedules: Schedules, job_id: str, token: str | None) -> None:
    """Delete a schedule, if there is one. If that fails, its next wake deletes it as orphaned."""
    if token is None:
        return
    try:
        schedules.delete(job_id, token)
    except Unavailable:
        log.warning("schedule.delete_failed", extra={"job_id": job_id})
