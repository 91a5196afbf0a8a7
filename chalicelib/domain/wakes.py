"""Rules of the wakes of schedules: which message a wake sends, and what follows from a lost one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.job import Definition
from chalicelib.domain.state import GRACE, DueMessage, State, Status, occurrence_due
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime

# After a lost wake do not rely on wakes for this long: an outage of EventBridge Scheduler then
# makes only one occurrence of a job late.
DOUBT = timedelta(hours=1)


def wake(definition: Definition, state: State, scheduled_at: datetime) -> DueMessage | None:
    """Return the message for a wake of a schedule at `scheduled_at`.

    Returns None if the job is not active or its trigger does not occur within the minute that
    begins two minutes later. Does not compare with `next_run_time`, because the previous
    occurrence may not be claimed yet.
    """
    if state.status is not Status.ACTIVE:
        return None
    trigger = definition.trigger
    if isinstance(trigger, OneTime):
        return occurrence_due(state, trigger.date)
    minute = scheduled_at + WAKE_AHEAD
    due_at = trigger.next_after(minute - timedelta(seconds=1))
    if due_at is None or due_at - minute >= timedelta(minutes=1):
        return None
    return occurrence_due(state, due_at)


def doubt_after_lost_wake(state: State, due_at: datetime, now: datetime) -> State:
    """Return the state with `doubted_until` set if no wake came for the occurrence at `due_at`.

    Call it when the occurrence is decided. Its schedule is then not relied on for the next hour.
    """
    has_no_wake = state.token is not None and state.covered and now - due_at > GRACE
    return replace(state, doubted_until=now + DOUBT) if has_no_wake else state
