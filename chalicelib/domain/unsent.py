"""Rules of occurrences that are not sent: how they are recorded, and what is due after them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.counting import following
from chalicelib.domain.exclusion import next_open
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Reason, RunEnd, RunStatus
from chalicelib.domain.run_ends import status_at_the_end
from chalicelib.domain.state import State, Transition, await_occurrence, occurrence_due, written

# One transition writes at most this many skipped occurrences: a transaction takes 100 items.
SKIPPED_AT_MOST = 25


def skip(definition: Definition, state: State, due_at: datetime, now: datetime) -> Transition:
    """Record due occurrences from `due_at` on as skipped, as many as a user asked for.

    How late they are does not matter. What calendars exclude is passed over.
    """
    ends: list[RunEnd] = []
    most, last = min(state.skips, SKIPPED_AT_MOST), due_at
    at: datetime | None = due_at
    while at is not None and at <= now and len(ends) < most:
        key = RunKey(at, state.generation)
        ends.append(RunEnd(key, RunStatus.SKIPPED, now, Reason.ASKED))
        last, at = at, next_open(definition.trigger, at)
    rest = replace(state, skips=state.skips - len(ends))
    return end_without_attempt(definition, rest, last, tuple(ends), now)


def pass_over_day(
    definition: Definition, state: State, due_at: datetime, calendar: str, now: datetime
) -> Transition:
    """Decide an occurrence that a calendar excludes, with the excluded ones that have passed since.

    It is recorded only if `next_run_time` has promised it: the calendar was changed since.
    """
    opens_at = next_open(definition.trigger, due_at)
    is_past = opens_at is not None and opens_at <= now
    last = opens_at - timedelta(seconds=1) if opens_at and is_past else max(due_at, now)
    key = RunKey(due_at, state.generation)
    end = RunEnd(key, RunStatus.SKIPPED, now, Reason.CALENDAR, calendar=calendar)
    return end_without_attempt(definition, state, last, () if state.passed_over else (end,), now)


def end_without_attempt(
    definition: Definition, state: State, last: datetime, ends: tuple[RunEnd, ...], now: datetime
) -> Transition:
    """Record missed or skipped runs, and wait for the first occurrence after `last`.

    Without `ends` the occurrences until then are passed over.
    """
    trigger = definition.trigger
    advanced, arm = await_occurrence(state, trigger, following(state, trigger, last), now)
    if advanced.next_due_at is None:
        advanced = replace(advanced, status=status_at_the_end(trigger, state, ends), skips=0)
    again = None
    if advanced.next_due_at is not None and advanced.next_due_at <= now:
        again, arm = occurrence_due(advanced, advanced.next_due_at), ()
    for one in ends:
        advanced = advanced.with_end(one.status)
    return Transition(written(advanced, now), ended=ends, arm=arm, again=again)
