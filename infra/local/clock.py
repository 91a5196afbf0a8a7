"""The laptop's time: threads for EventBridge Scheduler, SQS's event source and the sweeper's rule.

It reads schedules and messages back from the emulator and gives the executor's lambda_handlers the
very events that AWS would.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

from infra.local import eventbridge
from infra.local.wire import ACCOUNT, REGION

log = logging.getLogger("resona.laptop")

# How many batches are under way at once. SQS would start with about five, and add more; a laptop
# stays here.
POLLERS = 16
# A laptop that was asleep, or whose time was set, is this much behind at most.
_LONGEST_WAIT_SECONDS = 5


class LambdaHandler(Protocol):
    """A Lambda function: an event and a context in, whatever it returns ignored."""

    def __call__(self, event: dict[str, Any], context: Context) -> object: ...


@dataclass(frozen=True, slots=True)
class LambdaHandlers:
    """The executor's functions."""

    wake: LambdaHandler
    deliver: LambdaHandler
    sweep: LambdaHandler


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults that AWS may have and a laptop has not: wakes up to a minute late, double delivery."""

    jitter: bool = False
    duplicates: bool = False


class Context:
    """The second argument of a Lambda function."""

    def __init__(self, function_name: str, timeout_seconds: float) -> None:
        self.function_name = function_name
        self.aws_request_id = str(uuid.uuid4())
        self._ends_at = time.monotonic() + timeout_seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the function may still run."""
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


class Planner:
    """Knows which schedule is to wake when.

    Pure but for what it remembers: what it has woken already.
    """

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self._faults = faults
        self._chance = chance
        self._next: dict[str, tuple[datetime, datetime]] = {}
        # An `at` that has woken is listed until its function has ended and it is deleted.
        self._done: set[str] = set()
        self._schedules: dict[str, dict[str, Any]] = {}

    def know(self, schedules: list[dict[str, Any]], now: datetime) -> None:
        """Take the schedules that exist now.

        A cron goes on from now; an `at` that has passed wakes at once.
        """
        self._schedules = {schedule["Arn"]: schedule for schedule in schedules}
        self._next = {arn: at for arn, at in self._next.items() if arn in self._schedules}
        self._done &= self._schedules.keys()
        for arn, schedule in self._schedules.items():
            if arn not in self._next and arn not in self._done:
                made_at = datetime.fromtimestamp(schedule["made_at"], UTC)
                is_once = schedule["ScheduleExpression"].startswith("at(")
                # The minute of a cron that is just now is not over: a wake of 10:00 may come at
                # 10:00:40.
                self._plan(
                    arn,
                    made_at
                    if is_once
                    else max(
                        made_at, now.replace(second=0, microsecond=0) - timedelta(microseconds=1)
                    ),
                )

    def _plan(self, arn: str, after: datetime) -> None:
        schedule = self._schedules[arn]
        at = eventbridge.next_fire(
            schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"], after
        )
        if at is None or schedule.get("State") == "DISABLED":
            self._next.pop(arn, None)
            self._done.add(arn)
            return
        jitter = (
            timedelta(seconds=self._chance.uniform(0, 59)) if self._faults.jitter else timedelta(0)
        )
        self._next[arn] = (at, at + jitter)

    def due(self, now: datetime) -> list[tuple[dict[str, Any], datetime]]:
        """Return each schedule that is to wake now, with its scheduled time, and plan its next."""
        wakes = []
        for arn, (scheduled_at, at) in list(self._next.items()):
            if at <= now:
                wakes += [(self._schedules[arn], scheduled_at)] * (
                    2 if self._faults.duplicates else 1
                )
                self._plan(arn, scheduled_at)
        return wakes

    def soonest(self) -> datetime | None:
        """Return when the next schedule is to wake, None if none is."""
        return min((at for _, at in self._next.values()), default=None)


def wake_event(schedule: dict[str, Any], scheduled_at: datetime) -> dict[str, Any]:
    """Return the event of a wake: the schedule's input with its context attributes filled in."""
    text: str = schedule["Target"].get("Input", "{}")
    attributes = {
        "<aws.scheduler.schedule-arn>": schedule["Arn"],
        "<aws.scheduler.scheduled-time>": scheduled_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "<aws.scheduler.execution-id>": uuid.uuid4().hex,
        "<aws.scheduler.attempt-number>": "1",
    }
    for name, value in attributes.items():
        text = text.replace(name, value)
    event: dict[str, Any] = json.loads(text)
    return event


def queue_event(messages: list[dict[str, Any]], queue_arn: str) -> dict[str, Any]:
    """Return the event that Lambda's event source makes of received messages."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {},
                "md5OfBody": message.get("MD5OfBody", ""),
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }


def sweep_event(now: datetime) -> dict[str, Any]:
    """Return the event of a rule that comes every minute."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/resona-local-sweep"],
        "detail": {},
    }


