"""Evaluate EventBridge Scheduler's expressions as its user guide describes them.

    at(yyyy-mm-ddThh:mm:ss)
    rate(value unit)
    cron(minutes hours day-of-month month day-of-week year)

One of the two day fields is `?`. Days of the week are 1 (Sunday) to 7. In day of month, `L` is the
last day and `15W` the weekday nearest to the 15th. In day of week, `3L` is the month's last
Tuesday and `3#2` its second. A local time that does not exist is skipped; a repeated one fires
once.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)", re.ASCII)
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)", re.ASCII)
_RATE = re.compile(r"rate\(([1-9]\d{0,6}) (minutes?|hours?|days?)\)", re.ASCII)
_MONTHS = dict(
    zip(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        range(1, 13),
        strict=True,
    )
)
_WEEKDAYS = dict(zip(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], range(1, 8), strict=True))
_LAST_YEAR = 2199
_DAYS_AHEAD = 366 * 9


class InvalidExpression(ValueError):
    """An expression that AWS refuses with a ValidationException."""

    def __init__(self, expression: str) -> None:
        super().__init__(f"Invalid Schedule Expression {expression}.")


def validate(expression: str, timezone: str) -> None:
    """Raise ValueError for an expression or time zone that AWS refuses."""
    zone(timezone)
    if _AT.fullmatch(expression):
        _at(expression)
    elif not _RATE.fullmatch(expression):
        _read(expression)


def next_fire(expression: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first time after `after` at which the schedule fires, in UTC; None after its last.

    A rate counts from `after`. Raises ValueError.
    """
    place = zone(timezone)
    if _AT.fullmatch(expression):
        at = _at(expression).replace(tzinfo=place).astimezone(UTC)
        return at if at > after else None
    match = _RATE.fullmatch(expression)
    if match:
        unit = match[2].rstrip("s") + "s"
        return after.astimezone(UTC) + timedelta(**{unit: int(match[1])})
    return _next_cron(_read(expression), place, after)


@lru_cache
def zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name. Raises ValueError."""
    zones = files("tzdata") / "zoneinfo"
    if name not in (files("tzdata") / "zones").read_text(encoding="ascii").split():
        raise ValueError(f"The time zone {name} is not known.")
    with zones.joinpath(*name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def _at(expression: str) -> datetime:
    match = _AT.fullmatch(expression)
    try:
        return datetime.fromisoformat(match[1] if match else "")
    except ValueError as error:
        raise InvalidExpression(expression) from error


@dataclass(frozen=True)
class _Cron:
    minutes: list[int]
    hours: list[int]
    days: str
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]

    def on(self, day: date) -> bool:
        if day.month not in self.months or day.year not in self.years:
            return False
        return _is_day(self.days, day) if self.weekdays == "?" else _is_weekday(self.weekdays, day)


@lru_cache(maxsize=4096)
def _read(expression: str) -> _Cron:
    match = _CRON.fullmatch(expression)
    if match is None:
        raise InvalidExpression(expression)
    minutes, hours, days, months, weekdays, years = match.groups()
    if (days == "?") == (weekdays == "?"):
        raise InvalidExpression(expression)
    try:
        cron = _Cron(
            sorted(_numbers(minutes, 0, 59)),
            sorted(_numbers(hours, 0, 23)),
            days,
            frozenset(_numbers(months, 1, 12, _MONTHS)),
            weekdays,
            frozenset(_numbers(years, 1970, _LAST_YEAR)),
        )
        for day in (date(2024, 1, 1), date(2024, 2, 29)):
            if weekdays == "?":
                _is_day(days, day)
            else:
                _is_weekday(weekdays, day)
    except (ValueError, KeyError) as error:
        raise InvalidExpression(expression) from error
    return cron


def _numbers(text: str, least: int, most: int, names: dict[str, int] | None = None) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        base, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step) > 0):
            raise ValueError(part)
        first, dash, last = base.partition("-")
        if base == "*":
            low, high = least, most
        else:
            low = high = _number(first, least, most, names)
        if dash:
            high = _number(last, least, most, names)
        elif slash:
            high = most
        if high < low:
            raise ValueError(part)
        values |= set(range(low, high + 1, int(step) if slash else 1))
    return values


def _number(text: str, least: int, most: int, names: dict[str, int] | None) -> int:
    number = names[text] if names and text in names else int(text) if text.isdigit() else least - 1
    if not least <= number <= most:
        raise ValueError(text)
    return number


def _is_day(text: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if text == "L":
        return day.day == last
    if text.endswith("W"):
        wanted = _number(text[:-1], 1, 31, None)
        return wanted <= last and day.day == _nearest_weekday(day.year, day.month, wanted)
    return day.day in _numbers(text, 1, 31)


def _nearest_weekday(year: int, month: int, wanted: int) -> int:
    last = calendar.monthrange(year, month)[1]
    weekday = date(year, month, wanted).weekday()
    if weekday == calendar.SATURDAY:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == calendar.SUNDAY:
        return wanted + 1 if wanted < last else wanted - 2
    return wanted


def _is_weekday(text: str, day: date) -> bool:
    number = day.isoweekday() % 7 + 1
    if text == "L":
        return number == 7
    if text.endswith("L"):
        is_last = day.day + 7 > calendar.monthrange(day.year, day.month)[1]
        return is_last and number == _number(text[:-1], 1, 7, _WEEKDAYS)
    if "#" in text:
        weekday, _, nth = text.partition("#")
        # Read both numbers before comparing: an invalid one raises ValueError on every day.
        wanted = (_number(weekday, 1, 7, _WEEKDAYS), _number(nth, 1, 5, None))
        return wanted == (number, (day.day - 1) // 7 + 1)
    return number in _numbers(text, 1, 7, _WEEKDAYS)


def _next_cron(cron: _Cron, place: ZoneInfo, after: datetime) -> datetime | None:
    for wall in _walls(cron, after.astimezone(place).replace(tzinfo=None)):
        at = wall.replace(tzinfo=place).astimezone(UTC)
        is_skipped = at.astimezone(place).replace(tzinfo=None) != wall
        if at > after and not is_skipped:
            return at
    return None


def _walls(cron: _Cron, start: datetime) -> Iterator[datetime]:
    for ahead in range(_DAYS_AHEAD):
        day = start.date() + timedelta(days=ahead)
        if not cron.on(day):
            continue
        for hour in cron.hours:
            if ahead == 0 and hour < start.hour:
                continue
            for minute in cron.minutes:
                if ahead or hour > start.hour or minute >= start.minute:
                    yield datetime.combine(day, time(hour, minute))
