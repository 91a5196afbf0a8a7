"""Evaluate EventBridge Scheduler's expressions as its user guide describes them.

    at(yyyy-mm-ddThh:mm:ss)
    cron(minutes hours day-of-month month day-of-week *)

One of the two day fields is `?`. Days of the week are 1 (Sunday) to 7. A local time that does not
exist is skipped; a repeated one fires once. Resona writes numbers, ranges, lists and steps, and by
themselves `L`, `15W`, `6L` and `6#3`. A laptop refuses the rest of the language: rates, names,
years, and weekdays near the ends of a month, of which the guide does not say which they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from chalicelib.domain import time_zones

_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) \*\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)", re.ASCII)
_ITEM = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", re.ASCII)
_WORD = re.compile(r"L|([2-9]|1[0-9]|2[0-7])W", re.ASCII)
_WEEK_WORD = re.compile(r"([1-7])(?:L|#([1-5]))", re.ASCII)
_DAYS_AHEAD = 366 * 9


class InvalidExpression(ValueError):
    """An expression that AWS refuses with a ValidationException, or that Resona does not write."""

    def __init__(self, expression: str) -> None:
        super().__init__(f"Invalid Schedule Expression {expression}.")


def validate(expression: str, timezone: str) -> None:
    """Raise ValueError for an expression or time zone that a laptop refuses."""
    zone(timezone)
    if not _at(expression):
        _read(expression)


def next_fire(expression: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first time after `after` at which the schedule fires, in UTC; None after its last.

    Raises ValueError.
    """
    place, wall = zone(timezone), _at(expression)
    if wall:
        at = wall.replace(tzinfo=place).astimezone(UTC)
        return at if at > after else None
    return _next_cron(_read(expression), place, after)


def zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name. Raises ValueError."""
    try:
        return time_zones.zone(name)
    except KeyError as error:
        raise ValueError(f"The time zone {name} is not known.") from error


def _at(expression: str) -> datetime | None:
    match = _AT.fullmatch(expression)
    try:
        return datetime.fromisoformat(match[1]) if match else None
    except ValueError as error:
        raise InvalidExpression(expression) from error


@dataclass(frozen=True)
class _Cron:
    minutes: list[int]
    hours: list[int]
    days: list[int]
    months: list[int]
    weekdays: list[int]
    # `L`, `15W`, `6L` or `6#3`; empty without one.
    word: str

    def on(self, day: date) -> bool:
        return (
            day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 + 1 in self.weekdays
            and (not self.word or _is_meant(self.word, day))
        )


def _is_meant(word: str, day: date) -> bool:
    if word == "L":
        return (day + timedelta(days=1)).day == 1
    number, weekday = int(word.rstrip("LW").partition("#")[0]), day.isoweekday()
    if word.endswith("W"):
        # Friday stands for Saturday too, Monday for Sunday.
        return (weekday <= 5 and number == day.day) or (weekday, number - day.day) in (
            (5, 1),
            (1, -1),
        )
    if weekday % 7 + 1 != number:
        return False
    if word.endswith("L"):
        return (day + timedelta(days=7)).month != day.month
    return (day.day + 6) // 7 == int(word[-1])


@lru_cache(maxsize=4096)
def _read(expression: str) -> _Cron:
    match = _CRON.fullmatch(expression)
    if match is None:
        raise InvalidExpression(expression)
    minutes, hours, days, months, weekdays = match.groups()
    if (days == "?") == (weekdays == "?"):
        raise InvalidExpression(expression)
    word = days if _WORD.fullmatch(days) else weekdays if _WEEK_WORD.fullmatch(weekdays) else ""
    days, weekdays = ("*" if text in ("?", word) else text for text in (days, weekdays))
    try:
        return _Cron(
            _numbers(minutes, 0, 59),
            _numbers(hours, 0, 23),
            _numbers(days, 1, 31),
            _numbers(months, 1, 12),
            _numbers(weekdays, 1, 7),
            word,
        )
    except ValueError as error:
        raise InvalidExpression(expression) from error


def _numbers(text: str, least: int, most: int) -> list[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = _ITEM.fullmatch(part)
        if match is None:
            raise ValueError(part)
        first, last, step = match.groups()
        low = least if first is None else int(first)
        high = int(last) if last else low if first and not step else most
        if not least <= low <= high <= most:
            raise ValueError(part)
        values |= set(range(low, high + 1, int(step or 1)))
    return sorted(values)


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
