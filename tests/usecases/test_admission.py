"""Attempts ask the flow of their job for a place before they are claimed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws.serialization import load_due
from chalicelib.domain.cron import parse
from chalicelib.domain.flows import Flow, Rate, Wait
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Callbacks, Kind, Overlap
from chalicelib.domain.limits import Limits
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import Reason, RunStatus
from chalicelib.domain.state import Status
from chalicelib.domain.trigger import OneTime
from chalicelib.usecases.job_runs import run_now
from tests.cloud import client_error
from tests.environment import START, Environment, status

HOST = "host:example.com"
AT = OneTime((START + timedelta(seconds=5)).replace(microsecond=0))
MINUTELY = parse("* * * * *")


@pytest.fixture
def env() -> Environment:
    return Environment()


def limit(env: Environment, requests: int, seconds: int, burst: int = 1) -> None:
    flow = Flow("tenant", HOST, env.now, env.now, Rate(requests, seconds, burst))
    env.scheduling.flows.put(flow, env.secrets.new_flows("tenant", env.now))


def sent(env: Environment) -> list[float]:
    """Return when requests were sent, in seconds after AT."""
    return [(one.at - AT.date).total_seconds() for one in env.sent]


def places_written(env: Environment) -> int:
    """Return how often an item of places was written."""
    return len([call for call in env.cloud.calls if call == "UpdateItem"])


def test_runs_that_are_due_at_once_are_sent_one_after_the_other(env: Environment) -> None:
    limit(env, 1, 10)
    for _ in range(4):
        env.create(AT)
    env.advance(minutes=1)
    assert sent(env) == [0, 10, 20, 30]
    # The executor is not kept waiting, and no message comes twice.
    assert not env.cloud.messages


def test_what_waits_longer_than_a_message_can_is_armed_by_the_sweeper(env: Environment) -> None:
    limit(env, 1, 3600)
    jobs = [env.create(AT) for _ in range(2)]
    env.advance(seconds=10)
    (run,) = (run for job in jobs for run in env.state(job).runs)
    assert (run.waits_for, run.covered, run.attempt) == (Wait.RATE, False, 0)
    env.advance(hours=1)
    assert sent(env) == [0, 3600]


def test_a_run_that_is_held_does_not_keep_the_next_occurrence_waiting(env: Environment) -> None:
    env.sweeps = False
    limit(env, 1, 7)
    for _ in range(2):
        env.create(Interval(timedelta(seconds=20), AT.date))
    env.advance(seconds=48)
    assert sent(env)[:5] == [0, 7, 20, 27, 40]


def test_a_short_wait_is_waited_in_the_executor(env: Environment) -> None:
    limit(env, 2, 1)
    jobs = [env.create(AT) for _ in range(2)]
    env.advance(seconds=10)
    assert sent(env) == [0, 0.5]
    # Either may have been the first.
    runs = [run for job in jobs for run in env.run_list(job)]
    first, second = sorted(runs, key=lambda run: run.waited)
    assert (first.waited, first.lateness) == (timedelta(0), timedelta(0))
    assert second.waited + second.lateness == timedelta(seconds=0.5)
    assert second.waited > timedelta(seconds=0.4)
    assert env.cloud.calls.count("SendMessageBatch") == 2
    assert places_written(env) == 2


def test_messages_of_one_invocation_take_their_places_in_one_write(env: Environment) -> None:
    limit(env, 1, 10)
    for _ in range(5):
        env.create(AT)
    env.now = AT.date - timedelta(seconds=1)
    dues = [load_due(message.body) for message in env.cloud.messages.values()]
    env.cloud.messages.clear()
    before = places_written(env)
    ahead = env.firing.read_ahead([*dues, dues[0]])
    runs = [(due.job_id, due.key) for due in dues]
    assert list(ahead.alike) == runs
    assert places_written(env) == before
    early = list[float]()

    def note(operation: str, request: dict[str, Any]) -> None:
        if operation == "UpdateItem":
            early.append((AT.date - env.now).total_seconds())

    env.cloud.before = note
    for _ in range(2):
        env.firing.fire(dues[0], ahead)
    assert places_written(env) == before + 1
    assert 0.2 <= early[0] <= 0.5
    (places,) = ahead.alike[runs[0]].taken
    assert [places[run].at for run in runs] == [
        AT.date + timedelta(seconds=10 * n) for n in range(5)
    ]
    for due in dues[1:]:
        env.firing.fire(due, ahead)
    env.advance(minutes=1)
    assert places_written(env) == before + 1
    assert sent(env) == [0, 10, 20, 30, 40]


def test_messages_of_held_runs_do_not_come_early(env: Environment) -> None:
    """However many are due in the same second, and are sent by the same process."""
    limit(env, 20, 1)
    for _ in range(60):
        env.create(AT)
    env.advance_to(AT.date - timedelta(seconds=3.5))
    dues = [load_due(message.body) for message in env.cloud.messages.values()]
    env.cloud.messages.clear()
    env.advance(seconds=3)
    ahead = env.firing.read_ahead(dues)
    for due in (dues[0], *reversed(dues[1:])):
        env.firing.fire(due, ahead)
    early = [
        (load_due(message.body).at - message.visible_at).total_seconds()
        for message in env.cloud.messages.values()
    ]
    assert len(early) > 20
    assert min(early) >= 0.1
    assert max(early) < 1.1


def test_places_that_are_taken_together_come_after_those_of_what_is_due_earlier(
    env: Environment,
) -> None:
    """Though their invocation reads ahead before the others are due."""
    limit(env, 2, 1)
    later = OneTime(AT.date + timedelta(seconds=2))
    for at in (later, later, AT, AT, AT, AT, AT, AT):
        env.create(at)
    env.advance_to(AT.date - timedelta(seconds=3.5))
    dues = [load_due(message.body) for message in env.cloud.messages.values()]
    env.cloud.messages.clear()
    env.advance(seconds=3)
    aheads = [env.firing.read_ahead(some) for some in (dues[:2], dues[2:])]
    for due in dues[2:]:
        env.firing.fire(due, aheads[1])
    for due in dues[:2]:
        env.firing.fire(due, aheads[0])
    env.advance(minutes=1)
    assert sent(env) == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    due_times = [one.headers["Resona-Scheduled-Time"] for one in env.sent]
    assert due_times == sorted(due_times)


def test_each_place_of_a_busy_flow_is_one_write(env: Environment) -> None:
    limit(env, 1, 10)
    for _ in range(8):
        env.create(AT)
    env.advance(seconds=10)
    assert places_written(env) == 8


def test_a_retry_asks_for_a_place_too(env: Environment) -> None:
    limit(env, 1, 30)
    env.target = lambda sent: status(503)
    retry = RetryPolicy(2, timedelta(seconds=1), timedelta(seconds=1))
    job = env.create(AT, retry=retry)
    env.advance(seconds=15)
    (run,) = env.run_list(job)
    assert (run.status, run.waits_for, len(run.attempts)) == (RunStatus.RETRYING, Wait.RATE, 1)
    assert run.next_attempt_at == AT.date + timedelta(seconds=30)
    env.advance(seconds=30)
    (run,) = env.run_list(job)
    assert (sent(env), run.status, run.waited) == ([0, 30], RunStatus.FAILED, timedelta(0))


def test_a_manual_run_asks_for_a_place_too(env: Environment) -> None:
    limit(env, 1, 30)
    job = env.create(AT)
    env.advance(seconds=6)
    run_now(env.scheduling, "tenant", job)
    env.advance(seconds=1)
    assert [run.waits_for for run in env.run_list(job)] == [Wait.RATE, None]
    env.advance(seconds=30)
    assert sent(env) == [0, 30]


def test_a_place_is_taken_once_though_the_state_changes_meanwhile(env: Environment) -> None:
    limit(env, 1, 10)
    env.create(AT)
    job = env.create(AT)

    def ask_for_a_run(operation: str, request: dict[str, Any]) -> None:
        if operation == "UpdateItem" and len(env.sent) == 1:
            env.cloud.after = lambda operation, request: None
            run_now(env.scheduling, "tenant", job)

    env.cloud.after = ask_for_a_run
    env.advance(minutes=1)
    assert sent(env) == [0, 10, 20]


def test_a_run_is_sent_in_its_place_though_another_is_taken_for_it(env: Environment) -> None:
    limit(env, 1, 4)
    env.create(AT)
    env.create(AT)
    second = load_due(list(env.cloud.messages.values())[1].body)

    def hold_in_another_process(operation: str, request: dict[str, Any]) -> None:
        if operation == "UpdateItem" and len(env.sent) == 1:
            env.cloud.before = lambda operation, request: None
            env.parts().firing.fire(second)
            env.now = AT.date + timedelta(seconds=4)

    env.cloud.before = hold_in_another_process
    env.advance(minutes=1)
    assert sent(env)[0] == 0
    assert sent(env)[1] == pytest.approx(4, abs=0.5)


def test_a_run_whose_place_would_come_after_its_grace_is_missed_and_takes_none(
    env: Environment,
) -> None:
    limit(env, 1, 100)
    jobs = [env.create(AT, misfire_grace=timedelta(seconds=60)) for _ in range(2)]
    env.advance(seconds=6)
    late = env.create(OneTime(AT.date + timedelta(seconds=4)))
    runs = [env.run_list(job)[0] for job in jobs]
    sent_one, missed = sorted(runs, key=lambda run: run.status is RunStatus.MISSED)
    assert (sent_one.status, missed.status) == (RunStatus.SUCCEEDED, RunStatus.MISSED)
    assert (missed.reason, missed.missed_count) == (Reason.MISFIRE, 1)
    env.advance(seconds=100)
    assert env.run_list(late)[0].status is RunStatus.SUCCEEDED
    assert sent(env) == [0, 100]


def test_crons_that_are_too_many_for_a_flow_are_missed_and_the_others_sent(
    env: Environment,
) -> None:
    """Else each would wait longer than its grace, and none would be sent."""
    limit(env, 2, 60)
    jobs = [env.create(MINUTELY) for _ in range(5)]
    env.advance(minutes=4)
    assert len(env.sent) == 7
    assert sum(run.status is RunStatus.MISSED for job in jobs for run in env.run_list(job)) == 12


def test_a_held_run_that_comes_after_its_grace_is_missed(env: Environment) -> None:
    limit(env, 1, 30)
    jobs = [env.create(AT, misfire_grace=timedelta(seconds=31)) for _ in range(2)]
    env.advance(seconds=6)
    env.cloud.messages.clear()
    env.advance(minutes=2)
    (job,) = (job for job in jobs if env.run_list(job)[0].status is RunStatus.MISSED)
    (run,) = env.run_list(job)
    assert (run.reason, run.missed_count, run.last_due_at) == (Reason.MISFIRE, 1, AT.date)
    assert env.job(job).state.status is Status.FAILED
    assert len(env.sent) == 1


def test_the_last_occurrence_is_sent_however_long_it_waits(env: Environment) -> None:
    limit(env, 1, 300)
    env.create(AT)
    limits = Limits(max_runs=1)
    jobs = [env.create(Interval(timedelta(seconds=10), AT.date, limits)), env.create(AT)]
    env.advance(minutes=11)
    assert sent(env) == [0, 300, 600]
    assert {env.job(job).state.status for job in jobs} == {Status.COMPLETED}


def test_a_held_run_counts_as_unfinished(env: Environment) -> None:
    limit(env, 1, 150)
    env.create(AT)
    job = env.create(MINUTELY, overlap=Overlap.SKIP, misfire_grace=timedelta(seconds=600))
    env.advance(seconds=150)
    assert [run.reason for run in env.run_list(job)] == [Reason.OVERLAP, None]


def test_a_notice_belongs_to_no_flow(env: Environment) -> None:
    limit(env, 1, 300)
    env.create(AT, callbacks=Callbacks(succeeded="https://example.com/told"))
    env.advance(seconds=10)
    assert [one.request.url for one in env.sent] == [
        "https://example.com/hook",
        "https://example.com/told",
    ]
    assert env.scheduling.page("tenant", None, 9, Kind.NOTICE)[0]


def test_flows_are_read_once_for_each_change(env: Environment) -> None:
    limit(env, 100, 1)
    for _ in range(3):
        env.create(AT)
    env.cloud.calls.clear()
    env.advance(seconds=10)
    first = env.cloud.calls.count("Query")
    for _ in range(3):
        env.create(OneTime((env.now + timedelta(seconds=5)).replace(microsecond=0)))
    env.cloud.calls.clear()
    env.advance(seconds=10)
    assert env.cloud.calls.count("Query") == first - 1
    limit(env, 1, 300)
    for _ in range(2):
        env.create(OneTime((env.now + timedelta(seconds=5)).replace(microsecond=0)))
    env.advance(seconds=10)
    assert len(env.sent) == 7


def test_while_no_place_can_be_taken_no_attempt_is_spent(env: Environment) -> None:
    limit(env, 1, 1)
    job = env.create(AT)

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if operation == "UpdateItem":
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = refuse
    env.advance(seconds=20)
    assert (env.sent, env.state(job).runs) == ([], ())
    env.cloud.before = lambda operation, request: None
    env.advance(minutes=2)
    assert [one.headers["Resona-Attempt"] for one in env.sent] == ["1"]


def test_the_wait_is_not_counted_as_being_late(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    limit(env, 1, 10)
    for _ in range(2):
        env.create(AT)
    with caplog.at_level("INFO", "resona"):
        env.advance(seconds=20)
    ended = [vars(one) for one in caplog.records if one.msg == "attempt.ended"]
    assert [one["lateness_ms"] for one in ended] == [0, 40]
    assert [one["waited_ms"] for one in ended] == [None, 9960]
