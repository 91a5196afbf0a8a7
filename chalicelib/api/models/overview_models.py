"""The response models of what comes due, and of what happened, over all jobs.

They are as those in `response_models`.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.response_models import Due, JobId, Measured
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_counts import RunCounts
from chalicelib.usecases import run_hours, upcoming


class Occurrence(TypedDict):
    """A time at which a job is due."""

    job_id: JobId
    key: str | None
    name: str
    labels: dict[str, str]
    scheduled_time: Due


class Upcoming(TypedDict):
    """What comes due, in time order."""

    occurrences: list[Occurrence]
    until: Annotated[Due, Field(description="Occurrences before then are listed.")]
    complete_until: Annotated[
        Due,
        Field(
            description="What is due before then is on this page or on those before it. Earlier "
            "than `until` on the last page if more jobs come due than one call reads."
        ),
    ]


def upcoming_view(found: upcoming.Upcoming, until: datetime) -> Upcoming:
    """Return a page of occurrences that are due before a time."""
    return Upcoming(
        occurrences=[
            Occurrence(
                job_id=definition.id,
                key=definition.key,
                name=definition.name,
                labels=dict(definition.labels),
                scheduled_time=format_instant(at),
            )
            for at, definition in found.occurrences
        ],
        until=format_instant(until),
        complete_until=format_instant(found.complete_until),
    )


class Lateness(TypedDict):
    """How late the runs that succeeded started, in milliseconds, to two significant digits."""

    p50: int
    p99: int


class HourOfRuns(TypedDict):
    """How many runs ended in an hour."""

    hour: Annotated[Due, Field(description="Its start.")]
    succeeded: int
    failed: int
    missed: int
    skipped: int
    lateness_ms: Lateness | None


class SumOfRuns(TypedDict):
    """How many runs ended in the hours that are shown."""

    succeeded: int
    failed: int
    missed: int
    skipped: int
    lateness_ms: Lateness | None


class RunHours(TypedDict):
    """How many runs ended in each hour, the earliest first."""

    hours: list[HourOfRuns]
    total: SumOfRuns
    counted_until: Annotated[
        Measured, Field(description="What ended before then is counted, if `complete` or not.")
    ]
    complete: Annotated[
        bool,
        Field(
            description="False if there were too many runs for one call: the hours from "
            "`counted_until` on are left out. Repeat the request to count on."
        ),
    ]


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


def _sum_view(counts: RunCounts) -> SumOfRuns:
    p50, p99 = counts.late(Fraction(1, 2)), counts.late(Fraction(99, 100))
    return SumOfRuns(
        succeeded=counts.statuses[RunStatus.SUCCEEDED],
        failed=counts.statuses[RunStatus.FAILED],
        missed=counts.statuses[RunStatus.MISSED],
        skipped=counts.statuses[RunStatus.SKIPPED],
        lateness_ms=None if p50 is None or p99 is None else Lateness(p50=p50, p99=p99),
    )
