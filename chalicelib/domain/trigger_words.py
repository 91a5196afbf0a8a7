"""Put a trigger into a sentence: "every weekday at 09:00 in Berlin, except holidays-de".

A cron that has no short and certain words is named by its expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from chalicelib.domain import time_zones
from chalicelib.domain.cron import Cron
from chalicelib.domain.cron_fields import LAST, Fields
from chalicelib.domain.interval import Interval
from chalicelib.domain.trigger import OneTime, Trigger

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January February March April May June July August September October November December".split()
)
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
# How many times, days or months are listed; of more, the expression is shorter.
_LISTED = 4
_EVERY_DAY, _EVERY_MONTH, _EVERY_WEEKDAY = set(range(1, 32)), set(range(1, 13)), set(range(7))


def in_words(trigger: Trigger) -> str:
    """Return a trigger as a sentence without a full stop."""
    if isinstance(trigger, OneTime):
        return f"once, on {_date(trigger.date)} at {trigger.date:%H:%M:%S} UTC"
    return ", ".join([_recurrence(trigger), *_bounds(trigger)])


_ONE = {"second": "a second", "minute": "a minute", "hour": "an hour"}


def length_in_words(length: timedelta) -> str:
    """Return a length in the largest unit of which it is a whole number: "90 seconds"."""
    seconds = int(length.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return unit if seconds == size else f"{seconds // size} {unit}s"


def _recurrence(trigger: Cron | Interval) -> str:
    if isinstance(trigger, Interval):
        return f"every {length_in_words(trigger.every)}"
    times, days = _times(trigger.fields), _days(trigger.fields)
    city = _city(trigger.timezone)
    if times is None or days is None:
        return f"by the cron {trigger.expression} in {city}"
    is_all_day = days == "every day" and not times.startswith("at")
    return f"{times if is_all_day else f'{days} {times}'} in {city}"


def _city(zone: str) -> str:
    return zone.rpartition("/")[2].replace("_", " ")


def _bounds(trigger: Cron | Interval) -> Iterator[str]:
    limits = trigger.limits
    if isinstance(trigger, Cron) and trigger.makes_up:
        yield "right after the gap if clocks skip the time"
    if isinstance(trigger, Cron) and trigger.occurs_twice and not trigger.fields.every_hour:
        yield "twice if clocks repeat the time"
    if limits.exclude:
        yield f"except {_and(limits.exclude)}"
    if isinstance(trigger, Cron) and trigger.spread:
        length = length_in_words(timedelta(seconds=trigger.spread))
        yield f"spread over {_ONE.get(length, length)}"
    if trigger.starts_at:
        yield f"from {_moment(trigger.starts_at, trigger, '00:00:00')}"
    if limits.ends_at:
        yield f"until {_moment(limits.ends_at, trigger, '23:59:59')}"
    if limits.max_runs:
        yield f"{'once' if limits.max_runs == 1 else f'{limits.max_runs} times'} at most"


def _moment(at: datetime, trigger: Cron | Interval, whole: str) -> str:
    """Return a bound on the trigger's clocks, of an interval in UTC; only its date if the time is
    `whole`.

    A time that those clocks show twice is in UTC.
    """
    is_named = isinstance(trigger, Cron)
    zone = trigger.timezone if isinstance(trigger, Cron) else "UTC"
    place = time_zones.zone(zone)
    local = at.astimezone(place)
    if time_zones.occurs_twice(local.replace(tzinfo=None), place):
        zone, local, is_named = "UTC", at, False
    time = f"{local:%H:%M:%S}"
    shown = _date(local) if time == whole else f"{_date(local)} at {time.removesuffix(':00')}"
    # The sentence of a cron has named its zone; say it again beside a time.
    return shown if is_named and time == whole else f"{shown} in {_city(zone)}"


def _date(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"


def _times(fields: Fields) -> str | None:
    """Return the times of a day in words, None for too many."""
    minutes, hours = fields.minutes, fields.hours
    step = _step(minutes)
    if step and minutes[0] == 0 and len(minutes) * step == 60:
        # They go round the clock evenly: */15, but not */7.
        return _evenly(step, hours)
    if len(hours) == 24 and len(minutes) <= _LISTED:
        past = _and(f":{minute:02}" for minute in minutes)
        return "every hour" if past == ":00" else f"every hour at {past}"
    if len(minutes) == 1 and len(hours) > 2 and (step := _step(hours)):
        words = "every hour" if step == 1 else f"every {step} hours"
        is_round = (hours[0], minutes[0], len(hours) * step) == (0, 0, 24)
        ends = f" from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[0]:02}"
        return words if is_round else words + ends
    if len(hours) * len(minutes) > _LISTED:
        return None
    return f"at {_and(f'{hour:02}:{minute:02}' for hour in hours for minute in minutes)}"


def _evenly(step: int, hours: Sequence[int]) -> str | None:
    words = "every minute" if step == 1 else f"every {step} minutes"
    if len(hours) == 24:
        return words
    if len(hours) > 1 and _step(hours) != 1:
        return None
    return f"{words} from {hours[0]:02}:00 to {hours[-1]:02}:{60 - step:02}"


def _days(fields: Fields) -> str | None:
    """Return the days of a cron in words, None if no short sentence says them."""
    months = "" if fields.months == _EVERY_MONTH else _months(fields.months)
    if months is None:
        return None
    within = f" in {months}" if months else ""
    if _is_every_day(fields):
        return f"every day{within}"
    of_month, of_week = _of_month(fields), _of_week(fields)
    if of_month is None and of_week is None:
        return None
    if of_month is not None:
        return f"on {of_month} of {months or 'each month'}"
    return f"{of_week}{within}" if fields.weekdays else f"{of_week} of {months or 'each month'}"


def _is_every_day(fields: Fields) -> bool:
    days, weekdays = fields.days == _EVERY_DAY, fields.weekdays == _EVERY_WEEKDAY
    return (days and weekdays) if fields.both_days else (days or weekdays)


def _of_month(fields: Fields) -> str | None:
    """Return the days of a month alone in words."""
    if not fields.both_days or fields.weekdays != _EVERY_WEEKDAY:
        return None
    words = [f"day {day}" for day in sorted(fields.days)]
    words += ["the last day"] * (0 in fields.from_last)
    words += [
        "the last weekday" if day == LAST else f"the weekday nearest to day {day}"
        for day in sorted(fields.nearest)
    ]
    return _and(words) if len(words) <= _LISTED and fields.from_last <= {0} else None


def _of_week(fields: Fields) -> str | None:
    """Return the days of the week alone in words."""
    if not fields.both_days or fields.days != _EVERY_DAY or fields.nearest or fields.from_last:
        return None
    if fields.nth:
        named = [f"the {_NTH[nth]} {_DAYS[day]}" for day, nth in sorted(fields.nth)]
        return f"on {_and(named)}" if len(named) <= _LISTED and not fields.weekdays else None
    if fields.weekdays == {1, 2, 3, 4, 5}:
        return "every weekday"
    days = sorted(fields.weekdays, key=lambda day: (day - 1) % 7)
    return f"every {_and(_DAYS[day] for day in days)}"


def _months(months: Iterable[int]) -> str | None:
    ordered = sorted(months)
    if len(ordered) > 2 and _step(ordered) == 1:
        return f"{_MONTHS[ordered[0] - 1]} to {_MONTHS[ordered[-1] - 1]}"
    return _and(_MONTHS[month - 1] for month in ordered) if len(ordered) <= _LISTED else None


def _step(numbers: Sequence[int]) -> int:
    """Return the distance between all neighbours, 0 if it is not one."""
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 else 0


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
