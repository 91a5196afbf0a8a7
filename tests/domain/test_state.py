"""The state of a job: which occurrences are covered, and when the sweeper must arm them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.run import ENDED
from chalicelib.domain.state import (
    GRACE,
    MOST_RECENT,
    NEAR,
    SETTLING,
    SKEW,
    STAYS,
    DueMessage,
    State,
    Status,
    UnfinishedRun,
    await_occurrence,
    occurrence_due,
    schedule_wakes_for,
    uncovered,
    written,
    written_by_claim,
)
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime

NOW = datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC)
TICK, SECOND, MINUTE, HOUR = (
    timedelta(microseconds=1),
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
)
OLD_TOKEN, FRESH_TOKEN = new_token(NOW - HOUR), new_token(NOW)
CRON = Cron("0-40/5 0-22 * * *", "UTC")
MANUAL = RunKey.for_manual(NOW)


def state(**fields: Any) -> State:
    return replace(State("job_x", "tenant", 1, 3, 2, Status.ACTIVE, NOW), **fields)


def waiting(minutes: int, **fields: Any) -> UnfinishedRun:
    return replace(
        UnfinishedRun(
            RunKey(NOW - minutes * MINUTE, 3), 3, 1, next_attempt_at=NOW + minutes * MINUTE
        ),
        **fields,
    )


@pytest.mark.parametrize(
    ("due_at", "is_armed", "is_covered"),
    [
        (NOW - HOUR, True, True),
        (NOW, True, True),
        (NOW + NEAR, True, True),
        # SQS cannot wait for so long.
        (NOW + NEAR + TICK, False, False),
        (None, False, True),
    ],
)
def test_what_no_schedule_wakes_is_armed_if_a_queue_can_wait_for_it(
    due_at: datetime | None, is_armed: bool, is_covered: bool
) -> None:
    awaiting, arm = await_occurrence(state(), CRON, due_at, NOW)
    assert (awaiting.next_due_at, awaiting.covered) == (due_at, is_covered)
    assert arm == (
        (DueMessage("job_x", "tenant", RunKey(due_at, 3), due_at),) if is_armed and due_at else ()
    )


@pytest.mark.parametrize("status", [Status.PAUSED, Status.COMPLETED, Status.FAILED])
def test_nothing_is_armed_for_a_job_that_is_not_active(status: Status) -> None:
    awaiting, arm = await_occurrence(state(status=status, covered=False), CRON, NOW + MINUTE, NOW)
    assert (awaiting.covered, arm) == (True, ())


def test_what_a_schedule_is_sure_to_wake_needs_no_message() -> None:
    awaiting, arm = await_occurrence(
        state(token=OLD_TOKEN, covered=False), CRON, NOW + 5 * MINUTE, NOW
    )
    assert (awaiting.covered, arm) == (True, ())


def test_no_schedule_wakes_for_what_is_due_already() -> None:
    assert not schedule_wakes_for(OLD_TOKEN, CRON, NOW, NOW)
    assert not schedule_wakes_for(OLD_TOKEN, CRON, NOW - MINUTE, NOW)
    assert schedule_wakes_for(OLD_TOKEN, CRON, NOW + TICK, NOW), (
        "a wake that is past has done its work"
    )
    assert not schedule_wakes_for(None, CRON, NOW + HOUR, NOW)


def test_a_schedule_is_sure_to_wake_only_later_than_the_minute_in_which_it_was_made() -> None:
    first = NOW + SETTLING + WAKE_AHEAD
    for trigger in (OneTime(first), Cron("0-40 0-22 * * *", "UTC")):
        assert schedule_wakes_for(FRESH_TOKEN, trigger, first, NOW)
        assert not schedule_wakes_for(FRESH_TOKEN, trigger, first - TICK, NOW)


def test_a_wake_in_a_clock_change_is_not_counted_on() -> None:
    """03:00 in Berlin on 28 March 2027 follows 01:59: a wake at 02:58 is not possible."""
    daily, after_the_gap = Cron("0 3 * * *", "Europe/Berlin"), datetime(2027, 3, 28, 1, tzinfo=UTC)
    assert not schedule_wakes_for(OLD_TOKEN, daily, after_the_gap, NOW)
    assert schedule_wakes_for(OLD_TOKEN, OneTime(after_the_gap), after_the_gap, NOW), (
        "a date wakes in UTC"
    )
    assert schedule_wakes_for(OLD_TOKEN, daily, after_the_gap + timedelta(days=1), NOW)


def test_a_state_that_is_written_is_the_next_revision_and_is_watched_by_its_first_wait() -> None:
    waits = state(next_due_at=NOW + HOUR, runs=(waiting(9), waiting(7)))
    after = written(waits, NOW)
    assert (after.revision, after.watch_at) == (2, NOW + 7 * MINUTE + GRACE)


def test_what_is_overdue_when_it_is_written_is_watched_from_then_on() -> None:
    assert written(state(next_due_at=NOW - HOUR), NOW).watch_at == NOW
    assert written(state(next_due_at=NOW - GRACE), NOW).watch_at == NOW
    assert written(state(next_due_at=NOW), NOW).watch_at == NOW + GRACE


@pytest.mark.parametrize(
    ("left", "watch_at"),
    [
        (NOW + 30 * SECOND, NOW + 30 * SECOND),
        (NOW + MINUTE + SKEW, NOW + MINUTE + SKEW),
        (NOW + 8 * MINUTE, NOW + MINUTE + SKEW),
        (NOW, NOW),
        (NOW - STAYS + TICK, NOW - STAYS + TICK),
        (NOW - STAYS, NOW + MINUTE + SKEW),
        (None, NOW + MINUTE + SKEW),
    ],
    ids=["grace", "the lease's end", "later than the lease", "now", "past", "long ago", "none"],
)
def test_a_claim_leaves_the_watch_where_it_is_unless_it_is_long_past_or_after_the_lease(
    left: datetime | None, watch_at: datetime
) -> None:
    run = waiting(0, owner="me", lease_until=NOW + MINUTE, next_attempt_at=None)
    claimed = written_by_claim(state(next_due_at=NOW + HOUR, runs=(run,), watch_at=left), NOW)
    assert (claimed.revision, claimed.watch_at) == (2, watch_at)


def test_a_claim_does_not_leave_a_watch_that_has_passed_if_a_step_is_overdue() -> None:
    """Its first look is then now, and a sweep has made the looks before."""
    run = waiting(0, owner="me", lease_until=NOW + MINUTE, next_attempt_at=None)
    for next_due_at, covered, watch_at in (
        (NOW - GRACE, True, NOW),
        (NOW + WAKE_AHEAD, False, NOW),
        (NOW + WAKE_AHEAD + TICK, False, NOW - MINUTE),
    ):
        claims = state(next_due_at=next_due_at, covered=covered, runs=(run,), watch_at=NOW - MINUTE)
        assert written_by_claim(claims, NOW).watch_at == watch_at


def test_a_state_that_waits_for_nothing_is_not_watched() -> None:
    assert written(state(watch_at=NOW), NOW).watch_at is None
    assert written(state(status=Status.PAUSED, next_due_at=NOW, watch_at=NOW), NOW).watch_at is None


@pytest.mark.parametrize(
    ("fields", "watch_at"),
    [
        ({"next_due_at": NOW + HOUR}, NOW + HOUR + GRACE),
        ({"next_due_at": NOW + HOUR, "covered": False}, NOW + HOUR - WAKE_AHEAD),
        ({"runs": (waiting(5),)}, NOW + 5 * MINUTE + GRACE),
        ({"runs": (waiting(5, covered=False),)}, NOW + 5 * MINUTE - WAKE_AHEAD),
        (
            {"runs": (waiting(5, owner="me", lease_until=NOW + MINUTE, next_attempt_at=None),)},
            NOW + MINUTE + SKEW,
        ),
    ],
)
def test_what_waits_is_watched_by_what_covers_it(
    fields: dict[str, Any], watch_at: datetime
) -> None:
    assert written(state(**fields), NOW).watch_at == watch_at


def test_messages_that_could_not_be_sent_cover_nothing_any_more() -> None:
    lost, kept = waiting(20), waiting(25)
    covering = state(next_due_at=NOW + 20 * MINUTE, runs=(lost, kept))
    for dues, of_occurrence, of_lost in [
        ([occurrence_due(covering, NOW + 20 * MINUTE)], False, True),
        ([DueMessage("job_x", "tenant", lost.key, NOW)], True, False),
        (
            [
                occurrence_due(covering, NOW + 20 * MINUTE),
                DueMessage("job_x", "tenant", lost.key, NOW),
            ],
            False,
            False,
        ),
        ([], True, True),
        ([DueMessage("job_x", "tenant", RunKey(NOW + 20 * MINUTE, 2), NOW)], True, True),
    ]:
        after = uncovered(covering, dues, NOW)
        assert (after.covered, [run.covered for run in after.runs]) == (
            of_occurrence,
            [of_lost, True],
        )
        assert after.revision == 2
        if not (of_occurrence and of_lost):
            assert after.watch_at == NOW + 20 * MINUTE - WAKE_AHEAD
    assert not uncovered(replace(covering, covered=False), [], NOW).covered
    assert uncovered(
        replace(covering, next_due_at=None), [DueMessage("job_x", "tenant", lost.key, NOW)], NOW
    ).covered


def test_runs_are_found_put_in_their_place_and_taken_out_by_their_key() -> None:
    first, second = waiting(1), waiting(2)
    both = state().with_run(first).with_run(second)
    assert both.find(first.key) == first
    again = both.with_run(replace(first, attempt=2))
    assert [run.key for run in again.runs] == [second.key, first.key]
    assert again.find(first.key) == replace(first, attempt=2)
    assert again.without_run(first).runs == (second,)
    assert again.find(RunKey(NOW, 9)) is None


@pytest.mark.parametrize(
    ("key", "generation", "is_superseded"),
    [
        (RunKey(NOW, 3), 3, False),
        (RunKey(NOW, 2), 2, True),
        (MANUAL, 2, False),
        (MANUAL, 1, True),
        (MANUAL, 3, True),
    ],
)
def test_an_occurrence_goes_by_the_job_s_generation_and_a_manual_run_by_the_definition_s(
    key: RunKey, generation: int, is_superseded: bool
) -> None:
    assert (
        state().supersedes(UnfinishedRun(key, generation, 1, next_attempt_at=NOW)) is is_superseded
    )


def test_the_last_ends_are_remembered_in_their_order() -> None:
    ended, ends = state(), [ENDED[number % len(ENDED)] for number in range(MOST_RECENT + 3)]
    for end in ends:
        ended = ended.with_end(end)
    assert list(ended.recent) == ends[3:]


def test_only_an_active_job_is_due() -> None:
    assert state(next_due_at=NOW).next_run_time == NOW
    for status in (Status.PAUSED, Status.COMPLETED, Status.FAILED):
        assert state(next_due_at=NOW, status=status).next_run_time is None
