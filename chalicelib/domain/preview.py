"""Preview a trigger: its next times, and notes on what bounds and changes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from chalicelib.domain import time_zones
from chalicelib.domain.cron import Cron
from chalicelib.domain.exclusion import next_open
from chalicelib.domain.exclusion_words import excluded_in_words
from chalicelib.domain.instant import format_instant
from chalicelib.domain.interval import Interval
from chalicelib.domain.spread import placed
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.domain.trigger_words import length_in_words

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """The next times, in UTC, and notes on what bounds and changes them."""

    times: tuple[datetime, ...]
    notes: tuple[str, ...]


def preview(
    trigger: Trigger,
    after: datetime,
    count: int,
    job_id: str | None = None,
    until: datetime | None = None,
) -> Preview:
    """Return up to `count` occurrences strictly after an instant until `until`, with notes.

    `max_runs` are counted from there. The notes say when the trigger begins and ends, if it is an
    interval or has limits; which days calendars exclude; whether there is no time, or more than
    `count` until `until`; by how much a spread moves the times, which are not moved without
    `job_id`; and for each day on which a clock change skips or repeats some of the times what it
    does.
    """
    if isinstance(trigger, Cron) and job_id is not None:
        trigger = placed(trigger, job_id)
    times: list[datetime] = []
    ends_at, most = trigger.limits.ends_at, min(count, trigger.limits.max_runs or count)
    following = next_open(trigger, after, until)
    while following is not None and len(times) < most:
        times.append(following)
        following = next_open(trigger, following, until)
    has_run_out = len(times) == trigger.limits.max_runs
    has_ended = until is None or (ends_at is not None and ends_at <= until)
    is_all = has_run_out or (following is None and has_ended)
    last = times[-1] if times else None
    if until is not None and following is None and not has_run_out:
        # The range is shown to its end: explain all of it.
        last = until
    notes = list(_limits_in_words(trigger, is_all=is_all and bool(times)))
    notes += excluded_in_words(trigger, after, last)
    if until is not None and following is not None and not has_run_out:
        notes.append(f"More times follow until {format_instant(until)}: ask for them after these")
    if not times and (last is not None or trigger.next_after(after) is None):
        end = f" until {format_instant(until)}" if until else ""
        notes.append(f"There is no time from {format_instant(after + _SECOND)}{end}")
    if isinstance(trigger, Cron) and last is not None:
        begin = max(after, trigger.starts_at) if trigger.starts_at else after
        notes += _spread_in_words(trigger, is_known=job_id is not None) if times else ()
        notes += islice(_clock_changes(trigger, begin, last), _MOST_NOTES)
    return Preview(tuple(times), tuple(notes))


def _spread_in_words(cron: Cron, *, is_known: bool) -> Iterator[str]:
    if cron.spread and is_known:
        yield f"Each time is moved by {cron.offset} of {cron.spread} seconds, this job's own offset"
    elif cron.spread:
        yield (
            f"Each time is moved by 0 to {cron.spread - 1} seconds, as the job's id decides, which "
            "is not known yet: these times are not moved; give the id of a job to see its own"
        )


def _clock_changes(cron: Cron, after: datetime, last: datetime) -> Iterator[str]:
    """Yield notes on the times of the expression, before they are moved."""
    place, offset = time_zones.zone(cron.timezone), timedelta(seconds=cron.offset)
    after, last = after - offset, last - offset
    first_day, last_day = after.astimezone(place).date(), last.astimezone(place).date()
    until_last = takewhile(lambda day: day <= last_day, cron.days_from(first_day))
    for day in until_last:
        if _is_day_of_change(place, day):
            yield from _notes(cron, place, day, after, last)


def _limits_in_words(trigger: Trigger, *, is_all: bool) -> Iterator[str]:
    if isinstance(trigger, OneTime):
        return
    ends_at, most = trigger.limits.ends_at, trigger.limits.max_runs
    parts = [f"from {format_instant(trigger.starts_at)}"] if trigger.starts_at else []
    parts += [f"until {format_instant(ends_at)}"] if ends_at else []
    words = " ".join(parts)
    if isinstance(trigger, Interval):
        words = f"every {length_in_words(trigger.every)} {words}"
    if most:
        words += f"{', ' if words else ''}{'once' if most == 1 else f'{most} times'} at most"
    if words:
        yield words[0].upper() + words[1:]
    if is_all and (ends_at or most):
        yield "The last of these times is the trigger's last"


def _is_day_of_change(place: ZoneInfo, day: date) -> bool:
    return (
        datetime.combine(day, time(0), place).utcoffset()
        != datetime.combine(day + _DAY, time(0), place).utcoffset()
    )


def _notes(
    cron: Cron, place: ZoneInfo, day: date, after: datetime, last: datetime
) -> Iterator[str]:
    fields = cron.fields
    walls = [
        datetime.combine(day, time(hour, minute))
        for hour in fields.hours
        for minute in fields.minutes
    ]
    skipped = [wall for wall in walls if not time_zones.exists(wall, place)]
    repeated = [wall for wall in walls if time_zones.occurs_twice(wall, place)]
    on = f"On {day.day} {day:%B %Y}"
    # Explain only clock changes between `after` and the last time shown.
    if skipped and after < time_zones.end_of_gap(skipped[0], place) <= last:
        yield f"{on} {_skipped_in_words(skipped, cron, place, is_all=len(skipped) == len(walls))}"
    if any(
        time_zones.to_utc(wall, place) <= last and after < time_zones.second_passing(wall, place)
        for wall in repeated
    ):
        yield f"{on} {_repeated_in_words(repeated, cron)}"


def _skipped_in_words(skipped: list[datetime], cron: Cron, place: ZoneInfo, *, is_all: bool) -> str:
    subject = _in_words(skipped, "does not exist", "do not exist")
    consequence = "no run then" if len(skipped) == 1 else "no runs then"
    if is_all:
        consequence = "no run that day"
    if cron.makes_up:
        at = time_zones.first_after_gap(skipped[0], place)
        other_day = "" if at.date() == skipped[0].date() else f" on {at.day} {at:%B}"
        consequence = f"one run at {at:%H:%M}{other_day} instead"
    return f"{subject} in {cron.timezone}: {consequence}"


def _repeated_in_words(repeated: list[datetime], cron: Cron) -> str:
    subject = _in_words(repeated, "occurs twice", "occur twice")
    one = "it runs" if len(repeated) == 1 else "they run"
    times = "both times" if cron.occurs_twice else "once, the first time"
    return f"{subject} in {cron.timezone}: {one} {times}"


def _in_words(walls: list[datetime], singular: str, plural: str) -> str:
    if len(walls) == 1:
        return f"the time {walls[0]:%H:%M} {singular}"
    return f"the times from {walls[0]:%H:%M} to {walls[-1]:%H:%M} {plural}"
