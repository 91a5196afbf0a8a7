"""The Lambda handlers of the executor, called with AWS's events."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from chalice.app import SQSEvent

from chalicelib.aws.serialization import dump_due
from chalicelib.config import SettingMissing
from chalicelib.domain.cron import parse
from chalicelib.domain.ids import RunKey, new_job_id, new_token, schedule_name
from chalicelib.domain.request import Request
from chalicelib.domain.run import Outcome
from chalicelib.domain.secrets import Credentials
from chalicelib.domain.state import DueMessage
from chalicelib.domain.trigger import OneTime
from chalicelib.handlers import composition, executor
from chalicelib.runtime.concurrency import in_threads
from chalicelib.usecases.ahead import Ahead
from infra.local.clock import queue_event, wake_event
from tests.environment import START, Environment
from tests.invocations import Context, sweep_event
from tests.test_config import ENVIRON

QUEUE = "arn:aws:sqs:us-east-1:123456789012:resona-dev-due"
LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


def message(body: str, name: str = "m-1") -> dict[str, Any]:
    """Return a message as SQS hands it out."""
    return {
        "MessageId": name,
        "ReceiptHandle": f"r-{name}",
        "Body": body,
        "Attributes": {"ApproximateReceiveCount": "1"},
        "MD5OfBody": "",
    }


def event_of(*bodies: str) -> SQSEvent:
    context: Any = Context()
    return SQSEvent(
        queue_event([message(body, f"m-{number}") for number, body in enumerate(bodies)], QUEUE),
        context,
    )


def dues(count: int) -> list[DueMessage]:
    return [
        DueMessage(f"job_{number}", "tenant", RunKey(LONG_AGO, 1), LONG_AGO)
        for number in range(count)
    ]


class Parts:
    """Stands for Firing where only the handler matters: `do` is what firing a message comes to."""

    run_all = staticmethod(in_threads)

    def __init__(self, do: Callable[[DueMessage], None] = lambda due: None) -> None:
        self._do = do
        self.fired: list[DueMessage] = []
        self.back: list[DueMessage] = []

    def read_ahead(self, dues: list[DueMessage]) -> Ahead:
        return Ahead()

    def end(self, ahead: Ahead) -> None:
        pass

    def put_back(self, dues: list[DueMessage]) -> None:
        self.back += dues

    def fire(self, due: DueMessage, ahead: Ahead) -> None:
        self._do(due)
        self.fired.append(due)


def deliver(parts: Any, *bodies: str) -> None:
    executor.on_messages(event_of(*bodies), parts)


def test_a_wake_sends_the_message_for_the_occurrence_it_stands_for() -> None:
    env = Environment()
    env.create(parse("0 11 * * *"))
    ((name, schedule),) = env.cloud.schedules.items()
    env.now = datetime(2026, 11, 23, 10, 58, 40, tzinfo=UTC)
    executor.on_wake(wake_event({**schedule, "Arn": "arn"}, env.now.replace(second=0)), env.firing)
    (sent,) = env.cloud.messages.values()
    assert json.loads(sent.body)["run"] == "1-20261123T110000Z"
    early = datetime(2026, 11, 23, 11, tzinfo=UTC) - sent.visible_at
    assert timedelta(seconds=0.1) <= early <= timedelta(seconds=0.15)
    assert name in env.cloud.schedules


def test_a_wake_that_it_cannot_read_raises_so_that_it_is_seen() -> None:
    for event in (
        {},
        {"schedule": "x"},
        {"schedule": "x", "scheduled_time": "2026-11-23T10:58:00"},
    ):
        with pytest.raises((KeyError, ValueError)):
            executor.on_wake(event, Environment().firing)


def test_a_message_fires_its_job() -> None:
    env = Environment()
    job_id = env.create(OneTime(START.replace(microsecond=0) + timedelta(seconds=6)))
    (sent,) = env.cloud.messages.values()
    env.now = sent.visible_at
    executor.on_messages(event_of(sent.body), env.firing)
    assert [one.headers["Resona-Job-Id"] for one in env.sent] == [job_id]
    assert [one.at for one in env.sent] == [START.replace(microsecond=0) + timedelta(seconds=6)]


def test_a_message_may_stand_for_several() -> None:
    parts, several = Parts(), dues(4)
    deliver(parts, "\n".join(map(dump_due, several[:3])), dump_due(several[3]))
    assert sorted(due.job_id for due in parts.fired) == [due.job_id for due in several]
    assert parts.back == []


def test_what_is_more_than_ten_is_put_back_and_what_comes_alone_is_not() -> None:
    parts, several = Parts(), dues(13)
    deliver(parts, "\n".join(map(dump_due, several[:12])), dump_due(several[12]))
    assert several[12] in parts.fired
    assert (len(parts.fired), parts.back) == (10, several[9:12])


def test_a_message_that_comes_again_puts_nothing_back_again() -> None:
    parts, several = Parts(), dues(12)
    again = message("\n".join(map(dump_due, several)))
    again["Attributes"] = {"ApproximateReceiveCount": "2"}
    use_cases: Any = parts
    executor.on_messages(SQSEvent(queue_event([again], QUEUE), None), use_cases)
    assert (len(parts.fired), parts.back) == (10, [])


def test_a_sweep_arms_what_is_overdue_and_says_how_much() -> None:
    env = Environment()
    for seconds in (6, 7, 3600):
        env.create(OneTime(START.replace(microsecond=0) + timedelta(seconds=seconds)))
    env.cloud.messages.clear()
    env.now += timedelta(minutes=2)
    assert executor.on_sweep(env.firing) == 2
    assert len(env.cloud.messages) == 2


def test_a_sweep_ends_before_the_next_one_begins() -> None:
    asked: list[datetime] = []

    class Sweeping:
        def clock(self) -> datetime:
            return START

        def sweep(self, until: datetime) -> int:
            asked.append(until)
            return 0

    parts: Any = Sweeping()
    executor.on_sweep(parts)
    assert timedelta(seconds=30) <= asked[0] - START < timedelta(seconds=60)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_every_message_of_a_batch_is_fired_once(count: int) -> None:
    parts, expected = Parts(), dues(count)
    deliver(parts, *map(dump_due, expected))
    assert sorted(parts.fired, key=lambda due: due.job_id) == sorted(
        expected, key=lambda due: due.job_id
    )


def test_ten_messages_are_fired_side_by_side() -> None:
    together = threading.Barrier(10)
    parts = Parts(lambda due: (together.wait(timeout=10), None)[-1])
    deliver(parts, *map(dump_due, dues(10)))
    assert len(parts.fired) == 10


def test_a_slow_target_does_not_delay_the_others() -> None:
    slow, *others = dues(10)
    left, all_done = {due.job_id for due in others}, threading.Event()

    def fire(due: DueMessage) -> None:
        if due == slow:
            assert all_done.wait(timeout=10), "the others wait for the slow one"
            return
        left.discard(due.job_id)
        if not left:
            all_done.set()

    parts = Parts(fire)
    deliver(parts, *map(dump_due, [slow, *others]))
    assert parts.fired[-1] == slow


@pytest.mark.parametrize("failing", [0, 5, 9])
def test_a_failing_message_raises_when_all_others_are_done(failing: int) -> None:
    """The queue then delivers the whole batch again, and what was done is left alone."""
    batch = dues(10)
    has_failed = threading.Event()

    def fire(due: DueMessage) -> None:
        if due == batch[failing]:
            has_failed.set()
            raise ConnectionError(due.job_id)
        assert has_failed.wait(timeout=10)

    parts = Parts(fire)
    with pytest.raises(ConnectionError, match=f"job_{failing}"):
        deliver(parts, *map(dump_due, batch))
    assert len(parts.fired) == 9


def test_a_failing_message_alone_raises() -> None:
    def fail(due: DueMessage) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        deliver(Parts(fail), *map(dump_due, dues(1)))


GOOD = json.loads(dump_due(dues(1)[0]))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not JSON",
        "null",
        "[]",
        "17",
        '"text"',
        "{}",
        json.dumps({**GOOD, "run": "x"}),
        json.dumps({**GOOD, "run": None}),
        json.dumps({**GOOD, "at": "tomorrow"}),
        json.dumps({**GOOD, "at": 17}),
        json.dumps({name: value for name, value in GOOD.items() if name != "tenant"}),
    ],
)
def test_an_unreadable_message_is_dropped_with_a_log(
    body: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts = Parts()
    deliver(parts, body)
    deliver(parts, dump_due(dues(1)[0]), body)
    assert parts.fired == dues(1)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "message.invalid")
    ] * 2
    assert [vars(record)["message_id"] for record in caplog.records] == ["m-0", "m-1"]


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Settings of a deployment, and an executor that has read none yet."""
    aws = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in {**ENVIRON, **aws}.items():
        monkeypatch.setenv(name, value)
    executor.firing.use(None)
    yield ENVIRON
    executor.firing.use(None)


