"""EventBridge Scheduler on a laptop: AWS's validation, and schedules in the journal.

The validation follows the service's API reference and user guide.
"""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime
from typing import Any

from moto.scheduler.models import EventBridgeSchedulerBackend, scheduler_backends

from infra.local import eventbridge
from infra.local.journal import Journal
from infra.local.wire import ACCOUNT, REGION, Forward, Reply, Request, json_error

_KIND = "schedule"
_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}", re.ASCII)
_CLIENT_TOKEN = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:.*", re.ASCII)
_LARGEST_INPUT = 256 * 1024
_PATH = re.compile(r"/schedules/([^/]+)/?")


class InvalidSchedule(Exception):
    """A schedule that AWS refuses with a ValidationException; the message says what is wrong."""


class Schedules:
    """Answers EventBridge Scheduler's requests.

    `_kept` has each schedule as it was requested, by group and name; the clock reads it.
    """

    def __init__(self, forward: Forward, journal: Journal) -> None:
        self._forward = forward
        self._journal = journal
        self._changed = threading.Condition()
        self._version = 0
        self._kept: dict[str, dict[str, Any]] = {}

    @property
    def _backend(self) -> EventBridgeSchedulerBackend:
        return scheduler_backends[ACCOUNT][REGION]

    def restore(self) -> None:
        """Create the journal's schedules again."""
        for name, kept in self._journal.read(_KIND):
            self._backend.create_schedule(
                description="",
                end_date=kept.get("EndDate"),
                flexible_time_window=kept["FlexibleTimeWindow"],
                group_name=kept["GroupName"],
                kms_key_arn=kept.get("KmsKeyArn"),
                name=kept["Name"],
                schedule_expression=kept["ScheduleExpression"],
                schedule_expression_timezone=kept["ScheduleExpressionTimezone"],
                start_date=kept.get("StartDate"),
                state=kept.get("State", "ENABLED"),
                target=kept["Target"],
                action_after_completion=kept.get("ActionAfterCompletion"),
            )
            self._kept[name] = kept

    def answer(self, request: Request) -> Reply:
        """Answer a REST request."""
        match = _PATH.fullmatch(request.path)
        with self._changed:
            if match and request.method == "POST":
                return self._create(request, match[1])
            reply = self._forward(request)
            if match and request.method == "DELETE" and reply.status == 200:
                self._forget(f"{request.query.get('groupName', 'default')}/{match[1]}")
            if match and request.method == "PUT" and reply.status == 200:
                raise NotImplementedError(
                    "Resona never updates a schedule, so neither does its laptop"
                )
            return reply

    def _create(self, request: Request, name: str) -> Reply:
        try:
            sent = json.loads(request.body)
            check(name, sent, datetime.now(UTC))
        except InvalidSchedule as error:
            return json_error("ValidationException", str(error))
        group = sent.get("GroupName", "default")
        if group not in self._backend.schedule_groups:
            return json_error(
                "ResourceNotFoundException", f"Schedule group {group} does not exist.", 404
            )
        if name in self._backend.schedule_groups[group].schedules:
            known = self._kept.get(f"{group}/{name}", {})
            if sent.get("ClientToken") and known.get("ClientToken") == sent["ClientToken"]:
                return Reply(200, json.dumps({"ScheduleArn": _arn(group, name)}).encode())
            return json_error("ConflictException", f"Schedule {name} already exists.", 409)
        reply = self._forward(request)
        if reply.status == 200:
            kept = {
                "ScheduleExpressionTimezone": "UTC",
                **sent,
                "Name": name,
                "GroupName": group,
                "made_at": time.time(),
            }
            kept["Arn"] = _arn(group, name)
            self._kept[f"{group}/{name}"] = kept
            self._keep(f"{group}/{name}", kept)
        return reply

    def _forget(self, name: str) -> None:
        self._kept.pop(name, None)
        self._keep(name, None)

    def _keep(self, name: str, kept: dict[str, Any] | None) -> None:
        self._journal.write([(_KIND, name, kept)])
        self._version += 1
        self._changed.notify_all()

    def read(self, known_version: int, wait_seconds: float = 0) -> dict[str, Any]:
        """Return {"version", "schedules"} as soon as the version is not `known_version`.

        `schedules` is None if the version has not changed after `wait_seconds`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version != known_version, wait_seconds)
            schedules = None if known_version == self._version else list(self._kept.values())
            return {"version": self._version, "schedules": schedules}


def _arn(group: str, name: str) -> str:
    return f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}"


def check(name: str, sent: dict[str, Any], now: datetime) -> None:
    """Raise InvalidSchedule for a request that AWS refuses."""
    target = sent.get("Target") or {}
    timezone = sent.get("ScheduleExpressionTimezone", "UTC")
    retry = target.get("RetryPolicy", {})
    rules = [
        (_NAME.fullmatch(name), "Name must satisfy [0-9a-zA-Z-_.]{1,64}"),
        (
            _NAME.fullmatch(sent.get("GroupName", "default")),
            "GroupName must satisfy [0-9a-zA-Z-_.]{1,64}",
        ),
        (
            _CLIENT_TOKEN.fullmatch(sent.get("ClientToken", "x")),
            "ClientToken must satisfy [a-zA-Z0-9-_]{1,64}",
        ),
        (1 <= len(timezone) <= 50, "ScheduleExpressionTimezone must have 1 to 50 characters"),
        (
            1 <= len(sent.get("ScheduleExpression", "")) <= 256,
            "ScheduleExpression must have 1 to 256 characters",
        ),
        (
            sent.get("FlexibleTimeWindow", {}).get("Mode") in ("OFF", "FLEXIBLE"),
            "FlexibleTimeWindow.Mode must be OFF or FLEXIBLE",
        ),
        (
            sent.get("ActionAfterCompletion", "NONE") in ("NONE", "DELETE"),
            "ActionAfterCompletion must be NONE or DELETE",
        ),
        (
            sent.get("State", "ENABLED") in ("ENABLED", "DISABLED"),
            "State must be ENABLED or DISABLED",
        ),
        (_ARN.fullmatch(target.get("Arn", "")), "Target.Arn must be an ARN"),
        (_ARN.fullmatch(target.get("RoleArn", "")), "Target.RoleArn must be an ARN"),
        (
            60 <= retry.get("MaximumEventAgeInSeconds", 60) <= 86_400,
            "MaximumEventAgeInSeconds must be 60 to 86400",
        ),
        (0 <= retry.get("MaximumRetryAttempts", 0) <= 185, "MaximumRetryAttempts must be 0 to 185"),
    ]
    for holds, sentence in rules:
        if not holds:
            raise InvalidSchedule(sentence)
    _check_input(target.get("Input"))
    _check_expression(sent["ScheduleExpression"], timezone, now)


def _check_input(text: str | None) -> None:
    if text is None:
        return
    if not 1 <= len(text.encode()) <= _LARGEST_INPUT:
        raise InvalidSchedule("Target.Input must have 1 byte to 256 KB")
    try:
        json.loads(text)
    except ValueError as error:
        raise InvalidSchedule("Target.Input must be well-formed JSON") from error


def _check_expression(expression: str, timezone: str, now: datetime) -> None:
    try:
        eventbridge.validate(expression, timezone)
    except ValueError as error:
        raise InvalidSchedule(str(error)) from error
    if expression.startswith("at(") and eventbridge.next_fire(expression, timezone, now) is None:
        raise InvalidSchedule(
            "Invalid Schedule Expression: the time of an at() expression must not have passed"
        )
