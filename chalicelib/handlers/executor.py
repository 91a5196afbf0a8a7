"""Lambda handlers wake (EventBridge Scheduler), deliver (due queue) and sweep (every minute).

Lambda imports this module without `app.py`, so that routes and pydantic are not loaded.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from functools import partial

from chalice.app import Blueprint, CloudWatchEvent, Rate, SQSEvent, SQSRecord

from chalicelib.aws import clients
from chalicelib.aws.due_queue import load_dues
from chalicelib.config import due_queue_name, read_concurrency
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import run_id, split_schedule_name
from chalicelib.domain.instant import parse_instant
from chalicelib.domain.state import DueMessage
from chalicelib.handlers import composition
from chalicelib.runtime.once import Once
from chalicelib.telemetry.invocation import invocation
from chalicelib.usecases.ahead import Ahead
from chalicelib.usecases.firing import Firing

log = logging.getLogger("resona")
functions = Blueprint(__name__)

# Lambda passes up to ten messages without waiting for more.
_BATCH = 10
# The sweep ends before the next one starts, and before its function's timeout.
_SWEEP_TIME = timedelta(seconds=45)


firing = Once(composition.firing)


@functions.lambda_function(name="wake")
def wake(event: dict[str, str], context: object) -> None:
    """Send the due message of a job; its schedule invokes this two minutes before an occurrence."""
    job_id, _ = split_schedule_name(event.get("schedule", ""))
    with invocation("wake", context, job_id=job_id):
        on_wake(event, firing.get(_arn(context)))


# The maximum concurrency limits SQS's poller. Reserved concurrency would throttle the function when
# the poller has already received messages, and these would wait for the visibility timeout.
@functions.on_sqs_message(
    queue=due_queue_name(),
    batch_size=_BATCH,
    maximum_concurrency=read_concurrency(),
    name="deliver",
)
def deliver(event: SQSEvent) -> None:
    """Fire for up to ten messages of the due queue."""
    with invocation("deliver", event.context):
        on_messages(event, firing.get(_arn(event.context)))


@functions.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(event: CloudWatchEvent) -> None:
    """Arm overdue jobs, once a minute."""
    with invocation("sweep", event.context):
        on_sweep(firing.get(_arn(event.context)))


def _arn(context: object) -> str:
    """Return the ARN of the function that is invoked; empty outside Lambda."""
    return getattr(context, "invoked_function_arn", "")


def on_wake(event: dict[str, str], use_cases: Firing) -> None:
    """Send the due message for the schedule and the scheduled time in the event."""
    use_cases.wake(event["schedule"], parse_instant(event["scheduled_time"]))


def on_messages(event: SQSEvent, use_cases: Firing) -> None:
    """Fire for all messages of a batch concurrently, so that a slow target delays no other job.

    If one fails, raise at the end: the queue delivers the whole batch again, and messages whose
    work is done are ignored.
    """
    # Those that come alone first: the others have waited.
    read = sorted(
        ((_read(record), _is_first(record)) for record in event), key=lambda one: len(one[0])
    )
    dues = [(due, is_first) for together, is_first in read for due in together]
    now = [due for due, _ in dues[:_BATCH]]
    # What comes again was put back the first time; the sweeper has what was lost then.
    later = [due for due, is_first in dues[_BATCH:] if is_first]
    ahead = use_cases.read_ahead(now)
    try:
        use_cases.run_all(
            [
                *([partial(use_cases.put_back, later)] if later else ()),
                *(partial(_fire, due, ahead, use_cases) for due in now),
            ]
        )
    finally:
        use_cases.end(ahead)


def _read(record: SQSRecord) -> list[DueMessage]:
    """Return the due messages of a record, none if it cannot be read."""
    try:
        return load_dues(record.body)
    except (ValueError, KeyError, TypeError):
        log.error("message.invalid", extra={"message_id": record.to_dict().get("messageId")})
        return []


def _is_first(record: SQSRecord) -> bool:
    """Return whether the queue delivers a message for the first time."""
    attributes: dict[str, str] = record.to_dict().get("attributes", {})
    return attributes.get("ApproximateReceiveCount", "1") == "1"


def _fire(due: DueMessage, ahead: Ahead, use_cases: Firing) -> None:
    try:
        use_cases.fire(due, ahead)
    except Exception as error:
        # Logged here, because the function raises only the first of several failures.
        level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
        log.log(
            level,
            "message.failed",
            extra={"job_id": due.job_id, "run_id": run_id(due.job_id, due.key)},
            exc_info=True,
        )
        raise


def on_sweep(use_cases: Firing) -> int:
    """Arm overdue jobs; return how many were overdue."""
    return use_cases.sweep(use_cases.clock() + _SWEEP_TIME)


clients.make_early("dynamodb", "sqs", "scheduler")
if name := os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
    composition.prepare(name, _BATCH)
