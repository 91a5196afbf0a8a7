"""The response models: what jobs, runs and every other JSON answer contain.

Each is the dict that a view serves, and pydantic describes the same class in OpenAPI. They are
TypedDicts because pydantic models would cost each cold start about 10 ms.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.domain import run, run_history
from chalicelib.domain.ids import JOB_ID, run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.job import Overlap
from chalicelib.domain.request import METHODS
from chalicelib.domain.run import Outcome, Reason, RunStatus
from chalicelib.domain.secrets import SECRET_NAME
from chalicelib.domain.state import Status
from chalicelib.domain.trigger import Trigger, describe
from chalicelib.usecases import scheduling


def _text(pattern: str, **words: str) -> Any:
    return Field(json_schema_extra={"pattern": pattern, **words})


Due = Annotated[str, _text(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", format="date-time")]
Measured = Annotated[str, _text(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", format="date-time")]
JobId = Annotated[str, _text(f"^{JOB_ID.pattern}$")]
RunId = Annotated[str, _text("^run_[0-7][0-9A-HJKMNP-TV-Z]{25}-[0-9A-Z-]{1,30}$")]
Method = Annotated[str, Field(json_schema_extra={"enum": list(METHODS)})]
EndStatus = Annotated[str, Field(json_schema_extra={"enum": ["succeeded", "failed"]})]
Encoding = Annotated[
    str,
    Field(json_schema_extra={"const": "base64"}, description="Present if the body is not UTF-8."),
]
SigningSecret = Annotated[str, _text("^whsec_")]


class OneTimeFields(TypedDict):
    date: Due


class OneTimeTrigger(TypedDict):
    """Once."""

    type: Literal["one-time"]
    fields: OneTimeFields


class CronFields(TypedDict):
    cron: str
    timezone: str


class CronTrigger(TypedDict):
    """Repeatedly, at the times of a cron expression in its time zone."""

    type: Literal["cron"]
    fields: CronFields


def trigger_view(trigger: Trigger) -> OneTimeTrigger | CronTrigger:
    """Return the trigger object."""
    return cast("OneTimeTrigger | CronTrigger", describe(trigger))


class Request(TypedDict):
    """The request that is sent when the job is due."""

    url: str
    method: Method
    headers: dict[str, str]
    body: Any


class Retry(TypedDict):
    """How a failed run is retried. Delays are in seconds and double up to the largest."""

    max_attempts: int
    initial_delay: int
    max_delay: int


class Result(TypedDict):
    """The latest run that was sent and has finished, in short."""

    run_id: RunId
    status: EndStatus
    scheduled_time: Due
    started_at: Measured
    finished_at: Measured
    attempts: int
    status_code: int | None
    headers: dict[str, str] | None
    body: str | None
    truncated: bool
    error: str | None
    encoding: NotRequired[Encoding]


def _result_view(job: scheduling.Job) -> Result | None:
    last, attempt = job.state.last_run, job.result
    if last is None or attempt is None:
        return None
    superseded_at, response = last.superseded_at, attempt.result.response
    view = Result(
        run_id=run_id(attempt.job_id, attempt.key),
        status=RunStatus.FAILED if superseded_at else attempt.update.status,
        scheduled_time=format_instant(attempt.key.due_at),
        started_at=format_measured(attempt.run_started_at),
        finished_at=format_measured(superseded_at or attempt.finished_at),
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


class Job(TypedDict):
    """A job. Later releases may add fields; they never remove one."""

    id: JobId
    name: str
    created_at: Due
    updated_at: Due
    next_run_time: Annotated[
        Due | None, Field(description="The next due time; null if the job is not due again.")
    ]
    status: Annotated[
        Status,
        Field(
            description="completed: a one-time job whose run succeeded; failed: a one-time job "
            "whose run failed for good, or was missed."
        ),
    ]
    trigger: OneTimeTrigger | CronTrigger
    request: Request
    timeout: int
    retry: Retry
    overlap: Overlap
    misfire_grace: int | None
    labels: dict[str, str]
    key: str | None
    result: Result | None


Jobs = Annotated[list[Job], Field(description="Jobs, newest first.")]


def job_view(job: scheduling.Job) -> Job:
    """Return the job object."""
    definition, state = job.definition, job.state
    request, retry, grace = definition.request, definition.retry, definition.misfire_grace
    return Job(
        id=definition.id,
        name=definition.name,
        created_at=format_instant(definition.created_at),
        updated_at=format_instant(state.updated_at.replace(microsecond=0)),
        next_run_time=format_instant(state.next_run_time) if state.next_run_time else None,
        status=state.status,
        trigger=trigger_view(definition.trigger),
        request=Request(
            url=request.url,
            method=request.method,
            headers=dict(request.headers),
            body=request.body,
        ),
        timeout=_seconds(definition.timeout),
        retry=Retry(
            max_attempts=retry.max_attempts,
            initial_delay=_seconds(retry.initial_delay),
            max_delay=_seconds(retry.max_delay),
        ),
        overlap=definition.overlap,
        misfire_grace=None if grace is None else _seconds(grace),
        labels=dict(definition.labels),
        key=definition.key,
        result=_result_view(job),
    )


class KeptResponse(TypedDict):
    """The target's response: the first 16 KiB of its body, 8 KiB of its headers."""

    headers: dict[str, str]
    body: str
    truncated: bool
    encoding: NotRequired[Encoding]


