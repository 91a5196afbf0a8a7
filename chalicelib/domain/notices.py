"""Notices: one-time jobs that tell a URL what happened to a job.

A notice is written in the transaction that ends the run, so neither can be lost without the other.
From then on it is a job like any other: signed, retried and recorded. Its id is a function of what
it tells, so that a repeated write cannot make a second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from ulid import ULID

from chalicelib.domain import job_transitions
from chalicelib.domain.exact_json import write
from chalicelib.domain.flows import Flow
from chalicelib.domain.ids import RunKey, new_job_id, run_id
from chalicelib.domain.instant import format_measured
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import Response
from chalicelib.domain.run_document import run_document
from chalicelib.domain.run_history import Run
from chalicelib.domain.run_values import filled, run_values
from chalicelib.domain.state import Transition
from chalicelib.domain.state_parts import Failing
from chalicelib.domain.trigger import after_delay

# The part of a target's answer that a notice carries, in characters.
LONGEST_BODY = 1_000
# Before the ARN of a topic, in a channel's URL.
SNS = "sns:"
_LONGEST_NAME = 200
# Ten attempts within an hour and a half.
_RETRY = RetryPolicy(10, timedelta(seconds=10), timedelta(hours=1))


class Event(StrEnum):
    """What a notice tells."""

    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_MISSED = "run.missed"
    JOB_RECOVERED = "job.recovered"
    JOB_PAUSED = "job.paused"
    FLOW_OPENED = "flow.opened"
    FLOW_CLOSED = "flow.closed"
    DIGEST = "digest"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice tells: an event of a job, and the run that ended.

    `response` is the answer to the run's last attempt, None if it is not known. `failing` is the
    row of failures that the event belongs to, None for other events.

    `flow` is the flow that the run's last attempt has opened or closed, as it was before; None for
    events of jobs.
    """

    event: Event
    job: Definition
    run: Run
    response: Response | None
    at: datetime
    failing: Failing | None = None
    flow: Flow | None = None

    @property
    def name(self) -> str:
        """Return the name of what the event happened to."""
        return f"Flow {self.flow.name}" if self.flow else self.job.name


def callback(told: Told, url: str, now: datetime) -> Transition:
    """Return the transition that creates the notice for a callback of a job."""
    values = run_values(told.job, told.run.key, len(told.run.attempts))
    return _notice(told, filled(url, values), document(told), "", now)


def to_channel(told: Told, channel: str, url: str, body: object, now: datetime) -> Transition:
    """Return the transition that creates the notice for a channel, with the body in its format."""
    return _notice(told, url, body, channel, now)


def trial(tenant: str, channel: str, url: str, body: object, now: datetime) -> Transition:
    """Return the transition that creates a notice that tries a channel."""
    labels = {"event": Event.TEST.value, "channel": channel}
    name = f"{Event.TEST}: {channel}"
    return _created(new_job_id(now), tenant, name, url, body, labels, now)


def topic_of(definition: Definition) -> str | None:
    """Return the topic of SNS to which a notice goes, None if it goes to a URL.

    Only channels may name a topic: a job's or a callback's `sns:` is None, and no URL to be called.
    """
    url = definition.request.url
    is_topic = is_of_channel(definition) and url.startswith(SNS)
    return url.removeprefix(SNS) if is_topic else None


def is_of_channel(definition: Definition) -> bool:
    """Return whether a job is a notice to a channel; a job's callback is none."""
    return definition.kind is Kind.NOTICE and "channel" in definition.labels


def _notice(told: Told, url: str, body: object, channel: str, now: datetime) -> Transition:
    job, key = told.job, told.run.key
    labels = {"event": told.event.value, "job": job.id, "run": run_id(job.id, key)}
    if channel:
        labels["channel"] = channel
    attempt = len(told.run.attempts) if told.flow else 0
    identifier = notice_id(job.id, key, told.event, channel, attempt)
    name = f"{told.event}: {told.flow.name if told.flow else job.name}"[:_LONGEST_NAME]
    return _created(identifier, job.tenant, name, url, body, labels, now)


def _created(
    identifier: str,
    tenant: str,
    name: str,
    url: str,
    body: object,
    labels: dict[str, str],
    now: datetime,
) -> Transition:
    definition = Definition(
        id=identifier,
        tenant=tenant,
        generation=1,
        name=name,
        created_at=now.replace(microsecond=0),
        trigger=after_delay(0, now),
        request=Request(url, "POST", {"Content-Type": "application/json"}, as_text(body)),
        retry=_RETRY,
        labels=labels,
        kind=Kind.NOTICE,
    )
    return job_transitions.create(definition, None, now)


def notice_id(job_id: str, key: RunKey, event: Event, channel: str = "", attempt: int = 0) -> str:
    """Return the id of a notice; it sorts by the due time of the run. `channel` is empty for a
    callback, `attempt` is that of an event which may happen at several attempts of a run, else 0.
    """
    parts = (job_id, str(key), event, channel, *([str(attempt)] if attempt else []))
    told = "\n".join(parts).encode()
    made = ULID.from_datetime(key.asked_at).bytes[:6] + sha256(told).digest()[:10]
    return f"job_{ULID.from_bytes(made)}"


def document(told: Told) -> dict[str, Any]:
    """Return the body of a notice in Resona's own format."""
    job_id, run = told.job.id, run_document(told.job.id, told.run, with_responses=False)
    made: dict[str, Any] = {
        "event": told.event,
        "at": format_measured(told.at),
        "job": _in_short(told.job),
        "run": run,
        "response": _beginning(told.response) if told.response else None,
        "links": {"job": f"/jobs/{job_id}", "run": f"/jobs/{job_id}/runs/{run['id']}"},
    }
    # After a resume the failures before it are no longer counted.
    if told.failing is not None and told.failing.count:
        since = format_measured(told.failing.since)
        made["failures"] = {"count": told.failing.count, "since": since}
    if told.flow is not None:
        made["flow"] = told.flow.name
        made["links"]["flow"] = f"/flows/{told.flow.name}"
    return made


def _in_short(job: Definition) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "key": job.key,
        "labels": dict(job.labels),
        "request": {"url": job.request.url, "method": job.request.method},
    }


def _beginning(response: Response) -> dict[str, Any]:
    document: dict[str, Any] = {
        "body": response.body[:LONGEST_BODY],
        "truncated": response.truncated or len(response.body) > LONGEST_BODY,
    }
    if response.encoding:
        document["encoding"] = response.encoding
    return document


def as_text(document: object) -> str:
    """Return a document as JSON in which no `{{` is left.

    A job's name or a target's answer may contain `{{secret:name}}`; it must not become the secret's
    value when the notice is sent. In JSON two braces in a row occur only within a string.
    """
    return write(document).replace("{{", "{\\u007b")
