"""The route that previews when a trigger is due, without a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalice.app import Blueprint, Response

from chalicelib.api.models.answer_models import Preview
from chalicelib.api.models.trigger_models import trigger_view
from chalicelib.api.models.trigger_requests import read_trigger
from chalicelib.api.models.validation import Errors, require_object, unknown_fields
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.api_keys import Scope
from chalicelib.domain.calendars import LAST_YEAR
from chalicelib.domain.exact_json import plain
from chalicelib.domain.ids import JOB_ID
from chalicelib.domain.instant import format_instant, read_instant
from chalicelib.domain.preview import preview
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.domain.trigger_words import in_words
from chalicelib.usecases.excluding import checked

routes = Blueprint(__name__)

MOST_TIMES = 100
DEFAULT_TIMES = 10
# Calendars may exclude all of a range, so the search for a time is bounded.
MOST_YEARS = 60
_LONGEST_RANGE = timedelta(days=366 * MOST_YEARS)
_FIRST_YEAR = 2
_SECOND = timedelta(seconds=1)


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

    Nothing is registered. Notes say what daylight saving, bounds, calendars and spread do to the
    times. By default these are the next ten; `after`, or `from` and `to`, say where they are.
    """
    wanted = _read(call.document(), call.scheduling.clock())
    trigger = checked(call.scheduling.calendars, call.tenant, wanted.trigger)
    shown = preview(trigger, wanted.after, wanted.count, wanted.job_id, wanted.until)
    return answer(
        200,
        Preview(
            trigger=trigger_view(trigger),
            next_run_times=[format_instant(at) for at in shown.times],
            notes=list(shown.notes),
            in_words=in_words(trigger),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A trigger to preview: up to `count` times strictly after `after` until `until`, inclusive."""

    trigger: Trigger
    after: datetime
    until: datetime | None
    count: int
    job_id: str | None


def _read(body: object, now: datetime) -> _Wanted:
    """Read the body. Raises InvalidInput, which names every wrong field."""
    errors, trigger = Errors(), None
    document = require_object(body)
    unknown = unknown_fields(document, ("trigger", "after", "from", "to", "count", "id"))
    errors.extend(unknown)
    if "trigger" in document:
        trigger = errors.collect(lambda: read_trigger(document["trigger"], now))
    elif not unknown:
        errors.add("trigger", "is required")
    after, until = _range(errors, document, trigger, now)
    count = plain(document.get("count", DEFAULT_TIMES if until is None else MOST_TIMES))
    if isinstance(count, bool) or count not in range(1, MOST_TIMES + 1):
        errors.add("count", f"must be a whole number from 1 to {MOST_TIMES}")
    job_id = document.get("id")
    if "id" in document and not (isinstance(job_id, str) and JOB_ID.fullmatch(job_id)):
        errors.add("id", "must be the id of a job, such as job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K")
    errors.raise_if_any()
    assert trigger and isinstance(count, int | float)  # noqa: S101  no error was found
    return _Wanted(trigger, after, until, int(count), job_id)


def _range(
    errors: Errors, document: Mapping[str, Any], trigger: Trigger | None, now: datetime
) -> tuple[datetime, datetime | None]:
    """Return after which instant and until which one times are shown; None for no end."""
    after, since, until = (_instant(errors, document, name) for name in ("after", "from", "to"))
    if "after" in document and "from" in document:
        errors.add("from", "give either from, which includes that time, or after, which does not")
    if since is not None:
        whole = since.replace(microsecond=0) + _SECOND * bool(since.microsecond)
        after = whole - _SECOND
    begin = after or (_just_before(trigger, now) if trigger else now)
    if until is not None and until <= begin:
        errors.add("to", "must not be before the first time to show: from, after or now")
    elif until is not None and until - begin > _LONGEST_RANGE:
        errors.add("to", f"must be at most {MOST_YEARS} years after from, after or now")
    return begin, until and until.replace(microsecond=0)


def _instant(errors: Errors, document: Mapping[str, Any], name: str) -> datetime | None:
    at = read_instant(document[name]) if name in document else None
    if name in document and at is None:
        errors.add(name, "must be an instant with its offset, such as 2026-12-01T10:00:00Z")
    elif at is not None and not _FIRST_YEAR <= at.year <= LAST_YEAR:
        # Beyond them a time in some zone would be in no year that `datetime` has.
        errors.add(name, f"must be in the years {_FIRST_YEAR} to {LAST_YEAR}")
        return None
    return at


def _just_before(trigger: Trigger, now: datetime) -> datetime:
    """Return now, or a second before a date that has just passed: such a job is due at once."""
    return min(now, trigger.date - _SECOND) if isinstance(trigger, OneTime) else now
