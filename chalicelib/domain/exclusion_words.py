"""Say in words which occurrences of a previewed trigger calendars exclude."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from chalicelib.domain.calendars import YEARS_AHEAD, Closed
from chalicelib.domain.trigger import Trigger

_SECOND = timedelta(seconds=1)
# How many days of a calendar are named, and how many are counted.
_NAMED, _COUNTED = 5, 400


def excluded_in_words(trigger: Trigger, after: datetime, last: datetime | None) -> Iterator[str]:
    """Yield a note for each calendar that excludes occurrences until `last`.

    It is None if the calendars leave none, or the trigger has none.
    """
    closed = trigger.limits.closed
    if closed is None:
        return
    if last is None and trigger.next_after(after) is not None:
        yield f"The calendars leave none of its times within {YEARS_AHEAD} years"
    if last is None:
        return
    days: dict[str, list[date]] = {name: [] for name in trigger.limits.exclude}
    for name, day in _excluded(trigger, closed, after, last):
        if day not in days[name]:
            days[name].append(day)
    for name, found in days.items():
        if found:
            yield f"{name} excludes {_in_words(found)}: nothing is sent for these times"


def _excluded(
    trigger: Trigger, closed: Closed, after: datetime, last: datetime
) -> Iterator[tuple[str, date]]:
    """Yield excluded days on which the trigger occurs, each with its calendar."""
    at, count = trigger.next_after(after), 0
    while at is not None and at <= last and count < _COUNTED:
        name = closed.by(at)
        if name is None:
            # Go on to the next excluded one: the times shown are all that are left.
            at = trigger.next_after(at)
            continue
        yield name, closed.day_of(at)
        count += 1
        at = trigger.next_after(closed.end_of_day(at) - _SECOND)


def _in_words(days: Sequence[date]) -> str:
    named = [f"{day.day} {day:%B %Y}" for day in days[:_NAMED]]
    if len(days) > _NAMED:
        more = len(days) - _NAMED
        named.append(f"{more}{' or more' if len(days) >= _COUNTED else ''} other days")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
