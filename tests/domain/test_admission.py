"""What a job's flow makes of a claim."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.admission import Place, claimed_from, held, missed, waited
from chalicelib.domain.cron import parse
from chalicelib.domain.flows import Wait
from chalicelib.domain.holding import latest_start
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.job_transitions import create
from chalicelib.domain.limits import Limits
from chalicelib.domain.request import Request
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_transitions import claim
from chalicelib.domain.state import State, Status, Transition
from chalicelib.domain.trigger import OneTime, Trigger

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
DUE = NOW + timedelta(seconds=60)
MINUTE = timedelta(minutes=1)
ONCE, EVERY, CRON = OneTime(DUE), Interval(MINUTE, DUE), parse("* * * * *")


def claimed(trigger: Trigger) -> tuple[Definition, State, Transition]:
    """Return a job, its state and the claim of its first occurrence."""
    request = Request("https://example.com/", "POST", {})
    job = Definition("job_x", "tenant", 1, "job", NOW, trigger, request)
    state = create(job, new_token(NOW - MINUTE), NOW).state
    step = claim(job, state, RunKey(DUE, 1), "owner", DUE)
    assert isinstance(step, Transition)
    return job, state, step


def place(seconds: float) -> Place:
    wait = timedelta(seconds=seconds)
    return Place("host:example.com", RunKey(DUE, 1), DUE + wait, wait)


@pytest.mark.parametrize(
    ("wait", "later"), [(0, 0), (1, 0), (2, 0.4), (2.5, 0.5), (10, 2), (11, 2), (9000, 2)]
)
def test_a_run_that_will_be_held_is_claimed_after_those_with_nearer_places(
    wait: float, later: float
) -> None:
    assert claimed_from(DUE, place(wait)) == DUE + timedelta(seconds=later)
    assert claimed_from(DUE, None) == DUE


@pytest.mark.parametrize("trigger", [ONCE, EVERY, CRON])
@pytest.mark.parametrize("seconds", [5, 30 * 60])
def test_a_held_run_spends_no_attempt_and_the_trigger_goes_on(
    trigger: Trigger, seconds: float
) -> None:
    _, state, step = claimed(trigger)
    made = held(step, place(seconds), DUE)
    (run,) = made.state.runs
    assert (run.attempt, run.owner, run.lease_until, run.started_at) == (0, None, None, None)
    assert (run.waits_for, run.next_attempt_at) == (Wait.RATE, DUE + timedelta(seconds=seconds))
    assert run.waited == timedelta(seconds=seconds)
    # A message can wait for 15 minutes; the sweeper arms what waits longer.
    assert run.covered == (seconds < 900) == (len(made.arm) == len(step.arm) + 1)
    assert (made.send, made.state.revision) == (None, state.revision + 1)
    assert replace(made.state, runs=(), watch_at=None) == replace(
        step.state, runs=(), watch_at=None
    )
    assert made.state.watch_at is not None
    assert made.state.watch_at <= run.watch_at


def test_a_retry_that_is_held_keeps_its_attempts_and_its_wait_does_not_count() -> None:
    job, _, step = claimed(ONCE)
    assert step.send is not None
    failed = replace(step.send, owner=None, lease_until=None, next_attempt_at=DUE + MINUTE)
    again = claim(job, step.state.with_run(failed), RunKey(DUE, 1), "other", DUE + MINUTE)
    assert isinstance(again, Transition)
    (run,) = held(again, place(90), DUE + MINUTE).state.runs
    assert (run.attempt, run.started_at, run.waited) == (1, DUE, timedelta(0))


def test_a_short_wait_is_counted_in_the_claim() -> None:
    *_, step = claimed(ONCE)
    assert waited(step, place(0)) == step
    made = waited(step, place(0.5))
    assert made.send is not None
    assert made.send.waited == timedelta(seconds=0.5)
    assert made.state.runs == (made.send,)


@pytest.mark.parametrize("trigger", [EVERY, CRON])
def test_an_occurrence_that_is_missed_leaves_the_next_one_due(trigger: Trigger) -> None:
    job, state, step = claimed(trigger)
    made = missed(job, state, step, DUE)
    (end,) = made.ended
    assert (end.status, end.missed_count, end.last_due_at) == (RunStatus.MISSED, 1, DUE)
    assert (made.state.runs, made.state.next_due_at, made.arm) == ((), DUE + MINUTE, step.arm)
    assert (made.send, made.state.revision) == (None, state.revision + 1)
    assert made.state.recent == (RunStatus.MISSED,)


def test_the_next_occurrence_is_decided_at_once_if_it_is_due() -> None:
    job, state, step = claimed(EVERY)
    made = missed(job, state, step, DUE + 2 * MINUTE)
    assert made.again is not None
    assert (made.again.at, made.arm) == (DUE + MINUTE, ())


def test_a_job_whose_only_occurrence_is_missed_has_failed() -> None:
    job, state, step = claimed(ONCE)
    assert missed(job, state, step, DUE).state.status is Status.FAILED


@pytest.mark.parametrize(
    ("trigger", "grace", "latest"),
    [
        (ONCE, None, None),
        (ONCE, 30, 30),
        (EVERY, None, 60),
        (EVERY, 600, 600),
        (CRON, None, 60),
        (Interval(MINUTE, DUE, Limits(max_runs=1)), None, None),
    ],
)
def test_until_when_a_run_may_be_sent(
    trigger: Trigger, grace: int | None, latest: int | None
) -> None:
    job, _, step = claimed(trigger)
    job = replace(job, misfire_grace=timedelta(seconds=grace) if grace else None)
    found = latest_start(job, step.state, RunKey(DUE, 1))
    until = DUE + timedelta(seconds=latest) if latest is not None else None
    # Without a grace: as long as the next occurrence is not due.
    assert found == (until - timedelta.resolution if until and not grace else until)
    assert latest_start(job, step.state, RunKey(DUE, 1, retry=1)) is None
