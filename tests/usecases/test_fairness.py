"""Runs of a tenant that uses more than its share of the executors are held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from chalice.app import SQSEvent

from chalicelib.aws.busy_store import BusyStore
from chalicelib.aws.due_queue import load_dues
from chalicelib.domain.fairness import LIFETIME, Sharing
from chalicelib.domain.flows import Flow, Rate, Wait
from chalicelib.domain.job import Kind
from chalicelib.domain.run import RunStatus
from chalicelib.domain.state import occurrence_due
from chalicelib.domain.trigger import OneTime
from chalicelib.handlers import executor
from chalicelib.usecases.fairness import Fairness, Turn
from infra.local.clock import queue_event
from tests.cloud import DynamoDB, client_error
from tests.environment import START, Environment

AT = OneTime((START + timedelta(seconds=5)).replace(microsecond=0))
ALWAYS, NEVER = 0.0, 1.0


class Fair(Environment):
    """An environment whose messages come to invocations that count; four executors at most."""

    def __init__(self, draw: float = ALWAYS) -> None:
        super().__init__()
        dynamodb: Any = DynamoDB(self.cloud)
        sleep: Callable[[float], None] = self._sleep
        self.busy = BusyStore(dynamodb, "jobs", "secrets", sleep)
        self.busy.share()
        sharing = Sharing(executors=4, share=0.5, least=1, one_in=1)
        self.fairness = Fairness(
            self.busy, self.secrets, self.queue, sharing, self.clock, sleep, draw=lambda: draw
        )
        self.firing = replace(self.firing, fairness=self.fairness)

    def deliver(self, name: str) -> None:
        message = {
            "MessageId": name,
            "ReceiptHandle": name,
            "Body": self.cloud.messages[name].body,
        }
        executor.on_messages(SQSEvent(queue_event([message], "arn:queue"), None), self.firing)
        self.cloud.messages.pop(name, None)

    def tickets(self, tenant: str) -> dict[str, datetime]:
        return self.secrets.unsealed(tenant, [], self.now)[4]

    def hold(self, count: int, tenant: str = "tenant") -> list[Turn]:
        """Have invocations begin that use so many executors."""
        job_id = self.create(AT)
        due = replace(occurrence_due(self.state(job_id), AT.date), tenant=tenant)
        job = replace(self.job(job_id).definition, tenant=tenant)
        turns = []
        for _ in range(count):
            self.now += timedelta(milliseconds=1)
            turn = self.fairness.enter([due])
            assert turn
            self.fairness.ask(turn, job, self.tickets(tenant))
            turns.append(turn)
        for name in list(self.cloud.messages):
            del self.cloud.messages[name]
        return turns


@pytest.fixture
def env() -> Fair:
    return Fair()


def test_an_invocation_leaves_a_ticket_and_removes_it_at_its_end(env: Fair) -> None:
    (turn,) = env.hold(1)
    assert list(env.tickets("tenant").values()) == [turn.began]
    env.fairness.leave(turn)
    assert env.tickets("tenant") == {}
    env.fairness.leave(turn)


def test_of_an_invocation_that_died_the_ticket_ends_by_itself(env: Fair) -> None:
    env.hold(2)
    env.now += LIFETIME
    job = env.create(OneTime((env.now + timedelta(seconds=5)).replace(microsecond=0)))
    env.advance(seconds=6)
    (run,) = env.run_list(job)
    assert (run.status, run.waited) == (RunStatus.SUCCEEDED, timedelta(0))


def test_what_is_beyond_the_share_waits_and_is_sent_once_there_is_room(env: Fair) -> None:
    turns = env.hold(2)
    job = env.create(AT)
    env.advance(seconds=30)
    (run,) = env.state(job).runs
    assert (run.waits_for, run.attempt, len(env.sent)) == (Wait.SHARE, 0, 0)
    for turn in turns:
        env.fairness.leave(turn)
    env.advance(minutes=3)
    (shown,) = env.run_list(job)
    assert (shown.status, len(shown.attempts)) == (RunStatus.SUCCEEDED, 1)
    assert shown.waited > timedelta(seconds=20)


def test_a_ticket_of_an_invocation_that_died_is_removed_by_the_next_that_leaves_one(
    env: Fair,
) -> None:
    env.hold(3, "tenant")
    assert len(env.tickets("tenant")) == 3
    env.now += LIFETIME
    (turn,) = env.hold(1)
    assert len(env.tickets("tenant")) == 4
    env.fairness.leave(turn)
    assert env.tickets("tenant") == {}


def test_what_is_held_of_a_batch_comes_as_one_message(env: Fair) -> None:
    env.hold(2)
    jobs = [env.create(AT) for _ in range(3)]
    bodies = [message.body for message in env.cloud.messages.values()]
    env.cloud.messages.clear()
    env.now = AT.date - timedelta(seconds=0.3)
    messages = [{"MessageId": body, "ReceiptHandle": body, "Body": body} for body in bodies]
    executor.on_messages(SQSEvent(queue_event(messages, "arn:queue"), None), env.firing)
    (message,) = env.cloud.messages.values()
    assert sorted(due.job_id for due in load_dues(message.body)) == sorted(jobs)
    places = {env.state(job).runs[0].next_attempt_at for job in jobs}
    assert timedelta(0) < min(places) - message.visible_at < timedelta(seconds=1.2)


def test_tickets_are_read_when_those_of_all_that_began_before_are_written(env: Fair) -> None:
    (turn,) = env.hold(1)
    for due_in, waits in ((1, 0.05), (0.06, 0.03), (0, 0)):
        env.now = turn.began
        env.fairness.await_others(turn, turn.began + timedelta(seconds=due_in))
        assert env.now - turn.began == timedelta(seconds=waits)


def test_a_run_that_waits_is_not_sent_after_its_grace(env: Fair) -> None:
    env.hold(2)
    job = env.create(AT, misfire_grace=timedelta(seconds=10))
    env.advance(seconds=60)
    (run,) = env.run_list(job)
    assert (run.status, len(env.sent)) == (RunStatus.MISSED, 0)


def test_a_tenant_may_use_less_while_others_use_more(env: Fair) -> None:
    env.hold(4, "other")
    first, second = env.hold(2)
    assert first.places == {"tenant": None}
    # Of four executors the other tenant uses one beyond its first: half of three are left.
    assert second.places == {"tenant": None}
    (third,) = env.hold(1)
    assert third.places["tenant"] is not None


def test_a_rotation_forgets_tickets_and_nothing_else(env: Fair) -> None:
    (turn,) = env.hold(1)
    before = env.secrets.signing("tenant", env.now)
    after = env.secrets.rotate("tenant", env.now)
    assert before.current != after.current
    env.fairness.leave(turn)
    assert env.secrets.signing("tenant", env.now) == after


def test_a_change_of_flows_keeps_the_tickets(env: Fair) -> None:
    (turn,) = env.hold(1)
    flow = Flow("tenant", "host:example.com", env.now, env.now, Rate(1, 1))
    env.scheduling.flows.put(flow, env.secrets.new_flows("tenant", env.now))
    assert list(env.tickets("tenant").values()) == [turn.began]


def test_what_cannot_be_asked_is_sent(env: Fair) -> None:
    env.hold(3)
    job = env.create(AT)

    def refuse(operation: str, request: dict[str, Any]) -> None:
        is_count = "busy" in str(request)
        if is_count:
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = refuse
    env.advance(seconds=20)
    assert [run.status for run in env.run_list(job)] == [RunStatus.SUCCEEDED]


@pytest.mark.parametrize("error", ["AccessDeniedException", "ValidationException"])
def test_what_may_not_be_counted_is_sent(env: Fair, error: str) -> None:
    job = env.create(AT)

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if "busy" in str(request):
            raise client_error(error, operation, 400)

    env.cloud.before = refuse
    env.advance(seconds=20)
    assert [run.status for run in env.run_list(job)] == [RunStatus.SUCCEEDED]


def test_who_finds_no_place_because_too_many_ask_is_held_for_up_to_a_minute(env: Fair) -> None:
    turns = env.hold(2)
    job = env.create(AT)

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if "busy#" in str(request):
            raise client_error("ThrottlingException", operation, 400)

    env.cloud.before = refuse
    env.advance(seconds=10)
    (run,) = env.state(job).runs
    assert (run.waits_for, len(env.sent)) == (Wait.SHARE, 0)
    for turn in turns:
        env.fairness.leave(turn)
    env.advance(seconds=65)
    assert [run.status for run in env.run_list(job)] == [RunStatus.SUCCEEDED]


def test_a_place_takes_one_write_while_a_tenant_is_busy(env: Fair) -> None:
    step, farthest = timedelta(minutes=3), timedelta(minutes=14)
    writes, places = [], []
    for _ in range(7):
        before = len(env.cloud.calls)
        places.append(env.busy.take("tenant", step, env.now, farthest))
        writes.append(len(env.cloud.calls) - before)
    assert places == [*(env.now + n * step for n in range(5)), None, None]
    assert writes == [1, 1, 1, 1, 1, 0, 0]
    fresh: Any = DynamoDB(env.cloud)
    before = len(env.cloud.calls)
    assert BusyStore(fresh, "jobs", "secrets").take("tenant", step, env.now, farthest) is None
    assert len(env.cloud.calls) - before == 2


def test_more_tickets_of_the_dead_are_removed_than_one_update_takes(env: Fair) -> None:
    env.hold(1)
    for number in range(300):
        env.busy.enter("tenant", f"busy_{number:08x}", env.now)
    env.now += LIFETIME
    for _ in range(4):
        env.fairness.leave(env.hold(1)[0])
    assert env.tickets("tenant") == {}


def test_a_stage_with_one_tenant_counts_nothing_until_it_is_told_of_a_second(env: Fair) -> None:
    del env.cloud.tables["jobs"]["busy", "all"]
    for turn in env.hold(30):
        assert turn.places == {"tenant": None}
    assert env.tickets("tenant") == {}
    env.busy.share()
    env.now += timedelta(seconds=61)
    assert [turn.places["tenant"] is None for turn in env.hold(3)] == [True, True, False]


def test_a_run_that_has_its_place_in_a_flow_keeps_it_up_to_a_second_limit(env: Fair) -> None:
    flow = Flow("tenant", "host:example.com", env.now, env.now, Rate(1, 10))
    env.secrets.signing("tenant", env.now)
    env.scheduling.flows.put(flow, env.secrets.new_flows("tenant", env.now))
    for _ in range(3):
        env.create(AT)
    env.advance(seconds=8)
    assert len(env.sent) == 1
    messages = dict(env.cloud.messages)
    env.hold(2)
    env.cloud.messages.update(messages)
    env.advance(seconds=10)
    assert len(env.sent) == 2
    env.hold(1)
    env.cloud.messages.update(messages)
    env.advance(seconds=10)
    assert len(env.sent) == 2


def test_a_notice_takes_no_place(env: Fair) -> None:
    env.hold(2)
    due = replace(occurrence_due(env.state(env.create(AT)), AT.date), tenant="tenant")
    turn = env.fairness.enter([due])
    notice = replace(env.job(due.job_id).definition, tenant="tenant", kind=Kind.NOTICE)
    env.fairness.ask(turn, notice, env.tickets("tenant"))
    assert turn and turn.places == {}


def test_one_firing_of_twenty_makes_two_writes_more(env: Fair) -> None:
    made = []
    for one in (Fair(ALWAYS), Fair(NEVER), Environment()):
        one.secrets.signing("tenant", one.now)
        one.secrets.unsealed("tenant", [], one.now)
        if isinstance(one, Fair):
            # The process knows that there are several tenants.
            one.fairness.leave(one.hold(1)[0])
        one.create(AT)
        before = len(one.cloud.calls)
        one.advance(seconds=10)
        assert len(one.sent) == 1
        made.append(one.cloud.calls[before:])
    ticketed, others, unshared = made
    assert others == unshared
    assert len(ticketed) == len(others) + 2
    assert 2 / Sharing().one_in <= 0.02 * len([call for call in others if "Message" not in call])
