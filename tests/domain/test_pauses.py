"""Pauses that end by themselves, and skips: what comes due is what a walk over seconds finds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain import job_transitions, pauses, run_transitions
from chalicelib.domain.calendars import Calendar
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import DateHasPassed, JobHasEnded
from chalicelib.domain.exclusion import bound
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.limits import Limits
from chalicelib.domain.pauses import Asked
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, FinishedAttempt, Outcome, Reason, RunStatus
from chalicelib.domain.run_transitions import Look
from chalicelib.domain.state import (
    GRACE,
    NEAR,
    DueMessage,
    NoChange,
    State,
    Status,
    Transition,
    uncovered,
)
from chalicelib.domain.state_parts import Failing, Pause
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger
from chalicelib.domain.unsent import SKIPPED_AT_MOST
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
TICK, SECOND, MINUTE, HOUR = (timedelta(seconds=seconds) for seconds in (0.25, 1, 60, 3600))
MINUTELY = Cron("* * * * *", "UTC")
# They take a schedule: a cron that always comes again within 15 minutes arms itself.
DAILY, TWICE = Cron("0 9 * * *", "UTC"), Cron("1,2 0-22 * * *", "UTC")
TOKEN, NEW_TOKEN = new_token(NOW - HOUR), new_token(NOW)


def job(trigger: Trigger, **fields: Any) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, request, **fields)


def created(definition: Definition, token: str | None = None) -> State:
    return job_transitions.create(definition, token, NOW).state


def paused(
    definition: Definition, state: State, until: datetime | None, at: datetime = NOW, **asked: Any
) -> State:
    asking = Asked(until=until, replaces=True, **{"by": "key", **asked})
    step = job_transitions.pause(definition, state, asking, NEW_TOKEN, at)
    assert step is not None
    return step.state


def claimed(definition: Definition, state: State, at: datetime) -> Transition:
    """Return what the message for the job's own next step comes to."""
    assert state.step_at is not None
    key = RunKey(state.step_at, state.generation)
    step = run_transitions.claim(definition, state, key, "me", at)
    assert isinstance(step, Transition), step
    return step


def settled(
    definition: Definition, state: State, at: datetime
) -> tuple[State, list[tuple[datetime, str]]]:
    """Let everything happen that is due by then; return what was sent or recorded, and when due."""
    happened: list[tuple[datetime, str]] = []
    while state.step_at is not None and state.step_at <= at:
        step = claimed(definition, state, at)
        state = step.state
        happened += [(end.key.due_at, f"{end.status} {end.reason}") for end in step.ended]
        if step.send is not None:
            happened.append((step.send.key.due_at, "sent"))
            done = FinishedAttempt("me", at, AttemptResult(Outcome.SUCCESS, TICK, 200))
            end = run_transitions.finish(definition, state, step.send, done, 0, at)
            assert isinstance(end, Transition)
            state = end.state
    return state, happened


@dataclass
class Walk:
    """What a walk over seconds knows of a job with `max_runs`: an oracle without the rules."""

    trigger: Interval | Cron
    left: int
    is_paused: bool = False
    until: datetime | None = None
    skips: int = 0

    def occurs(self, at: datetime) -> bool:
        if isinstance(self.trigger, Cron):
            return at.second == 0
        behind = (at - self.trigger.starts_at).total_seconds()
        return behind >= 0 and behind % self.trigger.every.total_seconds() == 0

    def second(self, at: datetime) -> Iterator[tuple[datetime, str]]:
        """Yield what comes due in this second."""
        if self.is_paused and self.until == at:
            self.is_paused = False
        if self.is_paused or not self.left or not self.occurs(at):
            return
        if self.skips:
            self.skips -= 1
            yield at, "skipped asked"
        else:
            self.left -= 1
            yield at, "sent"


def random_trigger(dice: random.Random, most: int) -> Interval | Cron:
    limits = Limits(max_runs=most)
    if dice.random() < 0.5:
        return replace(MINUTELY, limits=limits)
    every = dice.randint(10, 90) * SECOND
    return Interval(every, NOW + dice.randint(1, 60) * SECOND, limits)


