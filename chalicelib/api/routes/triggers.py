"""The route of triggers: what one will do, without a job."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalice.app import Blueprint, Response

from chalicelib.api.models.job_requests import read_trigger
from chalicelib.api.models.response_models import Preview, trigger_view
from chalicelib.api.models.validation import unknown_fields
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.api_keys import Scope
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.exact_json import plain
from chalicelib.domain.instant import format_instant, read_instant
from chalicelib.domain.preview import preview
from chalicelib.domain.trigger import OneTime, Trigger

routes = Blueprint(__name__)

MOST_TIMES = 100
_DEFAULT_TIMES = 10


@route(
    routes,
    "/triggers/preview",
    "POST",
    body="PreviewIn",
    answers={200: "Preview"},
    scope=Scope.READ,
)
def preview_trigger(call: Call) -> Response:
    """Say when a trigger would be due, and what daylight saving does to that."""
    trigger, after, count = _read(call.document(), call.scheduling.clock())
    shown = preview(trigger, after, count)
    return answer(
        200,
        Preview(
            trigger=trigger_view(trigger),
            next_run_times=[format_instant(at) for at in shown.times],
            notes=list(shown.notes),
        ),
    )


def _read(body: object, now: datetime) -> tuple[Trigger, datetime, int]:
    """Read the body; every wrong field is named. Raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput.of("", "the body must be a JSON object")
    errors = unknown_fields(body, ("trigger", "after", "count"))
    trigger, after, count = None, None, 0
    if "trigger" not in body:
        errors.append(FieldError("trigger", "is required"))
    else:
        try:
            trigger = read_trigger(body["trigger"], now)
        except InvalidInput as error:
            errors += error.errors
    if "after" in body:
        after = read_instant(body["after"])
        if after is None:
            errors.append(
                FieldError(
                    "after", "must be an instant with its offset, such as 2026-12-01T10:00:00Z"
                )
            )
    number = plain(body.get("count", _DEFAULT_TIMES))
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or number not in range(1, MOST_TIMES + 1)
    ):
        errors.append(FieldError("count", f"must be a whole number from 1 to {MOST_TIMES}"))
    else:
        count = int(number)
    if errors or trigger is None:
        raise InvalidInput(errors)
    return trigger, after or _just_before(trigger, now), count


def _just_before(trigger: Trigger, now: datetime) -> datetime:
    """Return now, or a second before a date that has just passed: such a job is due at once, not
    never.
    """
    return min(now, trigger.date - timedelta(seconds=1)) if isinstance(trigger, OneTime) else now
