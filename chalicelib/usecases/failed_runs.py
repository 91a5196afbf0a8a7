"""List the failed and missed runs of all jobs of a tenant."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from chalicelib.aws.failed_runs_index import FailedRunEntry
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_history import Run, recorded
from chalicelib.usecases.scheduling import Scheduling

# A page reads at most so many entries of the index and then ends early, with a `next`.
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
    """Return up to `limit` runs that ended with one of these statuses, each with its job's id, the
    last to end first.

    And the position to go on before, None at the end. `since` is the earliest end that is shown.
    What the index has of deleted jobs, and of runs that have expired, is passed over.
    """
    shown: list[tuple[str, Run]] = []
    read, more = 0, True
    while more and read < MOST_READ:
        # One more than is shown tells whether there is a next page.
        entries, more = scheduling.runs.failed_runs(tenant, before, _PAGE if read else limit + 1)
        read += len(entries)
        wanted = [entry for entry in entries if entry.status in statuses]
        there = scheduling.jobs.existing({entry.job_id for entry in wanted}) if wanted else set()
        for entry in entries:
            if since is not None and entry.at < since:
                return shown, None
            if len(shown) == limit:
                return shown, before
            before = entry.position
            is_wanted = entry.status in statuses and entry.job_id in there
            run = _run_of(scheduling, entry) if is_wanted else None
            if run is not None:
                shown.append((entry.job_id, run))
    return shown, before if more else None


def _run_of(scheduling: Scheduling, entry: FailedRunEntry) -> Run | None:
    """Return the run that an entry of the index names; None if it has expired, or the entry is of
    an attempt that the run's end came after.
    """
    found = scheduling.runs.run(entry.job_id, entry.key, scheduling.clock(), responses=False)
    if found is None or found.last_number != entry.number:
        return None
    return recorded(found.key, found.attempts, found.end)
