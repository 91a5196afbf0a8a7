"""What the executor does to a job, rule by rule: claim, finish, sweep, wake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import job_transitions, run_transitions
from chalicelib.domain.completion import Awaited
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.looks import has_look, is_read
from chalicelib.domain.misfires import MISSED_AT_MOST, is_misfire
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    FinishedAttempt,
    Outcome,
    Reason,
    RunEnd,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.run_transitions import LEASE_MARGIN, Look, Settle
from chalicelib.domain.state import (
    GRACE,
    MAX_UNFINISHED_RUNS,
    NEAR,
    SKEW,
    DueMessage,
    LastRun,
    NoChange,
    State,
    Status,
    Transition,
    UnfinishedRun,
    written,
)
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger
from chalicelib.domain.wakes import DOUBT, wake

MADE = datetime(2026, 11, 23, 9, 59, 30, tzinfo=UTC)
DUE = datetime(2026, 11, 23, 10, tzinfo=UTC)
TICK, SECOND, MINUTE, HOUR = (
    timedelta(microseconds=1),
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
)
MINUTELY, DATE = Cron("* * * * *", "UTC"), OneTime(DUE)
KEY = RunKey(DUE, 1)
MANUAL = RunKey.for_manual(MADE)


def definition(trigger: Trigger = DATE, **fields: Any) -> Definition:
    return Definition(
        "job_x",
        "tenant",
        1,
        "job",
        MADE,
        trigger,
        Request("https://example.com/", "POST", {}, None),
        **fields,
    )


def fresh(job: Definition, **fields: Any) -> State:
    """Return the state of a job that was just made, with these fields in their place."""
    return replace(job_transitions.create(job, None, MADE).state, **fields)


def claim(
    job: Definition, state: State, now: datetime, key: RunKey = KEY, owner: str = "me"
) -> Any:
    return run_transitions.claim(job, state, key, owner, now)


def sent(decision: object) -> UnfinishedRun:
    assert isinstance(decision, Transition)
    assert decision.send is not None
    assert decision.state.find(decision.send.key) == decision.send
    return decision.send


def left(decision: object) -> str:
    assert isinstance(decision, NoChange)
    return decision.why


def finish(
    job: Definition,
    state: State,
    run: UnfinishedRun,
    outcome: Outcome,
    now: datetime = DUE,
    status_code: int | None = None,
) -> Any:
    attempt = FinishedAttempt("owner", now, AttemptResult(outcome, timedelta(0), status_code))
    return run_transitions.finish(job, state, run, attempt, 0, now)


def finish_recorded(job: Definition, state: State, run: UnfinishedRun, update: RunUpdate) -> Any:
    """Finish an attempt that timed out, whose record says `update` already."""
    result = AttemptResult(Outcome.TIMEOUT, timedelta(0))
    record = Attempt(job.id, run.key, run.attempt, "owner", DUE, DUE, result, update)
    attempt = FinishedAttempt("owner", DUE, result, record)
    return run_transitions.finish(job, state, run, attempt, 0, DUE)


def out(key: RunKey = KEY, **fields: Any) -> UnfinishedRun:
    """Return a run whose first attempt is under way."""
    run = UnfinishedRun(
        key, key.generation or 1, 1, "me", DUE + timedelta(seconds=50), started_at=DUE
    )
    return replace(run, **fields)


def waiting(key: RunKey = KEY, **fields: Any) -> UnfinishedRun:
    """Return a run whose second attempt is due in a minute."""
    return replace(
        UnfinishedRun(key, key.generation or 1, 1, next_attempt_at=DUE + MINUTE, started_at=DUE),
        **fields,
    )


def test_an_occurrence_that_is_due_is_claimed_with_a_lease_for_its_timeout_and_some_more() -> None:
    job = definition(MINUTELY, timeout=timedelta(seconds=7))
    now = DUE + SECOND
    run = sent(claim(job, fresh(job), now))
    assert run == UnfinishedRun(
        KEY, 1, 1, "me", now + timedelta(seconds=7) + LEASE_MARGIN, started_at=now
    )


def test_a_claim_moves_a_cron_on_to_its_next_occurrence_and_arms_it() -> None:
    job = definition(MINUTELY)
    step = claim(job, fresh(job), DUE)
    assert step.state.next_due_at == DUE + MINUTE
    assert step.arm == (
        DueMessage("job_x", "tenant", RunKey(DUE + MINUTE, 1), DUE + MINUTE, by="me"),
    )
    assert step.state.armed_by == "me"
    assert step.state.status is Status.ACTIVE


def test_a_claim_of_the_only_occurrence_leaves_none() -> None:
    job = definition()
    step = claim(job, fresh(job), DUE)
    assert (step.state.next_due_at, step.arm) == (None, ())
    assert step.state.status is Status.ACTIVE, "it is over when its run is"


@pytest.mark.parametrize("trigger", [DATE, MINUTELY])
def test_nothing_is_claimed_before_it_is_due(trigger: Trigger) -> None:
    job = definition(trigger)
    assert left(claim(job, fresh(job), DUE - TICK)) == "not yet"
    sent(claim(job, fresh(job), DUE))


@pytest.mark.parametrize("trigger", [DATE, MINUTELY])
def test_a_message_of_another_generation_claims_nothing(trigger: Trigger) -> None:
    """A change without a new trigger keeps the due time: only the generation tells its message from
    the old one's.
    """
    job = definition(trigger)
    state = fresh(job, generation=2, defined_in=2)
    assert state.next_due_at == DUE
    assert "generation" in left(claim(job, state, DUE, RunKey(DUE, 1)))
    assert "generation" in left(claim(job, state, DUE, RunKey(DUE, 3)))
    assert sent(claim(job, state, DUE, RunKey(DUE, 2))).generation == 2


@pytest.mark.parametrize("status", [Status.PAUSED, Status.COMPLETED, Status.FAILED])
def test_a_job_that_is_not_active_claims_nothing(status: Status) -> None:
    left(claim(definition(), fresh(definition(), status=status), DUE))


def test_an_occurrence_that_was_claimed_is_left_to_whoever_was_first() -> None:
    job = definition(MINUTELY)
    claimed = claim(job, fresh(job), DUE).state
    assert (
        left(claim(job, claimed.without_run(claimed.runs[0]), DUE + SECOND))
        == "the occurrence was decided before"
    )
    done = fresh(definition(), next_due_at=None)
    assert left(claim(definition(), done, DUE)) == "the occurrence was decided before"


def test_a_later_message_never_overtakes_an_occurrence_that_is_still_open() -> None:
    job = definition(MINUTELY, misfire_grace=HOUR)
    run = sent(claim(job, fresh(job), DUE + MINUTE, RunKey(DUE + MINUTE, 1)))
    assert run.key == KEY


@pytest.mark.parametrize(
    ("late", "token", "covered", "is_doubted"),
    [
        (GRACE + TICK, True, True, True),
        (GRACE, True, True, False),
        # Without a schedule there is none to doubt; and what it did not cover it was not to wake.
        (GRACE + TICK, False, True, False),
        (GRACE + TICK, True, False, False),
    ],
)
def test_a_schedule_whose_wake_did_not_come_is_not_counted_on_for_an_hour(
    late: timedelta, token: bool, covered: bool, is_doubted: bool
) -> None:
    job = definition(Cron("0-40/10 0-22 * * *", "UTC"))
    state = fresh(job, token=new_token(MADE - HOUR) if token else None, covered=covered)
    step = claim(job, state, DUE + late)
    sent(step)
    assert step.state.doubted_until == (DUE + late + DOUBT if is_doubted else None)
    assert bool(step.arm) is (is_doubted or not token), (
        "doubted, the next occurrence gets a message as well"
    )


def test_a_doubt_ends() -> None:
    job = definition(Cron("0-40/10 0-22 * * *", "UTC"))
    doubted = fresh(job, token=new_token(MADE - HOUR), doubted_until=DUE + SECOND)
    assert claim(job, doubted, DUE).arm
    assert not claim(job, doubted, DUE + SECOND).arm


def test_a_manual_run_that_is_not_unfinished_has_ended() -> None:
    assert left(claim(definition(), fresh(definition()), DUE, MANUAL)) == "the run has ended"


def test_a_live_lease_is_not_stolen() -> None:
    job, run = definition(), out()
    state = fresh(job, next_due_at=None, runs=(run,))
    assert run.lease_until is not None
    assert left(claim(job, state, run.lease_until, owner="other")) == "the attempt is under way"
    assert (
        left(claim(job, state, run.lease_until + SKEW - TICK, owner="other"))
        == "the attempt is under way"
    )
    assert claim(job, state, run.lease_until + SKEW, owner="other") == Settle(run)


def test_a_lease_that_is_over_is_settled_also_when_the_run_is_superseded() -> None:
    job, run = definition(), out()
    state = fresh(job, generation=2, defined_in=2, runs=(run,))
    assert run.lease_until is not None
    assert left(claim(job, state, DUE, owner="other")) == "the attempt is under way"
    assert claim(job, state, run.lease_until + SKEW, owner="other") == Settle(run)


def test_a_retry_is_claimed_at_its_time_and_advances_nothing() -> None:
    job = definition(MINUTELY)
    state = fresh(job, next_due_at=DUE + HOUR, runs=(waiting(covered=False),))
    assert left(claim(job, state, DUE + MINUTE - TICK)) == "not yet"
    step = claim(job, state, DUE + MINUTE)
    run = sent(step)
    assert (run.attempt, run.owner, run.next_attempt_at, run.started_at, run.covered) == (
        2,
        "me",
        None,
        DUE,
        True,
    )
    assert run.lease_until == DUE + MINUTE + job.timeout + LEASE_MARGIN
    assert (step.state.next_due_at, step.arm, step.state.revision) == (
        DUE + HOUR,
        (),
        state.revision + 1,
    )


def test_a_superseded_run_is_closed_without_another_attempt() -> None:
    job = definition()
    other = waiting(RunKey(DUE - HOUR, 2))
    state = fresh(job, generation=2, defined_in=2, runs=(waiting(), other))
    step = claim(job, state, DUE + SECOND)
    assert (step.send, step.arm) == (None, ())
    assert step.ended == (
        RunEnd(KEY, RunStatus.FAILED, DUE + SECOND, Reason.SUPERSEDED, started_at=DUE),
    )
    assert step.state.runs == (other,)
    assert step.state.last_run == LastRun(KEY, 1, closed_at=DUE + SECOND)
    assert step.state.next_due_at == state.next_due_at


def test_a_superseded_run_that_was_never_sent_has_no_result() -> None:
    earlier = LastRun(RunKey(DUE - HOUR, 1), 1)
    queued = UnfinishedRun(MANUAL, 1, 0, next_attempt_at=DUE)
    state = fresh(definition(), generation=2, defined_in=2, runs=(queued,), last_run=earlier)
    step = claim(definition(), state, DUE, MANUAL)
    assert step.ended == (RunEnd(MANUAL, RunStatus.FAILED, DUE, Reason.SUPERSEDED),)
    assert step.state.last_run == earlier


def test_a_pause_supersedes_occurrences_and_leaves_manual_runs() -> None:
    job = definition()
    manual = UnfinishedRun(MANUAL, 1, 0, next_attempt_at=DUE)
    state = fresh(job, generation=2, status=Status.PAUSED, runs=(waiting(), manual))
    assert claim(job, state, DUE + MINUTE).ended[0].reason is Reason.SUPERSEDED
    assert sent(claim(job, state, DUE, MANUAL)).attempt == 1


def test_a_grace_counts_to_its_last_moment() -> None:
    job = definition(MINUTELY, misfire_grace=timedelta(seconds=30))
    sent(claim(job, fresh(job), DUE + timedelta(seconds=30)))
    step = claim(job, fresh(job), DUE + timedelta(seconds=30) + TICK)
    assert step.send is None
    assert [end.status for end in step.ended] == [RunStatus.MISSED]


def test_a_one_time_job_past_its_grace_is_missed_and_has_failed() -> None:
    job = definition(misfire_grace=timedelta(0))
    step = claim(job, fresh(job), DUE + TICK)
    assert step.ended == (
        RunEnd(KEY, RunStatus.MISSED, DUE + TICK, Reason.MISFIRE, missed_count=1, last_due_at=DUE),
    )
    assert (step.state.status, step.state.next_due_at, step.again, step.arm) == (
        Status.FAILED,
        None,
        None,
        (),
    )


def test_a_one_time_job_without_grace_is_never_too_late() -> None:
    assert not is_misfire(DATE, None, DUE, None, DUE + timedelta(days=3000))
    sent(claim(definition(), fresh(definition()), DUE + timedelta(days=3000)))


def test_a_cron_without_grace_is_too_late_when_its_next_occurrence_has_come() -> None:
    assert not is_misfire(MINUTELY, None, DUE, DUE + MINUTE, DUE + MINUTE - TICK)
    assert is_misfire(MINUTELY, None, DUE, DUE + MINUTE, DUE + MINUTE)
    assert not is_misfire(MINUTELY, None, DUE, None, DUE + HOUR), "the last occurrence of all"


def test_a_grace_longer_than_the_cron_s_pause_sends_every_occurrence() -> None:
    job = definition(MINUTELY, misfire_grace=timedelta(minutes=3))
    now = DUE + timedelta(minutes=2, seconds=30)
    state, keys = fresh(job), []
    for _ in range(3):
        step = claim(job, state, now, RunKey(state.next_due_at or DUE, 1))
        keys.append(sent(step).key.due_at)
        state = step.state
    assert keys == [DUE, DUE + MINUTE, DUE + 2 * MINUTE]


def test_a_row_of_missed_occurrences_is_one_ending_and_the_last_one_is_still_sent() -> None:
    job = definition(MINUTELY)
    now = DUE + timedelta(minutes=5, seconds=1)
    step = claim(job, fresh(job), now)
    assert step.ended == (
        RunEnd(
            KEY, RunStatus.MISSED, now, Reason.MISFIRE, missed_count=5, last_due_at=DUE + 4 * MINUTE
        ),
    )
    assert step.state.next_due_at == DUE + 5 * MINUTE
    assert step.again == DueMessage(
        "job_x", "tenant", RunKey(DUE + 5 * MINUTE, 1), DUE + 5 * MINUTE
    )
    assert step.arm == (), "it is decided at once, and needs no message"
    assert sent(claim(job, step.state, now, step.again.key)).key == RunKey(DUE + 5 * MINUTE, 1)


def test_a_row_of_missed_occurrences_within_a_grace_ends_before_what_may_still_be_sent() -> None:
    job = definition(MINUTELY, misfire_grace=timedelta(seconds=90))
    step = claim(job, fresh(job), DUE + timedelta(minutes=5))
    assert (step.ended[0].missed_count, step.ended[0].last_due_at) == (4, DUE + 3 * MINUTE)
    assert step.again is not None
    assert step.again.key.due_at == DUE + 4 * MINUTE


def test_a_row_of_which_nothing_may_be_sent_waits_for_what_is_to_come() -> None:
    job = definition(MINUTELY, misfire_grace=timedelta(seconds=10))
    step = claim(job, fresh(job), DUE + timedelta(minutes=5, seconds=30))
    assert step.ended[0].missed_count == 6
    assert (step.state.next_due_at, step.again) == (DUE + 6 * MINUTE, None)
    assert [due.at for due in step.arm] == [DUE + 6 * MINUTE]


def test_a_row_of_more_than_ten_thousand_goes_on_in_the_next_step() -> None:
    job = definition(MINUTELY)
    now = DUE + (MISSED_AT_MOST + 7) * MINUTE
    first = claim(job, fresh(job), now)
    assert (first.ended[0].missed_count, first.ended[0].last_due_at) == (
        MISSED_AT_MOST,
        DUE + (MISSED_AT_MOST - 1) * MINUTE,
    )
    assert first.again is not None
    assert first.again.key.due_at == DUE + MISSED_AT_MOST * MINUTE
    second = claim(job, first.state, now, first.again.key)
    assert (second.ended[0].missed_count, second.ended[0].last_due_at) == (7, now - MINUTE)
    assert second.again is not None
    assert sent(claim(job, second.state, now, second.again.key)).key.due_at == now


@pytest.mark.parametrize(
    ("run", "generation", "is_skipped"),
    [
        (waiting(RunKey(DUE - MINUTE, 1)), 1, True),
        (out(RunKey(DUE - MINUTE, 1)), 1, True),
        # Its attempt is under way, whatever has become of its generation.
        (out(RunKey(DUE - MINUTE, 1)), 2, True),
        # It waits for an attempt that will never be sent.
        (waiting(RunKey(DUE - MINUTE, 1)), 2, False),
        (UnfinishedRun(MANUAL, 1, 0, next_attempt_at=DUE), 1, False),
    ],
)
def test_an_occurrence_that_overlaps_is_skipped(
    run: UnfinishedRun, generation: int, is_skipped: bool
) -> None:
    job = definition(MINUTELY, overlap=Overlap.SKIP)
    state = fresh(job, generation=generation, defined_in=generation, runs=(run,))
    key = RunKey(DUE, generation)
    step = claim(job, state, DUE, key)
    if is_skipped:
        assert step.ended == (RunEnd(key, RunStatus.SKIPPED, DUE, Reason.OVERLAP),)
        assert (step.send, step.state.next_due_at, step.state.runs) == (None, DUE + MINUTE, (run,))
        assert [due.at for due in step.arm] == [DUE + MINUTE]
    else:
        sent(step)
    sent(claim(replace(job, overlap=Overlap.ALLOW), state, DUE, key))


def test_a_one_time_job_that_is_skipped_has_failed() -> None:
    job = definition(overlap=Overlap.SKIP)
    assert (
        claim(job, fresh(job, runs=(waiting(RunKey(DUE - HOUR, 1)),)), DUE).state.status
        is Status.FAILED
    )


def test_a_33rd_run_is_skipped() -> None:
    job = definition(MINUTELY)
    many = tuple(
        waiting(RunKey(DUE - number * MINUTE, 1)) for number in range(1, MAX_UNFINISHED_RUNS + 1)
    )
    step = claim(job, fresh(job, runs=many), DUE)
    assert step.ended == (RunEnd(KEY, RunStatus.SKIPPED, DUE, Reason.TOO_MANY_RUNS),)
    sent(claim(job, fresh(job, runs=many[1:]), DUE))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ((), "the run has ended"),
        ((out(owner="other"),), "somebody has claimed it again"),
        (
            (out(owner=None, lease_until=None, next_attempt_at=DUE),),
            "somebody has settled it, and it waits",
        ),
    ],
)
@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.TIMEOUT])
def test_a_finish_that_finds_its_owner_gone_changes_nothing(
    found: tuple[UnfinishedRun, ...], why: str, outcome: Outcome
) -> None:
    job = definition()
    assert (
        left(finish(job, fresh(job, runs=found), out(), outcome)) == "the attempt has another owner"
    ), why


@pytest.mark.parametrize(
    ("attempt", "until"), [(2, DUE + MINUTE), (1, DUE + 2 * MINUTE), (2, DUE + 2 * MINUTE)]
)
def test_a_deadline_that_another_has_settled_or_moved_changes_nothing(
    attempt: int, until: datetime
) -> None:
    job = definition()

    def awaiting(attempt: int, until: datetime) -> UnfinishedRun:
        awaited = Awaited("digest", DUE, until)
        return out(owner=None, lease_until=None, attempt=attempt, awaited=awaited)

    found = fresh(job, runs=(awaiting(attempt, until),))
    settled = finish(job, found, awaiting(1, DUE + MINUTE), Outcome.TIMEOUT)
    assert left(settled) == "the attempt has another owner"


@pytest.mark.parametrize("trigger", [DATE, MINUTELY])
def test_a_success_ends_the_run(trigger: Trigger) -> None:
    job = definition(trigger)
    due_at = None if trigger is DATE else DUE + MINUTE
    step = finish(job, fresh(job, next_due_at=due_at, runs=(out(),)), out(), Outcome.SUCCESS)
    assert (step.state.runs, step.state.last_run, step.arm) == ((), LastRun(KEY, 1), ())
    assert step.update.status is RunStatus.SUCCEEDED
    assert step.state.status is (Status.COMPLETED if trigger is DATE else Status.ACTIVE)


def test_a_failure_that_will_not_pass_ends_the_run() -> None:
    step = finish(
        definition(),
        fresh(definition(), next_due_at=None, runs=(out(),)),
        out(),
        Outcome.HTTP_ERROR,
        status_code=404,
    )
    assert (step.update.status, step.update.reason, step.state.status) == (
        RunStatus.FAILED,
        None,
        Status.FAILED,
    )


def test_a_failure_waits_for_the_next_attempt() -> None:
    job = definition(retry=RetryPolicy(3, timedelta(seconds=10), HOUR))
    step = finish(job, fresh(job, next_due_at=None, runs=(out(),)), out(), Outcome.TIMEOUT)
    at = DUE + timedelta(seconds=10)
    assert step.state.runs == (UnfinishedRun(KEY, 1, 1, next_attempt_at=at, started_at=DUE),)
    assert step.arm == (DueMessage("job_x", "tenant", KEY, at),)
    assert (step.update.status, step.update.next_attempt_at) == (RunStatus.RETRYING, at)
    assert step.state.status is Status.ACTIVE
    assert step.state.last_run is None


@pytest.mark.parametrize(("pause", "near"), [(NEAR, True), (NEAR + SECOND, False)])
def test_a_retry_later_than_a_queue_can_wait_is_left_to_the_sweeper(
    pause: timedelta, near: bool
) -> None:
    job = definition(retry=RetryPolicy(3, pause, pause))
    step = finish(job, fresh(job, next_due_at=None, runs=(out(),)), out(), Outcome.TIMEOUT)
    assert bool(step.arm) is near
    assert step.state.runs[0].covered is near
    assert step.state.watch_at == DUE + pause + (GRACE if near else -WAKE_AHEAD)


@pytest.mark.parametrize(
    ("attempt", "generation", "reason"),
    [
        (3, 1, Reason.ATTEMPTS_EXHAUSTED),
        (3, 2, Reason.ATTEMPTS_EXHAUSTED),
        (4, 1, Reason.ATTEMPTS_EXHAUSTED),
        (2, 2, Reason.SUPERSEDED),
    ],
)
def test_a_failure_without_another_attempt_says_why(
    attempt: int, generation: int, reason: Reason
) -> None:
    job = definition(retry=RetryPolicy(3))
    run = out(attempt=attempt)
    step = finish(
        job,
        fresh(job, generation=generation, defined_in=generation, runs=(run,)),
        run,
        Outcome.TIMEOUT,
    )
    assert (step.update.status, step.update.reason, step.state.runs) == (
        RunStatus.FAILED,
        reason,
        (),
    )


@pytest.mark.parametrize(
    "update",
    [RunUpdate(RunStatus.SUCCEEDED), RunUpdate(RunStatus.FAILED, Reason.ATTEMPTS_EXHAUSTED)],
)
def test_an_end_that_is_on_record_stays_the_end(update: RunUpdate) -> None:
    """Whoever recorded it died before the finish; a change since then would have come to another
    end, or to a retry.
    """
    job, run = definition(retry=RetryPolicy(20)), out()
    state = fresh(job, generation=2, defined_in=2, runs=(run,))
    step = finish_recorded(job, state, run, update)
    assert isinstance(step, Transition)
    assert (step.update, step.state.runs, step.state.last_run) == (update, (), LastRun(KEY, 1))


def test_a_retry_that_is_on_record_is_decided_anew() -> None:
    job, run = definition(), out()
    state = fresh(job, generation=2, defined_in=2, runs=(run,))
    on_record = RunUpdate(RunStatus.RETRYING, next_attempt_at=DUE + SECOND)
    step = finish_recorded(job, state, run, on_record)
    assert isinstance(step, Transition)
    assert step.update == RunUpdate(RunStatus.FAILED, Reason.SUPERSEDED)


def test_a_later_definition_s_policy_says_nothing_about_an_earlier_run() -> None:
    later, run = definition(retry=RetryPolicy(1)), out()
    state = fresh(later, generation=2, defined_in=2, runs=(run,))
    assert (
        finish(replace(later, generation=2), state, run, Outcome.TIMEOUT).update.reason
        is Reason.SUPERSEDED
    )
    assert finish(later, state, run, Outcome.TIMEOUT).update.reason is Reason.ATTEMPTS_EXHAUSTED


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.SUCCESS, 200), (Outcome.HTTP_ERROR, 404), (Outcome.TIMEOUT, None)],
)
def test_the_run_of_an_old_date_does_not_end_a_job_with_a_new_one(
    outcome: Outcome, code: int | None
) -> None:
    job = definition(OneTime(DUE + HOUR))
    state = fresh(job, generation=2, defined_in=2, runs=(out(),))
    step = finish(job, state, out(), outcome, status_code=code)
    assert (step.state.status, step.state.next_due_at) == (Status.ACTIVE, DUE + HOUR)
    assert step.state.last_run == LastRun(KEY, 1)


def test_a_manual_run_never_ends_a_one_time_job() -> None:
    job, run = definition(), out(MANUAL)
    step = finish(job, fresh(job, runs=(run,)), run, Outcome.SUCCESS)
    assert (step.state.status, step.state.next_due_at) == (Status.ACTIVE, DUE)


def test_a_run_that_ends_after_a_pause_leaves_the_job_paused() -> None:
    job = definition()
    step = finish(job, fresh(job, status=Status.PAUSED, runs=(out(),)), out(), Outcome.SUCCESS)
    assert step.state.status is Status.PAUSED


@pytest.mark.parametrize(
    ("last", "points_to"),
    [
        (None, "this"),
        (LastRun(RunKey(DUE - MINUTE, 1), 3), "this"),
        (LastRun(KEY, 1), "this"),
        (LastRun(RunKey(DUE + MINUTE, 1), 1), "last"),
        # A manual run of the same second is the later one.
        (LastRun(RunKey.for_manual(DUE), 1), "last"),
        # A retry has the place of the time for which it was planned.
        (LastRun(RunKey(DUE - HOUR, 1, retry=1), 1, planned_at=DUE + SECOND), "last"),
        (LastRun(RunKey(DUE + HOUR, 1, retry=1), 1, planned_at=DUE - SECOND), "this"),
    ],
)
def test_the_last_run_is_the_one_of_the_latest_due_time_whichever_ends_last(
    last: LastRun | None, points_to: str
) -> None:
    job, run = definition(MINUTELY), out(attempt=2)
    ended = finish(job, fresh(job, runs=(run,), last_run=last), run, Outcome.SUCCESS).state
    assert ended.last_run == (LastRun(KEY, 2) if points_to == "this" else last)
    superseded = fresh(job, generation=2, defined_in=2, runs=(waiting(),), last_run=last)
    closed = claim(job, superseded, DUE).state
    assert closed.last_run == (LastRun(KEY, 1, closed_at=DUE) if points_to == "this" else last)


def looked_at(state: State, since: datetime | None, until: datetime) -> Look:
    look = run_transitions.sweep(state, since, until)
    assert isinstance(look, Look)
    return look


def test_a_state_is_swept_when_its_watch_time_has_come_and_not_before() -> None:
    state = fresh(definition())
    assert state.watch_at == DUE + GRACE
    before = run_transitions.sweep(state, None, DUE + GRACE - TICK)
    assert left(before) == "not overdue"
    message = DueMessage("job_x", "tenant", KEY, DUE)
    assert looked_at(state, None, DUE + GRACE) == Look((message,))
    assert looked_at(state, DUE, DUE + GRACE) == Look((message,))
    assert looked_at(state, DUE + GRACE, DUE + GRACE + TICK) == Look(())
    forgotten = run_transitions.sweep(replace(state, watch_at=None), None, DUE + HOUR)
    assert left(forgotten) == "not overdue"


def test_looks_in_vain_come_further_and_further_apart_and_write_nothing() -> None:
    state, sent = fresh(definition()), []
    for minute in range(40):
        since = DUE + minute * MINUTE
        look = looked_at(state, since, since + MINUTE)
        assert look.moved is None
        sent += [minute] * len(look.arm)
    assert sent == [0, 1, 3, 7, 15, 23, 31, 39]


def test_a_watch_that_a_claim_left_too_early_is_read_without_a_message_until_the_lease_ends() -> (
    None
):
    job = definition(timeout=10 * MINUTE)
    claimed = claim(job, fresh(job), DUE).state
    assert claimed.watch_at == DUE + GRACE
    ends_at = DUE + 10 * MINUTE + LEASE_MARGIN + SKEW
    for minute in range(20):
        since = DUE + minute * MINUTE
        look = looked_at(claimed, since, since + MINUTE)
        assert bool(look.arm) == has_look(ends_at, since, since + MINUTE)


def test_what_is_overdue_when_it_is_written_is_looked_at_by_the_next_sweep() -> None:
    state = written(replace(fresh(definition()), next_due_at=DUE - HOUR), DUE)
    assert state.watch_at == DUE
    assert len(looked_at(state, DUE - MINUTE, DUE).arm) == 1
    assert looked_at(state, DUE, DUE + SECOND).arm == ()


def test_what_nothing_covers_is_armed_two_minutes_before() -> None:
    state = fresh(definition(OneTime(DUE + HOUR)))
    due_at = DUE + HOUR
    assert state.watch_at == due_at - WAKE_AHEAD
    sent = []
    for seconds in range(-120, 400, 10):
        at = due_at + seconds * SECOND
        look = looked_at(state, at - 10 * SECOND, at)
        assert look.moved is None
        assert {due.at for due in look.arm} <= {due_at}
        sent += [seconds] * len(look.arm)
    assert sent == [-120, 30, 90, 210], "then it is looked at as if a message had covered it"


def test_only_what_is_overdue_is_armed() -> None:
    job = definition(MINUTELY)
    lost, retry = (
        out(RunKey(DUE - HOUR, 1), lease_until=DUE - MINUTE),
        waiting(next_attempt_at=DUE + HOUR),
    )
    state = fresh(job, next_due_at=DUE + HOUR, runs=(lost, retry), watch_at=DUE - MINUTE + SKEW)
    assert looked_at(state, None, DUE) == Look((DueMessage("job_x", "tenant", lost.key, DUE),))


def test_a_watch_that_is_read_rarely_is_moved_to_the_next_look_of_any_step() -> None:
    """A step that becomes overdue between two of its looks would be found late."""
    job = definition(MINUTELY)
    retry = waiting(next_attempt_at=DUE + 19 * MINUTE)
    state = fresh(job, next_due_at=DUE, runs=(retry,), watch_at=DUE + GRACE)
    now = DUE + GRACE + 15 * MINUTE
    assert looked_at(state, now - MINUTE, now - TICK) == Look(())
    moved = looked_at(state, now - MINUTE, now).moved
    assert moved is not None
    assert moved.revision == state.revision + 1
    assert moved.watch_at == DUE + 19 * MINUTE + GRACE
    assert replace(moved, revision=state.revision, watch_at=state.watch_at) == state


def test_a_watch_that_was_left_too_early_is_moved_before_it_is_read_rarely() -> None:
    state = fresh(definition(OneTime(DUE + HOUR)), covered=False, watch_at=DUE)
    moved = looked_at(state, DUE + 14 * MINUTE, DUE + 15 * MINUTE)
    assert moved == Look((), replace(state, revision=2, watch_at=DUE + HOUR - WAKE_AHEAD))


@given(
    due_in=st.integers(-40 * 60, 40 * 60),
    covered=st.booleans(),
    runs=st.lists(st.tuples(st.integers(-40 * 60, 40 * 60), st.booleans()), max_size=3),
    sweeps=st.lists(st.integers(1, 130), min_size=30, max_size=60),
)
def test_every_step_is_looked_at_by_the_first_sweep_after_its_looks(
    due_in: int, covered: bool, runs: list[tuple[int, bool]], sweeps: list[int]
) -> None:
    """The sweeper reads a state only when its `watch_at` says so, and yet is never late."""
    job = definition(MINUTELY)
    waits = tuple(
        waiting(
            RunKey(DUE - (number + 1) * HOUR, 1),
            next_attempt_at=DUE + at * SECOND,
            covered=is_covered,
        )
        for number, (at, is_covered) in enumerate(runs)
    )
    due_at = DUE + due_in * SECOND
    state = written(fresh(job, next_due_at=due_at, covered=covered, runs=waits), DUE)
    firsts = {run.key: max(DUE, run.watch_at) for run in waits}
    firsts[RunKey(due_at, 1)] = max(DUE, due_at + GRACE if covered else due_at - WAKE_AHEAD)
    sent: dict[RunKey, list[datetime]] = {key: [] for key in firsts}
    since = DUE - SECOND
    for seconds in sweeps:
        until = since + seconds * SECOND
        assert state.watch_at is not None
        if is_read(state.watch_at, since, until):
            look = run_transitions.sweep(state, since, until)
            if isinstance(look, Look):
                for due in look.arm:
                    sent[due.key].append(until)
                state = look.moved or state
        for key, first in firsts.items():
            if since < first <= until:
                assert sent[key] == [until], "the first look is made, and by the first sweep"
            if sent[key]:
                # Never longer than eight minutes without a look.
                assert until - sent[key][-1] < 8 * MINUTE + 130 * SECOND
        since = until
    # Each look that falls between those of `watch_at` moves it, and with it the first five looks.
    series = 2 * len(firsts) + 1
    most = 5 * series + (since - DUE) / (8 * MINUTE)
    assert all(len(times) <= most for times in sent.values())


def test_a_paused_job_s_occurrence_is_not_armed() -> None:
    state = fresh(
        definition(),
        status=Status.PAUSED,
        runs=(waiting(next_attempt_at=DUE),),
        watch_at=DUE + GRACE,
    )
    assert [due.key for due in looked_at(state, None, DUE + HOUR).arm] == [KEY]


def test_a_wake_stands_for_the_occurrence_two_minutes_later_whatever_comes_next() -> None:
    job = definition(Cron("*/5 * * * *", "UTC"))
    state = fresh(job)
    for due_at in (DUE, DUE + 5 * MINUTE, DUE - 5 * MINUTE):
        assert wake(job, state, due_at - WAKE_AHEAD) == DueMessage(
            "job_x", "tenant", RunKey(due_at, 1), due_at
        )


def test_a_wake_for_a_minute_at_which_nothing_occurs_is_for_nothing() -> None:
    job = definition(Cron("*/5 * * * *", "UTC"))
    assert wake(job, fresh(job), DUE - WAKE_AHEAD + MINUTE) is None
    assert wake(job, fresh(job), DUE - WAKE_AHEAD - MINUTE) is None


def test_a_wake_of_a_date_stands_for_the_date() -> None:
    date = DUE + timedelta(seconds=17)
    job = definition(OneTime(date))
    assert wake(job, fresh(job), DUE - WAKE_AHEAD) == DueMessage(
        "job_x", "tenant", RunKey(date, 1), date
    )


@pytest.mark.parametrize("status", [Status.PAUSED, Status.COMPLETED, Status.FAILED])
def test_a_wake_of_a_job_that_is_not_active_is_for_nothing(status: Status) -> None:
    for job in (definition(), definition(MINUTELY)):
        assert wake(job, fresh(job, status=status), DUE - WAKE_AHEAD) is None


def test_a_wake_names_the_generation_that_counts_now() -> None:
    due = wake(definition(MINUTELY), fresh(definition(MINUTELY), generation=4), DUE - WAKE_AHEAD)
    assert due is not None
    assert due.key == RunKey(DUE, 4)
