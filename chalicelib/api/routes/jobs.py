"""Routes of one job, and the list of jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from chalice.app import Blueprint, Response

from chalicelib.api.idempotency import once, read_key
from chalicelib.api.models.job_requests import read_edit, read_job
from chalicelib.api.models.pause_requests import read_skip
from chalicelib.api.models.response_models import job_view, run_view
from chalicelib.api.paging import cursor, limit_of, link_to, page_size
from chalicelib.api.pausing import read_asked
from chalicelib.api.problems import Refusal
from chalicelib.api.query import any_text, one_of
from chalicelib.api.routes.job_list import MOST_READ, Filter, label, read_due_jobs, read_jobs
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.errors import FieldError, NotCurrent
from chalicelib.domain.exact_json import write
from chalicelib.domain.ids import RunKey, key_in
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_history import Run
from chalicelib.domain.state import State, Status
from chalicelib.usecases.checks import Check
from chalicelib.usecases.due_jobs import place
from chalicelib.usecases.job_runs import run_now
from chalicelib.usecases.scheduling import Edit, Job
from chalicelib.usecases.upsert import put

routes = Blueprint(__name__)

# A list without a limit ends at this size, or after reading MOST_READ jobs.
MOST_BYTES = 2 * 1024 * 1024
_include = one_of(["recent_runs"], "Show `recent_runs` too: how the last 20 runs ended.")


def _sorted_alone(query: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield an error for each parameter that does not go with `sort`."""
    if "sort" not in query:
        return
    if query.get("status", Status.ACTIVE) != Status.ACTIVE:
        yield FieldError("status", "sort=next_run_time lists active jobs alone; leave status out")
    if query.get("kind") == Kind.NOTICE:
        yield FieldError("kind", "notices are listed newest first: leave out sort")


@route(
    routes,
    "/jobs",
    "POST",
    body="JobIn",
    answers={201: "Job"},
    takes=("Idempotency-Key",),
    gives=("Location", "ETag", "Idempotency-Replayed"),
    refuses=(409, 429),
)
def create_job(call: Call) -> Response:
    """Register a job: a request, and when to send it.

    With an Idempotency-Key, a repeat within 24 hours gets the first answer again.
    """
    document = call.document()
    scheduling = call.scheduling
    key = read_key(call, "/jobs", document)

    def create() -> str:
        now, check_request = scheduling.clock(), scheduling.check_request
        draft = read_job(call.tenant, document, now, check_request, call.api_url)
        new = scheduling.prepare(draft)
        shown = write(job_view(new.job))
        scheduling.register(new, key.record(201, shown) if key else None)
        return shown

    shown, replayed = once(key, create)
    job_id = json.loads(shown)["id"]
    headers = {"Location": f"{call.url}/{job_id}", "ETag": _etag(job_id, 1), **replayed}
    return answer(201, shown, headers)


@route(
    routes,
    "/jobs",
    "GET",
    answers={200: "Jobs"},
    query={
        "limit": page_size,
        "cursor": cursor,
        "status": one_of(Status, "Only jobs with this status."),
        "kind": one_of(Kind, "`notice` lists notices instead; `job` is the default."),
        "name": any_text("Only jobs whose name begins with this text."),
        "label": label,
        "include": _include,
        "sort": one_of(
            ["next_run_time"], "Only active jobs that are due again, soonest first, instead."
        ),
    },
    together=_sorted_alone,
)
def list_jobs(call: Call) -> Response:
    """List jobs, newest first.

    Without a limit, a page has up to 1,000 jobs or 2 MB. A Link leads to the next page; a filtered
    or sorted page may end early.
    """
    limit, with_recent = limit_of(call, default=MOST_READ), "include" in call.query
    wanted = Filter(call)
    shown: list[tuple[Job, str]] = []
    size, following = 0, None
    # Without a filter, read one job more than is shown: it tells whether there is a next page.
    most = MOST_READ if wanted.filters else limit + 1
    read = read_due_jobs if "sort" in call.query else read_jobs
    for job, position in read(call, most, wanted, results=limit):
        text = write(job_view(job, with_recent=with_recent)) if job else ""
        size += len(text.encode())
        if job is None or len(shown) == limit or (shown and size > MOST_BYTES):
            following = position
            break
        shown.append((job, text))
    if "sort" in call.query:
        # A page of a list of more than 1,000 jobs is in nearly this order.
        shown.sort(key=lambda one: place(one[0].state))
    return answer(200, f"[{','.join(text for _, text in shown)}]", link_to(call, following))