def test_nothing_is_assembled_without_its_settings(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESONA_STAGE")
    with pytest.raises(SettingMissing, match="RESONA_STAGE"):
        composition.firing()


def test_what_is_deployed_calls_no_private_address(environ: dict[str, str]) -> None:
    send = composition.firing().sender.send
    credentials = Credentials(("whsec_dGVzdA==",))
    for host in ("127.0.0.1", "localhost", "169.254.169.254"):
        request, second = Request(f"http://{host}:8080/", "GET", {}), timedelta(seconds=1)
        assert (
            send(request, run_headers={}, timeout=second, credentials=credentials).outcome
            is Outcome.BLOCKED
        )


class Aws:
    """An endpoint that has nothing: answers every service, and remembers what it was asked."""

    def __init__(self) -> None:
        asked = self.asked = list[tuple[str, str, dict[str, Any]]]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}"
                asked.append(
                    (self.command, self.headers.get("X-Amz-Target", self.path), json.loads(body))
                )
                answer = b'{"Items":[]}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_DELETE = answer  # noqa: N815  http.server's names

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def aws(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    made = Aws()
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    yield made
    made.close()


def test_the_functions_that_lambda_calls_reach_what_the_settings_name(aws: Aws) -> None:
    """The whole way: the names that Chalice hands to Lambda, raw events, real clients, and what
    goes over the wire.
    """
    job_id, token = new_job_id(LONG_AGO), new_token(LONG_AGO)
    name = schedule_name(job_id, token)
    schedule = {
        "Arn": "arn",
        "Target": {
            "Input": json.dumps(
                {"schedule": name, "scheduled_time": "<aws.scheduler.scheduled-time>"}
            )
        },
    }
    executor.wake(wake_event(schedule, LONG_AGO), Context())
    past, to_come = (
        DueMessage(job_id, "t", RunKey(LONG_AGO, 1), LONG_AGO),
        DueMessage(job_id, "t", RunKey(LONG_AGO, 1), datetime(2999, 1, 1, tzinfo=UTC)),
    )
    executor.deliver(
        queue_event([message(dump_due(past)), message(dump_due(to_come))], QUEUE),
        Context(),
    )
    executor.sweep(sweep_event(LONG_AGO), Context())

    (deleted,) = [path for method, path, _ in aws.asked if method == "DELETE"]
    assert deleted.partition("&clientToken=")[0] == f"/schedules/{name}?groupName=resona-dev"
    queries = [body for _, target, body in aws.asked if target.endswith(".Query")]
    assert {query["TableName"] for query in queries} == {"resona-dev-jobs"}
    assert len([query for query in queries if query.get("IndexName") == "by_watch"]) == 16
    assert (
        len(
            [
                query
                for query in queries
                if query.get("ExpressionAttributeValues") == {":id": {"S": job_id}}
            ]
        )
        == 2
    )
    (sent,) = [body for _, target, body in aws.asked if target.endswith(".SendMessageBatch")]
    assert sent["QueueUrl"] == ENVIRON["RESONA_DUE_QUEUE_URL"]
    assert sent["Entries"][0]["DelaySeconds"] == 900


def test_the_parts_are_put_together_once(environ: dict[str, str]) -> None:
    assert executor.firing.get() is executor.firing.get()
