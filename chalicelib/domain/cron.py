"""Compute when a cron expression occurs in a time zone.

`cron_fields` reads the expression, `cron_days` finds its days.

By default, wall-clock times that a spring change skips do not occur, and times that an autumn
change repeats occur once, the first time; `Dst` changes that. A cron that runs in every hour of the
day goes on through both changes, whatever its `Dst`: repeated times occur at both passings, and
skipped times are not made up for, because the next hour follows at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Literal

from chalicelib.domain import time_zones
from chalicelib.domain.cron_days import RULES_FROM, YEARS_AHEAD, can_fire, first_day
from chalicelib.domain.cron_fields import Fields, read, refused
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.limits import UNLIMITED, Limits

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
_HORIZON = timedelta(days=366 * YEARS_AHEAD)
# The search ends here: later days overflow `datetime` in some zones.
_END = date(9999, 1, 2)
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Dst:
    """What a cron does at the times that a clock change skips (`gap`) or repeats (`fold`).

    With `next`, skipped times occur at the first instant after the gap, all of them once.
    """

    gap: Literal["skip", "next"] = "skip"
    fold: Literal["first", "both"] = "first"


USUAL_DST = Dst()


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone, both as the user wrote them.

    Every occurrence is moved by `offset` seconds, which is the job's own and less than `spread`
    (`domain.spread`); 0 as long as the job is not known.
    """

    expression: str
    timezone: str
    dst: Dst = USUAL_DST
    starts_at: datetime | None = None
    limits: Limits = UNLIMITED
    spread: int = 0
    offset: int = 0

    @property
    def fields(self) -> Fields:
        """Return the fields of the expression."""
        return read(self.expression)

    @property
    def makes_up(self) -> bool:
        """Whether skipped times occur at the first instant after the gap."""
        return self.dst.gap == "next" and not self.fields.every_hour

    @property
    def occurs_twice(self) -> bool:
        """Whether repeated times occur at both passings."""
        return self.dst.fold == "both" or self.fields.every_hour

    @property
    def recurs_hourly(self) -> bool:
        """Whether each occurrence is followed by another within an hour.

        Leaves aside what a clock change does, and the limits.
        """
        return self.fields.every_hour and self.fields.every_day

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first occurrence strictly after an instant, in UTC.

        None is before `starts_at`. Returns None if there is none until `ends_at`, within 45 years
        or before the year 9999.
        """
        if self.starts_at is not None:
            after = max(after, self.starts_at - _SECOND)
        offset = timedelta(seconds=self.offset)
        try:
            at = self._next_after(after.astimezone(UTC) - offset)
            at = at and at + offset
        except OverflowError:
            return None
        return self.limits.keep(at) if at is not None and at.year < _END.year else None

    def _next_after(self, after: datetime) -> datetime | None:
        twice, place = self.occurs_twice, time_zones.zone(self.timezone)
        wall = after.astimezone(place).replace(tzinfo=None)
        # If `after` is in the first of two repeated hours, earlier wall-clock times come again.
        start = wall - (time_zones.second_passing(wall, place) - after if twice else timedelta())
        repeated = None
        for wall in self._wall_times(start.replace(second=0, microsecond=0) + _MINUTE):
            first, second = time_zones.to_utc(wall, place), time_zones.second_passing(wall, place)
            if first > second:
                # A spring change skips this time (see `time_zones.second_passing`).
                if not self.makes_up:
                    continue
                first = second = time_zones.end_of_gap(wall, place)
            if twice and second > after:
                repeated = repeated or second
            if first > after:
                return min(first, repeated or first)
        return repeated

    def _wall_times(self, start: datetime) -> Iterator[datetime]:
        """Yield the matching wall-clock times from `start`, a whole minute, in order.

        `cron_days` finds the days. The times of a day come from the fields, because croniter takes
        50 µs for each, too long to count thousands of missed occurrences.
        """
        hours, minutes = self.fields.hours, self.fields.minutes
        last = start.date() + min(_HORIZON, _END - start.date())
        for day in takewhile(lambda day: day < last, self.days_from(start.date())):
            earliest = time(start.hour, start.minute) if day == start.date() else time(0)
            for hour in hours[bisect_left(hours, earliest.hour) :]:
                least = earliest.minute if hour == earliest.hour else 0
                for minute in minutes[bisect_left(minutes, least) :]:
                    yield datetime.combine(day, time(hour, minute))

    def days_from(self, first: date) -> Iterator[date]:
        """Yield the days on which the cron runs, from `first` to the end of the year 9999."""
        day = first_day(self.expression, first)
        while day is not None:
            yield day
            day = first_day(self.expression, day + _DAY)


def wake_is_certain(cron: Cron, due: datetime) -> bool:
    """Return whether the schedule of a cron is sure to wake two minutes before an occurrence.

    The schedule is set on the wall clock: two minutes before the time of the expression, moved by
    the whole minutes of the offset. That is wrong if a clock change skips or repeats that time, or
    lies between the two. A cron that runs in every hour is scheduled in UTC, where clocks do not
    change.
    """
    fields = cron.fields
    if fields.every_hour:
        return True
    place, offset = time_zones.zone(cron.timezone), timedelta(seconds=cron.offset)
    wall = (due - offset).astimezone(place).replace(tzinfo=None)
    if wall.hour not in fields.hours or wall.minute not in fields.minutes:
        # It makes up for a skipped time: no schedule wakes for these.
        return False
    wall += ahead_of(cron)
    if not time_zones.exists(wall, place) or time_zones.occurs_twice(wall, place):
        return False
    return time_zones.to_utc(wall, place) == due - offset + ahead_of(cron)


def ahead_of(cron: Cron) -> timedelta:
    """Return the time from the expression's time to the wake: whole minutes, from -2 to 57."""
    return (cron.offset // 60 - 2) * _MINUTE


def parse(expression: str, timezone: str = "UTC", dst: Dst = USUAL_DST) -> Cron:
    """Read a cron expression as a user writes it.

    Raises InvalidInput, naming trigger.cron or trigger.timezone.
    """
    check_zone(timezone)
    text = expression.strip(" \t")
    if len(text) > _LONGEST:
        raise refused(f"has more than {_LONGEST} characters")
    cron = Cron(text, timezone, dst)
    if cron.next_after(datetime(RULES_FROM, 1, 1, tzinfo=UTC)) is None:
        raise refused(f"never fires: {_why_never(cron)}")
    return cron


def _why_never(cron: Cron) -> str:
    if not can_fire(cron.fields):
        return "none of these months has such a day"
    # Sundays in the last week of March at 02:30, for example, never exist in a zone whose clocks
    # always go forward then.
    return (
        f"the clocks of {cron.timezone} skip this time on every such day; "
        'give trigger.dst {"gap": "next"} to fire after the gap'
    )


def check_zone(name: str) -> None:
    """Check that a time zone exists. Raises InvalidInput, naming trigger.timezone."""
    if name in time_zones.names():
        return
    meant = time_zones.suggestion(name) if len(name) <= 64 else None
    hint = f"did you mean {meant}?" if meant else "give an IANA name, such as Europe/Berlin"
    raise InvalidInput.of("trigger.timezone", f"is not a known time zone; {hint}")
