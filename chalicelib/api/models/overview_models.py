"""The response models of what comes due, and of what happened, over all jobs.

They are as those in `response_models`.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, JobId, Measured, described
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_counts import RunCounts
from chalicelib.usecases import run_hours, upcoming


@described
class Occurrence(TypedDict):
    """A time at which a job is due."""

    job_id: JobId
    """The id of the job."""
    key: str | None
    """Your own name for the job; null if it has none."""
    name: str
    """The job's name."""
    labels: dict[str, str]
    """The job's labels."""
    scheduled_time: Due
    """When it is due; overdue if this has passed."""
    skipped: bool
    """Whether it is to be skipped, because a user asked for it."""


@described
class Upcoming(TypedDict):
    """What comes due, in time order."""

    occurrences: list[Occurrence]
    """The soonest first."""
    until: Due
    """Occurrences before then are listed."""
    complete_until: Due
    """What is due before then is on this page or on those before it. On the last page it is earlier
    than `until` if more jobs come due than one call reads."""


def upcoming_view(found: upcoming.Upcoming, until: datetime) -> Upcoming:
    """Return a page of occurrences that are due before a time."""
    return Upcoming(
        occurrences=[
            Occurrence(
                job_id=due.definition.id,
                key=due.definition.key,
                name=due.definition.name,
                labels=dict(due.definition.labels),
                scheduled_time=format_instant(due.due_at),
                skipped=due.skips > 0,
            )
            for due in found.occurrences
        ],
        until=format_instant(until),
        complete_until=format_instant(found.complete_until),
    )


@described
class Lateness(TypedDict):
    """How late the runs that succeeded started, in milliseconds, to two significant digits."""

    p50: int
    """The median."""
    p99: int
    """The 99th percentile."""


# The texts under the fields of a base class are not read.
class RunSums(TypedDict):
    """How many runs ended with each status."""

    succeeded: Annotated[int, Field(description="Runs that succeeded.")]
    failed: Annotated[int, Field(description="Runs that failed for good.")]
    missed: Annotated[
        int, Field(description="Runs that were missed; several occurrences in a row are one.")
    ]
    skipped: Annotated[int, Field(description="Runs that were skipped.")]
    lateness_ms: Annotated[
        Lateness | None,
        Field(description="How late those that succeeded started; null if none did."),
    ]


@described
class HourOfRuns(RunSums):
    """How many runs ended in an hour."""

    hour: Due
    """The start of the hour."""


@described
class RunHours(TypedDict):
    """How many runs ended in each hour."""

    hours: list[HourOfRuns]
    """The hours in order, also those without runs."""
    total: RunSums
    """Their sum."""
    counted_until: Measured
    """All runs that ended before then are counted."""
    complete: bool
    """False if there were too many runs for one call: hours that are not counted whole are left
    out. Repeat the request to count on."""


def hours_view(found: run_hours.RunHours) -> RunHours:
    """Return the counts of hours and their sum."""
    total = sum(found.hours.values(), RunCounts())
    return RunHours(
        hours=[
            HourOfRuns(hour=format_instant(hour), **_sum_view(counts))
            for hour, counts in found.hours.items()
        ],
        total=_sum_view(total),
        counted_until=format_measured(found.counted_until),
        complete=found.is_complete,
    )


def _sum_view(counts: RunCounts) -> RunSums:
    p50, p99 = counts.late(Fraction(1, 2)), counts.late(Fraction(99, 100))
    return RunSums(
        succeeded=counts.statuses[RunStatus.SUCCEEDED],
        failed=counts.statuses[RunStatus.FAILED],
        missed=counts.statuses[RunStatus.MISSED],
        skipped=counts.statuses[RunStatus.SKIPPED],
        lateness_ms=None if p50 is None or p99 is None else Lateness(p50=p50, p99=p99),
    )
