"""Digests from end to end: the real stores and use cases on a cloud in memory."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws.digest_store import Ended
from chalicelib.domain.channels import MOST_CHANNELS, Channel, Format
from chalicelib.domain.cron import parse
from chalicelib.domain.job import Callbacks, Kind
from chalicelib.domain.notices import Event
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import AttemptResult
from chalicelib.domain.state import Status
from chalicelib.domain.trigger import OneTime
from tests.cloud import client_error
from tests.environment import START, Environment, Sent, ok, status
from tests.soak import IS_SOAK

CHANNEL = "https://example.com/channel"
SECOND = START.replace(microsecond=0)
ONCE = RetryPolicy(1)


@pytest.fixture
def env() -> Environment:
    """Return an environment in which all jobs fail, and all notices are taken."""
    env = Environment()
    env.target = lambda sent: ok() if sent.request.url.startswith(CHANNEL) else status(404)
    return env


def put_channel(env: Environment, name: str = "ops", **fields: Any) -> None:
    events = frozenset({Event.RUN_FAILED, Event.JOB_RECOVERED, Event.JOB_PAUSED, Event.RUN_MISSED})
    given = {"url": CHANNEL, "events": events, "created_at": env.now, "updated_at": env.now}
    given |= {"digest": timedelta(seconds=60)}
    given |= {"tenant": "tenant", "name": name, "token": name}
    env.scheduling.channels.put(Channel(**{**given, **fields}))


def fail(env: Environment, *seconds: float, **fields: Any) -> list[str]:
    """Register jobs that fail so many seconds after the start."""
    at = (OneTime(SECOND + timedelta(seconds=second)) for second in seconds)
    return [env.create(one, retry=ONCE, **fields) for one in at]


def told(env: Environment) -> list[tuple[Sent, Any]]:
    """Return the notices that were sent to channels, with their documents."""
    notices = (sent for sent in env.sent if sent.request.url.startswith(CHANNEL))
    return [(sent, json.loads(str(sent.request.body))) for sent in notices]


def listed(env: Environment) -> list[Any]:
    return list(env.scheduling.page("tenant", None, 100, Kind.NOTICE)[0])


def test_fifty_jobs_that_fail_within_a_minute_are_one_digest(env: Environment) -> None:
    put_channel(env)
    put_channel(env, tenant="other", url="https://example.com/other")
    ids = fail(env, *range(5, 55))
    env.advance(minutes=3)
    ((sent, document),) = told(env)
    assert (len(env.sent), sent.at) == (51, SECOND + timedelta(seconds=65))
    assert sent.credentials.signing == env.sent[0].credentials.signing
    assert (document["count"], document["counts"]) == (50, {"run.failed": 50})
    assert [one["job"]["id"] for one in document["examples"]] == ids[:20]
    assert {one["run"]["attempts"][0]["status_code"] for one in document["examples"]} == {404}
    (notice,) = listed(env)
    assert notice.state.status is Status.COMPLETED
    assert notice.definition.labels == {"event": "digest", "channel": "ops"}
    assert notice.definition.request.body == sent.request.body
    ((_, last),) = env.scheduling.channels.with_deliveries("tenant")
    assert last
    assert (last.event, last.notice_id) == ("digest", notice.definition.id)


def test_an_event_alone_in_its_window_is_the_usual_notice(env: Environment) -> None:
    put_channel(env, "usual", url=f"{CHANNEL}/usual", digest=None)
    put_channel(env)
    fail(env, 5)
    env.advance(seconds=20)
    (waiting,) = (one for one in listed(env) if one.definition.labels["channel"] == "ops")
    assert waiting.state.next_run_time == SECOND + timedelta(seconds=65)
    assert waiting.definition.labels["digest"] == "resona"
    env.advance(minutes=2)
    (first, usual), (second, alone) = told(env)
    assert (alone.pop("channel"), usual.pop("channel")) == ("ops", "usual")
    assert alone == usual
    assert second.at - first.at >= timedelta(seconds=59)
    assert {one.definition.labels["event"] for one in listed(env)} == {"run.failed"}
    assert all("digest" not in one.definition.labels for one in listed(env))


def test_what_happens_after_the_window_opens_the_next_one(env: Environment) -> None:
    put_channel(env, digest=timedelta(seconds=10))
    fail(env, 5, 12, 18, 25, 32)
    env.advance(minutes=2)
    found = [(sent.at - SECOND, document.get("count")) for sent, document in told(env)]
    times = [timedelta(seconds=seconds) for seconds in (15, 28, 42)]
    assert found == list(zip(times, (2, 2, None), strict=True))


def test_a_failure_and_its_recovery_are_in_one_digest_and_a_chat_gets_lines(
    env: Environment,
) -> None:
    put_channel(env, format=Format.SLACK, digest=timedelta(minutes=10))
    codes = [404, 200, 404]
    env.target = lambda sent: (
        status(codes.pop(0)) if codes and codes[0] == 404 else (codes and codes.pop(0), ok())[1]
    )
    env.create(parse("* * * * *"), retry=ONCE)
    env.advance(minutes=15)
    ((_, document),) = told(env)
    assert document["text"].split("\n") == [
        "*4 events* since 2026-11-23T10:01:00Z: 2 run.failed, 2 job.recovered",
        "• *job* failed at 2026-11-23T10:01:00Z answered 404",
        "• *job* works again; it failed at 2026-11-23T10:01:00Z answered 200",
        "• *job* failed at 2026-11-23T10:03:00Z answered 404",
        "• *job* works again; it failed at 2026-11-23T10:03:00Z answered 200",
    ]


def test_a_window_that_is_closed_early_takes_nothing_more(env: Environment) -> None:
    """By an executor whose clock is ahead: the next event opens another window."""
    put_channel(env)
    fail(env, 5, 10, 15, 20)
    env.advance(seconds=11)
    (notice,) = listed(env)
    env.scheduling.channels.digests.close(notice.definition.id, env.now)
    env.advance(minutes=3)
    assert [document["count"] for _, document in told(env)] == [2, 2]
    assert [sent.at - SECOND for sent, _ in told(env)] == [
        timedelta(seconds=65),
        timedelta(seconds=75),
    ]


def test_every_attempt_has_the_same_body_whoever_makes_it(env: Environment) -> None:
    """Also that of an executor which takes over from one that died, after a change of nothing."""
    put_channel(env)
    fail(env, *range(5, 30))
    env.target = lambda sent: status(503)
    env.advance(seconds=70)
    assert len(told(env)) == 1

    def die(sent: Sent) -> AttemptResult:
        raise SystemExit

    env.target = die
    with pytest.raises(SystemExit):
        env.advance(seconds=60)
    env.target = lambda sent: ok()
    env.advance(hours=1)
    found = told(env)
    assert len(found) == 3
    assert len({str(sent.request.body) for sent, _ in found}) == 1
    assert len({sent.headers["Resona-Run-Id"] for sent, _ in found}) == 1
    assert found[0][1]["count"] == 25


def test_an_executor_that_died_before_the_end_leaves_the_record_of_what_was_sent(
    env: Environment,
) -> None:
    put_channel(env)
    fail(env, 5, 6)

    def die(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and told(env) and "owner" in request["Item"]:
            env.cloud.after = lambda operation, request: None
            raise SystemExit

    env.cloud.after = die
    with pytest.raises(SystemExit):
        env.advance(minutes=2)
    env.advance(minutes=5)
    ((sent, _),) = told(env)
    (notice,) = listed(env)
    assert notice.state.status is Status.COMPLETED
    assert notice.definition.request.body == sent.request.body


def test_a_window_that_cannot_be_closed_spends_no_attempt(env: Environment) -> None:
    put_channel(env)
    fail(env, 5, 6)
    env.advance(seconds=30)

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if "is_closed = :closed" in str(request):
            raise client_error("InternalServerError", operation, 500)

    env.cloud.before = refuse
    env.advance(minutes=2)
    assert told(env) == []
    env.cloud.before = lambda operation, request: None
    env.advance(minutes=20)
    ((sent, _),) = told(env)
    assert sent.headers["Resona-Attempt"] == "1"


def test_a_deleted_digest_takes_nothing_more(env: Environment) -> None:
    put_channel(env)
    fail(env, 5, 20)
    env.advance(seconds=10)
    env.scheduling.delete("tenant", listed(env)[0].definition.id)
    env.advance(minutes=3)
    ((sent, document),) = told(env)
    assert document["event"] == "run.failed"
    assert sent.at == SECOND + timedelta(seconds=80)


def test_a_changed_or_deleted_channel_is_told_what_happened_before(env: Environment) -> None:
    put_channel(env)
    fail(env, 5, 20, 35, 50)
    env.advance(seconds=10)
    put_channel(env, url=f"{CHANNEL}/new", digest=timedelta(seconds=50))
    env.advance(seconds=15)
    put_channel(env, url=f"{CHANNEL}/new", digest=None)
    env.advance(seconds=15)
    env.scheduling.channels.delete("tenant", "ops")
    env.advance(minutes=3)
    found = [(sent.request.url, sent.at - SECOND) for sent, _ in told(env)]
    new = f"{CHANNEL}/new"
    assert [(url, round(at.total_seconds())) for url, at in found] == [
        (new, 36),
        (CHANNEL, 65),
        (new, 70),
    ]
    left = env.cloud.tables["jobs"].partition("notices#tenant")
    assert [item["part"]["S"] for item in left] == ["last#ops"]


def test_the_largest_end_fits_into_one_transaction(env: Environment) -> None:
    """20 channels, each of which opens a window for a failure and a pause; and a callback."""
    for number in range(MOST_CHANNELS):
        put_channel(env, f"{number}", url=f"{CHANNEL}/{number}")
    sizes = []

    def note(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            sizes.append(len(request["TransactItems"]))

    env.cloud.before = note
    job_id = env.create(
        parse("* * * * *"),
        retry=ONCE,
        pause_after=1,
        callbacks=Callbacks(failed="https://example.com/failed"),
    )
    env.advance(minutes=3)
    assert max(sizes) == 1 + 2 + 4 * MOST_CHANNELS
    assert env.state(job_id).status is Status.PAUSED
    documents = [document for _, document in told(env)]
    assert len(documents) == MOST_CHANNELS
    assert {tuple(one["counts"]) for one in documents} == {("run.failed", "job.paused")}


def test_two_that_open_a_window_at_once_have_one(env: Environment) -> None:
    put_channel(env)
    fail(env, 5, 5)
    refused = list[Any]()

    def race(operation: str, request: dict[str, Any]) -> None:
        """Let the other message be delivered between the read of the channels and the write."""
        if "window#ops" in str(request) and not refused:
            refused.append(request)
            (other,) = (name for name, message in env.cloud.messages.items() if not message.count)
            env.deliver(other)

    env.cloud.before = race
    env.advance(minutes=2)
    ((_, document),) = told(env)
    assert document["count"] == 2


def test_a_window_that_is_read_as_a_transaction_is_made_is_read_again(env: Environment) -> None:
    put_channel(env)
    fail(env, 5, 6, 7)
    env.advance(seconds=30)
    table, digests = env.cloud.tables["jobs"], env.scheduling.channels.digests
    (notice_id,) = (one.definition.id for one in listed(env))
    digests.close(notice_id, env.now)
    key = max(key for key in table if key[0] == f"digest#{notice_id}")
    item, reads = table.pop(key), list[str]()

    def commit(operation: str, request: dict[str, Any]) -> None:
        reads.append(operation)
        if len(reads) == 2:
            table[key] = item

    env.cloud.before = commit
    found = digests.closed(notice_id)
    assert found
    assert (found[0], len(found[1]), len(reads)) == ({Event.RUN_FAILED: 3}, 3, 2)


def test_many_events_are_counted_by_one_short_query(env: Environment) -> None:
    """And no item of the window is hot: each of its shards counts an eighth."""
    put_channel(env)
    fail(env, 5, 6)
    env.advance(seconds=30)
    table, digests = env.cloud.tables["jobs"], env.scheduling.channels.digests
    (notice_id,) = (one.definition.id for one in listed(env))
    window = env.scheduling.channels.with_windows("tenant")[0][1]
    assert window
    many = 10_000 if IS_SOAK else 1_000
    for number in range(many - 2):
        example = [(Event.RUN_FAILED, {"n": number})]
        ended = Ended(f"run_{number}-1", env.now + timedelta(seconds=number % 20), example)
        digests._table.write(*digests.added(window, ended))
    counts = [
        int(item["run_failed"]["N"])
        for item in table.partition(f"digest#{notice_id}")
        if "run_failed" in item
    ]
    assert len(counts) == 8
    assert max(counts) < many / 8 * 1.4
    queried = []

    def note(operation: str, request: dict[str, Any]) -> None:
        if operation == "Query" and "digest#" in str(request):
            queried.append(request["Limit"])

    env.cloud.before = note
    env.advance(minutes=1)
    ((_, document),) = told(env)
    assert (document["count"], len(document["examples"])) == (many, 20)
    assert queried == [28]
