"""The laptop's clock: when schedules wake, and the events that AWS would send."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.domain.instant import parse_instant
from infra.local.clock import (
    Clock,
    Faults,
    LambdaHandlers,
    Planner,
    queue_event,
    wake_event,
)

NOW = datetime(2026, 11, 23, 10, 0, 20, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def schedule(
    expression: str, name: str = "one", made_at: datetime = NOW, zone: str = "UTC", **more: Any
) -> dict[str, Any]:
    """Return a schedule as the emulator gives it to the clock."""
    return {
        "Arn": f"arn:aws:scheduler:us-east-1:123456789012:schedule/resona-local/{name}",
        "Name": name,
        "GroupName": "resona-local",
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": zone,
        "Target": {"Arn": "arn", "RoleArn": "arn", "Input": "{}"},
        "made_at": made_at.timestamp(),
        **more,
    }


def planner(
    *schedules: dict[str, Any], faults: Faults | None = None, now: datetime = NOW
) -> Planner:
    made = Planner(faults or Faults(), random.Random(1))
    made.know(list(schedules), now)
    return made


def wakes(plan: Planner, *moments: datetime) -> list[tuple[str, str]]:
    """Return (name, scheduled time) of what wakes when the clock looks at these moments."""
    found = itertools.chain.from_iterable(plan.due(moment) for moment in moments)
    return [(woken["Name"], f"{at:%H:%M:%S}") for woken, at in found]


def every_second(start: datetime, length: timedelta) -> list[datetime]:
    return [start + number * SECOND for number in range(int(length / SECOND))]


def test_a_date_wakes_once_at_its_time() -> None:
    plan = planner(schedule("at(2026-11-23T10:05:07)"))
    assert plan.soonest() == datetime(2026, 11, 23, 10, 5, 7, tzinfo=UTC)
    assert wakes(plan, *every_second(NOW, HOUR)) == [("one", "10:05:07")]
    assert plan.soonest() is None


def test_nothing_wakes_before_its_time() -> None:
    plan = planner(schedule("at(2026-11-23T10:05:07)"))
    assert wakes(plan, datetime(2026, 11, 23, 10, 5, 6, 999_999, tzinfo=UTC)) == []
    assert wakes(plan, datetime(2026, 11, 23, 10, 5, 7, tzinfo=UTC)) == [("one", "10:05:07")]


def test_a_date_is_read_in_its_zone() -> None:
    assert planner(
        schedule("at(2026-11-23T10:05:07)", zone="America/New_York")
    ).soonest() == datetime(2026, 11, 23, 15, 5, 7, tzinfo=UTC)


def test_a_cron_wakes_at_each_of_its_times() -> None:
    plan = planner(schedule("cron(*/2 * * * ? *)"))
    assert wakes(plan, *every_second(NOW, timedelta(minutes=6))) == [
        ("one", "10:02:00"),
        ("one", "10:04:00"),
        ("one", "10:06:00"),
    ]


def test_a_cron_that_is_made_within_its_minute_waits_for_the_next() -> None:
    assert planner(schedule("cron(* * * * ? *)", made_at=NOW)).soonest() == datetime(
        2026, 11, 23, 10, 1, tzinfo=UTC
    )


def test_a_cron_from_before_wakes_for_the_minute_that_is_not_over() -> None:
    """A laptop that is started at 10:00:20 still wakes for 10:00, as AWS would until 10:00:59; for
    09:59 it is too late.
    """
    plan = planner(schedule("cron(* * * * ? *)", made_at=NOW - HOUR))
    assert wakes(plan, NOW) == [("one", "10:00:00")]
    assert wakes(plan, NOW + SECOND) == []


def test_a_date_that_passed_while_the_laptop_slept_wakes_at_once() -> None:
    plan = planner(schedule("at(2026-11-23T09:30:00)", made_at=NOW - HOUR))
    assert wakes(plan, NOW, NOW + SECOND) == [("one", "09:30:00")]


def test_a_laptop_that_slept_catches_up_occurrence_by_occurrence() -> None:
    plan = planner(schedule("cron(* * * * ? *)"))
    late = NOW + timedelta(minutes=3)
    assert wakes(plan, late, late, late, late) == [
        ("one", "10:01:00"),
        ("one", "10:02:00"),
        ("one", "10:03:00"),
    ]


def test_a_new_list_neither_repeats_nor_forgets_what_is_planned() -> None:
    once, often = (
        schedule("at(2026-11-23T10:00:30)", "once"),
        schedule("cron(* * * * ? *)", "often"),
    )
    plan = planner(once, often)
    assert wakes(plan, NOW + 10 * SECOND) == [("once", "10:00:30")]
    plan.know([once, often, schedule("at(2026-11-23T10:00:40)", "new")], NOW + 10 * SECOND)
    assert wakes(plan, *every_second(NOW + 10 * SECOND, MINUTE)) == [
        ("new", "10:00:40"),
        ("often", "10:01:00"),
    ]
    plan.know([often], NOW + 70 * SECOND)
    assert wakes(plan, NOW + 70 * SECOND) == [], "it has woken for this minute"


def test_a_schedule_that_was_deleted_and_made_again_wakes_again() -> None:
    plan = planner(schedule("at(2026-11-23T10:00:30)"))
    assert wakes(plan, NOW + MINUTE) == [("one", "10:00:30")]
    plan.know([], NOW + MINUTE)
    plan.know([schedule("at(2026-11-23T10:05:00)")], NOW + MINUTE)
    assert wakes(plan, NOW + HOUR) == [("one", "10:05:00")]


def test_a_schedule_that_is_deleted_does_not_wake() -> None:
    plan = planner(
        schedule("at(2026-11-23T10:05:07)", "one"), schedule("at(2026-11-23T10:05:07)", "other")
    )
    plan.know([schedule("at(2026-11-23T10:05:07)", "other")], NOW)
    assert wakes(plan, NOW + HOUR) == [("other", "10:05:07")]


def test_a_disabled_schedule_does_not_wake() -> None:
    plan = planner(schedule("cron(* * * * ? *)", State="DISABLED"))
    assert (plan.soonest(), wakes(plan, NOW + HOUR)) == (None, [])


def test_a_wake_may_come_up_to_a_minute_late_and_names_its_time_all_the_same() -> None:
    lateness = set()
    for seed in range(40):
        plan = Planner(Faults(jitter=True), random.Random(seed))
        plan.know([schedule("cron(* * * * ? *)")], NOW)
        soonest = plan.soonest()
        assert soonest is not None
        lateness.add(round((soonest - datetime(2026, 11, 23, 10, 1, tzinfo=UTC)).total_seconds()))
        assert wakes(plan, soonest - timedelta(microseconds=1)) == []
        assert wakes(plan, soonest) == [("one", "10:01:00")]
    assert 0 <= min(lateness) < 10
    assert 50 < max(lateness) <= 59


def test_jitter_loses_no_occurrence() -> None:
    plan = planner(schedule("cron(* * * * ? *)"), faults=Faults(jitter=True))
    found = wakes(plan, *every_second(NOW, timedelta(minutes=11)))
    assert found[:9] == [("one", f"10:0{minute}:00") for minute in range(1, 10)]


def test_duplicates_are_the_same_wake_twice() -> None:
    plan = planner(schedule("cron(* * * * ? *)"), faults=Faults(duplicates=True))
    assert (
        wakes(plan, NOW + MINUTE, NOW + 2 * MINUTE)
        == [("one", "10:01:00")] * 2 + [("one", "10:02:00")] * 2
    )


def test_the_soonest_of_many_is_known() -> None:
    plan = planner(
        schedule("at(2026-11-23T10:05:00)", "b"), schedule("at(2026-11-23T10:04:00)", "a")
    )
    assert plan.soonest() == datetime(2026, 11, 23, 10, 4, tzinfo=UTC)
    assert planner().soonest() is None


ATTRIBUTES = {
    "arn": "<aws.scheduler.schedule-arn>",
    "time": "<aws.scheduler.scheduled-time>",
    "id": "<aws.scheduler.execution-id>",
    "number": "<aws.scheduler.attempt-number>",
    "within": "at <aws.scheduler.scheduled-time>, again <aws.scheduler.scheduled-time>",
    "unknown": "<aws.scheduler.unknown>",
}


def test_a_wake_s_context_attributes_are_filled_in_wherever_they_stand() -> None:
    made = schedule("at(2026-11-23T10:05:00)", Target={"Input": json.dumps(ATTRIBUTES)})
    at = datetime(2026, 11, 23, 10, 5, tzinfo=UTC)
    event = wake_event(made, at)
    assert event["arn"] == made["Arn"]
    assert event["time"] == "2026-11-23T10:05:00Z"
    assert parse_instant(event["time"]) == at
    assert event["number"] == "1"
    assert event["within"] == "at 2026-11-23T10:05:00Z, again 2026-11-23T10:05:00Z"
    assert event["unknown"] == "<aws.scheduler.unknown>"
    assert wake_event(made, at)["id"] != event["id"]


def test_a_schedule_without_an_input_wakes_with_nothing() -> None:
    assert wake_event(schedule("rate(1 minute)", Target={}), NOW) == {}


def test_a_queue_s_event_holds_each_message_as_lambda_gives_it() -> None:
    received = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "b",
        "MD5OfBody": "5",
        "Attributes": {"ApproximateReceiveCount": "1"},
    }
    (record, bare) = queue_event(
        [received, {"MessageId": "n", "ReceiptHandle": "s", "Body": "c"}], "arn:queue"
    )["Records"]
    assert record == {
        "messageId": "m",
        "receiptHandle": "r",
        "body": "b",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "md5OfBody": "5",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:queue",
        "awsRegion": "us-east-1",
    }
    assert (bare["messageId"], bare["attributes"]) == ("n", {})


class Sqs:
    """A queue with one batch, which comes again until it is deleted."""

    def __init__(self, *bodies: str) -> None:
        self.left = [
            {"MessageId": body, "ReceiptHandle": f"r-{body}", "Body": body} for body in bodies
        ]
        self.deleted: list[str] = []
        self.empty = threading.Event()

    def receive_message(self, **request: Any) -> dict[str, Any]:
        batch, self.left = self.left, []
        if not batch:
            self.empty.wait(0.01)
        return {"Messages": batch} if batch else {}

    def delete_message_batch(self, **request: Any) -> None:
        self.deleted += [entry["ReceiptHandle"] for entry in request["Entries"]]
        self.empty.set()


class Scheduler:
    """Remembers what is deleted."""

    class exceptions:  # noqa: N801  boto3's name
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.has_deleted = threading.Event()

    def delete_schedule(self, **request: str) -> None:
        self.deleted.append(request["Name"])
        self.has_deleted.set()


class Laptop:
    """A clock on these schedules and messages; each handler says that it was called.

    Stops at the end of its `with`.
    """

    def __init__(
        self, *schedules: dict[str, Any], bodies: tuple[str, ...] = (), faults: Faults | None = None
    ) -> None:
        self.woken: list[Any] = []
        self.delivered: list[Any] = []
        self.was = {name: threading.Event() for name in ("wake", "deliver", "sweep")}
        self.fails: Callable[[], None] = lambda: None
        listed = json.dumps({"version": 1, "schedules": list(schedules)}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(
                    listed if self.path.endswith("=-1") else b'{"version": 1, "schedules": null}'
                )

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.sqs, self.scheduler = Sqs(*bodies), Scheduler()
        lambda_handlers = LambdaHandlers(
            self._door("wake", self.woken),
            self._door("deliver", self.delivered),
            self.was["sweep"].set,
        )
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.clock = Clock(
            url, self.sqs, f"{url}/123456789012/due", self.scheduler, lambda_handlers, faults
        )

    def _door(self, name: str, events: list[Any]) -> Any:
        def call(event: dict[str, Any]) -> None:
            events.append(event)
            self.was[name].set()
            if name == "deliver":
                self.fails()

        return call

    def __enter__(self) -> Laptop:
        self.clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock.stop()
        self._server.shutdown()
        self._server.server_close()


def past(name: str, **more: Any) -> dict[str, Any]:
    target = {
        "Input": json.dumps({"schedule": name, "scheduled_time": "<aws.scheduler.scheduled-time>"})
    }
    return schedule(
        "at(2026-01-01T00:00:00)", name, datetime(2025, 12, 31, tzinfo=UTC), Target=target, **more
    )


def test_a_clock_wakes_sweeps_and_delivers() -> None:
    with Laptop(past("gone", ActionAfterCompletion="DELETE"), bodies=("a", "b")) as laptop:
        assert all(was.wait(timeout=10) for was in laptop.was.values())
        assert laptop.scheduler.has_deleted.wait(timeout=10)
        assert laptop.sqs.empty.wait(timeout=10)
    assert laptop.woken == [{"schedule": "gone", "scheduled_time": "2026-01-01T00:00:00Z"}]
    assert laptop.scheduler.deleted == ["gone"]
    assert [record["body"] for record in laptop.delivered[0]["Records"]] == ["a", "b"]
    assert laptop.sqs.deleted == ["r-a", "r-b"]


def test_a_batch_whose_handling_failed_is_not_deleted(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ConnectionError

    laptop = Laptop(bodies=("a",))
    laptop.fails = fail
    with laptop:
        assert failed.wait(timeout=10)
    assert laptop.sqs.deleted == []
    assert "deliver failed" in caplog.text


def test_a_duplicated_batch_is_delivered_twice_and_deleted_once() -> None:
    with Laptop(bodies=("a",), faults=Faults(duplicates=True)) as laptop:
        assert laptop.sqs.empty.wait(timeout=10)
    assert len(laptop.delivered) == 2
    assert laptop.sqs.deleted == ["r-a"]
