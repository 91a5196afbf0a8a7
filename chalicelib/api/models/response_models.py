"""The response models of jobs and runs; `answer_models` has those of the other answers.

Each is the dict that a view serves, and pydantic describes the same class in OpenAPI. They are
TypedDicts because pydantic models would cost each cold start about 10 ms.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.attempt_models import Attempt
from chalicelib.api.models.backfill_models import Backfill, backfill_view
from chalicelib.api.models.pause_models import Pause, pause_view
from chalicelib.api.models.policy_models import (
    Callbacks,
    Retry,
    Success,
    callbacks_view,
    retry_view,
    seconds,
    success_view,
)
from chalicelib.api.models.response_fields import (
    Due,
    Encoding,
    Ended,
    EndStatus,
    JobId,
    Measured,
    Method,
    ReasonText,
    RunId,
    described,
)
from chalicelib.api.models.trigger_models import AnyTrigger, trigger_view
from chalicelib.domain import run_history
from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.job import Kind, Overlap
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_document import run_document
from chalicelib.domain.state import Status
from chalicelib.usecases import scheduling


@described
class Request(TypedDict):
    """The request that is sent when the job is due."""

    url: str
    """The target."""
    method: Method
    """The HTTP method."""
    headers: dict[str, str]
    """The headers by name, as they were registered."""
    body: Any
    """A string is sent as it is, other values as JSON, null sends no body."""


@described
class Result(TypedDict):
    """The latest run that was sent and has finished, in short."""

    run_id: RunId
    """The run's id."""
    status: EndStatus
    """How the run ended."""
    scheduled_time: Due
    """When the run was due."""
    started_at: Measured
    """When its first attempt began."""
    finished_at: Measured
    """When its last attempt ended."""
    attempts: int
    """The number of attempts."""
    status_code: int | None
    """The target's status; null if it did not answer."""
    headers: dict[str, str] | None
    """The response's headers; null if the target did not answer."""
    body: str | None
    """The response's body; null if the target did not answer."""
    truncated: bool
    """Whether the body or the headers were longer than what is kept."""
    error: str | None
    """Why the last attempt failed; null if it did not."""
    encoding: NotRequired[Encoding]


def _result_view(job: scheduling.Job) -> Result | None:
    last, attempt = job.state.last_run, job.result
    if last is None or attempt is None:
        return None
    closed_at, response = last.closed_at, attempt.result.response
    view = Result(
        run_id=run_id(attempt.job_id, attempt.key),
        status=RunStatus.FAILED if closed_at else attempt.update.status,
        scheduled_time=format_instant(attempt.key.due_at),
        started_at=format_measured(attempt.run_started_at),
        finished_at=format_measured(closed_at or attempt.finished_at),
        attempts=attempt.number,
        status_code=attempt.result.status_code,
        headers=response.headers if response else None,
        body=response.body if response else None,
        truncated=response.truncated if response else False,
        error=attempt.result.error,
    )
    if response and response.encoding:
        view["encoding"] = response.encoding
    return view


@described
class Job(TypedDict):
    """A job. Later releases may add fields; they never remove one."""

    id: JobId
    """The job's id."""
    name: str
    """The name that it was registered with."""
    created_at: Due
    """When it was registered."""
    updated_at: Due
    """When it was last changed."""
    next_run_time: Due | None
    """The next due time; null if the job is not due again."""
    status: Status
    """completed: its last run succeeded, and it is not due again; failed: its last run failed for
    good, or was missed."""
    trigger: AnyTrigger
    """When the job is due."""
    request: Request
    timeout: int
    """Seconds for one attempt, the whole HTTP exchange."""
    retry: Retry
    completion: NotRequired[Literal["callback"]]
    """Present if the target calls back when its work has ended."""
    deadline: NotRequired[int]
    """With `completion`: seconds from the start of an attempt."""
    overlap: Overlap
    misfire_grace: int | None
    """Seconds a run may be late and still be sent; null if the default applies: one-time jobs are
    always sent, others until the next occurrence is due."""
    labels: dict[str, str]
    """Labels by name, for filtering."""
    key: str | None
    """Your own name for the job; null if it has none."""
    kind: NotRequired[Literal["notice"]]
    """Present if the job is a notice or a callback: see `GET /jobs?kind=notice`."""
    failures: NotRequired[int]
    """How many scheduled runs in a row have failed; absent after one that succeeded."""
    # These five are absent in an answer that an earlier release gave to an Idempotency-Key.
    callbacks: NotRequired[Callbacks | None]
    """Where runs are posted when they end; null for nowhere."""
    pause_after: NotRequired[int | None]
    """Failed scheduled runs in a row after which the job is paused; null for never."""
    pause: NotRequired[Pause | None]
    """null unless the job is paused; null also if a release before 0.2 paused it."""
    skips: NotRequired[int]
    """How many of the next occurrences are to be skipped: see `POST /jobs/{job_id}/skip`."""
    backfill: NotRequired[Backfill | None]
    """null unless one is under way."""
    success: NotRequired[Success | None]
    """What counts as success; null is any status of 200 to 299."""
    flow: NotRequired[str | None]
    """The flow whose limits hold for the job; null is that of its host."""
    result: Result | None
    """The latest run that was sent and has finished; null before there is one."""
    recent_runs: NotRequired[list[Ended]]
    """With `include=recent_runs`: how the last 20 runs ended, the last to end first."""