class Attempt(TypedDict):
    """One HTTP exchange with the target."""

    number: int
    started_at: Measured
    duration_ms: int
    outcome: Outcome
    status_code: int | None
    response: NotRequired[Annotated[KeptResponse | None, Field(description="Absent in lists.")]]
    error: str | None


def _attempt_view(attempt: run.Attempt, *, with_response: bool) -> Attempt:
    result, response = attempt.result, attempt.result.response
    kept = None
    if response:
        kept = KeptResponse(
            headers=response.headers, body=response.body, truncated=response.truncated
        )
        if response.encoding:
            kept["encoding"] = response.encoding
    view = Attempt(
        number=attempt.number,
        started_at=format_measured(attempt.started_at),
        duration_ms=_milliseconds(result.duration),
        outcome=result.outcome,
        status_code=result.status_code,
        response=kept,
        error=result.error,
    )
    if not with_response:
        del view["response"]
    return view


class Run(TypedDict):
    """A run: one occurrence of a job, or one that a client asked for, with its attempts."""

    id: RunId
    job_id: JobId
    cause: Literal["schedule", "manual"]
    status: RunStatus
    scheduled_time: Due
    started_at: Measured | None
    finished_at: Measured | None
    lateness_ms: int | None
    attempts: list[Attempt]
    next_attempt_at: Measured | None
    reason: Reason | None
    missed_count: NotRequired[
        Annotated[int, Field(description="Of a missed run: the number of occurrences in a row.")]
    ]
    last_scheduled_time: NotRequired[
        Annotated[Due, Field(description="Of a missed run: the last of its occurrences.")]
    ]


Runs = Annotated[list[Run], Field(description="Runs, without the responses of their attempts.")]


def run_view(job_id: str, run: run_history.Run, *, with_responses: bool) -> Run:
    """Return the run object; in lists its attempts come without their responses."""
    view = Run(
        id=run_id(job_id, run.key),
        job_id=job_id,
        cause="manual" if run.key.manual else "schedule",
        status=run.status,
        scheduled_time=format_instant(run.key.due_at),
        started_at=_measured(run.started_at),
        finished_at=_measured(run.finished_at),
        lateness_ms=None if run.lateness is None else _milliseconds(run.lateness),
        attempts=[_attempt_view(one, with_response=with_responses) for one in run.attempts],
        next_attempt_at=_measured(run.next_attempt_at),
        reason=run.reason,
    )
    if run.missed_count is not None and run.last_due_at is not None:
        view["missed_count"] = run.missed_count
        view["last_scheduled_time"] = format_instant(run.last_due_at)
    return view


class FieldProblem(TypedDict):
    """One wrong value."""

    field: str
    message: str


class Problem(TypedDict):
    """An error, as RFC 9457 defines it."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong, and what to do.")]
    errors: NotRequired[
        Annotated[
            list[FieldProblem],
            Field(
                description="Of a 422: every wrong field, parameter and header, up to 50; "
                "`detail` counts the rest."
            ),
        ]
    ]
    unknown: NotRequired[
        Annotated[bool, Field(description="Of a 503: the change may or may not have been made.")]
    ]


class Registered(TypedDict):
    status: Literal[201]
    job: Job


class NotRegistered(TypedDict):
    status: int
    problem: Problem


class BatchResults(TypedDict):
    """The result for each job of a batch, in order."""

    results: list[Registered | NotRegistered]


class Changed(TypedDict):
    """The number of jobs that were changed."""

    changed: int


class Preview(TypedDict):
    """When a trigger is due."""

    trigger: OneTimeTrigger | CronTrigger
    next_run_times: list[Due]
    notes: Annotated[
        list[str], Field(description="How daylight saving changes these times, in words.")
    ]


class Secret(TypedDict):
    """A secret's name; its value is never shown."""

    name: Annotated[str, _text(f"^{SECRET_NAME.pattern}$")]
    created_at: Due
    updated_at: Due


Secrets = Annotated[list[Secret], Field(description="Secrets, by name.")]


class SigningSecrets(TypedDict):
    """The secrets that requests are signed with."""

    secret: SigningSecret
    previous: Annotated[
        SigningSecret | None,
        Field(description="The previous secret: requests are signed with it too until it expires."),
    ]
    previous_expires_at: Due | None


class Health(TypedDict):
    """The API is running."""

    status: Literal["ok"]
    version: str


OpenApi = Annotated[dict[str, Any], Field(description="An OpenAPI 3.1 document.")]


def _seconds(duration: timedelta) -> int:
    return round(duration.total_seconds())


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _measured(at: datetime | None) -> str | None:
    return format_measured(at) if at else None