def test_what_is_sent_and_skipped_is_what_a_walk_over_seconds_finds() -> None:
    dice = random.Random(19)
    for _ in range(5_000 if IS_SOAK else 60):
        most = dice.randint(1, 12)
        trigger = random_trigger(dice, most)
        definition, walk = job(trigger), Walk(trigger, most)
        state = created(definition, TOKEN)
        found: list[tuple[datetime, str]] = []
        expected: list[tuple[datetime, str]] = []
        for number in range(1, 400):
            at = NOW + number * SECOND
            state, happened = settled(definition, state, at)
            found += happened
            expected += walk.second(at)
            if dice.random() < 0.04 and state.status in (Status.ACTIVE, Status.PAUSED):
                state = act(dice, definition, state, walk, at + TICK)
        assert found == expected
        assert state.skips == (0 if state.status is Status.COMPLETED else walk.skips)
        assert (state.status is Status.PAUSED) == (walk.is_paused and state.pause is not None)


def act(
    dice: random.Random, definition: Definition, state: State, walk: Walk, now: datetime
) -> State:
    """Do what a user may do, to the job and to the walk."""
    kind = dice.choice(("pause", "until", "resume", "skip", "request"))
    step: Transition | None
    if kind == "skip":
        walk.skips = dice.choice((0, 1, 3, 60))
        step = job_transitions.skip(state, walk.skips, now)
    elif kind == "resume":
        step = job_transitions.resume(definition, state, None, now)
        walk.is_paused = False
    elif kind == "request":
        other = replace(definition, timeout=definition.timeout + SECOND)
        step = job_transitions.change(definition, other, state, None, now, anew=False)
    else:
        until = now - TICK + dice.randint(1, 90) * SECOND if kind == "until" else None
        step = job_transitions.pause(
            definition, state, Asked(until=until, replaces=True), None, now
        )
        walk.is_paused, walk.until = True, until
    return step.state if step else state


def test_a_pause_whose_end_is_handled_late_has_ended_when_it_did() -> None:
    """What came due since is sent or recorded as if it had been handled in time."""
    dice = random.Random(20)
    for _ in range(2_000 if IS_SOAK else 60):
        trigger = random_trigger(dice, dice.choice((3, 100)))
        grace = dice.choice((None, 30 * SECOND))
        definition = job(trigger, misfire_grace=grace)
        until = NOW + dice.randint(1, 200) * SECOND
        state = paused(definition, created(definition), until)
        skipping = job_transitions.skip(state, dice.choice((1, 2, 30)), NOW)
        state = skipping.state if skipping and dice.random() < 0.5 else state
        late = until + dice.randint(1, 400) * SECOND
        in_time = run_transitions.claim(
            definition, state, RunKey(until, state.generation), "me", until
        )
        assert isinstance(in_time, Transition)
        first = in_time.send is not None or in_time.ended
        if first:
            # An occurrence at the very end: it is decided with the end of the pause.
            continue
        expected = settled(definition, in_time.state, late)
        found = settled(definition, state, late)
        assert found[1] == expected[1]
        assert (found[0].next_due_at, found[0].status, found[0].skips) == (
            expected[0].next_due_at,
            expected[0].status,
            expected[0].skips,
        )


@pytest.mark.parametrize("seconds", [60, 15 * 60, 15 * 60 + 1, 86_400])
def test_the_end_of_a_pause_is_watched_as_an_occurrence_is(seconds: int) -> None:
    definition, until = job(DAILY), NOW + seconds * SECOND
    asked = Asked(until=until, replaces=True)
    step = job_transitions.pause(definition, created(definition, TOKEN), asked, None, NOW)
    assert step is not None
    state, is_near = step.state, seconds * SECOND <= NEAR
    message = DueMessage("job_x", "tenant", RunKey(until, state.generation), until)
    assert step.arm == ((message,) if is_near else ())
    assert state.watch_at == (until + GRACE if is_near else until - WAKE_AHEAD)
    assert (state.next_run_time, state.token) == (None, TOKEN)
    assert run_transitions.sweep(state, None, state.watch_at) == Look((message,))
    # A message that could not be sent.
    assert uncovered(state, [message], NOW).watch_at == max(NOW, until - WAKE_AHEAD)


def test_a_message_is_in_vain_before_the_end_of_the_pause_and_after_a_resume() -> None:
    definition, until = job(MINUTELY), NOW + MINUTE
    state = paused(definition, created(definition), until)
    key = RunKey(until, state.generation)
    early = run_transitions.claim(definition, state, key, "me", until - TICK)
    assert isinstance(early, NoChange)
    longer = paused(definition, state, until + MINUTE)
    assert longer.generation == state.generation
    assert isinstance(run_transitions.claim(definition, longer, key, "me", until), NoChange)
    again = job_transitions.resume(definition, state, None, NOW + SECOND)
    assert again is not None
    assert isinstance(run_transitions.claim(definition, again.state, key, "me", until), NoChange)
    twice = claimed(definition, state, until).state
    assert isinstance(run_transitions.claim(definition, twice, key, "me", until), NoChange)


