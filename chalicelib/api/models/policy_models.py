"""Show how a job is retried, what counts as success, and where ended runs are posted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NotRequired, cast

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from chalicelib.domain.job import Callbacks as JobCallbacks
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import Outcome, RunStatus
from chalicelib.domain.success import SuccessRule

# The texts under the fields are their descriptions; they are read only for OpenAPI.
_described = with_config(ConfigDict(use_attribute_docstrings=True))


@_described
class Retry(TypedDict):
    """How a failed run is retried. Delays are in seconds and double up to the largest."""

    max_attempts: int
    """The most attempts of a run, counting the first."""
    initial_delay: int | None
    """Seconds from the first attempt to the second; null with `delays`."""
    max_delay: int | None
    """The longest delay, in seconds; null with `delays`."""
    delays: NotRequired[list[int]]
    """Seconds after each attempt, if they were given; the last one is repeated."""
    never: NotRequired[list[int | Outcome]]
    """Outcomes and statuses that are not retried, if any were given."""


@_described
class Success(TypedDict):
    """What counts as success. All of it must hold."""

    status: list[int | str]
    """Statuses, and ranges of statuses."""
    body_contains: str | None
    """A text that the kept part of the body contains; null for any."""
    json: dict[str, Any] | None
    """JSON Pointers, and the values that the kept part of the body has there; null for any."""


@_described
class Callback(TypedDict):
    """A URL that is told of ended runs."""

    url: str
    """Where they are posted."""


@_described
class Callbacks(TypedDict):
    """The URLs to which runs of the job are posted when they end so."""

    succeeded: Callback | None
    """For runs that succeeded."""
    failed: Callback | None
    """For runs that failed."""


def retry_view(policy: RetryPolicy) -> Retry:
    """Return the retry object."""
    view = Retry(
        max_attempts=policy.max_attempts,
        initial_delay=None if policy.delays else seconds(policy.initial_delay),
        max_delay=None if policy.delays else seconds(policy.max_delay),
    )
    if policy.delays:
        view["delays"] = [seconds(delay) for delay in policy.delays]
    if policy.never:
        view["never"] = [*policy.never]
    return view


def success_view(rule: SuccessRule) -> Success:
    """Return the success object."""
    return Success(
        status=[first if first == last else f"{first}-{last}" for first, last in rule.statuses],
        body_contains=rule.contains,
        json=dict(rule.json) or None,
    )


def callbacks_view(callbacks: JobCallbacks) -> Callbacks | None:
    """Return the callbacks object, None if there are none."""
    shown = {
        status: Callback(url=url) if (url := callbacks.url(status)) else None
        for status in (RunStatus.SUCCEEDED, RunStatus.FAILED)
    }
    return cast("Callbacks", shown) if any(shown.values()) else None


def seconds(duration: timedelta) -> int:
    """Return a duration as whole seconds."""
    return round(duration.total_seconds())
