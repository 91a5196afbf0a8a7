"""Arm due runs: send messages, create and delete schedules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.job_store import JobStore, StateChanged
from chalicelib.aws.schedules import Schedules
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Wait
from chalicelib.domain.job import Definition
from chalicelib.domain.run_transitions import armed_ahead
from chalicelib.domain.state import DueMessage, State, Transition, uncovered
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
        spaced = {run.key for run in state.runs if run.waits_for is Wait.RATE}
        try:
            self._queue.send(dues, now, spaced)
        except Unavailable:
            log.warning("message.send_failed", extra={"job_id": state.job_id}, exc_info=True)
            self._uncover(state, dues, now)
            return False
        return True

    def arm_line(self, due: DueMessage) -> None:
        """Queue the message that drains a line. If that fails, the sweeper does it."""
        try:
            self._queue.send([due], self._clock())
        except Unavailable:
            log.warning("message.send_failed", extra={"job_id": due.job_id})

    def arm_unconfirmed(self, *steps: Transition) -> None:
        """Send the messages of transitions whose write may or may not have taken effect.

        If it did not, the messages are ignored when they arrive. A failure is only logged: `arm`
        would mark it in a state that may not exist.
        """
        try:
            self._queue.send([due for step in steps for due in step.arm], self._clock())
        except Unavailable:
            log.warning("message.send_failed", extra={"job_id": steps[0].state.job_id})

    def arm_ahead(
        self,
        due: DueMessage,
        loaded: tuple[Definition, State] | None,
        owner: str,
        sleep: Callable[[float], None],
    ) -> DueMessage | None:
        """Send the message that the claim for `due` would send, if it may be sent before the claim.

        It then comes 0.1 to 0.4 s early. SQS waits whole seconds, so that one sent at the claim
        would come almost a second early, and `deliver` would wait for the rest. Return it, None if
        none was sent. `owner` is the token of the claim to come, `loaded` the job.
        """
        if due.by is None or loaded is None or self._clock() >= due.at:
            return None
        ahead = armed_ahead(*loaded, due, owner)
        if ahead is None:
            return None
        try:
            self._queue.send_in_time([ahead], self._clock, sleep, before=due.at)
        except Unavailable:
            # The claim sends it.
            log.warning("message.send_failed", extra={"job_id": due.job_id}, exc_info=True)
            return None
        return ahead

    def _uncover(self, state: State, dues: Sequence[DueMessage], now: datetime) -> None:
        """Mark these as not covered by a message, so that the sweeper arms them within a minute."""
        try:
            self._jobs.save(uncovered(state, dues, now), now=now)
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