def test_a_cron_at_the_end_of_a_pause_is_claimed_with_it() -> None:
    definition, until = job(TWICE), NOW + MINUTE
    state = paused(definition, created(definition, TOKEN), until)
    step = claimed(definition, state, until)
    assert step.send is not None
    assert step.send.key == RunKey(until, state.generation + 1)
    assert (step.state.status, step.state.pause, step.state.token) == (Status.ACTIVE, None, TOKEN)
    # The wake for the next minute was within the pause.
    (message,) = step.arm
    assert message.at == until + MINUTE
    due = DueMessage("job_x", "tenant", RunKey(until, state.generation), until)
    assert run_transitions.leads_to_attempt(definition, state, due, NOW)


def test_a_new_pause_replaces_an_end_and_a_reason_and_keeps_the_beginning() -> None:
    definition, until = job(DAILY), NOW + HOUR
    state = paused(definition, created(definition), until, reason="holidays")
    assert state.pause == Pause(NOW, "holidays", until, "key")
    same = Asked("other", until, "holidays", replaces=True)
    assert job_transitions.pause(definition, state, same, None, NOW + SECOND) is None
    assert job_transitions.pause(definition, state, Asked("other"), None, NOW + SECOND) is None
    endless = paused(definition, state, None, NOW + SECOND, by="other")
    assert endless.pause == Pause(NOW, None, None, "other")
    assert (endless.generation, endless.token, endless.watch_at) == (state.generation, None, None)
    ending = paused(definition, endless, until, NOW + SECOND)
    assert (ending.token, ending.watch_at) == (NEW_TOKEN, until - WAKE_AHEAD)


@pytest.mark.parametrize("trigger", [OneTime(NOW + MINUTE), MINUTELY])
def test_a_change_during_a_pause_arms_its_end_again(trigger: Trigger) -> None:
    definition, until = job(trigger), NOW + 5 * MINUTE
    state = paused(definition, created(definition), until)
    other = replace(definition, timeout=SECOND)
    step = job_transitions.change(definition, other, state, None, NOW, anew=False)
    message = DueMessage("job_x", "tenant", RunKey(until, state.generation + 1), until)
    assert (step.arm, step.state.watch_at) == ((message,), until + GRACE)
    renamed = replace(definition, name="other")
    step = job_transitions.change(definition, renamed, state, None, NOW, anew=False)
    assert (step.arm, step.state.watch_at) == ((), until + GRACE)
    cron = replace(definition, trigger=Cron("0 0-22 * * *", "UTC"))
    step = job_transitions.change(definition, cron, state, NEW_TOKEN, NOW, anew=True)
    assert (step.state.status, step.state.token) == (Status.PAUSED, NEW_TOKEN)


def test_a_pause_that_has_ended_is_none_for_what_users_do_before_it_is_handled() -> None:
    definition, until, now = job(MINUTELY), NOW + 90 * SECOND, NOW + 125 * SECOND
    state = paused(definition, created(definition), until)
    first = NOW + 2 * MINUTE
    resumed = job_transitions.resume(definition, state, None, now)
    assert resumed is not None
    assert (resumed.state.next_due_at, resumed.arm[0].at) == (first, first)
    again = job_transitions.pause(definition, state, Asked("key"), None, now)
    assert again is not None
    assert (again.state.pause, again.state.watch_at) == (Pause(now, by="key"), None)
    other = replace(definition, timeout=SECOND)
    changed = job_transitions.change(definition, other, state, None, now, anew=False)
    assert (changed.state.status, changed.state.pause) == (Status.ACTIVE, None)
    assert (changed.state.next_due_at, changed.state.generation) == (first, state.generation + 1)
    # A new trigger begins now, and fires nothing of the time before.
    anew = job_transitions.change(definition, definition, state, None, now, anew=True)
    assert (anew.state.status, anew.state.next_due_at) == (Status.ACTIVE, NOW + 3 * MINUTE)


