"""Bounds of triggers, and the count of `max_runs`, against a walk over all occurrences."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from chalicelib.domain import job_transitions, run_transitions
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import DateHasPassed, InvalidInput, JobHasEnded
from chalicelib.domain.ids import RunKey
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.limits import Limits
from chalicelib.domain.occurrences import Due, merged
from chalicelib.domain.pauses import NOTHING_ASKED
from chalicelib.domain.preview import preview
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, FinishedAttempt, Outcome, RunStatus
from chalicelib.domain.state import State, Status, Transition, UnfinishedRun
from chalicelib.domain.trigger import describe, restore
from tests.domain.test_cron import random_parse
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
Recurring = Cron | Interval


def definition(trigger: Recurring, **fields: Any) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, request, **fields)


def walked(trigger: Recurring) -> list[datetime]:
    """Return the first 40 occurrences after NOW of a trigger without its bounds, less those outside
    them.
    """
    starts_at, limits = trigger.starts_at, trigger.limits
    free = replace(trigger, limits=Limits())
    free = replace(free, starts_at=None) if isinstance(free, Cron) else free
    found, at = [], NOW
    for _ in range(40):
        following = free.next_after(at)
        if following is None:
            break
        at = following
        is_within = (not starts_at or at >= starts_at) and (
            not limits.ends_at or at <= limits.ends_at
        )
        found += [at] if is_within else []
    return found[: limits.max_runs]


def random_trigger(dice: random.Random) -> Recurring:
    free: Recurring
    if dice.random() < 0.5:
        free = Interval(
            dice.randint(10, 5_000) * SECOND, NOW + dice.randint(-9_000, 9_000) * SECOND
        )
    else:
        free = random_parse(dice, dice.choice(("UTC", "Europe/Berlin", "Australia/Lord_Howe")))
    times = walked(free)
    at = dice.choice(times) + dice.choice((-1, 0, 0, 1)) * SECOND
    if isinstance(free, Cron) and dice.random() < 0.5:
        free = replace(free, starts_at=dice.choice(times) + dice.choice((-1, 0, 0, 1)) * SECOND)
    most = dice.choice((None, 1, dice.randint(1, 30)))
    return replace(free, limits=Limits(dice.choice((None, at)), most))


def test_what_fires_is_what_preview_and_upcoming_show_and_what_a_walk_finds() -> None:
    dice, ended = random.Random(5), 0
    for _ in range(10_000 if IS_SOAK else 150):
        trigger = random_trigger(dice)
        expected = walked(trigger)
        assert restore(describe(trigger)) == trigger
        shown = preview(trigger, NOW, 100).times
        assert list(shown[: len(expected)]) == expected
        job = definition(trigger)
        if not expected:
            # It occurs later than the walk looked, or never: then it is refused.
            continue
        state = job_transitions.create(job, None, NOW).state
        due = Due(job, expected[0], trigger.limits.max_runs)
        assert [one.due_at for one in islice(merged([due], NOW), len(expected))] == expected
        place = dice.choice(expected)
        rest = [at for at in expected if at > place]
        found = islice(merged([due], NOW, (place, "job_x")), len(rest))
        assert [one.due_at for one in found] == rest
        fired = list(fires(job, state))[: len(expected)]
        assert [at for at, _ in fired] == expected
        last = fired[-1][1].state
        is_over = (
            len(expected) == trigger.limits.max_runs
            or trigger.next_after(last_of(expected)) is None
        )
        assert (last.next_due_at is None) == is_over
        ended += is_over
    assert ended > 20


def last_of(times: list[datetime]) -> datetime:
    return times[-1]


def fires(job: Definition, state: State) -> Any:
    """Yield the time and the transition of each claim, the runs of which end at once."""
    for _ in range(40):
        if state.next_due_at is None:
            return
        at = state.next_due_at
        step = run_transitions.claim(job, state, RunKey(at, 1), "me", at)
        assert isinstance(step, Transition)
        assert step.send is not None
        yield at, step
        state = ended(job, step.state, step.send, Outcome.SUCCESS, at).state


def ended(
    job: Definition, state: State, run: UnfinishedRun, outcome: Outcome, at: datetime
) -> Transition:
    attempt = FinishedAttempt("owner", at, AttemptResult(outcome, timedelta(0), None))
    step = run_transitions.finish(job, state, run, attempt, 0, at)
    assert isinstance(step, Transition)
    return step


def test_missed_occurrences_count_and_are_at_most_those_that_are_left() -> None:
    dice = random.Random(6)
    for _ in range(5_000 if IS_SOAK else 300):
        most, grace = dice.randint(1, 8), dice.choice((None, 30 * SECOND, 90 * SECOND))
        end = dice.choice((None, NOW + dice.randint(1, 8) * MINUTE))
        limits = Limits(end, most)
        trigger: Recurring = (
            Interval(MINUTE, NOW, limits)
            if dice.random() < 0.5
            else Cron("* * * * *", "UTC", limits=limits)
        )
        job = definition(trigger, misfire_grace=grace)
        due_at = NOW + MINUTE
        state = job_transitions.create(job, None, NOW).state
        now = due_at + dice.randint(0, 700) * SECOND
        step = run_transitions.claim(job, state, RunKey(due_at, 1), "me", now)
        assert isinstance(step, Transition)
        there = [
            due_at + number * MINUTE
            for number in range(most)
            if not end or due_at + number * MINUTE <= end
        ]
        due = [at for at in there if at <= now]
        late = [
            at
            for place, at in enumerate(there)
            if (now - at > grace if grace else place + 1 < len(there) and there[place + 1] <= now)
            and at in due
        ]
        assert [end.missed_count for end in step.ended] == ([len(late)] if late else [])
        counted = len(late) or 1
        assert step.state.counted == counted
        assert step.state.next_due_at == next(iter(there[counted:]), None)
        is_over = bool(late) and len(late) == len(there)
        assert step.state.status is (Status.FAILED if is_over else Status.ACTIVE)


def three(**fields: Any) -> tuple[Definition, State]:
    job = definition(Cron("* * * * *", "UTC", limits=Limits(max_runs=3)), **fields)
    return job, job_transitions.create(job, None, NOW).state


def test_the_run_of_the_last_occurrence_decides_the_status_and_earlier_ones_do_not() -> None:
    job, state = three()
    runs = []
    for number in (1, 2, 3):
        at = NOW + number * MINUTE
        step = run_transitions.claim(job, state, RunKey(at, 1), "me", at)
        assert isinstance(step, Transition) and step.send
        runs.append(step.send)
        state = step.state
    assert (state.next_due_at, state.status, state.counted) == (None, Status.ACTIVE, 3)
    at = NOW + 4 * MINUTE
    one = ended(job, state, runs[0], Outcome.SUCCESS, at).state
    assert one.status is Status.ACTIVE, "the last is under way"
    for outcome, status in ((Outcome.SUCCESS, "completed"), (Outcome.BLOCKED, "failed")):
        two = ended(job, one, runs[2], outcome, at).state
        assert two.status == status
        assert len(two.runs) == 1
        all_over = ended(job, two, runs[1], Outcome.BLOCKED, at).state
        assert all_over.status == status
        assert all_over.is_over


def test_skipped_occurrences_do_not_count() -> None:
    job, state = three(overlap=Overlap.SKIP)
    first = run_transitions.claim(job, state, RunKey(NOW + MINUTE, 1), "me", NOW + MINUTE)
    assert isinstance(first, Transition)
    at = NOW + 2 * MINUTE
    skipped = run_transitions.claim(job, first.state, RunKey(at, 1), "me", at)
    assert isinstance(skipped, Transition)
    assert [end.status for end in skipped.ended] == [RunStatus.SKIPPED]
    assert (skipped.state.counted, skipped.state.next_due_at) == (1, NOW + 3 * MINUTE)


def test_a_job_whose_last_occurrence_is_skipped_is_completed() -> None:
    trigger = Interval(MINUTE, NOW + MINUTE, Limits(ends_at=NOW + 2 * MINUTE))
    job = definition(trigger, overlap=Overlap.SKIP)
    state = job_transitions.create(job, None, NOW).state
    first = run_transitions.claim(job, state, RunKey(NOW + MINUTE, 1), "me", NOW + MINUTE)
    assert isinstance(first, Transition)
    at = NOW + 2 * MINUTE
    step = run_transitions.claim(job, first.state, RunKey(at, 1), "me", at)
    assert isinstance(step, Transition)
    assert (step.state.status, len(step.state.runs)) == (Status.COMPLETED, 1)


def test_a_pause_keeps_the_count_and_a_new_trigger_begins_anew() -> None:
    job, state = three()
    step = run_transitions.claim(job, state, RunKey(NOW + MINUTE, 1), "me", NOW + MINUTE)
    assert isinstance(step, Transition)
    paused = job_transitions.pause(job, step.state, NOTHING_ASKED, None, NOW + MINUTE)
    assert paused
    resumed = job_transitions.resume(job, paused.state, None, NOW + HOUR)
    assert resumed
    assert (resumed.state.counted, resumed.state.next_due_at) == (1, NOW + HOUR + MINUTE)
    other = replace(job, trigger=Cron("* * * * *", "UTC", limits=Limits(max_runs=2)))
    changed = job_transitions.change(job, other, step.state, None, NOW + HOUR, anew=False)
    assert changed.state.counted == 0
    same = job_transitions.change(
        job, replace(job, timeout=SECOND), step.state, None, NOW + MINUTE, anew=False
    )
    assert same.state.counted == 1


def test_a_job_whose_end_has_passed_or_whose_last_run_has_begun_needs_a_new_trigger() -> None:
    job = definition(Cron("* * * * *", "UTC", limits=Limits(ends_at=NOW + MINUTE)))
    state = job_transitions.create(job, None, NOW).state
    paused = job_transitions.pause(job, state, NOTHING_ASKED, None, NOW)
    assert paused
    with pytest.raises(DateHasPassed):
        job_transitions.resume(job, paused.state, None, NOW + MINUTE)
    last = run_transitions.claim(job, state, RunKey(NOW + MINUTE, 1), "me", NOW + MINUTE)
    assert isinstance(last, Transition)
    other = replace(job, timeout=SECOND)
    with pytest.raises(JobHasEnded):
        job_transitions.change(job, other, last.state, None, NOW + MINUTE, anew=False)
    with pytest.raises(InvalidInput):
        job_transitions.create(job, None, NOW + MINUTE)


def test_a_cron_that_has_ended_has_no_schedule_any_more() -> None:
    """Its schedule is deleted as orphaned, when it wakes next."""
    job = definition(Cron("0-40 0-22 * * *", "UTC", limits=Limits(max_runs=1)))
    token = "01JD9V8M0Q4Q6T5W0H9C1Y3B7K"
    state = job_transitions.create(job, token, NOW).state
    assert state.token == token
    step = run_transitions.claim(job, state, RunKey(NOW + MINUTE, 1), "me", NOW + MINUTE)
    assert isinstance(step, Transition)
    assert (step.state.token, step.state.next_due_at) == (None, None)


@pytest.mark.parametrize(
    ("trigger", "notes"),
    [
        (
            Interval(90 * SECOND, NOW, Limits(NOW + HOUR, 10)),
            [
                "Every 90 seconds from 2026-11-23T10:00:00Z until 2026-11-23T11:00:00Z, "
                "10 times at most"
            ],
        ),
        (Interval(HOUR, NOW), ["Every hour from 2026-11-23T10:00:00Z"]),
        (Interval(2 * HOUR, NOW), ["Every 2 hours from 2026-11-23T10:00:00Z"]),
        (
            Cron("0 9 * * *", "UTC", limits=Limits(max_runs=1)),
            ["Once at most", "The last of these times is the trigger's last"],
        ),
        (Cron("0 9 * * *", "UTC", starts_at=NOW), ["From 2026-11-23T10:00:00Z"]),
        (Cron("0 9 * * *", "UTC"), []),
    ],
)
def test_the_notes_of_a_preview_say_the_bounds(trigger: Recurring, notes: list[str]) -> None:
    assert list(preview(trigger, NOW, 3).notes) == notes
