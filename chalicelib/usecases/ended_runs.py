"""List the ended runs of all jobs of a tenant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from chalicelib.aws.ended_runs_index import EndedRunEntry
from chalicelib.aws.serialization import sortable
from chalicelib.domain.job import Definition
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_history import Run, with_retry
from chalicelib.domain.state import State
from chalicelib.usecases.scheduling import Scheduling

# A page ends early, with a `next` link, after it has read this many entries of the index.
MOST_READ = 1000
_PAGE = 100
# How many runs are read at the same time.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended, and its job's id and name."""

    job_id: str
    job_name: str
    run: Run


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which ended runs to list.

    They end at `since` or later, and before `until`; None is no bound. `label` is (key, value) of a
    label of their jobs, None for all jobs.
    """

    statuses: Collection[RunStatus]
    since: datetime | None = None
    until: datetime | None = None
    label: tuple[str, str] | None = None


def ended_runs(
    scheduling: Scheduling, tenant: str, wanted: Wanted, before: str | None, limit: int
) -> tuple[list[EndedRun], str | None]:
    """Return up to `limit` runs, latest end first.

    Also return the next page's `before`, None at the end. Entries of deleted jobs and of expired
    runs are skipped.
    """
    shown: list[EndedRun] = []
    has_more = False
    if wanted.until is not None:
        # Positions begin with the time of the end.
        before = min(before or "~", sortable(wanted.until))
    for read, has_more in pages(scheduling, tenant, wanted, before, limit):  # noqa: B007  read below
        entries = [one for one in read if wanted.since is None or one.at >= wanted.since]
        jobs = _jobs_of(scheduling, entries, wanted)
        while entries:
            if len(shown) == limit:
                return shown, before
            size = min(_AT_ONCE, limit - len(shown))
            group, entries = entries[:size], entries[size:]
            before = group[-1].position
            listed = [one for one in group if one.status in wanted.statuses and one.job_id in jobs]
            shown += _runs_of(scheduling, listed, jobs)
        if read and before != read[-1].position:
            return shown, None
    return shown, before if has_more else None


def pages(
    scheduling: Scheduling, tenant: str, wanted: Wanted, before: str | None, limit: int
) -> Iterator[tuple[list[EndedRunEntry], bool]]:
    """Yield pages of the index and whether more follow, until MOST_READ entries were read."""
    read, more = 0, True
    while more and read < MOST_READ:
        # One entry more than is shown tells whether there is a next page.
        entries, more = scheduling.runs.ended_runs(
            tenant, wanted.statuses, before, _PAGE if read else limit + 1, scheduling.run_all
        )
        yield entries, more
        read += len(entries)
        before = entries[-1].position if entries else before


def _jobs_of(
    scheduling: Scheduling, entries: Sequence[EndedRunEntry], wanted: Wanted
) -> dict[str, tuple[Definition, State]]:
    """Return by id the jobs that exist, have the label, and have an entry with a wanted status."""
    pairs = scheduling.jobs.pairs({one.job_id for one in entries if one.status in wanted.statuses})
    return {
        definition.id: (definition, state)
        for definition, state in pairs
        if wanted.label is None or wanted.label in definition.labels.items()
    }


def states_of(
    scheduling: Scheduling, entries: Sequence[EndedRunEntry], wanted: Wanted
) -> dict[str, State]:
    """Return by id the states of the jobs that exist, have the label, and have an entry with a
    wanted status.
    """
    if wanted.label is not None:
        jobs = _jobs_of(scheduling, entries, wanted)
        return {job_id: state for job_id, (_, state) in jobs.items()}
    ids = {one.job_id for one in entries if one.status in wanted.statuses}
    return scheduling.jobs.states_by_id(ids)


def _runs_of(
    scheduling: Scheduling,
    entries: Sequence[EndedRunEntry],
    jobs: Mapping[str, tuple[Definition, State]],
) -> list[EndedRun]:
    """Return the runs of the entries, in the same order."""
    runs = scheduling.run_all(
        [partial(run_of, scheduling, entry, jobs[entry.job_id][1]) for entry in entries]
    )
    return [
        EndedRun(entry.job_id, jobs[entry.job_id][0].name, run)
        for entry, run in zip(entries, runs, strict=True)
        if run
    ]


def run_of(scheduling: Scheduling, entry: EndedRunEntry, state: State) -> Run | None:
    """Return the run that an entry of the index names; `state` is its job's, read before.

    None if it has expired, or if the run ended later, with another attempt than the entry's.
    """
    found = scheduling.runs.run(entry.job_id, entry.key, scheduling.clock(), responses=False)
    if found is None or found.last_number != entry.number:
        return None
    return with_retry(found.run, state)
