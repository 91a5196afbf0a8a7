"""The rule of `exclude`: which occurrences of a trigger are passed over, and what is due instead.

The state waits for every occurrence of the trigger, also for those on days that calendars exclude:
each is decided when it comes due, by the calendars as they are then. So a change of a calendar
takes effect at once, and no job is touched. What the API shows is computed when the state begins to
wait, by the calendars of that time (`State.passed_over`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.calendars import YEARS_AHEAD, Calendar, closed_by, horizon
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.instant import format_instant
from chalicelib.domain.interval import Interval
from chalicelib.domain.state_parts import PassedOver
from chalicelib.domain.trigger import Trigger

_SECOND = timedelta(seconds=1)


def bound(trigger: Trigger, calendars: Iterable[Calendar]) -> Trigger:
    """Return a trigger that knows the calendars that it names."""
    if not isinstance(trigger, Cron | Interval):
        return trigger
    closed = closed_by(trigger.limits.exclude, calendars)
    return replace(trigger, limits=replace(trigger.limits, closed=closed))


def excluded_by(trigger: Trigger, at: datetime) -> str | None:
    """Return the name of the calendar that excludes an occurrence; None if none does."""
    closed = trigger.limits.closed
    return closed.by(at) if closed is not None else None


def next_open(trigger: Trigger, after: datetime, until: datetime | None = None) -> datetime | None:
    """Return the first occurrence strictly after an instant that no calendar excludes.

    Returns None if there is none until `until`, which is by default ten years after the first that
    a calendar excludes.
    """
    at, closed = trigger.next_after(after), trigger.limits.closed
    if at is None or (until is not None and at > until):
        return None
    if closed is None:
        return at
    until = until or horizon(at)
    while at is not None and closed.by(at) is not None:
        opens_at = closed.opens_at(at, until)
        at = trigger.next_after(opens_at - _SECOND) if opens_at is not None else None
    return at if at is not None and at <= until else None


def check_is_open(trigger: Trigger, now: datetime) -> None:
    """Check that calendars leave a trigger that starts now an occurrence. Raises InvalidInput."""
    if trigger.limits.closed is None or next_open(trigger, now) is not None:
        return
    first, ends_at = trigger.next_after(now), trigger.limits.ends_at
    within, others = f"within {YEARS_AHEAD} years", "name others"
    if first and ends_at and ends_at <= horizon(first):
        within, others = (
            f"until ends_at, {format_instant(ends_at)}",
            "give a later one, name others",
        )
    raise InvalidInput.of(
        "trigger.exclude",
        f"these calendars leave no occurrence {within}: {others}, or put fewer days into them",
    )


def passed_over(trigger: Trigger, due_at: datetime | None) -> PassedOver | None:
    """Return how a state waits for an occurrence that calendars exclude; None for another."""
    if due_at is None or excluded_by(trigger, due_at) is None:
        return None
    return PassedOver(next_open(trigger, due_at))
