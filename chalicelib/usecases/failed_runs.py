"""List the failed and missed runs of all jobs of a tenant."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from chalicelib.aws.failed_runs_index import FailedRunEntry
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_history import Run, recorded
from chalicelib.usecases.scheduling import Scheduling

# A page ends early, with a `next` link, after it has read this many entries of the index.
MOST_READ = 1000
_PAGE = 100


def failed_runs(
    scheduling: Scheduling,
    tenant: str,
    before: str | None,
    statuses: Collection[RunStatus],
    since: datetime | None,
    limit: int,
) -> tuple[list[tuple[str, Run]], str | None]:
    """Return up to `limit` runs with one of these statuses and their jobs' ids, latest end first.

    Also return the next page's `before`, None at the end. `since` is the earliest end to list.
    Entries of deleted jobs and of expired runs are skipped.
    """
    shown: list[tuple[str, Run]] = []
    has_more = False
    for entries, has_more in _pages(scheduling, tenant, before, limit):  # noqa: B007  read below
        wanted = _wanted(scheduling, entries, statuses)
        for entry in entries:
            if since is not None and entry.at < since:
                return shown, None
            if len(shown) == limit:
                return shown, before
            before = entry.position
            run = _run_of(scheduling, entry) if entry.position in wanted else None
            if run is not None:
                shown.append((entry.job_id, run))
    return shown, before if has_more else None


def _pages(
    scheduling: Scheduling, tenant: str, before: str | None, limit: int
) -> Iterator[tuple[list[FailedRunEntry], bool]]:
    """Yield pages of the index and whether more follow, until MOST_READ entries were read."""
    read, more = 0, True
    while more and read < MOST_READ:
        # One entry more than is shown tells whether there is a next page.
        entries, more = scheduling.runs.failed_runs(tenant, before, _PAGE if read else limit + 1)
        yield entries, more
        read += len(entries)
        before = entries[-1].position if entries else before


def _wanted(
    scheduling: Scheduling, entries: list[FailedRunEntry], statuses: Collection[RunStatus]
) -> set[str]:
    """Return the positions of the entries that have one of the statuses and whose job exists."""
    found = [entry for entry in entries if entry.status in statuses]
    existing = scheduling.jobs.existing({entry.job_id for entry in found}) if found else set()
    return {entry.position for entry in found if entry.job_id in existing}


def _run_of(scheduling: Scheduling, entry: FailedRunEntry) -> Run | None:
    """Return the run that an entry of the index names.

    None if it has expired, or if the run ended later, with another attempt than the entry's.
    """
    found = scheduling.runs.run(entry.job_id, entry.key, scheduling.clock(), responses=False)
    if found is None or found.last_number != entry.number:
        return None
    return recorded(found.key, found.attempts, found.end)
