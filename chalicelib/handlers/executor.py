"""Lambda handlers: wake (from EventBridge Scheduler), deliver (from the due queue), sweep
(every minute). Events in, firing out.

Lambda imports this module by itself, without `app.py`: no routes and no pydantic come with it.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from functools import partial

from chalice.app import Blueprint, CloudWatchEvent, Rate, SQSEvent, SQSRecord

from chalicelib.aws import clients
from chalicelib.aws.serialization import load_due
from chalicelib.config import due_queue_name, read_concurrency
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import run_id, split_schedule_name
from chalicelib.domain.instant import parse_instant
from chalicelib.handlers import composition
from chalicelib.runtime.once import Once
from chalicelib.telemetry.invocation import invocation
from chalicelib.usecases.firing import Firing

log = logging.getLogger("resona")
functions = Blueprint(__name__)

# Lambda hands over up to ten messages without waiting for more to come.
_BATCH = 10
# The sweeper ends in time for the next minute's, and for its function's timeout.
_SWEEP_TIME = timedelta(seconds=45)


firing = Once(composition.firing)


@functions.lambda_function(name="wake")
def wake(event: dict[str, str], context: object) -> None:
    """Be woken by a job's schedule, two minutes before an occurrence."""
    job_id, _ = split_schedule_name(event.get("schedule", ""))
    with invocation("wake", context, job_id=job_id):
        on_wake(event, firing.get(_arn(context)))


# The concurrency bounds the queue's pollers and is not reserved: with that, messages polled in vain
# would wait out the visibility timeout.
@functions.on_sqs_message(
    queue=due_queue_name(),
    batch_size=_BATCH,
    maximum_concurrency=read_concurrency(),
    name="deliver",
)
def deliver(event: SQSEvent) -> None:
    """Be given up to ten messages of the due queue."""
    with invocation("deliver", event.context):
        on_messages(event, firing.get(_arn(event.context)))


@functions.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(event: CloudWatchEvent) -> None:
    """Look for what is overdue, once a minute."""
    with invocation("sweep", event.context):
        on_sweep(firing.get(_arn(event.context)))


def _arn(context: object) -> str:
    """Return the ARN of the function that is invoked; empty outside Lambda."""
    return getattr(context, "invoked_function_arn", "")


def on_wake(event: dict[str, str], parts: Firing) -> None:
    """Wake for the schedule and the time that its input names."""
    parts.wake(event["schedule"], parse_instant(event["scheduled_time"]))


def on_messages(event: SQSEvent, parts: Firing) -> None:
    """Fire every message of a batch side by side, so that a slow target delays nobody and waiting
    is paid once.

    What fails raises at the end, and the queue delivers the whole batch again: what was done
    already is left alone then.
    """
    parts.side_by_side([partial(_fire, record, parts) for record in event])


def _fire(record: SQSRecord, parts: Firing) -> int:
    """Fire for one message; return how many were fired, 0 for one that cannot be read."""
    try:
        due = load_due(record.body)
    except (ValueError, KeyError, TypeError):
        log.error("message.invalid", extra={"message_id": record.to_dict().get("messageId")})
        return 0
    try:
        parts.fire(due)
    except Exception as error:
        # Here, since of those that fail side by side the function raises only the first.
        level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
        log.log(
            level,
            "message.failed",
            extra={"job_id": due.job_id, "run_id": run_id(due.job_id, due.key)},
            exc_info=True,
        )
        raise
    return 1


def on_sweep(parts: Firing) -> int:
    """Arm what is overdue; return how many jobs were."""
    return parts.sweep(parts.clock() + _SWEEP_TIME)


clients.make_early("dynamodb", "sqs", "scheduler")
# Only what sends requests opens secrets.
if os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "").endswith("-deliver"):
    clients.make_early("kms")
