"""Flows: their request model and their response model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from chalicelib.api.models.policy_requests import Seconds
from chalicelib.api.models.response_fields import Due, described
from chalicelib.api.models.validation import Errors, Strict, require_object, whole
from chalicelib.domain import flows
from chalicelib.domain.flows import FASTEST, FLOW_NAME, LONGEST_SECONDS, MOST_OUT
from chalicelib.domain.instant import format_instant

_SAME = ("name", "created_at", "updated_at")
# They may have changed since they were read.
_PASSING = ("state", "opened_at", "waiting", "out")


class RateIn(Strict):
    """How many attempts are sent in how many seconds, evenly spaced."""

    requests: Seconds = Field(
        ge=1,
        le=FASTEST * LONGEST_SECONDS,
        description=f"Attempts in so many seconds; at most {FASTEST} for each second.",
    )
    seconds: Seconds = Field(1, ge=1, le=LONGEST_SECONDS, description="The time for them.")
    burst: Seconds = Field(
        1,
        ge=1,
        le=1_000,
        description="How many may go at once after a quiet time; at most `requests`.",
    )


class BreakerIn(Strict):
    """When attempts wait because the target does not work, and how often one is sent then."""

    failures: Seconds = Field(
        ge=1,
        le=1_000,
        description="After so many attempts in a row, over all jobs of the flow, that got no "
        "answer or a status of 500 or more, the flow is `open`: attempts wait.",
    )
    probe_seconds: Seconds = Field(
        60,
        ge=1,
        le=3_600,
        description="So often one attempt is sent while the flow is open, until one shows that "
        "the target works.",
    )


class FlowIn(Strict):
    """Limits on how jobs, all together, call a target."""

    rate: RateIn | None = Field(None, description="null: as fast as they come due.")
    concurrency: Annotated[int, Field(ge=1, le=MOST_OUT), BeforeValidator(whole)] | None = Field(
        None, description="How many exchanges may be out at once; null: any number."
    )
    paused: bool = Field(False, description="Nothing is sent: runs that come due wait in line.")
    breaker: BreakerIn | None = Field(None, description="null: a failing target is called on.")


@described
class Rate(TypedDict):
    """How many attempts are sent in how many seconds, evenly spaced."""

    requests: int
    """Attempts in `seconds`."""
    seconds: int
    """The time for them."""
    burst: int
    """How many may go at once after a quiet time."""


@described
class Breaker(TypedDict):
    """When attempts wait because the target does not work, and how often one is sent then."""

    failures: int
    """So many attempts in a row that got no answer, or a status of 500 or more, open the flow."""
    probe_seconds: int
    """So often one attempt is sent while it is open."""


@described
class Flow(TypedDict):
    """A flow: its limits, and what waits for it."""

    name: Annotated[str, Field(json_schema_extra={"pattern": f"^({FLOW_NAME.pattern})$"})]
    """The flow's name; `host:` and a host for all jobs that call it and name no other flow."""
    rate: Rate | None
    """null: as fast as they come due."""
    concurrency: int | None
    """How many exchanges may be out at once; null: any number."""
    paused: bool
    """Nothing is sent: runs that come due wait in line."""
    breaker: Breaker | None
    """null: a target that does not work is called on."""
    state: Literal["closed", "open", "paused"]
    """closed: attempts are sent; open: the breaker has them wait; paused: they wait."""
    opened_at: Due | None
    """Since when the breaker has attempts wait; null: it does not."""
    waiting: int
    """Runs in line, up to 1,000, and places in time that were given and are still to come."""
    out: int | None
    """The exchanges that are under way; null: they are not counted, without `concurrency`."""
    created_at: Due
    """When it was created."""
    updated_at: Due
    """When it was last put."""


Flows = Annotated[list[Flow], Field(description="Flows, by name.")]


def flow_view(flow: flows.Flow, waiting: int = 0, out: int = 0) -> Flow:
    """Return the flow object."""
    rate, breaker = flow.rate, flow.breaker
    return Flow(
        name=flow.name,
        rate=Rate(requests=rate.requests, seconds=rate.seconds, burst=rate.burst) if rate else None,
        concurrency=flow.concurrency,
        paused=flow.paused,
        breaker=Breaker(
            failures=breaker.failures, probe_seconds=round(breaker.probe.total_seconds())
        )
        if breaker
        else None,
        state="paused" if flow.paused else "open" if flow.opened_at else "closed",
        opened_at=format_instant(flow.opened_at) if flow.opened_at else None,
        waiting=waiting,
        out=out if flow.concurrency is not None else None,
        created_at=format_instant(flow.created_at),
        updated_at=format_instant(flow.updated_at),
    )


def read_flow(tenant: str, shown: Mapping[str, Any], body: object, now: datetime) -> flows.Flow:
    """Read a flow from the body of a PUT. Raises InvalidInput.

    `shown` is the flow as GET shows it, of a new one only the `name`. A read-only field may have
    the value that is shown, and what passes may have any: clients may send back what they read.
    """
    errors = Errors()
    document = require_object(body)
    if not flows.is_name(shown["name"]):
        errors.add("flow", flows.NAME_RULE)
    errors.forbid_read_only(document, shown, _SAME)
    sent = errors.validate(FlowIn, document, (*_SAME, *_PASSING))
    rate, breaker = (sent.rate, sent.breaker) if sent else (None, None)
    if rate and rate.requests > FASTEST * rate.seconds:
        errors.add(
            "rate.requests",
            f"at most {FASTEST} for each second: a flow's places are taken from one item of "
            "DynamoDB; for more, divide the jobs among several flows",
        )
    if rate and rate.burst > rate.requests:
        errors.add("rate.burst", "must be at most requests")
    errors.raise_if_any()
    return flows.Flow(
        tenant=tenant,
        name=shown["name"],
        created_at=now,
        updated_at=now,
        rate=flows.Rate(rate.requests, rate.seconds, rate.burst) if rate else None,
        concurrency=sent.concurrency if sent else None,
        paused=bool(sent and sent.paused),
        breaker=flows.Breaker(breaker.failures, timedelta(seconds=breaker.probe_seconds))
        if breaker
        else None,
    )
