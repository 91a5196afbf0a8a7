"""Routes of runs: of one job, and the ended runs of all jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from chalice.app import Blueprint, Response

from chalicelib.api.models.overview_models import hours_view
from chalicelib.api.models.response_models import run_view
from chalicelib.api.paging import (
    MOST_SHOWN,
    NotACursor,
    cursor,
    limit_of,
    link_to,
    page_size,
    read_cursor,
)
from chalicelib.api.query import Rule, one_of
from chalicelib.api.routes.job_list import label, label_of
from chalicelib.api.routing import Call, answer, route
from chalicelib.aws.ended_runs_index import WRONG, is_position
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.ids import RunKey
from chalicelib.domain.instant import read_instant
from chalicelib.domain.run import ENDED, RunStatus
from chalicelib.domain.run_history import Run
from chalicelib.usecases.ended_runs import Wanted, ended_runs
from chalicelib.usecases.job_runs import read_run, runs_page
from chalicelib.usecases.run_hours import run_hours

routes = Blueprint(__name__)

# A page ends, with a Link to the next, after reading this many attempts, shown or not.
MOST_READ = 1000


@route(
    routes,
    "/jobs/{job_id}/runs",
    "GET",
    answers={200: "Runs"},
    query={
        "limit": page_size,
        "cursor": cursor,
        "status": one_of(RunStatus, "Only runs with this status."),
    },
)
def list_runs(call: Call, job_id: str) -> Response:
    """List a job's runs, newest first, without their responses."""
    found, shown, following = _read_page(call, job_id, limit_of(call, default=50))
    views = [run_view(found, run, with_responses=False) for run in shown]
    return answer(200, views, link_to(call, following.sort if following else None))


def _read_page(call: Call, job_id: str, limit: int) -> tuple[str, list[Run], RunKey | None]:
    """Return the job's id, up to `limit` runs, and the key to continue after, None at the end."""
    status = call.query.get("status")
    before = _position(call)
    # Read full pages with a filter, which may skip nearly all runs.
    size = limit if status is None else MOST_SHOWN
    shown: list[Run] = []
    read = 0
    while True:
        # Read one run more than is shown: it tells whether there is a next page.
        found, runs = runs_page(call.scheduling, call.tenant, job_id, before, size + 1)
        for run in runs[:size]:
            if len(shown) == limit:
                return found, shown, before
            before = run.key
            if status in (None, run.status):
                shown.append(run)
        if len(runs) <= size:
            return found, shown, None
        read += sum(max(1, len(run.attempts)) for run in runs)
        if len(shown) == limit or read >= MOST_READ:
            return found, shown, before


def _position(call: Call) -> RunKey | None:
    position = read_cursor(call)
    if position is None:
        return None
    try:
        return RunKey.from_sort(position)
    except ValueError as error:
        raise NotACursor from error


@route(routes, "/jobs/{job_id}/runs/{run_id}", "GET", answers={200: "Run"})
def get_run(call: Call, job_id: str, run_id: str) -> Response:
    """Return a run with every attempt's response."""
    found, run = read_run(call.scheduling, call.tenant, job_id, run_id)
    return answer(200, run_view(found, run, with_responses=True))


def instant(description: str) -> Rule:
    """Return a rule that allows instants with an offset."""
    return Rule(
        _why_no_instant, {"type": "string", "format": "date-time", "description": description}
    )


def _why_no_instant(value: str) -> str | None:
    if read_instant(value):
        return None
    if read_instant(value.replace(" ", "+")):
        return "a + in a query means a space: write %2B, or the time in UTC with Z"
    return "must be an instant with its offset, such as 2026-12-01T10:00:00Z"


def span(query: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    """Return the instants `since` and `until` of a query, None for one that is absent."""
    since, until = (
        read_instant(query[name]) if name in query else None for name in ("since", "until")
    )
    return since, until


def wrong_span(query: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield an error if `since` is after `until`."""
    since, until = span(query)
    if since and until and since > until:
        yield FieldError("since", "must not be after until")


_ANY = "any"
_MOST_COUNTED = timedelta(hours=168)


@route(
    routes,
    "/runs",
    "GET",
    answers={200: "Runs"},
    query={
        "status": one_of(
            [*ENDED, _ANY],
            "Only runs that ended with this status; `any`: with whichever. Without it, runs that "
            "failed or were missed.",
        ),
        "since": instant("Only runs that ended since then."),
        "until": instant("Only runs that ended before then."),
        "label": label,
        "limit": page_size,
        "cursor": cursor,
    },
    together=wrong_span,
)
def list_ended_runs(call: Call) -> Response:
    """List runs of all jobs that have ended, the last to end first, without their responses.

    They are those that failed or were missed, unless `status` asks for others.
    """
    before = read_cursor(call)
    if before is not None and not is_position(before):
        raise NotACursor
    status = call.query.get("status")
    statuses = WRONG if status is None else ENDED if status == _ANY else (RunStatus(status),)
    wanted = Wanted(statuses, *span(call.query), label_of(call))
    shown, following = ended_runs(
        call.scheduling, call.tenant, wanted, before, limit_of(call, default=50)
    )
    views = [
        {**run_view(one.job_id, one.run, with_responses=False), "job_name": one.job_name}
        for one in shown
    ]
    return answer(200, views, link_to(call, following))


@route(
    routes,
    "/runs/hours",
    "GET",
    answers={200: "RunHours"},
    query={
        "since": instant("From the hour of this instant on; 23 hours before that of `until`."),
        "until": instant("Until then, to the end of the hour; without it, until now."),
    },
)
def count_runs(call: Call) -> Response:
    """Count runs of all jobs by the hour in which they ended, up to 7 days.

    If there are too many for one call, the answer is not `complete`: repeat the request, and it
    goes on from there. Runs of deleted jobs are counted, too.
    """
    since, until = span(call.query)
    until = until or call.scheduling.clock()
    since = since or until - timedelta(hours=23)
    if not timedelta(0) < until - since <= _MOST_COUNTED:
        raise InvalidInput.of("since", "must be before until, by at most 168 hours")
    first = since.replace(minute=0, second=0, microsecond=0)
    return answer(200, hours_view(run_hours(call.scheduling, call.tenant, first, until)))
