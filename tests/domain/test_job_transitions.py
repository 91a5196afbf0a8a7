"""What users do to a job, rule by rule: create, change, pause, resume, run now, retry, cancel."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain import job_transitions
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import AttemptInFlight, DateHasPassed, JobHasEnded, TooManyRuns
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.pauses import NOTHING_ASKED, Asked
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import Reason, RunEnd, RunStatus
from chalicelib.domain.state import (
    GRACE,
    MAX_UNFINISHED_RUNS,
    NEAR,
    DueMessage,
    LastRun,
    State,
    Status,
    Transition,
    UnfinishedRun,
)
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger

NOW = datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
# A token that is an hour old: every wake of its schedule can be counted on.
TOKEN, NEW_TOKEN = new_token(NOW - HOUR), new_token(NOW)
MINUTELY, HOURLY = Cron("* * * * *", "UTC"), Cron("0 0-22 * * *", "UTC")
# Minutely for forty minutes, and then for twenty not.
FORTY = Cron("0-40 0-22 * * *", "UTC")
SOON, FAR = OneTime(NOW + MINUTE), OneTime(NOW + HOUR)
MANUAL = RunKey.for_manual(NOW)


def definition(trigger: Trigger = SOON, **fields: Any) -> Definition:
    return Definition(
        "job_x",
        "tenant",
        1,
        "job",
        NOW,
        trigger,
        Request("https://example.com/", "POST", {}, None),
        **fields,
    )


def fresh(job: Definition, token: str | None = None, **fields: Any) -> State:
    return replace(job_transitions.create(job, token, NOW).state, token=token, **fields)


def pause(state: State, now: datetime, asked: Asked = NOTHING_ASKED) -> Transition | None:
    return job_transitions.pause(definition(), state, asked, None, now)


def change(
    old: Definition, new: Definition, state: State, token: str | None = None, *, anew: bool = False
) -> tuple[Definition, Transition]:
    step = job_transitions.change(old, new, state, token, NOW, anew=anew)
    assert step.definition is not None
    return step.definition, step


@pytest.mark.parametrize(
    "trigger", [FAR, MINUTELY, HOURLY, FORTY, OneTime(NOW + timedelta(minutes=1))]
)
@pytest.mark.parametrize("status", [Status.ACTIVE, Status.PAUSED])
def test_a_state_carries_the_token_offered_only_if_its_job_takes_a_schedule(
    trigger: Trigger, status: Status
) -> None:
    job = definition(trigger)
    wants = trigger in (FAR, HOURLY, FORTY)
    carried = NEW_TOKEN if wants else None
    assert job_transitions.create(job, NEW_TOKEN, NOW).state.token == carried
    state = fresh(job, status=status)
    moved = change(job, job, state, NEW_TOKEN, anew=True)[1]
    assert moved.state.token == (carried if status is Status.ACTIVE else None)
    resumed = job_transitions.resume(job, fresh(job, status=Status.PAUSED), NEW_TOKEN, NOW)
    assert resumed is not None
    assert resumed.state.token == carried


def due(at: datetime, generation: int = 1) -> DueMessage:
    return DueMessage("job_x", "tenant", RunKey(at, generation), at)


def waiting(generation: int = 1, at: datetime = NOW + HOUR) -> UnfinishedRun:
    return UnfinishedRun(
        RunKey(NOW - HOUR, generation), generation, 1, next_attempt_at=at, started_at=NOW - HOUR
    )


def out(generation: int = 1) -> UnfinishedRun:
    return UnfinishedRun(
        RunKey(NOW - MINUTE, generation),
        generation,
        1,
        "owner",
        NOW + MINUTE,
        started_at=NOW - MINUTE,
    )


# Each change of these is another meaning.
MEANINGS: list[dict[str, Any]] = [
    {"request": Request("https://example.com/other", "POST", {}, None)},
    {"request": Request("https://example.com/", "PUT", {}, None)},
    {"request": Request("https://example.com/", "POST", {"X-A": "b"}, None)},
    {"request": Request("https://example.com/", "POST", {}, {"a": 1})},
    {"timeout": timedelta(seconds=5)},
    {"retry": RetryPolicy(5)},
    {"overlap": Overlap.SKIP},
    {"misfire_grace": MINUTE},
]
NAMES: list[dict[str, Any]] = [{"name": "other"}, {"labels": {"a": "b"}}]


def test_a_job_that_is_due_soon_gets_a_message() -> None:
    step = job_transitions.create(definition(), None, NOW)
    state = step.state
    assert (state.revision, state.generation, state.defined_in, state.status) == (
        1,
        1,
        1,
        Status.ACTIVE,
    )
    assert (state.job_id, state.tenant, state.updated_at, state.runs, state.last_run) == (
        "job_x",
        "tenant",
        NOW,
        (),
        None,
    )
    assert (state.next_due_at, state.covered, state.watch_at) == (
        SOON.date,
        True,
        SOON.date + GRACE,
    )
    assert step.arm == (due(SOON.date),)


def test_a_date_that_has_just_passed_is_due_at_once() -> None:
    past = OneTime(NOW - timedelta(seconds=59))
    step = job_transitions.create(definition(past), None, NOW)
    assert (step.state.next_due_at, step.arm) == (past.date, (due(past.date),))


def test_what_its_schedule_is_sure_to_wake_gets_no_message() -> None:
    step = job_transitions.create(definition(FAR), NEW_TOKEN, NOW)
    assert (step.arm, step.state.covered, step.state.watch_at, step.state.token) == (
        (),
        True,
        FAR.date + GRACE,
        NEW_TOKEN,
    )


def test_what_no_schedule_wakes_and_no_message_can_wait_for_is_left_to_the_sweeper() -> None:
    step = job_transitions.create(definition(FAR), None, NOW)
    assert (step.arm, step.state.covered, step.state.watch_at) == ((), False, FAR.date - WAKE_AHEAD)


def test_the_first_occurrence_of_a_cron_gets_a_message_when_its_wake_may_be_missed() -> None:
    step = job_transitions.create(definition(FORTY), NEW_TOKEN, NOW)
    first = NOW + timedelta(seconds=30)
    assert (step.state.next_due_at, step.arm) == (first, (due(first),))


@pytest.mark.parametrize(
    ("trigger", "status", "due_at", "wants"),
    [
        (OneTime(NOW + NEAR), Status.ACTIVE, NOW + NEAR, False),
        (OneTime(NOW + NEAR + SECOND), Status.ACTIVE, NOW + NEAR + SECOND, True),
        (MINUTELY, Status.ACTIVE, NOW + SECOND, False),
        (FORTY, Status.ACTIVE, NOW + SECOND, True),
        (FORTY, Status.PAUSED, NOW + SECOND, False),
        (FAR, Status.PAUSED, FAR.date, False),
        (FAR, Status.COMPLETED, None, False),
        (FORTY, Status.ACTIVE, None, False),
    ],
)
def test_a_job_takes_a_schedule_when_a_message_alone_would_not_do(
    trigger: Trigger, status: Status, due_at: datetime | None, wants: bool
) -> None:
    assert job_transitions.wants_schedule(trigger, status, due_at, NOW) is wants


@pytest.mark.parametrize("fields", NAMES)
@pytest.mark.parametrize("status", Status)
def test_a_new_name_changes_nothing_but_the_name(fields: dict[str, Any], status: Status) -> None:
    old = definition()
    state = fresh(
        old,
        status=status,
        next_due_at=None if status in (Status.COMPLETED, Status.FAILED) else SOON.date,
    )
    new, step = change(old, replace(old, **fields), state)
    assert new == replace(old, **fields, edition=2)
    assert step.state.edition == 2
    assert (step.state.generation, step.state.defined_in, step.state.status) == (1, 1, status)
    assert (step.state.next_due_at, step.state.token, step.arm) == (
        state.next_due_at,
        state.token,
        (),
    )
    assert step.state.revision == state.revision + 1


def test_a_new_name_leaves_retries_as_they_are() -> None:
    old = definition()
    _, step = change(old, replace(old, name="other"), fresh(old, runs=(waiting(),)))
    assert (step.state.runs, step.arm) == ((waiting(),), ())


def test_both_counters_of_a_renamed_job_stay_apart_if_they_were() -> None:
    """A pause is a new generation, the definition goes with the old one; a new name must not claim
    that it goes with the new.
    """
    old = definition()
    paused = pause(fresh(old), NOW)
    assert paused is not None
    new, step = change(old, replace(old, name="other"), paused.state)
    assert (new.generation, step.state.defined_in, step.state.generation) == (1, 1, 2)


@pytest.mark.parametrize("fields", MEANINGS)
@pytest.mark.parametrize("trigger", [SOON, MINUTELY])
def test_a_new_meaning_keeps_the_due_time_and_takes_over_its_message(
    trigger: Trigger, fields: dict[str, Any]
) -> None:
    old = definition(trigger)
    state = fresh(old)
    new, step = change(old, replace(old, **fields), state)
    assert (new.generation, step.state.generation, step.state.defined_in) == (2, 2, 2)
    assert step.state.next_due_at == state.next_due_at
    assert state.next_due_at is not None
    assert step.arm == (due(state.next_due_at, 2),), (
        "the old message names the generation that has just ended"
    )


def test_a_new_meaning_keeps_a_due_time_that_has_just_passed() -> None:
    old = definition(MINUTELY)
    state = fresh(old, next_due_at=NOW - SECOND)
    _, step = change(old, replace(old, timeout=SECOND), state)
    assert (step.state.next_due_at, step.arm) == (NOW - SECOND, (due(NOW - SECOND, 2),))


def test_a_new_meaning_keeps_its_schedule_and_sends_a_message_when_that_may_have_woken() -> None:
    old = definition(OneTime(NOW + MINUTE))
    _, step = change(old, replace(old, timeout=SECOND), fresh(old, TOKEN), TOKEN)
    assert (step.state.token, step.arm) == (TOKEN, (due(NOW + MINUTE, 2),))
    far = definition(FAR)
    _, step = change(far, replace(far, timeout=SECOND), fresh(far, TOKEN), TOKEN)
    assert (step.state.token, step.arm, step.state.covered) == (TOKEN, (), True)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.COMPLETED, Status.FAILED])
def test_a_new_trigger_counts_from_now_and_makes_the_job_active(status: Status) -> None:
    old = definition(OneTime(NOW - HOUR))
    state = fresh(old, status=status, next_due_at=None, last_run=LastRun(RunKey(NOW - HOUR, 1), 1))
    new, step = change(old, replace(old, trigger=SOON), state)
    assert (new.generation, step.state.generation, step.state.status) == (2, 2, Status.ACTIVE)
    assert (step.state.next_due_at, step.arm) == (SOON.date, (due(SOON.date, 2),))
    assert step.state.last_run == state.last_run


def test_a_cron_that_was_due_and_gets_a_new_trigger_has_nothing_due_before_now() -> None:
    old = definition(MINUTELY)
    _, step = change(
        old, replace(old, trigger=HOURLY), fresh(old, next_due_at=NOW - SECOND), NEW_TOKEN
    )
    assert step.state.next_due_at == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert step.state.token == NEW_TOKEN


def test_a_new_trigger_that_its_new_schedule_is_sure_to_wake_gets_no_message() -> None:
    old, new = definition(FAR), definition(Cron("10 0-22 * * *", "UTC"))
    _, step = change(old, new, fresh(old, TOKEN), NEW_TOKEN)
    assert step.state.next_due_at is not None
    assert step.state.next_due_at - NOW < NEAR
    assert (step.arm, step.state.covered) == ((), True)


def test_a_trigger_written_anew_counts_anew_also_when_it_comes_to_the_same() -> None:
    old = definition()
    done = fresh(old, status=Status.COMPLETED, next_due_at=None)
    _, step = change(old, old, done, anew=True)
    assert (step.state.generation, step.state.status, step.arm) == (
        2,
        Status.ACTIVE,
        (due(SOON.date, 2),),
    )


def test_a_doubt_belongs_to_its_schedule() -> None:
    """A schedule whose wake did not come is not counted on; a new one is, and none is doubted while
    there is none.
    """
    old = definition(HOURLY)
    state = fresh(old, TOKEN, doubted_until=NOW + HOUR)
    assert (
        change(old, replace(old, timeout=SECOND), state, TOKEN)[1].state.doubted_until == NOW + HOUR
    )
    assert change(old, replace(old, name="other"), state)[1].state.doubted_until == NOW + HOUR
    assert (
        change(old, replace(old, trigger=MINUTELY), state, NEW_TOKEN)[1].state.doubted_until is None
    )
    paused = pause(state, NOW)
    assert paused is not None
    assert paused.state.doubted_until is None


def test_a_paused_job_with_a_new_trigger_stays_paused_and_is_armed_by_nothing() -> None:
    old = definition()
    paused = pause(fresh(old), NOW)
    assert paused is not None
    new, step = change(old, replace(old, trigger=FAR), paused.state)
    assert (new.generation, step.state.generation, step.state.defined_in) == (3, 3, 3)
    assert (step.state.status, step.state.next_due_at, step.arm, step.state.watch_at) == (
        Status.PAUSED,
        FAR.date,
        (),
        None,
    )


@pytest.mark.parametrize("fields", MEANINGS)
def test_a_one_time_job_whose_run_has_begun_takes_a_new_meaning_only_with_a_new_trigger(
    fields: dict[str, Any],
) -> None:
    old = definition()
    for state in (
        fresh(old, next_due_at=None, runs=(out(),)),
        fresh(old, next_due_at=None, status=Status.COMPLETED),
    ):
        with pytest.raises(JobHasEnded):
            change(old, replace(old, **fields), state)
        assert (
            change(old, replace(old, trigger=FAR, **fields), state)[1].state.next_due_at == FAR.date
        )


def test_a_change_hurries_what_waits_in_vain_and_leaves_what_is_under_way() -> None:
    old = definition()
    manual = UnfinishedRun(MANUAL, 1, 1, next_attempt_at=NOW + HOUR, started_at=NOW)
    state = fresh(old, runs=(waiting(), out(), manual))
    for new in (replace(old, trigger=FAR), replace(old, timeout=SECOND)):
        _, step = change(old, new, state)
        # A manual run is superseded by a new definition, not by a pause.
        assert [one for one in step.arm if one.at == NOW] == [
            DueMessage("job_x", "tenant", waiting().key, NOW),
            DueMessage("job_x", "tenant", MANUAL, NOW),
        ]
        assert step.state.find(out().key) == out()
        assert step.state.find(waiting().key) == replace(waiting(), next_attempt_at=NOW)
        assert step.state.watch_at == NOW + GRACE


@pytest.mark.parametrize("trigger", [SOON, FAR, MINUTELY])
def test_a_paused_job_is_due_no_more(trigger: Trigger) -> None:
    state = fresh(definition(trigger), TOKEN)
    step = pause(state, NOW + SECOND)
    assert step is not None
    assert (step.state.status, step.state.next_run_time, step.state.watch_at, step.arm) == (
        Status.PAUSED,
        None,
        None,
        (),
    )
    assert (step.state.generation, step.state.defined_in, step.state.token) == (2, 1, None)
    assert (step.state.revision, step.state.updated_at) == (2, NOW + SECOND)
    assert step.state.next_due_at == state.next_due_at, "a one-time job keeps its date"


def test_a_pause_ends_retries_of_occurrences_and_leaves_manual_runs() -> None:
    manual = UnfinishedRun(MANUAL, 1, 0, next_attempt_at=NOW + MINUTE)
    step = pause(fresh(definition(), runs=(waiting(), out(), manual)), NOW)
    assert step is not None
    assert step.arm == (DueMessage("job_x", "tenant", waiting().key, NOW),)
    assert step.state.find(MANUAL) == manual
    assert step.state.find(out().key) == out()


def test_a_pause_covers_what_it_hurries() -> None:
    step = pause(fresh(definition(), runs=(replace(waiting(), covered=False),)), NOW)
    assert step is not None
    assert step.state.watch_at == NOW + GRACE


def test_pausing_twice_is_one_pause() -> None:
    assert pause(fresh(definition(), status=Status.PAUSED), NOW) is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_what_has_ended_is_neither_paused_nor_resumed(status: Status) -> None:
    ended = fresh(definition(), status=status, next_due_at=None)
    with pytest.raises(JobHasEnded, match="paused"):
        pause(ended, NOW)
    with pytest.raises(JobHasEnded, match="resumed"):
        job_transitions.resume(definition(), ended, None, NOW)


def test_resuming_an_active_job_changes_nothing() -> None:
    assert job_transitions.resume(definition(), fresh(definition()), None, NOW) is None


def test_a_resumed_cron_is_due_at_its_next_time_from_now() -> None:
    job = definition(MINUTELY)
    paused = fresh(job, status=Status.PAUSED, generation=2, next_due_at=NOW - HOUR)
    step = job_transitions.resume(job, paused, None, NOW)
    assert step is not None
    first = NOW + timedelta(seconds=30)
    assert (step.state.status, step.state.next_due_at, step.arm) == (
        Status.ACTIVE,
        first,
        (due(first, 3),),
    )
    assert (step.state.generation, step.state.defined_in) == (3, 1)


def test_a_resumed_one_time_job_is_due_at_its_date() -> None:
    job = definition(FAR)
    step = job_transitions.resume(job, fresh(job, status=Status.PAUSED), NEW_TOKEN, NOW)
    assert step is not None
    assert (step.state.next_due_at, step.state.token, step.state.covered, step.arm) == (
        FAR.date,
        NEW_TOKEN,
        True,
        (),
    )


@pytest.mark.parametrize("due_at", [NOW, NOW - SECOND, None])
def test_a_one_time_job_whose_date_has_passed_is_not_resumed(due_at: datetime | None) -> None:
    job = definition(OneTime(due_at or NOW - SECOND))
    paused = fresh(job, status=Status.PAUSED, next_due_at=due_at)
    for ask in (
        job_transitions.due_after_resume,
        lambda *arguments: job_transitions.resume(arguments[0], arguments[1], None, arguments[2]),
    ):
        with pytest.raises(DateHasPassed):
            ask(job, paused, NOW)
    assert (
        job_transitions.due_after_resume(
            definition(FAR), fresh(definition(FAR), status=Status.PAUSED), NOW
        )
        == FAR.date
    )


def test_a_resume_ends_retries_from_before_the_pause() -> None:
    job = definition(MINUTELY)
    step = job_transitions.resume(
        job,
        fresh(job, status=Status.PAUSED, generation=2, runs=(waiting(generation=2),)),
        None,
        NOW,
    )
    assert step is not None
    assert DueMessage("job_x", "tenant", waiting(generation=2).key, NOW) in step.arm


@pytest.mark.parametrize("status", Status)
def test_a_manual_run_is_queued_whatever_the_job_s_status_and_changes_none_of_it(
    status: Status,
) -> None:
    state = fresh(definition(), status=status, generation=4, defined_in=3, token=TOKEN)
    step = job_transitions.run_now(state, MANUAL, NOW)
    assert step.state.runs == (UnfinishedRun(MANUAL, 3, 0, next_attempt_at=NOW),)
    assert step.arm == (DueMessage("job_x", "tenant", MANUAL, NOW),)
    assert (step.state.status, step.state.next_due_at, step.state.generation) == (
        status,
        state.next_due_at,
        4,
    )
    assert (step.state.token, step.state.updated_at) == (TOKEN, state.updated_at)
    assert step.state.watch_at is not None
    assert not step.state.supersedes(step.state.runs[0])


def test_a_33rd_run_is_refused() -> None:
    runs = tuple(
        UnfinishedRun(RunKey(NOW - number * MINUTE, 1), 1, 1, next_attempt_at=NOW + HOUR)
        for number in range(MAX_UNFINISHED_RUNS)
    )
    with pytest.raises(TooManyRuns, match="32"):
        job_transitions.run_now(fresh(definition(), runs=runs), MANUAL, NOW)
    assert (
        len(job_transitions.run_now(fresh(definition(), runs=runs[1:]), MANUAL, NOW).state.runs)
        == MAX_UNFINISHED_RUNS
    )


@pytest.mark.parametrize("status", Status)
def test_retries_are_queued_each_for_its_time_and_change_nothing_else(status: Status) -> None:
    state = fresh(definition(), status=status, generation=4, defined_in=3, token=TOKEN)
    first, second = (RunKey(NOW - HOUR * ago, 1).retried_by for ago in (2, 1))
    step = job_transitions.retry(state, {first: NOW, second: NOW + HOUR}, NOW)
    assert step.state.runs == (
        UnfinishedRun(first, 3, 0, next_attempt_at=NOW, planned_at=NOW),
        UnfinishedRun(
            second, 3, 0, next_attempt_at=NOW + HOUR, planned_at=NOW + HOUR, covered=False
        ),
    )
    # A message cannot wait for an hour: the sweeper arms the second one.
    assert step.arm == (DueMessage("job_x", "tenant", first, NOW),)
    left = replace(step.state, runs=state.runs, revision=state.revision, watch_at=state.watch_at)
    assert left == state
    assert not any(step.state.supersedes(run) for run in step.state.runs)


def test_a_33rd_run_is_no_retry_either() -> None:
    plan = {RunKey(NOW - number * MINUTE, 1).retried_by: NOW for number in range(33)}
    with pytest.raises(TooManyRuns, match="32"):
        job_transitions.retry(fresh(definition()), plan, NOW)


def test_a_cancelled_run_that_was_sent_has_failed_and_is_the_result() -> None:
    state = fresh(definition(MINUTELY), runs=(waiting(),))
    step = job_transitions.cancel(MINUTELY, state, waiting(), NOW)
    assert step.ended == (
        RunEnd(waiting().key, RunStatus.FAILED, NOW, Reason.CANCELLED, started_at=NOW - HOUR),
    )
    assert (step.state.runs, step.state.status) == ((), Status.ACTIVE)
    assert step.state.last_run == LastRun(waiting().key, 1, closed_at=NOW)


def test_a_cancelled_run_that_was_never_sent_is_skipped_and_no_result() -> None:
    queued = UnfinishedRun(MANUAL, 1, 0, next_attempt_at=NOW)
    step = job_transitions.cancel(SOON, fresh(definition(), runs=(queued,)), queued, NOW)
    assert step.ended == (RunEnd(MANUAL, RunStatus.SKIPPED, NOW, Reason.CANCELLED),)
    assert (step.state.runs, step.state.last_run) == ((), None)


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (waiting(), Status.FAILED),
        (waiting(generation=7), Status.ACTIVE),
        (replace(waiting(), key=waiting().key.retried_by), Status.ACTIVE),
        (replace(waiting(), key=MANUAL), Status.ACTIVE),
    ],
)
def test_only_the_cancel_of_its_own_run_ends_a_one_time_job(
    run: UnfinishedRun, status: Status
) -> None:
    state = fresh(definition(), next_due_at=None, runs=(run,))
    assert job_transitions.cancel(SOON, state, run, NOW).state.status is status


def test_a_run_whose_attempt_is_in_flight_is_not_cancelled() -> None:
    state = fresh(definition(), runs=(out(),))
    with pytest.raises(AttemptInFlight, match="attempt 1 of this run is in flight"):
        job_transitions.cancel(SOON, state, out(), NOW)
