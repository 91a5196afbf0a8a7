"""The jobs' schedules in EventBridge Scheduler: created and deleted, never updated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, code_of
from chalicelib.aws.schedule_expression import to_eventbridge
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import schedule_name
from chalicelib.domain.trigger import OneTime, Trigger

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

_PART = "EventBridge Scheduler"


@dataclass(frozen=True, slots=True)
class Target:
    """The function that schedules invoke, and the role they invoke it with."""

    function_arn: str
    role_arn: str


class Schedules:
    """One schedule per job, named `<job id>-<token>`; the job's state has the token.

    Its input has its name and the scheduled time, no user data.
    """

    def __init__(
        self,
        client: EventBridgeSchedulerClient,
        group: str,
        target: Target,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._group = group
        self._target = target

    def create(self, job_id: str, token: str, trigger: Trigger) -> None:
        """Create the schedule that wakes the executor two minutes before each occurrence.

        Idempotent. Raises Unavailable for every failure: the sweeper arms a job without a schedule.
        """
        expression, timezone = to_eventbridge(trigger)
        name = schedule_name(job_id, token)
        try:
            self._call(
                lambda: self._client.create_schedule(
                    Name=name,
                    GroupName=self._group,
                    ClientToken=name,
                    ScheduleExpression=expression,
                    ScheduleExpressionTimezone=timezone,
                    FlexibleTimeWindow={"Mode": "OFF"},
                    ActionAfterCompletion="DELETE" if isinstance(trigger, OneTime) else "NONE",
                    Target={
                        "Arn": self._target.function_arn,
                        "RoleArn": self._target.role_arn,
                        "Input": json.dumps(
                            {"schedule": name, "scheduled_time": "<aws.scheduler.scheduled-time>"}
                        ),
                        # After 300 s the sweeper has armed the job: a later wake is useless.
                        "RetryPolicy": {
                            "MaximumEventAgeInSeconds": 300,
                            "MaximumRetryAttempts": 10,
                        },
                    },
                ),
                writes=True,
            )
        except ClientError as error:
            if code_of(error) != "ConflictException":
                raise Unavailable(_PART) from error

    def delete(self, job_id: str, token: str) -> None:
        """Delete a schedule; success if there is none. Raises Unavailable for every failure."""
        try:
            self._call(
                lambda: self._client.delete_schedule(
                    Name=schedule_name(job_id, token), GroupName=self._group
                )
            )
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise Unavailable(_PART) from error
