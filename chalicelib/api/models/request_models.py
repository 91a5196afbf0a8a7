"""Request models for OpenAPI only: triggers, batches, previews and secrets.

The views read these bodies without pydantic; `job_requests` has the models that they validate with.
Tests compare both with the bodies that the API accepts and refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel
from pydantic.config import JsonDict

from chalicelib.api.models.job_requests import JobIn
from chalicelib.api.routes.triggers import DEFAULT_TIMES, MOST_TIMES, MOST_YEARS
from chalicelib.domain.backfill import MOST_RUNS
from chalicelib.domain.calendars import CALENDAR_NAME, MOST_EXCLUDED
from chalicelib.domain.ids import JOB_ID
from chalicelib.domain.interval import LONGEST_SECONDS, SHORTEST_SECONDS
from chalicelib.domain.secrets import LARGEST_SECRET
from chalicelib.domain.spread import LONGEST_SPREAD_SECONDS
from chalicelib.domain.trigger import LONGEST_DELAY_SECONDS
from chalicelib.usecases.bulk import MOST_JOBS

_DATE = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,30})?)?([Zz]|[+-]\d\d(:?[0-5]\d)?)?$"

Zone = Annotated[
    str,
    Field(
        description="An IANA name, such as Europe/Berlin.",
        json_schema_extra={"format": "time-zone"},
    ),
]
CronText = Annotated[
    str,
    Field(
        description="Five fields, as Unix cron has them, or @hourly to @yearly. Day of month also "
        "takes L (the last day), L-3, 15W (the nearest weekday) and LW; day of week 5L (the last "
        "Friday) and 1#2 (the second Monday).",
        json_schema_extra={"format": "cron"},
    ),
]
DateText = Annotated[
    str,
    Field(
        description="ISO 8601, at most 10 years ahead; without an offset it is in `timezone`.",
        json_schema_extra={"format": "iso-8601", "pattern": _DATE},
    ),
]


MaxRuns = Annotated[int, Field(ge=1, le=1_000_000)]
_CalendarName = Annotated[str, Field(json_schema_extra={"pattern": f"^{CALENDAR_NAME.pattern}$"})]
Excluded = Annotated[
    list[_CalendarName],
    Field(max_length=MOST_EXCLUDED, json_schema_extra={"uniqueItems": True}),
]


class _Input(BaseModel):
    # The texts under the fields are their descriptions.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DelayIn(_Input):
    """Once, after this number of seconds, rounded up to the next whole second."""

    delay: float = Field(ge=0, le=LONGEST_DELAY_SECONDS)
    """Seconds from now."""


# JSON schema of a trigger whose date has an offset: it must not have a `timezone`.
_WITH_OFFSET = r"T.*([Zz]|[+-]\d\d(:?[0-5]\d)?)$"
_HAS_OFFSET: JsonDict = {
    "properties": {"date": {"pattern": _WITH_OFFSET}},
    "required": ["date"],
}


def _without_offset(name: str) -> JsonDict:
    return {
        "properties": {name: {"type": "string", "not": {"pattern": _WITH_OFFSET}}},
        "required": [name],
    }


class DateIn(_Input):
    """Once, at a date and time."""

    model_config = ConfigDict(
        json_schema_extra={"if": _HAS_OFFSET, "then": {"properties": {"timezone": False}}}
    )

    date: DateText
    timezone: Zone = "UTC"


class DstIn(_Input):
    """What a cron does at the times that a clock change skips or repeats.

    A cron that runs in every hour of the day goes on through both, whatever is given here.
    """

    gap: Literal["skip", "next"] | None = "skip"
    """Skipped times: they do not occur, or together once, at the first instant after the gap."""
    fold: Literal["first", "both"] | None = "first"
    """Times that are repeated: the first time, or both times."""


class CronIn(_Input):
    """Repeatedly, at the times of a cron expression."""

    cron: CronText
    timezone: Zone = "UTC"
    dst: DstIn | None = Field(None, description="By default, `skip` and `first`.")
    spread: Annotated[int, Field(ge=0, le=LONGEST_SPREAD_SECONDS)] | None = Field(
        0,
        description="Seconds over which the jobs of this cron are spread: each occurs later by an "
        "offset of its own, in whole seconds and less than this. At most the time between two "
        "occurrences.",
    )
    starts_at: DateText | None = None
    """No occurrence before then; null or absent: from now on."""
    ends_at: DateText | None = None
    """No occurrence after then."""
    max_runs: MaxRuns | None = None
    """Occurrences after which the trigger ends. Missed ones count, skipped ones do not."""
    exclude: Excluded | None = None
    """Names of calendars: nothing is sent for an occurrence on their days."""


class EveryIn(_Input):
    """Repeatedly, each time that so many seconds have passed. Clock changes mean nothing to it."""

    # The zone of bounds that have none themselves.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"anyOf": [_without_offset("starts_at"), _without_offset("ends_at")]},
            "else": {"properties": {"timezone": False}},
        }
    )

    every: int = Field(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)
    """Seconds from one occurrence to the next."""
    starts_at: DateText | None = None
    """The first occurrence; those before now are left out. null or absent: one interval from now,
    rounded up to a whole second; in an update with the same `every`, as it was."""
    ends_at: DateText | None = None
    """No occurrence after then."""
    max_runs: MaxRuns | None = None
    """Occurrences after which the trigger ends. Missed ones count, skipped ones do not."""
    exclude: Excluded | None = None
    """Names of calendars: nothing is sent for an occurrence on their days."""
    timezone: Zone = "UTC"


class OneTimeTriggerIn(_Input):
    """A one-time trigger as the API returns it."""

    type: Literal["one-time"]
    """The kind of trigger."""
    fields: DateIn
    """The date."""


class CronTriggerIn(_Input):
    """A cron trigger as the API returns it."""

    type: Literal["cron"]
    """The kind of trigger."""
    fields: CronIn
    """The expression and its time zone."""


class IntervalTriggerIn(_Input):
    """An interval as the API returns it."""

    type: Literal["interval"]
    """The kind of trigger."""
    fields: EveryIn
    """Its length and its first occurrence."""


class TriggerIn(
    RootModel[
        DelayIn | DateIn | CronIn | EveryIn | OneTimeTriggerIn | CronTriggerIn | IntervalTriggerIn
    ]
):
    """When a job is due: `delay`, `date`, `cron` or `every`; or a trigger as the API returns it."""


class BatchIn(_Input):
    """Jobs to register. An invalid one is refused by itself."""

    jobs: list[JobIn | JsonValue] = Field(max_length=MOST_JOBS)
    """The jobs. Give each a `key`, so that a repeat registers only those that are missing."""


def _never_null(type: str = "string", **words: JsonValue) -> Callable[[JsonDict], None]:
    """Return what changes the schema of an optional field: it may be absent, but not null."""

    def change(schema: JsonDict) -> None:
        for word in ("anyOf", "default"):
            del schema[word]
        schema.update(type=type, **words)

    return change


class PreviewIn(_Input):
    """A trigger, and the number of its times to return."""

    trigger: TriggerIn
    after: str | None = Field(
        None,
        description="Return times strictly after this one; by default, after now.",
        json_schema_extra=_never_null(format="date-time"),
    )
    since: str | None = Field(
        None,
        alias="from",
        description="Return times from this one on, which may be in the past; instead of `after`.",
        json_schema_extra=_never_null(format="date-time"),
    )
    to: str | None = Field(
        None,
        description=f"Return times until this one, at most {MOST_YEARS} years later.",
        json_schema_extra=_never_null(format="date-time"),
    )
    count: int | None = Field(
        None,
        description=f"How many times to return, at most: by default {DEFAULT_TIMES}, with `to` "
        f"{MOST_TIMES}.",
        json_schema_extra=_never_null("integer", minimum=1, maximum=MOST_TIMES),
    )
    id: str | None = Field(
        None,
        description="A job's id: it says by how much `spread` moves the times.",
        json_schema_extra=_never_null(pattern=f"^{JOB_ID.pattern}$"),
    )


class BackfillIn(_Input):
    """A range of the past."""

    since: str = Field(
        alias="from",
        description="The occurrences from then on.",
        json_schema_extra={"format": "date-time"},
    )
    to: str = Field(
        description=f"The occurrences until then, at most {MOST_RUNS:,}. Not in the future.",
        json_schema_extra={"format": "date-time"},
    )


class SecretIn(_Input):
    """A secret's value."""

    value: str = Field(
        min_length=1, max_length=LARGEST_SECRET, description=f"At most {LARGEST_SECRET} bytes."
    )
