"""Runs as the API shows them, built from records and state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    Outcome,
    Reason,
    RunEnd,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.run_history import Run, merged, recorded, unfinished
from chalicelib.domain.state import State, Status, UnfinishedRun

DUE = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
KEY = RunKey(DUE, 1)
STARTED = DUE + timedelta(milliseconds=40)
RETRYING, SUCCEEDED = (
    RunUpdate(RunStatus.RETRYING, next_attempt_at=DUE + MINUTE),
    RunUpdate(RunStatus.SUCCEEDED),
)
EXHAUSTED = RunUpdate(RunStatus.FAILED, Reason.ATTEMPTS_EXHAUSTED)


def attempt(number: int, update: RunUpdate, key: RunKey = KEY) -> Attempt:
    """Return an attempt of a second that began so many minutes after the first."""
    result = AttemptResult(Outcome.SUCCESS if update is SUCCEEDED else Outcome.TIMEOUT, SECOND)
    return Attempt(
        "job_x", key, number, "owner", STARTED + (number - 1) * MINUTE, STARTED, result, update
    )


def state(*runs: UnfinishedRun) -> State:
    return State("job_x", "tenant", 7, 1, 1, Status.ACTIVE, DUE, runs=runs)


def out(number: int) -> UnfinishedRun:
    return UnfinishedRun(KEY, 1, number, "owner", DUE + 5 * MINUTE, started_at=STARTED)


def waiting(number: int) -> UnfinishedRun:
    return UnfinishedRun(KEY, 1, number, next_attempt_at=DUE + MINUTE, started_at=STARTED)


def test_a_run_on_record_is_as_its_last_attempt_says() -> None:
    attempts = (attempt(1, RETRYING), attempt(2, EXHAUSTED))
    run = recorded(KEY, attempts, None)
    assert run == Run(
        KEY,
        RunStatus.FAILED,
        attempts,
        STARTED,
        STARTED + MINUTE + SECOND,
        None,
        Reason.ATTEMPTS_EXHAUSTED,
    )


def test_a_run_that_waits_has_not_finished() -> None:
    run = recorded(KEY, (attempt(1, RETRYING),), None)
    assert (run.status, run.finished_at, run.next_attempt_at) == (
        RunStatus.RETRYING,
        None,
        DUE + MINUTE,
    )


@pytest.mark.parametrize(
    ("status", "reason"), [(RunStatus.SKIPPED, Reason.OVERLAP), (RunStatus.MISSED, Reason.MISFIRE)]
)
def test_a_run_without_an_attempt_is_as_its_ending_says(
    status: RunStatus, reason: Reason | None
) -> None:
    end = RunEnd(KEY, status, DUE + SECOND, reason, missed_count=3, last_due_at=DUE + MINUTE)
    run = recorded(KEY, (), end)
    assert run == Run(
        KEY,
        status,
        finished_at=DUE + SECOND,
        reason=reason,
        missed_count=3,
        last_due_at=DUE + MINUTE,
    )
    assert run.lateness is None


def test_an_ending_has_the_last_word_and_keeps_the_attempts() -> None:
    end = RunEnd(KEY, RunStatus.FAILED, DUE + 2 * MINUTE, Reason.SUPERSEDED, started_at=STARTED)
    attempts = (attempt(1, RETRYING),)
    run = recorded(KEY, attempts, end)
    assert run == Run(
        KEY, RunStatus.FAILED, attempts, STARTED, DUE + 2 * MINUTE, None, Reason.SUPERSEDED
    )


def test_lateness_is_from_the_due_time_to_the_first_attempt() -> None:
    assert recorded(KEY, (attempt(1, RETRYING), attempt(2, SUCCEEDED)), None).lateness == timedelta(
        milliseconds=40
    )


def test_lateness_of_a_manual_run_is_from_the_millisecond_it_was_asked_for() -> None:
    asked = DUE + timedelta(milliseconds=700)
    run = Run(
        RunKey.for_manual(asked), RunStatus.RUNNING, started_at=asked + timedelta(milliseconds=25)
    )
    assert run.lateness == timedelta(milliseconds=25)


def test_a_manual_run_that_nobody_has_begun_is_queued() -> None:
    key = RunKey.for_manual(DUE)
    run = unfinished(UnfinishedRun(key, 1, 0, next_attempt_at=DUE), None)
    assert run == Run(key, RunStatus.QUEUED)
    assert run.lateness is None


def test_a_run_whose_attempt_is_out_is_running() -> None:
    assert unfinished(out(1), None) == Run(KEY, RunStatus.RUNNING, started_at=STARTED)


def test_a_run_whose_second_attempt_is_out_is_running_and_shows_the_first() -> None:
    on_record = recorded(KEY, (attempt(1, RETRYING),), None)
    run = unfinished(out(2), on_record)
    assert run == Run(KEY, RunStatus.RUNNING, on_record.attempts, STARTED)


def test_a_run_that_waits_is_retrying_until_the_time_that_the_state_names() -> None:
    hurried = replace(waiting(1), next_attempt_at=DUE + SECOND)
    run = unfinished(hurried, recorded(KEY, (attempt(1, RETRYING),), None))
    assert (run.status, run.next_attempt_at, run.finished_at) == (
        RunStatus.RETRYING,
        DUE + SECOND,
        None,
    )


def test_a_run_that_waits_and_whose_records_have_expired_is_still_shown() -> None:
    assert unfinished(waiting(4), None) == Run(
        KEY, RunStatus.RETRYING, started_at=STARTED, next_attempt_at=DUE + MINUTE
    )


@pytest.mark.parametrize(
    ("unfinished_run", "attempts"),
    [
        # Recorded, and not yet finished in the state.
        (out(1), (attempt(1, SUCCEEDED),)),
        (out(1), (attempt(1, RETRYING),)),
        (out(2), (attempt(1, RETRYING), attempt(2, EXHAUSTED))),
        # The state was read first, and others went on.
        (waiting(1), (attempt(1, RETRYING), attempt(2, SUCCEEDED))),
        (out(1), (attempt(1, RETRYING), attempt(2, RETRYING))),
    ],
)
def test_what_the_record_knows_later_wins(
    unfinished_run: UnfinishedRun, attempts: tuple[Attempt, ...]
) -> None:
    on_record = recorded(KEY, attempts, None)
    assert unfinished(unfinished_run, on_record) == on_record


def test_an_ending_on_record_wins_over_a_state_read_before() -> None:
    ended = recorded(
        KEY,
        (attempt(1, RETRYING),),
        RunEnd(KEY, RunStatus.FAILED, DUE + MINUTE, Reason.SUPERSEDED, started_at=STARTED),
    )
    assert unfinished(waiting(1), ended) == ended


def keys(*minutes: int) -> list[RunKey]:
    return [RunKey(DUE + minute * MINUTE, 1) for minute in minutes]


def done(key: RunKey) -> Run:
    return recorded(key, (attempt(1, SUCCEEDED, key),), None)


def test_runs_of_both_kinds_come_newest_first_each_once() -> None:
    first, second, third = keys(0, 1, 2)
    unfinished_runs = [replace(waiting(1), key=first), replace(out(1), key=third)]
    shown = merged(
        state(*unfinished_runs),
        [recorded(first, (attempt(1, RETRYING, first),), None), done(second)],
        None,
        10,
    )
    assert [(run.key, run.status) for run in shown] == [
        (third, RunStatus.RUNNING),
        (second, RunStatus.SUCCEEDED),
        (first, RunStatus.RETRYING),
    ]
    assert len(shown[2].attempts) == 1


@pytest.mark.parametrize("limit", range(6))
def test_no_more_than_the_limit_and_those_the_newest(limit: int) -> None:
    unfinished_runs = [replace(waiting(1), key=key) for key in keys(4, 0)]
    on_record = [done(key) for key in keys(3, 2, 1)[:limit]]
    shown = merged(state(*unfinished_runs), on_record, None, limit)
    assert [run.key for run in shown] == keys(4, 3, 2, 1, 0)[:limit]


def test_a_run_is_retried_if_its_retry_is_unfinished_or_on_record() -> None:
    first, second, third = keys(0, 1, 2)
    job = state(replace(waiting(0), key=first.retried_by), replace(waiting(1), key=third))
    shown = merged(job, [recorded(second, (), None, is_retried=True), done(first)], third, 10)
    assert [(run.key, run.is_retried) for run in shown] == [
        (second, True),
        (first.retried_by, False),
        (first, True),
    ]


@pytest.mark.parametrize("reason", [None, *Reason])
@pytest.mark.parametrize("status", RunStatus)
def test_a_run_may_be_retried_if_it_failed_was_missed_or_was_cancelled(
    status: RunStatus, reason: Reason | None
) -> None:
    went_wrong = status in (RunStatus.FAILED, RunStatus.MISSED)
    run = Run(KEY, status, reason=reason)
    assert run.may_be_retried == (went_wrong or reason is Reason.CANCELLED)


def test_a_retry_is_late_from_the_time_for_which_it_was_planned() -> None:
    planned = DUE + timedelta(hours=3)
    retry = replace(waiting(1), key=KEY.retried_by, started_at=planned + SECOND, planned_at=planned)
    assert unfinished(retry, None).lateness == SECOND
    asked = replace(retry, attempt=0, started_at=None, next_attempt_at=planned)
    assert unfinished(asked, None).next_attempt_at == planned


def test_runs_of_one_second_come_by_generation_and_manual_ones_last() -> None:
    manual = RunKey.for_manual(DUE)
    shown = merged(
        state(), [done(manual), done(RunKey(DUE, 2)), done(RunKey(DUE, 10)), done(KEY)], None, 10
    )
    assert [run.key for run in shown] == [manual, RunKey(DUE, 10), RunKey(DUE, 2), KEY]
