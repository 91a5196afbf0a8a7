"""Routes that retry runs and cancel them."""

from __future__ import annotations

from dataclasses import replace

from chalice.app import Blueprint, Response

from chalicelib.api.idempotency import once, read_key
from chalicelib.api.models.answer_models import Retried
from chalicelib.api.models.response_models import run_view
from chalicelib.api.paging import NotACursor, cursor, link_to, read_cursor
from chalicelib.api.query import one_of
from chalicelib.api.routes.job_list import label, label_of
from chalicelib.api.routes.jobs import PRECONDITIONS, precondition
from chalicelib.api.routes.runs import instant, span, wrong_span
from chalicelib.api.routing import Call, answer, route
from chalicelib.aws.ended_runs_index import WRONG, is_position
from chalicelib.aws.job_items import Idempotency
from chalicelib.aws.serialization import sortable
from chalicelib.domain.exact_json import write
from chalicelib.domain.instant import read_instant
from chalicelib.domain.run_history import Run
from chalicelib.usecases import mending
from chalicelib.usecases.ended_runs import Wanted
from chalicelib.usecases.retry_failed import Place, retry_failed

routes = Blueprint(__name__)


@route(
    routes,
    "/jobs/{job_id}/runs/{run_id}/retry",
    "POST",
    answers={202: "Run"},
    takes=("Idempotency-Key", *PRECONDITIONS),
    gives=("Idempotency-Replayed",),
    refuses=(409,),
)
def retry_run(call: Call, job_id: str, run_id: str) -> Response:
    """Retry a run that failed, was missed or was cancelled.

    A new run sends the job's present request at once, with the scheduled time of the old one, and
    retries by the job's `retry`. It becomes the job's `result` and changes neither `status` nor
    `next_run_time`. Every run is retried once: a repeat answers with the retry as it is now. To
    retry again, retry that one.
    """
    scheduling = call.scheduling
    check = precondition(call)
    found = scheduling.resolve(call.tenant, job_id)
    key = read_key(call, f"/jobs/{found}/runs/{run_id}/retry", None, found)

    def record(found: str, queued: Run) -> Idempotency | None:
        return key.record(202, _shown(found, queued)) if key else None

    def retry() -> str:
        return _shown(*mending.retry(scheduling, call.tenant, found, run_id, record, check))

    shown, replayed = once(key, retry)
    return answer(202, shown, replayed)


@route(
    routes,
    "/jobs/{job_id}/runs/{run_id}",
    "DELETE",
    answers={200: "Run"},
    takes=PRECONDITIONS,
    refuses=(409,),
)
def cancel_run(call: Call, job_id: str, run_id: str) -> Response:
    """Cancel a run that is `queued` or `retrying`: nothing more is sent.

    It ends with the reason `cancelled`, as `failed` if it was sent before, else as `skipped`. A
    repeat answers the same. A run whose attempt is in flight is 409, and so is one that has ended.
    """
    check = precondition(call)
    return answer(200, _shown(*mending.cancel(call.scheduling, call.tenant, job_id, run_id, check)))


def _shown(job_id: str, run: Run) -> str:
    return write(run_view(job_id, run, with_responses=False))


@route(
    routes,
    "/runs/retry",
    "POST",
    answers={200: "Retried"},
    query={
        "status": one_of(WRONG, "Only runs that ended with this status."),
        "since": instant("Only runs that ended since then."),
        "until": instant("Only runs that ended before then."),
        "label": replace(
            label, schema={**label.schema, "description": "Only runs of jobs with this label."}
        ),
        "cursor": cursor,
    },
    together=wrong_span,
)
def retry_runs(call: Call) -> Response:
    """Retry the failed and missed runs of all jobs, up to 100 of them; a Link leads to the rest.

    Runs that were retried or cancelled are left out, so a repeat retries none twice. Retries are
    sent ten a second; each run shows when in `next_attempt_at`.
    """
    query = call.query
    statuses = [status for status in WRONG if query.get("status", status) == status]
    wanted = Wanted(statuses, *span(call.query), label_of(call))
    done = retry_failed(call.scheduling, call.tenant, wanted, _place(call))
    rest = done.following
    position = f"{sortable(rest.sent_at)}/{rest.before}" if rest and rest.sent_at else None
    return answer(200, Retried(retried=done.retried, left=done.left), link_to(call, position))


def _place(call: Call) -> Place:
    position = read_cursor(call)
    if position is None:
        return Place()
    sent_at, _, before = position.partition("/")
    at = read_instant(sent_at)
    if at is None or not is_position(before):
        raise NotACursor
    return Place(before, at)
