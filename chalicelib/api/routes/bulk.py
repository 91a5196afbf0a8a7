"""Routes for many jobs at once: batches, and pause, resume, delete by label."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from chalice.app import Blueprint, Response

from chalicelib.api.models.answer_models import BatchResults, Changed, NotRegistered, Registered
from chalicelib.api.models.job_requests import read_job
from chalicelib.api.models.response_models import job_view
from chalicelib.api.models.validation import require_object, unknown_fields
from chalicelib.api.paging import cursor, link_to
from chalicelib.api.pausing import read_asked
from chalicelib.api.problems import problem
from chalicelib.api.routes.job_list import MOST_READ, Filter, label, read_jobs
from chalicelib.api.routing import Call, answer, refuse, route
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.usecases import bulk
from chalicelib.usecases.bulk import MOST_JOBS
from chalicelib.usecases.scheduling import Job, Scheduling

routes = Blueprint(__name__)

_BY_LABEL: dict[str, Any] = {
    "answers": {200: "Changed"},
    "query": {"label": replace(label, is_required=True), "cursor": cursor},
}
# Lambda answers at most 6 MB, and escapes text. A hundred problems of this size, with the largest
# jobs that fit in a request, are less than 2 MB.
_LARGEST_PROBLEM = 16 * 1024
_OUT_OF_TIME = problem(
    503,
    "the time for one request ended before this job's turn; nothing was changed: send it again",
)


@route(routes, "/jobs/batch", "POST", body="BatchIn", answers={200: "BatchResults"})
def create_jobs(call: Call) -> Response:
    """Register up to 100 jobs, each with its own result.

    It takes no Idempotency-Key: give each job a `key`, and a repeat registers only missing jobs.
    """
    sent = _read_batch(call)
    results = bulk.run_in_time(call.scheduling, [partial(_register, call, one) for one in sent])
    return answer(
        200, BatchResults(results=[result or _refused(_OUT_OF_TIME) for result in results])
    )


def _read_batch(call: Call) -> list[Any]:
    document = require_object(call.document())
    errors = unknown_fields(document, ("jobs",))
    if call.header("idempotency-key") is not None:
        # Refuse the header instead of ignoring it: a client that sends it relies on it.
        errors.append(
            FieldError(
                "Idempotency-Key",
                "is not for batches; give each job a key of its own, and a repeat is a 409 for it",
            )
        )
    sent = document.get("jobs")
    if "jobs" not in document:
        errors.append(FieldError("jobs", "is required"))
    elif not isinstance(sent, list) or len(sent) > MOST_JOBS:
        errors.append(FieldError("jobs", f"must be an array of at most {MOST_JOBS} jobs"))
    if errors or not isinstance(sent, list):
        raise InvalidInput(errors)
    return sent


def _register(call: Call, document: object) -> Registered | NotRegistered:
    scheduling = call.scheduling
    try:
        now, check_request = scheduling.clock(), scheduling.check_request
        job = scheduling.create(read_job(call.tenant, document, now, check_request, call.api_url))
    except Exception as error:
        # Return a problem for this job only: the client must learn which others were registered.
        return _refused(refuse(error, _LARGEST_PROBLEM))
    return Registered(status=201, job=job_view(job))


def _refused(refusal: Response) -> NotRegistered:
    return NotRegistered(status=refusal.status_code, problem=json.loads(refusal.body))


def _act(call: Call, act: Callable[[Scheduling, Job], bool]) -> Response:
    """Act on up to 100 jobs with a label, and link to the rest."""
    wanted = Filter(call)
    found: list[Job] = []
    following = None
    for job, position in read_jobs(call, MOST_READ, wanted):
        if job is None or len(found) == MOST_JOBS:
            following = position
            break
        found.append(job)
    changed = bulk.act_on(call.scheduling, found, act, wanted.matches)
    if None in changed:
        following = found[changed.index(None) - 1].definition.id
    return answer(200, Changed(changed=changed.count(True)), link_to(call, following))


@route(routes, "/jobs/pause", "POST", **_BY_LABEL)
def pause_jobs(call: Call) -> Response:
    """Pause the jobs with a label, up to 100 of them; a Link leads to the rest."""
    return _act(call, partial(bulk.pause, read_asked(call)))


@route(routes, "/jobs/resume", "POST", **_BY_LABEL)
def resume_jobs(call: Call) -> Response:
    """Resume the jobs with a label, up to 100 of them; a Link leads to the rest."""
    return _act(call, bulk.resume)


@route(routes, "/jobs/delete", "POST", **_BY_LABEL)
def delete_jobs(call: Call) -> Response:
    """Delete the jobs with a label, and their runs, up to 100 of them; a Link leads to the rest."""
    return _act(call, bulk.delete)
