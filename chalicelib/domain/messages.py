"""The bodies of channels' notices, in each format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from chalicelib.domain import mail, slack
from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.notices import Event, Told, document


def body_of(told: Told, channel: Channel) -> object:
    """Return the body of a channel's notice."""
    if channel.format is Format.RESONA:
        return {**document(told), "channel": channel.name}
    if channel.format is Format.TEXT:
        return mail.message(_what(told), _headline(told), told, channel.name)
    last = told.run.attempts[-1] if told.run.attempts else None
    identifier = run_id(told.job.id, told.run.key)
    headline = slack.headline(told.name, _headline(told))
    return slack.message(headline, told.job, last, told.response, identifier)


def example_of(told: Told, channel: Channel) -> object:
    """Return an event as an example of a digest: its document, or its part of a text."""
    if channel.format is Format.RESONA:
        return document(told)
    if channel.format is Format.TEXT:
        return mail.paragraph(_headline(told), told)
    last = told.run.attempts[-1] if told.run.attempts else None
    return slack.line(told.name, _headline(told), last)


def digest_document(
    channel: str, counts: Mapping[Event, int], since: datetime, at: datetime
) -> dict[str, Any]:
    """Return the body of a digest, without examples. `at` is when its window has ended."""
    return {
        "event": Event.DIGEST,
        "at": format_measured(at),
        "channel": channel,
        "since": format_measured(since),
        "count": sum(counts.values()),
        "counts": dict(counts),
        "examples": [],
    }


def digest_message(
    channel: str, form: Format, counts: Mapping[Event, int], lines: Sequence[str], since: datetime
) -> object:
    """Return the body of a digest for a person. `lines` are the first events, by `example_of`."""
    total, kinds = sum(counts.values()), (f"{count} {event}" for event, count in counts.items())
    summary = f"since {format_instant(since)}: {', '.join(kinds)}"
    if form is Format.TEXT:
        return mail.digest(f"{total} events {summary}", lines, total, channel)
    return slack.listed(f"*{total} events* {summary}", lines, total)


def trial_body(channel: Channel, now: datetime) -> object:
    """Return the body of a notice that tries a channel."""
    if channel.format is Format.RESONA:
        return {"event": Event.TEST, "at": format_measured(now), "channel": channel.name}
    if channel.format is Format.TEXT:
        return mail.trial(channel.name)
    return slack.message(f"A test of the channel {channel.name}", None, None, None, "")


def _headline(told: Told) -> str:
    """Return a sentence about the job, or the flow, without its name and the full stop."""
    what, count = _what(told), told.failing.count if told.failing else 0
    since = format_instant(told.failing.since if told.failing else told.at)
    row = f"failed {count} times in a row since {since}" if count > 1 else f"failed at {since}"
    match told.event:
        case Event.JOB_RECOVERED:
            return f"{what}; it {row}"
        case Event.JOB_PAUSED:
            return f"{what}: it {row}"
        case Event.RUN_MISSED:
            due = format_instant(told.run.key.due_at)
            if (told.run.missed_count or 1) == 1:
                return f"{what}: it was due at {due} and came too late to be sent"
            return f"{what}: the first was due at {due}, and they came too late to be sent"
        case Event.FLOW_OPENED if told.flow and told.flow.breaker:
            failures, probe = told.flow.breaker.failures, told.flow.breaker.probe
            seconds = round(probe.total_seconds())
            row = f"{failures} attempts in a row" if failures > 1 else "an attempt"
            return f"{what}: {row} failed; they wait, and one is sent every {seconds} s"
        case Event.FLOW_CLOSED if told.flow and told.flow.opened_at:
            opened_at = format_instant(told.flow.opened_at)
            return f"{what}: it was open since {opened_at}, and what waited is sent"
        case _:
            return row


def _what(told: Told) -> str:
    """Return in a few words what happened to the job, or the flow."""
    count = told.failing.count if told.failing else 0
    missed = told.run.missed_count or 1
    match told.event:
        case Event.JOB_RECOVERED:
            return "works again"
        case Event.JOB_PAUSED:
            return "is paused"
        case Event.RUN_MISSED:
            return "missed a run" if missed == 1 else f"missed {missed} runs"
        case Event.FLOW_OPENED:
            return "is open"
        case Event.FLOW_CLOSED:
            return "is closed again"
        case _:
            return f"failed {count} times in a row" if count > 1 else "failed"
