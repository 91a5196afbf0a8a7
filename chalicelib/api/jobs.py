"""The routes of jobs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from chalice.app import Blueprint, Response

from chalicelib.api.idempotency import Remember, once
from chalicelib.api.listing import MOST_READ, Filter, label, read_jobs, read_position
from chalicelib.api.problems import Refusal
from chalicelib.api.routing import (
    Call,
    answer,
    any_text,
    limit_of,
    one_of,
    page_size,
    parts,
    route,
    write_cursor,
)
from chalicelib.api.schemas import read_job, read_replacement, read_update
from chalicelib.api.views import job_view, run_view
from chalicelib.domain.errors import NotCurrent
from chalicelib.domain.history import Run
from chalicelib.domain.job import Definition
from chalicelib.domain.state import State, Status
from chalicelib.putting import put
from chalicelib.scheduling import Check, Edit, Job

routes = Blueprint(__name__)

# A list without a limit ends at so many bytes shown, or when MOST_READ jobs are read.
MOST_BYTES = 2 * 1024 * 1024


@route(routes, "/jobs", "POST")
def create_job(call: Call) -> Response:
    """Register a job."""
    document = call.document()
    scheduling = parts.scheduling

    def create(remember: Remember | None) -> tuple[int, Any]:
        draft = read_job(call.tenant, document, scheduling.clock(), scheduling.check_request)
        job = scheduling.create(draft, (lambda job: remember(201, json.dumps(job_view(job)))) if remember else None)
        return 201, job_view(job)

    # Every job begins with revision 1.
    return once(call, document, create, lambda shown: {"Location": f"{call.url}/{shown['id']}", "ETag": '"1"'})


@route(
    routes,
    "/jobs",
    "GET",
    query={"limit": page_size, "cursor": any_text, "status": one_of(Status), "name": any_text, "label": label},
)
def list_jobs(call: Call) -> Response:
    """List jobs, newest first."""
    position = read_position(call)
    limit = limit_of(call, default=MOST_READ)
    wanted = Filter(call)
    shown: list[str] = []
    size, following = 0, None
    # Without a filter one job more than is shown is read: it tells whether there is a next page.
    for job, place in read_jobs(call.tenant, position, MOST_READ if wanted.filters else limit + 1):
        if job is None:
            following = place
            break
        if wanted.matches(job):
            text = json.dumps(job_view(job), ensure_ascii=False, separators=(",", ":"))
            size += len(text.encode())
            if len(shown) == limit or (shown and size > MOST_BYTES):
                following = position
                break
            shown.append(text)
        position = place
    headers = {"Link": call.next_link(write_cursor(call, following))} if following else {}
    return answer(200, f"[{','.join(shown)}]", headers)


@route(routes, "/jobs/{job_id}", "GET")
def get_job(call: Call, job_id: str) -> Response:
    """Return a job."""
    return _shown(parts.scheduling.get(call.tenant, job_id))


def _shown(job: Job) -> Response:
    return answer(200, job_view(job), {"ETag": _etag(job)})


def _etag(job: Job) -> str:
    return f'"{job.state.revision}"'


def _if_match(call: Call) -> Check:
    """Return what raises NotCurrent for a job that is no longer what the call's If-Match says."""
    current = call.header("if-match")

    def check(state: State) -> None:
        if current is not None and current.strip() != "*" and f'"{state.revision}"' not in [tag.strip() for tag in current.split(",")]:
            raise NotCurrent

    return check


def update_job(call: Call, job_id: str) -> Response:
    """Change a job."""
    document = call.document()
    scheduling = parts.scheduling
    check = _if_match(call)

    def edit(job: Job, now: datetime) -> Edit:
        check(job.state)
        return read_update(document, job, job_view(job), now, scheduling.check_request)

    return _shown(scheduling.change(call.tenant, job_id, edit))


@route(routes, "/jobs/{job_id}", "POST")
def post_job(call: Call, job_id: str) -> Response:
    """Change a job, as the original API does it."""
    return update_job(call, job_id)


@route(routes, "/jobs/{job_id}", "PATCH")
def patch_job(call: Call, job_id: str) -> Response:
    """Change a job."""
    return update_job(call, job_id)


@route(routes, "/jobs/{job_id}", "PUT")
def put_job(call: Call, job_id: str) -> Response:
    """Create the job with a key, or replace it whole."""
    if not job_id.startswith("key:"):
        raise Refusal(404, "PUT takes key:{key}; change a job by its id with PATCH")
    key = job_id.removeprefix("key:")
    document = call.document()
    scheduling = parts.scheduling
    check = _if_match(call)

    def make(now: datetime) -> Definition:
        if call.header("if-match") is not None:
            # Even `*` is meant for a job that is there.
            raise NotCurrent
        return read_job(call.tenant, document, now, scheduling.check_request, key=key)

    def edit(job: Job, now: datetime) -> Edit:
        check(job.state)
        return read_replacement(document, job, job_view(job), now, scheduling.check_request)

    job, is_new = put(scheduling, call.tenant, key, make, edit)
    if not is_new:
        return _shown(job)
    return answer(201, job_view(job), {"Location": f"{call.url.rpartition('/')[0]}/{job.definition.id}", "ETag": _etag(job)})


@route(routes, "/jobs/{job_id}", "DELETE")
def delete_job(call: Call, job_id: str) -> Response:
    """Delete a job and its runs."""
    parts.scheduling.delete(call.tenant, job_id, _if_match(call))
    return answer(204, None)


@route(routes, "/jobs/{job_id}/pause", "POST")
def pause_job(call: Call, job_id: str) -> Response:
    """Pause a job."""
    return _shown(parts.scheduling.pause(call.tenant, job_id, _if_match(call)))


@route(routes, "/jobs/{job_id}/resume", "POST")
def resume_job(call: Call, job_id: str) -> Response:
    """Resume a paused job."""
    return _shown(parts.scheduling.resume(call.tenant, job_id, _if_match(call)))


@route(routes, "/jobs/{job_id}/run", "POST")
def run_job(call: Call, job_id: str) -> Response:
    """Run a job now."""

    def run(remember: Remember | None) -> tuple[int, Any]:
        def record(run_job_id: str, queued: Run) -> object:
            return remember(202, json.dumps(run_view(run_job_id, queued, with_responses=True))) if remember else None

        found, queued = parts.scheduling.run_now(call.tenant, job_id, record if remember else None)  # type: ignore[arg-type]
        return 202, run_view(found, queued, with_responses=True)

    return once(call, None, run)