Jobs = Annotated[list[Job], Field(description="Jobs, newest first.")]


def job_view(job: scheduling.Job, *, with_recent: bool = False) -> Job:
    """Return the job object; only `with_recent` has it the job's recent runs."""
    definition, state = job.definition, job.state
    request, grace = definition.request, definition.misfire_grace
    view = Job(
        id=definition.id,
        name=definition.name,
        created_at=format_instant(definition.created_at),
        updated_at=format_instant(state.updated_at.replace(microsecond=0)),
        next_run_time=format_instant(state.shown_run_time) if state.shown_run_time else None,
        status=state.status,
        trigger=trigger_view(definition.trigger),
        request=Request(
            url=request.url,
            method=request.method,
            headers=dict(request.headers),
            body=request.body,
        ),
        timeout=seconds(definition.timeout),
        retry=retry_view(definition.retry),
        overlap=definition.overlap,
        misfire_grace=None if grace is None else seconds(grace),
        labels=dict(definition.labels),
        key=definition.key,
        callbacks=callbacks_view(definition.callbacks),
        pause_after=definition.pause_after,
        pause=pause_view(state.pause),
        skips=state.skips,
        backfill=backfill_view(state.backfill),
        success=success_view(definition.success) if definition.success else None,
        flow=definition.flow,
        result=_result_view(job),
    )
    if definition.completion is not None:
        view["completion"] = "callback"
        view["deadline"] = seconds(definition.completion.deadline)
    if definition.kind is Kind.NOTICE:
        view["kind"] = "notice"
    if state.failing is not None and state.failing.count:
        view["failures"] = state.failing.count
    if with_recent:
        view["recent_runs"] = [*reversed(state.recent)]
    return view


@described
class Run(TypedDict):
    """A run: one occurrence of a job, a manual run or a retry, with its attempts."""

    id: RunId
    """The run's id. The target gets it as `Idempotency-Key`, unless the job sets that header."""
    job_id: JobId
    """The job's id."""
    cause: Literal["schedule", "manual", "retry", "backfill"]
    """schedule: the job was due; manual: a client asked for the run; retry: for a run again;
    backfill: for past occurrences."""
    status: RunStatus
    """queued: not yet sent: a run that was asked for, or one that its flow holds; waiting: for the
    target's callback, its last attempt shows the answer; missed: it came too late and was not sent;
    skipped: not sent, `reason` says why."""
    scheduled_time: Due
    """When the run was due."""
    started_at: Measured | None
    """When its first attempt began; null before."""
    finished_at: Measured | None
    """When it ended; null before."""
    lateness_ms: int | None
    """Milliseconds from `scheduled_time` to `started_at`, of a retry and in a backfill from the
    time for which it was planned, without `waited_ms`; null before it began."""
    attempts: list[Attempt]
    """Its attempts, the first one first."""
    next_attempt_at: Measured | None
    """When it is tried again, or sent if it is queued; null if it is not, or not known."""
    reason: ReasonText | None
    """Why the run ended, if its attempts do not show it."""
    waits_for: NotRequired[Wait]
    """Of a run that is held: rate: for its place in time; concurrency: for an exchange that is
    over; pause: for the end of the flow's pause; breaker: for a target that works again; share: for
    its tenant's share of the executors."""
    waited_ms: NotRequired[int]
    """Of a run that its flow has held: how long, in milliseconds, before its first attempt."""
    job_name: NotRequired[str]
    """In `GET /runs`: the job's name."""
    missed_count: NotRequired[int]
    """Of a missed run: the number of occurrences in a row."""
    last_scheduled_time: NotRequired[Due]
    """Of a missed run: the last of its occurrences."""
    deadline: NotRequired[Measured]
    """While a callback may end the attempt: when it ends as `timeout`."""
    retry_of: NotRequired[RunId]
    """Of a retry: the run it retries."""
    retried_by: NotRequired[RunId]
    """Of a run that was retried: the run that retries it."""


Runs = Annotated[list[Run], Field(description="Runs, without the responses of their attempts.")]


def run_view(job_id: str, run: run_history.Run, *, with_responses: bool) -> Run:
    """Return the run object; in lists its attempts come without their responses."""
    return cast("Run", run_document(job_id, run, with_responses=with_responses))
