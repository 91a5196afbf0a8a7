"""List the ended runs of all jobs of a tenant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from chalicelib.aws.ended_runs_index import EndedRunEntry
from chalicelib.aws.serialization import sortable
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_history import Run, recorded
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
    for read, has_more in _pages(scheduling, tenant, wanted, before, limit):  # noqa: B007  read below
        entries = [one for one in read if wanted.since is None or one.at >= wanted.since]
        names = _names(scheduling, entries, wanted)
        while entries:
            if len(shown) == limit:
                return shown, before
            size = min(_AT_ONCE, limit - len(shown))
            group, entries = entries[:size], entries[size:]
            before = group[-1].position
            shown += _runs_of(scheduling, group, names)
        if read and before != read[-1].position:
            return shown, None
    return shown, before if has_more else None


def _pages(
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


def _names(
    scheduling: Scheduling, entries: Sequence[EndedRunEntry], wanted: Wanted
) -> dict[str, str]:
    """Return the names of jobs by the positions of their entries.

    Entries with other statuses, of deleted jobs and of jobs without the label are left out.
    """
    found = [entry for entry in entries if entry.status in wanted.statuses]
    definitions = scheduling.jobs.definitions({entry.job_id for entry in found})
    names = {
        one.id: one.name
        for one in definitions
        if wanted.label is None or wanted.label in one.labels.items()
    }
    return {entry.position: names[entry.job_id] for entry in found if entry.job_id in names}


def _runs_of(
    scheduling: Scheduling, entries: Sequence[EndedRunEntry], names: Mapping[str, str]
) -> list[EndedRun]:
    """Return the runs of the entries that have a name, in the same order."""
    named = [entry for entry in entries if entry.position in names]
    runs = scheduling.run_all([partial(_run_of, scheduling, entry) for entry in named])
    return [
        EndedRun(entry.job_id, names[entry.position], run)
        for entry, run in zip(named, runs, strict=True)
        if run
    ]


def _run_of(scheduling: Scheduling, entry: EndedRunEntry) -> Run | None:
    """Return the run that an entry of the index names.

    None if it has expired, or if the run ended later, with another attempt than the entry's.
    """
    found = scheduling.runs.run(entry.job_id, entry.key, scheduling.clock(), responses=False)
    if found is None or found.last_number != entry.number:
        return None
    return recorded(found.key, found.attempts, found.end)
