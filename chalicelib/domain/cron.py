"""Cron expressions: five fields as Vixie cron reads them, in a time zone.

An instant is an occurrence if the clock on the wall shows a time that the fields name, for the first time: a time that a spring change
skips does not occur, one that an autumn change repeats occurs at its first passing. A cron that runs in every hour of the day occurs
at both passings.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from chalicelib.domain import zones
from chalicelib.domain.errors import InvalidInput

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
# The rarest cron, a 29 February on a given day of the week, comes again within 40 years.
_HORIZON = timedelta(days=366 * 45)
# No occurrence is sought there: a day later could not be written in every zone.
_END = date(9999, 1, 2)
# From when on today's rules of zones are asked whether a cron fires at all: a fixed date, for an answer that never changes.
_RULES_FROM = datetime(2026, 1, 1, tzinfo=UTC)

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_WEEKDAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | dict.fromkeys((4, 6, 9, 11), 30) | {2: 29}
_ITEM = re.compile(r"(?:(?P<star>\*)|(?P<first>[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?)(?:/(?P<step>[0-9]+))?", re.ASCII)
_LONGEST = 200

# What other dialects write, and what to write here instead.
_FOREIGN = (
    (re.compile(r".*\?.*"), "'?' is of other dialects; write *"),
    (re.compile(r".*#.*"), "'#' (the n-th weekday of a month) is not possible; register the days of the month instead, such as 8-14"),
    (
        re.compile(r"l([-+].*)?|[0-9]+l|(sun|mon|tue|wed|thu|fri|sat)l"),
        "'L' (the last day) is not possible; write a day of the month from 1 to 28",
    ),
    (re.compile(r"l?w|[0-9]+w"), "'W' (the nearest weekday) is not possible; write days of the week such as 1-5"),
    (re.compile(r"h([(/].*)?"), "'H' (a hashed time) is not possible; write the time you want"),
    (re.compile(r"r([(/].*)?"), "'R' (a random time) is not possible; write the time you want"),
)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    least: int
    most: int
    names: dict[str, int]

    @property
    def count(self) -> int:
        """How many there are: 7 is Sunday's other name."""
        return 7 if self.name == "day of week" else self.most - self.least + 1


