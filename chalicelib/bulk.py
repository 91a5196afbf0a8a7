"""Use cases of many jobs at once, within the 29 s after which API Gateway cuts an answer off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from chalicelib.domain.errors import JobNotFound, Refused, Unavailable
from chalicelib.domain.state import Status
from chalicelib.scheduling import Job, Scheduling

_Answer = TypeVar("_Answer")

MOST_JOBS = 100
_LANES = 10
# After so long nothing new is begun: what a single job takes when the tables hardly answer comes on top.
_BEGIN_WITHIN = timedelta(seconds=10)


def side_by_side(scheduling: Scheduling, acts: Sequence[Callable[[], _Answer]]) -> list[_Answer | None]:
    """Act side by side, some at a time, and return what each act returned, in order; None for those that time did not reach.

    The first is always reached.
    """
    until = scheduling.clock() + _BEGIN_WITHIN
    numbers = itertools.count()
    done: dict[int, _Answer] = {}

    def work() -> None:
        for number in numbers:
            if number >= len(acts) or (number and scheduling.clock() > until):
                return
            done[number] = acts[number]()

    scheduling.side_by_side([work] * min(_LANES, len(acts)))
    return [done.get(number) for number in range(len(acts))]


def pause(scheduling: Scheduling, job: Job) -> bool:
    """Pause a job that was read as part of a list; say whether that changed it."""
    return job.state.status is Status.ACTIVE and scheduling.pause(job.definition.tenant, job.definition.id).state != job.state


def resume(scheduling: Scheduling, job: Job) -> bool:
    """Resume a job that was read as part of a list; say whether that changed it."""
    return job.state.status is Status.PAUSED and scheduling.resume(job.definition.tenant, job.definition.id).state != job.state


def delete(scheduling: Scheduling, job: Job) -> bool:
    """Delete a job that was read as part of a list."""
    scheduling.delete(job.definition.tenant, job.definition.id)
    return True


def act_on(scheduling: Scheduling, jobs: Iterable[Job], act: Callable[[Scheduling, Job], bool]) -> list[bool | None]:
    """Act on jobs side by side and say of each whether it was changed; None for those that time did not reach.

    A job that does not allow it, or is gone meanwhile, was not changed. Raises Unavailable, when others may have been changed.
    """

    def try_to(job: Job) -> bool:
        try:
            return act(scheduling, job)
        except (JobNotFound, Refused):
            return False

    try:
        return side_by_side(scheduling, [partial(try_to, job) for job in jobs])
    except Unavailable as error:
        raise Unavailable(error.part, unknown=True) from error
