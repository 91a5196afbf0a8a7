"""Calendars: days on which jobs that name them are not sent, each in the calendar's own zone."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from chalicelib.domain import time_zones

CALENDAR_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_CALENDARS = 100
MOST_DAYS = 1_000
# How many calendars a trigger may name.
MOST_EXCLUDED = 5
FIRST_YEAR, LAST_YEAR = 1970, 9_998
_DAY = timedelta(days=1)
# An occurrence that calendars leave is looked for so far.
YEARS_AHEAD = 10
_HORIZON = YEARS_AHEAD * 366 * _DAY

# The first and the last day of a range; a single day is both.
Days = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar as the user wrote it. `weekdays` are numbers from 0, Monday."""

    tenant: str
    name: str
    timezone: str
    days: tuple[Days, ...]
    weekdays: frozenset[int]
    created_at: datetime
    updated_at: datetime

    def says_the_same_as(self, other: Calendar) -> bool:
        """Return whether another calendar excludes the same in the same words."""
        return (self.timezone, self.days, self.weekdays) == (
            other.timezone,
            other.days,
            other.weekdays,
        )


class _Excluded:
    """The days of one calendar, ready to be asked."""

    def __init__(self, calendar: Calendar) -> None:
        self.name = calendar.name
        self.place = time_zones.zone(calendar.timezone)
        self._weekdays = calendar.weekdays
        merged = list[Days]()
        for first, last in sorted(calendar.days):
            if merged and first <= merged[-1][1] + _DAY:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        self._merged = merged

    def has(self, day: date) -> bool:
        return self._last(day) is not None

    def _last(self, day: date) -> date | None:
        """Return the last of the days from this one on that are excluded together; None if it is
        not excluded.
        """
        place = bisect_right(self._merged, (day, date.max)) - 1
        if place >= 0 and day <= self._merged[place][1]:
            return self._merged[place][1]
        return day if day.weekday() in self._weekdays else None

    def opens_at(self, day: date, until: date) -> datetime | None:
        """Return when the first day from this one on begins that is not excluded; None after
        `until`.
        """
        while (last := self._last(day)) is not None:
            if last >= until:
                return None
            day = last + _DAY
        return self.beginning_of(day)

    def beginning_of(self, day: date) -> datetime:
        midnight = time_zones.first_after_gap(datetime.combine(day, time(0)), self.place)
        return time_zones.to_utc(midnight, self.place)


class Closed:
    """The times that some calendars exclude together."""

    def __init__(self, calendars: Iterable[Calendar]) -> None:
        self._excluded = tuple(map(_Excluded, calendars))

    def by(self, at: datetime) -> str | None:
        """Return the name of the first calendar that excludes an instant; None if none does."""
        found = self._by(at)
        return found.name if found else None

    def _by(self, at: datetime) -> _Excluded | None:
        return next(
            (one for one in self._excluded if one.has(at.astimezone(one.place).date())), None
        )

    def day_of(self, at: datetime) -> date:
        """Return the day of an excluded instant, as the calendar that excludes it has it."""
        found = self._by(at)
        assert found  # noqa: S101  it is excluded
        return at.astimezone(found.place).date()

    def end_of_day(self, at: datetime) -> datetime:
        """Return when the day of an excluded instant ends."""
        found = self._by(at)
        assert found  # noqa: S101  it is excluded
        return found.beginning_of(at.astimezone(found.place).date() + _DAY)

    def opens_at(self, at: datetime, until: datetime) -> datetime | None:
        """Return the first instant from `at` on that no calendar excludes; None after `until`."""
        while (found := self._by(at)) is not None:
            day = at.astimezone(found.place).date()
            opens_at = found.opens_at(day, until.astimezone(found.place).date())
            if opens_at is None or opens_at > until:
                return None
            at = opens_at
        return at


def horizon(at: datetime) -> datetime:
    """Return until when an occurrence that calendars leave is looked for, from an occurrence on."""
    last = datetime(LAST_YEAR, 12, 1, tzinfo=at.tzinfo)
    return last if at.year > LAST_YEAR - YEARS_AHEAD - 1 else min(at + _HORIZON, last)


def closed_by(names: Sequence[str], calendars: Iterable[Calendar]) -> Closed:
    """Return what the calendars with these names exclude, in this order.

    A calendar that does not exist excludes nothing.
    """
    known = {calendar.name: calendar for calendar in calendars}
    return Closed(known[name] for name in names if name in known)