PRECONDITIONS = ("If-Match", "If-None-Match")


@route(
    routes,
    "/jobs/{job_id}",
    "GET",
    answers={200: "Job", 304: None},
    query={"include": _include},
    takes=PRECONDITIONS,
    gives=("ETag",),
)
def get_job(call: Call, job_id: str) -> Response:
    """Return a job."""
    job = call.scheduling.get(call.tenant, job_id)
    tag = _etag(job.definition.id, job.state.revision)
    match, none_match = call.preconditions.match, call.preconditions.none_match
    if match is not None and not match.strongly_name(tag):
        raise NotCurrent
    # Answer in full if the result has expired: that changes no revision, so the client's copy may
    # still have it.
    is_whole = job.state.last_run is None or job.result is not None
    if none_match is not None and none_match.weakly_name(tag) and is_whole:
        return answer(304, None, {"ETag": tag})
    return _shown(job, with_recent="include" in call.query)


def _shown(job: Job, *, with_recent: bool = False) -> Response:
    view = job_view(job, with_recent=with_recent)
    return answer(200, view, {"ETag": _etag(job.definition.id, job.state.revision)})


def _etag(job_id: str, revision: int) -> str:
    # The tag contains the id, because another job may get the same key and has the same revisions.
    return f'"{job_id.removeprefix("job_")}-{revision}"'


def precondition(call: Call) -> Check:
    """Return a check that raises NotCurrent unless the call's If-Match and If-None-Match hold."""
    match, none_match = call.preconditions.match, call.preconditions.none_match

    def check(state: State) -> None:
        tag = _etag(state.job_id, state.revision)
        if match is not None and not match.strongly_name(tag):
            raise NotCurrent
        if none_match is not None and none_match.weakly_name(tag):
            raise NotCurrent(
                "what If-None-Match names is there; to change it, send If-Match with its ETag"
            )

    return check


def update_job(call: Call, job_id: str) -> Response:
    """Change a job."""
    document = call.document()
    scheduling = call.scheduling
    check = precondition(call)

    def edit(job: Job, now: datetime) -> Edit:
        check(job.state)
        check_request, api_url = scheduling.check_request, call.api_url
        return read_edit(document, job, now, check_request, api_url, replaces=False)

    return _shown(scheduling.change(call.tenant, job_id, edit))


_CHANGE: dict[str, Any] = {
    "body": "JobUpdateIn",
    "answers": {200: "Job"},
    "takes": PRECONDITIONS,
    "gives": ("ETag",),
    "refuses": (409,),
}


@route(routes, "/jobs/{job_id}", "POST", **_CHANGE)
def post_job(call: Call, job_id: str) -> Response:
    """Change a job, as PATCH does; earlier clients use POST.

    The top-level fields present replace the old ones whole; the others stay.
    """
    return update_job(call, job_id)


@route(routes, "/jobs/{job_id}", "PATCH", **_CHANGE)
def patch_job(call: Call, job_id: str) -> Response:
    """Change a job.

    The top-level fields present replace the old ones whole; the others stay. Clients may change the
    job object that they read and send it back. A new trigger makes a completed or failed job active
    again.
    """
    return update_job(call, job_id)


