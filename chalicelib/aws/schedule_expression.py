"""Convert triggers to EventBridge Scheduler expressions that wake 2 minutes before occurrences.

An expression may wake more often than the trigger occurs: the executor then finds nothing due. So
the rules can be simple. Minutes are shifted: two back, and those of the job's offset ahead. Hours,
days and months are widened where the shift crosses into the previous or the next one, and days
where a cron restricts both day of month and day of week.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

from chalicelib.domain import time_zones
from chalicelib.domain.cron import Cron, ahead_of
from chalicelib.domain.cron_fields import LAST, Fields
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger

_LONGEST = 256
_ALL_WEEKDAYS = frozenset(range(7))
# The years whose UTC offsets an expression covers, as tzdata knows them today.
_YEARS = range(2025, 2038)


def to_eventbridge(trigger: Trigger) -> tuple[str, str]:
    """Return ScheduleExpression and ScheduleExpressionTimezone: at most 256 and 50 characters."""
    if isinstance(trigger, OneTime):
        at = (trigger.date - WAKE_AHEAD).astimezone(UTC)
        return f"at({at.replace(tzinfo=None).isoformat()})", "UTC"
    assert isinstance(trigger, Cron)  # noqa: S101  wants_schedule(): an interval has none
    if trigger.fields.every_hour:
        # AWS does not document what a schedule in a zone does in a repeated hour; UTC has none.
        return _every_hour(trigger), "UTC"
    return _some_hours(trigger), time_zones.canonical(trigger.timezone)


def _some_hours(cron: Cron) -> str:
    fields, ahead = cron.fields, _minutes_ahead(cron)
    minutes = {(minute + ahead) % 60 for minute in fields.minutes}
    # How many hours a shift crosses: -1, 0 or 1.
    crossed = {(minute + ahead) // 60 for minute in fields.minutes}
    moved = {hour + hours for hour in fields.hours for hours in crossed}
    return _written(cron, minutes, {hour % 24 for hour in moved}, {hour // 24 for hour in moved})


def _minutes_ahead(cron: Cron) -> int:
    return int(ahead_of(cron).total_seconds() // 60)


def _every_hour(cron: Cron) -> str:
    offsets, ahead = _offsets(cron.timezone), _minutes_ahead(cron)
    minutes = {
        (minute - offset + ahead) % 60 for minute in cron.fields.minutes for offset in offsets
    }
    # A day of the zone lies on up to three days of UTC. In UTC itself, only the shift crosses
    # midnight.
    crossed = {(minute + ahead) // 60 for minute in cron.fields.minutes}
    return _written(cron, minutes, set(range(24)), {-1, 0, 1} if offsets != {0} else crossed | {0})


@cache
def _offsets(timezone: str) -> frozenset[int]:
    """Return the zone's offsets from UTC in `_YEARS`, in minutes."""
    place = time_zones.zone(timezone)
    noons = (
        datetime(year, month, day, 12, tzinfo=place)
        for year in _YEARS
        for month in range(1, 13)
        for day in (1, 15)
    )
    found = (noon.utcoffset() for noon in noons)
    return frozenset(int(offset.total_seconds() // 60) for offset in found if offset is not None)


def _written(cron: Cron, minutes: set[int], hours: set[int], shifts: set[int]) -> str:
    """Return the cron expression; `shifts` are the possible days from an occurrence to its wake."""
    # A shift of any number of days reaches at most the next or the previous month.
    steps = {0, *((shift > 0) - (shift < 0) for shift in shifts)}
    months = {(month - 1 + step) % 12 + 1 for month in cron.fields.months for step in steps}
    days, weekdays = _days(cron, shifts)
    minute, hour, month = _list(minutes, 0, 59), _list(hours, 0, 23), _list(months, 1, 12)
    for wider in (
        (hour, days, month),
        (hour, days, "*"),
        (hour, days if days == "?" else "*", "*"),
        ("*", days if days == "?" else "*", "*"),
    ):
        expression = f"cron({minute} {wider[0]} {wider[1]} {wider[2]} {weekdays} *)"
        if len(expression) <= _LONGEST:
            return expression
    return f"cron(* * {'?' if days == '?' else '*'} * {weekdays} *)"


def _days(cron: Cron, shifts: set[int]) -> tuple[str, str]:
    """Return the fields day of month and day of week.

    EventBridge accepts only one of them: a cron that restricts both becomes every day.
    """
    fields = cron.fields
    if not fields.both_days:
        return "*", "?"
    word = _word(fields) if shifts == {0} else None
    if word:
        return word
    weekdays = fields.weekdays | {weekday for weekday, _ in fields.nth}
    if weekdays != _ALL_WEEKDAYS:
        return "?", _list({(day + shift) % 7 + 1 for day in weekdays for shift in shifts}, 1, 7)
    days = {
        other for day in _possible_days(fields) for shift in shifts for other in _moved(day, shift)
    }
    return _list(days, 1, 31), "?"


def _word(fields: Fields) -> tuple[str, str] | None:
    """Return what `_days` does, if AWS documents a word for just these days; else None.

    It documents `L`, `15W`, `6L` (a Friday) and `2#1` (a Monday), each by itself, and does not say
    how `W` treats the ends of a month.
    """
    if len(fields.nth) == 1 and not fields.weekdays:
        [(weekday, nth)] = fields.nth
        return "?", f"{weekday + 1}L" if nth == LAST else f"{weekday + 1}#{nth}"
    if fields.days or len(fields.nearest) + len(fields.from_last) != 1:
        return None
    if fields.from_last == {0}:
        return "L", "?"
    inner = fields.nearest & set(range(2, 28))
    return (f"{min(inner)}W", "?") if inner else None


def _possible_days(fields: Fields) -> set[int]:
    """Return the days that day of month may match, in months of any length."""
    lengths = (28, 29, 30, 31)
    last = {length - before for before in fields.from_last for length in lengths}
    meant = {day for near in fields.nearest for day in (lengths if near == LAST else (near,))}
    # At the ends of a month the nearest weekday is up to two days away.
    nearest = {day + away for day in meant for away in (-2, -1, 0, 1, 2)}
    return {day for day in fields.days | last | nearest if 1 <= day <= 31}


def _moved(day: int, shift: int) -> Iterable[int]:
    """Return the days of the month that may be `shift` days from a day, in months of any length."""
    if 1 <= day + shift <= 31:
        # The day after the 28th may be the 1st.
        return (day + shift, 1) if shift > 0 and day >= 28 else (day + shift,)
    return (28, 29, 30, 31) if shift < 0 else (1,)


def _list(values: Iterable[int], least: int, most: int) -> str:
    """Return a field for these numbers, shortened with ranges and steps."""
    ordered = sorted(values)
    if len(ordered) == most - least + 1:
        return "*"
    step = ordered[1] - ordered[0] if len(ordered) > 2 else 0
    if step > 1 and ordered == list(range(ordered[0], ordered[-1] + 1, step)):
        return f"{ordered[0]}-{ordered[-1]}/{step}"
    rows: list[list[int]] = []
    for value in ordered:
        if rows and value == rows[-1][-1] + 1:
            rows[-1].append(value)
        else:
            rows.append([value])
    return ",".join(f"{row[0]}-{row[-1]}" if len(row) > 2 else _commas(row) for row in rows)


def _commas(values: Iterable[int]) -> str:
    return ",".join(map(str, values))
