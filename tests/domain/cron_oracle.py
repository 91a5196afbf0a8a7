"""A slow second implementation of crons: look at every UTC minute's wall-clock time.

It knows nothing of `chalicelib.domain.cron`, and is too slow for anything but tests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Africa/Cairo",
    "America/Santiago",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "UTC",
    "Antarctica/Troll",
)
MINUTE = timedelta(minutes=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_NAMES = {
    name: number
    for names, start in (
        ("jan feb mar apr may jun jul aug sep oct nov dec", 1),
        ("sun mon tue wed thu fri sat", 0),
    )
    for number, name in enumerate(names.split(), start)
}
MEANINGS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_BOUNDS = ((0, 59), (0, 23))


@lru_cache
def place(zone: str) -> ZoneInfo:
    """Return a zone by the pinned rules: a system may still have those of years ago."""
    with (files("tzdata") / "zoneinfo").joinpath(*zone.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=zone)


def numbers(field: str, least: int, most: int) -> set[int]:
    """Return what one field names."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        ends = [_NAMES[end] if end in _NAMES else int(end) for end in span.split("-") if end != "*"]
        if span == "*":
            ends = [least, most]
        elif len(ends) == 1:
            ends.append(most if step else ends[0])
        if span.endswith("-sun") and ends[0] > 0:
            ends[1] = 7
        found |= {
            number
            for number in range(least, most + 1)
            if ends[0] <= number <= ends[1] and (number - ends[0]) % int(step or 1) == 0
        }
    return found


def names_day(expression: str, day: date) -> bool:
    """Return whether a cron runs on a day, which is compared with each item of its fields."""
    _, _, days, months, weekdays = MEANINGS.get(expression, expression).lower().split()
    if day.month not in numbers(months, 1, 12):
        return False
    by_month = any(_is_in_month(item, day) for item in days.split(","))
    by_week = any(_is_in_week(item, day) for item in weekdays.split(","))
    needs_both = days[0] == "*" or weekdays[0] == "*"
    return (by_month and by_week) if needs_both else (by_month or by_week)


def _is_in_month(item: str, day: date) -> bool:
    if found := re.fullmatch(r"l(?:-(\d+))?", item):
        last = day + int(found[1] or 0) * _DAY
        return last.month == day.month and (last + _DAY).day == 1
    if found := re.fullmatch(r"(\d+|l)w", item):
        month = [day + ahead * _DAY for ahead in range(-31, 32)]
        month = [other for other in month if (other.year, other.month) == (day.year, day.month)]
        wanted = [other for other in month if str(other.day) == found[1]] or month[-1:]
        if found[1] not in ("l", str(wanted[0].day)):
            return False
        weekdays = [other for other in month if other.isoweekday() <= 5]
        return day == min(weekdays, key=lambda other: abs(other - wanted[0]))
    return day.day in numbers(item, 1, 31)


def _is_in_week(item: str, day: date) -> bool:
    found = re.fullmatch(r"(\w{1,3})(?:l|#(\d))", item)
    if found is None:
        return day.isoweekday() % 7 in {number % 7 for number in numbers(item, 0, 7)}
    if day.isoweekday() % 7 not in {number % 7 for number in numbers(found[1], 0, 7)}:
        return False
    if found[2] is None:
        return (day + 7 * _DAY).month != day.month
    return (day.day - 1) // 7 + 1 == int(found[2])


# The instant, and the time that the clock shows.
_Minute = tuple[datetime, datetime]


@lru_cache(maxsize=512)
def _minutes(zone: str, first: datetime, last: datetime) -> list[_Minute]:
    """Return every minute from `first` to `last`."""
    found, at, clock = [], first, place(zone)
    while at <= last:
        found.append((at, at.astimezone(clock)))
        at += MINUTE
    return found


