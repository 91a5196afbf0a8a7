"""Channels of notices: their request model and their response model."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic.config import JsonDict
from typing_extensions import TypedDict

from chalicelib.api.models.http_requests import URL, wrong_request
from chalicelib.api.models.policy_requests import Seconds
from chalicelib.api.models.response_fields import Due, EndStatus, JobId, Measured, described
from chalicelib.api.models.validation import Errors, Strict, require_object, whole
from chalicelib.aws.channel_store import Delivery
from chalicelib.domain import channels
from chalicelib.domain.channels import CHANNEL_NAME, Format
from chalicelib.domain.digests import LONGEST, SHORTEST
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.notices import SNS, Event
from chalicelib.domain.request import Request, RequestCheck
from chalicelib.domain.run_values import OF_RUN

_READ_ONLY = ("name", "created_at", "updated_at", "last_delivery")
TOLD = (
    Event.RUN_FAILED,
    Event.RUN_MISSED,
    Event.JOB_RECOVERED,
    Event.JOB_PAUSED,
    Event.FLOW_OPENED,
    Event.FLOW_CLOSED,
)
EventName = Annotated[str, Field(json_schema_extra={"enum": list(TOLD)})]
FormatName = Annotated[str, Field(json_schema_extra={"enum": list(Format)})]
_TARGET: JsonDict = {"anyOf": [URL, {"maxLength": 2048, "pattern": "^sns:arn:aws[!-~]+$"}]}

LabelFilter = Annotated[
    str, StringConstraints(max_length=320), Field(json_schema_extra={"pattern": "^[^:]+:"})
]


class ChannelIn(Strict):
    """A channel: a URL, and the events that it is told of."""

    url: str = Field(
        json_schema_extra=_TARGET,
        description="Where notices are posted; path and query may name secrets. Or `sns:` and the "
        "ARN of a topic that the stage allows, for e-mail.",
    )
    format: FormatName | None = Field(
        None,
        description="`resona` unless given. `slack` is the body that Slack's, Mattermost's and "
        "Discord's (`/slack`) incoming webhooks take. Topics take `text`, and nothing else does.",
    )
    events: list[EventName] = Field(
        list(TOLD), min_length=1, description="`job.recovered` needs `run.failed` too."
    )
    label: LabelFilter | None = Field(
        None,
        description="Only jobs with this label, as key:value; the first colon divides them.",
    )
    after: Seconds = Field(
        1, ge=1, le=100, description="Tell of a failure only from this many in a row on."
    )
    digest: (
        Annotated[int, Field(ge=SHORTEST.seconds, le=LONGEST.seconds), BeforeValidator(whole)]
        | None
    ) = Field(
        None,
        description="In seconds: tell what happens within such a time of a first event as one "
        "notice, at its end. null: tell each event at once.",
    )


@described
class LastDelivery(TypedDict):
    """How the last notice of a channel ended."""

    job_id: JobId
    """The notice's id as a job."""
    event: str
    """What it told: an event, `digest` or `test`."""
    status: EndStatus
    """How its run ended."""
    finished_at: Measured
    """When its last attempt ended."""
    status_code: int | None
    """The status of that attempt's answer; null if there was none."""
    error: str | None
    """Why that attempt failed; null if it did not."""


@described
class Channel(TypedDict):
    """A channel, and how its last notice ended."""

    name: Annotated[str, Field(json_schema_extra={"pattern": f"^{CHANNEL_NAME.pattern}$"})]
    """The channel's name."""
    url: str
    """Where notices are posted, or `sns:` and the ARN of a topic."""
    format: FormatName
    """The form of its notices."""
    events: list[EventName]
    """What it is told of."""
    label: str | None
    """Only jobs with this label are told, as key:value; null for all."""
    after: int
    """How many failed runs in a row are told as a failure."""
    digest: int | None
    """Within how many seconds of a first event all is told as one notice; null: each at once."""
    created_at: Due
    """When it was created."""
    updated_at: Due
    """When it was last put."""
    last_delivery: LastDelivery | None
    """How its last notice ended; null before one has."""


Channels = Annotated[list[Channel], Field(description="Channels, by name.")]


def channel_view(channel: channels.Channel, last: Delivery | None) -> Channel:
    """Return the channel object."""
    return Channel(
        name=channel.name,
        url=channel.url,
        format=channel.format,
        events=[event for event in TOLD if event in channel.events],
        label=":".join(channel.label) if channel.label else None,
        after=channel.after,
        digest=channel.digest.seconds if channel.digest else None,
        created_at=format_instant(channel.created_at),
        updated_at=format_instant(channel.updated_at),
        last_delivery=_delivery_view(last) if last else None,
    )


