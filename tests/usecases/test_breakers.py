"""A flow whose target does not work opens, is probed, and closes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.cron import parse
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Breaker, Flow, Wait
from chalicelib.domain.lines import line_id
from chalicelib.domain.notices import Event
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import AttemptResult, Outcome, RunStatus
from chalicelib.domain.success import SuccessRule
from chalicelib.domain.trigger import OneTime
from tests.environment import START, Environment, Sent, ok, status

HOST, TOLD = "host:example.com", "https://tell.example.org/hook"
ONCE = RetryPolicy(1)
BREAKER = Breaker(3, timedelta(seconds=20))
AT = OneTime((START + timedelta(seconds=5)).replace(microsecond=0))


@pytest.fixture
def env() -> Environment:
    return Environment()


def put(env: Environment, breaker: Breaker | None = BREAKER, **limits: Any) -> Flow:
    flow = Flow("tenant", HOST, env.now, env.now, breaker=breaker, **limits)
    return env.scheduling.flows.put(flow, env.secrets.new_flows("tenant", env.now))


def flow(env: Environment) -> Flow:
    return env.scheduling.flows.get("tenant", HOST)


def failures(env: Environment) -> int:
    """Return how many failures in a row are counted."""
    item = env.cloud.tables["jobs"].get((line_id("tenant", HOST), "breaker"))
    return int(item["failures"]["N"]) if item else 0


def dead(env: Environment, result: AttemptResult | None = None) -> None:
    down = result or status(503)
    env.target = lambda sent: ok() if sent.request.url == TOLD else down


def alive(env: Environment) -> None:
    env.target = lambda sent: ok()


def hits(env: Environment) -> list[float]:
    """Return when the target of the jobs was called, in seconds after AT."""
    return [(one.at - AT.date).total_seconds() for one in env.sent if one.request.url != TOLD]


def at(seconds: float) -> OneTime:
    return OneTime(AT.date + timedelta(seconds=seconds))


def job(env: Environment, due: float, **fields: Any) -> str:
    """Register a job that is due so many seconds after AT, and is not retried."""
    return env.create(at(due), **{"retry": ONCE, **fields})


def told(env: Environment) -> list[Any]:
    return [json.loads(str(one.request.body)) for one in env.sent if one.request.url == TOLD]


def channel(env: Environment, **fields: Any) -> None:
    events = frozenset({Event.FLOW_OPENED, Event.FLOW_CLOSED})
    given = {"url": TOLD, "events": events, "created_at": env.now, "updated_at": env.now}
    env.scheduling.channels.put(Channel("tenant", "ops", "token", **{**given, **fields}))


def test_a_dead_target_opens_the_flow_is_probed_and_gets_the_rest_when_it_is_back(
    env: Environment,
) -> None:
    put(env)
    dead(env)
    jobs = [job(env, n) for n in range(10)]
    env.advance(seconds=75)
    # Three open it; then one at a time, every 20 s, and no attempt of another is spent.
    assert hits(env) == pytest.approx([0, 1, 2, 22.04, 42.04, 62.04], abs=0.5)
    assert flow(env).opened_at is not None
    waiting = [run for job in jobs for run in env.state(job).runs]
    assert {run.waits_for for run in waiting} == {Wait.BREAKER}
    assert len(waiting) == 10 - 6
    assert all(run.attempt == 0 for run in waiting)
    alive(env)
    env.advance(seconds=20)
    assert flow(env).opened_at is None
    assert len(hits(env)) == 10
    assert hits(env)[6:] == pytest.approx([82.04] * 4, abs=0.5)
    last = [env.run_list(job)[0] for job in jobs]
    assert [run.status for run in last] == [RunStatus.FAILED] * 6 + [RunStatus.SUCCEEDED] * 4
    assert not env.cloud.messages


def test_attempts_that_wait_go_on_in_order_of_their_due_times(env: Environment) -> None:
    put(env)
    dead(env)
    for n in range(3):
        job(env, n)
    names = [job(env, 3 + n) for n in range(5)]
    env.advance(seconds=12)
    alive(env)
    env.advance(seconds=60)
    order = [one.headers["Resona-Job-Id"] for one in env.sent]
    assert order[3:] == names


def test_a_success_in_between_begins_the_count_anew(env: Environment) -> None:
    put(env)
    answers = [503, 503, 200, 503, 503, 404, 503, 503, 503]
    env.target = lambda sent: ok() if (code := answers.pop(0)) == 200 else status(code)
    for n in range(9):
        job(env, n)
    env.advance(seconds=12)
    assert answers == []
    opened_at = flow(env).opened_at
    assert opened_at is not None
    assert opened_at >= at(8).date


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        (status(500), True),
        (status(599), True),
        (status(429), False),
        (AttemptResult(Outcome.TIMEOUT, timedelta(seconds=1)), True),
        (AttemptResult(Outcome.CONNECTION_FAILED, timedelta(0)), True),
        (AttemptResult(Outcome.DNS_FAILED, timedelta(0)), True),
        (AttemptResult(Outcome.TLS_FAILED, timedelta(0)), True),
        (AttemptResult(Outcome.PROTOCOL_ERROR, timedelta(0)), False),
        (AttemptResult(Outcome.BLOCKED, timedelta(0)), False),
    ],
)
def test_what_counts_as_a_failure(env: Environment, result: AttemptResult, counts: bool) -> None:
    put(env)
    dead(env, result)
    job(env, 0)
    env.advance(seconds=10)
    assert failures(env) == int(counts)


def test_a_blocked_attempt_neither_counts_nor_ends_a_row(env: Environment) -> None:
    put(env)
    results = [status(503), status(503), AttemptResult(Outcome.BLOCKED, timedelta(0)), status(503)]
    env.target = lambda sent: results.pop(0)
    for n in range(4):
        job(env, n)
    env.advance(seconds=10)
    assert flow(env).opened_at is not None


def test_an_error_that_a_job_expects_is_no_failure(env: Environment) -> None:
    put(env)
    dead(env)
    job(env, 0, success=SuccessRule(((500, 599),)))
    env.advance(seconds=10)
    assert failures(env) == 0


def test_without_a_breaker_nothing_is_counted(env: Environment) -> None:
    put(env, None, concurrency=5)
    dead(env)
    job(env, 0)
    env.advance(seconds=10)
    assert failures(env) == 0


def test_a_success_costs_a_read_and_no_write(env: Environment) -> None:
    def calls(breaker: Breaker | None) -> list[str]:
        here = Environment()
        put(here, breaker, concurrency=5)
        job(here, 0)
        before = len(here.cloud.calls)
        here.advance(seconds=10)
        return here.cloud.calls[before:]

    without, with_breaker = calls(None), calls(BREAKER)
    assert sorted(with_breaker) == sorted([*without, "GetItem"])


def test_a_retry_waits_too_and_its_attempt_is_not_spent(env: Environment) -> None:
    put(env, Breaker(2, timedelta(seconds=30)))
    dead(env)
    retry = RetryPolicy(3, timedelta(seconds=5), timedelta(seconds=5))
    first, second = job(env, 0, retry=retry), job(env, 0, retry=retry)
    env.advance(seconds=25)
    assert len(hits(env)) == 2
    runs = [run for job in (first, second) for run in env.state(job).runs]
    assert [(run.attempt, run.waits_for) for run in runs] == [(1, Wait.BREAKER)] * 2
    alive(env)
    env.advance(seconds=20)
    assert [env.run_list(job)[0].status for job in (first, second)] == [RunStatus.SUCCEEDED] * 2


def test_what_comes_while_the_flow_is_open_does_not_probe_before_its_time(
    env: Environment,
) -> None:
    put(env)
    dead(env)
    for n in range(3):
        job(env, n)
    env.advance(seconds=9)
    job(env, 10)
    env.advance(seconds=11)
    assert len(hits(env)) == 3
    env.advance(seconds=10)
    assert hits(env)[3] == pytest.approx(22, abs=0.5)


def test_a_flow_that_has_nothing_to_send_is_probed_by_what_comes_next(env: Environment) -> None:
    put(env)
    dead(env)
    for n in range(3):
        job(env, n)
    env.advance(minutes=5)
    alive(env)
    job(env, 301)
    env.advance(seconds=5)
    assert hits(env)[3] == pytest.approx(301, abs=0.1)
    assert flow(env).opened_at is None


def test_a_probe_whose_executor_dies_is_followed_by_another(env: Environment) -> None:
    put(env)
    dead(env)
    for n in range(6):
        job(env, n, timeout=timedelta(seconds=10))
    env.advance(seconds=20)

    def dies(sent: Sent) -> AttemptResult:
        raise Unavailable("the executor")

    env.target = dies
    env.advance(seconds=8)
    assert len(hits(env)) == 4
    alive(env)
    env.advance(minutes=15)
    assert flow(env).opened_at is None
    assert not [run for run in env.cloud.tables["jobs"] if run[1].startswith("wait#")]


def test_an_attempt_is_counted_once(env: Environment) -> None:
    made = put(env)
    assert [env.scheduling.flows.count_failure(made, one) for one in "aab"] == [1, 1, 2]


def test_a_flow_does_not_open_if_a_success_came_between(env: Environment) -> None:
    made = put(env)
    flows = env.scheduling.flows
    for one in "abc":
        flows.count_failure(made, one)
    flows.end_failures(made)
    changes = env.secrets.new_flows("tenant", env.now)
    assert not flows.turn(made, env.now, env.now, changes, [])
    assert flow(env).opened_at is None


def test_a_flow_opens_and_closes_once(env: Environment) -> None:
    made = put(env)
    flows = env.scheduling.flows
    changes = env.secrets.new_flows("tenant", env.now)
    for one in "abcd":
        flows.count_failure(made, one)
    assert flows.turn(made, env.now, env.now, changes, [])
    for one in "efg":
        # They were sent before it opened.
        flows.count_failure(made, one)
    assert not flows.turn(made, env.now + timedelta(seconds=1), env.now, changes, [])
    opened = flow(env)
    assert opened.opened_at == env.now
    assert flows.turn(opened, None, env.now, changes, [])
    assert not flows.turn(opened, None, env.now, changes, [])
    assert failures(env) == 0


def test_a_flow_that_is_put_as_it_is_stays_open_and_one_with_another_breaker_does_not(
    env: Environment,
) -> None:
    put(env)
    dead(env)
    for n in range(5):
        job(env, n)
    env.advance(seconds=12)
    opened_at = flow(env).opened_at
    assert opened_at is not None
    assert put(env, concurrency=4).opened_at == opened_at
    assert put(env, Breaker(4, timedelta(seconds=20))).opened_at is None
    env.scheduling.lines.wake(line_id("tenant", HOST), env.now)
    env.advance(seconds=1)
    assert len(hits(env)) == 5


def test_a_pause_comes_before_the_breaker(env: Environment) -> None:
    put(env)
    dead(env)
    for n in range(5):
        job(env, n)
    env.advance(seconds=12)
    put(env, paused=True)
    env.advance(minutes=3)
    assert len(hits(env)) == 3
    put(env)
    env.scheduling.lines.wake(line_id("tenant", HOST), env.now)
    env.advance(seconds=1)
    assert len(hits(env)) == 4


def test_no_more_is_out_than_the_concurrency_while_it_opens_and_closes(env: Environment) -> None:
    put(env, Breaker(1, timedelta(seconds=5)), concurrency=2)
    dead(env)
    for _ in range(6):
        job(env, 0)
    env.advance(seconds=8)
    alive(env)
    env.advance(seconds=30)
    assert len(hits(env)) >= 6
    assert flow(env).opened_at is None


def test_channels_are_told_once_when_it_opens_and_when_it_closes(env: Environment) -> None:
    channel(env)
    put(env)
    dead(env)
    jobs = [job(env, n) for n in range(6)]
    env.advance(seconds=30)
    (opened,) = told(env)
    assert (opened["event"], opened["flow"]) == ("flow.opened", HOST)
    assert opened["job"]["id"] == jobs[2]
    assert opened["run"]["attempts"][-1]["status_code"] == 503
    assert opened["links"]["flow"] == f"/flows/{HOST}"
    alive(env)
    env.advance(seconds=60)
    assert [one["event"] for one in told(env)] == ["flow.opened", "flow.closed"]


def test_a_channel_with_a_label_is_told_of_flows_too(env: Environment) -> None:
    channel(env, label=("team", "billing"))
    put(env, Breaker(1, timedelta(seconds=20)))
    dead(env)
    job(env, 0)
    env.advance(seconds=10)
    assert [one["event"] for one in told(env)] == ["flow.opened"]


def test_a_run_that_opens_a_flow_twice_is_told_twice(env: Environment) -> None:
    channel(env)
    put(env, Breaker(1, timedelta(seconds=2)))
    codes = [503, 200, 503, 200]
    env.target = lambda sent: (
        ok() if sent.request.url == TOLD or (code := codes.pop(0)) == 200 else status(code)
    )
    retry = RetryPolicy(4, timedelta(seconds=5), timedelta(seconds=5))
    job(env, 0, retry=retry)
    other = job(env, 3)
    env.advance(minutes=2)
    opened = [one for one in told(env) if one["event"] == "flow.opened"]
    assert len(opened) == 2
    assert codes == []
    assert [one["run"]["id"] for one in opened] == 2 * [opened[0]["run"]["id"]]
    assert env.run_list(other)[0].status is RunStatus.SUCCEEDED


def test_a_digest_has_both(env: Environment) -> None:
    channel(env, digest=timedelta(minutes=1), events=frozenset(Event))
    put(env, Breaker(1, timedelta(seconds=10)))
    dead(env)
    job(env, 0)
    job(env, 1)
    env.advance(seconds=10)
    alive(env)
    env.advance(minutes=2)
    (digest,) = told(env)
    assert digest["counts"] == {"run.failed": 1, "flow.opened": 1, "flow.closed": 1}
    assert [one["event"] for one in digest["examples"]] == [
        "run.failed",
        "flow.opened",
        "flow.closed",
    ]


def test_a_chat_and_a_mail_say_what_became_of_the_flow(env: Environment) -> None:
    channel(env, format=Format.SLACK)
    put(env)
    dead(env)
    for n in range(4):
        job(env, n)
    env.advance(seconds=10)
    alive(env)
    env.advance(seconds=60)
    opened, closed = (one["text"] for one in told(env))
    assert opened.startswith(
        f"*Flow {HOST}* is open: 3 attempts in a row failed; they wait, and one is sent every 20 s"
    )
    assert closed.startswith(f"*Flow {HOST}* is closed again: it was open since 2026-11-23T10:00:0")


def test_a_notice_is_not_counted_by_the_flow_of_its_host(env: Environment) -> None:
    channel(env)
    put(env, Breaker(1, timedelta(seconds=20)))
    dead(env)
    job(env, 0)
    env.advance(seconds=10)
    assert [one["event"] for one in told(env)] == ["flow.opened"]
    assert failures(env) == 0


def test_a_failure_of_the_table_does_not_lose_the_attempt(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(env)
    dead(env)

    def fails(*args: Any) -> int:
        raise Unavailable("the job table")

    monkeypatch.setattr("chalicelib.aws.flow_store.FlowStore.count_failure", fails)
    one = job(env, 0)
    env.advance(seconds=10)
    assert env.run_list(one)[0].status is RunStatus.FAILED


def test_a_cron_goes_on_while_the_flow_is_open(env: Environment) -> None:
    put(env, Breaker(1, timedelta(seconds=300)))
    dead(env)
    job = env.create(parse("* * * * *"), retry=ONCE)
    env.advance(minutes=4)
    assert len(hits(env)) == 1
    assert env.state(job).runs[0].waits_for is Wait.BREAKER
    alive(env)
    env.advance(minutes=5)
    assert env.run_list(job)[0].status is RunStatus.SUCCEEDED


def test_the_flow_is_replaced_with_its_breaker_open(env: Environment) -> None:
    made = put(env)
    assert replace(made, opened_at=env.now).probed_from == env.now + timedelta(seconds=20)
    assert made.probed_from is None
