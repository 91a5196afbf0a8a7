"""The use case of the morning after: which runs of all jobs went wrong."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

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
            if entry.status not in statuses or entry.job_id not in there:
                continue
            found = scheduling.runs.run(entry.job_id, entry.key, scheduling.clock())
            # An attempt that failed is not the end of its run if an ending came after it.
            if found is not None and found.last_number == entry.number:
                shown.append((entry.job_id, recorded(found.key, found.attempts, found.end)))
    return shown, before if more else None
