"""Crons: when they occur, in a time zone. What their fields say is in `cron_fields`.

An instant is an occurrence if the clock on the wall shows a time that the fields name, for the
first time: a time that a spring change skips does not occur, one that an autumn change repeats
occurs at its first passing. A cron that runs in every hour of the day occurs at both passings.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chalicelib.domain import time_zones
from chalicelib.domain.cron_fields import Fields, can_fire, read, refused
from chalicelib.domain.errors import InvalidInput

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
# The rarest cron, a 29 February on a given day of the week, comes again within 40 years.
_HORIZON = timedelta(days=366 * 45)
# No occurrence is sought there: a day later could not be written in every zone.
_END = date(9999, 1, 2)
# From when on today's rules of zones are asked whether a cron fires at all: a fixed date, for an
# answer that never changes.
_RULES_FROM = datetime(2026, 1, 1, tzinfo=UTC)
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone, both as the user wrote them."""

    expression: str
    timezone: str

    @property
    def fields(self) -> Fields:
        """Return what its fields name."""
        return read(self.expression)

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first occurrence strictly after an instant, in UTC; None if none comes in 45
        years, or before the year 9999.
        """
        fields, place = self.fields, time_zones.zone(self.timezone)
        find = _next_instant if fields.every_hour else _next_wall_time
        try:
            at = find(fields, place, after.astimezone(UTC))
        except OverflowError:
            return None
        return at if at is not None and at.year < _END.year else None


def _next_wall_time(fields: Fields, place: ZoneInfo, after: datetime) -> datetime | None:
    start = after.astimezone(place).replace(tzinfo=None)
    for wall in _wall_times(fields, start):
        # Where a change has repeated an hour, wall times after `start` may have had their first
        # passing before it.
        at = time_zones.to_utc(wall, place)
        if at > after and time_zones.exists(wall, place):
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
    """Return an instant later than `at`, which lies on a day on which it does not run, with no
    occurrence between the two.
    """
    wall = at.astimezone(place)
    tomorrow = wall.date() + _DAY
    if _begins(tomorrow, place).astimezone(place).utcoffset() != wall.utcoffset():
        # The clocks change before midnight, and may go back into a day on which it runs.
        minutes = (_begins(tomorrow, place) - at) // _MINUTE
        changed = bisect_left(
            range(minutes),
            True,
            lo=1,
            key=lambda ahead: (
                (at + ahead * _MINUTE).astimezone(place).utcoffset() != wall.utcoffset()
            ),
        )
        return at + changed * _MINUTE
    day = next(fields.days_between(tomorrow, last + _DAY), last + _DAY)
    return max(at + _MINUTE, _begins(day, place))


def _begins(day: date, place: ZoneInfo) -> datetime:
    """Return the first instant of a day, or one shortly before it if the clocks skip midnight."""
    midnight = datetime.combine(day, time(0), tzinfo=place)
    return min(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def wake_is_certain(cron: Cron, due: datetime) -> bool:
    """Say whether a schedule set for two minutes before an occurrence, on the wall, is sure to wake
    two minutes before it.

    Not if a clock change skips or repeats that time, or lies between the two. A cron that runs in
    every hour is scheduled in UTC.
    """
    if cron.fields.every_hour:
        return True
    place = time_zones.zone(cron.timezone)
    wall = due.astimezone(place).replace(tzinfo=None) - 2 * _MINUTE
    if not time_zones.exists(wall, place) or time_zones.occurs_twice(wall, place):
        return False
    return time_zones.to_utc(wall, place) == due - 2 * _MINUTE


def parse(expression: str, timezone: str = "UTC") -> Cron:
    """Read a cron as a user writes it.

    Raises InvalidInput, naming trigger.cron or trigger.timezone.
    """
    check_zone(timezone)
    text = expression.strip(" \t")
    if len(text) > _LONGEST:
        raise refused(f"has more than {_LONGEST} characters")
    fields = read(text)
    if not can_fire(fields):
        raise refused("never fires: none of these months has such a day")
    cron = Cron(text, timezone)
    # A Sunday of the last week of March at 02:30 exists everywhere but where the clocks change
    # then, year after year.
    if cron.next_after(_RULES_FROM) is None:
        raise refused(f"never fires: the clocks of {timezone} skip this time on every such day")
    return cron


def check_zone(name: str) -> None:
    """Refuse what is not a zone's name. Raises InvalidInput, naming trigger.timezone."""
    if name in time_zones.names():
        return
    meant = time_zones.suggestion(name) if len(name) <= 64 else None
    hint = f"did you mean {meant}?" if meant else "give an IANA name, such as Europe/Berlin"
    raise InvalidInput.of("trigger.timezone", f"is not a known time zone; {hint}")
