"""The sweeper: every look is made, by this sweep or by the next."""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws.job_items import WATCH_SHARDS
from chalicelib.aws.serialization import load_due
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.looks import SETTLED, Mark
from chalicelib.domain.state import GRACE, written
from chalicelib.domain.trigger import OneTime
from chalicelib.usecases.sweeping import Sweeping
from tests.cloud import client_error
from tests.environment import START, Environment

SHARD = 3
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def at(**duration: float) -> OneTime:
    return OneTime((START + timedelta(**duration)).replace(microsecond=0))


@pytest.fixture
def env() -> Environment:
    made = Environment()
    made.sweeps = False
    return made


def overdue(env: Environment, count: int) -> list[str]:
    """Register jobs that one shard of the sweeper's holds, and let them be overdue, the first the
    longest.
    """
    made: list[str] = []
    while len(made) < count:
        job_id = env.create(at(seconds=6 + len(made)))
        if zlib.crc32(job_id.encode()) % WATCH_SHARDS == SHARD:
            made.append(job_id)
        else:
            env.scheduling.delete("tenant", job_id)
    env.cloud.messages.clear()
    env.now = max(env.now, START + 3 * MINUTE)
    return made


def sweep(env: Environment, page: int = 100) -> list[str]:
    """Sweep; return whose messages were sent, in order, whether or not a call failed."""
    before = len(env.cloud.messages)
    parts = env.firing
    with contextlib.suppress(Unavailable):
        sweeping = Sweeping(
            parts.jobs,
            parts.sweeps,
            parts.queue,
            parts.admission.lines.lines,
            env.clock,
            parts.sleep,
            parts.run_all,
            page,
        )
        sweeping.sweep(env.now + timedelta(seconds=45))
    sent = [load_due(message.body).job_id for message in env.cloud.messages.values()]
    return sent[before:]


def mark(env: Environment) -> Mark:
    return env.firing.sweeps.marks()[SHARD]


def fail(
    env: Environment, operation: str, index: str | None = None, of_jobs: Iterable[str] = ()
) -> None:
    """Let an operation fail: of the index, for SHARD; of the queue, for messages of these jobs."""

    def refuse(called: str, request: dict[str, Any]) -> None:
        shard = request.get("ExpressionAttributeValues", {}).get(":shard", {"S": str(SHARD)})["S"]
        jobs = {load_due(one["MessageBody"]).job_id for one in request.get("Entries", ())}
        is_meant = shard == str(SHARD) and (not of_jobs or jobs & set(of_jobs))
        if (called, request.get("IndexName")) == (operation, index) and is_meant:
            raise client_error("InternalServerError", called, 500)

    env.cloud.before = refuse


def heal(env: Environment) -> None:
    env.cloud.before = lambda called, request: None


def test_a_sweep_arms_what_is_overdue_and_writes_no_state(env: Environment) -> None:
    made = overdue(env, 13)
    states = [env.state(job_id) for job_id in made]
    env.cloud.calls.clear()
    assert sweep(env) == made
    once = dict.fromkeys(("GetItem", "BatchGetItem", "PutItem"), 1)
    assert Counter(env.cloud.calls) == {"Query": 16, "SendMessageBatch": 2, **once}
    assert [env.state(job_id) for job_id in made] == states
    assert mark(env) == Mark(env.now - SETTLED)


def test_without_anything_overdue_a_sweep_only_looks_into_the_index(env: Environment) -> None:
    env.create(at(hours=1))
    env.cloud.calls.clear()
    assert sweep(env) == []
    assert env.cloud.calls == ["Query"] * 16


def test_looks_follow_each_other_further_and_further_apart(env: Environment) -> None:
    overdue(env, 1)
    env.now = START + 46 * SECOND
    looks = []
    for minute in range(35):
        looks += [minute] * len(sweep(env))
        env.now += MINUTE
    assert looks == [0, 1, 3, 7, 15, 23, 31]


@pytest.mark.parametrize(
    ("operation", "index"),
    [("BatchGetItem", None), ("SendMessageBatch", None), ("Query", "by_watch")],
)
def test_a_look_that_failed_is_made_by_the_next_sweep(
    env: Environment, operation: str, index: str | None
) -> None:
    made = overdue(env, 2)
    sweep(env)
    env.now += 2 * MINUTE
    before = mark(env)
    fail(env, operation, index=index)
    assert sweep(env) == []
    assert mark(env) == before
    heal(env)
    # Ten seconds later there is no look of these jobs but those that failed.
    env.now += 10 * SECOND
    assert sweep(env) == made
    assert sweep(env) == []