@lru_cache(maxsize=512)
def _skipped(zone: str, first: datetime, last: datetime) -> list[_Minute]:
    """Return every time that the clock skips, with the instant at which it is past it."""
    found, clock = [], place(zone)
    for hour in range((last - first) // _HOUR + 1):
        begin = first + hour * _HOUR
        if begin.astimezone(clock).utcoffset() == (begin + _HOUR).astimezone(clock).utcoffset():
            continue
        for (_, earlier), (at, later) in itertools.pairwise(_minutes(zone, begin, begin + _HOUR)):
            wall, end = earlier.replace(tzinfo=None) + MINUTE, later.replace(tzinfo=None)
            while wall < end and at <= last:
                found.append((at, wall))
                wall += MINUTE
    return found


def occurrences(
    expression: str,
    zone: str,
    first: datetime,
    last: datetime,
    gap: str = "skip",
    fold: str = "first",
) -> list[datetime]:
    """Return every occurrence from `first`, a whole minute, to `last`."""
    found = _matching(expression, _minutes(zone, first, last), fold)
    made_up = _made_up(expression, zone, first, last) if gap == "next" else []
    return sorted({*found, *made_up})


def _made_up(expression: str, zone: str, first: datetime, last: datetime) -> list[datetime]:
    if len(numbers(expression.split()[1], 0, 23)) == 24:
        return []
    return _matching(expression, _skipped(zone, first, last))


def occurrences_of_months(
    expression: str,
    zone: str,
    first: datetime,
    last: datetime,
    gap: str = "skip",
    fold: str = "first",
) -> list[datetime]:
    """Return what `occurrences` does, for a long span: what no offset of the zone can make the
    cron's time of day is passed over.
    """
    minutes, hours = (
        numbers(text, *bounds) for text, bounds in zip(expression.split()[:2], _BOUNDS, strict=True)
    )
    walls = {hour * 60 + minute for hour in hours for minute in minutes}
    possible = sorted(
        {(wall - offset) % 1440 for wall in walls for offset in _offsets(zone, first, last)}
    )
    midnight = first.replace(hour=0, minute=0)
    days = (midnight + timedelta(days=day) for day in range((last - midnight).days + 1))
    instants = (
        at
        for day in days
        for minute in possible
        if first <= (at := day + timedelta(minutes=minute)) <= last
    )
    walls_of_instants = ((at, at.astimezone(place(zone))) for at in instants)
    made_up = _made_up(expression, zone, first, last) if gap == "next" else []
    return sorted({*_matching(expression, walls_of_instants, fold), *made_up})


@cache
def _offsets(zone: str, first: datetime, last: datetime) -> frozenset[int]:
    """Return the zone's offsets in a span, in minutes, as its hours show them."""
    steps = range(int((last - first).total_seconds() // 3600) + 2)
    found = {(first + timedelta(hours=step)).astimezone(place(zone)).utcoffset() for step in steps}
    return frozenset(int(offset.total_seconds() // 60) for offset in found if offset is not None)


def _matching(expression: str, walls: Iterable[_Minute], fold: str = "first") -> list[datetime]:
    minutes, hours = (
        numbers(text, *bounds) for text, bounds in zip(expression.split()[:2], _BOUNDS, strict=True)
    )
    at_both_passings = len(hours) == 24 or fold == "both"
    is_named = cache(lambda day: names_day(expression, day))
    return [
        at
        for at, wall in walls
        if wall.minute in minutes
        and wall.hour in hours
        and (wall.fold == 0 or at_both_passings)
        and is_named(wall.date())
    ]


@lru_cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Return the instants of 2026 to 2030 at which the zone's clocks change, and a few others if
    they never do.
    """
    clock, found = place(zone), []
    at, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    while at < end:
        if (
            at.astimezone(clock).utcoffset()
            != (at + timedelta(hours=1)).astimezone(clock).utcoffset()
        ):
            found.append(at + timedelta(hours=1))
        at += timedelta(hours=1)
    quiet = tuple(
        datetime(year, month, 28, tzinfo=UTC) for year in range(2026, 2031) for month in (2, 12)
    )
    return tuple(found) or quiet
