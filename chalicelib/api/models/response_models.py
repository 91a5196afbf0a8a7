"""What the API's documents look like, as models: for the description, and for the tests that hold
the views to it.

Nothing that serves jobs loads this module. What clients send is in `schemas` and `inputs`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from chalicelib.domain.ids import JOB_ID
from chalicelib.domain.request import METHODS
from chalicelib.domain.run import Outcome, Reason, RunStatus
from chalicelib.domain.secrets import SECRET_NAME
from chalicelib.domain.state import Status

_SECOND = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_MILLISECOND = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

Due = Annotated[str, Field(json_schema_extra={"format": "date-time", "pattern": _SECOND})]
Measured = Annotated[str, Field(json_schema_extra={"format": "date-time", "pattern": _MILLISECOND})]
JobId = Annotated[str, Field(json_schema_extra={"pattern": f"^{JOB_ID.pattern}$"})]
RunId = Annotated[
    str, Field(json_schema_extra={"pattern": "^run_[0-7][0-9A-HJKMNP-TV-Z]{25}-[0-9A-Z-]{1,30}$"})
]
SigningSecret = Annotated[str, Field(json_schema_extra={"pattern": "^whsec_"})]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OneTimeFields(_Shape):
    date: Due


class CronFields(_Shape):
    cron: str
    timezone: str


class OneTimeTrigger(_Shape):
    """Once."""

    type: Literal["one-time"]
    fields: OneTimeFields


class CronTrigger(_Shape):
    """At the times of a cron expression, on the clocks of its zone."""

    type: Literal["cron"]
    fields: CronFields


class Request(_Shape):
    """The request that is made when the job is due."""

    url: str
    method: str = Field(json_schema_extra={"enum": list(METHODS)})
    headers: dict[str, str]
    body: JsonValue


class Retry(_Shape):
    """How a failed run is tried again; delays, in seconds, double from the initial to the largest."""

    max_attempts: int
    initial_delay: int
    max_delay: int


class Result(_Shape):
    """The latest run that was sent and has finished, in short."""

    run_id: RunId
    status: Literal[RunStatus.SUCCEEDED, RunStatus.FAILED]
    scheduled_time: Due
    started_at: Measured
    finished_at: Measured
    attempts: int
    status_code: int | None
    headers: dict[str, str] | None
    body: str | None
    truncated: bool
    error: str | None
    encoding: Literal["base64"] = Field("base64", description="There when the body is not UTF-8.")


class Job(_Shape):
    """A job. Objects may gain keys and never lose one."""

    id: JobId
    name: str
    created_at: Due
    updated_at: Due
    next_run_time: Due | None = Field(description="When it is due next; null when it is not.")
    status: Status = Field(
        description="completed: a one-time job whose run succeeded; failed: a one-time job whose run failed for good, or was missed."
    )
    trigger: OneTimeTrigger | CronTrigger
    request: Request
    timeout: int
    retry: Retry
    overlap: Literal["allow", "skip"]
    misfire_grace: int | None
    labels: dict[str, str]
    key: str | None
    result: Result | None


class Jobs(RootModel[list[Job]]):
    """Jobs, newest first."""


class KeptResponse(_Shape):
    """What is kept of a target's answer: 16 KiB of its body, 8 KiB of its headers."""

    headers: dict[str, str]
    body: str
    truncated: bool
    encoding: Literal["base64"] = Field("base64", description="There when the body is not UTF-8.")


class Attempt(_Shape):
    """One exchange with the target."""

    number: int
    started_at: Measured
    duration_ms: int
    outcome: Outcome
    status_code: int | None
    response: KeptResponse | None = Field(None, description="Not in lists.")
    error: str | None


class Run(_Shape):
    """A run: one occurrence of a job, or one that was asked for, with its attempts."""

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
    missed_count: int = Field(1, description="Of a missed run: so many occurrences in a row.")
    last_scheduled_time: Due = Field("", description="Of a missed run: the last of them.")


class Runs(RootModel[list[Run]]):
    """Runs, without the responses of their attempts."""


class FieldProblem(_Shape):
    """One wrong value."""

    field: str
    message: str


class Problem(_Shape):
    """An error, by RFC 9457."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str = Field(description="What is wrong, and what to do.")
    errors: list[FieldProblem] = Field(
        [],
        description="Of a 422: every wrong field, parameter and header, up to 50; `detail` counts the rest.",
    )
    unknown: bool = Field(
        False, description="Of a 503: nobody can tell whether the change was made."
    )


class Registered(_Shape):
    status: Literal[201]
    job: Job


class NotRegistered(_Shape):
    status: int
    problem: Problem


class BatchResults(_Shape):
    """What came of each job of a batch, in order."""

    results: list[Registered | NotRegistered]


class Changed(_Shape):
    """How many jobs were changed."""

    changed: int


class Preview(_Shape):
    """What a trigger will do."""

    trigger: OneTimeTrigger | CronTrigger
    next_run_times: list[Due]
    notes: list[str] = Field(description="What daylight saving does to these times, in words.")


class Secret(_Shape):
    """A secret's name; its value is never shown."""

    name: str = Field(json_schema_extra={"pattern": f"^{SECRET_NAME.pattern}$"})
    created_at: Due
    updated_at: Due


class Secrets(RootModel[list[Secret]]):
    """Secrets, by name."""


class SigningSecrets(_Shape):
    """What requests are signed with."""

    secret: SigningSecret
    previous: SigningSecret | None = Field(
        description="The one before: requests are signed with it too, until it expires."
    )
    previous_expires_at: Due | None


class Health(_Shape):
    """Resona is there."""

    status: Literal["ok"]
    version: str


class OpenApi(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""
