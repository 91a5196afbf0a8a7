"""Act on many jobs in one request, within the 29 s after which API Gateway times out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from chalicelib.domain.errors import JobNotFound, NotCurrent, Refused, Unavailable
from chalicelib.domain.pauses import Asked, is_over
from chalicelib.domain.state import State, Status
from chalicelib.usecases.checks import Check
from chalicelib.usecases.scheduling import Job, Scheduling

_Answer = TypeVar("_Answer")

MOST_JOBS = 100
LANES = 10
# Begin no further job after this time. A job may take several seconds more if DynamoDB is slow.
_BEGIN_WITHIN = timedelta(seconds=10)


def run_in_time(
    scheduling: Scheduling,
    acts: Sequence[Callable[[], _Answer]],
    within: timedelta = _BEGIN_WITHIN,
) -> list[_Answer | None]:
    """Run the calls, up to ten at a time, and return their results in order.

    The result is None for a call that was not begun `within` a time. The first call is always made.
    """
    until = scheduling.clock() + within
    numbers = itertools.count()
    done: dict[int, _Answer] = {}

    def work() -> None:
        for number in numbers:
            if number >= len(acts) or (number and scheduling.clock() > until):
                return
            done[number] = acts[number]()

    scheduling.run_all([work] * min(LANES, len(acts)))
    return [done.get(number) for number in range(len(acts))]


def pause(asked: Asked, scheduling: Scheduling, job: Job) -> bool:
    """Pause a job of a list; return whether that changed it.

    Raises NotCurrent if the job was updated after it was read.
    """
    if job.state.status is not Status.ACTIVE and not is_over(job.state, scheduling.clock()):
        return False
    definition, check = job.definition, _as_it_was(job)
    return scheduling.pause(definition.tenant, definition.id, check, asked).state != job.state


def resume(scheduling: Scheduling, job: Job) -> bool:
    """Resume a job of a list; return whether that changed it.

    Raises NotCurrent if the job was updated after it was read.
    """
    if job.state.status is not Status.PAUSED:
        return False
    definition = job.definition
    return scheduling.resume(definition.tenant, definition.id, _as_it_was(job)).state != job.state


def delete(scheduling: Scheduling, job: Job) -> bool:
    """Delete a job of a list. Raises NotCurrent if the job was updated after it was read."""
    scheduling.delete(job.definition.tenant, job.definition.id, _as_it_was(job))
    return True


def _as_it_was(job: Job) -> Check:
    def check(state: State) -> None:
        if state.edition != job.state.edition:
            raise NotCurrent

    return check


def act_on(
    scheduling: Scheduling,
    jobs: Iterable[Job],
    act: Callable[[Scheduling, Job], bool],
    is_meant: Callable[[Job], bool],
) -> list[bool | None]:
    """Act on the jobs concurrently; return for each whether it was changed, in order.

    The result is None for a job that was not reached in time. A job is left unchanged if its status
    does not allow the act, if it was deleted, or if `is_meant` is no longer true for it. Raises
    Unavailable; other jobs may have been changed before.
    """
    try:
        return run_in_time(
            scheduling, [partial(_try_to, scheduling, job, act, is_meant) for job in jobs]
        )
    except Unavailable as error:
        raise Unavailable(error.part, unknown=True) from error


def _try_to(
    scheduling: Scheduling,
    job: Job,
    act: Callable[[Scheduling, Job], bool],
    is_meant: Callable[[Job], bool],
) -> bool:
    try:
        for _ in scheduling.tries():
            if not is_meant(job):
                return False
            try:
                return act(scheduling, job)
            except NotCurrent:
                job = scheduling.get(job.definition.tenant, job.definition.id)
    except (JobNotFound, Refused):
        return False
    raise Unavailable("the job")
