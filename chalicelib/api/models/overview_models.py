"""The response models of what comes due, and of what happened, over all jobs.

They are as those in `response_models`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.response_models import Due, JobId
from chalicelib.domain.instant import format_instant
from chalicelib.usecases import upcoming


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
