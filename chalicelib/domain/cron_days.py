"""Find the days on which a cron runs.

croniter finds them wherever its meaning is ours. It has no `L-3` and no `LW`; it takes `15W` only
by itself, and `31W` for the last weekday of a shorter month; and it takes `5L` and `1#2` only
without other days of the week, and as a restriction of the day of month where either is enough. The
days of such crons are found month by month.
"""

from __future__ import annotations

from calendar import monthrange
from copy import copy
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from croniter import croniter

from chalicelib.domain.cron_fields import LAST, Fields, read

_MINUTE = timedelta(minutes=1)
_LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | dict.fromkeys((4, 6, 9, 11), 30) | {2: 29}
_SATURDAY, _SUNDAY = 6, 7
# The rarest cron, a 29 February on a given day of the week, comes again within 40 years.
YEARS_AHEAD = 40
# Whether a cron fires at all is decided from this fixed year, so that the answer never changes.
RULES_FROM = 2026


@lru_cache(maxsize=4096)
def first_day(expression: str, start: date) -> date | None:
    """Return the first day from `start` on which a cron runs; None after the year 9999."""
    midnights = _midnights(expression)
    if midnights is None:
        return _first_by_month(read(expression), start)
    # A croniter keeps its position, and threads share the cached one: copy it.
    midnights = copy(midnights)
    midnights.set_current(datetime.combine(start, time(0)) - _MINUTE)
    try:
        found: datetime = midnights.get_next(datetime)
    except (ValueError, OverflowError):
        # croniter stepped past the year 9999.
        return None
    return found.date()


@lru_cache(maxsize=4096)
def _midnights(expression: str) -> croniter | None:
    """Return a croniter that occurs at midnight on the days of a cron; None if none does.

    Its fields list the numbers that `read` found, because croniter reads `4-4` as every day.
    """
    fields = read(expression)
    if fields.nearest or fields.from_last - {0}:
        return None
    if fields.nth and (fields.weekdays or not fields.both_days):
        return None
    # Drop days that no month has: croniter would search 50 years for 30 February where a day of the
    # week may match instead.
    longest = max(_LONGEST_MONTH[month] for month in fields.months)
    days = [str(day) for day in fields.days if fields.both_days or day <= longest]
    days += ["l"] * len(fields.from_last)
    weekdays = [str(weekday) for weekday in fields.weekdays]
    weekdays += [f"l{day}" if nth == LAST else f"{day}#{nth}" for day, nth in fields.nth]
    listed = (",".join(items) for items in (days, map(str, fields.months), weekdays))
    return croniter(
        " ".join(("0", "0", *(items or "*" for items in listed))),
        day_or=not fields.both_days,
    )


def _first_by_month(fields: Fields, start: date) -> date | None:
    begin = start.year * 12 + start.month - 1
    for months in range(begin, min(begin + YEARS_AHEAD * 12 + 1, 10_000 * 12)):
        year, month = months // 12, months % 12 + 1
        for day in days_of_month(fields, year, month):
            if date(year, month, day) >= start:
                return date(year, month, day)
    return None


def days_of_month(fields: Fields, year: int, month: int) -> list[int]:
    """Return the days of a month that the fields match, in order."""
    if month not in fields.months:
        return []
    length = monthrange(year, month)[1]
    days = {*fields.days, *(length - before for before in fields.from_last)}
    days |= {
        _nearest_weekday(year, month, length if day == LAST else day)
        for day in fields.nearest
        if day <= length
    }

    def matches(day: int) -> bool:
        weekday = date(year, month, day).isoweekday() % 7
        by_week = (
            weekday in fields.weekdays
            or (weekday, (day + 6) // 7) in fields.nth
            or (day + 7 > length and (weekday, LAST) in fields.nth)
        )
        return (day in days and by_week) if fields.both_days else (day in days or by_week)

    return [day for day in range(1, length + 1) if matches(day)]


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Return the day from Monday to Friday of the same month that is nearest to a day."""
    weekday = date(year, month, day).isoweekday()
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < monthrange(year, month)[1] else day - 2
    return day


def can_fire(fields: Fields) -> bool:
    """Return whether the fields match any day of any year."""
    years = range(RULES_FROM, RULES_FROM + YEARS_AHEAD)
    return any(days_of_month(fields, year, month) for year in years for month in fields.months)
