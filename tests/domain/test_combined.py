"""Crons and intervals with everything at once, against a walk over minutes, days and bounds."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from chalicelib.domain.calendars import Calendar
from chalicelib.domain.cron import Cron
from chalicelib.domain.exclusion import bound
from chalicelib.domain.interval import Interval
from chalicelib.domain.limits import Limits
from chalicelib.domain.preview import preview
from tests.domain.cron_oracle import ZONES, changes, occurrences, place
from tests.domain.test_cron import random_dst, random_parse
from tests.soak import IS_SOAK

JOB = "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
PLACES = (
    *ZONES,
    *("Atlantic/Azores", "Pacific/Apia", "America/Havana", "America/Nuuk", "Asia/Beirut"),
    *("America/Asuncion", "America/St_Johns", "Pacific/Norfolk", "Asia/Kabul", "Pacific/Easter"),
    *("Europe/London", "Europe/Lisbon", "Asia/Gaza", "Asia/Tokyo", "Pacific/Kiritimati"),
    *("Pacific/Marquesas", "Etc/GMT+12"),
)


def offset(spread: int) -> timedelta:
    """Return the offset of JOB, from the digest of its id."""
    return int(hashlib.sha256(JOB.encode()).hexdigest()[:16], 16) * spread // 2**64 * SECOND


def random_calendar(dice: random.Random, around: date, name: str) -> Calendar:
    days = tuple(
        (day, day + dice.choice((0, 0, 1)) * DAY)
        for day in (around + dice.randrange(-4, 5) * DAY for _ in range(dice.randrange(4)))
    )
    weekdays = frozenset(day for day in range(7) if dice.random() < 0.1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Calendar("tenant", name, dice.choice(PLACES), days, weekdays, now, now)


def is_open(calendars: list[Calendar], at: datetime) -> bool:
    for one in calendars:
        day = at.astimezone(place(one.timezone)).date()
        if day.weekday() in one.weekdays or any(first <= day <= last for first, last in one.days):
            return False
    return True


def free_times(trigger: Cron | Interval, first: datetime, last: datetime) -> list[datetime]:
    """Return the occurrences from `first` to `last` of a trigger without bounds and calendars."""
    if isinstance(trigger, Cron):
        moved = offset(trigger.spread)
        begin = (first - moved).replace(second=0) - HOUR
        dst = trigger.dst
        found = occurrences(trigger.expression, trigger.timezone, begin, last, dst.gap, dst.fold)
        times = [at + moved for at in found]
    else:
        times = [trigger.starts_at]
        while times[-1] < last:
            times.append(times[-1] + trigger.every)
    return [at for at in times if first <= at <= last]


def random_trigger(dice: random.Random, zone: str, change: datetime) -> Cron | Interval:
    if dice.random() < 0.2:
        start = change + dice.randrange(-3 * 86_400, 3_600) * SECOND
        return Interval(
            dice.choice((10, 61, 3_600, 86_400)) * dice.choice((60, 1_801)) * SECOND, start
        )
    cron = replace(random_parse(dice, zone), dst=random_dst(dice))
    return replace(cron, spread=dice.choice((0, 0, 1, 59, 600, 3_600)))


def test_a_preview_of_everything_at_once_shows_what_a_walk_finds() -> None:
    dice, ends, shown, excluded = random.Random(1), random.Random(2), 0, 0
    zones = PLACES if IS_SOAK else ZONES[:5]
    for number in range(100_000 if IS_SOAK else 24):
        zone = zones[number % len(zones)]
        change = dice.choice(changes(zone))
        first, last = change - 24 * HOUR, change + 24 * HOUR
        trigger = random_trigger(dice, zone, change)
        times = [at for at in free_times(trigger, first, last) if at > first]
        starts_at = dice.choice((None, *times[:20]))
        ends_at = dice.choice((None, *times[-20:]))
        calendars = [
            random_calendar(dice, change.date(), name) for name in "ab"[: dice.randrange(3)]
        ]
        limits = Limits(ends_at, dice.choice((None, None, 2)), tuple(one.name for one in calendars))
        if isinstance(trigger, Cron):
            trigger = replace(trigger, starts_at=starts_at)
            times = [at for at in times if not starts_at or at >= starts_at]
        bounded = bound(replace(trigger, limits=limits), calendars)
        times = [at for at in times if not ends_at or at <= ends_at]
        left = [at for at in times if is_open(calendars, at)]
        until = ends.choice((None, first + ends.randrange(48 * 3_600) * SECOND))
        found = preview(bounded, first, 40, JOB, until)
        expected = [at for at in left if not until or at <= until][: min(40, limits.max_runs or 40)]
        assert [at for at in found.times if at <= last] == expected, (bounded, calendars)
        shown, excluded = shown + len(expected), excluded + len(times) - len(left)
    assert shown > 100
    assert excluded > 20
