"""Send the message of an occurrence when its schedule wakes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.schedules import Schedules
from chalicelib.domain.ids import split_schedule_name, token_time
from chalicelib.domain.wakes import wake

log = logging.getLogger("resona")

# A schedule that no state names is deleted only after this age: a younger one may belong to a job
# that is just being written.
_ORPHAN_AGE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Waking:
    """Handles the wakes of schedules. `clock` returns aware UTC; `sleep` takes seconds."""

    jobs: JobStore
    schedules: Schedules
    queue: DueQueue
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def wake(self, schedule: str, scheduled_at: datetime) -> None:
        """Send the message for the occurrence that a schedule wakes for.

        Deletes the schedule if it is orphaned: no state has its token. Raises Unavailable; Lambda
        then retries the invocation.
        """
        job_id, token = split_schedule_name(schedule)
        loaded = self.jobs.load(job_id)
        now = self.clock()
        if loaded is None or loaded[1].token != token:
            if now - token_time(token) > _ORPHAN_AGE:
                log.info("schedule.orphan_deleted", extra={"job_id": job_id})
                self.schedules.delete(job_id, token)
            return
        due = wake(*loaded, scheduled_at)
        if due is not None:
            # `wake` has less memory than `deliver`, so waiting for the fraction of a second costs
            # less here.
            self.queue.send_in_time([due], self.clock, self.sleep)
