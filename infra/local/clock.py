"""Invoke the executor's handlers on a laptop, on time: for schedules, messages and the sweeper.

Threads read schedules and messages from the emulator, and call the handlers with the events that
EventBridge Scheduler, SQS's event source and the sweeper's rule would send.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from infra.local import eventbridge
from infra.local.wire import ACCOUNT, REGION

log = logging.getLogger("resona.laptop")

# How many batches are delivered at the same time. Lambda would start with about five and add more;
# here the number is fixed.
POLLERS = 24
# Longest wait before the system's clock is read again: after the machine slept, or its clock was
# set, wakes are late by at most this.
_LONGEST_WAIT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class LambdaHandlers:
    """The handlers of the executor's three Lambda functions. Their return values are ignored."""

    wake: Callable[[dict[str, Any]], object]
    deliver: Callable[[dict[str, Any]], object]
    sweep: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of AWS to imitate: wakes up to a minute late (jitter), and double delivery."""

    jitter: bool = False
    duplicates: bool = False


class Planner:
    """Compute which schedules are due, from the schedules it was given and the time.

    It remembers which schedules have fired already; it does no I/O.
    """

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self._faults = faults
        self._chance = chance
        self._next: dict[str, tuple[datetime, datetime]] = {}
        # An `at()` schedule that has fired stays listed until its function has ended, when it is
        # deleted. It must not fire again meanwhile.
        self._done: set[str] = set()
        self._schedules: dict[str, dict[str, Any]] = {}

    def know(self, schedules: list[dict[str, Any]], now: datetime) -> None:
        """Replace the known schedules by these.

        A new cron is planned from now on. An `at()` whose time has passed fires at once.
        """
        self._schedules = {schedule["Arn"]: schedule for schedule in schedules}
        self._next = {arn: at for arn, at in self._next.items() if arn in self._schedules}
        self._done &= self._schedules.keys()
        for arn, schedule in self._schedules.items():
            if arn not in self._next and arn not in self._done:
                made_at = datetime.fromtimestamp(schedule["made_at"], UTC)
                is_once = schedule["ScheduleExpression"].startswith("at(")
                # The current minute still counts for a cron: a wake of 10:00 may come at 10:00:40.
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
        """Return the schedules that are due, with their scheduled times, and plan the next ones."""
        wakes = []
        for arn, (scheduled_at, at) in list(self._next.items()):
            if at <= now:
                wakes += [(self._schedules[arn], scheduled_at)] * (
                    2 if self._faults.duplicates else 1
                )
                self._plan(arn, scheduled_at)
        return wakes

    def soonest(self) -> datetime | None:
        """Return when the next schedule fires, None if none does."""
        return min((at for _, at in self._next.values()), default=None)


def wake_event(schedule: dict[str, Any], scheduled_at: datetime) -> dict[str, Any]:
    """Return the event of a wake: the schedule's input, with its context attributes replaced."""
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
    """Return the event that Lambda's SQS event source would send for received messages."""
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


def _read(
    emulator: HTTPConnection, headers: Mapping[str, str], version: int, soonest: datetime | None
) -> Any:
    """Return the emulator's answer when schedules change, one is due, or the wait is over."""
    seconds = (soonest - datetime.now(UTC)).total_seconds() if soonest else _LONGEST_WAIT_SECONDS
    wait = min(max(0, seconds), _LONGEST_WAIT_SECONDS)
    emulator.request("GET", f"/laptop/schedules?wait={wait:.3f}&version={version}", headers=headers)
    with emulator.getresponse() as answer:
        return json.load(answer)


class Clock:
    """The threads that call the handlers: one each for schedules, messages and the sweeper."""

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
        """Connect to the emulator's URL; it needs these `headers` to list its schedules."""
        self._endpoint = endpoint
        self._headers = headers
        self._sqs = sqs
        self._queue_url = queue_url
        self._scheduler = scheduler
        self._lambda_handlers = lambda_handlers
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
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, within_seconds: float = 2) -> None:
        """Start no more handlers, and wait up to `within_seconds` for those that run."""
        self._stopped.set()
        until = time.monotonic() + within_seconds
        self._handlers.shutdown(wait=False, cancel_futures=True)
        self._wakers.shutdown(wait=False, cancel_futures=True)
        for _ in range(POLLERS):
            self._free.acquire(timeout=max(0, until - time.monotonic()))

    def _complain(self, what: str) -> None:
        # After `stop` the emulator ends while handlers may still run: their errors are expected.
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
        # Lambda retries an asynchronous invocation twice, after about one and two minutes.
        for pause in (60, 120, None):
            try:
                self._lambda_handlers.wake(event)
                break
            except Exception:
                self._complain("wake failed")
                if pause is not None and self._stopped.wait(pause):
                    # The laptop stops before a retry: keep the schedule for the next start.
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
                self._lambda_handlers.sweep()
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
                self._lambda_handlers.deliver(queue_event(messages, queue_arn))
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ]
            self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception:
            # As on AWS, the batch is delivered again after its visibility timeout.
            self._complain("deliver failed")
        finally:
            self._free.release()
