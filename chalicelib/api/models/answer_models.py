"""The response models of errors, batches, previews, secrets and the API itself.

They are made as those of jobs and runs in `response_models`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, described, with_pattern
from chalicelib.api.models.response_models import Job
from chalicelib.api.models.trigger_models import AnyTrigger
from chalicelib.domain.secrets import SECRET_NAME

SigningSecret = Annotated[str, with_pattern("^whsec_")]


@described
class FieldProblem(TypedDict):
    """One wrong value."""

    field: str
    """The path of the field, such as `trigger.cron`, or the name of the parameter or header."""
    message: str
    """What is wrong with it."""


@described
class Problem(TypedDict):
    """An error, as RFC 9457 defines it."""

    type: Literal["about:blank"]
    """The title alone says what the problem is."""
    title: str
    """The name of the status."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong, and what to do."""
    errors: NotRequired[list[FieldProblem]]
    """Of a 422: every wrong field, parameter and header, up to 50; `detail` counts the rest."""
    unknown: NotRequired[bool]
    """Of a 503: the change may or may not have been made."""


@described
class Registered(TypedDict):
    status: Literal[201]
    """The job was registered."""
    job: Job
    """The job."""


@described
class NotRegistered(TypedDict):
    status: int
    """The status that the job alone would have got."""
    problem: Problem
    """Why it was not registered."""


@described
class BatchResults(TypedDict):
    """The result for each job of a batch, in order."""

    results: list[Registered | NotRegistered]
    """A job, or why it was not registered."""


@described
class Changed(TypedDict):
    """The number of jobs that were changed."""

    changed: int
    """The number of jobs."""


@described
class Retried(TypedDict):
    """The number of runs that were retried."""

    retried: int
    """The number of runs."""
    left: int
    """Runs that were not retried, because 16 runs of their job are unfinished. Repeat the call from
    its beginning once these have ended."""


@described
class Preview(TypedDict):
    """When a trigger is due."""

    trigger: AnyTrigger
    """The trigger as jobs show it."""
    next_run_times: list[Due]
    """When it is due, the earliest first."""
    notes: list[str]
    """What bounds, calendars, spread and daylight saving do to these times, in words."""
    in_words: str
    """The trigger as a sentence."""


@described
class Secret(TypedDict):
    """A secret's name; its value is never shown."""

    name: Annotated[str, with_pattern(f"^{SECRET_NAME.pattern}$")]
    """The secret's name."""
    created_at: Due
    """When it was first put."""
    updated_at: Due
    """When its value was last put."""


Secrets = Annotated[list[Secret], Field(description="Secrets, by name.")]


@described
class SigningSecrets(TypedDict):
    """The secrets that requests are signed with."""

    secret: SigningSecret
    """The secret in use."""
    previous: SigningSecret | None
    """The previous secret: requests are signed with it too until it expires."""
    previous_expires_at: Due | None
    """When `previous` is no longer used; null without one."""


@described
class Health(TypedDict):
    """The API is running."""

    status: Literal["ok"]
    """The API answers."""
    version: str
    """Resona's version."""


@described
class Index(TypedDict):
    """The API's version, and the URLs where to begin."""

    name: Literal["Resona"]
    """The API's name."""
    version: str
    """Resona's version."""
    console: str
    """A page that shows jobs and runs."""
    docs: str
    """A page that documents the API."""
    openapi: str
    """The OpenAPI document."""
    health: str
    """The health check."""
    jobs: str
    """The list of jobs; registers a job by POST."""


OpenApi = Annotated[dict[str, Any], Field(description="An OpenAPI 3.1 document.")]