def _delivery_view(last: Delivery) -> LastDelivery:
    return LastDelivery(
        job_id=last.notice_id,
        event=last.event,
        status=last.status,
        finished_at=format_measured(last.finished_at),
        status_code=last.status_code,
        error=last.error,
    )


def read_channel(
    tenant: str,
    shown: Mapping[str, Any],
    body: object,
    now: datetime,
    check_request: RequestCheck,
    topics: AbstractSet[str],
) -> channels.Channel:
    """Read a channel from the body of a PUT. Raises InvalidInput, also for a wrong name.

    `shown` is the channel as GET shows it, of a new one only the `name`. A read-only field may have
    the value that is shown: clients may send back what they read.
    `topics` are the ARNs of the topics of SNS that the stage allows.
    """
    errors = Errors()
    document = require_object(body)
    if not CHANNEL_NAME.fullmatch(shown["name"]):
        errors.add("name", "must be 1 to 64 of A-Z a-z 0-9 _ -")
    errors.forbid_read_only(document, shown, _READ_ONLY)
    sent = errors.validate(ChannelIn, document, _READ_ONLY)
    valid = sent or errors.valid_part(ChannelIn, document)
    if not errors.are_in("url"):
        _check_target(errors, valid, check_request, topics)
    _check(errors, valid)
    errors.raise_if_any()
    assert sent  # noqa: S101  raise_if_any() has not raised
    key, _, value = (sent.label or "").partition(":")
    return channels.Channel(
        tenant=tenant,
        name=shown["name"],
        token=uuid.uuid4().hex[:12],
        url=sent.url,
        events=frozenset(map(Event, sent.events)),
        created_at=now,
        updated_at=now,
        format=Format(sent.format or (Format.TEXT if _is_topic(sent) else Format.RESONA)),
        label=(key, value) if key else None,
        after=sent.after,
        digest=timedelta(seconds=sent.digest) if sent.digest else None,
    )


def _is_topic(sent: ChannelIn) -> bool:
    return sent.url.startswith(SNS)


def _check_target(
    errors: Errors, sent: ChannelIn, check_request: RequestCheck, topics: AbstractSet[str]
) -> None:
    """Add an error for a URL that may not be called, a topic that is not allowed, and a format that
    the target does not take.
    """
    if not _is_topic(sent):
        wrong = wrong_request(Request(sent.url, "POST", {}), check_request)
        errors.extend(replace(one, field="url") for one in wrong)
        if OF_RUN.search(sent.url):
            errors.add("url", "a channel tells of many runs: its URL may name secrets alone")
        if sent.format == Format.TEXT:
            errors.add("format", "text is for topics of SNS; post resona or slack to a URL")
        return
    if sent.url.endswith(".fifo"):
        errors.add("url", "SNS sends no e-mail from a FIFO topic: use a standard topic")
    elif not sent.url.startswith(f"{SNS}arn:"):
        errors.add(
            "url",
            "must be sns: and the ARN of a topic, such as "
            "sns:arn:aws:sns:eu-central-1:123456789012:resona-notices",
        )
    elif sent.url.removeprefix(SNS) not in topics:
        errors.add(
            "url",
            "the stage does not allow this topic: whoever runs it adds it to RESONA_NOTICE_TOPICS "
            "and deploys; a laptop has no topics",
        )
    if sent.format in (Format.RESONA, Format.SLACK):
        errors.add("format", "a topic takes text: leave the format out")


def _check(errors: Errors, sent: ChannelIn) -> None:
    """Add an error for each value that the model takes and the rules do not."""
    known = ", ".join(TOLD)
    for place, event in enumerate(sent.events):
        if event not in TOLD and ("events", place) not in errors.invalid:
            errors.add(f"events.{place}", f"must be one of {known}")
    if sent.format is not None and sent.format not in tuple(Format):
        errors.add("format", f"must be one of {', '.join(Format)}")
    if sent.label is not None and sent.label.find(":") < 1:
        errors.add("label", "must be key:value; the first colon divides them")
    if Event.JOB_RECOVERED in sent.events and Event.RUN_FAILED not in sent.events:
        errors.add("events", "job.recovered is told only after run.failed: ask for both")