@pytest.mark.parametrize("skips", [0, 1])
def test_a_date_that_passes_within_a_pause_is_missed_or_skipped(skips: int) -> None:
    definition, until = job(OneTime(NOW + MINUTE)), NOW + HOUR
    state = replace(paused(definition, created(definition), until), skips=skips)
    with pytest.raises(DateHasPassed):
        job_transitions.resume(definition, state, None, NOW + 2 * MINUTE)
    step = claimed(definition, state, until)
    (end,) = step.ended
    assert end.key.due_at == NOW + MINUTE
    wanted = (RunStatus.SKIPPED, Reason.ASKED) if skips else (RunStatus.MISSED, Reason.PAUSED)
    assert (end.status, end.reason) == wanted
    assert step.state.status is (Status.COMPLETED if skips else Status.FAILED)
    assert (step.state.watch_at, step.state.skips, step.state.pause) == (None, 0, None)


@pytest.mark.parametrize("was_open", [True, False])
def test_an_excluded_occurrence_at_the_end_of_a_pause_is_passed_over(was_open: bool) -> None:
    """A paused job shows no `next_run_time`, so that no record says why it is not sent."""
    exclude, until = Limits(exclude=("holidays",)), NOW + MINUTE
    open_job = job(replace(MINUTELY, limits=exclude))
    day = Calendar(
        "tenant", "holidays", "UTC", ((until.date(), until.date()),), frozenset(), NOW, NOW
    )
    closed_job = replace(open_job, trigger=bound(open_job.trigger, [day]))
    state = paused(open_job, created(open_job if was_open else closed_job), until)
    step = claimed(closed_job, state, until)
    assert (step.send, step.ended) == (None, ())
    assert step.state.shown_run_time == NOW.replace(hour=0) + timedelta(days=1)


def test_a_job_with_nothing_due_after_its_pause_is_completed() -> None:
    definition = job(replace(MINUTELY, limits=Limits(ends_at=NOW + 2 * MINUTE)))
    state = paused(definition, created(definition, TOKEN), NOW + HOUR)
    step = claimed(definition, state, NOW + HOUR)
    assert (step.state.status, step.ended, step.arm) == (Status.COMPLETED, (), ())
    assert (step.state.token, step.state.watch_at) == (None, None)


def test_a_job_whose_last_run_has_begun_is_paused_without_an_end_only() -> None:
    definition = job(OneTime(NOW + MINUTE))
    begun = claimed(definition, created(definition), NOW + MINUTE).state
    with pytest.raises(JobHasEnded, match="leave out until"):
        paused(definition, begun, NOW + HOUR, NOW + MINUTE)
    assert paused(definition, begun, None, NOW + MINUTE).status is Status.PAUSED


def test_failed_runs_are_counted_anew_after_a_pause() -> None:
    definition, until = job(MINUTELY, pause_after=3), NOW + MINUTE
    state = replace(created(definition), failing=Failing(2, NOW, ("a",)))
    step = claimed(definition, paused(definition, state, until), until)
    assert step.state.failing == Failing(0, NOW, ("a",))


def test_many_late_occurrences_are_skipped_in_transactions_of_a_bounded_size() -> None:
    definition = job(Interval(10 * SECOND, NOW + 10 * SECOND))
    asked = job_transitions.skip(created(definition), 60, NOW)
    assert asked is not None
    assert job_transitions.skip(asked.state, 60, NOW) is None
    state, late, counts = asked.state, NOW + HOUR, []
    while state.skips:
        step = claimed(definition, state, late)
        counts.append(len(step.ended))
        assert step.send is None
        assert step.again is not None
        state = step.state
    assert counts == [SKIPPED_AT_MOST, SKIPPED_AT_MOST, 10]
    assert state.next_due_at == NOW + 610 * SECOND
    missed = claimed(definition, state, late)
    assert [end.reason for end in missed.ended] == [Reason.MISFIRE]


def test_a_skip_needs_an_occurrence() -> None:
    definition = job(OneTime(NOW + MINUTE))
    begun = claimed(definition, created(definition), NOW + MINUTE).state
    with pytest.raises(JobHasEnded, match="no occurrence"):
        job_transitions.skip(begun, 1, NOW)
    assert job_transitions.skip(begun, 0, NOW) is None


def test_a_pause_is_over_from_its_end_on() -> None:
    state = paused(job(MINUTELY), created(job(MINUTELY)), NOW + MINUTE)
    assert not pauses.is_over(state, NOW + MINUTE - TICK)
    assert pauses.is_over(state, NOW + MINUTE)
    assert not pauses.is_over(created(job(MINUTELY)), NOW + MINUTE)
