"""Intervals occur where a walk from their start finds them, and rows of missed ones are counted."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain import job_transitions, run_transitions
from chalicelib.domain.ids import RunKey
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.pauses import NOTHING_ASKED
from chalicelib.domain.request import Request
from chalicelib.domain.run import RunEnd
from chalicelib.domain.state import NEAR, SETTLING, State, Transition
from chalicelib.domain.trigger import WAKE_AHEAD, describe, restore
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
DUE = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, YEAR = timedelta(seconds=1), timedelta(days=365)
TOKEN = "01JD9V8M0Q4Q6T5W0H9C1Y3B7K"


def definition(trigger: Interval, **fields: Any) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, request, **fields)


def walked(trigger: Interval, after: datetime) -> datetime:
    """Return the first occurrence after an instant, found step by step."""
    at = trigger.starts_at
    while at <= after:
        at += trigger.every
    return at


def test_an_interval_occurs_where_a_walk_finds_it() -> None:
    dice = random.Random(1)
    for _ in range(20_000 if IS_SOAK else 400):
        every = timedelta(seconds=dice.choice((10, 11, 90, 900, 86_400, dice.randint(10, 10_000))))
        trigger = Interval(every, DUE + timedelta(seconds=dice.randint(-5_000, 5_000)))
        after = DUE + timedelta(
            seconds=dice.randint(-9_000, 9_000), microseconds=dice.choice((0, 1))
        )
        assert trigger.next_after(after) == walked(trigger, after)
        assert trigger.next_after(trigger.starts_at + 7 * every) == trigger.starts_at + 8 * every
        assert restore(describe(trigger)) == trigger


def test_an_interval_ends_with_the_year_9998() -> None:
    trigger = Interval(timedelta(days=365), datetime(2026, 1, 1, tzinfo=UTC))
    assert trigger.next_after(datetime(9998, 12, 31, tzinfo=UTC)) is None
    assert trigger.next_after(datetime.max.replace(tzinfo=UTC)) is None


def missed_by_walking(
    trigger: Interval, due_at: datetime, grace: timedelta | None, now: datetime
) -> list[datetime]:
    """Return the row of occurrences that are too late, each judged by itself."""
    row = []
    while due_at <= now:
        is_late = due_at + trigger.every <= now if grace is None else now - due_at > grace
        if not is_late:
            break
        row.append(due_at)
        due_at += trigger.every
    return row


def test_missed_occurrences_are_those_that_a_walk_finds_too_late() -> None:
    dice, rows = random.Random(2), 0
    for _ in range(20_000 if IS_SOAK else 400):
        every = timedelta(seconds=dice.choice((10, 60, dice.randint(10, 400))))
        grace = dice.choice((None, None, every, timedelta(seconds=dice.randint(1, 900))))
        job = definition(Interval(every, DUE), misfire_grace=grace)
        state = job_transitions.create(job, None, DUE - SECOND).state
        late = timedelta(seconds=dice.randint(0, 2_000), microseconds=dice.choice((0, 1)))
        step = run_transitions.claim(job, state, RunKey(DUE, 1), "me", DUE + late)
        assert isinstance(step, Transition)
        expected = missed_by_walking(Interval(every, DUE), DUE, grace, DUE + late)
        rows += bool(expected)
        found = [(end.missed_count, end.last_due_at) for end in step.ended]
        assert found == ([(len(expected), expected[-1])] if expected else [])
        last = expected[-1] if expected else DUE
        assert step.state.next_due_at == last + every
        assert (step.again is not None) == (bool(expected) and last + every <= DUE + late)
    assert rows > 100


def test_a_year_of_ten_seconds_is_counted_at_once() -> None:
    job = definition(Interval(10 * SECOND, DUE))
    state = job_transitions.create(job, None, DUE - SECOND).state
    step = run_transitions.claim(job, state, RunKey(DUE, 1), "me", DUE + YEAR)
    assert isinstance(step, Transition)
    (end,) = step.ended
    assert isinstance(end, RunEnd)
    assert (end.missed_count, end.last_due_at) == (3_153_600, DUE + YEAR - 10 * SECOND)
    assert step.state.next_due_at == DUE + YEAR


@pytest.mark.parametrize("seconds", [10, 899, 900, 901, 86_400])
def test_an_interval_takes_no_schedule(seconds: int) -> None:
    """Its next occurrence has a message if SQS can hold one so long, else the sweeper arms it."""
    every = timedelta(seconds=seconds)
    trigger = Interval(every, DUE + every)
    step = job_transitions.create(definition(trigger), TOKEN, DUE)
    assert (step.state.token, step.state.next_due_at) == (None, DUE + every)
    assert bool(step.arm) == step.state.covered == (every <= NEAR)
    job = definition(trigger)
    paused = job_transitions.pause(job, step.state, NOTHING_ASKED, None, DUE)
    assert paused
    later = DUE + SETTLING
    resumed = job_transitions.resume(job, paused.state, TOKEN, later)
    assert resumed
    assert (resumed.state.token, resumed.state.next_due_at) == (None, walked(trigger, later))
    fired = claimed(trigger, step.state)
    assert (fired.state.next_due_at, bool(fired.arm)) == (DUE + 2 * every, every <= NEAR)
    assert fired.state.covered == (every <= NEAR)
    assert fired.state.watch_at is not None
    assert fired.state.watch_at <= DUE + 2 * every + (30 * SECOND if every <= NEAR else -WAKE_AHEAD)


def claimed(trigger: Interval, state: State) -> Transition:
    assert state.next_due_at is not None
    key = RunKey(state.next_due_at, 1)
    step = run_transitions.claim(definition(trigger), state, key, "me", state.next_due_at)
    assert isinstance(step, Transition)
    assert step.send is not None
    return step
