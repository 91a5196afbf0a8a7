"""A firing from end to end: the real stores and use cases on a cloud in memory."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.serialization import load_due
from chalicelib.domain.cron import parse
from chalicelib.domain.errors import JobHasEnded, JobNotFound, Unavailable
from chalicelib.domain.ids import RunKey, run_id, split_schedule_name, token_time
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import AttemptResult, Outcome, Reason, RunStatus
from chalicelib.domain.state import DueMessage, Status
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.runtime.backoff import TRIES
from chalicelib.usecases.job_runs import run_now
from chalicelib.usecases.scheduling import Edit
from chalicelib.usecases.upsert import put
from tests.cloud import client_error
from tests.environment import START, Environment, Sent, ok, status


@pytest.fixture
def env() -> Environment:
    return Environment()


def at(**duration: float) -> OneTime:
    return OneTime((START + timedelta(**duration)).replace(microsecond=0))


MINUTELY = parse("* * * * *")


def lateness(env: Environment) -> list[float]:
    return [
        (sent.at - datetime.fromisoformat(sent.headers["Resona-Scheduled-Time"])).total_seconds()
        for sent in env.sent
    ]


def test_a_one_time_job_fires_on_the_second_and_is_completed(env: Environment) -> None:
    job_id = env.create(at(seconds=6))
    env.advance(seconds=10)
    assert lateness(env) == [0]
    job = env.job(job_id)
    assert job.state.status is Status.COMPLETED
    assert job.state.next_run_time is None
    assert job.result.result.status_code == 200
    assert not env.cloud.messages


def test_a_job_due_in_an_hour_is_woken_by_its_schedule(env: Environment) -> None:
    env.sweeps = False
    job_id = env.create(at(hours=1))
    assert len(env.cloud.schedules) == 1
    env.advance(hours=2)
    assert lateness(env) == [0]
    assert env.job(job_id).state.status is Status.COMPLETED
    assert not env.cloud.schedules


def test_without_schedules_the_sweeper_arms_on_time(env: Environment) -> None:
    def refuse(operation: str, request: dict[str, object]) -> None:
        if operation == "CreateSchedule":
            raise client_error("InternalServerException", operation, 500)

    env.cloud.before = refuse
    env.create(at(hours=1))
    env.create(parse("0 0-22 * * *"))
    env.advance(hours=3, minutes=1)
    assert lateness(env) == pytest.approx([0] * 4, abs=0.1)


def test_a_minutely_cron_fires_every_minute_once(env: Environment) -> None:
    job_id = env.create(MINUTELY)
    env.advance(minutes=10)
    assert lateness(env) == pytest.approx([0] * 10, abs=0.5)
    assert len({sent.headers["Resona-Run-Id"] for sent in env.sent}) == 10
    assert [run.status for run in env.run_list(job_id)] == [RunStatus.SUCCEEDED] * 10


def test_a_failing_target_is_tried_again_with_growing_pauses_and_the_same_key(
    env: Environment,
) -> None:
    answers = iter([status(500), status(503), ok()])
    env.target = lambda sent: next(answers)
    job_id = env.create(at(seconds=5))
    env.advance(minutes=5)
    assert [sent.headers["Resona-Attempt"] for sent in env.sent] == ["1", "2", "3"]
    assert len({sent.headers["Idempotency-Key"] for sent in env.sent}) == 1
    first, second, third = (sent.at for sent in env.sent)
    assert timedelta(seconds=10) <= second - first <= timedelta(seconds=11.1)
    assert timedelta(seconds=20) <= third - second <= timedelta(seconds=22.1)
    (run,) = env.run_list(job_id)
    assert [attempt.result.status_code for attempt in run.attempts] == [500, 503, 200]
    assert run.status is RunStatus.SUCCEEDED
    assert env.job(job_id).state.status is Status.COMPLETED


def test_attempts_end_at_max_attempts(env: Environment) -> None:
    env.target = lambda sent: status(500)
    job_id = env.create(
        at(seconds=5), retry=RetryPolicy(2, timedelta(seconds=1), timedelta(seconds=1))
    )
    env.advance(minutes=5)
    assert len(env.sent) == 2
    (run,) = env.run_list(job_id)
    assert (run.status, run.reason) == (RunStatus.FAILED, Reason.ATTEMPTS_EXHAUSTED)
    assert env.job(job_id).state.status is Status.FAILED


def test_a_status_that_will_not_pass_is_not_tried_again(env: Environment) -> None:
    env.target = lambda sent: status(404)
    job_id = env.create(at(seconds=5))
    env.advance(minutes=5)
    assert len(env.sent) == 1
    assert env.job(job_id).state.status is Status.FAILED


def test_retry_after_is_honoured_up_to_max_delay(env: Environment) -> None:
    answers = iter([status(429, retry_after="30"), status(429, retry_after="9999"), ok()])
    env.target = lambda sent: next(answers)
    env.create(at(seconds=5), retry=RetryPolicy(3, timedelta(seconds=1), timedelta(seconds=60)))
    env.advance(minutes=5)
    first, second, third = (sent.at for sent in env.sent)
    assert timedelta(seconds=30) <= second - first <= timedelta(seconds=33.1)
    assert timedelta(seconds=60) <= third - second <= timedelta(seconds=66.1)


def test_a_retry_later_than_a_queue_can_wait_is_armed_by_the_sweeper(env: Environment) -> None:
    answers = iter([status(500), ok()])
    env.target = lambda sent: next(answers)
    env.create(at(seconds=5), retry=RetryPolicy(2, timedelta(hours=1), timedelta(hours=1)))
    env.advance(hours=2)
    first, second = (sent.at for sent in env.sent)
    assert timedelta(hours=1) <= second - first <= timedelta(hours=1.1, seconds=1)


def test_a_job_paused_in_the_last_half_second_does_not_fire(env: Environment) -> None:
    job_id = env.create(at(seconds=6))
    (name,) = env.cloud.messages
    env.now = env.cloud.messages[name].visible_at
    original = env.firing.sleep

    def pause_meanwhile(seconds: float) -> None:
        env.scheduling.pause("tenant", job_id)
        original(seconds)

    object.__setattr__(env.firing, "sleep", pause_meanwhile)
    env.deliver(name)
    env.advance(minutes=10)
    assert env.sent == []
    assert env.job(job_id).state.next_run_time is None
    assert env.run_list(job_id) == []


def test_a_deleted_job_does_not_fire(env: Environment) -> None:
    near, far, cron = env.create(at(seconds=6)), env.create(at(hours=1)), env.create(MINUTELY)
    for job_id in (near, far, cron):
        env.scheduling.delete("tenant", job_id)
    env.advance(hours=2)
    assert env.sent == []
    with pytest.raises(JobNotFound):
        env.job(near)
    assert env.cloud.schedules == {}


def test_a_resumed_cron_fires_at_its_next_time(env: Environment) -> None:
    job_id = env.create(MINUTELY)
    env.scheduling.pause("tenant", job_id)
    env.advance(minutes=5)
    assert env.sent == []
    env.scheduling.resume("tenant", job_id)
    env.advance(minutes=3)
    assert lateness(env) == pytest.approx([0] * 3, abs=0.5)


def test_a_retry_of_a_paused_job_ends_as_superseded(env: Environment) -> None:
    env.target = lambda sent: status(500)
    job_id = env.create(at(seconds=5))
    env.advance(seconds=8)
    env.scheduling.pause("tenant", job_id)
    env.advance(minutes=5)
    assert len(env.sent) == 1
    (run,) = env.run_list(job_id)
    assert (run.status, run.reason, len(run.attempts)) == (RunStatus.FAILED, Reason.SUPERSEDED, 1)
    assert env.job(job_id).result.result.status_code == 500


def test_a_manual_run_outlives_a_pause_but_not_a_delete(env: Environment) -> None:
    answers = iter([status(500), ok(), status(500)])
    env.target = lambda sent: next(answers)
    job_id = env.create(at(hours=1))
    _, queued = run_now(env.scheduling, "tenant", job_id)
    assert queued.status is RunStatus.QUEUED
    env.advance(seconds=3)
    env.scheduling.pause("tenant", job_id)
    env.advance(minutes=1)
    assert [sent.headers["Resona-Attempt"] for sent in env.sent] == ["1", "2"]
    assert env.job(job_id).result.result.status_code == 200
    assert env.job(job_id).state.status is Status.PAUSED
    run_now(env.scheduling, "tenant", job_id)
    env.advance(seconds=3)
    env.scheduling.delete("tenant", job_id)
    env.advance(minutes=5)
    assert len(env.sent) == 3


def test_a_duplicated_message_is_sent_once(env: Environment) -> None:
    job_id = env.create(at(seconds=6))
    due = DueMessage(job_id, "tenant", RunKey(at(seconds=6).date, 1), at(seconds=6).date)
    env.queue.send([due, due, due], env.now)
    env.advance(minutes=5)
    assert len(env.sent) == 1


def test_a_lost_message_is_found_by_the_sweeper(env: Environment) -> None:
    job_id = env.create(at(seconds=6))
    env.cloud.messages.clear()
    env.advance(minutes=3)
    assert len(env.sent) == 1
    assert timedelta(seconds=30) <= env.sent[0].at - at(seconds=6).date <= timedelta(seconds=92)
    assert env.job(job_id).state.status is Status.COMPLETED


def test_only_what_has_come_due_is_told_to_be_overdue(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """What the sweeper arms beforehand, since nothing else will, is on time, and no alarm."""
    caplog.set_level(logging.DEBUG, "resona")
    answers = iter([status(500)])
    env.target = lambda sent: next(answers, ok())
    env.create(at(seconds=5), retry=RetryPolicy(2, timedelta(minutes=20), timedelta(minutes=20)))
    env.advance(minutes=30)
    assert len(env.sent) == 2
    assert [record.msg for record in caplog.records if record.msg.startswith("job.")] == [
        "job.created",
        "job.armed",
    ]
    env.create(at(seconds=5))
    env.cloud.messages.clear()
    env.advance(minutes=2)
    assert [record.msg for record in caplog.records if record.msg.startswith("job.")][2:] == [
        "job.created",
        "job.overdue",
    ]


def test_a_message_that_could_not_be_sent_is_armed_by_the_next_sweep(env: Environment) -> None:
    def refuse(operation: str, request: dict[str, object]) -> None:
        if operation == "SendMessageBatch" and env.now < START + timedelta(seconds=10):
            raise client_error("InternalError", operation, 500)

    env.cloud.before = refuse
    env.create(at(seconds=70))
    env.advance(minutes=3)
    assert lateness(env) == [0]


def test_an_executor_that_died_after_its_claim_leaves_unknown_on_record_and_is_tried_again(
    env: Environment,
) -> None:
    class Killed(BaseException):
        pass

    def die(sent: object) -> AttemptResult:
        raise Killed

    env.target = die
    job_id = env.create(at(seconds=6))
    with pytest.raises(Killed):
        env.advance(seconds=10)
    env.target = lambda sent: ok()
    env.advance(minutes=5)
    (run,) = env.run_list(job_id)
    assert [attempt.result.outcome for attempt in run.attempts] == [
        Outcome.UNKNOWN,
        Outcome.SUCCESS,
    ]
    assert env.job(job_id).state.status is Status.COMPLETED


def test_an_attempt_that_was_recorded_but_not_finished_is_only_finished(env: Environment) -> None:
    class Killed(BaseException):
        pass

    puts = []

    def die_at_finish(operation: str, request: dict[str, object]) -> None:
        if operation == "PutItem" and request["TableName"] == "jobs":
            puts.append(operation)
            if len(puts) == 2:
                raise Killed

    env.cloud.before = die_at_finish
    job_id = env.create(at(seconds=6))
    with pytest.raises(Killed):
        env.advance(seconds=10)
    env.advance(minutes=5)
    assert len(env.sent) == 1
    (run,) = env.run_list(job_id)
    assert run.status is RunStatus.SUCCEEDED
    assert env.job(job_id).state.status is Status.COMPLETED


def test_a_firing_later_than_its_grace_is_recorded_as_missed(env: Environment) -> None:
    job_id = env.create(at(seconds=6), misfire_grace=timedelta(seconds=60))
    env.now += timedelta(seconds=120)
    env.advance(minutes=5)
    assert env.sent == []
    (run,) = env.run_list(job_id)
    assert (run.status, run.missed_count) == (RunStatus.MISSED, 1)
    assert env.job(job_id).state.status is Status.FAILED


def test_a_row_of_missed_occurrences_is_one_run_with_a_count(env: Environment) -> None:
    job_id = env.create(MINUTELY)
    env.now += timedelta(minutes=30)
    env.advance(seconds=50)
    missed, *rest = reversed(env.run_list(job_id))
    assert (missed.status, missed.missed_count) == (RunStatus.MISSED, 29)
    assert [run.status for run in rest] == [RunStatus.SUCCEEDED] * len(rest)
    assert len(rest) >= 1


def test_a_one_time_job_without_grace_is_sent_however_late(env: Environment) -> None:
    env.create(at(seconds=6))
    env.now += timedelta(days=3)
    env.advance(minutes=5)
    assert len(env.sent) == 1


def test_overlap_skip_records_what_it_passes_over(env: Environment) -> None:
    env.target = lambda sent: status(500)
    job_id = env.create(
        MINUTELY,
        overlap=Overlap.SKIP,
        retry=RetryPolicy(2, timedelta(seconds=90), timedelta(seconds=90)),
    )
    env.advance(minutes=2, seconds=30)
    newest = env.run_list(job_id)[0]
    assert (newest.status, newest.reason) == (RunStatus.SKIPPED, Reason.OVERLAP)


def test_at_most_32_runs_are_unfinished(env: Environment) -> None:
    env.target = lambda sent: status(500)
    job_id = env.create(MINUTELY, retry=RetryPolicy(2, timedelta(hours=1), timedelta(hours=1)))
    env.advance(minutes=34)
    assert len(env.state(job_id).runs) == 32
    newest = env.run_list(job_id)[0]
    assert (newest.status, newest.reason) == (RunStatus.SKIPPED, Reason.TOO_MANY_RUNS)


def test_a_replaced_trigger_fires_only_anew(env: Environment) -> None:
    job_id = env.create(at(seconds=6))
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, trigger=at(seconds=20)))
    )
    env.advance(minutes=5)
    assert [sent.at for sent in env.sent] == [at(seconds=20).date]
    assert env.sent[0].headers["Resona-Run-Id"] == run_id(job_id, RunKey(at(seconds=20).date, 2))


def test_a_changed_request_is_sent_at_the_old_time(env: Environment) -> None:
    job_id = env.create(at(seconds=6))
    changed = Request("https://example.com/changed", "PUT", {}, None)
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, request=changed))
    )
    env.advance(minutes=5)
    assert [(sent.at, sent.request.url) for sent in env.sent] == [
        (at(seconds=6).date, "https://example.com/changed")
    ]


def test_a_finished_one_time_job_takes_a_new_request_only_with_a_new_trigger(
    env: Environment,
) -> None:
    job_id = env.create(at(seconds=6))
    env.advance(minutes=1)
    changed = Request("https://example.com/changed", "PUT", {}, None)
    with pytest.raises(JobHasEnded):
        env.scheduling.change(
            "tenant", job_id, lambda job, now: Edit(replace(job.definition, request=changed))
        )
    again = OneTime((env.now + timedelta(seconds=5)).replace(microsecond=0))
    env.scheduling.change(
        "tenant",
        job_id,
        lambda job, now: Edit(replace(job.definition, request=changed, trigger=again)),
    )
    env.advance(minutes=1)
    assert [sent.request.url for sent in env.sent] == [
        "https://example.com/hook",
        "https://example.com/changed",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Renamed"},
        {"request": Request("https://example.com/changed", "GET", {})},
        {"timeout": timedelta(seconds=7)},
        {"labels": {"team": "b"}},
    ],
)
def test_an_edit_that_leaves_the_trigger_alone_keeps_the_schedule(
    env: Environment, changes: dict[str, Any]
) -> None:
    job_id = env.create(parse("0 0-22 * * *"))
    token, schedules = env.state(job_id).token, dict(env.cloud.schedules)
    env.cloud.calls.clear()
    edited = env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, **changes))
    )
    assert replace(edited.definition, **changes) == edited.definition
    assert (env.state(job_id).token, env.cloud.schedules) == (token, schedules)
    assert not {"CreateSchedule", "DeleteSchedule"} & set(env.cloud.calls)


def test_an_edit_that_leaves_the_trigger_alone_makes_the_schedule_that_could_not_be_made(
    env: Environment,
) -> None:
    def refuse(operation: str, request: dict[str, Any]) -> None:
        if operation == "CreateSchedule":
            raise client_error("InternalServerException", operation, 500)

    env.cloud.before = refuse
    job_id = env.create(parse("0 0-22 * * *"))
    assert env.state(job_id).token is None
    env.cloud.before = lambda operation, request: None
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, name="Renamed"))
    )
    (name,) = env.cloud.schedules
    assert split_schedule_name(name) == (job_id, env.state(job_id).token)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.PAUSED])
def test_an_edit_makes_no_schedule_for_a_job_that_needs_none(
    env: Environment, status: Status
) -> None:
    """One that is due within minutes is armed by a message, and a paused one by nothing."""
    job_id = env.create(at(seconds=20) if status == Status.ACTIVE else parse("0 0-22 * * *"))
    if status == Status.PAUSED:
        env.scheduling.pause("tenant", job_id)
    env.cloud.calls.clear()
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, name="Renamed"))
    )
    assert (env.state(job_id).status, env.cloud.schedules) == (status, {})
    assert "CreateSchedule" not in env.cloud.calls


def test_a_new_trigger_replaces_the_schedule(env: Environment) -> None:
    job_id = env.create(parse("0 0-22 * * *"))
    (old,) = env.cloud.schedules
    env.scheduling.change(
        "tenant",
        job_id,
        lambda job, now: Edit(replace(job.definition, trigger=parse("30 0-22 * * *"))),
    )
    (new,) = env.cloud.schedules
    assert new != old
    assert split_schedule_name(new) == (job_id, env.state(job_id).token)


@pytest.mark.parametrize(
    "act",
    [
        lambda scheduling, job_id: scheduling.pause("tenant", job_id),
        lambda scheduling, job_id: run_now(scheduling, "tenant", job_id),
        lambda scheduling, job_id: scheduling.delete("tenant", job_id),
        lambda scheduling, job_id: scheduling.change(
            "tenant", job_id, lambda job, now: Edit(replace(job.definition, name="Renamed"))
        ),
        lambda scheduling, job_id: put(
            scheduling,
            "tenant",
            "key:nightly",
            lambda now: pytest.fail("the job is there"),
            lambda job, now: Edit(replace(job.definition, name="Renamed")),
        ),
    ],
    ids=["pause", "run_now", "delete", "change", "put"],
)
def test_a_write_that_somebody_else_is_first_to_every_time_is_given_up_and_not_acknowledged(
    env: Environment, act: Callable[[Any, str], object]
) -> None:
    job_id = env.create(parse("0 0-22 * * *"), key="nightly")
    others = itertools.count(1)

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation in ("PutItem", "TransactWriteItems", "DeleteItem"):
            env.cloud.before = lambda operation, request: None
            state = env.state(job_id)
            env.jobs.save(replace(state, revision=state.revision + 1), now=env.now)
            next(others)
            env.cloud.before = before

    env.cloud.before = before
    waits: list[float] = []
    scheduling = env.parts(sleep=waits.append).scheduling
    with pytest.raises(Unavailable, match="the job is unavailable; nothing was changed") as raised:
        act(scheduling, job_id)
    assert not raised.value.unknown
    assert next(others) == TRIES + 1
    assert len(waits) == TRIES - 1
    env.cloud.before = lambda operation, request: None
    job = env.job(job_id)
    assert (job.definition.name, job.state.status, job.state.runs) == ("job", Status.ACTIVE, ())


def test_a_put_whose_job_comes_and_goes_every_time_is_given_up(env: Environment) -> None:
    """Somebody creates it before each of our creates, and deletes it before each of our changes."""
    theirs: list[str] = []

    def before(operation: str, request: dict[str, Any]) -> None:
        env.cloud.before = lambda operation, request: None
        if theirs:
            env.scheduling.delete("tenant", theirs.pop())
        elif operation == "TransactWriteItems":
            theirs.append(env.create(parse("0 0-22 * * *"), key="nightly"))
        env.cloud.before = before

    waits: list[float] = []
    scheduling = env.parts(sleep=waits.append).scheduling
    draft = Definition(
        "",
        "tenant",
        1,
        "mine",
        env.now,
        parse("0 0-22 * * *"),
        Request("https://example.com/", "GET", {}),
        key="nightly",
    )
    env.cloud.before = before
    with pytest.raises(Unavailable, match="the job is unavailable"):
        put(scheduling, "tenant", "key:nightly", lambda now: draft, lambda job, now: Edit(draft))
    assert len(waits) == TRIES - 1
    env.cloud.before = lambda operation, request: None
    for job_id in theirs:
        env.scheduling.delete("tenant", job_id)
    assert (env.scheduling.page("tenant", None, 10), env.cloud.schedules) == (([], None), {})


def test_an_orphaned_schedule_deletes_itself(env: Environment) -> None:
    job_id = env.create(parse("0 0-22 * * *"))
    (name,) = env.cloud.schedules
    schedule = dict(env.cloud.schedules[name])
    env.scheduling.pause("tenant", job_id)
    env.cloud.schedules[name] = schedule
    env.advance(hours=2)
    assert env.sent == []
    assert env.cloud.schedules == {}


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_orphaned_schedule_is_deleted_once_no_commit_can_still_be_on_its_way_to_carry_it(
    env: Environment, caplog: pytest.LogCaptureFixture, is_gone: bool
) -> None:
    """A schedule is created before the state that names it: for 15 minutes a wake keeps it."""
    job_id = env.create(parse("0 0-22 * * *"))
    (name,) = env.cloud.schedules
    schedule = dict(env.cloud.schedules[name])
    made_at = token_time(split_schedule_name(name)[1])
    if is_gone:
        env.scheduling.delete("tenant", job_id)
    else:
        env.scheduling.pause("tenant", job_id)
    env.cloud.schedules[name] = schedule
    env.now = made_at + timedelta(minutes=15)
    env.firing.wake(name, env.now)
    assert list(env.cloud.schedules) == [name]
    env.now += timedelta(milliseconds=1)
    caplog.set_level(logging.INFO, "resona")
    env.firing.wake(name, env.now)
    assert told(caplog, "job_id") == [("schedule.orphan_deleted", job_id)]
    assert env.cloud.schedules == {}
    assert env.cloud.messages == {}


def test_when_wakes_stop_coming_one_occurrence_is_late_and_the_next_are_on_time(
    env: Environment,
) -> None:
    env.create(parse("0-40/10 0-22 * * *"))
    env.advance(minutes=15)
    env.wakes = False
    env.advance(minutes=55)
    assert [seconds > 1 for seconds in lateness(env)] == [False, True, False, False, False, False]


def test_a_run_whose_answer_was_lost_and_written_over_is_queued_once(env: Environment) -> None:
    job_id = env.create(at(hours=1))
    lost: list[str] = []

    def lose(operation: str, request: dict[str, object]) -> None:
        if operation == "PutItem" and not lost:
            lost.append(operation)
            env.scheduling.pause("tenant", job_id)
            # The SDK has asked again, and meets the state that the pause wrote.
            raise client_error(
                "ConditionalCheckFailedException",
                operation,
                Item=env.cloud.tables["jobs"][job_id, "state"],
            )

    env.cloud.after = lose
    _, queued = run_now(env.scheduling, "tenant", job_id)
    assert [run.key for run in env.state(job_id).runs] == [queued.key]
    env.advance(minutes=1)
    assert len(env.sent) == 1


def test_a_body_whose_zero_becomes_false_is_a_new_body(env: Environment) -> None:
    job_id = env.create(
        at(seconds=6), request=Request("https://example.com/", "POST", {}, {"dry_run": 0})
    )
    changed = Request("https://example.com/", "POST", {}, {"dry_run": False})
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, request=changed))
    )
    env.advance(minutes=1)
    body: Any = env.sent[0].request.body
    assert body["dry_run"] is False


def test_a_changed_minutely_cron_misses_none_of_the_minutes_that_were_woken_for(
    env: Environment,
) -> None:
    job_id = env.create(MINUTELY)
    env.advance(minutes=10, seconds=5)
    changed = Request("https://example.com/changed", "PUT", {}, None)
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, request=changed))
    )
    env.advance(minutes=6)
    assert len(env.sent) == 16
    assert max(lateness(env)) < 1


def test_a_job_that_cannot_be_read_holds_up_no_other(env: Environment) -> None:
    jobs = [env.create(at(seconds=6)) for _ in range(40)]
    env.cloud.messages.clear()
    broken = env.cloud.tables["jobs"][jobs[0], "state"]
    env.cloud.tables["jobs"][jobs[0], "state"] = {**broken, "state": {"S": "{}"}}
    env.advance(minutes=3)
    assert len(env.sent) == 39


def test_a_sleep_that_ends_before_the_due_time_is_slept_on(env: Environment) -> None:
    """The sleep is measured by one clock and the due time by another, which may be slowed down to
    be set right meanwhile.
    """
    env.create(at(seconds=6))
    early: list[float] = []

    def sleep(seconds: float) -> None:
        early.append(seconds)
        env.now += timedelta(seconds=seconds - (0.002 if len(early) == 1 else 0))

    env.firing = replace(env.firing, sleep=sleep)
    env.advance(minutes=2)
    assert lateness(env) == [0]


def test_a_new_name_leaves_no_schedule_that_no_state_carries(env: Environment) -> None:
    def fail(operation: str, request: dict[str, object]) -> None:
        if operation == "CreateSchedule":
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = fail
    job_id = env.create(parse("0 9 1 1 *"))
    env.cloud.before = lambda operation, request: None
    env.scheduling.change(
        "tenant", job_id, lambda job, now: Edit(replace(job.definition, name="renamed"))
    )
    assert list(env.cloud.schedules) == [f"{job_id}-{env.state(job_id).token}"]


def test_a_create_whose_answer_was_lost_is_acknowledged_although_the_sweeper_was_first(
    env: Environment,
) -> None:
    lost: list[str] = []

    def lose(operation: str, request: dict[str, object]) -> None:
        if operation == "TransactWriteItems" and not lost:
            lost.append(operation)
            env.firing.sweep(env.now + timedelta(seconds=45))
            # The SDK's tries had no answer in time, and its last one was throttled.
            raise client_error("ThrottlingException", operation)

    env.cloud.after = lose
    job_id = env.create(at(seconds=-45))
    env.advance(minutes=1)
    assert [sent.headers["Resona-Job-Id"] for sent in env.sent] == [job_id]


def test_a_resume_whose_answer_was_lost_and_written_over_keeps_its_schedule(
    env: Environment,
) -> None:
    job_id = env.create(parse("0 0-22 * * *"))
    env.scheduling.pause("tenant", job_id)
    lost: list[str] = []

    def lose(operation: str, request: dict[str, object]) -> None:
        if operation == "PutItem" and not lost:
            lost.append(operation)
            run_now(env.scheduling, "tenant", job_id)
            # The SDK has asked again, and meets the state that the run wrote.
            raise client_error(
                "ConditionalCheckFailedException",
                operation,
                Item=env.cloud.tables["jobs"][job_id, "state"],
            )

    env.cloud.after = lose
    env.scheduling.resume("tenant", job_id)
    assert list(env.cloud.schedules) == [f"{job_id}-{env.state(job_id).token}"]


def test_jobs_that_cannot_be_read_hold_up_no_other_however_many_they_are(env: Environment) -> None:
    table = env.cloud.tables["jobs"]
    for _ in range(110):
        job_id = env.create(at(seconds=6))
        # All in one shard, more than a page of them before the one that can be read.
        table[job_id, "state"] = {
            **table[job_id, "state"],
            "watch_shard": {"S": "7"},
            "state": {"S": "{}"},
        }
    job_id = env.create(at(seconds=7))
    table[job_id, "state"] = {**table[job_id, "state"], "watch_shard": {"S": "7"}}
    env.cloud.messages.clear()
    env.advance(minutes=2)
    assert [sent.headers["Resona-Job-Id"] for sent in env.sent] == [job_id]


def overtaken(env: Environment, times: int) -> list[str]:
    """Refuse the first `times` writes of a job's state, as if another writer had been faster.

    Returns the list to which each write is added.
    """
    asked: list[str] = []

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == "jobs":
            asked.append(operation)
            if len(asked) <= times:
                there = env.cloud.tables["jobs"][request["Item"]["id"]["S"], "state"]
                raise client_error("ConditionalCheckFailedException", operation, Item=there)

    env.cloud.before = refuse
    return asked


def deliver_at_its_time(env: Environment) -> None:
    ((name, message),) = env.cloud.messages.items()
    env.now = message.visible_at
    env.deliver(name)


def test_a_claim_is_decided_anew_until_its_last_try(env: Environment) -> None:
    """The first try prepares the attempt and writes nothing."""
    env.create(at(seconds=6))
    overtaken(env, TRIES - 2)
    deliver_at_its_time(env)
    assert len(env.sent) == 1


def test_a_claim_that_is_always_overtaken_is_given_back_to_the_queue(env: Environment) -> None:
    env.create(at(seconds=6))
    asked = overtaken(env, 1_000)
    deliver_at_its_time(env)
    assert len(asked) == TRIES
    assert env.sent == []
    assert len(env.cloud.messages) == 1


@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_a_finish_is_decided_anew_until_its_last_try(env: Environment, times: int) -> None:
    job_id = env.create(at(seconds=6))

    def be_overtaken(sent: Sent) -> AttemptResult:
        overtaken(env, times)
        return ok()

    env.target = be_overtaken
    deliver_at_its_time(env)
    assert (env.state(job_id).status is Status.COMPLETED) is (times < TRIES)
    assert len(env.cloud.messages) == (0 if times < TRIES else 1)


def test_a_claim_that_had_no_effect_is_given_back_to_the_queue_at_once(env: Environment) -> None:
    env.create(at(seconds=6))
    asked: list[str] = []

    def throttle(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == "jobs":
            asked.append(operation)
            raise client_error("ThrottlingException", operation)

    env.cloud.before = throttle
    ((name, message),) = env.cloud.messages.items()
    env.now = message.visible_at
    with pytest.raises(Unavailable) as raised:
        env.firing.fire(load_due(message.body))
    assert not raised.value.unknown
    # The tries of one call.
    assert len(asked) == 6
    assert list(env.cloud.messages) == [name]
    assert env.sent == []


def test_a_claim_whose_answer_was_lost_is_looked_for_and_sent(env: Environment) -> None:
    env.create(at(seconds=6))
    lost: list[str] = []

    def lose(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and not lost:
            lost.append(operation)
            raise client_error("InternalServerError", operation, 500)

    env.cloud.after = lose
    deliver_at_its_time(env)
    assert len(env.sent) == 1
    assert lost


@pytest.mark.parametrize("which", [1, 2], ids=["claim", "finish"])
def test_a_write_whose_answer_was_lost_arms_the_next_attempt_and_the_next_occurrence(
    env: Environment, which: int
) -> None:
    answers = iter([status(500)])
    env.target = lambda sent: next(answers, ok())
    env.create(MINUTELY)
    # Nothing but messages.
    env.sweeps = env.wakes = False
    writes = itertools.count(1)

    def lose(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == "jobs" and next(writes) == which:
            raise client_error("InternalServerError", operation, 500)

    env.cloud.after = lose
    env.advance(minutes=3)
    first = env.sent[0].at.replace(second=0, microsecond=0)
    assert [
        ((sent.at - first) // timedelta(minutes=1), sent.headers["Resona-Attempt"])
        for sent in env.sent
    ] == [(0, "1"), (0, "2"), (1, "1"), (2, "1")]


@pytest.mark.parametrize("seconds", [0.04, 30, 120])
def test_a_retry_counts_from_the_end_of_an_attempt_however_long_that_took(
    env: Environment, seconds: float
) -> None:
    answers = iter([replace(status(500), duration=timedelta(seconds=seconds)), ok()])
    env.target = lambda sent: next(answers)
    job_id = env.create(
        at(seconds=6),
        timeout=timedelta(seconds=150),
        retry=RetryPolicy(2, timedelta(seconds=10), timedelta(seconds=10)),
    )
    env.advance(minutes=5)
    first, second = (sent.at for sent in env.sent)
    assert (
        timedelta(seconds=10)
        <= second - first - timedelta(seconds=seconds)
        <= timedelta(seconds=11.1)
    )
    (run,) = env.run_list(job_id)
    assert run.finished_at == second + ok().duration


def test_a_retry_counts_from_the_end_of_an_attempt_that_a_dead_executor_recorded(
    env: Environment,
) -> None:
    """Only the record tells the executor that settles it when it ended."""

    class Killed(BaseException):
        pass

    puts: list[str] = []

    def die_at_finish(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == "jobs":
            puts.append(operation)
            if len(puts) == 2:
                raise Killed

    answers = iter([replace(status(500), duration=timedelta(seconds=30)), ok()])
    env.target = lambda sent: next(answers)
    env.cloud.before = die_at_finish
    job_id = env.create(
        at(seconds=6), retry=RetryPolicy(2, timedelta(minutes=10), timedelta(minutes=10))
    )
    with pytest.raises(Killed):
        env.advance(seconds=10)
    env.advance(minutes=20)
    first, second = (sent.at for sent in env.sent)
    assert (
        timedelta(minutes=10)
        <= second - first - timedelta(seconds=30)
        <= timedelta(minutes=11, seconds=1)
    )
    assert [attempt.result.outcome for attempt in env.run_list(job_id)[0].attempts] == [
        Outcome.HTTP_ERROR,
        Outcome.SUCCESS,
    ]


def test_a_result_that_cannot_be_written_is_kept_until_the_lease_is_over_and_no_longer(
    env: Environment,
) -> None:
    """After the lease another executor may settle the attempt: to wait longer is of no use."""
    job_id = env.create(at(seconds=6), timeout=timedelta(seconds=30))
    asked: list[datetime] = []

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and env.sent:
            asked.append(env.now)
            env.now += timedelta(seconds=4)
            raise client_error("InternalServerError", operation, 500)

    env.target = lambda sent: replace(ok(), duration=timedelta(seconds=28))
    env.cloud.before = fail
    (message,) = env.cloud.messages.values()
    env.now = message.visible_at
    with pytest.raises(Unavailable):
        env.firing.fire(load_due(message.body))
    lease_until = env.state(job_id).runs[0].lease_until
    # Every 5 seconds: a write of 4 and a pause of 1. The last begins before the lease ends.
    assert [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(asked)] == [
        5
    ] * (len(asked) - 1)
    assert asked[-1] < lease_until <= asked[-1] + timedelta(seconds=5)
    assert len(asked) == 5


def test_a_lost_attempt_that_cannot_be_settled_is_given_back_to_the_queue_at_once(
    env: Environment,
) -> None:
    class Killed(BaseException):
        pass

    def die(sent: Sent) -> AttemptResult:
        raise Killed

    env.target = die
    job_id = env.create(at(seconds=6))
    with pytest.raises(Killed):
        env.advance(seconds=10)
    (run,) = env.state(job_id).runs
    env.now = run.lease_until + timedelta(seconds=10)
    asked: list[str] = []

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation in ("PutItem", "UpdateItem", "TransactWriteItems"):
            asked.append(operation)
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = fail
    began = env.now
    with pytest.raises(Unavailable):
        env.firing.fire(DueMessage(job_id, "tenant", run.key, env.now))
    assert len(asked) == 1
    assert env.now == began


@pytest.mark.parametrize(("ahead", "is_put_off"), [(3.2, False), (3.201, True)])
def test_a_message_that_comes_too_early_goes_back_to_the_queue_unless_it_is_due_at_once(
    env: Environment, ahead: float, is_put_off: bool
) -> None:
    due_at = at(seconds=20).date
    job_id = env.create(OneTime(due_at))
    env.cloud.messages.clear()
    env.now = due_at - timedelta(seconds=ahead)
    env.firing.fire(DueMessage(job_id, "tenant", RunKey(due_at, 1), due_at))
    assert [sent.at for sent in env.sent] == ([] if is_put_off else [due_at])
    assert len(env.cloud.messages) == is_put_off


def told(caplog: pytest.LogCaptureFixture, *fields: str) -> list[tuple[str, ...]]:
    """Return the events that were logged, each with some of its fields."""
    return [
        (record.msg, *(getattr(record, name, "") for name in fields)) for record in caplog.records
    ]


def refuse(env: Environment, *operations: str) -> None:
    """Have AWS answer these operations no more."""

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation in operations:
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = fail


def test_a_message_without_effect_is_told_of_with_its_run_and_the_reason(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = env.create(MINUTELY)
    (message,) = env.cloud.messages.values()
    due = load_due(message.body)
    deliver_at_its_time(env)
    caplog.set_level(logging.INFO, "resona")
    caplog.clear()
    env.firing.fire(due)
    env.scheduling.delete("tenant", job_id)
    env.firing.fire(due)
    run = run_id(job_id, due.key)
    assert told(caplog, "job_id", "run_id", "why") == [
        ("message.ignored", job_id, run, "the occurrence was decided before"),
        ("job.deleted", job_id, "", ""),
        ("message.ignored", job_id, run, "the job is gone"),
    ]


SEND = "SendMessageBatch"


@pytest.mark.parametrize(
    ("trigger", "operations", "events"),
    [
        (parse("0 0 1 1 *"), ["CreateSchedule"], ["schedule.create_failed"]),
        (parse("0 0 1 1 *"), ["DeleteSchedule"], ["schedule.delete_failed"]),
        (at(seconds=6), [SEND], ["message.send_failed"]),
        (at(seconds=6), [SEND, "PutItem"], ["message.send_failed", "message.mark_failed"]),
    ],
)
def test_what_aws_does_not_do_for_a_job_is_told_of(
    env: Environment,
    caplog: pytest.LogCaptureFixture,
    trigger: Trigger,
    operations: list[str],
    events: list[str],
) -> None:
    # The definition of a job is put, too, before it is there.
    is_created = False

    def fail(operation: str, request: dict[str, Any]) -> None:
        nonlocal is_created
        is_created = is_created or operation == "TransactWriteItems"
        if operation in operations and (is_created or operation != "PutItem"):
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = fail
    job_id = env.create(trigger)
    env.scheduling.delete("tenant", job_id)
    assert told(caplog, "job_id") == [(event, job_id) for event in events]


def test_a_message_that_cannot_be_sent_after_an_unconfirmed_write_is_told_of(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = env.create(MINUTELY)

    def lose(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and not caplog.records:
            raise client_error("InternalServerError", operation, 500)

    refuse(env, SEND)
    env.cloud.after = lose
    deliver_at_its_time(env)
    assert told(caplog, "job_id") == [("message.send_failed", job_id)]
    assert len(env.sent) == 1
