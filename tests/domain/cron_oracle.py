"""A slow second implementation of crons: look at every UTC minute's wall-clock time.

It knows nothing of `chalicelib.domain.cron`, and is too slow for anything but tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
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
_NAMES = {
    name: number
    for names, start in (
        ("jan feb mar apr may jun jul aug sep oct nov dec", 1),
        ("sun mon tue wed thu fri sat", 0),
    )
    for number, name in enumerate(names.split(), start)
}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


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


_Minute = tuple[datetime, int, int, int, int, int, int]


@lru_cache(maxsize=512)
def _minutes(zone: str, first: datetime, last: datetime) -> list[_Minute]:
    """Return (instant, minute, hour, day, month, weekday, fold) for every minute from `first` to
    `last`.
    """
    found, at, clock = [], first, place(zone)
    while at <= last:
        found.append(_minute(at, clock))
        at += MINUTE
    return found


def _minute(at: datetime, clock: ZoneInfo) -> _Minute:
    wall = at.astimezone(clock)
    return (at, wall.minute, wall.hour, wall.day, wall.month, (wall.weekday() + 1) % 7, wall.fold)


def occurrences(expression: str, zone: str, first: datetime, last: datetime) -> list[datetime]:
    """Return every occurrence from `first`, a whole minute, to `last`."""
    return _matching(expression, _minutes(zone, first, last))


def occurrences_of_months(
    expression: str, zone: str, first: datetime, last: datetime
) -> list[datetime]:
    """Return what `occurrences` does, for a long span: what no offset of the zone can make the
    cron's time of day is passed over.
    """
    minutes, hours = (
        numbers(text, *bounds)
        for text, bounds in zip(expression.split()[:2], _BOUNDS, strict=False)
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
    return _matching(expression, (_minute(at, place(zone)) for at in instants))


@cache
def _offsets(zone: str, first: datetime, last: datetime) -> frozenset[int]:
    """Return the zone's offsets in a span, in minutes, as its hours show them."""
    steps = range(int((last - first).total_seconds() // 3600) + 2)
    found = {(first + timedelta(hours=step)).astimezone(place(zone)).utcoffset() for step in steps}
    return frozenset(int(offset.total_seconds() // 60) for offset in found if offset is not None)


def _matching(expression: str, walls: Iterable[_Minute]) -> list[datetime]:
    texts = expression.split()
    minutes, hours, days, months, weekdays = (
        numbers(text, *bounds) for text, bounds in zip(texts, _BOUNDS, strict=True)
    )
    weekdays = {number % 7 for number in weekdays}
    needs_both = texts[2][0] == "*" or texts[4][0] == "*"
    at_both_passings = len(hours) == 24
    return [
        at
        for at, minute, hour, day, month, weekday, fold in walls
        if minute in minutes
        and hour in hours
        and month in months
        and (fold == 0 or at_both_passings)
        and (
            (day in days and weekday in weekdays)
            if needs_both
            else (day in days or weekday in weekdays)
        )
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
