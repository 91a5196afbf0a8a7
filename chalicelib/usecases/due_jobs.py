"""Read a tenant's jobs in the order in which they are due next.

No index has this order for a tenant alone. A tenant with up to MOST_READ jobs is read whole and
sorted. The jobs of a larger one are found in the sweeper's index on `watch_at`, which has those of
all tenants: an occurrence is watched GRACE after its due time or earlier, so that whatever is due
before a time is found before GRACE after that time. Exceptions are jobs that were written when they
were overdue already, or that the sweeper has looked at for 15 minutes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TypeVar

from chalicelib.aws.job_items import WATCH_SHARDS, Watched
from chalicelib.domain.job import Definition
from chalicelib.domain.state import State
from chalicelib.usecases.scheduling import Scheduling

MOST_READ = 1000
_PAGE = 100
_SHARD_PAGE = 64

_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")


def all_due(scheduling: Scheduling, tenant: str) -> list[State] | None:
    """Return the states of the tenant's jobs that are due again, soonest first.

    None if it has more than MOST_READ jobs.
    """
    ids = scheduling.jobs.ids(tenant, MOST_READ + 1)
    if len(ids) > MOST_READ:
        return None
    return sorted(filter(is_due, _read(scheduling, scheduling.jobs.states, ids)), key=place)


def with_definitions(
    scheduling: Scheduling, states: Sequence[State]
) -> list[tuple[Definition, State]]:
    """Return the jobs that have these states, or later ones, in the same order."""
    return _read(scheduling, scheduling.jobs.with_definitions, states)


def _read(
    scheduling: Scheduling,
    read: Callable[[Sequence[_Asked]], list[_Found]],
    asked: Sequence[_Asked],
) -> list[_Found]:
    """Return what `read` returns, called for a batch at a time, concurrently."""
    batches = [asked[at : at + _PAGE] for at in range(0, len(asked), _PAGE)]
    return [*chain.from_iterable(scheduling.run_all([partial(read, each) for each in batches]))]


def is_due(state: State) -> bool:
    """Return whether a job is due again."""
    return state.shown_run_time is not None


def place(state: State) -> tuple[str, str]:
    """Return the place of a job that is due again, among all that are."""
    assert state.shown_run_time is not None  # noqa: S101  is_due(state)
    return state.shown_run_time.isoformat(), state.job_id


def watched(
    scheduling: Scheduling, tenant: str, after: Watched | None, size: int
) -> Iterator[list[tuple[Watched, State | None]]]:
    """Yield up to MOST_READ entries of the index after one of them, `size` at a time, in order.

    With each comes its job's state, None if the job is another tenant's or not due again.
    """
    entries = islice(_entries(scheduling, after), MOST_READ)
    while group := list(islice(entries, size)):
        states = {
            state.job_id: state
            for state in scheduling.jobs.states([entry.job_id for entry in group])
            if state.tenant == tenant and is_due(state)
        }
        yield [(entry, states.get(entry.job_id)) for entry in group]


def _entries(scheduling: Scheduling, after: Watched | None) -> Iterator[Watched]:
    """Yield the entries of all shards of the index, in order."""
    first = scheduling.run_all(
        [
            partial(scheduling.jobs.watched, shard, after, _SHARD_PAGE)
            for shard in range(WATCH_SHARDS)
        ]
    )
    shards = [_shard(scheduling, *page) for page in first]
    return heapq.merge(*shards, key=lambda entry: (entry.watch_at, entry.shard))


def _shard(
    scheduling: Scheduling, entries: Sequence[Watched], following: Watched | None
) -> Iterator[Watched]:
    """Yield the entries of a shard: these, and those after `following`, if it is not None."""
    yield from entries
    while following is not None:
        entries, following = scheduling.jobs.watched(following.shard, following, _SHARD_PAGE)
        yield from entries