def _read(
    emulator: HTTPConnection, headers: Mapping[str, str], version: int, soonest: datetime | None
) -> Any:
    """Return the schedules when they change, when one is due, or after a long wait."""
    seconds = (soonest - datetime.now(UTC)).total_seconds() if soonest else _LONGEST_WAIT_SECONDS
    wait = min(max(0, seconds), _LONGEST_WAIT_SECONDS)
    emulator.request("GET", f"/laptop/schedules?wait={wait:.3f}&version={version}", headers=headers)
    with emulator.getresponse() as answer:
        return json.load(answer)


class Clock:
    """Threads until `stop`: one for schedules, one for the sweeper, one that receives messages."""

    def __init__(
        self,
        endpoint: str,
        sqs: Any,
        queue_url: str,
        scheduler: Any,
        lambda_handlers: LambdaHandlers,
        faults: Faults | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Take the emulator's URL, and the `headers` that it asks for to list its schedules."""
        self._endpoint = endpoint
        self._headers = headers
        self._sqs = sqs
        self._queue_url = queue_url
        self._scheduler = scheduler
        self._doorways = lambda_handlers
        self._faults = faults or Faults()
        self._stopped = threading.Event()
        self._free = threading.Semaphore(POLLERS)
        self._handlers = ThreadPoolExecutor(POLLERS, thread_name_prefix="deliver")
        self._wakers = ThreadPoolExecutor(8, thread_name_prefix="wake")
        self._threads = [
            threading.Thread(target=run, daemon=True)
            for run in (self._schedules, self._sweeper, self._messages)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, within_seconds: float = 2) -> None:
        """End: nothing new is begun, and what is under way has a moment to end."""
        self._stopped.set()
        until = time.monotonic() + within_seconds
        self._handlers.shutdown(wait=False, cancel_futures=True)
        self._wakers.shutdown(wait=False, cancel_futures=True)
        for _ in range(POLLERS):
            self._free.acquire(timeout=max(0, until - time.monotonic()))

    def _complain(self, what: str) -> None:
        # At the end the cloud goes away under whatever is still under way.
        if not self._stopped.is_set():
            log.exception(what)

    def _schedules(self) -> None:
        planner, version = Planner(self._faults, random.Random()), -1
        with closing(
            HTTPConnection(urlsplit(self._endpoint).netloc, timeout=2 * _LONGEST_WAIT_SECONDS)
        ) as emulator:
            while not self._stopped.is_set():
                try:
                    read = _read(emulator, self._headers, version, planner.soonest())
                    if read["schedules"] is not None:
                        planner.know(read["schedules"], datetime.now(UTC))
                        version = read["version"]
                    for schedule, scheduled_at in planner.due(datetime.now(UTC)):
                        self._wakers.submit(self._wake, schedule, scheduled_at)
                except (OSError, HTTPException, RuntimeError):
                    emulator.close()
                    self._complain("the schedules could not be read")
                self._stopped.wait(0.5)

    def _wake(self, schedule: dict[str, Any], scheduled_at: datetime) -> None:
        event = wake_event(schedule, scheduled_at)
        # Lambda calls a function that raised twice more, after about one and two minutes.
        for pause in (60, 120, None):
            try:
                self._doorways.wake(event, Context("resona-local-wake", 60))
                break
            except Exception:
                self._complain("wake failed")
                if pause is not None and self._stopped.wait(pause):
                    # It has not woken, and so it stays, for the next start.
                    return
        if schedule.get("ActionAfterCompletion") == "DELETE":
            self._delete(schedule)

    def _delete(self, schedule: dict[str, Any]) -> None:
        try:
            self._scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
        except self._scheduler.exceptions.ResourceNotFoundException:
            log.debug("a finished schedule was deleted already")

    def _sweeper(self) -> None:
        while not self._stopped.is_set():
            try:
                self._doorways.sweep(
                    sweep_event(datetime.now(UTC)), Context("resona-local-sweep", 60)
                )
            except Exception:
                self._complain("sweep failed")
            self._stopped.wait(60)

    def _messages(self) -> None:
        while not self._stopped.is_set():
            if not self._free.acquire(timeout=0.5):
                continue
            messages: list[dict[str, Any]] = []
            try:
                received = self._sqs.receive_message(
                    QueueUrl=self._queue_url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=2,
                    AttributeNames=["All"],
                )
                messages = received.get("Messages", [])
                if messages:
                    self._handlers.submit(self._deliver, messages)
            except Exception:
                messages = []
                self._complain("the queue could not be read")
                self._stopped.wait(1)
            finally:
                if not messages:
                    self._free.release()

    def _deliver(self, messages: list[dict[str, Any]]) -> None:
        queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self._queue_url.rpartition('/')[2]}"
        try:
            for _ in range(2 if self._faults.duplicates else 1):
                self._doorways.deliver(
                    queue_event(messages, queue_arn), Context("resona-local-deliver", 660)
                )
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ]
            self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception:
            # As on AWS: the batch comes again when its visibility timeout is over.
            self._complain("deliver failed")
        finally:
            self._free.release()
