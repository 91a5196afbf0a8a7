"""The response models of triggers. They are made as those of jobs in `response_models`."""

from __future__ import annotations

from typing import Literal, NotRequired, cast

from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, EndsAt, Excluded, MaxRuns, described
from chalicelib.domain.trigger import Trigger, describe


@described
class OneTimeFields(TypedDict):
    date: Due
    """When the job is due."""


@described
class OneTimeTrigger(TypedDict):
    """Once."""

    type: Literal["one-time"]
    """The kind of trigger."""
    fields: OneTimeFields
    """The date."""


@described
class DstFields(TypedDict):
    """What a cron does at the times that a clock change skips or repeats."""

    gap: Literal["skip", "next"]
    """`next`: times that are skipped occur at the first instant after the gap, all of them once."""
    fold: Literal["first", "both"]
    """`both`: times that are repeated occur both times."""


@described
class CronFields(TypedDict):
    cron: str
    """The expression: five fields, as Unix cron has them, with L, W and # in those of days."""
    timezone: str
    """The IANA time zone that the expression is read in."""
    dst: NotRequired[DstFields]
    """Absent for the default, `skip` and `first`."""
    spread: NotRequired[int]
    """Seconds over which the jobs of this cron are spread; absent for 0."""
    starts_at: NotRequired[Due]
    """No occurrence is before then."""
    ends_at: NotRequired[EndsAt]
    max_runs: NotRequired[MaxRuns]
    exclude: NotRequired[Excluded]


@described
class CronTrigger(TypedDict):
    """Repeatedly, at the times of a cron expression in its time zone."""

    type: Literal["cron"]
    """The kind of trigger."""
    fields: CronFields
    """The expression and its time zone."""


@described
class IntervalFields(TypedDict):
    every: int
    """Seconds from one occurrence to the next."""
    starts_at: Due
    """The first occurrence."""
    ends_at: NotRequired[EndsAt]
    max_runs: NotRequired[MaxRuns]
    exclude: NotRequired[Excluded]


@described
class IntervalTrigger(TypedDict):
    """Repeatedly, each time that so many seconds have passed."""

    type: Literal["interval"]
    """The kind of trigger."""
    fields: IntervalFields
    """Its length and its first occurrence."""


AnyTrigger = OneTimeTrigger | CronTrigger | IntervalTrigger


def trigger_view(trigger: Trigger) -> AnyTrigger:
    """Return the trigger object."""
    return cast("AnyTrigger", describe(trigger))
