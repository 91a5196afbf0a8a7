"""The jobs' schedules: the requests that create them, and that repeated calls are idempotent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.aws.schedules import Schedules, Target
from chalicelib.domain.cron import parse
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import new_job_id, new_token, schedule_name, split_schedule_name
from chalicelib.domain.trigger import OneTime
from infra.local.clock import wake_event
from infra.local.schedules import check
from tests.cloud import Cloud, Scheduler, client_error

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
JOB, TOKEN = new_job_id(NOW), new_token(NOW)
NAME = schedule_name(JOB, TOKEN)
DATE = OneTime(datetime(2026, 12, 1, 9, 0, 30, tzinfo=UTC))
CRON = parse("30 9 * * *", "Europe/Berlin")


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: NOW)


@pytest.fixture
def schedules(cloud: Cloud) -> Schedules:
    client: Any = Scheduler(cloud)
    return Schedules(
        client,
        "group",
        Target("arn:aws:lambda:::function:wake", "arn:aws:iam::123456789012:role/scheduler"),
        lambda seconds: None,
    )


def fail(cloud: Cloud, code: str, status: int) -> None:
    def before(operation: str, request: dict[str, Any]) -> None:
        raise client_error(code, operation, status)

    cloud.before = before


def test_a_date_has_a_schedule_that_wakes_two_minutes_before_and_then_goes(
    schedules: Schedules, cloud: Cloud
) -> None:
    schedules.create(JOB, TOKEN, DATE)
    made = cloud.schedules[NAME]
    assert made["ScheduleExpression"] == "at(2026-12-01T08:58:30)"
    assert made["ScheduleExpressionTimezone"] == "UTC"
    assert made["ActionAfterCompletion"] == "DELETE"


def test_a_cron_has_a_schedule_in_its_zone_that_stays(schedules: Schedules, cloud: Cloud) -> None:
    schedules.create(JOB, TOKEN, CRON)
    made = cloud.schedules[NAME]
    assert made["ScheduleExpression"] == "cron(28 9 * * ? *)"
    assert made["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert made["ActionAfterCompletion"] == "NONE"


@pytest.mark.parametrize("trigger", [DATE, CRON])
def test_a_schedule_is_one_that_aws_takes(schedules: Schedules, cloud: Cloud, trigger: Any) -> None:
    schedules.create(JOB, TOKEN, trigger)
    (made,) = cloud.schedules.values()
    check(made["Name"], {name: value for name, value in made.items() if name != "made_at"}, NOW)
    assert made["GroupName"] == "group"
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert made["Target"]["Arn"] == "arn:aws:lambda:::function:wake"
    assert made["Target"]["RoleArn"] == "arn:aws:iam::123456789012:role/scheduler"


def test_a_wake_that_is_hours_late_is_not_delivered(schedules: Schedules, cloud: Cloud) -> None:
    schedules.create(JOB, TOKEN, CRON)
    assert cloud.schedules[NAME]["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 600


def test_a_wake_names_its_schedule_and_its_time_and_nothing_else(
    schedules: Schedules, cloud: Cloud
) -> None:
    schedules.create(JOB, TOKEN, CRON)
    made = cloud.schedules[NAME]
    event = wake_event({**made, "Arn": "arn"}, datetime(2026, 12, 1, 8, 28, tzinfo=UTC))
    assert event == {"schedule": NAME, "scheduled_time": "2026-12-01T08:28:00Z"}
    assert split_schedule_name(event["schedule"]) == (JOB, TOKEN)
    assert set(json.loads(made["Target"]["Input"])) == {"schedule", "scheduled_time"}


def test_making_a_schedule_twice_is_one_success(schedules: Schedules, cloud: Cloud) -> None:
    schedules.create(JOB, TOKEN, DATE)
    schedules.create(JOB, TOKEN, DATE)
    assert list(cloud.schedules) == [NAME]
    assert cloud.schedules[NAME]["ClientToken"] == NAME


def test_deleting_a_schedule_twice_is_one_success(schedules: Schedules, cloud: Cloud) -> None:
    schedules.create(JOB, TOKEN, DATE)
    schedules.delete(JOB, TOKEN)
    schedules.delete(JOB, TOKEN)
    assert cloud.schedules == {}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ValidationException", 400),
        ("ServiceQuotaExceededException", 402),
        ("AccessDeniedException", 403),
        ("ResourceNotFoundException", 404),
        ("InternalServerException", 500),
    ],
)
def test_a_schedule_that_cannot_be_made_is_unavailable_whatever_the_reason(
    schedules: Schedules, cloud: Cloud, code: str, status: int
) -> None:
    fail(cloud, code, status)
    with pytest.raises(Unavailable, match=r"^EventBridge Scheduler is unavailable") as raised:
        schedules.create(JOB, TOKEN, DATE)
    assert raised.value.unknown is (status == 500)


@pytest.mark.parametrize(
    ("code", "status"),
    [("ConflictException", 409), ("AccessDeniedException", 403), ("InternalServerException", 500)],
)
def test_a_schedule_that_cannot_be_deleted_is_unavailable(
    schedules: Schedules, cloud: Cloud, code: str, status: int
) -> None:
    fail(cloud, code, status)
    with pytest.raises(Unavailable, match=r"^EventBridge Scheduler is unavailable"):
        schedules.delete(JOB, TOKEN)


@pytest.mark.parametrize(
    "write", [lambda made: made.create(JOB, TOKEN, DATE), lambda made: made.delete(JOB, TOKEN)]
)
def test_a_throttled_request_is_tried_again(
    schedules: Schedules, cloud: Cloud, write: Callable[[Schedules], None]
) -> None:
    fail(cloud, "ThrottlingException", 429)
    throttle = cloud.before

    def once(operation: str, request: dict[str, Any]) -> None:
        cloud.before = lambda operation, request: None
        throttle(operation, request)

    cloud.before = once
    write(schedules)
    assert len(cloud.calls) == 2
