"""Rules of occurrences that are too late to be sent: which are, and how many in a row."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.domain.counting import left
from chalicelib.domain.exclusion import next_open
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.state import State
from chalicelib.domain.trigger import OneTime, Trigger

# One transition counts at most this many missed occurrences of a cron; the next one continues.
MISSED_AT_MOST = 10_000


def missed(
    definition: Definition, state: State, due_at: datetime, now: datetime
) -> tuple[int, datetime]:
    """Return how many successive occurrences from `due_at` on are too late to be sent, and the
    last of them. Those that calendars exclude are passed over.
    """
    trigger, grace = definition.trigger, definition.misfire_grace
    most = left(state, trigger)
    if isinstance(trigger, Interval) and trigger.limits.closed is None:
        # Counted at once: a year of an interval of 10 s has three million.
        until = now if grace is None else now - grace - timedelta.resolution
        late = trigger.count(due_at, until)
        late = late if most is None else min(late, most)
        # Without a grace the latest is sent.
        late -= grace is None and late > 0
        return late, due_at + (late - 1) * trigger.every
    count, last, occurrence = 0, due_at, due_at
    after = next_open(trigger, occurrence) if most != 1 else None
    while is_misfire(trigger, grace, occurrence, after, now) and count < MISSED_AT_MOST:
        count, last = count + 1, occurrence
        if after is None or after > now:
            break
        occurrence, after = after, next_open(trigger, after) if most != count + 1 else None
    return count, last


def is_misfire(
    trigger: Trigger,
    grace: timedelta | None,
    due_at: datetime,
    following: datetime | None,
    now: datetime,
) -> bool:
    """Return whether an occurrence is too late to be sent.

    Without a grace a one-time job is never too late; an occurrence of another is too late when the
    `following` one is due.
    """
    if grace is not None:
        return now - due_at > grace
    return not isinstance(trigger, OneTime) and following is not None and following <= now