@route(
    routes,
    "/jobs/{job_id}",
    "PUT",
    body="JobReplacementIn",
    answers={200: "Job", 201: "Job"},
    takes=PRECONDITIONS,
    gives=("ETag", "Location"),
    refuses=(409, 429),
)
def put_job(call: Call, job_id: str) -> Response:
    """Create the job with a key, or replace it whole.

    The path must have `key:{key}`. Use it in a deployment that registers its crons.
    """
    key = key_in(job_id)
    if key is None:
        raise Refusal(404, "PUT takes key:{key}; change a job by its id with PATCH")
    document = call.document()
    scheduling = call.scheduling
    check = precondition(call)

    def make(now: datetime) -> Definition:
        if call.preconditions.match is not None:
            # If-Match, even `*`, requires a job that exists.
            raise NotCurrent
        check_request, api_url = scheduling.check_request, call.api_url
        return read_job(call.tenant, document, now, check_request, api_url, key=key)

    def edit(job: Job, now: datetime) -> Edit:
        check(job.state)
        check_request, api_url = scheduling.check_request, call.api_url
        return read_edit(document, job, now, check_request, api_url, replaces=True)

    job, is_new = put(scheduling, call.tenant, job_id, make, edit)
    if not is_new:
        return _shown(job)
    headers = {
        "Location": f"{call.url.rpartition('/')[0]}/{job.definition.id}",
        "ETag": _etag(job.definition.id, job.state.revision),
    }
    return answer(201, job_view(job), headers)


@route(routes, "/jobs/{job_id}", "DELETE", answers={204: None}, takes=PRECONDITIONS)
def delete_job(call: Call, job_id: str) -> Response:
    """Delete a job and its runs."""
    call.scheduling.delete(call.tenant, job_id, precondition(call))
    return answer(204, None)


_TURN: dict[str, Any] = {
    "answers": {200: "Job"},
    "takes": PRECONDITIONS,
    "gives": ("ETag",),
    "refuses": (409,),
}


@route(routes, "/jobs/{job_id}/pause", "POST", body="PauseIn", **_TURN)
def pause_job(call: Call, job_id: str) -> Response:
    """Pause a job, until it is resumed or until a date.

    Without a body, a paused job is left unchanged; with one, its pause is replaced. At `until` the
    job resumes by itself, and what is due then is sent. A one-time job whose date has passed by
    then is recorded as missed.
    """
    asked = read_asked(call)
    return _shown(call.scheduling.pause(call.tenant, job_id, precondition(call), asked))


@route(routes, "/jobs/{job_id}/resume", "POST", **_TURN)
def resume_job(call: Call, job_id: str) -> Response:
    """Resume a paused job."""
    return _shown(call.scheduling.resume(call.tenant, job_id, precondition(call)))


@route(routes, "/jobs/{job_id}/skip", "POST", body="SkipIn", **_TURN)
def skip_runs(call: Call, job_id: str) -> Response:
    """Skip the next occurrences of a job.

    Each is recorded as a skipped run when it comes due, with the reason `asked`. A count replaces
    an earlier one, so a repeat skips no more.
    """
    count, check = read_skip(call.document()), precondition(call)
    return _shown(call.scheduling.skip(call.tenant, job_id, count, check))


@route(
    routes,
    "/jobs/{job_id}/run",
    "POST",
    answers={202: "Run"},
    takes=("Idempotency-Key", *PRECONDITIONS),
    gives=("Idempotency-Replayed",),
    refuses=(409,),
)
def run_job(call: Call, job_id: str) -> Response:
    """Run a job now, whatever its status.

    The run retries by the job's `retry` and becomes its `result`; it changes neither `status` nor
    `next_run_time`.
    """
    check = precondition(call)
    scheduling = call.scheduling
    # One Idempotency-Key for the job, whether the path has its id or its key.
    found = scheduling.resolve(call.tenant, job_id)
    key = read_key(call, f"/jobs/{found}/run", None, found)

    def run() -> str:
        queued = Run(RunKey.for_manual(scheduling.clock()), RunStatus.QUEUED)
        shown = write(run_view(found, queued, with_responses=True))
        record = key.record(202, shown) if key else None
        run_now(scheduling, call.tenant, found, record, check, queued.key)
        return shown

    shown, replayed = once(key, run)
    return answer(202, shown, replayed)
