"""Calendars: their request model and their response model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, described
from chalicelib.api.models.validation import Errors, Strict, require_object
from chalicelib.domain import calendars, time_zones
from chalicelib.domain.calendars import (
    CALENDAR_NAME,
    FIRST_YEAR,
    LAST_YEAR,
    MOST_DAYS,
    WEEKDAYS,
    Days,
)
from chalicelib.domain.cron import check_zone
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.instant import format_instant

READ_ONLY = ("name", "created_at", "updated_at")
_DAY = r"\d{4}-\d\d-\d\d"
_DAYS = re.compile(f"({_DAY})(?:/({_DAY}))?", re.ASCII)
DaysText = Annotated[str, Field(json_schema_extra={"pattern": f"^{_DAY}(/{_DAY})?$"})]
Weekday = Annotated[str, Field(json_schema_extra={"enum": list(WEEKDAYS)})]


class CalendarIn(Strict):
    """Days on which jobs that name the calendar are not sent: `days`, `weekdays` or both."""

    timezone: str = Field(
        "UTC",
        description="An IANA name, such as Europe/Berlin: an occurrence is on the day that the "
        "clocks of this zone show.",
        json_schema_extra={"format": "time-zone"},
    )
    days: list[DaysText] | None = Field(
        None,
        max_length=MOST_DAYS,
        description="Dates, and ranges of dates with both ends in, as 2026-12-24/2027-01-02.",
    )
    weekdays: list[Weekday] | None = Field(None, description="Days of every week.")


@described
class Calendar(TypedDict):
    """A calendar: days on which jobs that name it are not sent."""

    name: Annotated[str, Field(json_schema_extra={"pattern": f"^{CALENDAR_NAME.pattern}$"})]
    """The calendar's name."""
    timezone: str
    """The IANA time zone whose clocks say on which day an occurrence is."""
    days: list[DaysText]
    """Dates, and ranges of dates with both ends in."""
    weekdays: list[Weekday]
    """Days of every week."""
    created_at: Due
    """When it was created."""
    updated_at: Due
    """When it was last changed."""


Calendars = Annotated[list[Calendar], Field(description="Calendars, by name.")]


def calendar_view(calendar: calendars.Calendar) -> Calendar:
    """Return the calendar object."""
    return Calendar(
        name=calendar.name,
        timezone=calendar.timezone,
        days=[
            first.isoformat() if first == last else f"{first.isoformat()}/{last.isoformat()}"
            for first, last in calendar.days
        ],
        weekdays=[WEEKDAYS[number] for number in sorted(calendar.weekdays)],
        created_at=format_instant(calendar.created_at),
        updated_at=format_instant(calendar.updated_at),
    )


def read_calendar(
    tenant: str, shown: Mapping[str, Any], body: object, now: datetime
) -> calendars.Calendar:
    """Read a calendar from the body of a PUT. Raises InvalidInput.

    `shown` is the calendar as GET shows it, of a new one only the `name`. A read-only field may
    have the value that is shown: clients may send back what they read.
    """
    errors = Errors()
    document = require_object(body)
    errors.forbid_read_only(document, shown, READ_ONLY)
    sent = errors.validate(CalendarIn, document, READ_ONLY)
    valid = sent or errors.valid_part(CalendarIn, document)
    wrong = {".".join(map(str, path)) for path in errors.invalid}
    if valid.days is None and valid.weekdays is None and not errors.are_in("days", "weekdays"):
        errors.add("days", "give days, weekdays or both; [] is a calendar of no days")
    errors.extend(one for one in _check(valid) if one.field not in wrong)
    days: list[Days] = []
    for place, text in enumerate(valid.days or ()):
        if ("days", place) in errors.invalid:
            continue
        found = errors.collect(partial(_read_days, text, place))
        days += [found] if found else []
    errors.raise_if_any()
    assert sent  # noqa: S101  raise_if_any() has not raised
    return calendars.Calendar(
        tenant=tenant,
        name=shown["name"],
        timezone=sent.timezone,
        days=tuple(days),
        weekdays=frozenset(map(WEEKDAYS.index, sent.weekdays or ())),
        created_at=now,
        updated_at=now,
    )


def _check(sent: CalendarIn) -> Iterator[FieldError]:
    """Yield an error for each value that the model takes and the rules do not."""
    if sent.timezone not in time_zones.names():
        try:
            check_zone(sent.timezone)
        except InvalidInput as error:
            yield FieldError("timezone", error.errors[0].message)
    for place, name in enumerate(sent.weekdays or ()):
        if name not in WEEKDAYS:
            yield FieldError(f"weekdays.{place}", f"must be one of {', '.join(WEEKDAYS)}")


def _read_days(text: str, place: int) -> Days:
    """Return a day or a range of days. Raises InvalidInput."""
    field, match = f"days.{place}", _DAYS.fullmatch(text)
    try:
        days = [date.fromisoformat(day) for day in match.groups() if day] if match else []
    except ValueError:
        days = []
    if not days:
        raise InvalidInput.of(
            field, "must be a date, as 2026-12-25, or a range of dates, as 2026-12-24/2027-01-02"
        )
    first, last = days[0], days[-1]
    if first > last:
        raise InvalidInput.of(field, f"ends before it begins: write {last}/{first}")
    if first.year < FIRST_YEAR or last.year > LAST_YEAR:
        raise InvalidInput.of(field, f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return first, last