@pytest.mark.parametrize("failing", range(3))
def test_a_page_that_failed_holds_up_no_other(env: Environment, failing: int) -> None:
    made = overdue(env, 6)
    pages = [made[0:2], made[2:4], made[4:6]]
    fail(env, "SendMessageBatch", of_jobs=pages[failing])
    sent = sweep(env, page=2)
    heal(env)
    env.now += MINUTE
    again = sweep(env, page=2)
    assert set(sent) | set(again) == set(made)
    assert not set(sent) & set(pages[failing])
    assert set(pages[failing]) <= set(again)


def test_a_sweep_goes_on_where_the_one_before_ran_out_of_time(env: Environment) -> None:
    made = overdue(env, 10)

    def be_slow(called: str, request: dict[str, Any]) -> None:
        if called == "SendMessageBatch":
            env.now += 20 * SECOND

    env.cloud.before = be_slow
    began = env.now
    assert sweep(env, page=2) == made[:6]
    part = mark(env).part
    assert part is not None
    assert (mark(env).since, part.until) == (None, began)
    env.now = began + MINUTE
    assert sweep(env, page=2) == [*made[6:], *made[:2]]
    heal(env)
    env.now = began + 2 * MINUTE
    rest = sweep(env, page=2)
    assert rest[0] == made[2], "and then from the beginning again, what has another look by then"
    assert mark(env) == Mark(env.now - SETTLED)


def test_what_could_not_be_sent_in_time_is_sent_by_the_next_sweep(env: Environment) -> None:
    made = overdue(env, 35)

    def be_slow(called: str, request: dict[str, Any]) -> None:
        if called == "SendMessageBatch":
            env.now += 20 * SECOND

    env.cloud.before = be_slow
    assert sweep(env) == made[:30]
    assert mark(env) == Mark(None)
    heal(env)
    assert sweep(env) == made


@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_without_its_marks_a_sweep_looks_at_everything(env: Environment, operation: str) -> None:
    made = overdue(env, 3)
    sweep(env)
    fail(env, operation)
    env.now += 20 * SECOND
    assert sweep(env) == (made if operation == "GetItem" else [])


def test_a_state_that_cannot_be_read_holds_up_no_other_and_not_the_mark(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = overdue(env, 3)
    env.cloud.tables["jobs"][second, "state"]["state"] = {"S": "no JSON"}
    assert sweep(env) == [first, third]
    assert mark(env) == Mark(env.now - SETTLED)
    (record,) = [record for record in caplog.records if record.msg == "sweep.failed"]
    assert (record.levelname, vars(record)["job_id"]) == ("ERROR", second)


def test_a_mark_in_the_future_is_ignored(env: Environment) -> None:
    made = overdue(env, 2)
    env.firing.sweeps.keep([Mark(env.now + timedelta(days=1))] * WATCH_SHARDS)
    assert sweep(env) == made
    env.firing.sweeps.keep([Mark(env.now + 30 * SECOND)] * WATCH_SHARDS)
    assert sweep(env) == []


def test_a_watch_that_is_moved_is_not_written_over_another_change(env: Environment) -> None:
    """A cron keeps an old run in flight: its `watch_at` is moved to the next look of any step."""
    (job_id,) = overdue(env, 1)
    state = env.state(job_id)
    early = replace(state, revision=state.revision + 1, next_due_at=START + 20 * MINUTE)
    env.jobs.save(early, now=env.now)
    env.now = START + 16 * MINUTE
    changed: list[str] = []

    def change(called: str, request: dict[str, Any]) -> None:
        if called == "PutItem" and not changed:
            changed.append(called)
            env.jobs.save(written(replace(early, skips=1), env.now), now=env.now)

    env.cloud.before = change
    assert sweep(env) == []
    assert (env.state(job_id).skips, mark(env)) == (1, Mark(env.now - SETTLED))


def test_a_watch_that_could_not_be_moved_is_looked_at_by_the_next_sweep(env: Environment) -> None:
    (job_id,) = overdue(env, 1)
    state = env.state(job_id)
    early = replace(state, revision=state.revision + 1, next_due_at=START + 20 * MINUTE)
    env.jobs.save(early, now=env.now)
    env.now = START + 16 * MINUTE
    fail(env, "PutItem")
    assert sweep(env) == []
    heal(env)
    assert sweep(env) == []
    assert env.state(job_id).watch_at == START + 20 * MINUTE + GRACE


@pytest.mark.parametrize("lost", ["message", "wake"])
def test_what_only_the_sweeper_notices_is_sent_30_to_90_s_late(lost: str) -> None:
    """docs/alarms.md says so; at each second of a minute a job is due."""
    late = []
    for second in range(60):
        env = Environment()
        env.wakes = False
        due = at(hours=1 if lost == "wake" else 0, minutes=2, seconds=second)
        env.create(due)
        env.cloud.messages.clear()
        env.advance_to(due.date + 2 * MINUTE)
        late.append((env.sent[0].at - due.date).total_seconds())
    assert 30 <= min(late) <= 31
    assert 89 <= max(late) < 90.5
