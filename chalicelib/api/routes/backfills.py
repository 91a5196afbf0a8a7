"""Routes that run the past occurrences of a job."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalice.app import Blueprint, Response

from chalicelib.api.idempotency import once, read_key
from chalicelib.api.models.backfill_models import BackfillBegun
from chalicelib.api.models.validation import Errors, require_object, unknown_fields
from chalicelib.api.routes.jobs import PRECONDITIONS, precondition
from chalicelib.api.routing import Call, answer, route
from chalicelib.aws.job_items import Idempotency
from chalicelib.domain.exact_json import write
from chalicelib.domain.instant import read_instant
from chalicelib.usecases import backfilling

routes = Blueprint(__name__)

_FIRST_YEAR = 1970


@route(
    routes,
    "/jobs/{job_id}/backfill",
    "POST",
    body="BackfillIn",
    answers={202: "BackfillBegun"},
    takes=("Idempotency-Key", *PRECONDITIONS),
    gives=("Idempotency-Replayed",),
    refuses=(409,),
)
def begin_backfill(call: Call, job_id: str) -> Response:
    """Run a job for each of its past occurrences in a range, one after the other.

    The oldest is first. Each run has the scheduled time of its occurrence, sends the job's present
    request at once and retries by the job's `retry`; when it has ended, the next one follows. The
    job is due as usual meanwhile. A pause or a change of the job ends the backfill.
    """
    check = precondition(call)
    document, scheduling = call.document(), call.scheduling
    found = scheduling.resolve(call.tenant, job_id)
    key = read_key(call, f"/jobs/{found}/backfill", document, found)

    def record(runs: int) -> Idempotency | None:
        return key.record(202, _shown(runs)) if key else None

    def begin() -> str:
        since, until = _read(document, scheduling.clock())
        return _shown(
            backfilling.begin(scheduling, call.tenant, found, since, until, record, check)
        )

    shown, replayed = once(key, begin)
    return answer(202, shown, replayed)


def _shown(runs: int) -> str:
    return write(BackfillBegun(runs=runs))


@route(
    routes,
    "/jobs/{job_id}/backfill",
    "DELETE",
    answers={204: None},
    takes=PRECONDITIONS,
    refuses=(409,),
)
def end_backfill(call: Call, job_id: str) -> Response:
    """End a job's backfill.

    Its run that waits is cancelled, and one that is just being sent gets no further attempt.
    Without a backfill under way this is a 404.
    """
    backfilling.end(call.scheduling, call.tenant, job_id, precondition(call))
    return answer(204, None)


def _read(body: object, now: datetime) -> tuple[datetime, datetime]:
    """Read the first and the last whole second of a range.

    Raises InvalidInput, which names every wrong field.
    """
    document, errors = require_object(body), Errors()
    unknown = unknown_fields(document, ("from", "to"))
    errors.extend(unknown)
    since, until = (read_instant(document.get(name)) for name in ("from", "to"))
    for name, at in (("from", since), ("to", until)):
        if name not in document and not unknown:
            errors.add(name, "is required")
        elif name in document and at is None:
            errors.add(name, "must be an instant with its offset, such as 2026-12-01T10:00:00Z")
    if since and since.year < _FIRST_YEAR:
        errors.add("from", f"must be in {_FIRST_YEAR} or later")
    if until and until > now:
        errors.add("to", "must not be in the future: what is due then runs by itself")
    if since and until and until < since:
        errors.add("to", "must not be before from")
    errors.raise_if_any()
    assert since and until  # noqa: S101  no error was found
    first = since.replace(microsecond=0) + timedelta(seconds=bool(since.microsecond))
    return first, until.replace(microsecond=0)
