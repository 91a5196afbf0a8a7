"""Use cases of many jobs at once, within the 29 s after which API Gateway cuts an answer off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from chalicelib.domain.errors import JobNotFound, NotCurrent, Refused, Unavailable
from chalicelib.domain.state import State, Status
from chalicelib.usecases.scheduling import Check, Job, Scheduling

_Answer = TypeVar("_Answer")

MOST_JOBS = 100
_LANES = 10
# After so long nothing new is begun: what a single job takes when the tables hardly answer comes on
# top.
_BEGIN_WITHIN = timedelta(seconds=10)


def side_by_side(
    scheduling: Scheduling, acts: Sequence[Callable[[], _Answer]]
) -> list[_Answer | None]:
    """Act side by side, some at a time, and return what each act returned, in order; None for those
    that time did not reach.

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
    """Pause a job that was read as part of a list; say whether that changed it.

    Raises NotCurrent if its user has changed it since.
    """
    if job.state.status is not Status.ACTIVE:
        return False
    return (
        scheduling.pause(job.definition.tenant, job.definition.id, _as_it_was(job)).state
        != job.state
    )


def resume(scheduling: Scheduling, job: Job) -> bool:
    """Resume a job that was read as part of a list; say whether that changed it.

    Raises NotCurrent if its user has changed it since.
    """
    if job.state.status is not Status.PAUSED:
        return False
    return (
        scheduling.resume(job.definition.tenant, job.definition.id, _as_it_was(job)).state
        != job.state
    )


def delete(scheduling: Scheduling, job: Job) -> bool:
    """Delete a job that was read as part of a list.

    Raises NotCurrent if its user has changed it since.
    """
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
    """Act on jobs side by side and say of each whether it was changed; None for those that time did
    not reach.

    A job that does not allow it, is gone or no longer meant, was not changed. Raises Unavailable,
    when others may have been changed.
    """
    try:
        return side_by_side(
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