_KINDS = (
    _Kind("minute", 0, 59, {}),
    _Kind("hour", 0, 23, {}),
    _Kind("day of month", 1, 31, {}),
    _Kind("month", 1, 12, _MONTHS),
    _Kind("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Fields:
    """What the fields of an expression name, sorted; days of the week from 0, Sunday.

    `both_days`: an occurrence must match day of month and day of week; otherwise either will do. Vixie cron decides it by whether
    one of the two begins with a star (`*/2` does).
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool

    @property
    def every_hour(self) -> bool:
        """Say whether it runs in every hour of the day."""
        return len(self.hours) == 24

    def on(self, day: date) -> bool:
        """Say whether it runs on a day."""
        if day.month not in self.months:
            return False
        matches = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return all(matches) if self.both_days else any(matches)

    def days_between(self, first: date, end: date) -> Iterator[date]:
        """Yield the days on which it runs from `first` to the one before `end`."""
        numbers, months = sorted(self.days) if self.both_days else range(1, 32), sorted(self.months)
        begin = (first.year, first.month)
        for month in ((year, month) for year in range(first.year, end.year + 1) for month in months if (year, month) >= begin):
            least, most = first.day if month == begin else 1, monthrange(*month)[1]
            days = (date(*month, number) for number in numbers if least <= number <= most)
            yield from (day for day in days if day < end and self.on(day))


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone, both as the user wrote them."""

    expression: str
    timezone: str

    @property
    def fields(self) -> Fields:
        """Return what its fields name."""
        return _read(self.expression)

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first occurrence strictly after an instant, in UTC; None if none comes in 45 years, or before the year 9999."""
        fields, place = self.fields, zones.zone(self.timezone)
        find = _next_instant if fields.every_hour else _next_wall_time
        try:
            at = find(fields, place, after.astimezone(UTC))
        except OverflowError:
            return None
        return at if at is not None and at.year < _END.year else None


def _next_wall_time(fields: Fields, place: ZoneInfo, after: datetime) -> datetime | None:
    start = after.astimezone(place).replace(tzinfo=None)
    for wall in _wall_times(fields, start):
        # Where a change has repeated an hour, wall times after `start` may have had their first passing before it.
        at = zones.to_utc(wall, place)
        if at > after and zones.exists(wall, place):
            return at
    return None


def _wall_times(fields: Fields, start: datetime) -> Iterator[datetime]:
    """Yield the wall-clock times that the fields name from the minute of `start` on, in order."""
    for day in fields.days_between(start.date(), start.date() + min(_HORIZON, _END - start.date())):
        earliest = time(start.hour, start.minute) if day == start.date() else time(0)
        for hour in fields.hours[bisect_left(fields.hours, earliest.hour) :]:
            first = bisect_left(fields.minutes, earliest.minute) if hour == earliest.hour else 0
            for minute in fields.minutes[first:]:
                yield datetime.combine(day, time(hour, minute))


def _next_instant(fields: Fields, place: ZoneInfo, after: datetime) -> datetime | None:
    """Go from minute to minute, and past days on which it does not run."""
    minutes = frozenset(fields.minutes)
    at = after.replace(second=0, microsecond=0) + _MINUTE
    last = at.date() + min(_HORIZON, _END - at.date())
    while at.date() < last:
        wall = at.astimezone(place)
        if not fields.on(wall.date()):
            at = _past_idle_days(fields, place, at, last)
        elif wall.minute in minutes:
            return at
        else:
            at += _MINUTE
    return None


def _past_idle_days(fields: Fields, place: ZoneInfo, at: datetime, last: date) -> datetime:
    """Return an instant later than `at`, which lies on a day on which it does not run, with no occurrence between the two."""
    wall = at.astimezone(place)
    tomorrow = wall.date() + _DAY
    if _begins(tomorrow, place).astimezone(place).utcoffset() != wall.utcoffset():
        # The clocks change before midnight, and may go back into a day on which it runs.
        minutes = (_begins(tomorrow, place) - at) // _MINUTE
        changed = bisect_left(
            range(minutes), True, lo=1, key=lambda ahead: (at + ahead * _MINUTE).astimezone(place).utcoffset() != wall.utcoffset()
        )
        return at + changed * _MINUTE
    day = next(fields.days_between(tomorrow, last + _DAY), last + _DAY)
    return max(at + _MINUTE, _begins(day, place))


def _begins(day: date, place: ZoneInfo) -> datetime:
    """Return the first instant of a day, or one shortly before it if the clocks skip midnight."""
    midnight = datetime.combine(day, time(0), tzinfo=place)
    return min(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def wake_is_certain(cron: Cron, due: datetime) -> bool:
    """Say whether a schedule set for two minutes before an occurrence, on the wall, is sure to wake two minutes before it.

    Not if a clock change skips or repeats that time, or lies between the two. A cron that runs in every hour is scheduled in UTC.
    """
    if cron.fields.every_hour:
        return True
    place = zones.zone(cron.timezone)
    wall = due.astimezone(place).replace(tzinfo=None) - 2 * _MINUTE
    if not zones.exists(wall, place) or zones.occurs_twice(wall, place):
        return False
    return zones.to_utc(wall, place) == due - 2 * _MINUTE


def parse(expression: str, timezone: str = "UTC") -> Cron:
    """Read a cron as a user writes it. Raises InvalidInput, naming trigger.cron or trigger.timezone."""
    check_zone(timezone)
    text = expression.strip(" \t")
    if len(text) > _LONGEST:
        raise _refused(f"has more than {_LONGEST} characters")
    fields = _read(text)
    if not _can_fire(fields):
        raise _refused("never fires: none of these months has such a day")
    cron = Cron(text, timezone)
    # A Sunday of the last week of March at 02:30 exists everywhere but where the clocks change then, year after year.
    if cron.next_after(_RULES_FROM) is None:
        raise _refused(f"never fires: the clocks of {timezone} skip this time on every such day")
    return cron


def check_zone(name: str) -> None:
    """Refuse what is not a zone's name. Raises InvalidInput, naming trigger.timezone."""
    if name in zones.names():
        return
    meant = zones.suggestion(name) if len(name) <= 64 else None
    hint = f"did you mean {meant}?" if meant else "give an IANA name, such as Europe/Berlin"
    raise InvalidInput.of("trigger.timezone", f"is not a known time zone; {hint}")


def _refused(sentence: str) -> InvalidInput:
    return InvalidInput.of("trigger.cron", sentence)


@lru_cache(maxsize=4096)
def _read(expression: str) -> Fields:
    text = expression.lower()
    if text.startswith("@"):
        if text not in _NICKNAMES:
            raise _refused(f"such a nickname is not known; write one of {', '.join(_NICKNAMES)}, or five fields")
        text = _NICKNAMES[text]
    parts = re.split(r"[ \t]+", text) if text else []
    if len(parts) != 5:
        hint = "; seconds and years are not possible" if len(parts) in (6, 7) else ""
        if text.startswith(("tz=", "cron_tz=")):
            hint = "; give a time zone as trigger.timezone"
        raise _refused(f"must have five fields (minute, hour, day of month, month, day of week), not {len(parts)}{hint}")
    minutes, hours, days, months, weekdays = (_values(part, kind) for part, kind in zip(parts, _KINDS, strict=True))
    both_days = parts[2].startswith("*") or parts[4].startswith("*")
    sundays = frozenset(day % 7 for day in weekdays)
    return Fields(tuple(sorted(minutes)), tuple(sorted(hours)), frozenset(days), frozenset(months), sundays, both_days)


def _values(text: str, kind: _Kind) -> set[int]:
    values: set[int] = set()
    for item in text.split(","):
        values |= _item_values(item, kind)
    return values


def _item_values(item: str, kind: _Kind) -> set[int]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise _refused(f"{kind.name}: {_why_not(item, kind)}")
    first, last, step = match["first"], match["last"], match["step"]
    most = kind.most
    if match["star"]:
        # A star's days of the week end on Saturday: 7 is Sunday's other name.
        low, high = kind.least, 6 if kind.name == "day of week" else most
    else:
        low = _number(first, kind)
        high = _number(last, kind) if last is not None else (most if step else low)
        if last is not None and kind.names and last == "sun" and low > 0:
            high = 7
    width = int(step) if step else 1
    if width == 0:
        raise _refused(f"{kind.name}: a step must be at least 1")
    if width > kind.count:
        raise _refused(f"{kind.name}: a step of {_shown(step)} is more than the {kind.count} there are; {_step_hint(kind, width)}")
    if high < low:
        raise _refused(f"{kind.name}: the range {first}-{last} runs backward; write {_in_two(match, low, high, kind)}")
    return set(range(low, high + 1, width))


def _step_hint(kind: _Kind, width: int) -> str:
    if kind.name != "minute":
        return f"write the {kind.name} by itself"
    if width == 90:
        return "for every hour and a half register two jobs, such as 0 */3 * * * and 30 1-23/3 * * *"
    hours = width // 60
    if width % 60 == 0 and hours < 24 and 24 % hours == 0:
        return f"for every {hours} hours write 0 */{hours} * * *"
    return "write the minute by itself, and a step in the hours"


def _in_two(match: re.Match[str], low: int, high: int, kind: _Kind) -> str:
    """Write what a range that runs backward means: up to the last value there is, and on from the first."""
    first, last, step = match["first"], match["last"], match["step"]
    if not step:
        return f"{first}-{kind.most},{kind.least}-{last}"
    top = kind.least + kind.count - 1
    # Sunday's other name, 7, is past the end of the week.
    on_from = low + max(0, -((low - top - 1) // int(step))) * int(step) - kind.count
    parts = [f"{first}-{top}/{step}"] * (low <= top) + [f"{on_from}-{last}/{step}"] * (on_from <= high)
    return ",".join(parts)


def _number(text: str, kind: _Kind) -> int:
    if not text.isdigit():
        if text not in kind.names:
            raise _refused(f"{kind.name}: {_why_not(text, kind)}")
        return kind.names[text]
    number = int(text)
    if not kind.least <= number <= kind.most:
        raise _refused(f"{kind.name}: {_shown(text)} is not from {kind.least} to {kind.most}")
    return number


def _shown(digits: str) -> str:
    return digits if len(digits) <= 6 else f"{digits[:6]}…"


def _why_not(item: str, kind: _Kind) -> str:
    for form, sentence in _FOREIGN:
        if form.fullmatch(item):
            return sentence
    if item[:3] in kind.names and item.isalpha():
        return f"names have three letters; write {item[:3].upper()}"
    if not item:
        return "a value is missing beside a comma"
    shown = f"'{item}'" if item.isascii() and item.isprintable() and len(item) <= 20 else "this"
    names = f", or names such as {next(iter(kind.names)).upper()}" if kind.names else ""
    return f"{shown} is not possible; write numbers from {kind.least} to {kind.most}{names}, as 1,2 or 1-5 or */2"


def _can_fire(fields: Fields) -> bool:
    if not fields.both_days and fields.weekdays:
        return True
    return any(day <= _LONGEST_MONTH[month] for month in fields.months for day in fields.days)
