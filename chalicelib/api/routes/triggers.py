"""The route that previews when a trigger is due, without a job."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalice.app import Blueprint, Response

from chalicelib.api.models.answer_models import Preview
from chalicelib.api.models.trigger_models import trigger_view
from chalicelib.api.models.trigger_requests import read_trigger
from chalicelib.api.models.validation import Errors, require_object, unknown_fields
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.api_keys import Scope
from chalicelib.domain.exact_json import plain
from chalicelib.domain.ids import JOB_ID
from chalicelib.domain.instant import format_instant, read_instant
from chalicelib.domain.preview import preview
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.domain.trigger_words import in_words
from chalicelib.usecases.excluding import checked

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
    """Return the times at which a trigger would be due, with notes on what changes them.

    Nothing is registered. Notes say what daylight saving, bounds and spread do to the times.
    """
    trigger, after, count, job_id = _read(call.document(), call.scheduling.clock())
    trigger = checked(call.scheduling.calendars, call.tenant, trigger)
    shown = preview(trigger, after, count, job_id)
    return answer(
        200,
        Preview(
            trigger=trigger_view(trigger),
            next_run_times=[format_instant(at) for at in shown.times],
            notes=list(shown.notes),
            in_words=in_words(trigger),
        ),
    )


def _read(body: object, now: datetime) -> tuple[Trigger, datetime, int, str | None]:
    """Read the body. Raises InvalidInput, which names every wrong field."""
    errors, trigger = Errors(), None
    document = require_object(body)
    unknown = unknown_fields(document, ("trigger", "after", "count", "id"))
    errors.extend(unknown)
    if "trigger" in document:
        trigger = errors.collect(lambda: read_trigger(document["trigger"], now))
    elif not unknown:
        errors.add("trigger", "is required")
    after = read_instant(document["after"]) if "after" in document else None
    if "after" in document and after is None:
        errors.add("after", "must be an instant with its offset, such as 2026-12-01T10:00:00Z")
    count = plain(document.get("count", _DEFAULT_TIMES))
    if isinstance(count, bool) or count not in range(1, MOST_TIMES + 1):
        errors.add("count", f"must be a whole number from 1 to {MOST_TIMES}")
    job_id = document.get("id")
    if "id" in document and not (isinstance(job_id, str) and JOB_ID.fullmatch(job_id)):
        errors.add("id", "must be the id of a job, such as job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K")
    errors.raise_if_any()
    assert trigger and isinstance(count, int | float)  # noqa: S101  no error was found
    return trigger, after or _just_before(trigger, now), int(count), job_id


def _just_before(trigger: Trigger, now: datetime) -> datetime:
    """Return now, or a second before a date that has just passed: such a job is due at once."""
    return min(now, trigger.date - timedelta(seconds=1)) if isinstance(trigger, OneTime) else now
