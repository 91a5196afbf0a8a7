"""A backfill has the occurrences that a walk over the minutes finds, each once, in order."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain import backfill_transitions, job_transitions, run_transitions
from chalicelib.domain.backfill import MOST_RUNS, Backfill, occurrences, planned
from chalicelib.domain.calendars import Calendar, closed_by
from chalicelib.domain.cron import Cron, Dst
from chalicelib.domain.errors import BackfillUnderWay, InvalidInput, JobIsPaused, OccursOnce
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.limits import Limits
from chalicelib.domain.request import Request
from chalicelib.domain.run import (
    AttemptResult,
    FinishedAttempt,
    Outcome,
    Reason,
    RunEnd,
    RunStatus,
)
from chalicelib.domain.state import MAX_UNFINISHED_RUNS, State, Status, Transition, UnfinishedRun
from chalicelib.domain.trigger import OneTime, Trigger
from tests.domain import cron_oracle
from tests.domain.random_crons import random_cron
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
TOKEN = "0123456789AB"
DAILY = Cron("0 9 * * *", "Europe/Berlin")
DUE = [datetime(2026, 11, day, 8, tzinfo=UTC) for day in range(16, 21)]
PAST = (DUE[0], DUE[-1])


def test_a_cron_is_backfilled_where_a_walk_over_the_minutes_finds_it() -> None:
    """Around clock changes, with both rules, within bounds; `max_runs` bounds nothing."""
    dice = random.Random(19)
    for _ in range(5_000 if IS_SOAK else 25):
        zone = dice.choice(cron_oracle.ZONES)
        change = dice.choice(cron_oracle.changes(zone))
        first = (change - dice.randint(0, 2 * 1440) * MINUTE).replace(second=0)
        last = first + dice.randint(0, 3 * 1440) * MINUTE
        gap, fold = dice.choice(("skip", "next")), dice.choice(("first", "both"))
        text = random_cron(dice)
        found = cron_oracle.occurrences(text, zone, first, last, gap, fold)
        starts_at, ends_at = (
            dice.choice((None, first + dice.randint(0, 4 * 1440) * MINUTE)) for _ in range(2)
        )
        within = [
            at
            for at in found
            if (starts_at is None or at >= starts_at) and (ends_at is None or at <= ends_at)
        ]
        dst = Dst(gap, fold)  # type: ignore[arg-type]  # each is one of its two words
        trigger = Cron(text, zone, dst, starts_at, Limits(ends_at, dice.choice((None, 1))))
        assert list(occurrences(trigger, first, last)) == within, (text, zone, first, last)
        # Neither the second before the first nor the one after the last is in a range.
        if len(within) > 1:
            inner = occurrences(trigger, within[0] + SECOND, within[-1] - SECOND)
            assert list(inner) == within[1:-1]


def test_an_interval_is_backfilled_where_a_walk_from_its_start_finds_it() -> None:
    dice = random.Random(20)
    for _ in range(5_000 if IS_SOAK else 200):
        every = timedelta(seconds=dice.choice((10, 11, 90, 900, 86_400)))
        ends_at = dice.choice((None, NOW.replace(microsecond=0) + dice.randint(-90, 90) * MINUTE))
        start = DUE[0] + dice.randint(-9_000, 9_000) * SECOND
        since = DUE[0] + dice.randint(-9_000, 9_000) * SECOND
        until = since + dice.randint(0, 9_000) * SECOND
        walk = (start + number * every for number in range(2_000))
        end = min(until, ends_at or until)
        wanted = [at for at in walk if since <= at <= end]
        trigger = Interval(every, start, Limits(ends_at))
        assert list(occurrences(trigger, since, until)) == wanted


def test_more_than_ten_excluded_years_are_passed_over() -> None:
    """Also between two runs of it."""
    years = ((date(2000, 1, 2), date(2015, 12, 31)),)
    closed = closed_by(("c",), [Calendar("t", "c", "UTC", years, frozenset(), NOW, NOW)])
    trigger = Cron("0 9 * * *", "UTC", limits=Limits(exclude=("c",), closed=closed))
    first, last = (datetime(year, 1, 1, 9, tzinfo=UTC) for year in (2000, 2016))
    backfill, key = planned(trigger, TOKEN, first, last)
    assert (backfill.runs, key) == (2, backfill.key(first))
    assert backfill.following(trigger, key) == backfill.key(last)
    assert backfill.following(trigger, backfill.key(last)) is None
    assert planned(trigger, TOKEN, first + DAY, last) == (
        Backfill(TOKEN, first + DAY, last, runs=1, left=1),
        backfill.key(last),
    )
    with pytest.raises(InvalidInput, match="no occurrence"):
        planned(trigger, TOKEN, first + DAY, last - SECOND)


@pytest.mark.parametrize("count", [1, MOST_RUNS - 1, MOST_RUNS])
def test_up_to_a_thousand_occurrences_are_planned(count: int) -> None:
    until = NOW.replace(microsecond=0)
    since = until - (count - 1) * MINUTE
    backfill, first = planned(Cron("* * * * *", "UTC"), TOKEN, since, until)
    assert backfill == Backfill(TOKEN, since, until, runs=count, left=count)
    assert first.due_at == since


def test_one_more_is_refused_with_the_last_that_would_do() -> None:
    until = NOW.replace(microsecond=0)
    since = until - MOST_RUNS * MINUTE
    minutely = Cron("* * * * *", "UTC")
    with pytest.raises(InvalidInput, match="give 2026-11-23T09:59:00Z or earlier"):
        planned(minutely, TOKEN, since, until)
    assert planned(minutely, TOKEN, since, until - MINUTE)[0].runs == MOST_RUNS


def definition(trigger: Trigger) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, request)


def created(trigger: Trigger = DAILY, **fields: Any) -> State:
    return replace(job_transitions.create(definition(trigger), None, NOW).state, **fields)


def begun(**fields: Any) -> Transition:
    return backfill_transitions.begin(DAILY, created(**fields), TOKEN, *PAST, NOW)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.COMPLETED, Status.FAILED])
def test_a_backfill_queues_its_first_run_and_changes_nothing_else(status: Status) -> None:
    before = created(status=status, generation=4, defined_in=3)
    step = backfill_transitions.begin(DAILY, before, TOKEN, *PAST, NOW)
    backfill = Backfill(TOKEN, *PAST, runs=5, left=5)
    run = UnfinishedRun(backfill.key(DUE[0]), 4, 0, next_attempt_at=NOW, planned_at=NOW)
    assert (step.state.backfill, step.state.runs) == (backfill, (run,))
    assert [(due.key, due.at) for due in step.arm] == [(run.key, NOW)]
    assert not step.state.supersedes(run)
    left = replace(step.state, revision=before.revision, watch_at=before.watch_at)
    assert replace(left, runs=(), backfill=None) == before


def test_what_takes_no_backfill_is_refused() -> None:
    with pytest.raises(OccursOnce):
        backfill_transitions.begin(OneTime(NOW), created(), TOKEN, *PAST, NOW)
    with pytest.raises(JobIsPaused):
        begun(status=Status.PAUSED)
    with pytest.raises(BackfillUnderWay, match=r"2026-11-16T08:00:00Z to .* has 5 runs left"):
        backfill_transitions.begin(DAILY, begun().state, TOKEN, *PAST, NOW)
    waiting = tuple(
        UnfinishedRun(Backfill(str(number), *PAST, 1, 1).key(NOW), 1, 1, next_attempt_at=NOW)
        for number in range(MAX_UNFINISHED_RUNS)
    )
    with pytest.raises(Exception, match="32 runs"):
        begun(runs=waiting)
    assert len(begun(runs=waiting[1:]).state.runs) == MAX_UNFINISHED_RUNS


def finished(state: State, outcome: Outcome, at: datetime) -> Transition:
    """Claim the only run of a state and end its attempt."""
    (run,) = state.runs
    claimed = run_transitions.claim(definition(DAILY), state, run.key, "owner", at)
    assert isinstance(claimed, Transition)
    assert claimed.send is not None
    attempt = FinishedAttempt("owner", at, AttemptResult(outcome, timedelta(0)))
    step = run_transitions.finish(definition(DAILY), claimed.state, claimed.send, attempt, 0.0, at)
    assert isinstance(step, Transition)
    return step


def test_each_end_queues_the_next_run_and_the_last_one_ends_the_backfill() -> None:
    state, at = begun().state, NOW
    for number, due_at in enumerate(DUE):
        (run,) = state.runs
        assert (run.key.due_at, run.planned_at) == (due_at, at)
        assert state.backfill is not None
        assert state.backfill.left == 5 - number
        at += MINUTE
        # Failed for good, or not.
        outcome = Outcome.BLOCKED if number % 2 else Outcome.SUCCESS
        step = finished(state, outcome, at)
        state = step.state
        assert [due.key for due in step.arm] == [run.key for run in state.runs]
        assert state.failing is None
        assert state.status is Status.ACTIVE
    assert (state.runs, state.backfill) == ((), None)


def test_a_run_that_waits_for_its_next_attempt_keeps_its_place() -> None:
    step = finished(begun().state, Outcome.TIMEOUT, NOW)
    (run,) = step.state.runs
    assert (run.key.due_at, run.attempt) == (DUE[0], 1)
    assert step.state.backfill is not None
    assert step.state.backfill.left == 5


def test_the_retry_of_one_of_its_runs_is_none_of_it() -> None:
    """It outlives a pause, and its end queues nothing."""
    (run,) = begun().state.runs
    retry = replace(run, key=run.key.retried_by, generation=1)
    state = replace(begun().state, runs=(run, retry))
    assert not replace(state, backfill=None, generation=9).supersedes(retry)
    assert replace(state, backfill=None, generation=9).supersedes(run)
    rest = state.without_run(retry)
    assert backfill_transitions.goes_on(DAILY, rest, retry.key, NOW) == (rest, ())


def test_a_backfill_of_another_token_supersedes_its_runs() -> None:
    (run,) = begun().state.runs
    other = replace(begun().state, backfill=Backfill("0" * 12, *PAST, 5, 5))
    assert other.supersedes(run)
    rest = other.without_run(run)
    assert backfill_transitions.goes_on(DAILY, rest, run.key, NOW) == (rest, ())


def test_a_job_without_one_has_none_to_end() -> None:
    assert backfill_transitions.end(created(), NOW) is None


def closed_on(*days: date) -> Cron:
    """Return the daily cron, which knows a calendar with these days."""
    off = Calendar("tenant", "off", "UTC", tuple((day, day) for day in days), frozenset(), NOW, NOW)
    limits = Limits(exclude=("off",), closed=closed_by(["off"], [off]))
    return replace(DAILY, limits=limits)


def test_excluded_days_are_passed_over_and_a_queued_run_of_one_is_skipped() -> None:
    trigger = closed_on(DUE[1].date(), DUE[2].date())
    assert list(occurrences(trigger, *PAST)) == [DUE[0], DUE[3], DUE[4]]
    # By a calendar that was changed when the first run was queued already.
    state = begun().state
    (run,) = state.runs
    step = run_transitions.claim(
        definition(closed_on(DUE[0].date(), DUE[1].date())), state, run.key, "owner", NOW
    )
    assert isinstance(step, Transition)
    assert step.ended == (RunEnd(run.key, RunStatus.SKIPPED, NOW, Reason.CALENDAR, calendar="off"),)
    assert [one.key.due_at for one in step.state.runs] == [DUE[2]]
    assert [due.key for due in step.arm] == [one.key for one in step.state.runs]
    assert step.send is None
    # A run that was sent before is tried again all the same.
    tried = replace(state, runs=(replace(run, attempt=1, started_at=NOW),))
    again = run_transitions.claim(
        definition(closed_on(DUE[0].date())), tried, run.key, "owner", NOW
    )
    assert isinstance(again, Transition)
    assert again.send is not None


def test_a_backfill_is_over_when_calendars_exclude_all_that_is_left() -> None:
    (run,) = begun().state.runs
    rest = begun().state.without_run(run)
    trigger = closed_on(*(at.date() for at in DUE[1:]))
    assert backfill_transitions.goes_on(trigger, rest, run.key, NOW) == (
        replace(rest, backfill=None),
        (),
    )
